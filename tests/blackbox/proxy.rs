//! The proxy action: identity, large bodies, failures of the upstream.

use crate::{
    hanging_up::disconnect_during,
    scene::{Scene, Stores, TENANT, eventually},
};
use hmac::{Hmac, KeyInit, Mac};
use menlou_harness::{
    Upstream,
    http::{self, Request, Response},
    process::{free_port, loopback},
};
use serde_json::Value;
use sha2::Sha256;
use std::{
    fs,
    io::{Read, Write},
    process::Command,
    time::{Duration, Instant},
};

const KEY: &str = "shared-with-the-shop-0123456789";
const GIB: usize = 1 << 30;

/// A gateway whose tenant forwards `a=orders` (session required), `a=public` and `a=open` (auth optional, the latter with a
/// key) to an upstream. `more` is added to each table.
fn scene(upstream: &str, more: &str) -> Scene {
    let key = format!("key = \"{KEY}\"");
    let table = |name: &str, settings: &str| {
        format!("\n[actions.{name}]\nplugin = \"proxy\"\nupstream = {upstream}\n{settings}\n{more}\n")
    };
    let none = "auth = \"optional\"";
    let table = table("orders", &key) + &table("public", none) + &table("open", &format!("{none}\n{key}"));
    Scene::with(Stores::Embedded, |mut setup, _| {
        let file = setup.tenants.iter_mut().find(|(name, _)| name == TENANT).expect("the tenant");
        file.1 += &table;
        setup
    })
}

fn url(upstream: &Upstream) -> String {
    format!("\"http://{}/api/\"", upstream.addr())
}

fn path(action: &str, rest: &str) -> String {
    format!("/srv/{TENANT}/{action}{rest}")
}

fn send(scene: &Scene, request: &Request) -> Response {
    request.send(scene.gateway.addr()).expect("a response")
}

fn get(scene: &Scene, rest: &str) -> Response {
    send(scene, &Request::new("GET", path("public", rest)))
}

fn error_code(response: &Response) -> String {
    let envelope: Value = serde_json::from_slice(&response.body).expect("an envelope");
    assert_eq!(envelope["code"], 0, "{envelope}");
    envelope["error"].as_str().expect("an error code").to_owned()
}

#[test]
fn upstream_receives_the_signed_identity_of_the_caller() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "");
    let authorized = scene.authorize("ann");
    let token = authorized.token().expect("a session");
    let profile = [("method", "profile"), ("name", "ann")];
    let user = scene.client().with(token).call("login", &profile).user_id().expect("an account").to_string();
    let request = Request::new("PUT", path("orders", "/2026%2F1/?id=1&id=2&f=it's"))
        .bearer(token)
        .header("X-Menlou-Openid", "someone-else")
        .header("X-Menlou-User-Id", "1")
        .header("Cookie", "a=b")
        .header("X-Request-Id", "an-id-of-the-client")
        .body("image/png", [0, 159, 255]);
    let response = send(&scene, &request);
    assert_eq!((response.status, response.header("x-upstream"), response.header("x-hop")), (200, Some("yes"), None));
    assert_eq!(response.header("x-request-id"), Some("an-id-of-the-client"));
    let seen: Value = serde_json::from_slice(&response.body).expect("the request as JSON");
    let header = |name: &str| seen["headers"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!((seen["method"].as_str(), seen["bytes"].as_u64()), (Some("PUT"), Some(3)));
    assert_eq!(seen["target"], "/api/2026%2F1/?id=1&id=2&f=it%27s");
    assert_eq!((header("content-type"), header("content-length")), ("image/png".into(), "3".into()));
    assert_eq!((header("x-menlou-openid"), header("x-menlou-tenant")), (scene.sim.openid("ann"), TENANT.into()));
    assert_eq!((header("authorization"), header("cookie")), (String::new(), String::new()));
    assert_eq!(header("x-menlou-user-id"), user);
    let names = ["timestamp", "tenant", "action"].map(|n| header(&format!("x-menlou-{n}")));
    let lines = [&["v1".into(), "PUT".into(), "/api/2026%2F1/?id=1&id=2&f=it%27s".to_owned()][..], &names].concat();
    let rest = [header("x-request-id"), header("x-menlou-openid"), header("x-menlou-user-id")];
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("a key");
    mac.update([&lines[..], &rest].concat().join("\n").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(header("x-menlou-signature"), format!("v1={hex}"));
    scene.gateway.secrets().assert_absent_from(&scene.gateway.log());
}

#[test]
fn optional_auth_forwards_the_identity_and_rejects_expired_tokens() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "");
    let authorized = scene.authorize("ann");
    let token = authorized.token().expect("a session");
    let user = scene.client().with(token).call("login", &[("method", "profile"), ("name", "ann")]).user_id();
    let fetch = |action: &str, token: Option<&str>| {
        let request = Request::new("GET", path(action, ""));
        send(&scene, &token.into_iter().fold(request, |request, token| request.bearer(token)))
    };
    let identity = |response: &Response| {
        let seen: Value = serde_json::from_slice(&response.body).expect("the request as JSON");
        ["openid", "user-id"].map(|name| seen["headers"][format!("x-menlou-{name}")].as_str().unwrap_or("-").to_owned())
    };
    let anonymous = [String::new(), String::new()];
    assert_eq!(identity(&fetch("open", None)), anonymous);
    let known = [scene.sim.openid("ann"), user.expect("an account").to_string()];
    assert_eq!(identity(&fetch("open", Some(token))), known);
    // Without a key the identity cannot be verified, so none is sent.
    assert_eq!(identity(&fetch("public", Some(token))), anonymous);
    // An expired token is rejected, not treated as anonymous.
    let before = upstream.requests().len();
    for (action, token) in [("open", "ended-long-ago"), ("public", "ended-long-ago")] {
        let response = fetch(action, Some(token));
        assert_eq!((response.status, error_code(&response)), (401, "session_expired".into()), "{action}");
    }
    assert_eq!(upstream.requests().len(), before);
}

#[test]
fn requests_without_a_session_do_not_reach_the_upstream() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "");
    let response = send(&scene, &Request::new("GET", path("orders", "")));
    assert_eq!((response.status, error_code(&response)), (401, "login_required".into()));
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn request_by_query_reaches_the_base_path_with_repeated_names() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "");
    let target = format!("/srv/?id=1&f={TENANT}&a=public&id=%E5%AE%89");
    let response = send(&scene, &Request::post(target).body("text/plain", "hello"));
    let seen: Value = serde_json::from_slice(&response.body).expect("the request as JSON");
    assert_eq!((seen["target"].as_str(), seen["body"].as_str()), (Some("/api?id=1&id=%E5%AE%89"), Some("hello")));
}

#[test]
fn paths_cannot_leave_the_base_path_of_the_upstream() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "");
    let plain = ["/..", "/x/../../y", "/%2e%2E/x", "/..%2fx", "/x%5c..%5cy", "/%00", "/%252e%252e/x"];
    let with_parameters = ["/..;/x", "/..;x=1/y", "/.;/..;/y", "/%2e%2e;/y", "/..%3b/y", "/.;x"];
    let other_decoders = ["/%u002e%u002e/x", "/%c0%ae%c0%ae/x", "/..%c0%afx", "/%e0%80%ae./x", "/%uff0e%uff0e/x"];
    for rest in plain.iter().chain(&with_parameters).chain(&other_decoders) {
        let response = get(&scene, rest);
        assert_eq!((response.status, error_code(&response)), (404, "not_found".into()), "{rest}");
    }
    assert_eq!(upstream.requests().len(), 0);
    // An action without subpaths serves no URL below it.
    let response = send(&scene, &Request::post(path("openid", "/x")));
    assert_eq!((response.status, error_code(&response)), (404, "not_found".into()));
}

#[test]
fn one_gibibyte_each_way_needs_less_than_24_mebibytes() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "");
    get(&scene, "/warm");
    let before = memory(&scene, "VmRSS");
    for rest in ["/download", "/chunked"] {
        let mut stream = http::connect(scene.gateway.addr()).expect("a connection");
        stream.write_all(&Request::new("GET", path("public", &format!("{rest}?{GIB}"))).bytes()).expect("sent");
        let (mut bytes, mut piece) = (0, vec![0; 1 << 20]);
        loop {
            match stream.read(&mut piece).expect("more of the response") {
                0 => break,
                n => bytes += n,
            }
        }
        assert!(bytes > GIB, "{rest}: {bytes}");
    }
    for chunked in [false, true] {
        let mut stream = http::connect(scene.gateway.addr()).expect("a connection");
        let framing = if chunked { "Transfer-Encoding: chunked".into() } else { format!("Content-Length: {GIB}") };
        let target = path("public", "/upload");
        let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..GIB >> 20 {
            if chunked {
                stream.write_all(b"100000\r\n").expect("sent");
            }
            stream.write_all(&piece).expect("sent");
            if chunked {
                stream.write_all(b"\r\n").expect("sent");
            }
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").expect("sent");
        }
        let response = http::read(&mut stream).expect("a response");
        let seen: Value = serde_json::from_slice(&response.body).expect("the request as JSON");
        assert_eq!(seen["bytes"], GIB);
    }
    let peak = memory(&scene, "VmHWM");
    assert!(peak < before + (24 << 10), "{before} KiB grew to {peak} KiB");
}

fn memory(scene: &Scene, what: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", scene.gateway.id())).expect("the gateway's status");
    let line = status.lines().find(|line| line.starts_with(what)).expect("a line");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of KiB")
}

#[test]
fn connections_to_the_upstream_are_reused() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "");
    for _ in 0..20 {
        assert_eq!(get(&scene, "/x").status, 200);
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (20, 1));
}

#[test]
fn failing_upstream_answers_an_envelope_and_opens_the_circuit() {
    let upstream = Upstream::start();
    let (addr, more) = (upstream.addr(), "timeout = \"300ms\"\nbreak_after = 3\nbreak_for = \"1s\"\nretries = 0");
    let scene = scene(&url(&upstream), more);
    let response = get(&scene, "/silent");
    assert_eq!((response.status, error_code(&response)), (504, "upstream_timeout".into()));
    drop(upstream);
    for _ in 0..2 {
        let response = get(&scene, "/x");
        assert_eq!((response.status, error_code(&response)), (502, "upstream_unreachable".into()));
    }
    let response = get(&scene, "/x");
    assert_eq!((response.status, error_code(&response)), (503, "upstream_unavailable".into()));
    assert_eq!(response.header("retry-after"), Some("1"));
    let upstream = Upstream::at(addr);
    eventually("the upstream is probed again", || (get(&scene, "/x").status == 200).then_some(()));
    // Responses of the upstream are passed on unchanged.
    let response = get(&scene, "/status?404");
    assert_eq!((response.status, response.header("x-upstream")), (404, Some("yes")));
    drop(upstream);
}

#[test]
fn aborted_upstream_response_closes_the_client_connection() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "retries = 0");
    let outcome = Request::new("GET", path("public", "/cut")).send(scene.gateway.addr());
    assert!(outcome.is_err(), "{outcome:?}");
    eventually("the aborted response is logged", || (scene.gateway.log().contains("response aborted")).then_some(()));
    assert_eq!(get(&scene, "/x").status, 200);
}

#[test]
fn dead_server_among_several_fails_no_request() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let dead = loopback(free_port());
    let list = format!("[\"http://{}\", \"http://{}\", \"http://{dead}\"]", first.addr(), second.addr());
    let scene = scene(&list, "");
    for _ in 0..30 {
        // A POST is retried too, because nothing was sent to the dead server.
        assert_eq!(send(&scene, &Request::post(path("public", "/x")).body("text/plain", "y")).status, 200);
    }
    let seen = [first.requests().len(), second.requests().len()];
    assert!(seen.iter().sum::<usize>() == 30 && seen.iter().all(|n| *n > 5), "{seen:?}");
}

#[test]
fn unhealthy_server_receives_no_requests_until_it_recovers() {
    let (healthy, unhealthy) = (Upstream::start(), Upstream::start());
    unhealthy.respond_with(500);
    let list = format!("[\"http://{}\", \"http://{}\"]", healthy.addr(), unhealthy.addr());
    let scene = scene(&list, "health_path = \"/health\"\nhealth_interval = \"100ms\"");
    let requests = |upstream: &Upstream| upstream.requests().iter().filter(|s| s["target"] == "/x").count();
    let is_logged = || scene.gateway.log().contains("upstream");
    eventually("the failing health check is logged", || {
        (is_logged() && (0..6).all(|_| get(&scene, "/x").status == 200)).then_some(())
    });
    unhealthy.respond_with(0);
    let before = requests(&unhealthy);
    eventually("the server receives requests again", || {
        (get(&scene, "/x").status == 200 && requests(&unhealthy) > before + 3).then_some(())
    });
}

#[test]
fn client_disconnect_cancels_the_upstream_request() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "");
    let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nxyz", path("public", "/upload"));
    disconnect_during(&scene, head.as_bytes(), || upstream.heads() == 1);
    eventually("the upstream sees the request end", || (upstream.aborted() == 1).then_some(()));
    // A disconnect of the client does not open the circuit.
    assert_eq!(get(&scene, "/x").status, 200);
}

#[test]
fn stalled_and_oversized_bodies_are_rejected() {
    let upstream = Upstream::start();
    let scene = Scene::with(Stores::Embedded, |mut setup, _| {
        let file = setup.tenants.iter_mut().find(|(name, _)| name == TENANT).expect("the tenant");
        file.1 += &format!(
            "\n[actions.public]\nplugin = \"proxy\"\nupstream = {}\nauth = \"optional\"\nmax_body = 1000\n",
            url(&upstream)
        );
        setup.setting("clients.body_idle_timeout", "\"500ms\"")
    });
    let target = path("public", "/upload");
    let began = Instant::now();
    let bytes = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nxyz");
    let response = http::send_raw(scene.gateway.addr(), bytes.as_bytes()).expect("a response");
    assert_eq!((response.status, error_code(&response)), (408, "request_timeout".into()));
    assert!(began.elapsed() < Duration::from_secs(5));
    let announced = send(&scene, &Request::post(&target).body("text/plain", vec![b'x'; 1001]));
    assert_eq!((announced.status, error_code(&announced)), (413, "body_too_large".into()));
    let piece = "x".repeat(600);
    let chunks = format!("258\r\n{piece}\r\n258\r\n{piece}\r\n0\r\n\r\n");
    let bytes = format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let unannounced = http::send_raw(scene.gateway.addr(), bytes.as_bytes()).expect("a response");
    assert_eq!((unannounced.status, error_code(&unannounced)), (413, "body_too_large".into()));
    assert_eq!(send(&scene, &Request::post(&target).body("text/plain", vec![b'x'; 1000])).status, 200);
}

#[test]
fn invalid_settings_are_reported_with_their_line() {
    let scene = scene("\"http://127.0.0.1:9\"", "");
    scene.gateway.write_tenant(
        "shop",
        "name = \"Shop\"\n[wechat]\nappid = \"wx00000000000000aa\"\nsecret = \"x\"\n[actions.orders]\nplugin = \"proxy\"\n\
         upstream = [\"http://a/x\", \"http://user:hunter2@b/x\"]\n",
    );
    let output = scene.gateway.command(&["validate", "--offline"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("shop.toml:5") && text.contains("key"), "{text}");
    let file = "name = \"Shop\"\n[wechat]\nappid = \"wx00000000000000aa\"\nsecret = \"x\"\n[actions.orders]\n\
                plugin = \"proxy\"\nkey = \"0123456789abcdef\"\nupstream = [\"http://a/x\", \"http://user:hunter2@b/x\"]\n";
    scene.gateway.write_tenant("shop", file);
    let output = scene.gateway.command(&["validate", "--offline"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("shop.toml:8:"), "{text}");
}

#[test]
fn signature_checks_of_the_readme_work_in_node_and_python() {
    let upstream = Upstream::start();
    let scene = scene(&url(&upstream), "");
    let authorized = scene.authorize("ann");
    let token = authorized.token().expect("a session");
    send(&scene, &Request::new("GET", path("orders", "/17?full=1")).bearer(token));
    let received = upstream.requests().remove(0).to_string();
    let page = include_str!("../../plugins/proxy/README.md");
    let block = |language: &str| {
        let start = page.split_once(&format!("```{language}\n")).expect("the block").1;
        start.split_once("```").expect("its end").0
    };
    let scripts = [
        (
            "node",
            "-e",
            format!(
                "{}\nconst t = {received};\nconst r = {{ method: t.method, url: t.target, headers: t.headers }};\n\
             console.log(caller(r, '{KEY}').openid, caller(r, '{KEY}x'), caller({{ ...r, url: '/' }}, '{KEY}'));",
                block("js")
            ),
        ),
        (
            "python3",
            "-c",
            format!(
                "{}\nimport json\nt = json.loads(r'''{received}''')\na = (t['method'], t['target'], t['headers'])\n\
             print(caller(*a, '{KEY}')[0], caller(*a, '{KEY}x'), caller('GET', '/', t['headers'], '{KEY}'))",
                block("python")
            ),
        ),
    ];
    for (program, flag, script) in scripts {
        let ran = Command::new(program).args([flag, &script]).output().expect("installed by tests/tools.sh");
        let printed = String::from_utf8_lossy(&ran.stdout).to_lowercase().replace("none", "null");
        let expected = format!("{} null null\n", scene.sim.openid("ann").to_lowercase());
        assert_eq!(printed, expected, "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}
