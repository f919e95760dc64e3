//! HTML pages: the start page and the error page of a proxy.

use http::request::Parts;
use http::{StatusCode, header};

use crate::state::PlatformState;

const START: &str = include_str!("../assets/start.html");

/// The start page: how to use the simulator in place of WeChat, with commands to copy.
pub(crate) fn start(state: &PlatformState, head: &Parts) -> String {
    let host = head
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| host.bytes().all(is_host_byte))
        .unwrap_or("127.0.0.1:9080");
    let appids: Vec<_> = state.appids().into_iter().take(20).collect();
    START
        .replace("{{base}}", &format!("http://{host}"))
        .replace("{{appid}}", &state.first_app())
        .replace("{{appids}}", &appids.join(", "))
}

/// The error page of a proxy in front of the platform.
pub(crate) fn proxy_error(status: StatusCode) -> String {
    format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n\
         <center><h1>{status}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// Whether the byte occurs in a host name or address with port. None of these is special in HTML.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte)
}
