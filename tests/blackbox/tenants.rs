//! Changes of tenants and plugins while the gateway runs: they are loaded, errors are reported, and an invalid one affects
//! no other.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, setup, simulator, tenant};
use menlou_harness::{Gateway, http::Request};
use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

#[test]
fn change_is_loaded_within_two_seconds_and_no_request_fails() {
    let scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    let (stop, succeeded) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    person.call("user", &[]).ok();
                    succeeded.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for at in 0..5 {
            let methods = if at % 2 == 0 { r#"["profile"]"# } else { r#"["phone", "profile"]"# };
            let file = tenant(&scene.sim).replace(r#"["phone", "password", "profile"]"#, methods);
            scene.write_tenant(TENANT, &file);
            let (written, expected) =
                (Instant::now(), if at % 2 == 0 { "method_not_allowed_here" } else { "invalid_code" });
            eventually("the change is loaded", || {
                let response = person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
                (response.error.as_deref() == Some(expected)).then_some(())
            });
            assert!(written.elapsed() < Duration::from_secs(2), "after {:?}", written.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(succeeded.load(Ordering::Relaxed) > 20);
}

#[test]
fn tenants_are_added_and_removed_while_the_gateway_runs() {
    let scene = Scene::new(Stores::Embedded);
    let newcomer = scene.gateway.client("newcomer");
    newcomer.call("openid", &[]).assert_error(404, "unknown_tenant");
    scene.write_tenant("newcomer", &tenant(&scene.sim));
    eventually("the newcomer is served", || {
        newcomer.call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
    scene.remove_tenant("newcomer");
    eventually("the newcomer is removed", || (newcomer.call("openid", &[]).status == 404).then_some(()));
    scene.authorize("ann").ok();

    // Files whose names are not those of tenants are ignored.
    for name in ["README.md", ".hidden.toml", "notes.toml.bak"] {
        fs::write(scene.tenants().join(name), "not = [ a tenant").unwrap();
    }
    scene.write_tenant("late", &tenant(&scene.sim));
    eventually("the tenant added later is served", || {
        scene.gateway.client("late").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
    assert_eq!(scene.readiness().0, 200);
}

#[test]
fn file_written_in_place_is_loaded() {
    let scene = Scene::new(Stores::Embedded);
    let path = scene.tenants().join("manulife.toml");
    let file = tenant(&scene.sim).replace(r#"["phone", "password", "profile"]"#, r#"["profile"]"#);
    fs::write(&path, file).unwrap();
    let person = scene.person("ann");
    eventually("the change is loaded", || {
        let response = person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
        (response.error.as_deref() == Some("method_not_allowed_here")).then_some(())
    });
}

#[test]
fn folder_swapped_by_kubernetes_is_loaded() {
    let scene = Scene::new(Stores::Embedded);
    let folder = scene.tenants();
    let version = |name: &str, file: String| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("mounted.toml"), file).unwrap();
        symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    version("..1", tenant(&scene.sim));
    symlink("..data/mounted.toml", folder.join("mounted.toml")).unwrap();
    let client = scene.gateway.client("mounted");
    let session = eventually("the mounted tenant is served", || {
        client.call("openid", &[("code", &scene.sim.code("ann"))]).token().map(|token| client.with(token))
    });
    version("..2", tenant(&scene.sim).replace(r#"["phone", "password", "profile"]"#, r#"["profile"]"#));
    eventually("the next version is loaded", || {
        let response = session.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
        (response.error.as_deref() == Some("method_not_allowed_here")).then_some(())
    });
}

#[test]
fn switched_link_to_the_folder_is_loaded_each_time() {
    let scene = Scene::new(Stores::Embedded);
    let (folder, home) = (scene.tenants(), scene.tenants().parent().unwrap().to_owned());
    let person = scene.person("ann");
    fs::rename(&folder, home.join("revision-0")).unwrap();
    symlink("revision-0", &folder).unwrap();
    for (at, methods) in [r#"["profile"]"#, r#"["phone", "profile"]"#, r#"["profile"]"#].iter().enumerate() {
        let revision = format!("revision-{}", at + 1);
        fs::create_dir(home.join(&revision)).unwrap();
        let file = tenant(&scene.sim).replace(r#"["phone", "password", "profile"]"#, methods);
        fs::write(home.join(&revision).join("manulife.toml"), file).unwrap();
        symlink(&revision, home.join("next")).unwrap();
        fs::rename(home.join("next"), &folder).unwrap();
        let expected = if methods.contains("phone") { "invalid_code" } else { "method_not_allowed_here" };
        eventually("the revision is loaded", || {
            let response = person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
            (response.error.as_deref() == Some(expected)).then_some(())
        });
    }
}

#[test]
fn missing_folder_keeps_tenants_served_and_is_watched_again_when_restored() {
    let scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    let away = scene.tenants().with_extension("away");
    fs::rename(scene.tenants(), &away).unwrap();
    eventually("the missing folder is logged", || {
        scene.log().contains("could not read the tenant folder").then_some(())
    });
    // Time is the subject: the gateway retries about every 0.7 s, and nothing shows a retry. It logs only the first failure.
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(scene.log().matches("could not read the tenant folder").count(), 1, "{}", scene.log());
    person.call("user", &[]).ok();
    assert!(scene.readiness().1.to_string().contains("could not read the tenant folder"));

    fs::rename(&away, scene.tenants()).unwrap();
    eventually("the folder is readable again", || {
        (!scene.readiness().1.to_string().contains("could not read the tenant folder")).then_some(())
    });
    scene.write_tenant("newcomer", &tenant(&scene.sim));
    eventually("the folder is watched again", || {
        scene.gateway.client("newcomer").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
}

#[test]
fn invalid_file_keeps_the_last_valid_version_and_reports_all_its_errors() {
    let scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    let bad = tenant(&scene.sim)
        .replace("[actions.user]", "[actions.user]\ncolour = \"red\"\n\n[sesion]\nttl = \"7d\"")
        .replace("methods = [\"phone\", ", "methods = [\"fone\", ");
    scene.write_tenant(TENANT, &bad);
    let log = eventually("the errors are logged", || {
        let log = scene.log();
        ["fone", "colour", "sesion"].iter().all(|error| log.contains(error)).then_some(log)
    });
    let (line, text) = bad.lines().enumerate().find(|(_, l)| l.contains("fone")).unwrap();
    let column = text.find("\"fone").unwrap() + 1;
    let position = format!("manulife.toml:{}:{column}", line + 1);
    assert!(log.contains(&position), "{position} in {log}");
    assert!(log.contains('^'), "a caret under the position: {log}");
    assert!(log.contains("`session`"), "the nearest known key: {log}");

    person.call("user", &[]).ok();
    person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]).assert_error(200, "invalid_code");
    let (status, readiness) = scene.readiness();
    assert_eq!(status, 200, "an error in one tenant's file keeps the gateway ready: {readiness}");
    assert!(readiness.to_string().contains("manulife"), "{readiness}");

    let validated = scene.command(&["validate"]);
    assert_eq!(validated.status.code(), Some(1));
    let text = String::from_utf8_lossy(&validated.stdout).into_owned() + &String::from_utf8_lossy(&validated.stderr);
    assert!(["fone", "colour", "sesion", position.as_str(), "^"].iter().all(|part| text.contains(part)), "{text}");

    scene.write_tenant(TENANT, &tenant(&scene.sim));
    eventually("the error is gone", || (!scene.readiness().1.to_string().contains("manulife.toml")).then_some(()));
}

#[test]
fn tenant_that_was_never_valid_is_unknown_and_others_are_served() {
    let sim = simulator();
    let mut setup = setup(&sim, None, None);
    setup.tenants[0].1 = tenant(&sim).replace("secret = \"demo-secret\"", "secret = \"env:NO_SUCH_VARIABLE\"");
    let gateway = Gateway::start(setup);
    let rejected = gateway.client(TENANT).call("openid", &[("code", &sim.code("ann"))]);
    assert!([404, 503].contains(&rejected.status), "{rejected:?}");
    let neighbour = gateway.client(NEIGHBOUR).call("openid", &[("code", &crate::scene::neighbours_code(&sim, "ann"))]);
    neighbour.ok();
    assert!(gateway.log().contains("NO_SUCH_VARIABLE"), "{}", gateway.log());
}

#[test]
fn secret_is_read_from_the_environment_or_a_file() {
    let sim = simulator();
    let file = tenant(&sim);
    let with_secret = |secret: &str| file.replace("secret = \"demo-secret\"", &format!("secret = \"{secret}\""));
    let setup = setup(&sim, None, None)
        .tenant("by-variable", with_secret("env:A_WECHAT_SECRET"))
        .tenant("by-file", with_secret("file:secret.txt"))
        .tenant("secret.txt", "")
        .env("A_WECHAT_SECRET", "demo-secret");
    let gateway = Gateway::launch(setup);
    fs::write(gateway.tenants().join("secret.txt"), "demo-secret\n").unwrap();
    gateway.write_tenant("by-file", &with_secret("file:secret.txt"));
    for tenant in ["by-variable", "by-file"] {
        eventually(tenant, || gateway.client(tenant).call("openid", &[("code", &sim.code("ann"))]).token().map(drop));
    }
}

#[test]
fn missing_plugin_affects_only_its_own_actions() {
    let scene = Scene::new(Stores::Embedded);
    let mut scene = Scene { gateway: scene.gateway, ..scene };
    fs::remove_file(scene.plugins().join("account.so")).unwrap();
    scene.gateway.restart();
    assert_account_is_unavailable(&scene);
}

#[test]
fn broken_plugin_affects_only_its_own_actions() {
    let library = menlou_harness::artifacts::plugin_library("account");
    let bytes = fs::read(library).unwrap();
    let mut foreign = bytes.clone();
    foreign[18] = 0xb7; // e_machine: AArch64
    foreign[19] = 0;
    let other = fs::read("/proc/self/exe").unwrap();
    for (what, content) in [
        ("truncated", &bytes[..bytes.len() / 2]),
        ("empty", &[][..]),
        ("a script", b"#!/bin/sh\nexit 0\n"),
        ("for another architecture", &foreign),
        ("a program", &other),
    ] {
        let mut scene = Scene::new(Stores::Embedded);
        // Replaced, not overwritten: the file is a hard link to Cargo's artifact.
        let path = scene.plugins().join("account.so");
        fs::remove_file(&path).unwrap();
        fs::write(&path, content).unwrap();
        scene.gateway.restart();
        println!("{what}");
        assert_account_is_unavailable(&scene);
    }
}

fn assert_account_is_unavailable(scene: &Scene) {
    let session = scene.session("ann");
    for action in ["login", "user", "logout"] {
        session.call(action, &[("method", "profile"), ("name", "Ann")]).assert_error(503, "plugin_unavailable");
    }
    scene.client().send(&Request::post(scene.client().target("nothing"))).assert_error(404, "unknown_action");
    let (status, readiness) = scene.readiness();
    assert_eq!(status, 200, "{readiness}");
    for text in [readiness.to_string(), scene.log()] {
        assert!(text.contains("account") || text.contains("login"), "{text}");
    }
    let validated = scene.command(&["validate"]);
    assert_eq!(validated.status.code(), Some(1), "{}", String::from_utf8_lossy(&validated.stdout));
}

#[test]
fn every_action_is_unavailable_without_plugins() {
    let sim = simulator();
    let mut setup = setup(&sim, None, None);
    setup.without_plugins = true;
    let gateway = Gateway::start(setup);
    gateway.client(TENANT).call("openid", &[("code", &sim.code("ann"))]).assert_error(503, "plugin_unavailable");
}
