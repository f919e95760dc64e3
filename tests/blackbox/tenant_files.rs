//! Invalid, unreadable and unfinished tenant files: each is reported clearly, and the last valid version stays in service.

use crate::scene::{Scene, Stores, TENANT, eventually, tenant};
use menlou_harness::Client;
use std::{
    fs::{self, File},
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

fn path(scene: &Scene, name: &str) -> PathBuf {
    scene.tenants().join(format!("{name}.toml"))
}

/// Waits until readiness contains `text`, and asserts that the tenant is still served.
fn assert_reported(scene: &Scene, text: &str) {
    eventually(text, || scene.readiness().1.to_string().contains(text).then_some(()));
    let (status, readiness) = scene.readiness();
    assert_eq!(status, 200, "{readiness}");
    scene.authorize("ann").ok();
}

/// Restores the tenant's file, and waits until readiness no longer reports it.
fn restore(scene: &Scene) {
    let _ = fs::remove_dir(path(scene, TENANT));
    let draft = scene.tenants().join(".draft");
    fs::write(&draft, tenant(&scene.sim)).unwrap();
    fs::rename(&draft, path(scene, TENANT)).unwrap();
    eventually("the file is valid again", || {
        (!scene.readiness().1.to_string().contains("manulife.toml")).then_some(())
    });
}

/// Number of times that the tenant's file was loaded.
fn loads(scene: &Scene) -> usize {
    let log = scene.log();
    let count = |event: &str| log.matches(&format!("{event} tenant=\"{TENANT}\"")).count();
    count("tenant loaded") + count("tenant reloaded")
}

#[test]
fn file_removed_and_rewritten_shortly_after_keeps_its_tenant() {
    let scene = Scene::new(Stores::Embedded);
    let (mut rounds, absence) = (0, Duration::from_millis(250));
    while rounds < 3 {
        let (start, before) = (Instant::now(), loads(&scene));
        fs::remove_file(path(&scene, TENANT)).unwrap();
        // Time is the subject: how long the file is absent.
        thread::sleep(absence);
        let response = scene.authorize("ann");
        scene.write_tenant(TENANT, &tenant(&scene.sim));
        // On a busy machine the absence may be long enough to remove the tenant; such a round does not count.
        if start.elapsed() < 2 * absence {
            response.ok();
            rounds += 1;
        }
        eventually("the file is loaded again", || (loads(&scene) > before).then_some(()));
    }
    fs::remove_file(path(&scene, TENANT)).unwrap();
    eventually("the tenant is removed", || {
        (scene.authorize("ann").error.as_deref() == Some("unknown_tenant")).then_some(())
    });
}

#[test]
fn invalid_content_is_reported_with_its_position_and_the_last_valid_version_is_served() {
    let scene = Scene::new(Stores::Embedded);
    let valid = tenant(&scene.sim);
    let half = &valid[..valid.find("openids = [").unwrap() + 14];
    let not_utf8 = [valid.as_bytes(), b"\n# caf\xe9\n"].concat();
    let position = format!("manulife.toml:{}:6: the text is not UTF-8 from here on", valid.lines().count() + 2);
    let with_bom = format!("\u{feff}{}", valid.replace("name =", "nmae ="));
    let large = format!("{valid}# {}\n", "x".repeat(10 << 20));
    for (content, text) in [
        (half.as_bytes(), "manulife.toml:9:"),
        (&not_utf8, position.as_str()),
        (with_bom.as_bytes(), "manulife.toml:1:1: unknown key `nmae`"),
        (large.as_bytes(), "the file is larger than 1 MiB"),
        (b"", "`name` is missing"),
        (b"\0\0\0\0", "manulife.toml:1:1: not valid TOML"),
        (b"\xff\xfen\0a\0m\0e\0", "manulife.toml:1:1: the text is not UTF-8"),
    ] {
        let draft = scene.tenants().join(".draft");
        fs::write(&draft, content).unwrap();
        fs::rename(&draft, path(&scene, TENANT)).unwrap();
        assert_reported(&scene, text);
        restore(&scene);
    }
    scene.write_tenant("with-bom", &format!("\u{feff}{valid}"));
    eventually("a file with a byte order mark is valid", || {
        scene.gateway.client("with-bom").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
}

#[test]
fn links_folders_and_pipes_are_reported_and_not_read() {
    let scene = Scene::new(Stores::Embedded);
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("elsewhere.toml");
    fs::write(&target, tenant(&scene.sim).replace("Manulife", "Elsewhere")).unwrap();
    let link = |to: &std::path::Path| {
        let draft = scene.tenants().join(".draft");
        symlink(to, &draft).unwrap();
        fs::rename(&draft, path(&scene, TENANT)).unwrap();
    };
    link(&target);
    assert_reported(&scene, "this is a link out of the tenants' folder");
    assert!(scene.readiness().1.to_string().contains("elsewhere.toml"), "readiness names the target of the link");
    let admin = scene.admin_as("operator");
    let read = admin.get(&format!("/tenants/{TENANT}"));
    read.assert_error(503, "not_saved");
    assert!(
        !read.body.to_string().contains("[actions"),
        "the content of the link's target is not shown: {}",
        read.body
    );
    restore(&scene);
    link(std::path::Path::new("none.toml"));
    assert_reported(&scene, "can't be read");
    restore(&scene);
    link(std::path::Path::new("manulife.toml"));
    assert_reported(&scene, "can't be read");
    restore(&scene);
    fs::remove_file(path(&scene, TENANT)).unwrap();
    fs::create_dir(path(&scene, TENANT)).unwrap();
    assert_reported(&scene, "is not a regular file");
    restore(&scene);
    let pipe = std::process::Command::new("mkfifo").arg(path(&scene, "pipe")).status().unwrap();
    assert!(pipe.success());
    assert_reported(&scene, "is not a regular file");
}

#[test]
fn invalid_and_duplicate_tenant_names_are_reported() {
    let scene = Scene::new(Stores::Embedded);
    let file = tenant(&scene.sim);
    let long = "x".repeat(250);
    let names = ["a b", "-x", "保险", "a.b", "..", "x..", long.as_str()];
    for name in names {
        fs::write(path(&scene, name), &file).unwrap();
    }
    fs::write(scene.tenants().join(std::ffi::OsStr::from_bytes(b"\xff\xfe.toml")), &file).unwrap();
    for name in names.iter().filter(|name| !name.starts_with('.')) {
        assert_reported(&scene, &format!("{name}.toml: `"));
    }
    assert_reported(&scene, "`\u{fffd}\u{fffd}` is not a valid tenant name: it must have 1 to 64");
    fs::write(path(&scene, "Newcomer"), &file).unwrap();
    assert_reported(&scene, "a tenant's name is in lower case: rename it to");
    fs::write(path(&scene, "Manulife"), "name = \"an impostor\"").unwrap();
    assert_reported(&scene, "manulife.toml is there too, and only that one counts");
    for name in ["Newcomer", "newcomer", "Manulife", "..", &"x".repeat(300)] {
        let response = scene.gateway.client(name).call("openid", &[("code", &scene.sim.code("ann"))]);
        assert_ne!(response.error, None, "{name}");
    }
    let validated = scene.command(&["validate", "--offline"]);
    let text = String::from_utf8_lossy(&validated.stderr).into_owned();
    assert!(
        validated.status.code() == Some(1) && text.contains("Manulife.toml") && text.contains("is there too"),
        "{text}"
    );
}

/// Repeats `round` until it returns true. It returns false where the test's own pauses were so long that the result says
/// nothing, which happens on a busy machine.
fn until_conclusive(mut round: impl FnMut() -> bool) {
    assert!((0..10).any(|_| round()), "the machine is too busy for this test");
}

/// Runs `step` `count` times at this interval. Returns the longest time from one step to the next, or to the return.
fn at_intervals(interval: Duration, count: usize, mut step: impl FnMut(usize)) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    for at in 0..count {
        step(at);
        longest = longest.max(last.elapsed());
        last = Instant::now();
        thread::sleep(interval);
    }
    longest.max(last.elapsed())
}

/// Runs `write` in a thread of its own, so that its pauses stay short. Returns its result, and whether every request was
/// served meanwhile.
fn served_during<T: Send>(person: &Client, write: impl FnOnce() -> T + Send) -> (T, bool) {
    thread::scope(|scope| {
        let (writer, mut served) = (scope.spawn(write), true);
        while !writer.is_finished() {
            served &= person.call("user", &[]).error.is_none();
        }
        (writer.join().expect("no panic"), served)
    })
}

#[test]
fn unfinished_file_is_not_loaded() {
    until_conclusive(|| {
        let scene = Scene::new(Stores::Embedded);
        let person = scene.person("ann");
        let file = tenant(&scene.sim).replace(r#"["phone", "password", "profile"]"#, r#"["profile"]"#);
        // The part above the actions is a valid file as well. The actions follow one second later.
        let (head, actions) = file.split_once("[actions.openid]").unwrap();
        let mut open = File::create(path(&scene, TENANT)).unwrap();
        open.write_all(head.as_bytes()).unwrap();
        // Time is the subject: the gateway loads a file that has not changed for 100 ms.
        let (longest, served) = served_during(&person, || {
            let longest = at_intervals(Duration::from_millis(20), 50, |_| open.write_all(b"# more\n").unwrap());
            open.write_all(format!("[actions.openid]{actions}").as_bytes()).unwrap();
            longest
        });
        if longest > Duration::from_millis(80) {
            return false;
        }
        assert!(served, "half a file was loaded: {}", scene.log());
        eventually("the complete file is loaded", || {
            let response = person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
            (response.error.as_deref() == Some("method_not_allowed_here")).then_some(())
        });
        assert_eq!(scene.log().matches("tenant reloaded").count(), 1, "{}", scene.log());
        true
    });
}

#[test]
fn folder_replaced_by_an_empty_one_keeps_tenants_served() {
    let scene = Scene::new(Stores::Embedded);
    let away = scene.tenants().with_extension("away");
    fs::rename(scene.tenants(), &away).unwrap();
    fs::create_dir(scene.tenants()).unwrap();
    assert_reported(&scene, "was replaced by an empty one");
    for file in fs::read_dir(&away).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), scene.tenants().join(file.file_name())).unwrap();
    }
    eventually("the files are found again", || (!scene.readiness().1.to_string().contains("empty one")).then_some(()));
    scene.authorize("ann").ok();
    scene.write_tenant("newcomer", &tenant(&scene.sim));
    eventually("the new folder is watched", || {
        scene.gateway.client("newcomer").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
}

#[test]
fn folder_restored_file_by_file_keeps_tenants_served() {
    until_conclusive(|| {
        let scene = Scene::new(Stores::Embedded);
        let person = scene.person("ann");
        let away = scene.tenants().with_extension("away");
        fs::rename(scene.tenants(), &away).unwrap();
        fs::create_dir(scene.tenants()).unwrap();
        // Time is the subject: a folder is complete when no file has been added for a second.
        let (longest, served) = served_during(&person, || {
            let longest = at_intervals(Duration::from_millis(100), 20, |at| {
                scene.write_tenant(&format!("early-{at:02}"), &tenant(&scene.sim));
            });
            fs::copy(away.join("manulife.toml"), path(&scene, TENANT)).unwrap();
            longest
        });
        if longest > Duration::from_millis(800) {
            return false;
        }
        assert!(served, "the tenant was removed before its file was restored: {}", scene.log());
        eventually("all tenants are loaded", || {
            scene.gateway.client("early-19").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
        });
        eventually("a tenant without a file is removed", || {
            (scene.gateway.client("neighbour").call("openid", &[]).status == 404).then_some(())
        });
        person.call("user", &[]).ok();
        true
    });
}
