//! Tenants and plugins while the gateway runs: changes taken up, faults shown, what is broken kept apart.

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
fn a_change_is_taken_up_within_two_seconds_and_no_request_is_lost() {
    let scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    person.call("user", &[]).ok();
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for at in 0..5 {
            let methods = if at % 2 == 0 { r#"["profile"]"# } else { r#"["phone", "profile"]"# };
            let file = tenant(&scene.sim).replace(r#"["phone", "password", "profile"]"#, methods);
            scene.write_tenant(TENANT, &file);
            let (written, expected) =
                (Instant::now(), if at % 2 == 0 { "method_not_allowed_here" } else { "invalid_code" });
            eventually("the change is taken up", || {
                let answer = person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
                (answer.error.as_deref() == Some(expected)).then_some(())
            });
            assert!(written.elapsed() < Duration::from_secs(2), "after {:?}", written.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(served.load(Ordering::Relaxed) > 20);
}

#[test]
fn tenants_come_and_go_while_the_gateway_runs() {
    let scene = Scene::new(Stores::Embedded);
    let newcomer = scene.gateway.client("newcomer");
    newcomer.call("openid", &[]).assert_error(404, "unknown_tenant");
    scene.write_tenant("newcomer", &tenant(&scene.sim));
    eventually("the newcomer is served", || {
        newcomer.call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
    scene.remove_tenant("newcomer");
    eventually("it is gone", || (newcomer.call("openid", &[]).status == 404).then_some(()));
    scene.authorize("ann").ok();

    // Files that are no tenants are let alone, and so are names that can't be one.
    for name in ["README.md", ".hidden.toml", "notes.toml.bak"] {
        fs::write(scene.tenants().join(name), "not = [ a tenant").unwrap();
    }
    scene.write_tenant("late", &tenant(&scene.sim));
    eventually("the next is served", || {
        scene.gateway.client("late").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
    assert_eq!(scene.readiness().0, 200);
}

#[test]
fn a_file_written_in_place_is_taken_up_too() {
    let scene = Scene::new(Stores::Embedded);
    let path = scene.tenants().join("manulife.toml");
    let file = tenant(&scene.sim).replace(r#"["phone", "password", "profile"]"#, r#"["profile"]"#);
    fs::write(&path, file).unwrap();
    let person = scene.person("ann");
    eventually("the change is taken up", || {
        let answer = person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
        (answer.error.as_deref() == Some("method_not_allowed_here")).then_some(())
    });
}

#[test]
fn a_folder_swapped_whole_as_kubernetes_does_it_is_taken_up() {
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
    let session = eventually("it is served", || {
        client.call("openid", &[("code", &scene.sim.code("ann"))]).token().map(|token| client.with(token))
    });
    version("..2", tenant(&scene.sim).replace(r#"["phone", "password", "profile"]"#, r#"["profile"]"#));
    eventually("the next version is taken up", || {
        let answer = session.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
        (answer.error.as_deref() == Some("method_not_allowed_here")).then_some(())
    });
}

#[test]
fn a_link_to_the_folder_that_is_switched_is_taken_up_each_time() {
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
        eventually("the revision is taken up", || {
            let answer = person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
            (answer.error.as_deref() == Some(expected)).then_some(())
        });
    }
}

#[test]
fn a_folder_that_vanishes_takes_nobody_down_and_is_watched_again_when_it_is_back() {
    let scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    let away = scene.tenants().with_extension("away");
    fs::rename(scene.tenants(), &away).unwrap();
    eventually("it is told", || scene.log().contains("can't be read").then_some(()));
    // It is looked for again and again, and told of once.
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(scene.log().matches("can't be read").count(), 1, "{}", scene.log());
    person.call("user", &[]).ok();
    assert!(scene.readiness().1.to_string().contains("can't be read"));

    fs::rename(&away, scene.tenants()).unwrap();
    eventually("it is back", || (!scene.readiness().1.to_string().contains("can't be read")).then_some(()));
    scene.write_tenant("newcomer", &tenant(&scene.sim));
    eventually("it is watched again", || {
        scene.gateway.client("newcomer").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
}

#[test]
fn a_bad_file_keeps_the_last_good_version_and_shows_all_its_faults() {
    let scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    let bad = tenant(&scene.sim)
        .replace("[actions.user]", "[actions.user]\ncolour = \"red\"\n\n[sesion]\nttl = \"7d\"")
        .replace("methods = [\"phone\", ", "methods = [\"fone\", ");
    scene.write_tenant(TENANT, &bad);
    let log = eventually("the faults are logged", || {
        let log = scene.log();
        ["fone", "colour", "sesion"].iter().all(|fault| log.contains(fault)).then_some(log)
    });
    let (line, text) = bad.lines().enumerate().find(|(_, l)| l.contains("fone")).unwrap();
    let column = text.find("\"fone").unwrap() + 1;
    let place = format!("manulife.toml:{}:{column}", line + 1);
    assert!(log.contains(&place), "{place} in {log}");
    assert!(log.contains('^'), "a pointer under the place: {log}");
    assert!(log.contains("`session`"), "the nearest known key: {log}");

    person.call("user", &[]).ok();
    person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]).assert_error(200, "invalid_code");
    let (status, readiness) = scene.readiness();
    assert_eq!(status, 200, "one tenant's fault takes nobody else down: {readiness}");
    assert!(readiness.to_string().contains("manulife"), "{readiness}");

    let validated = scene.command(&["validate"]);
    assert_eq!(validated.status.code(), Some(1));
    let text = String::from_utf8_lossy(&validated.stdout).into_owned() + &String::from_utf8_lossy(&validated.stderr);
    assert!(["fone", "colour", "sesion", place.as_str(), "^"].iter().all(|part| text.contains(part)), "{text}");

    scene.write_tenant(TENANT, &tenant(&scene.sim));
    eventually("the fault is gone", || (!scene.readiness().1.to_string().contains("manulife.toml")).then_some(()));
}

#[test]
fn a_tenant_that_was_never_good_is_unknown_and_the_others_serve() {
    let sim = simulator();
    let mut setup = setup(&sim, None, None);
    setup.tenants[0].1 = tenant(&sim).replace("secret = \"demo-secret\"", "secret = \"env:NO_SUCH_VARIABLE\"");
    let gateway = Gateway::start(setup);
    let refused = gateway.client(TENANT).call("openid", &[("code", &sim.code("ann"))]);
    assert!([404, 503].contains(&refused.status), "{refused:?}");
    let there = gateway.client(NEIGHBOUR).call("openid", &[("code", &crate::scene::neighbours_code(&sim, "ann"))]);
    there.ok();
    assert!(gateway.log().contains("NO_SUCH_VARIABLE"), "{}", gateway.log());
}

#[test]
fn a_secret_comes_from_the_environment_or_a_file() {
    let sim = simulator();
    let file = tenant(&sim);
    let from = |secret: &str| file.replace("secret = \"demo-secret\"", &format!("secret = \"{secret}\""));
    let setup = setup(&sim, None, None)
        .tenant("by-variable", from("env:A_WECHAT_SECRET"))
        .tenant("by-file", from("file:secret.txt"))
        .tenant("secret.txt", "")
        .env("A_WECHAT_SECRET", "demo-secret");
    let gateway = Gateway::launch(setup);
    fs::write(gateway.tenants().join("secret.txt"), "demo-secret\n").unwrap();
    gateway.write_tenant("by-file", &from("file:secret.txt"));
    for tenant in ["by-variable", "by-file"] {
        eventually(tenant, || gateway.client(tenant).call("openid", &[("code", &sim.code("ann"))]).token().map(drop));
    }
}

#[test]
fn a_missing_plugin_fails_its_own_actions_only() {
    let scene = Scene::new(Stores::Embedded);
    let mut scene = Scene { gateway: scene.gateway, ..scene };
    fs::remove_file(scene.plugins().join("account.so")).unwrap();
    scene.gateway.restart();
    shows_that_account_is_unavailable(&scene);
}

#[test]
fn a_broken_plugin_fails_its_own_actions_only() {
    let library = menlou_harness::artifacts::plugin_library("account");
    let bytes = fs::read(library).unwrap();
    let mut foreign = bytes.clone();
    foreign[18] = 0xb7; // e_machine: AArch64
    foreign[19] = 0;
    let other = fs::read("/proc/self/exe").unwrap();
    for (what, content) in [
        ("truncated", &bytes[..bytes.len() / 2]),
        ("empty", &[][..]),
        ("no library", b"#!/bin/sh\nexit 0\n"),
        ("of another machine", &foreign),
        ("a program", &other),
    ] {
        let mut scene = Scene::new(Stores::Embedded);
        // Replaced, not overwritten: the file is a second name of what Cargo built.
        let path = scene.plugins().join("account.so");
        fs::remove_file(&path).unwrap();
        fs::write(&path, content).unwrap();
        scene.gateway.restart();
        println!("{what}");
        shows_that_account_is_unavailable(&scene);
    }
}

fn shows_that_account_is_unavailable(scene: &Scene) {
    let session = scene.session("ann");
    for action in ["login", "user", "logout"] {
        session.call(action, &[("method", "profile"), ("name", "Ann")]).assert_error(503, "plugin_unavailable");
    }
    scene.client().send(&Request::post(scene.client().target("nothing"))).assert_error(404, "unknown_action");
    let (status, readiness) = scene.readiness();
    assert_eq!(status, 200, "{readiness}");
    for told in [readiness.to_string(), scene.log()] {
        assert!(told.contains("account") || told.contains("login"), "{told}");
    }
    let validated = scene.command(&["validate"]);
    assert_eq!(validated.status.code(), Some(1), "{}", String::from_utf8_lossy(&validated.stdout));
}

#[test]
fn without_any_plugin_every_action_is_unavailable() {
    let sim = simulator();
    let mut setup = setup(&sim, None, None);
    setup.without_plugins = true;
    let gateway = Gateway::start(setup);
    gateway.client(TENANT).call("openid", &[("code", &sim.code("ann"))]).assert_error(503, "plugin_unavailable");
}
