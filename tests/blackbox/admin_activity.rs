//! Usage, failures and plugins in the admin API, and the requests in the metrics.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, tenant};
use menlou_harness::artifacts::plugin_library;
use std::fs;

#[test]
fn usage_is_counted_by_action_and_survives_a_reload() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("viewer");
    let ann = scene.person("Ann");
    for _ in 0..3 {
        ann.call("user", &[]).ok();
    }
    scene.client().call("openid", &[("code", "no such code")]).assert_error(200, "invalid_code");
    let of = |action: &str| {
        let response = admin.get(&format!("/tenants/{TENANT}/usage"));
        let usage =
            response.ok()["actions"].as_array().unwrap().iter().find(|u| u["action"] == action).unwrap().clone();
        let minutes = usage["minutes"].as_array().unwrap().clone();
        let sum = |key: &str| minutes.iter().map(|m| m[key].as_u64().unwrap()).sum::<u64>();
        for key in ["calls", "client_errors", "errors", "platform_errors"] {
            assert_eq!(usage[key].as_u64(), Some(sum(key)), "{key}");
        }
        assert_eq!((sum("errors"), sum("platform_errors")), (0, 0));
        assert!(
            minutes.iter().all(|m| m["p95_ms"].as_f64() >= m["p50_ms"].as_f64() && m["p95_ms"].as_f64() > Some(0.0))
        );
        (sum("calls"), sum("client_errors"))
    };
    assert_eq!((of("openid"), of("login"), of("user")), ((2, 1), (1, 0), (3, 0)));
    let summary = admin.get("/tenants").ok()["tenants"][0].clone();
    let counts = ["calls", "client_errors", "failures"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!(counts, [6, 1, 0], "a client error is no failure");
    scene.write_tenant(TENANT, &tenant(&scene.sim).replace("Manulife", "Renamed"));
    eventually("reloaded", || (admin.get("/tenants").ok()["tenants"][0]["title"] == "Renamed").then_some(()));
    assert_eq!(of("user"), (3, 0));
    for query in ["minutes=0", "minutes=361", "minutes=x"] {
        admin.get(&format!("/tenants/{TENANT}/usage?{query}")).assert_error(400, "bad_parameter");
    }
    admin.get("/tenants/nobody/usage").assert_error(404, "unknown_tenant");
}

#[test]
fn failures_contain_platform_codes_and_do_not_identify_the_client() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as(&format!("tenant:{TENANT}"));
    let failures = || admin.get(&format!("/tenants/{TENANT}/failures")).ok()["failures"].as_array().unwrap().clone();
    assert!(failures().is_empty());
    let failed = scene.client().call("openid", &[("code", "a-forged-code")]);
    failed.assert_error(200, "invalid_code");
    scene.client().call("none", &[]).assert_error(404, "unknown_action");
    scene.authorize("Ann").ok();
    let found = failures();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0]["error"].as_str(), found[0]["action"].is_null()), (Some("unknown_action"), true));
    let failure = &found[1];
    assert_eq!((failure["error"].as_str(), failure["action"].as_str()), (Some("invalid_code"), Some("openid")));
    assert_eq!(failure["errcode"], failed.data["errcode"]);
    assert_eq!(failure["rid"], failed.data["rid"]);
    assert!(failure["errcode"].is_i64() && failure["rid"].is_string(), "{failure}");
    assert_eq!(failure["request_id"].as_str(), failed.response.header("x-request-id"));
    assert!(!failure.to_string().contains("a-forged-code"));
    for n in 0..120 {
        scene.client().call(&format!("none{n}"), &[]);
    }
    assert_eq!(failures().len(), 100);
}

#[test]
fn plugins_are_listed_with_rejected_files_and_reloads() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("viewer");
    let listed = admin.get("/plugins");
    let names: Vec<_> =
        listed.ok()["plugins"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["account", "openid", "proxy", "wechat"]);
    let openid = &listed.body["plugins"][1]["actions"][0];
    assert!(openid["name"] == "openid" && openid["settings"]["properties"].is_object(), "{openid}");
    assert_eq!(listed.body["reloads"], serde_json::json!([]));
    // A copy instead of a link, because the test writes to the file.
    fs::copy(plugin_library("rogue"), scene.plugins().join("rogue.so")).unwrap();
    fs::write(scene.plugins().join("invalid.so"), "no library").unwrap();
    let listed = eventually("both files are processed", || {
        let listed = admin.get("/plugins").ok().clone();
        (listed["reloads"].as_array()?.len() >= 2).then_some(listed)
    });
    let reload = |name: &str| {
        listed["reloads"].as_array().unwrap().iter().find(|reload| reload["plugin"] == name).unwrap().clone()
    };
    assert!(reload("rogue")["rejected"].is_null() && reload("rogue")["generation"].is_u64(), "{listed}");
    assert!(reload("invalid")["rejected"]["zh"].is_string() && reload("invalid")["version"].is_null(), "{listed}");
    assert_eq!(listed["rejected"][0]["file"], "invalid.so");
    assert!(listed["generations"].as_u64().unwrap() >= 4);
    let tenant_view = scene.admin_as(&format!("tenant:{TENANT}")).get("/plugins").ok().clone();
    assert_eq!(tenant_view["plugins"], listed["plugins"]);
    assert!(
        tenant_view["generations"].is_null()
            && tenant_view["rejected"] == serde_json::json!([])
            && tenant_view["reloads"] == serde_json::json!([])
    );
}

/// The value of the counter for an action of a tenant.
fn counted(scene: &Scene, tenant: &str, action: &str) -> Option<usize> {
    let outcomes = ["ok", "client_error", "error", "platform_error"];
    let counts: Vec<usize> =
        outcomes.iter().filter_map(|outcome| counted_by(scene, (tenant, action), outcome)).collect();
    (!counts.is_empty()).then(|| counts.iter().sum())
}

/// The value of the counter for an action of a tenant with this outcome.
fn counted_by(scene: &Scene, (tenant, action): (&str, &str), outcome: &str) -> Option<usize> {
    let line = format!("menlou_requests_total{{tenant=\"{tenant}\",action=\"{action}\",outcome=\"{outcome}\"}} ");
    let metrics = scene.admin("/metrics").unwrap().text();
    metrics.lines().find_map(|line_text| line_text.strip_prefix(&line)?.parse().ok())
}

#[test]
fn requests_are_split_by_who_caused_their_failure() {
    let sim = crate::scene::simulator();
    let dead = menlou_harness::process::free_port();
    let file = format!(
        "{}[actions.orders]\nplugin = \"proxy\"\nupstream = \"http://127.0.0.1:{dead}\"\nauth = \"optional\"\n",
        tenant(&sim)
    );
    let scene = Scene::with(Stores::Embedded, |setup, own| {
        let file = file.replace(sim.base_url(), own.base_url());
        setup.tenant("split", file)
    });
    let client = scene.gateway.client("split");
    client.call("openid", &[("code", &scene.sim.code("Ann"))]).ok();
    client.call("openid", &[("code", "no such code")]).assert_error(200, "invalid_code");
    client.call("openid", &[]).assert_error(400, "missing_parameter");
    client.call("orders", &[]).assert_error(502, "upstream_unreachable");
    scene.sim.fail_until_cleared("/sns/jscode2session", menlou_simulator::Failure::errcode(-1));
    client.call("openid", &[("code", &scene.sim.code("Bob"))]).assert_error(503, "platform_busy");
    let by = |action: &str, outcome: &str| counted_by(&scene, ("split", action), outcome);
    assert_eq!(
        ["ok", "client_error", "error", "platform_error"].map(|outcome| by("openid", outcome)),
        [Some(1), Some(2), None, Some(1)]
    );
    assert_eq!(["ok", "client_error", "error"].map(|outcome| by("orders", outcome)), [None, None, Some(1)]);
    let admin = scene.admin_as("viewer");
    let usage = admin.get("/tenants/split/usage").ok()["actions"].clone();
    let sums = |action: &str| {
        let one = usage.as_array().unwrap().iter().find(|one| one["action"] == action).unwrap();
        ["calls", "client_errors", "errors", "platform_errors"].map(|key| one[key].as_u64().unwrap())
    };
    assert_eq!((sums("openid"), sums("orders")), ([4, 2, 0, 1], [1, 0, 1, 0]));
    let failures = admin.get("/tenants/split/failures").ok()["failures"].clone();
    let outcomes: Vec<_> = failures.as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["platform_error", "error", "client_error", "client_error"]);
    let mut browser = scene.console_as("operator");
    browser.get("/console/tenants/split");
    let (failed, refused) = browser.page.split_once("id=\"refused\"").unwrap();
    assert!(failed.contains("platform_busy") && failed.contains("upstream_unreachable"), "{failed}");
    assert!(refused.contains("invalid_code") && !refused.contains("platform_busy"), "{refused}");
    assert!(browser.page.contains("5 requests, 2 refused, 2 failed (1 at the platform), 1 sessions opened"));
}

#[test]
fn metrics_count_each_request_once_across_tenant_changes() {
    let scene = Scene::new(Stores::Embedded);
    let file = tenant(&scene.sim);
    let send = |times: usize| (0..times).for_each(|_| drop(scene.gateway.client("passing").call("user", &[])));
    let until = |status: u16| {
        // A different action, because the test counts the requests to `user`.
        let request_status = || scene.gateway.client("passing").call("openid", &[]).status;
        eventually("the change is loaded", || (request_status() == status).then_some(()));
    };
    scene.write_tenant("passing", &file);
    until(400);
    assert_eq!(counted(&scene, "passing", "user"), None, "no request was sent");
    send(3);
    assert_eq!(counted(&scene, "passing", "user"), Some(3));
    send(2);
    scene.write_tenant("passing", &file.replace("[actions.openid]", "[actions.openid]\nlimits.calls = '1/d'\n"));
    until(429);
    send(2);
    assert_eq!(counted(&scene, "passing", "user"), Some(7));
    send(4);
    scene.remove_tenant("passing");
    until(404);
    assert_eq!(counted(&scene, "passing", "user"), None, "the series ends with the tenant");
    scene.write_tenant("passing", &file);
    until(400);
    send(1);
    assert_eq!(counted(&scene, "passing", "user"), Some(1), "a tenant of the same name starts at zero");
}

#[test]
fn series_of_removed_actions_and_tenants_leave_the_metrics() {
    let scene = Scene::new(Stores::Embedded);
    let metrics = || scene.admin("/metrics").unwrap().text();
    let has = |text: &str, labels: &str| text.lines().any(|line| !line.starts_with('#') && line.contains(labels));
    scene.client().call("user", &[]).assert_error(401, "login_required");
    scene.authorize("Ann").ok();
    scene.gateway.client(NEIGHBOUR).call("openid", &[("code", "x")]).assert_error(200, "invalid_code");
    let before = metrics();
    for labels in [
        format!("menlou_requests_total{{tenant=\"{TENANT}\",action=\"user\""),
        format!("menlou_errors_total{{tenant=\"{TENANT}\",action=\"user\""),
        format!("menlou_errors_total{{tenant=\"{NEIGHBOUR}\",action=\"openid\""),
        "menlou_request_duration_seconds_count{action=\"user\"}".to_owned(),
    ] {
        assert!(has(&before, &labels), "{labels}\n{before}");
    }
    // The action goes from both tenants, then one of the tenants.
    let without_user = |text: String| text.replace("[actions.user]\n", "");
    for name in [TENANT, NEIGHBOUR] {
        let path = scene.tenants().join(format!("{name}.toml"));
        let text = fs::read_to_string(&path).unwrap();
        scene.write_tenant(name, &without_user(text));
    }
    eventually("the series of the action are gone", || (!has(&metrics(), "action=\"user\"")).then_some(()));
    assert!(has(&metrics(), &format!("menlou_requests_total{{tenant=\"{TENANT}\",action=\"openid\"")));
    scene.remove_tenant(NEIGHBOUR);
    eventually("the series of the tenant are gone", || {
        (!has(&metrics(), &format!("tenant=\"{NEIGHBOUR}\""))).then_some(())
    });
    // The counts of what is still served go on.
    let count = || {
        let line = format!("menlou_requests_total{{tenant=\"{TENANT}\",action=\"openid\"");
        let metrics = metrics();
        let counts = metrics.lines().filter(|one| one.starts_with(&line)).map(|one| one.rsplit(' ').next().unwrap());
        counts.map(|count| count.parse::<u64>().unwrap()).sum::<u64>()
    };
    let counted = count();
    scene.authorize("Bob").ok();
    assert_eq!(count(), counted + 1);
}
