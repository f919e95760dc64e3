//! Proxies in front of the gateway: the client's address from the PROXY protocol or a header, of trusted proxies only.

use crate::scene::{Scene, Stores};
use menlou_harness::{
    Envelope,
    http::{self, Request},
};
use std::io::{Read, Write};

const POST: &str = "POST /srv/?f=manulife&a=user HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn scene(settings: &[(&str, &str)]) -> Scene {
    Scene::with(Stores::Embedded, |setup, _| {
        settings.iter().fold(setup, |setup, (name, value)| setup.setting(name, *value))
    })
}

/// The client's address in the access log of this request.
fn logged(scene: &Scene, id: &str) -> String {
    let line = crate::scene::eventually("the request is logged", || {
        scene.log().lines().find(|line| line.contains(&format!("request_id=\"{id}\""))).map(str::to_owned)
    });
    line.split("remote=").nth(1).expect("an address").split_whitespace().next().unwrap().to_owned()
}

fn client_of(scene: &Scene, id: &str, header: (&str, &str)) -> String {
    let request = Request::post(scene.client().target("user")).header(header.0, header.1).header("X-Request-Id", id);
    scene.client().send(&request).assert_error(401, "login_required");
    logged(scene, id)
}

#[test]
fn a_header_names_the_client_only_from_a_trusted_proxy() {
    let no_proxies = scene(&[]);
    let other_proxies = scene(&[("proxies.trusted", "[\"10.0.0.0/8\"]")]);
    for scene in [&no_proxies, &other_proxies] {
        assert_eq!(client_of(scene, "one", ("X-Forwarded-For", "198.51.100.7")), "127.0.0.1");
        assert_eq!(client_of(scene, "two", ("Forwarded", "for=198.51.100.7")), "127.0.0.1");
    }
    let trusting = scene(&[("proxies.trusted", "[\"127.0.0.0/8\", \"10.0.0.0/8\"]")]);
    assert_eq!(client_of(&trusting, "one", ("X-Forwarded-For", "1.2.3.4, 198.51.100.7, 10.1.1.1")), "198.51.100.7");
    assert_eq!(client_of(&trusting, "two", ("Forwarded", "for=198.51.100.7")), "127.0.0.1");
    let other = scene(&[("proxies.trusted", "[\"127.0.0.1\"]"), ("proxies.header", "\"forwarded\"")]);
    assert_eq!(client_of(&other, "one", ("Forwarded", "for=\"[2001:db8::7]:80\"")), "2001:db8::7");
    assert_eq!(client_of(&other, "two", ("X-Forwarded-For", "198.51.100.7")), "127.0.0.1");
}

#[test]
fn login_attempts_count_for_the_client_and_not_for_its_proxy() {
    let scene = scene(&[("proxies.trusted", "[\"127.0.0.1\"]"), ("passwords.attempts_per_address", "2")]);
    let session = scene.session("ann");
    let try_from = |address: &str| {
        let fields = [("method", "password"), ("account", "nobody"), ("password", "wrong-password")];
        let request = Request::post(session.target("login")).form(&fields).header("X-Forwarded-For", address);
        session.send(&request).error.unwrap()
    };
    for error in ["bad_credentials", "bad_credentials", "too_many_attempts"] {
        assert_eq!(try_from("198.51.100.7"), error);
    }
    assert_eq!(try_from("198.51.100.8"), "bad_credentials");
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let settings = [
        ("proxies.trusted", "[\"127.0.0.1\"]"),
        ("proxies.proxy_protocol", "true"),
        ("clients.first_byte_timeout", "\"1s\""),
        ("clients.max_connections_per_address", "2"),
    ];
    let scene = scene(&settings);
    let v2 = |address: [u8; 4]| {
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &address, &[10, 0, 0, 1, 0x12, 0x67, 0, 80]].concat()
    };
    let request = |id: &str| POST.replace("Host: a", &format!("Host: a\r\nX-Request-Id: {id}"));
    for (id, header, client) in [
        ("one", b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 80\r\n".to_vec(), "198.51.100.7"),
        ("two", v2([198, 51, 100, 8]), "198.51.100.8"),
        ("three", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        // In one piece, and byte by byte.
        for (id, size) in [(id.to_owned(), 1000), (format!("{id}-again"), 1)] {
            let mut stream = http::connect(scene.addr()).unwrap();
            for piece in [&header[..], request(&id).as_bytes()].concat().chunks(size) {
                stream.write_all(piece).unwrap();
            }
            Envelope::parse(http::read(&mut stream).unwrap()).assert_error(401, "login_required");
            assert_eq!(logged(&scene, &id), client);
        }
    }
    // Without a header, with an invalid, an incomplete or an empty one the connection is closed.
    for bytes in [POST, "PROXY TCP4 1.2.3.4\r\n", "PROXY TCP4 1.2", ""] {
        let mut stream = http::connect(scene.addr()).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "{bytes:?}");
    }
    // Connections count for the client, not for the proxy.
    let mut open = Vec::new();
    for (address, served) in [(1, true), (1, true), (1, false), (2, true), (3, true)] {
        let mut stream = http::connect(scene.addr()).unwrap();
        stream.write_all(&v2([198, 51, 100, address])).unwrap();
        let _ = stream.write_all(POST.replace("Connection: close\r\n", "").as_bytes());
        assert_eq!(http::read(&mut stream).is_ok(), served, "{address}");
        open.push(stream);
    }
}

#[test]
fn a_proxy_protocol_header_from_an_untrusted_address_is_rejected() {
    let scene = scene(&[("proxies.trusted", "[\"10.0.0.0/8\"]"), ("proxies.proxy_protocol", "true")]);
    let bytes = format!("PROXY TCP4 198.51.100.7 10.0.0.1 4711 80\r\n{POST}");
    Envelope::parse(http::send_raw(scene.addr(), bytes.as_bytes()).unwrap()).assert_error(400, "bad_request");
    Envelope::parse(http::send_raw(scene.addr(), POST.as_bytes()).unwrap()).assert_error(401, "login_required");
}
