//! The admin of one tenant cannot slow down the gateway or fill its store: tenant files, checks and changes are bounded.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, side_by_side, tenant};
use menlou_harness::http::Request;
use std::{fs, time::Duration};

const ANY: (&str, &str) = ("If-Match", "*");
/// Maximum CPU time of one check. Checking the largest valid file takes a small part of it, even in a debug build.
const MAX_CPU: Duration = Duration::from_secs(1);
/// Maximum size of the response to a check, in bytes.
const MAX_RESPONSE: usize = 128 * 1024;

/// The CPU time that the gateway has used.
fn cpu_time(scene: &Scene) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", scene.gateway.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel reports 100 ticks per second on all supported platforms.
    Duration::from_millis(ticks * 10)
}

/// As many of these lines as fit into `room` bytes.
fn many(room: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for n in 0.. {
        let line = line(n);
        if text.len() + line.len() > room {
            break;
        }
        text.push_str(&line);
    }
    text
}

fn check(text: &str) -> Request {
    Request::new("POST", format!("/api/v1/tenants/{TENANT}/check")).body("application/toml", text)
}

#[test]
fn cost_and_response_of_a_check_are_bounded_whatever_the_draft() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as(&format!("tenant:{TENANT}"));
    let base = tenant(&scene.sim);
    let room = 250 * 1024 - base.len();
    let actions = many(room, |n| format!("[actions.login{n}]\n"));
    let keys = many(room, |n| format!("key{n} = \"masked:\"\n"));
    let in_one_line = many(room, |n| format!("\"http://10.0.0.{n}\", "));
    let secrets = many(room, |n| format!("secret{n} = \"x\"\n"));
    let full: String =
        (0..240).map(|n| format!("[actions.l{n}]\nplugin = \"login\"\nmethods = [\"profile\"]\n")).collect();
    for (what, draft) in [
        ("actions", format!("{base}{actions}")),
        ("masked values", format!("{base}[session]\n{keys}")),
        ("unknown keys", format!("{base}[session]\n{secrets}")),
        ("addresses", format!("{base}[actions.x]\nplugin = \"proxy\"\nupstream = [{in_one_line}]\n")),
        ("actions of full size", format!("{base}{full}")),
        ("no TOML", "=\n".repeat(120 * 1024)),
    ] {
        let before = cpu_time(&scene);
        let response = admin.send(&check(&draft));
        let cost = cpu_time(&scene) - before;
        assert_eq!(response.status, 200, "{what}: {}", response.body);
        assert!(response.response.body.len() < MAX_RESPONSE, "{what}: {} bytes", response.response.body.len());
        assert!(cost < MAX_CPU, "{what}: {cost:?}");
        let faults = response.body["faults"].as_array().unwrap().len();
        assert_eq!(faults == 0, what == "actions of full size", "{what}: {}", response.body);
        assert!(faults <= 100, "{what}: {faults}");
    }
}

#[test]
fn tenant_file_beyond_the_bounds_is_an_error_that_says_so() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("operator");
    let base = tenant(&scene.sim);
    let actions =
        |count: usize| (0..count).map(|n| format!("[actions.a{n}]\nplugin = \"openid\"\n")).collect::<String>();
    // The tenant has four actions already.
    let full = format!("{base}{}", actions(252));
    assert_eq!(admin.send(&check(&full)).ok()["faults"], serde_json::json!([]));
    let response = admin.put(TENANT, &format!("{base}{}", actions(253)), ANY);
    response.assert_error(422, "tenant_faulty");
    let faults = response.body["data"]["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0]["en"], "a tenant may have at most 256 actions, and this file has 257");
    // A file that was written by hand has the same bounds, and the last valid version keeps serving.
    scene.write_tenant(TENANT, &format!("{base}# {}\n", "x".repeat(300 * 1024)));
    eventually("the error is reported", || {
        let errors = admin.get(&format!("/tenants/{TENANT}")).ok()["faults"].to_string();
        errors.contains("larger than 256 KiB").then_some(())
    });
    scene.authorize("Ann").ok();
}

#[test]
fn checks_of_one_token_do_not_delay_the_requests_of_others() {
    let scene = Scene::new(Stores::Embedded);
    let (admin, other) = (scene.admin_as(&format!("tenant:{TENANT}")), scene.admin_as(&format!("tenant:{NEIGHBOUR}")));
    let full: String =
        (0..240).map(|n| format!("[actions.l{n}]\nplugin = \"login\"\nmethods = [\"profile\"]\n")).collect();
    let draft = format!("{}{full}", tenant(&scene.sim));
    let outcomes = side_by_side(40, |at| {
        if at % 10 == 0 {
            other.get(&format!("/tenants/{NEIGHBOUR}")).ok();
            return "other".to_owned();
        }
        let response = admin.send(&check(&draft));
        assert!(response.status == 200 || response.body["error"] == "rate_limited", "{}", response.body);
        response.status.to_string()
    });
    assert!(outcomes.iter().any(|status| status == "200"), "{outcomes:?}");
}

#[test]
fn changes_of_one_token_are_limited_and_other_tokens_go_on() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("admin.writes_per_minute", "5"));
    let admin = scene.admin_as(&format!("tenant:{TENANT}"));
    let base = tenant(&scene.sim);
    let save = |admin: &menlou_harness::Admin, n: usize| admin.put(TENANT, &format!("{base}# {n}\n"), ANY);
    let statuses: Vec<u16> = (0..20).map(|n| save(&admin, n).status).collect();
    let saved = statuses.iter().filter(|status| **status == 200).count();
    // A slow machine refills a write every twelve seconds.
    assert!((15..20).contains(&saved), "{statuses:?}");
    let refused = save(&admin, 20);
    refused.assert_error(429, "rate_limited");
    let wait: u64 = refused.response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert!(refused.body["msg"].as_str().unwrap().contains("writes_per_minute"), "{}", refused.body);
    // A refused change is neither saved nor in the audit log.
    let file = fs::read_to_string(scene.tenants().join(format!("{TENANT}.toml"))).unwrap();
    assert!(!file.contains("# 20\n"), "{file}");
    let entries = admin.get(&format!("/tenants/{TENANT}/history")).ok()["entries"].as_array().unwrap().len();
    assert_eq!(entries, saved);
    assert_eq!(save(&scene.admin_as(&format!("tenant:{TENANT}")), 21).status, 200);
    assert_eq!(save(&scene.admin_as("operator"), 22).status, 200);
    // Reading and checking are not limited.
    admin.get(&format!("/tenants/{TENANT}")).ok();
    admin.send(&check(&base)).ok();
}
