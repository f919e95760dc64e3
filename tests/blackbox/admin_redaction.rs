//! No secret of a tenant file is shown: not in a comment, not after a plugin has changed its settings, and not under a name
//! that no schema explains.

use crate::{
    plugin_reloads::{Compiler, install},
    scene::{Scene, Stores, TENANT, eventually, tenant},
};

const ANY: (&str, &str) = ("If-Match", "*");

#[test]
fn comments_of_a_tenant_file_are_hidden_from_viewers() {
    let scene = Scene::new(Stores::Embedded);
    let (viewer, own) = (scene.admin_as("viewer"), scene.admin_as(&format!("tenant:{TENANT}")));
    let text = tenant(&scene.sim).replace("[actions.user]", "[actions.user] # until May: hunter-inline");
    let text = format!("# hunter-first is the old one\n{text}#secret = \"hunter-value\"\n# last, hunter-last");
    own.put(TENANT, &text, ANY).ok();
    let shown = own.get(&format!("/tenants/{TENANT}"));
    assert_eq!(shown.ok()["toml"].as_str().unwrap().matches("hunter-").count(), 4, "{}", shown.body);
    let page = |path: &str| viewer.get(&format!("/tenants/{TENANT}{path}")).ok().to_string();
    let seen = page("");
    assert!(seen.contains("# …") && !seen.contains("hunter-"), "{seen}");
    let history = page("/history");
    assert!(history.contains("+# …") && !history.contains("hunter-"), "{history}");
    let history = own.get(&format!("/tenants/{TENANT}/history")).ok().to_string();
    assert!(!history.contains("hunter-"), "{history}");
}

#[test]
fn a_secret_stays_hidden_when_a_new_version_of_the_plugin_declares_it_no_secret() {
    let scene = Scene::new(Stores::Embedded);
    let settings = |phrase: &str| {
        let schema =
            format!(r#"{{\"type\":\"object\",\"properties\":{{\"phrase\":{{\"type\":\"string\"{phrase}}}}}}}"#);
        format!("-DSETTINGS=\"{schema}\"")
    };
    let compiler = Compiler::new();
    let (secret, open) = (settings(r#",\"format\":\"secret\""#), settings(""));
    install(&scene.gateway, &compiler.build("greet", "1", &[&secret]), "greet");
    let admins = [scene.admin_as("viewer"), scene.admin_as(&format!("tenant:{TENANT}")), scene.admin_as("operator")];
    let loaded = |version: &str| {
        eventually("the plugin is loaded", || {
            admins[2].get("/plugins").ok()["plugins"]
                .to_string()
                .contains(&format!("\"version\":\"{version}\""))
                .then_some(())
        });
    };
    eventually("the plugin is known", || {
        admins[2].get("/plugins").ok()["plugins"].to_string().contains("greet").then_some(())
    });
    let text = format!("{}[actions.greet]\nphrase = \"hunter-phrase\"\n", tenant(&scene.sim));
    admins[2].put(TENANT, &text, ANY).ok();
    let assert_hidden = |when: &str| {
        for admin in &admins {
            let shown = admin.get(&format!("/tenants/{TENANT}"));
            assert!(!shown.ok().to_string().contains("hunter-phrase"), "{when}: {}", shown.body);
            assert_eq!(shown.body["settings"]["actions"]["greet"]["phrase"], "masked:", "{when}: {}", shown.body);
        }
    };
    assert_hidden("while it is a secret");
    install(&scene.gateway, &compiler.build("greet", "2.0.7", &[&open]), "greet");
    loaded("2.0.7");
    assert_hidden("after the schema has changed");
    // The file that was read can be saved back: the value is kept.
    let shown = admins[1].get(&format!("/tenants/{TENANT}")).body["toml"].as_str().unwrap().to_owned();
    admins[1].put(TENANT, &shown, ANY).ok();
    let stored = std::fs::read_to_string(scene.tenants().join(format!("{TENANT}.toml"))).unwrap();
    assert_eq!(stored, text);
    std::fs::remove_file(scene.gateway.plugins().join("greet.so")).unwrap();
    eventually("the plugin is gone", || {
        (!admins[2].get("/plugins").ok()["plugins"].to_string().contains("greet")).then_some(())
    });
    assert_hidden("without the plugin");
}

#[test]
fn what_sounds_like_a_secret_is_hidden_from_viewers() {
    let scene = Scene::new(Stores::Embedded);
    let settings = r#"{\"type\":\"object\",\"properties\":{\"apiKey\":{\"type\":\"string\"},\"pin_token\":{\"type\":\"integer\"},\"greeting\":{\"type\":\"string\"}}}"#;
    install(&scene.gateway, &Compiler::new().build("greet", "1", &[&format!("-DSETTINGS=\"{settings}\"")]), "greet");
    let (viewer, operator) = (scene.admin_as("viewer"), scene.admin_as("operator"));
    eventually("the plugin is known", || {
        operator.get("/plugins").ok()["plugins"].to_string().contains("greet").then_some(())
    });
    let action = "[actions.greet]\napiKey = \"hunter-key\"\npin_token = 73317331\ngreeting = \"hello\"\n";
    operator.put(TENANT, &format!("{}{action}", tenant(&scene.sim)), ANY).ok();
    let seen = operator.get(&format!("/tenants/{TENANT}")).ok().to_string();
    assert!(seen.contains("hunter-key") && seen.contains("73317331"), "no schema calls it a secret: {seen}");
    for path in ["", "/history"] {
        let seen = viewer.get(&format!("/tenants/{TENANT}{path}")).ok().to_string();
        assert!(!seen.contains("hunter-key") && !seen.contains("73317331") && seen.contains("hello"), "{path}: {seen}");
    }
}

#[test]
fn an_invalid_ttl_hides_nothing_else() {
    let scene = Scene::new(Stores::Embedded);
    let own = scene.admin_as(&format!("tenant:{TENANT}"));
    let before = own.get(&format!("/tenants/{TENANT}"));
    for session in ["ttl = \"7 days\"", "ttl = 7", "ttl = [\"7d\"]"] {
        scene.write_tenant(TENANT, &format!("{}[session]\n{session}\n", tenant(&scene.sim)));
        let shown = own.get(&format!("/tenants/{TENANT}"));
        assert_ne!(shown.ok()["faults"], serde_json::json!([]), "{session}");
        for pointer in ["/wechat/appid", "/wechat/base_url", "/wechat/secret", "/actions/login", "/actions/openid"] {
            let at = |response: &menlou_harness::AdminResponse| response.body["settings"].pointer(pointer).cloned();
            assert_eq!(at(&shown), at(&before), "{session}: {pointer}");
        }
        let toml = |response: &menlou_harness::AdminResponse| {
            response.body["toml"].as_str().unwrap().matches("masked:").count()
        };
        assert!(toml(&shown) <= toml(&before) + 1, "{session}: {}", shown.body["toml"]);
    }
}
