//! Which answers go out compressed, and which never do.

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
    request.send(scene.gateway.addr()).expect("an answer")
}

fn unpacked(answer: &Response) -> String {
    let mut text = String::new();
    GzDecoder::new(&answer.body[..]).read_to_string(&mut text).expect("gzip");
    text
}

#[test]
fn a_large_answer_is_compressed_for_who_takes_it_and_one_with_a_token_never() {
    let scene = Scene::new(Stores::Embedded);
    let picture = format!("https://example.com/{}", "picture/".repeat(200));
    let first = scene.authorize("ann");
    let token = first.token().expect("a token");
    let fields = [("method", "profile"), ("name", "Ann"), ("avatar_url", picture.as_str())];
    let login = send(&scene, "login", Some(token), &fields, "gzip");
    assert!(login.body.len() > 1024 && login.text().contains(token) && login.text().contains(&picture));
    let again = send(&scene, "openid", None, &[("code", &scene.sim.code("ann"))], "gzip");
    assert!(again.body.len() > 1024 && again.text().contains("\"token\":\""));
    for answer in [&login, &again] {
        assert_eq!((answer.status, answer.header("content-encoding")), (200, None));
    }

    let user = |encodings: &str| send(&scene, "user", Some(token), &[], encodings);
    let plain = user("");
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("Accept-Encoding")));
    for encodings in ["gzip", "gzip, deflate, br", "*"] {
        let answer = user(encodings);
        assert_eq!((answer.header("content-encoding"), answer.header("vary")), (Some("gzip"), Some("Accept-Encoding")));
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
        assert!(answer.body.len() < plain.body.len() / 4, "{}", answer.body.len());
        assert_eq!(unpacked(&answer), plain.text());
    }
    for encodings in ["br", "gzip;q=0", "identity"] {
        assert_eq!(user(encodings).text(), plain.text());
    }
    let small = send(&scene, "user", Some(token), &[("avatar_url", "https://example.com/a.png")], "gzip");
    assert_eq!((small.header("content-encoding"), small.header("vary")), (None, None));
}

#[test]
fn what_an_upstream_answers_is_passed_on_as_it_is() {
    let upstream = Upstream::start();
    let table = format!(
        "[actions.orders]\nplugin = \"proxy\"\nupstream = \"http://{}\"\nauth = \"optional\"\n",
        upstream.addr()
    );
    let scene = Scene::with(Stores::Embedded, |mut setup, _| {
        setup.tenants[0].1 += &table;
        setup
    });
    let answer = send(&scene, "orders", None, &[("filler", &"x".repeat(3000))], "gzip");
    assert!(answer.body.len() > 3000 && answer.text().contains("xxx"));
    assert_eq!((answer.status, answer.header("content-encoding")), (200, None));
}
