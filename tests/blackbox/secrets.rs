//! Sources of secrets: sealed values and their keys, changing files, and the replacement of an AppSecret.

use crate::{
    login_service::{ACCOUNT, KEY, LoginService, PASSWORD},
    scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, neighbours_code, tenant},
};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const NEW: &str = "another-app-secret";

/// A gateway with a key for sealed secrets.
pub fn with_key() -> Scene {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("secrets.keys_file", "\"file:seal.keys\""));
    scene.secrets().add(NEW);
    let made = scene.command(&["secret", "keygen"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    scene
}

fn keys(scene: &Scene) -> PathBuf {
    scene.tenants().with_file_name("seal.keys")
}

fn seal(scene: &Scene, tenant: &str, field: &str, secret: &str) -> String {
    let output =
        scene.command_with_input(&["secret", "seal", "--tenant", tenant, "--field", field], &format!("{secret}\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sealed = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(sealed.starts_with("sealed:v1:") && !sealed.contains(secret), "{sealed}");
    sealed
}

/// The tenant's file with this AppSecret.
fn with_secret(scene: &Scene, secret: &str) -> String {
    tenant(&scene.sim).replace(DEMO_SECRET, secret)
}

/// Exit code and output of a command.
fn run(scene: &Scene, arguments: &[&str]) -> (Option<i32>, String) {
    let output = scene.command(arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    scene.secrets().assert_absent_from(&text);
    (output.status.code(), text)
}

/// How often the tenant has been reloaded.
fn reloads(scene: &Scene, tenant: &str) -> usize {
    let log = scene.log();
    log.lines().filter(|l| l.contains("tenant reloaded") && l.contains(&format!("tenant=\"{tenant}\""))).count()
}

fn logs_in(scene: &Scene, tenant: &str) -> bool {
    scene.gateway.client(tenant).call("openid", &[("code", &scene.sim.code("ann"))]).error.is_none()
}

#[test]
fn a_sealed_secret_works_for_its_own_tenant_and_field_only() {
    let scene = with_key();
    let sealed = seal(&scene, TENANT, "wechat.secret", DEMO_SECRET);
    scene.write_tenant(TENANT, &with_secret(&scene, &sealed));
    eventually("the tenant is reloaded", || (reloads(&scene, TENANT) == 1).then_some(()));
    scene.authorize("ann").ok();
    let (code, text) = run(&scene, &["validate", "--offline"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("warning: the secret is in plain text"), "of the neighbour: {text}");
    assert!(text.contains("neighbour.toml:5:10") && !text.contains("manulife.toml:"), "{text}");

    let neighbour = fs::read_to_string(scene.tenants().join("neighbour.toml")).unwrap();
    scene.write_tenant(NEIGHBOUR, &neighbour.replace("neighbours-own-secret", &sealed));
    let moved = "was not sealed for wechat.secret of tenant neighbour";
    eventually("the secret is rejected", || scene.log().contains(moved).then_some(()));
    assert!(scene.log().contains("neighbour.toml:5:10"), "{}", scene.log());
    scene.gateway.client(NEIGHBOUR).call("openid", &[("code", &neighbours_code(&scene.sim, "ann"))]).ok();
    let (code, text) = run(&scene, &["validate", "--offline"]);
    assert!(code == Some(1) && text.contains(moved), "{text}");

    let fields = tenant(&scene.sim).replace("base_url", &format!("previous_secret = \"{sealed}\"\nbase_url"));
    scene.write_tenant("fields", &fields);
    eventually("the secret is rejected in another field", || {
        scene.log().contains("was not sealed for wechat.previous_secret of tenant fields").then_some(())
    });
    for shown in ["/metrics", "/readyz"] {
        scene.secrets().assert_absent_from(&scene.admin(shown).unwrap().text());
    }
}

#[test]
fn a_secret_of_a_plugin_can_be_sealed() {
    let (scene, service) = (with_key(), LoginService::start());
    for secret in [KEY, PASSWORD] {
        scene.secrets().add(secret);
    }
    let sealed = seal(&scene, TENANT, "actions.login.delegate_secret", KEY);
    let methods = r#"["phone", "password", "profile"]"#;
    let delegate = format!("[\"delegate\"]\ndelegate_url = \"{}\"\ndelegate_secret = \"{sealed}\"", service.url());
    scene.write_tenant(TENANT, &tenant(&scene.sim).replace(methods, &delegate));
    eventually("the tenant is reloaded", || (reloads(&scene, TENANT) == 1).then_some(()));
    let client = scene.session("ann");
    client.call("login", &[("method", "delegate"), ("account", ACCOUNT), ("password", PASSWORD)]).ok();
}

#[test]
fn seal_keys_can_be_rotated_while_the_gateway_runs() {
    let scene = with_key();
    let mode = fs::metadata(keys(&scene)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let first = fs::read_to_string(keys(&scene)).unwrap();
    assert!(!scene.command(&["secret", "keygen"]).status.success(), "an existing file is not overwritten");
    assert_eq!(fs::read_to_string(keys(&scene)).unwrap(), first);

    let sealed = seal(&scene, TENANT, "wechat.secret", DEMO_SECRET);
    let file = with_secret(&scene, &sealed).replace("[wechat]", "# 保险 insurance\n[wechat]   # here");
    scene.write_tenant(TENANT, &file);
    eventually("the tenant is reloaded", || (reloads(&scene, TENANT) == 1).then_some(()));
    assert!(run(&scene, &["secret", "keygen", "--add"]).1.contains("menlou secret rotate"));
    let path = scene.tenants().join("manulife.toml");
    let (code, text) = run(&scene, &["secret", "rotate", "--dry-run"]);
    assert!(code == Some(0) && text.contains("manulife.toml: wechat.secret:"), "{text}");
    assert_eq!(fs::read_to_string(&path).unwrap(), file);

    let (code, text) = run(&scene, &["secret", "rotate"]);
    assert!(code == Some(0) && text.contains("reencrypted: 1 (files: 1)"), "{text}");
    let rotated = fs::read_to_string(&path).unwrap();
    let resealed = rotated.lines().find_map(|l| l.strip_prefix("secret = \"")).unwrap().trim_end_matches('"');
    assert!(resealed.starts_with("sealed:v1:") && resealed != sealed);
    assert_eq!(rotated.replace(resealed, &sealed), file, "nothing else changed");
    assert!(run(&scene, &["secret", "rotate"]).1.contains("reencrypted: 0"));

    let without_old: String =
        fs::read_to_string(keys(&scene)).unwrap().lines().take(1).map(|l| format!("{l}\n")).collect();
    fs::write(keys(&scene), &without_old).unwrap();
    assert_eq!(run(&scene, &["validate", "--offline"]).0, Some(0));
    eventually("a login succeeds", || logs_in(&scene, TENANT).then_some(()));
    assert!(!scene.readiness().1.to_string().contains("sealed with the key"), "{:?}", scene.readiness());

    fs::write(keys(&scene), &first).unwrap();
    eventually("a missing key is reported", || {
        scene.readiness().1.to_string().contains("was sealed with the key").then_some(())
    });
    scene.authorize("ann").ok();
    fs::write(keys(&scene), &without_old).unwrap();
    eventually("the problem is no longer reported", || {
        (!scene.readiness().1.to_string().contains("was sealed with the key")).then_some(())
    });
}

#[test]
fn rotate_reports_secrets_that_it_cannot_open_and_reencrypts_the_rest() {
    let scene = with_key();
    let sealed = seal(&scene, TENANT, "wechat.secret", DEMO_SECRET);
    let (valid, moved, broken) =
        (with_secret(&scene, &sealed), with_secret(&scene, &sealed), "name = \"unclosed\n[wechat");
    scene.write_tenant(TENANT, &valid);
    scene.write_tenant("moved", &moved);
    scene.write_tenant("broken", broken);
    assert!(scene.command(&["secret", "keygen", "--add"]).status.success());
    let (code, text) = run(&scene, &["secret", "rotate"]);
    assert_eq!(code, Some(1), "{text}");
    for part in ["manulife.toml: wechat.secret:", "moved.toml:5:10", "broken.toml:1:", "reencrypted: 1 (files: 1)"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let read = |name: &str| fs::read_to_string(scene.tenants().join(name)).unwrap();
    assert!(read("manulife.toml") != valid && read("moved.toml") == moved && read("broken.toml") == broken);
}

#[test]
fn without_a_key_seal_and_rotate_fail_and_say_how_to_configure_one() {
    let scene = Scene::new(Stores::Embedded);
    let (code, text) = run(&scene, &["secret", "seal", "--tenant", TENANT, "--field", "wechat.secret"]);
    assert!(code == Some(1) && text.contains("menlou secret keygen"), "{text}");
    let (code, text) = run(&scene, &["secret", "rotate"]);
    assert!(code == Some(1) && text.contains("[secrets] keys_file"), "{text}");
    let scene = with_key();
    for (field, input, says) in [
        ("wechat.secrte", NEW, "wechat.previous_secret, wechat.secret, actions.NAME.KEY"),
        ("wechat.secret", "", "the secret is empty"),
    ] {
        let output = scene.command_with_input(&["secret", "seal", "--tenant", TENANT, "--field", field], input);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && output.stdout.is_empty() && text.contains(says), "{text}");
    }
}

#[test]
fn keys_may_come_from_the_environment_and_secrets_from_systemd() {
    let scene = with_key();
    let key = fs::read_to_string(keys(&scene)).unwrap();
    let key = key.split_whitespace().find(|part| part.starts_with("menlou-key-")).unwrap();
    let sealed = seal(&scene, TENANT, "wechat.secret", DEMO_SECRET);
    let credentials = tempfile::tempdir().unwrap();
    fs::write(credentials.path().join("wechat"), format!("{DEMO_SECRET}\n")).unwrap();
    let (sealed, credential) =
        (with_secret(&scene, &sealed), with_secret(&scene, "file:$CREDENTIALS_DIRECTORY/wechat"));
    let other = Scene::with(Stores::Embedded, |mut setup, sim| {
        let here = |file: String| file.replace(scene.sim.base_url(), sim.base_url());
        setup.tenants[0].1 = here(sealed);
        setup
            .tenant("systemd", here(credential))
            .env("MENLOU_SECRETS__KEYS_FILE", key)
            .env("CREDENTIALS_DIRECTORY", &credentials.path().display().to_string())
    });
    other.secrets().add(key);
    for tenant in [TENANT, "systemd"] {
        assert!(logs_in(&other, tenant), "{tenant}");
    }
}

#[test]
fn a_changed_secret_file_reloads_only_its_tenant_within_seconds() {
    let scene = Scene::new(Stores::Embedded);
    scene.secrets().add(NEW);
    let home = scene.tenants().parent().unwrap().to_owned();
    fs::create_dir_all(home.join("mounted")).unwrap();
    fs::write(home.join("plain"), DEMO_SECRET).unwrap();
    let mount = |version: &str, secret: &str| {
        let folder = home.join("mounted");
        fs::create_dir(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("secret"), secret).unwrap();
        symlink(version, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    mount("..1", DEMO_SECRET);
    symlink("..data/secret", home.join("mounted/secret")).unwrap();
    for (tenant, secret) in [("plain", "file:../plain"), ("mounted", "file:../mounted/secret")] {
        scene.write_tenant(tenant, &with_secret(&scene, secret));
        eventually("the tenant is served", || logs_in(&scene, tenant).then_some(()));
    }
    scene.sim.first_app().reset_secret(NEW).unwrap();
    for tenant in ["plain", "mounted"] {
        assert!(!logs_in(&scene, tenant));
        let written = Instant::now();
        if tenant == "plain" {
            fs::write(home.join("plain"), NEW).unwrap()
        } else {
            mount("..2", NEW)
        }
        eventually("the new secret is loaded", || logs_in(&scene, tenant).then_some(()));
        assert!(written.elapsed() < Duration::from_secs(4), "{tenant}: after {:?}", written.elapsed());
    }
    let reloads = |tenant| reloads(&scene, tenant);
    assert_eq!((reloads("plain"), reloads("mounted")), (1, 1), "{}", scene.log());
    assert_eq!((reloads(TENANT), reloads(NEIGHBOUR)), (0, 0), "{}", scene.log());

    fs::remove_file(home.join("plain")).unwrap();
    eventually("a missing file is reported", || {
        scene.readiness().1.to_string().contains("plain can't be").then_some(())
    });
    assert!(logs_in(&scene, "plain"), "the last valid secret stays in use");
    fs::write(home.join("plain"), NEW).unwrap();
    eventually("the problem is no longer reported", || {
        (!scene.readiness().1.to_string().contains("plain can't be")).then_some(())
    });
}

#[test]
fn an_app_secret_is_replaced_without_one_failed_login() {
    let scene = Scene::new(Stores::Embedded);
    scene.secrets().add(NEW);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for person in ["ann", "bob"] {
            let (scene, stop, served) = (&scene, &stop, &served);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let session = scene.session(person);
                    // The phone number needs an access token, which the platform revokes together with the old secret.
                    let code = scene.sim.phone_code("13800138000");
                    session.call("login", &[("method", "phone"), ("phone_code", &code)]).ok();
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let wait_for_logins = || {
            let before = served.load(Ordering::Relaxed);
            eventually("further logins succeed", || (served.load(Ordering::Relaxed) > before + 5).then_some(()));
        };
        wait_for_logins();
        let both = tenant(&scene.sim)
            .replace("base_url", &format!("previous_secret = \"{DEMO_SECRET}\"\nbase_url"))
            .replace(&format!("\nsecret = \"{DEMO_SECRET}\""), &format!("\nsecret = \"{NEW}\""));
        scene.write_tenant(TENANT, &both);
        eventually("both secrets are loaded", || (reloads(&scene, TENANT) == 1).then_some(()));
        wait_for_logins();
        scene.sim.first_app().reset_secret(NEW).unwrap();
        wait_for_logins();
        scene.write_tenant(TENANT, &with_secret(&scene, NEW));
        eventually("only the new secret is loaded", || (reloads(&scene, TENANT) == 2).then_some(()));
        wait_for_logins();
        stop.store(true, Ordering::Relaxed);
    });
    let log = scene.log();
    assert_eq!(log.matches("WeChat rejects secret and accepts previous_secret").count(), 1, "{log}");
    assert_eq!(log.matches("previous_secret can be removed").count(), 1, "{log}");
}

#[test]
fn a_secret_entered_for_a_tenant_is_sealed_in_its_file() {
    let scene = with_key();
    let address = scene.sim.base_url().to_owned();
    let new = ["tenant", "create", "typed", "--appid", DEMO_APPID, "--secret-stdin", "--base-url", &address];
    let output = scene.command_with_input(&new, &format!("{DEMO_SECRET}\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = || fs::read_to_string(scene.tenants().join("typed.toml")).unwrap();
    assert!(file().contains("secret = \"sealed:v1:") && !file().contains(DEMO_SECRET), "{}", file());
    let before = file();
    let edit = ["tenant", "edit", "typed", "--set-secret", "wechat.secret"];
    let output = scene.command_with_input(&edit, &format!("{DEMO_SECRET}\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        file().contains("secret = \"sealed:v1:") && file() != before && !file().contains(DEMO_SECRET),
        "{}",
        file()
    );
    assert_eq!(run(&scene, &["tenant", "verify", "typed"]).0, Some(0));

    fs::remove_file(keys(&scene)).unwrap();
    let output = scene.command_with_input(&edit, &format!("{DEMO_SECRET}\n"));
    assert!(!output.status.success(), "without the keys it is not written in plain text");
    assert!(!file().contains(DEMO_SECRET), "{}", file());
}

#[test]
fn if_the_new_secret_is_rejected_verify_reports_whether_the_old_one_works() {
    let scene = Scene::new(Stores::Embedded);
    scene.secrets().add(NEW);
    let both =
        |old: &str| with_secret(&scene, NEW).replace("base_url", &format!("previous_secret = \"{old}\"\nbase_url"));
    scene.write_tenant(TENANT, &both(DEMO_SECRET));
    let (code, text) = run(&scene, &["tenant", "verify", TENANT]);
    assert!(code == Some(1) && text.contains("✗ access token: The AppSecret is wrong"), "{text}");
    assert!(text.contains("✓ the previous secret (previous_secret)"), "{text}");
    scene.write_tenant(TENANT, &both("neither-this-one"));
    let (code, text) = run(&scene, &["tenant", "verify", TENANT]);
    assert!(code == Some(1) && text.contains("✗ the previous secret (previous_secret)"), "{text}");
}
