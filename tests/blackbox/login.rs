//! The login flow on every kind of store: openid → no user → login → user → openid logs the user in → logout.

use crate::{
    login_service::{ACCOUNT, KEY, LoginService, PASSWORD},
    scene::{NEIGHBOUR, Scene, Stores, TENANT, neighbours_code, side_by_side, tenant},
};
use menlou_harness::{Client, Envelope};
use menlou_simulator::PhoneNumber;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn profile(client: &Client, name: &str) -> Envelope {
    client.call("login", &[("method", "profile"), ("name", name)])
}

fn phone(scene: &Scene, client: &Client, number: &str) -> Envelope {
    scene.secrets().add(number);
    client.call("login", &[("method", "phone"), ("phone_code", &scene.sim.phone_code(number))])
}

pub fn first_login_binds_the_openid_and_later_ones_need_no_login_action(stores: Stores) {
    let scene = Scene::new(stores);
    let first = scene.authorize("ann");
    assert_eq!(first.ok()["user"], Value::Null);
    let session = scene.client().with(first.token().unwrap());
    session.call("user", &[]).assert_error(401, "login_required");

    let login =
        session.call("login", &[("method", "profile"), ("name", "Ann"), ("avatar_url", "https://example.com/a.png")]);
    let user = login.ok()["user"].clone();
    assert_eq!(user, json!({ "id": user["id"], "name": "Ann", "avatar_url": "https://example.com/a.png" }));
    assert_eq!(login.token(), first.token(), "the session stays valid");

    let again = scene.authorize("ann");
    assert_eq!(again.ok()["user"], user);
    assert_ne!(again.token(), first.token(), "each login opens a session");
    for token in [first.token(), again.token()] {
        assert_eq!(scene.client().with(token.unwrap()).call("user", &[]).ok()["user"], user);
    }
}

pub fn the_same_phone_number_binds_the_same_account(stores: Stores) {
    let scene = Scene::new(stores);
    let ann = phone(&scene, &scene.session("ann"), "13800138000");
    let tablet = phone(&scene, &scene.session("ann's tablet"), "13800138000");
    let bob = phone(&scene, &scene.session("bob"), "13900139000");
    ann.ok();
    assert_eq!(ann.user_id(), tablet.user_id());
    assert_ne!(ann.user_id(), bob.user_id());
    assert_eq!(scene.authorize("ann's tablet").user_id(), ann.user_id());
    assert_eq!(scene.sim.calls("/cgi-bin/stable_token"), 1, "the access token is cached");

    let client = scene.session("carl");
    client.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]).assert_error(200, "invalid_code");
    let login_code = scene.sim.code("carl");
    client.call("login", &[("method", "phone"), ("phone_code", &login_code)]).assert_error(200, "invalid_code");
    client.call("user", &[]).assert_error(401, "login_required");
}

pub fn a_phone_code_logs_in_nobody_but_the_person_that_obtained_it(stores: Stores) {
    let scene = Scene::new(stores);
    let code = scene.sim.first_app().phone_code_for("ann", PhoneNumber::new("13800138000"));
    let login = |client: &Client| client.call("login", &[("method", "phone"), ("phone_code", &code)]);
    let stolen = login(&scene.session("mallory"));
    stolen.assert_error(200, "invalid_code");
    assert_eq!(stolen.data["errcode"], 40003);
    login(&scene.session("ann")).ok();
}

pub fn a_correct_password_binds_the_existing_account(stores: Stores) {
    let scene = Scene::new(stores);
    scene.add_user(TENANT, "ann", "Ann", "annes-password");
    let login = |client: &Client, account: &str, password: &str| {
        client.call("login", &[("method", "password"), ("account", account), ("password", password)])
    };
    let client = scene.session("ann");
    login(&client, "ann", "another-password").assert_error(200, "bad_credentials");
    login(&client, "nobody", "annes-password").assert_error(200, "bad_credentials");
    client.call("user", &[]).assert_error(401, "login_required");

    let done = login(&client, "ann", "annes-password");
    assert_eq!(done.ok()["user"]["name"], json!("Ann"));
    let tablet = login(&scene.session("ann's tablet"), "ann", "annes-password");
    assert_eq!(tablet.user_id(), done.user_id());
    assert_eq!(scene.authorize("ann").user_id(), done.user_id());

    // Whose openid had an account already is bound to the one that they log in to.
    let bob = scene.person("bob");
    assert_ne!(bob.call("user", &[]).user_id(), done.user_id());
    login(&bob, "ann", "annes-password").ok();
    assert_eq!(bob.call("user", &[]).user_id(), done.user_id());
}

pub fn delegated_login_follows_the_tenants_login_service(stores: Stores) {
    let service = LoginService::start();
    let scene = Scene::with(stores, |mut setup, sim| {
        let methods = format!("[\"delegate\"]\ndelegate_url = \"{}\"\ndelegate_secret = \"{KEY}\"", service.url());
        setup.tenants[0].1 = tenant(sim).replace(r#"["phone", "password", "profile"]"#, &methods);
        setup
    });
    scene.secrets().add(KEY);
    let login = |client: &Client, account: &str, password: &str| {
        client.call("login", &[("method", "delegate"), ("account", account), ("password", password)])
    };
    let client = scene.session("ann");
    let done = login(&client, ACCOUNT, PASSWORD);
    let user = json!({ "id": done.user_id(), "name": "Ann", "avatar_url": "https://example.com/ann.png" });
    assert_eq!(done.ok()["user"], user);
    let credentials = json!({ "account": ACCOUNT, "password": PASSWORD });
    let request = json!({ "tenant": TENANT, "openid": scene.sim.openid("ann"), "client_address": "127.0.0.1",
        "credentials": credentials });
    assert_eq!(service.next(), request);
    assert_eq!(login(&scene.session("ann's tablet"), ACCOUNT, PASSWORD).user_id(), done.user_id());
    assert_eq!(scene.authorize("ann").ok()["user"], user);

    let stranger = scene.session("bob");
    login(&stranger, ACCOUNT, "another-password").assert_error(200, "bad_credentials");
    let banned = login(&stranger, "banned", "another-password");
    assert_eq!(banned.assert_error(200, "login_refused").msg, "该员工已离职");
    for nonsense in ["broken", "nul"] {
        login(&stranger, nonsense, "another-password").assert_error(502, "upstream_error");
    }
    profile(&stranger, "Bob").assert_error(200, "method_not_allowed_here");
    stranger.call("user", &[]).assert_error(401, "login_required");

    drop(service);
    login(&stranger, ACCOUNT, PASSWORD).assert_error(502, "upstream_unreachable");
}

pub fn logout_ends_the_session_and_unbind_removes_the_binding(stores: Stores) {
    let scene = Scene::new(stores);
    let (ann, elsewhere) = (scene.person("ann"), scene.session("ann"));
    let id = ann.call("user", &[]).user_id();
    ann.call("logout", &[]).ok();
    for action in ["user", "login", "logout"] {
        ann.call(action, &[("method", "profile"), ("name", "Ann")]).assert_error(401, "session_expired");
    }
    assert_eq!(elsewhere.call("user", &[]).user_id(), id, "other sessions stay valid");
    assert_eq!(scene.authorize("ann").user_id(), id, "the binding stays");

    elsewhere.call("logout", &[("unbind", "1")]).ok();
    let after = scene.authorize("ann");
    assert_eq!(after.ok()["user"], Value::Null, "the binding is removed");
    let second = profile(&scene.client().with(after.token().unwrap()), "Ann");
    assert_ne!(second.user_id(), id);
}

pub fn changes_of_an_account_are_visible_to_all_of_its_openids(stores: Stores) {
    let scene = Scene::new(stores);
    let (phone1, phone2) = (scene.session("ann"), scene.session("ann's tablet"));
    for client in [&phone1, &phone2] {
        phone(&scene, client, "13800138000").ok();
    }
    let changed = phone1.call("user", &[("name", "安"), ("avatar_url", "https://example.com/new.png")]);
    let user = json!({ "id": changed.user_id(), "name": "安", "avatar_url": "https://example.com/new.png" });
    assert_eq!(changed.ok()["user"], user);
    assert_eq!(phone2.call("user", &[]).ok()["user"], user);
    assert_eq!(phone2.call("user", &[("name", "Ann")]).ok()["user"]["avatar_url"], user["avatar_url"]);
    assert_eq!(scene.authorize("ann").ok()["user"]["name"], json!("Ann"));

    phone2.call("logout", &[("unbind", "1")]).ok();
    assert_eq!(scene.authorize("ann's tablet").ok()["user"], Value::Null);
    assert_eq!(scene.authorize("ann").user_id(), changed.user_id());
}

pub fn concurrent_logins_create_one_account(stores: Stores) {
    let scene = Scene::new(stores);
    let sessions: Vec<Client> = (0..5).map(|_| scene.session("ann")).collect();
    let ids = side_by_side(20, |at| {
        let login = profile(&sessions[at % sessions.len()], &format!("Ann {at}"));
        login.ok();
        login.user_id().unwrap()
    });
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1, "one openid: {ids:?}");

    let sessions: Vec<Client> = (0..20).map(|at| scene.session(&format!("device {at}"))).collect();
    let codes: Vec<String> = sessions.iter().map(|_| scene.sim.phone_code("13800138000")).collect();
    let ids = side_by_side(20, |at| {
        let login = sessions[at].call("login", &[("method", "phone"), ("phone_code", &codes[at])]);
        login.ok();
        login.user_id().unwrap()
    });
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1, "one phone number: {ids:?}");
}

pub fn sessions_codes_and_accounts_of_one_tenant_are_invalid_in_another(stores: Stores) {
    let scene = Scene::new(stores);
    let ann = scene.person("ann");
    let authorized = ann.call("openid", &[("code", &scene.sim.code("ann"))]);
    let token = authorized.token().unwrap();
    let neighbour = scene.gateway.client(NEIGHBOUR);
    for action in ["user", "login", "logout"] {
        neighbour
            .with(token)
            .call(action, &[("method", "profile"), ("name", "x")])
            .assert_error(401, "session_expired");
    }
    ann.call("user", &[]).ok();

    let code = scene.sim.code("ann");
    neighbour.call("openid", &[("code", &code)]).assert_error(200, "invalid_code");
    let other = neighbour.call("openid", &[("code", &neighbours_code(&scene.sim, "ann"))]);
    assert_eq!(other.ok()["user"], Value::Null);

    scene.add_user(TENANT, "shared", "Ann", "annes-password");
    let login = [("method", "password"), ("account", "shared"), ("password", "annes-password")];
    neighbour.with(other.token().unwrap()).call("login", &login).assert_error(200, "bad_credentials");
}
