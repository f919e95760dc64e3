//! Tenants in the admin API: files are created, read, changed and removed. No change overwrites an unseen one, and no secret
//! is shown.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, side_by_side, tenant};
use crate::secrets::with_key;
use menlou_harness::http::Request;
use serde_json::{Value, json};
use std::fs;

const NEW: (&str, &str) = ("If-None-Match", "*");
const ANY: (&str, &str) = ("If-Match", "*");

fn file(scene: &Scene, name: &str) -> String {
    fs::read_to_string(scene.tenants().join(format!("{name}.toml"))).unwrap_or_default()
}

#[test]
fn tenant_is_created_served_changed_and_removed() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("operator");
    let text = format!("# Acme's own.\n{}", tenant(&scene.sim));
    let made = admin.put("acme", &text, NEW);
    assert_eq!((made.status, made.ok()["faults"].as_array().map(Vec::len)), (201, Some(0)));
    assert_eq!(file(&scene, "acme"), text);
    let client = scene.gateway.client("acme");
    eventually("the new tenant serves", || {
        client.call("openid", &[("code", &scene.sim.code("Ann"))]).error.is_none().then_some(())
    });
    admin.put("acme", &text, NEW).assert_error(412, "tenant_exists");

    let read = admin.get("/tenants/acme");
    assert_eq!((read.etag.as_ref(), read.ok()["title"].as_str()), (made.etag.as_ref(), Some("Manulife")));
    assert_eq!(read.body["actions"], json!(["login", "logout", "openid", "user"]));
    // The file is sent back with one change: comments, formatting and the secret are kept.
    let shown = read.body["toml"].as_str().unwrap();
    assert!(shown.starts_with("# Acme's own.\n") && shown.contains("secret = \"masked:\"\n"), "{shown}");
    let changed = shown.replace("[actions.logout]", "[session]\nttl = \"1h\" # short");
    let saved = admin.put("acme", &changed, ("If-Match", read.etag.as_deref().unwrap()));
    assert_eq!(saved.ok()["revision"].as_str().map(|r| format!("\"{r}\"")), saved.etag);
    assert_eq!(file(&scene, "acme"), text.replace("[actions.logout]", "[session]\nttl = \"1h\" # short"));
    eventually("the change serves", || {
        let opened = client.call("openid", &[("code", &scene.sim.code("Bob"))]);
        (opened.ok()["session"]["expires_in"].as_u64()? <= 3600).then_some(())
    });

    admin.send(&Request::new("DELETE", "/api/v1/tenants/acme").header("If-Match", saved.etag.as_deref().unwrap())).ok();
    eventually("the tenant has stopped serving", || {
        (client.call("openid", &[("code", "x")]).status == 404).then_some(())
    });
    admin.get("/tenants/acme").assert_error(404, "unknown_tenant");
    let names: Vec<_> =
        admin.get("/tenants").ok()["tenants"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
    assert_eq!(names, [TENANT, NEIGHBOUR]);
}

#[test]
fn patch_changes_only_the_given_settings() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as(&format!("tenant:{TENANT}"));
    let text =
        format!("\u{feff}# Theirs.\n{}", tenant(&scene.sim).replace("\"Manulife\"", "\"Manulife\" # for people"));
    scene.write_tenant(TENANT, &text);
    let path = format!("/api/v1/tenants/{TENANT}");
    let patch =
        |tag: &str, change: Value| admin.send(&Request::new("PATCH", &path).header("If-Match", tag).json(&change));
    let read = admin.get(&format!("/tenants/{TENANT}"));
    let seen = read.etag.unwrap();
    assert_eq!(read.body["settings"]["wechat"]["secret"], "masked:");
    assert_eq!(
        (&read.body["settings"]["session"]["ttl"], &read.body["settings"]["actions"]["openid"]["replay_window"]),
        (&json!("7d"), &json!("10s"))
    );
    assert!(
        ["/session", "/actions/openid/replay_window"]
            .iter()
            .all(|at| { read.body["defaults"].as_array().unwrap().contains(&json!(at)) }),
        "{}",
        read.body["defaults"]
    );
    assert_eq!(read.body["secrets"], json!(["/wechat/secret"]));
    let change = json!({
        "set": { "name": "Renamed", "session.ttl": "2h", "wechat": read.body["settings"]["wechat"] },
        "unset": ["actions.logout"],
    });
    let changed = patch(&seen, change.clone());
    assert_eq!(changed.ok()["faults"], json!([]));
    let after = file(&scene, TENANT);
    assert!(after.starts_with("\u{feff}# Theirs.\nname = \"Renamed\" # for people\n"), "{after}");
    assert!(
        after.contains("ttl = \"2h\"") && after.contains("\"demo-secret\"") && !after.contains("logout"),
        "{after}"
    );
    patch(&seen, change).assert_error(412, "changed_meanwhile");
    let seen = changed.etag.unwrap();
    patch(&seen, json!({ "set": { "session.ttl": "soon" } })).assert_error(422, "tenant_faulty");
    patch(&seen, json!({ "set": { "wechat.secret": "env:HOME" } })).assert_error(403, "setting_reserved");
    for senseless in
        [json!({ "set": { "a b": 1 } }), json!({ "set": { "name.x": 1 } }), json!({ "sett": {} }), json!([1])]
    {
        patch(&seen, senseless).assert_error(400, "bad_parameter");
    }
    assert_eq!(file(&scene, TENANT), after);
    let delete = Request::new("DELETE", &path).header("If-None-Match", "*");
    scene.admin_as("operator").send(&delete).assert_error(412, "tenant_exists");
}

#[test]
fn verification_returns_and_stores_the_platforms_result() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as(&format!("tenant:{TENANT}"));
    let verify = || admin.send(&Request::post(format!("/api/v1/tenants/{TENANT}/verify"))).ok().clone();
    let summary = || admin.get("/tenants").ok()["tenants"][0].clone();
    assert!(summary()["verified"].is_null() && summary()["verified_at"].is_null());
    let verified = verify();
    assert!(
        verified["ok"] == true && verified["steps"].as_array().unwrap().iter().all(|s| s["trouble"].is_null()),
        "{verified}"
    );
    assert!(summary()["verified"] == true && summary()["verified_at"].is_string());
    let wrong = file(&scene, TENANT).replace("demo-secret", "00000000000000000000000000000000");
    admin.put(TENANT, &wrong, ANY).ok();
    let failed = verify();
    let trouble = &failed["steps"][0]["trouble"];
    assert!(failed["ok"] == false && trouble["errcode"] == 40125, "{failed}");
    assert!(
        trouble["what"]["zh"].is_string() && trouble["remedy"]["en"].is_string() && trouble["rid"].is_string(),
        "{failed}"
    );
    eventually("the result is stored", || (summary()["verified"] == false).then_some(()));
    scene
        .admin_as("operator")
        .send(&Request::post("/api/v1/tenants/nobody/verify"))
        .assert_error(404, "unknown_tenant");
}

#[test]
fn change_without_the_current_etag_is_rejected() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("operator");
    let seen = admin.get(&format!("/tenants/{TENANT}")).etag.unwrap();
    let text = |name: &str| tenant(&scene.sim).replace("\"Manulife\"", &format!("\"{name}\""));
    let path = format!("/api/v1/tenants/{TENANT}");
    let toml = |request: Request| admin.send(&request.body("application/toml", text("x")));
    toml(Request::new("PUT", &path)).assert_error(428, "precondition_required");
    admin.delete(&format!("/tenants/{TENANT}")).assert_error(428, "precondition_required");
    for (tag, status, error) in [
        ("\"0\"", 412, "changed_meanwhile"),
        ("\"\"", 412, "changed_meanwhile"),
        ("W/\"0\"", 412, "weak_etag"),
        (&format!("W/{seen}"), 412, "weak_etag"),
        ("nonsense", 400, "bad_parameter"),
        (seen.trim_matches('"'), 400, "bad_parameter"),
        (&format!("{seen}, \"0\""), 400, "bad_parameter"),
    ] {
        toml(Request::new("PUT", &path).header("If-Match", tag)).assert_error(status, error);
        admin.send(&Request::new("DELETE", &path).header("If-Match", tag)).assert_error(status, error);
    }
    let compressed = Request::new("PUT", &path).header("If-Match", &seen).header("Content-Encoding", "gzip");
    toml(compressed).assert_error(415, "unsupported_media_type");
    // An edit of the file by hand changes the version as well.
    scene.write_tenant(TENANT, &text("By hand"));
    admin.put(TENANT, &text("Over it"), ("If-Match", &seen)).assert_error(412, "changed_meanwhile");
    assert!(file(&scene, TENANT).contains("By hand"));
    let seen = admin.get(&format!("/tenants/{TENANT}")).etag.unwrap();
    let raced = side_by_side(6, |n| admin.put(TENANT, &text(&format!("Racer {n}")), ("If-Match", &seen)).status);
    assert_eq!(raced.iter().filter(|status| **status == 200).count(), 1, "{raced:?}");
    assert!(raced.iter().all(|status| [200, 412].contains(status)), "{raced:?}");
    admin.put(TENANT, &text("Whatever"), ANY).ok();
    admin.put("nobody", &text("x"), ANY).assert_error(404, "unknown_tenant");
}

#[test]
fn invalid_file_is_reported_with_positions_and_not_saved() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as(&format!("tenant:{TENANT}"));
    let before = file(&scene, TENANT);
    let faulty = before.replace("appid", "apqid").replace("[actions.user]", "[actions.user]\nnone = 1");
    let refused = admin.put(TENANT, &faulty, ANY);
    refused.assert_error(422, "tenant_faulty");
    let faults = refused.body["data"]["faults"].as_array().unwrap();
    assert!(faults.iter().any(|f| f["line"] == 4 && f["en"].as_str().unwrap().contains("`apqid`")), "{faults:?}");
    assert!(faults.iter().any(|f| f["zh"].as_str().unwrap().contains("none")), "{faults:?}");
    assert_eq!(file(&scene, TENANT), before);
    // Checking a draft reports the same errors.
    let check = |text: &str| {
        let request = Request::post(format!("/api/v1/tenants/{TENANT}/check")).body("application/toml", text);
        admin.send(&request).ok().clone()
    };
    assert_eq!(check(&faulty)["faults"].as_array().unwrap().len(), faults.len());
    assert_eq!(check(&before)["faults"], json!([]));
    let missing = check(&format!("{before}[actions.none]\n"));
    assert!(missing["faults"] == json!([]) && missing["lesser"][0]["line"].is_u64(), "{missing}");
    assert!(check("name = ")["faults"][0]["line"] == 1 && check("secret = \"masked:\"")["faults"][0]["line"] == 1);
    // A file that was broken by hand is shown with its errors and can be fixed.
    scene.write_tenant(TENANT, "name = \"half");
    eventually("the fault is known", || {
        let read = admin.get(&format!("/tenants/{TENANT}"));
        (read.ok()["faults"][0]["line"] == 1 && read.body["serving"] == true && read.body["toml"].is_null())
            .then_some(())
    });
    // Its references and addresses are unknown, so that only an operator may fix it.
    admin.put(TENANT, &before, ANY).assert_error(403, "setting_reserved");
    scene.admin_as("operator").put(TENANT, &before, ANY).ok();
    assert_eq!(file(&scene, TENANT), before);
}

#[test]
fn tenant_admin_cannot_set_references_or_addresses() {
    let scene = Scene::new(Stores::Embedded);
    let (tenant_admin, operator) = (scene.admin_as(&format!("tenant:{TENANT}")), scene.admin_as("operator"));
    let before = file(&scene, TENANT);
    fs::write(scene.tenants().join("secret"), "demo-secret\n").unwrap();
    let reference = before.replace("\"demo-secret\"", "\"file:secret\"");
    let elsewhere = before.replace(scene.sim.base_url(), "http://127.0.0.1:9/");
    for text in [&reference, &elsewhere] {
        let refused = tenant_admin.put(TENANT, text, ANY);
        refused.assert_error(403, "setting_reserved");
        assert!(refused.body["data"]["faults"][0]["line"].is_u64(), "{}", refused.body);
    }
    assert_eq!(file(&scene, TENANT), before);
    // For every plugin that connects to an address, whether or not the address looks internal.
    let inner = format!("http://{}", scene.admin_addr());
    let proxy =
        |to: &str| format!("{before}\n[actions.orders]\nplugin = \"proxy\"\nauth = \"optional\"\nupstream = {to}\n");
    let asking = |to: &str| before.replace("[actions.login]", &format!("[actions.login]\ndelegate_url = \"{to}\""));
    for text in [
        proxy(&format!("\"{inner}\"")),
        proxy(&format!("[\"https://shop.example\", \"{inner}\"]")),
        proxy("\"HTTP:169.254.169.254/latest\""),
        proxy("\"https://shop.example\""),
        asking(&inner),
    ] {
        let refused = tenant_admin.put(TENANT, &text, ANY);
        refused.assert_error(403, "setting_reserved");
        assert!(
            refused.body["data"]["faults"][0]["pointer"].as_str().unwrap().starts_with("/actions/"),
            "{}",
            refused.body
        );
    }
    let request = Request::new("PATCH", format!("/api/v1/tenants/{TENANT}")).header("If-Match", "*");
    let change = json!({ "set": { "actions.orders": { "plugin": "proxy", "auth": "optional", "upstream": inner } } });
    tenant_admin.send(&request.json(&change)).assert_error(403, "setting_reserved");
    assert_eq!(file(&scene, TENANT), before);
    // A value that an operator has set may stay when other settings change.
    let set = proxy(&format!("[\"{inner}\", \"http://127.0.0.1:9\"]"));
    operator.put(TENANT, &set, ANY).ok();
    tenant_admin.put(TENANT, &set.replace("auth = \"optional\"", "auth = \"optional\"\nretries = 2"), ANY).ok();
    tenant_admin.put(TENANT, &proxy("\"http://127.0.0.1:9\""), ANY).ok();
    tenant_admin.put(TENANT, &before, ANY).ok();
    tenant_admin.put(TENANT, &set, ANY).assert_error(403, "setting_reserved");
    operator.put(TENANT, &reference, ANY).ok();
    // A reference that an operator has set may stay and is not masked; a literal secret may replace it.
    let shown = tenant_admin.get(&format!("/tenants/{TENANT}")).ok()["toml"].as_str().unwrap().to_owned();
    assert!(shown.contains("\"file:secret\""), "{shown}");
    tenant_admin.put(TENANT, &shown.replace("\"Manulife\"", "\"Renamed\""), ANY).ok();
    tenant_admin.put(TENANT, &before, ANY).ok();
    tenant_admin.put("another", &before, NEW).assert_error(403, "forbidden");
}

#[test]
fn every_change_is_in_the_audit_log_without_secrets() {
    let scene = Scene::new(Stores::Embedded);
    let (operator, tenant_admin) = (scene.admin_as("operator"), scene.admin_as(&format!("tenant:{TENANT}")));
    let text = format!("{}# secret = \"older-secret\"\n", tenant(&scene.sim));
    tenant_admin.put(TENANT, &text, ANY).ok();
    operator.put(TENANT, &text.replace("\"demo-secret\"", "\"another-secret\""), ANY).ok();
    operator.put(NEIGHBOUR, &text, ANY).ok();
    tenant_admin.put(TENANT, &text.replace("\"Manulife\"", "1"), ANY).assert_error(422, "tenant_faulty");
    operator.send(&Request::new("DELETE", format!("/api/v1/tenants/{TENANT}")).header("If-Match", "*")).ok();
    let history = tenant_admin.get(&format!("/tenants/{TENANT}/history")).ok()["entries"].clone();
    let entries = history.as_array().unwrap();
    let what: Vec<_> = entries.iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["tenant.remove", "tenant.replace", "tenant.replace"], "what was refused was never begun");
    assert_eq!(entries[2]["role"], format!("tenant:{TENANT}"));
    assert!(entries[2]["who"].as_str().unwrap().contains("a test"), "{history}");
    assert!(entries[0]["before"].as_str().unwrap().contains("secret = \"masked:\"") && entries[0]["after"].is_null());
    // A change stores what it changes, not the file.
    let diff = entries[2]["diff"].as_str().unwrap();
    assert!(diff.contains("\n+# …") && diff.len() < 200 && entries[2]["after"].is_null(), "{history}");
    for secret in ["demo-secret", "another-secret", "older-secret", NEIGHBOUR] {
        assert!(!history.to_string().contains(secret), "{secret}");
    }
    let page = tenant_admin.get(&format!("/tenants/{TENANT}/history?limit=1&before={}", entries[1]["id"]));
    assert_eq!(page.ok()["entries"][0]["id"], entries[2]["id"]);
    assert_eq!(scene.log().matches("demo-secret").count(), 0);
}

#[test]
fn invalid_tenant_names_and_bodies_are_rejected() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("operator");
    let text = tenant(&scene.sim);
    for name in ["..", "%2e%2e", "..%2fx", "A", "a%20b", "-a", "a.toml", "%E4%BF%9D", &"a".repeat(300), "%00", "%ff"] {
        let response = admin.put(name, &text, NEW);
        assert!([400, 404].contains(&response.status), "{name}: {}", response.response.text());
    }
    let put = |content_type: &str, body: Vec<u8>| {
        admin.send(&Request::new("PUT", "/api/v1/tenants/acme").header("If-None-Match", "*").body(content_type, body))
    };
    put("application/json", b"{}".to_vec()).assert_error(415, "unsupported_media_type");
    put("application/toml", vec![b'x'; 300 * 1024]).assert_error(413, "body_too_large");
    put("application/toml", b"name = \"\xff\"".to_vec()).assert_error(400, "bad_parameter");
    put("application/toml", b"name = \"a\0\"".to_vec()).assert_error(422, "tenant_faulty");
    admin.get("/tenants?limit=0").assert_error(400, "bad_parameter");
    admin.get("/tenants?none=1").assert_error(400, "bad_parameter");
    admin.get("/none").assert_error(404, "not_found");
    let other = admin.send(&Request::post("/api/v1/tenants"));
    other.assert_error(405, "wrong_http_method");
    assert_eq!(other.response.header("allow"), Some("GET"));
    assert!(fs::read_dir(scene.tenants()).unwrap().count() == 2, "nothing was saved");
}

#[test]
fn failed_save_returns_the_reason_and_is_in_the_audit_log() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("operator");
    let elsewhere = scene.tenants().join("elsewhere");
    let own = scene.tenants().join(format!("{TENANT}.toml"));
    fs::rename(&own, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &own).unwrap();
    let refused = admin.put(TENANT, &tenant(&scene.sim).replace("Manulife", "New"), ANY);
    refused.assert_error(503, "not_saved");
    assert!(refused.body["msg"].as_str().unwrap().contains("链接"), "{}", refused.body);
    let entries = admin.get(&format!("/tenants/{TENANT}/history")).ok()["entries"].clone();
    assert_eq!((entries[0]["failed"].as_str(), entries[1]["failed"].as_str()), (Some("not_saved"), None));
    assert!(!file(&scene, TENANT).contains("New"));
}

#[test]
fn tenants_are_listed_page_by_page() {
    let scene = Scene::new(Stores::Embedded);
    let text = tenant(&scene.sim);
    for n in 0..25 {
        scene.write_tenant(&format!("t{n:02}"), &text);
    }
    scene.write_tenant("t07", "name = 1");
    let admin = scene.admin_as("viewer");
    let all = eventually("all are known", || {
        let all = admin.get("/tenants?limit=1000").ok()["tenants"].clone();
        (all.as_array()?.len() == 27 && all[9]["faults"].as_u64()? > 0).then_some(all)
    });
    let (mut listed, mut after) = (Vec::<Value>::new(), String::new());
    loop {
        let page = admin.get(&format!("/tenants?limit=10&after={after}")).ok()["tenants"].as_array().unwrap().clone();
        let Some(last) = page.last() else { break };
        after = last["name"].as_str().unwrap().to_owned();
        listed.extend(page);
    }
    assert_eq!(Value::Array(listed), all);
    let own = scene.admin_as("tenant:t07").get("/tenants").ok()["tenants"].clone();
    assert!(own.as_array().unwrap().len() == 1 && own[0]["name"] == "t07", "{own}");
}

#[test]
fn secret_rotation_keeps_the_previous_secret_and_encrypts_both() {
    for sealed in [false, true] {
        let scene = if sealed { with_key() } else { Scene::new(Stores::Embedded) };
        let admin = scene.admin_as(&format!("tenant:{TENANT}"));
        let path = format!("/api/v1/tenants/{TENANT}");
        let patch = |change: Value| admin.send(&Request::new("PATCH", &path).header("If-Match", "*").json(&change));
        for secret in ["first-new-secret", "second-new-secret"] {
            patch(json!({ "new_secret": secret })).ok();
        }
        let text = file(&scene, TENANT);
        let previous = |shown: &str| text.contains(&format!("previous_secret = \"{shown}"));
        if sealed {
            assert!(text.contains("\nsecret = \"sealed:v1:") && previous("sealed:v1:"), "{text}");
            assert!(!text.contains("new-secret"), "{text}");
        } else {
            assert!(text.contains("\nsecret = \"second-new-secret\"") && previous("first-new-secret"), "{text}");
        }
        patch(json!({ "set": { "wechat.secret": "third-new-secret" }, "unset": ["wechat.previous_secret"] })).ok();
        assert_eq!(file(&scene, TENANT).contains("third-new-secret"), !sealed);
        patch(json!({ "new_secret": "env:HOME" })).assert_error(403, "setting_reserved");
        patch(json!({ "new_secret": "x", "set": { "name": "y" } })).assert_error(400, "bad_parameter");
        let log = admin.get(&format!("/tenants/{TENANT}/history")).ok().to_string();
        assert!(!log.contains("new-secret"), "{log}");
        let read = admin.get(&format!("/tenants/{TENANT}"));
        assert_eq!(read.ok()["faults"], json!([]), "what is sealed can be opened");
    }
}

#[test]
fn secret_entered_as_appid_is_masked() {
    let scene = Scene::new(Stores::Embedded);
    scene.write_tenant(TENANT, &tenant(&scene.sim).replace("appid = \"wx", "appid = \"slipped-in-secret"));
    for role in ["viewer", "operator"] {
        let read = scene.admin_as(role).get(&format!("/tenants/{TENANT}"));
        assert!(read.ok()["faults"][0]["pointer"] == "/wechat/appid", "{}", read.body);
        assert!(!read.response.text().contains("slipped-in"), "{role}: {}", read.body);
        let mut browser = scene.console_as(role);
        browser.get(&format!("/console/tenants/{TENANT}/settings"));
        assert!(browser.page.contains("masked:") && !browser.page.contains("slipped-in"), "{role}: {}", browser.page);
    }
}

#[test]
fn a_new_secret_is_saved_whatever_else_is_wrong_in_the_file() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as(&format!("tenant:{TENANT}"));
    let before = format!("{}[session]\nttl = \"5s\"\n", tenant(&scene.sim));
    scene.write_tenant(TENANT, &before);
    let path = format!("/api/v1/tenants/{TENANT}");
    let patch = |change: Value| admin.send(&Request::new("PATCH", &path).header("If-Match", "*").json(&change));
    let saved = patch(json!({ "new_secret": "the-next-secret" }));
    assert!(saved.ok()["faults"].to_string().contains("`ttl` must be from 1m to 30d"), "{}", saved.body);
    assert!(
        file(&scene, TENANT).contains("secret = \"the-next-secret\"") && file(&scene, TENANT).contains("ttl = \"5s\"")
    );
    patch(json!({ "set": { "wechat.secret": "the-last-secret" }, "unset": ["wechat.previous_secret"] })).ok();
    assert!(file(&scene, TENANT).contains("secret = \"the-last-secret\""));
    // Everything else is refused while the error stands, and so is an error of the secret itself.
    patch(json!({ "set": { "name": "Other" } })).assert_error(422, "tenant_faulty");
    patch(json!({ "unset": ["wechat.secret"] })).assert_error(422, "tenant_faulty");
}
