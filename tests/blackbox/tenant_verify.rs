//! `menlou tenant verify`: what the platform says of a tenant's credentials, in words, without disturbing the gateway.

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
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(!told.contains(DEMO_SECRET), "a secret is shown: {told}");
    told
}

fn verify(home: &GatewayFolder) -> Output {
    home.command(&["tenant", "verify", TENANT], b"")
}

fn verify_json(home: &GatewayFolder) -> Value {
    let output = home.command(&["tenant", "verify", TENANT, "--json"], b"");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A tenant whose platform is at this address.
fn at(base_url: &str) -> GatewayFolder {
    let sim = simulator();
    GatewayFolder::new(Setup::default().tenant(TENANT, tenant(&sim).replace(sim.base_url(), base_url)))
}

#[test]
fn every_errcode_that_an_admin_can_mend_is_explained_with_who_and_where() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    let home_zh = GatewayFolder::new(setup(&sim, None, None).env("MENLOU_LANG", "zh"));
    exits(&verify(&home), 0);
    for code in [40013, 40125, 40164, 40243, 45009, 48001, 48004, 50002, 50004, 50007, 89501, 89503, 89506, 89507] {
        let explained = errcodes::explain(code).unwrap_or_else(|| panic!("{code} is not explained"));
        let place = explained.location.unwrap_or_else(|| panic!("{code} has no place"));
        sim.fail(TOKEN, Failure::errcode(code), 2);
        let told = exits(&verify(&home), 1);
        let told_zh = exits(&verify(&home_zh), 1);
        for part in [&explained.meaning.en, &explained.remedy.en, &place.en, &explained.responsible.text().en] {
            assert!(told.contains(&**part), "{code}: {part}: {told}");
        }
        for part in [&explained.meaning.zh, &explained.remedy.zh, &place.zh, &explained.responsible.text().zh] {
            assert!(told_zh.contains(&**part), "{code}: {part}: {told_zh}");
        }
        assert!(told.contains(&format!("errcode {code}")) && told.contains("rid "), "{told}");
        assert!(told.contains("✓ log-in"), "the log-in needs no token: {told}");
    }
    sim.fail(TOKEN, Failure::errcode(123_456), 1);
    assert!(exits(&verify(&home), 1).contains("123456"), "an unknown one keeps its number");
}

#[test]
fn the_address_that_the_platform_saw_is_told() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    let errmsg = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist";
    sim.fail(TOKEN, Failure::errcode_with_text(40164, errmsg), 2);
    assert!(exits(&verify(&home), 1).contains("the address that WeChat saw is 203.0.113.7"));
    let trouble = verify_json(&home)["findings"][0]["trouble"].clone();
    assert_eq!(
        (trouble["errcode"].as_i64(), trouble["address"].as_str()),
        (Some(40164), Some("203.0.113.7")),
        "{trouble}"
    );
}

#[test]
fn a_wrong_secret_is_told_once_and_in_every_form_the_platform_gives_it() {
    let sim = simulator();
    let home = GatewayFolder::new(
        Setup::default().tenant(TENANT, tenant(&sim).replace(DEMO_SECRET, "a-wrong-secret-of-ours")),
    );
    let told = exits(&verify(&home), 1);
    assert_eq!(told.matches("what to do").count(), 1, "{told}");
    assert_eq!(told.matches("The AppSecret is wrong").count(), 2, "{told}");
    assert!(!told.contains("a-wrong-secret-of-ours"), "{told}");
    sim.fail(TOKEN, Failure::errcode(40001), 1);
    assert!(exits(&verify(&home), 1).contains("errcode 40125"));
}

#[test]
fn phone_numbers_are_asked_for_where_people_log_in_by_them() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    sim.fail(PHONE, Failure::errcode(48001), 1);
    let told = exits(&verify(&home), 1);
    assert!(
        told.contains("✓ access token") && told.contains("✗ phone numbers") && told.contains("not granted"),
        "{told}"
    );
    let without = tenant(&sim).replace("\"phone\", ", "");
    home.write_tenant(TENANT, &without);
    sim.reset_calls();
    exits(&verify(&home), 0);
    assert_eq!(sim.calls(PHONE), 0);
}

#[test]
fn a_running_gateway_is_not_disturbed() {
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
    assert_eq!((scene.sim.calls(PHONE), scene.sim.calls(TOKEN)), (1, 0), "its token is as good as before");
}

#[test]
fn a_platform_that_can_not_be_reached_is_told_by_its_cause() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    for (failure, says) in [
        (Failure::drop_connection(), "no complete answer"),
        (Failure::status(500), "busy or down"),
        (Failure::status(404), "it is not WeChat that answers"),
        (Failure::errcode(-1), "busy or down"),
        (Failure::truncate(), "no complete answer"),
    ] {
        sim.fail(TOKEN, failure.clone(), 2);
        let told = exits(&verify(&home), 1);
        sim.clear_failures();
        assert!(told.contains(says) && told.contains("operator"), "{failure:?}: {told}");
    }
    for (base_url, says) in [
        (format!("http://127.0.0.1:{}", free_port()), "the connection is refused"),
        ("http://menlou.invalid".to_owned(), "has no address"),
        (sim.base_url().replace("http://", "https://"), "TLS"),
        (format!("http://{}", stranger()), "it is not WeChat that answers"),
    ] {
        let told = exits(&verify(&at(&base_url)), 1);
        assert!(told.contains(says), "{base_url}: {told}");
        assert_eq!(told.matches('✗').count(), 1, "nothing more is asked: {told}");
    }
    let home = GatewayFolder::new(
        Setup::default()
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .tenant(TENANT, tenant(&sim).replace(sim.base_url(), "http://menlou.invalid")),
    );
    assert!(exits(&verify(&home), 1).contains("HTTPS_PROXY is set"));
}

#[test]
fn a_platform_that_does_not_answer_is_waited_for_only_so_long() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    sim.fail_until_cleared(LOGIN, Failure::hang());
    let start = std::time::Instant::now();
    let told = exits(&verify(&home), 1);
    assert!(told.contains("✓ access token") && told.contains("no complete answer"), "{told}");
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn what_is_faulty_is_told_before_anything_is_asked() {
    let sim = simulator();
    let home =
        GatewayFolder::new(Setup::default().tenant(TENANT, tenant(&sim).replace(DEMO_SECRET, "env:MISSING_ONE")));
    let told = exits(&verify(&home), 1);
    assert!(told.contains("MISSING_ONE") && told.contains("fix them first"), "{told}");
    assert_eq!(sim.calls(TOKEN), 0);
    exits(&home.command(&["tenant", "verify", "nobody"], b""), 1);
}

#[test]
fn what_is_waited_for_is_told_on_a_terminal_only() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    assert!(!exits(&verify(&home), 0).contains("requesting"));
    let mut terminal = home.terminal(&["tenant", "verify", TENANT], &[]);
    terminal.expect("requesting http://");
    assert_eq!(terminal.end().0, 0);
}

/// A web server that answers everything with a page.
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
