//! `menlou tenant verify`: explains the platform's responses to a tenant's credentials, without affecting the gateway.

use crate::scene::{Scene, Stores, TENANT, setup, simulator, tenant};
use menlou_harness::{GatewayFolder, Setup, process::free_port};
use menlou_platform::wechat::errcodes;
use menlou_simulator::{DEMO_SECRET, Failure};
use serde_json::Value;
use std::{io::Write, net::TcpListener, process::Output, thread};

const TOKEN: &str = "/cgi-bin/stable_token";
const LOGIN: &str = "/sns/jscode2session";
const PHONE: &str = "/wxa/business/getuserphonenumber";

#[track_caller]
fn exits(output: &Output, code: i32) -> String {
    let message = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(!message.contains(DEMO_SECRET), "a secret is shown: {message}");
    message
}

fn verify(home: &GatewayFolder) -> Output {
    home.command(&["tenant", "verify", TENANT], b"")
}

fn verify_json(home: &GatewayFolder) -> Value {
    let output = home.command(&["tenant", "verify", TENANT, "--json"], b"");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A tenant with this `base_url`.
fn at(base_url: &str) -> GatewayFolder {
    let sim = simulator();
    GatewayFolder::new(Setup::default().tenant(TENANT, tenant(&sim).replace(sim.base_url(), base_url)))
}

#[test]
fn every_errcode_that_an_admin_can_fix_is_explained_with_role_and_location() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    let home_zh = GatewayFolder::new(setup(&sim, None, None).env("MENLOU_LANG", "zh"));
    exits(&verify(&home), 0);
    for code in [40013, 40125, 40164, 40243, 45009, 48001, 48004, 50002, 50004, 50007, 89501, 89503, 89506, 89507] {
        let explained = errcodes::explain(code).unwrap_or_else(|| panic!("{code} is not explained"));
        let location = explained.location.unwrap_or_else(|| panic!("{code} has no location"));
        sim.fail(TOKEN, Failure::errcode(code), 2);
        let message = exits(&verify(&home), 1);
        let output_zh = exits(&verify(&home_zh), 1);
        for part in [&explained.meaning.en, &explained.remedy.en, &location.en, &explained.responsible.text().en] {
            assert!(message.contains(&**part), "{code}: {part}: {message}");
        }
        for part in [&explained.meaning.zh, &explained.remedy.zh, &location.zh, &explained.responsible.text().zh] {
            assert!(output_zh.contains(&**part), "{code}: {part}: {output_zh}");
        }
        assert!(message.contains(&format!("errcode {code}")) && message.contains("rid "), "{message}");
        assert!(message.contains("✓ login"), "the login needs no token: {message}");
    }
    sim.fail(TOKEN, Failure::errcode(123_456), 1);
    assert!(exits(&verify(&home), 1).contains("123456"), "an unknown one keeps its number");
}

#[test]
fn verify_reports_the_address_that_the_platform_saw() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    let errmsg = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist";
    sim.fail(TOKEN, Failure::errcode_with_text(40164, errmsg), 2);
    assert!(exits(&verify(&home), 1).contains("WeChat saw the address 203.0.113.7"));
    let trouble = verify_json(&home)["findings"][0]["trouble"].clone();
    assert_eq!(
        (trouble["errcode"].as_i64(), trouble["address"].as_str()),
        (Some(40164), Some("203.0.113.7")),
        "{trouble}"
    );
}

#[test]
fn a_wrong_secret_is_explained_once_for_every_errcode_of_the_platform() {
    let sim = simulator();
    let home = GatewayFolder::new(
        Setup::default().tenant(TENANT, tenant(&sim).replace(DEMO_SECRET, "a-wrong-secret-of-ours")),
    );
    let message = exits(&verify(&home), 1);
    assert_eq!(message.matches("what to do").count(), 1, "{message}");
    assert_eq!(message.matches("The AppSecret is wrong").count(), 2, "{message}");
    assert!(!message.contains("a-wrong-secret-of-ours"), "{message}");
    sim.fail(TOKEN, Failure::errcode(40001), 1);
    assert!(exits(&verify(&home), 1).contains("errcode 40125"));
}

#[test]
fn verify_checks_phone_numbers_only_if_the_tenant_uses_them() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    sim.fail(PHONE, Failure::errcode(48001), 1);
    let message = exits(&verify(&home), 1);
    assert!(
        message.contains("✓ access token") && message.contains("✗ phone numbers") && message.contains("no permission"),
        "{message}"
    );
    let without = tenant(&sim).replace("\"phone\", ", "");
    home.write_tenant(TENANT, &without);
    sim.reset_calls();
    exits(&verify(&home), 0);
    assert_eq!(sim.calls(PHONE), 0);
}

#[test]
fn verify_does_not_affect_a_running_gateway() {
    let scene = Scene::new(Stores::Embedded);
    let phone = |person: &str, number: &str| {
        scene.session(person).call("login", &[("method", "phone"), ("phone_code", &scene.sim.phone_code(number))]).ok();
    };
    phone("ann", "13800138000");
    let code = scene.sim.code("bob");
    for _ in 0..3 {
        exits(&scene.command(&["tenant", "verify", TENANT]), 0);
    }
    scene.client().call("openid", &[("code", &code)]).ok();
    scene.sim.reset_calls();
    phone("carl", "13800138001");
    assert_eq!((scene.sim.calls(PHONE), scene.sim.calls(TOKEN)), (1, 0), "the token of the gateway stays valid");
}

#[test]
fn an_unreachable_platform_is_reported_with_its_cause() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    for (failure, says) in [
        (Failure::drop_connection(), "no complete response"),
        (Failure::status(500), "busy or down"),
        (Failure::status(404), "the response is not from WeChat"),
        (Failure::errcode(-1), "busy or down"),
        (Failure::truncate(), "no complete response"),
    ] {
        sim.fail(TOKEN, failure.clone(), 2);
        let message = exits(&verify(&home), 1);
        sim.clear_failures();
        assert!(message.contains(says) && message.contains("operator"), "{failure:?}: {message}");
    }
    for (base_url, says) in [
        (format!("http://127.0.0.1:{}", free_port()), "connection refused"),
        ("http://menlou.invalid".to_owned(), "has no address"),
        (sim.base_url().replace("http://", "https://"), "TLS"),
        (format!("http://{}", stranger()), "the response is not from WeChat"),
    ] {
        let message = exits(&verify(&at(&base_url)), 1);
        assert!(message.contains(says), "{base_url}: {message}");
        assert_eq!(message.matches('✗').count(), 1, "nothing more is requested: {message}");
    }
    let home = GatewayFolder::new(
        Setup::default()
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .tenant(TENANT, tenant(&sim).replace(sim.base_url(), "http://menlou.invalid")),
    );
    assert!(exits(&verify(&home), 1).contains("HTTPS_PROXY is set"));
}

#[test]
fn verify_times_out_if_the_platform_does_not_respond() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    sim.fail_until_cleared(LOGIN, Failure::hang());
    let start = std::time::Instant::now();
    let message = exits(&verify(&home), 1);
    assert!(message.contains("✓ access token") && message.contains("no complete response"), "{message}");
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn verify_reports_errors_in_the_file_before_it_sends_a_request() {
    let sim = simulator();
    let home =
        GatewayFolder::new(Setup::default().tenant(TENANT, tenant(&sim).replace(DEMO_SECRET, "env:MISSING_ONE")));
    let message = exits(&verify(&home), 1);
    assert!(message.contains("MISSING_ONE") && message.contains("fix them first"), "{message}");
    assert_eq!(sim.calls(TOKEN), 0);
    exits(&home.command(&["tenant", "verify", "nobody"], b""), 1);
}

#[test]
fn progress_is_shown_on_a_terminal_only() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    assert!(!exits(&verify(&home), 0).contains("requesting"));
    let mut terminal = home.terminal(&["tenant", "verify", TENANT], &[]);
    terminal.expect("requesting http://");
    assert_eq!(terminal.end().0, 0);
}

/// A web server that returns an HTML page for every request.
fn stranger() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>");
        }
    });
    address
}
