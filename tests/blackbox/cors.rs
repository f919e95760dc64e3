//! Web pages (H5) that call the gateway: what their browser asks, and what it lets them read.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, tenant};
use menlou_harness::{
    Upstream,
    http::{self, Request, Response},
};
use std::io::Write;

const PAGE: &str = "https://h5.example.com";

/// A gateway whose tenant lets pages call, has a limit, and forwards `a=orders` for anyone.
fn scene(upstream: &Upstream) -> Scene {
    scene_with(upstream, &[])
}

fn scene_with(upstream: &Upstream, settings: &[(&str, &str)]) -> Scene {
    let more = format!(
        "[cors]\norigins = [\"{PAGE}\", \"https://*.example.org\"]\nheaders = [\"X-App\"]\n[limits]\ncalls = \"1000/h\"\n\
         [actions.orders]\nplugin = \"proxy\"\nupstream = \"http://{}\"\nauth = \"optional\"\n",
        upstream.addr()
    );
    Scene::with(Stores::Embedded, move |mut setup, sim| {
        setup.tenants[0].1 = format!("{}\n{more}", tenant(sim));
        settings.iter().fold(setup, |setup, (name, value)| setup.setting(name, *value))
    })
}

fn preflight(scene: &Scene, path: &str, origin: &str) -> Response {
    let request = Request::new("OPTIONS", path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization,content-type");
    request.send(scene.gateway.addr()).expect("an answer")
}

fn allows(answer: &Response) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[test]
fn a_browsers_question_is_answered_without_the_plugin() {
    let upstream = Upstream::start();
    let scene = scene(&upstream);
    for origin in [PAGE, "https://a.b.example.org"] {
        for (path, methods) in [
            (format!("/srv/?f={TENANT}&a=openid"), "POST"),
            (format!("/srv/{TENANT}/orders/7"), "GET, HEAD, POST, PUT, PATCH, DELETE"),
            (format!("/srv/{TENANT}/nothing"), "POST"),
        ] {
            let answer = preflight(&scene, &path, origin);
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
            assert_eq!(allows(&answer), Some(origin));
            assert_eq!(answer.header("access-control-allow-methods"), Some(methods));
            let headers = answer.header("access-control-allow-headers");
            assert_eq!(headers, Some("Authorization, Content-Type, X-Request-Id, X-App"));
            assert_eq!(answer.header("access-control-max-age"), Some("600"));
            assert_eq!(answer.header("vary"), Some("Origin"));
            assert!(
                answer.header("x-request-id").is_some() && answer.header("access-control-allow-credentials").is_none()
            );
        }
    }
    assert_eq!(upstream.requests().len(), 0);
    // The question is no call: nothing was counted.
    let counted = Request::post(format!("/srv/{TENANT}/openid")).send(scene.gateway.addr()).expect("an answer");
    assert!(counted.header("ratelimit").is_some_and(|standing| standing.contains("r=999")), "{:?}", counted.headers);
}

#[test]
fn pages_of_other_origins_are_refused_and_told_why() {
    let upstream = Upstream::start();
    let scene = scene(&upstream);
    let path = format!("/srv/{TENANT}/openid");
    for origin in [
        "https://evil.example",
        "https://h5.example.com.evil.example",
        "http://h5.example.com",
        "null",
        "https://example.org",
    ] {
        let answer = preflight(&scene, &path, origin);
        assert_eq!((answer.status, allows(&answer)), (403, None), "{origin}");
        assert!(answer.text().contains("\"origin_refused\""), "{}", answer.text());
        let call = Request::post(&path).header("Origin", origin).send(scene.gateway.addr()).expect("an answer");
        assert_eq!((call.status, allows(&call), call.header("vary")), (400, None, Some("Origin")), "{origin}");
    }
    // A tenant that says nothing of pages lets none call, and answers as before.
    let answer = preflight(&scene, &format!("/srv/{NEIGHBOUR}/openid"), PAGE);
    assert_eq!((answer.status, allows(&answer), answer.header("vary")), (405, None, None));
    let answer = preflight(&scene, "/srv/nobody/openid", PAGE);
    assert_eq!((answer.status, allows(&answer)), (404, None));
}

#[test]
fn a_page_may_read_every_answer_of_its_tenant_and_what_stands_at_its_head() {
    let upstream = Upstream::start();
    let scene = scene(&upstream);
    let send = |request: Request| request.header("Origin", PAGE).send(scene.gateway.addr()).expect("an answer");
    let code = scene.sim.code("ann");
    for (request, status) in [
        (Request::post(format!("/srv/{TENANT}/openid")).form(&[("code", &code)]), 200),
        (Request::post(format!("/srv/{TENANT}/openid")), 400),
        (Request::post(format!("/srv/{TENANT}/user")), 401),
        (Request::post(format!("/srv/{TENANT}/nothing")), 404),
        (Request::new("GET", format!("/srv/{TENANT}/orders/x")), 200),
        // Without the question's own header this is a call, as good or bad as any.
        (Request::new("OPTIONS", format!("/srv/{TENANT}/openid")), 405),
    ] {
        let answer = send(request);
        assert_eq!((answer.status, allows(&answer)), (status, Some(PAGE)), "{}", answer.text());
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, Some("X-Request-Id, Retry-After, RateLimit, RateLimit-Policy"));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    let no_page = Request::post(format!("/srv/{TENANT}/openid")).send(scene.gateway.addr()).expect("an answer");
    assert_eq!((allows(&no_page), no_page.header("vary")), (None, Some("Origin")));
}

#[test]
fn a_page_may_read_that_there_is_no_room_and_its_browser_may_ask_even_then() {
    let upstream = Upstream::start();
    let scene = scene_with(&upstream, &[("server.max_concurrent_requests", "1")]);
    let path = format!("/srv/{TENANT}/openid");
    let call = |origin| Request::post(&path).header("Origin", origin).send(scene.gateway.addr()).expect("an answer");
    let mut held = http::connect(scene.gateway.addr()).expect("a connection");
    held.write_all(&Request::new("GET", format!("/srv/{TENANT}/orders/silent")).bytes()).expect("it is sent");
    eventually("the one place is taken", || (upstream.requests().len() == 1).then_some(()));
    let asks = preflight(&scene, &path, PAGE);
    assert_eq!((asks.status, allows(&asks)), (204, Some(PAGE)));
    assert_eq!(preflight(&scene, &path, "https://evil.example").status, 403);
    for (origin, allowed) in [(PAGE, Some(PAGE)), ("https://evil.example", None)] {
        let answer = call(origin);
        assert_eq!((answer.status, allows(&answer), answer.header("vary")), (503, allowed, Some("Origin")));
        assert!(answer.text().contains("\"overloaded\""), "{}", answer.text());
    }
}
