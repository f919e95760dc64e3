//! CORS: preflight requests of web pages (H5), and the responses that a page may read.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, tenant};
use menlou_harness::{
    Upstream,
    http::{self, Request, Response},
};
use std::io::Write;

const PAGE: &str = "https://h5.example.com";

/// A gateway whose tenant lists origins, has a rate limit, and forwards `a=orders` without a login.
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
    request.send(scene.gateway.addr()).expect("a response")
}

/// The origin that may read the response.
fn allowed_origin(response: &Response) -> Option<&str> {
    response.header("access-control-allow-origin")
}

#[test]
fn preflights_are_answered_without_the_plugin_and_not_counted() {
    let upstream = Upstream::start();
    let scene = scene(&upstream);
    for origin in [PAGE, "https://a.b.example.org"] {
        for (path, methods) in [
            (format!("/srv/?f={TENANT}&a=openid"), "POST"),
            (format!("/srv/{TENANT}/orders/7"), "GET, HEAD, POST, PUT, PATCH, DELETE"),
            (format!("/srv/{TENANT}/nothing"), "POST"),
        ] {
            let response = preflight(&scene, &path, origin);
            assert_eq!((response.status, response.body.len()), (204, 0), "{path}");
            assert_eq!(allowed_origin(&response), Some(origin));
            assert_eq!(response.header("access-control-allow-methods"), Some(methods));
            let headers = response.header("access-control-allow-headers");
            assert_eq!(headers, Some("Authorization, Content-Type, X-Request-Id, X-App"));
            assert_eq!(response.header("access-control-max-age"), Some("600"));
            assert_eq!(response.header("vary"), Some("Origin"));
            assert!(
                response.header("x-request-id").is_some()
                    && response.header("access-control-allow-credentials").is_none()
            );
        }
    }
    assert_eq!(upstream.requests().len(), 0);
    // The rate limit has counted this request only, and no preflight.
    let counted = Request::post(format!("/srv/{TENANT}/openid")).send(scene.gateway.addr()).expect("a response");
    assert!(counted.header("ratelimit").is_some_and(|limit| limit.contains("r=999")), "{:?}", counted.headers);
}

#[test]
fn unlisted_origins_are_rejected_with_a_reason() {
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
        let response = preflight(&scene, &path, origin);
        assert_eq!((response.status, allowed_origin(&response)), (403, None), "{origin}");
        assert!(response.text().contains("\"origin_refused\""), "{}", response.text());
        let call = Request::post(&path).header("Origin", origin).send(scene.gateway.addr()).expect("a response");
        assert_eq!((call.status, allowed_origin(&call), call.header("vary")), (400, None, Some("Origin")), "{origin}");
    }
    // A tenant without `[cors]` allows no origin, and its responses carry no CORS header.
    let response = preflight(&scene, &format!("/srv/{NEIGHBOUR}/openid"), PAGE);
    assert_eq!((response.status, allowed_origin(&response), response.header("vary")), (405, None, None));
    let response = preflight(&scene, "/srv/nobody/openid", PAGE);
    assert_eq!((response.status, allowed_origin(&response)), (404, None));
}

#[test]
fn listed_origins_may_read_every_response_and_its_headers() {
    let upstream = Upstream::start();
    let scene = scene(&upstream);
    let send = |request: Request| request.header("Origin", PAGE).send(scene.gateway.addr()).expect("a response");
    let code = scene.sim.code("ann");
    for (request, status) in [
        (Request::post(format!("/srv/{TENANT}/openid")).form(&[("code", &code)]), 200),
        (Request::post(format!("/srv/{TENANT}/openid")), 400),
        (Request::post(format!("/srv/{TENANT}/user")), 401),
        (Request::post(format!("/srv/{TENANT}/nothing")), 404),
        (Request::new("GET", format!("/srv/{TENANT}/orders/x")), 200),
        // OPTIONS without Access-Control-Request-Method is not a preflight, but an ordinary request.
        (Request::new("OPTIONS", format!("/srv/{TENANT}/openid")), 405),
    ] {
        let response = send(request);
        assert_eq!((response.status, allowed_origin(&response)), (status, Some(PAGE)), "{}", response.text());
        let exposed = response.header("access-control-expose-headers");
        assert_eq!(exposed, Some("X-Request-Id, Retry-After, RateLimit, RateLimit-Policy"));
        assert_eq!(response.header("vary"), Some("Origin"));
    }
    let without_origin = Request::post(format!("/srv/{TENANT}/openid")).send(scene.gateway.addr()).expect("a response");
    assert_eq!((allowed_origin(&without_origin), without_origin.header("vary")), (None, Some("Origin")));
}

#[test]
fn overload_responses_are_readable_and_preflights_answered_during_overload() {
    let upstream = Upstream::start();
    let scene = scene_with(&upstream, &[("server.max_concurrent_requests", "1")]);
    let path = format!("/srv/{TENANT}/openid");
    let call = |origin| Request::post(&path).header("Origin", origin).send(scene.gateway.addr()).expect("a response");
    let mut pending = http::connect(scene.gateway.addr()).expect("a connection");
    pending.write_all(&Request::new("GET", format!("/srv/{TENANT}/orders/silent")).bytes()).expect("it is sent");
    eventually("the only concurrent request is in flight", || (upstream.requests().len() == 1).then_some(()));
    let allowed = preflight(&scene, &path, PAGE);
    assert_eq!((allowed.status, allowed_origin(&allowed)), (204, Some(PAGE)));
    assert_eq!(preflight(&scene, &path, "https://evil.example").status, 403);
    for (origin, readable_by) in [(PAGE, Some(PAGE)), ("https://evil.example", None)] {
        let response = call(origin);
        assert_eq!(
            (response.status, allowed_origin(&response), response.header("vary")),
            (503, readable_by, Some("Origin"))
        );
        assert!(response.text().contains("\"overloaded\""), "{}", response.text());
    }
}
