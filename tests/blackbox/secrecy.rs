//! No secret is logged at any log level. Every test asserts at its end that the log contains no secret; this one logs as
//! much as possible.

use crate::{
    login_service::{ACCOUNT, KEY, LoginService, PASSWORD},
    scene::{Scene, Stores, TENANT, tenant},
};
use menlou_simulator::Failure;

#[test]
fn no_secret_is_logged_even_at_level_trace() {
    let service = LoginService::start();
    let mut scene = Scene::with(Stores::Both, |mut setup, sim| {
        let methods = r#"["phone", "password", "profile", "delegate"]"#;
        let delegate = format!("{methods}\ndelegate_url = \"{}\"\ndelegate_secret = \"{KEY}\"", service.url());
        setup.tenants[0].1 = tenant(sim).replace(r#"["phone", "password", "profile"]"#, &delegate);
        setup.setting("log.level", "\"trace\"")
    });
    let phone = "13800138000";
    for secret in [KEY, PASSWORD, phone] {
        scene.secrets().add(secret);
    }
    scene.add_user(TENANT, "ann", "Ann", "annes-password");
    let client = scene.session("ann");
    client.call("login", &[("method", "password"), ("account", "ann"), ("password", "annes-password")]).ok();
    client.call("login", &[("method", "password"), ("account", "ann"), ("password", "a-wrong-guess")]);
    client.call("login", &[("method", "phone"), ("phone_code", &scene.sim.phone_code(phone))]).ok();
    client.call("login", &[("method", "delegate"), ("account", ACCOUNT), ("password", PASSWORD)]).ok();
    client.call("login", &[("method", "delegate"), ("account", "broken"), ("password", "another-password")]);
    let session_key = scene.sim.first_app().session_key(&scene.sim.openid("ann")).expect("a session_key");
    scene.secrets().add(&session_key);
    for failure in [Failure::errcode(-1), Failure::drop_connection(), Failure::status(500), Failure::truncate()] {
        for path in ["/sns/jscode2session", "/wxa/business/getuserphonenumber", "/cgi-bin/stable_token"] {
            scene.sim.fail(path, failure.clone(), 1);
        }
        scene.authorize("ann");
        client.call("login", &[("method", "phone"), ("phone_code", &scene.sim.phone_code(phone))]);
        scene.sim.clear_failures();
    }
    scene.write_tenant(TENANT, &tenant(&scene.sim).replace("demo-secret\"", "demo-secret"));
    crate::scene::eventually("the invalid file is reported", || scene.log().contains("manulife.toml:").then_some(()));
    scene.redis.as_mut().unwrap().kill();
    client.call("user", &[("name", "Anna")]);
    scene.authorize("ann");
    client.call("logout", &[]);

    for logged in ["upstream_error", "platform_busy", "platform_unreachable", "store_unavailable"] {
        assert!(scene.log().contains(logged), "{logged}");
    }
    for path in ["/metrics", "/readyz"] {
        scene.secrets().assert_absent_from(&scene.admin(path).unwrap().text());
    }
}
