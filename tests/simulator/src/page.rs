//! The pages in HTML: the start page, and the error page of a proxy.

use http::request::Parts;
use http::{StatusCode, header};

use crate::world::World;

const START: &str = include_str!("../assets/start.html");

/// The start page: how to make codes, with lines to copy, and how to use this in place of WeChat.
pub(crate) fn start(world: &World, head: &Parts) -> String {
    let host = head
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| host.bytes().all(may_stand_in_a_host))
        .unwrap_or("127.0.0.1:9080");
    let appids: Vec<_> = world.appids().into_iter().take(20).collect();
    START
        .replace("{{base}}", &format!("http://{host}"))
        .replace("{{appid}}", &world.first_app())
        .replace("{{appids}}", &appids.join(", "))
}

/// What a proxy before the platform answers when the platform is ill.
pub(crate) fn proxy_error(status: StatusCode) -> String {
    format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n\
         <center><h1>{status}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// Of a name, an IPv4 or IPv6 address, with a port: nothing that HTML gives a meaning.
fn may_stand_in_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte)
}
