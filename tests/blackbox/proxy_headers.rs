//! Headers between clients and upstreams: which ones pass, and what the gateway adds or rewrites.

use crate::scene::{Scene, Stores, TENANT, tenant};
use hmac::{Hmac, KeyInit, Mac};
use menlou_harness::{
    Upstream,
    http::{Request, Response},
};
use serde_json::Value;
use sha2::Sha256;

const KEY: &str = "shared-with-the-shop-0123456789";

/// A gateway whose tenant forwards `a=page` for anyone. `more` is added to the action, `file` to the tenant's file.
fn scene(upstream: &Upstream, more: &str, file: &str) -> Scene {
    Scene::with(Stores::Embedded, |mut setup, sim| {
        setup.tenants[0].1 = format!(
            "{}\n{file}\n[actions.page]\nplugin = \"proxy\"\nupstream = \"http://{}/base\"\nauth = \"optional\"\n\
             key = \"{KEY}\"\n{more}\n",
            tenant(sim),
            upstream.addr()
        );
        setup
    })
}

fn path(rest: &str) -> String {
    format!("/srv/{TENANT}/page{rest}")
}

fn send(scene: &Scene, request: &Request) -> Response {
    request.send(scene.gateway.addr()).expect("a response")
}

/// A header of the latest request.
fn seen(upstream: &Upstream, name: &str) -> Option<String> {
    let requests = upstream.requests();
    requests.last().expect("a request")["headers"][name].as_str().map(str::to_owned)
}

#[test]
fn response_headers_that_act_beyond_the_response_do_not_pass() {
    let upstream = Upstream::start();
    let refused = [
        "Clear-Site-Data",
        "Strict-Transport-Security",
        "Service-Worker-Allowed",
        "Alt-Svc",
        "Public-Key-Pins",
        "NEL",
        "Report-To",
        "Reporting-Endpoints",
        "Set-Login",
        "Origin-Agent-Cluster",
        "Expect-CT",
        "Accept-CH",
        "Critical-CH",
        "Set-Cookie2",
        "Use-As-Dictionary",
        "Sec-Session-Registration",
        "WWW-Authenticate",
        "X-Accel-Redirect",
        "X-Sendfile",
        "X-Menlou-OpenID",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Upgrade",
    ];
    let passed = ["ETag", "Content-Security-Policy", "X-Frame-Options", "Link", "X-Accel-Buffering"];
    let lines: String = refused.iter().chain(&passed).map(|name| format!("{name}: \"x\"\r\n")).collect();
    let cors = "Access-Control-Allow-Origin: *\r\nACCESS-CONTROL-ALLOW-METHODS: PUT\r\n\
                Access-Control-Allow-Credentials: true\r\nAccess-Control-Max-Age: 86400\r\n\
                Access-Control-Allow-Private-Network: true\r\n";
    upstream.respond_with_headers(&(lines + cors));
    let page = "https://h5.example.com";
    for (file, has_cors) in [("", false), (&*format!("[cors]\norigins = [\"{page}\"]"), true)] {
        let scene = scene(&upstream, "", file);
        let response = send(&scene, &Request::new("GET", path("")).header("Origin", page));
        assert_eq!(response.status, 200);
        for name in refused {
            assert_eq!(response.header(&name.to_ascii_lowercase()), None, "{name}");
        }
        for name in passed {
            assert_eq!(response.header(&name.to_ascii_lowercase()), Some("\"x\""), "{name}");
        }
        let allowed: Vec<_> = response.headers.iter().filter(|(name, _)| name.starts_with("access-control-")).collect();
        let allows = |name: &str| response.header(&format!("access-control-{name}"));
        match has_cors {
            true => {
                assert_eq!(allows("allow-origin"), Some(page));
                assert!(allowed.len() == 2 && allows("expose-headers").is_some(), "{allowed:?}");
            }
            false => assert_eq!(allowed.len(), 5, "{allowed:?}"),
        }
    }
}

#[test]
fn headers_that_fold_to_identity_headers_do_not_reach_the_upstream() {
    let upstream = Upstream::start();
    let scene = scene(&upstream, "pass_headers = [\"x-app_version\"]", "");
    let mut request = Request::new("GET", path("")).header("X-App_Version", "3");
    let forged = ["X_Menlou_OpenID", "X-Menlou_User-Id", "x_menlou_signature", "Transfer_Encoding", "Proxy"];
    for name in forged {
        request = request.header(name, "forged");
    }
    assert_eq!(send(&scene, &request).status, 200);
    assert_eq!(seen(&upstream, "x-app_version").as_deref(), Some("3"));
    let requests: Vec<Value> = upstream.requests();
    assert!(!requests[0].to_string().contains("forged"), "{}", requests[0]);
    // The settings refuse them too.
    for name in ["x_menlou_openid", "x-menlou_tenant", "x_forwarded_for", "content_length", "proxy"] {
        let file = format!(
            "name = \"Shop\"\n[wechat]\nappid = \"wx00000000000000aa\"\nsecret = \"{KEY}\"\n[actions.page]\nplugin = \"proxy\"\n\
             upstream = \"http://127.0.0.1:9\"\nauth = \"optional\"\npass_headers = [\"{name}\"]\n"
        );
        scene.gateway.write_tenant("shop", &file);
        let validated = scene.command(&["validate", "--offline"]);
        let text =
            String::from_utf8_lossy(&validated.stdout).into_owned() + &String::from_utf8_lossy(&validated.stderr);
        assert!(!validated.status.success() && text.contains(name), "{name}: {text}");
    }
}

#[test]
fn upstream_learns_how_the_client_reached_the_gateway() {
    let upstream = Upstream::start();
    let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix", "forwarded"];
    let forged = |request: Request| {
        let request = names.iter().fold(request, |request, name| request.header(name, "forged.example"));
        request.header("X_Forwarded_Host", "forged.example")
    };
    let all = |upstream: &Upstream| names.map(|name| seen(upstream, name).unwrap_or_default());
    let prefix = format!("/srv/{TENANT}/page");
    let forwarded = "for=127.0.0.1;host=\"localhost\";proto=http";
    let x_forwarded = ["127.0.0.1", "http", "localhost", &prefix];
    for (setting, x_values, forwarded) in [
        ("", x_forwarded, forwarded),
        ("forwarded = \"x-forwarded\"", x_forwarded, ""),
        ("forwarded = \"forwarded\"", [""; 4], forwarded),
        ("forwarded = \"none\"", [""; 4], ""),
        ("strip_prefix = false", ["127.0.0.1", "http", "localhost", ""], forwarded),
    ] {
        let scene = scene(&upstream, setting, "");
        assert_eq!(send(&scene, &forged(Request::new("GET", path("/x")))).status, 200);
        assert_eq!(all(&upstream), [&x_values[..], &[forwarded]].concat().as_slice(), "{setting}");
    }
    // A trusted proxy knows better.
    let trusting = |header: &str| {
        let addr = upstream.addr();
        Scene::with(Stores::Embedded, |mut setup, sim| {
            setup.tenants[0].1 = format!(
                "{}\n[actions.page]\nplugin = \"proxy\"\nupstream = \"http://{addr}\"\nauth = \"optional\"\n",
                tenant(sim)
            );
            setup.setting("proxies.trusted", "[\"127.0.0.0/8\"]").setting("proxies.header", format!("\"{header}\""))
        })
    };
    let request = Request::new("GET", path(""))
        .header("X-Forwarded-For", "1.2.3.4, 192.0.2.7")
        .header("X-Forwarded-Proto", "http, https")
        .header("X-Forwarded-Host", "shop.example.com");
    assert_eq!(send(&trusting("x-forwarded-for"), &request).status, 200);
    let expected = "for=192.0.2.7;host=\"shop.example.com\";proto=https";
    assert_eq!(all(&upstream), ["192.0.2.7", "https", "shop.example.com", &prefix, expected]);
    let request = Request::new("GET", path(""))
        .header("Forwarded", "for=9.9.9.9, for=\"[2001:db8::7]\";Host=h5.example;proto=https");
    assert_eq!(send(&trusting("forwarded"), &request).status, 200);
    let expected = "for=\"[2001:db8::7]\";host=\"h5.example\";proto=https";
    assert_eq!(all(&upstream), ["2001:db8::7", "https", "h5.example", &prefix, expected]);
}

#[test]
fn addresses_of_the_upstream_do_not_appear_in_redirects() {
    let upstream = Upstream::start();
    let scene = scene(&upstream, "", "");
    let inner = format!("http://{}", upstream.addr());
    for (written, expected) in [
        (format!("{inner}/base/login?next=1"), path("/login?next=1")),
        ("/base/login".to_owned(), path("/login")),
        (path("/login"), path("/login")),
        (format!("{inner}/other"), "/other".to_owned()),
        ("https://example.com/x".to_owned(), "https://example.com/x".to_owned()),
    ] {
        upstream.respond_with_headers(&format!(
            "Location: {written}\r\nContent-Location: {written}\r\nRefresh: 0; url={written}\r\n"
        ));
        let response = send(&scene, &Request::new("GET", path("/a")));
        assert_eq!(response.header("location"), Some(&*expected), "{written}");
        assert_eq!(response.header("content-location"), Some(&*expected), "{written}");
        assert_eq!(response.header("refresh"), Some(&*format!("0; url={expected}")), "{written}");
    }
    // Unless the tenant wants them as they are.
    let unchanged = self::scene(&upstream, "rewrite_location = false", "");
    let written = format!("{inner}/base/login");
    upstream.respond_with_headers(&format!("Location: {written}\r\n"));
    let response = send(&unchanged, &Request::new("GET", path("/a")));
    assert_eq!(response.header("location"), Some(&*written));
}

#[test]
fn upstream_may_send_more_than_a_hundred_header_lines() {
    let upstream = Upstream::start();
    let scene = scene(&upstream, "", "");
    upstream.respond_with_headers(&(0..250).map(|n| format!("X-Line-{n}: {n}\r\n")).collect::<String>());
    let response = send(&scene, &Request::new("GET", path("")));
    assert_eq!((response.status, response.header("x-line-249")), (200, Some("249")));
}

#[test]
fn digest_of_a_signed_body_reaches_the_upstream_with_the_body() {
    let upstream = Upstream::start();
    let scene = scene(&upstream, "sign_body = true\nmax_body = 1000", "");
    let request = Request::post(path("/x")).header("Content-Digest", "sha-256=:forged:");
    let response = send(&scene, &request.clone().body("text/plain", "hello"));
    assert_eq!(response.status, 200, "{}", response.text());
    let digest = seen(&upstream, "content-digest");
    assert_eq!(digest.as_deref(), Some("sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"));
    let received = upstream.requests().pop().expect("a request");
    assert_eq!((received["body"].as_str(), received["headers"]["content-length"].as_str()), (Some("hello"), Some("5")));
    // The signature covers the digest, so it depends on the body.
    let lines =
        ["timestamp", "tenant", "action"].map(|name| seen(&upstream, &format!("x-menlou-{name}")).unwrap_or_default());
    let others = ["x-request-id", "x-menlou-openid", "x-menlou-user-id", "content-digest"];
    let others = others.map(|name| seen(&upstream, name).unwrap_or_default());
    let text = [&["v1".to_owned(), "POST".to_owned(), "/base/x".to_owned()][..], &lines, &others].concat().join("\n");
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("a key");
    mac.update(text.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(seen(&upstream, "x-menlou-signature"), Some(format!("v1={hex}")));

    let too_large = send(&scene, &request.clone().body("text/plain", vec![b'x'; 1001]));
    assert_eq!(too_large.status, 413, "{}", too_large.text());
    assert_eq!(upstream.requests().len(), 1);
    let without_body = send(&scene, &Request::new("GET", path("/x")));
    assert_eq!(without_body.status, 200);
    let digest = seen(&upstream, "content-digest");
    assert_eq!(digest.as_deref(), Some("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"));
}
