//! Response compression: which responses are compressed, and which never are.

use crate::scene::{Scene, Stores, TENANT};
use flate2::read::GzDecoder;
use menlou_harness::{
    Upstream,
    http::{Request, Response},
};
use std::io::Read;

fn send(scene: &Scene, action: &str, token: Option<&str>, fields: &[(&str, &str)], encodings: &str) -> Response {
    let mut request = Request::post(format!("/srv/{TENANT}/{action}")).form(fields);
    if let Some(token) = token {
        scene.secrets().add(token);
        request = request.bearer(token);
    }
    if !encodings.is_empty() {
        request = request.header("Accept-Encoding", encodings);
    }
    request.send(scene.gateway.addr()).expect("a response")
}

fn decompressed(response: &Response) -> String {
    let mut text = String::new();
    GzDecoder::new(&response.body[..]).read_to_string(&mut text).expect("gzip");
    text
}

#[test]
fn large_responses_are_compressed_unless_they_carry_a_token() {
    let scene = Scene::new(Stores::Embedded);
    let avatar = format!("https://example.com/{}", "picture/".repeat(200));
    let authorized = scene.authorize("ann");
    let token = authorized.token().expect("a token");
    let fields = [("method", "profile"), ("name", "Ann"), ("avatar_url", avatar.as_str())];
    let login = send(&scene, "login", Some(token), &fields, "gzip");
    assert!(login.body.len() > 1024 && login.text().contains(token) && login.text().contains(&avatar));
    let openid = send(&scene, "openid", None, &[("code", &scene.sim.code("ann"))], "gzip");
    assert!(openid.body.len() > 1024 && openid.text().contains("\"token\":\""));
    for response in [&login, &openid] {
        assert_eq!((response.status, response.header("content-encoding")), (200, None));
    }

    let user = |encodings: &str| send(&scene, "user", Some(token), &[], encodings);
    let plain = user("");
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("Accept-Encoding")));
    for encodings in ["gzip", "gzip, deflate, br", "*"] {
        let response = user(encodings);
        assert_eq!(
            (response.header("content-encoding"), response.header("vary")),
            (Some("gzip"), Some("Accept-Encoding"))
        );
        assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
        assert!(response.body.len() < plain.body.len() / 4, "{}", response.body.len());
        assert_eq!(decompressed(&response), plain.text());
    }
    for encodings in ["br", "gzip;q=0", "identity"] {
        assert_eq!(user(encodings).text(), plain.text());
    }
    let small = send(&scene, "user", Some(token), &[("avatar_url", "https://example.com/a.png")], "gzip");
    assert_eq!((small.header("content-encoding"), small.header("vary")), (None, None));
}

#[test]
fn upstream_responses_are_forwarded_unchanged() {
    let upstream = Upstream::start();
    let table = format!(
        "[actions.orders]\nplugin = \"proxy\"\nupstream = \"http://{}\"\nauth = \"optional\"\n",
        upstream.addr()
    );
    let scene = Scene::with(Stores::Embedded, |mut setup, _| {
        setup.tenants[0].1 += &table;
        setup
    });
    let response = send(&scene, "orders", None, &[("filler", &"x".repeat(3000))], "gzip");
    assert!(response.body.len() > 3000 && response.text().contains("xxx"));
    assert_eq!((response.status, response.header("content-encoding")), (200, None));
}
