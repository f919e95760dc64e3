//! Sessions and users in the admin API, with every store.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, neighbours_code, setup};
use menlou_harness::{Admin, Gateway, http::Request};
use serde_json::{Value, json};

fn sessions(admin: &Admin, query: &str) -> Vec<Value> {
    admin.get(&format!("/tenants/{TENANT}/sessions?{query}")).ok()["sessions"].as_array().unwrap().clone()
}

fn total(admin: &Admin, tenant: &str) -> u64 {
    admin.get(&format!("/tenants/{tenant}/sessions/count")).ok()["total"].as_u64().unwrap()
}

fn users(admin: &Admin, query: &str) -> Vec<Value> {
    admin.get(&format!("/tenants/{TENANT}/users?{query}")).ok()["users"].as_array().unwrap().clone()
}

pub fn a_person_s_sessions_are_counted_found_and_ended_one_by_one_and_together(stores: Stores) {
    let scene = Scene::new(stores);
    let admin = scene.admin_as(&format!("tenant:{TENANT}"));
    assert_eq!(total(&admin, TENANT), 0);
    let ann = [scene.person("Ann"), scene.session("Ann"), scene.session("Ann")];
    let bob = scene.session("Bob");
    scene.gateway.client(NEIGHBOUR).call("openid", &[("code", &neighbours_code(&scene.sim, "Ann"))]).ok();
    assert_eq!(total(&admin, TENANT), 4);
    let user = ann[0].call("user", &[]).user_id().unwrap();
    let found = sessions(&admin, &format!("user={user}"));
    assert_eq!(found.len(), 3);
    let openid = found[0]["openid"].as_str().unwrap();
    assert_eq!(openid, scene.sim.openid("Ann"));
    assert_eq!(sessions(&admin, &format!("openid={openid}")), found);
    assert!(sessions(&admin, "openid=nobody").is_empty());
    let newest: Vec<_> = found.iter().map(|s| s["created_at"].as_str().unwrap()).collect();
    assert!(newest.is_sorted_by(|a, b| a >= b), "{newest:?}");

    let alive = || ann.iter().filter(|client| client.call("user", &[]).error.is_none()).count();
    assert_eq!(alive(), 3);
    admin.delete(&format!("/tenants/{TENANT}/sessions/{}", found[1]["id"].as_str().unwrap())).ok();
    eventually("one session has ended", || (alive() == 2).then_some(()));
    for id in [found[1]["id"].as_str().unwrap(), &"0".repeat(64), "x", &"Z".repeat(64)] {
        admin.delete(&format!("/tenants/{TENANT}/sessions/{id}")).assert_error(404, "unknown_session");
    }
    for query in ["", "?", "?all=false", "?user=1&openid=x", "?all=true&user=1", "?user=x"] {
        admin.delete(&format!("/tenants/{TENANT}/sessions{query}")).assert_error(400, "bad_parameter");
    }
    let ended = admin.delete(&format!("/tenants/{TENANT}/sessions?user={user}"));
    assert_eq!(ended.ok()["ended"], 2);
    eventually("all sessions of the user have ended", || (alive() == 0).then_some(()));
    assert_ne!(bob.call("user", &[]).error.as_deref(), Some("session_expired"), "the other session continues");
    assert_eq!(admin.delete(&format!("/tenants/{TENANT}/sessions?all=true")).ok()["ended"], 1);
    eventually("the other session has ended", || {
        (bob.call("user", &[]).error.as_deref() == Some("session_expired")).then_some(())
    });
    assert_eq!((total(&admin, TENANT), total(&scene.admin_as("viewer"), NEIGHBOUR)), (0, 1));
    admin.delete(&format!("/tenants/{TENANT}/sessions?user=9999")).assert_error(404, "unknown_user");
}

pub fn user_is_found_changed_and_unbound(stores: Stores) {
    let scene = Scene::new(stores);
    let admin = scene.admin_as("operator");
    scene.add_user(TENANT, "ann", "Ann", "correct horse");
    let client = scene.session("Ann");
    client.call("login", &[("method", "password"), ("account", "ann"), ("password", "correct horse")]).ok();
    let openid = scene.sim.openid("Ann");
    let found = users(&admin, "account=ann");
    let id = found[0]["id"].as_i64().unwrap();
    for query in [format!("openid={openid}"), "after=0".to_owned(), String::new()] {
        assert_eq!(users(&admin, &query), found, "{query}");
    }
    for query in ["openid=nobody", "phone=%2B8613800138000", "external_id=x", "account=Ann"] {
        assert!(users(&admin, query).is_empty(), "{query}");
    }
    admin.get(&format!("/tenants/{TENANT}/users?openid=x&phone=y")).assert_error(400, "bad_parameter");
    admin.get(&format!("/tenants/{NEIGHBOUR}/users/{id}")).assert_error(404, "unknown_user");
    admin.get(&format!("/tenants/{TENANT}/users/x")).assert_error(404, "unknown_user");

    let path = format!("/api/v1/tenants/{TENANT}/users/{id}");
    let read = admin.get(&format!("/tenants/{TENANT}/users/{id}"));
    assert_eq!(read.ok(), &found[0]);
    let patch = |condition: Option<&str>, change: Value| {
        let request = Request::new("PATCH", &path).json(&change);
        admin.send(&condition.map_or(request.clone(), |tag| request.header("If-Match", tag)))
    };
    let seen = read.etag.as_deref();
    patch(None, json!({ "name": "x" })).assert_error(428, "precondition_required");
    patch(seen, json!({ "name": "x".repeat(65) })).assert_error(400, "bad_parameter");
    patch(seen, json!({ "name": "x", "phone": "+1" })).assert_error(400, "bad_parameter");
    patch(seen, json!([null, null])).assert_error(400, "bad_parameter");
    let changed = patch(seen, json!({ "name": "Anna 门楼" }));
    assert_eq!((changed.ok()["name"].as_str(), changed.etag == read.etag), (Some("Anna 门楼"), false));
    patch(seen, json!({ "name": "over it" })).assert_error(412, "changed_meanwhile");
    eventually("the person sees it", || (client.call("user", &[]).ok()["user"]["name"] == "Anna 门楼").then_some(()));
    // A change by the person changes the version as well.
    client.call("user", &[("name", "Own")]).ok();
    patch(changed.etag.as_deref(), json!({ "name": "over it" })).assert_error(412, "changed_meanwhile");

    let binding = format!("/tenants/{TENANT}/users/{id}/bindings/wechat");
    admin.delete(&format!("{binding}/nobody")).assert_error(404, "unknown_binding");
    admin.delete(&format!("{binding}/{openid}")).ok();
    eventually("she is logged out", || {
        (client.call("user", &[]).error.as_deref() == Some("login_required")).then_some(())
    });
    assert_eq!(users(&admin, "account=ann")[0]["bindings"], json!([]), "the account stays");
}

pub fn forgetting_a_user_deletes_account_bindings_and_sessions(stores: Stores) {
    let scene = Scene::new(stores);
    let admin = scene.admin_as(&format!("tenant:{TENANT}"));
    let (ann, bob) = (scene.person("Ann"), scene.person("Bob"));
    let id = ann.call("user", &[]).user_id().unwrap();
    let path = format!("/tenants/{TENANT}/users/{id}");
    let seen = admin.get(&path).etag.unwrap();
    admin.delete(&path).assert_error(428, "precondition_required");
    let forget = |tag: &str| admin.send(&Request::new("DELETE", format!("/api/v1{path}")).header("If-Match", tag));
    forget("\"77\"").assert_error(412, "changed_meanwhile");
    assert!(ann.call("user", &[]).error.is_none(), "nothing was done");
    forget(&seen).ok();
    eventually("her session is over", || {
        (ann.call("user", &[]).error.as_deref() == Some("session_expired")).then_some(())
    });
    admin.get(&path).assert_error(404, "unknown_user");
    forget("*").assert_error(404, "unknown_user");
    assert!(users(&admin, &format!("openid={}", scene.sim.openid("Ann"))).is_empty());
    assert!(scene.authorize("Ann").ok()["user"].is_null(), "a stranger again");
    assert_eq!(bob.call("user", &[]).ok()["user"]["name"], "Bob");
    // The audit log contains the operation and no personal data.
    let history = admin.get(&format!("/tenants/{TENANT}/history")).ok()["entries"].clone();
    assert_eq!(
        (history[0]["what"].as_str(), history[0]["target"].as_str()),
        (Some("user.forget"), Some(&*id.to_string()))
    );
    assert!(
        !history.to_string().contains("Ann") && !history.to_string().contains(&scene.sim.openid("Ann")),
        "{history}"
    );
}

#[test]
fn session_ended_by_one_replica_is_invalid_on_the_others() {
    let scene = Scene::new(Stores::Both);
    let other = Gateway::start(setup(&scene.sim, scene.redis.as_ref(), scene.postgres.as_ref()));
    // A token that was created on one replica is valid on all.
    let admin = scene.admin_as("operator");
    let there = other.admin_with(admin.token());
    there.get("/me").ok();
    let ann = scene.person("Ann");
    let token = scene.authorize("Ann").token().unwrap().to_owned();
    let elsewhere = other.client(TENANT).with(&token);
    let id = elsewhere.call("user", &[]).user_id().unwrap();
    admin.delete(&format!("/tenants/{TENANT}/sessions?user={id}")).ok();
    eventually("over there too", || (elsewhere.call("user", &[]).status == 401).then_some(()));
    assert_eq!(ann.call("user", &[]).status, 401);
    let token = scene.authorize("Ann").token().unwrap().to_owned();
    let elsewhere = other.client(TENANT).with(&token);
    elsewhere.call("user", &[]).ok();
    admin.send(&Request::new("DELETE", format!("/api/v1/tenants/{TENANT}/users/{id}")).header("If-Match", "*")).ok();
    eventually("forgotten there too", || (elsewhere.call("user", &[]).status == 401).then_some(()));
    let (here, there) = (admin.get("/audit"), there.get("/audit"));
    assert_eq!(here.ok(), there.ok(), "one log");
}
