//! Cookies on the traffic port: those of the console stay with the console, and those of an upstream with its own path.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT};
use menlou_harness::{Upstream, http::Request};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
};

/// A gateway on which both tenants forward `a=page`, with cookies, each to an upstream of its own.
fn scene(upstreams: &[Upstream; 2]) -> Scene {
    Scene::with(Stores::Embedded, |mut setup, _| {
        for (tenant, upstream) in [TENANT, NEIGHBOUR].iter().zip(upstreams) {
            let file = setup.tenants.iter_mut().find(|(name, _)| name == tenant).expect("the tenant");
            file.1 += &format!(
                "\n[actions.page]\nplugin = \"proxy\"\nupstream = \"http://{}/base\"\nauth = \"optional\"\n\
                 pass_headers = [\"cookie\"]\n",
                upstream.addr()
            );
        }
        setup
    })
}

/// A browser: cookies by path and name (RFC 6265, 5.4; all requests are for one host).
#[derive(Default)]
struct Jar(BTreeMap<(String, String), String>);

impl Jar {
    fn get(&mut self, scene: &Scene, target: &str) {
        let path = target.split('?').next().unwrap_or_default();
        let matches = |own: &str| {
            path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || own.ends_with('/'))
        };
        let cookies: Vec<_> = self
            .0
            .iter()
            .filter(|((own, _), _)| matches(own))
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let mut request = Request::new("GET", target);
        if !cookies.is_empty() {
            request = request.header("Cookie", &cookies.join("; "));
        }
        let response = request.send(scene.gateway.addr()).expect("a response");
        assert_eq!(response.status, 200, "{}", response.text());
        for (_, line) in response.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let mut parts = line.split(';').map(str::trim);
            let (name, value) = parts.next().unwrap().split_once('=').expect("a cookie");
            let own = parts.filter_map(|part| part.strip_prefix("Path=")).next_back().expect("a path");
            self.0.insert((own.to_owned(), name.to_owned()), value.to_owned());
        }
    }
}

/// The `Cookie` header of the latest request.
fn seen(upstream: &Upstream) -> String {
    let requests = upstream.requests();
    requests.last().expect("a request")["headers"]["cookie"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn cookies_of_an_upstream_return_to_its_own_path_only() {
    let upstreams = [Upstream::start(), Upstream::start()];
    let scene = scene(&upstreams);
    let [mine, other] = [TENANT, NEIGHBOUR].map(|tenant| format!("/srv/{tenant}/page"));
    upstreams[1].respond_with_headers(
        "Set-Cookie: sid=of-neighbour; Path=/; HttpOnly\r\nSET-COOKIE: b=2; domain=localhost;PATH=\"/srv\"\r\n\
         set-cookie: __Host-c=3; Secure; Path=/\r\nSet-Cookie: menlou=forged; Path=/console/\r\n",
    );
    // The neighbour's cookies, set by a request of either form.
    for first in [format!("{other}/login"), format!("/srv/?f={NEIGHBOUR}&a=page")] {
        let mut jar = Jar::default();
        jar.get(&scene, &first);
        assert!(jar.0.keys().all(|(path, _)| *path == other) && jar.0.len() == 3, "{:?}", jar.0);
        for target in [&mine, &format!("{mine}/x"), &format!("/srv/?f={TENANT}&a=page")] {
            jar.get(&scene, target);
            assert_eq!(seen(&upstreams[0]), "", "{target}");
        }
        jar.get(&scene, &format!("{other}/x"));
        assert_eq!(seen(&upstreams[1]), "__Host-c=3; b=2; sid=of-neighbour");
        jar.get(&scene, &format!("/srv/?f={NEIGHBOUR}&a=page"));
        assert_eq!(seen(&upstreams[1]), "", "the request is not below the path of the cookies");
    }
}

#[test]
fn cookies_of_the_console_are_never_forwarded() {
    let upstreams = [Upstream::start(), Upstream::start()];
    let scene = scene(&upstreams);
    let admin = scene.admin_as("operator");
    let signed_in = scene.browser().post("/console/sign-in", &[("token", admin.token()), ("next", "/console/")]);
    let cookie = signed_in.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.contains("; Path=/console/;"), "{cookie}");
    let value = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
    scene.secrets().add(value);
    let target = format!("/srv/{TENANT}/page");
    for name in ["menlou", "__Secure-menlou", "__Host-menlou", "MENLOU", "menlou-language"] {
        let request = Request::new("GET", &target).header("Cookie", &format!("a=1; {name}={value}; b=2"));
        assert_eq!(request.send(scene.gateway.addr()).expect("a response").status, 200);
        assert_eq!(seen(&upstreams[0]), "a=1; b=2", "{name}");
        assert!(!upstreams[0].requests().iter().any(|request| request.to_string().contains(value)), "{name}");
    }
}

#[test]
fn several_cookie_lines_reach_the_upstream_as_one() {
    let upstreams = [Upstream::start(), Upstream::start()];
    let scene = scene(&upstreams);
    let mut stream = TcpStream::connect(scene.gateway.addr()).unwrap();
    let target = format!("/srv/{TENANT}/page");
    let head =
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: a=1\r\ncookie: b=2; c=3\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(seen(&upstreams[0]), "a=1; b=2; c=3");

    // Clients of HTTP/2 send each cookie in a line of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(scene.gateway.addr()).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        let request =
            http::Request::get(format!("http://a{target}?h2")).header("cookie", "d=4").header("cookie", "e=5");
        let (response, _) = sender.ready().await.unwrap().send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
    assert_eq!(seen(&upstreams[0]), "d=4; e=5");
}
