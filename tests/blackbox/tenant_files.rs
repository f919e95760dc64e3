//! Tenants' files that are no such: each is told clearly, and what was good serves on.

use crate::scene::{Scene, Stores, TENANT, eventually, tenant};
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

/// Waits until readiness tells this, and holds that the tenant serves on.
fn is_told(scene: &Scene, says: &str) {
    eventually(says, || {
        // Chinese and backslashes come escaped or not, as JSON likes.
        scene.readiness().1.to_string().contains(says).then_some(())
    });
    let (status, readiness) = scene.readiness();
    assert_eq!(status, 200, "{readiness}");
    scene.authorize("ann").ok();
}

fn is_mended(scene: &Scene) {
    let _ = fs::remove_dir(path(scene, TENANT));
    let draft = scene.tenants().join(".draft");
    fs::write(&draft, tenant(&scene.sim)).unwrap();
    fs::rename(&draft, path(scene, TENANT)).unwrap();
    eventually("it is mended", || (!scene.readiness().1.to_string().contains("manulife.toml")).then_some(()));
}

/// How often the tenant's file was taken up.
fn taken_up(scene: &Scene) -> usize {
    let log = scene.log();
    let of = |what: &str| log.matches(&format!("{what} tenant=\"{TENANT}\"")).count();
    of("tenant loaded") + of("tenant reloaded")
}

#[test]
fn a_file_that_is_taken_away_to_be_written_anew_keeps_its_tenant() {
    let scene = Scene::new(Stores::Embedded);
    let (mut seen, away) = (0, Duration::from_millis(250));
    while seen < 3 {
        let (begun, loaded) = (Instant::now(), taken_up(&scene));
        fs::remove_file(path(&scene, TENANT)).unwrap();
        thread::sleep(away);
        let answer = scene.authorize("ann");
        scene.write_tenant(TENANT, &tenant(&scene.sim));
        // Where the machine was too busy, it was away for long enough to be gone.
        if begun.elapsed() < 2 * away {
            answer.ok();
            seen += 1;
        }
        eventually("it is taken up", || (taken_up(&scene) > loaded).then_some(()));
    }
    fs::remove_file(path(&scene, TENANT)).unwrap();
    eventually("it is gone", || (scene.authorize("ann").error.as_deref() == Some("unknown_tenant")).then_some(()));
}

#[test]
fn whatever_stands_in_a_file_its_fault_is_told_at_its_place_and_the_last_good_version_serves_on() {
    let scene = Scene::new(Stores::Embedded);
    let good = tenant(&scene.sim);
    let half = &good[..good.find("openids = [").unwrap() + 14];
    let not_utf8 = [good.as_bytes(), b"\n# caf\xe9\n"].concat();
    let place = format!("manulife.toml:{}:6: the text is not UTF-8 from here on", good.lines().count() + 2);
    let marked = format!("\u{feff}{}", good.replace("name =", "nmae ="));
    let long = format!("{good}# {}\n", "x".repeat(10 << 20));
    for (content, says) in [
        (half.as_bytes(), "manulife.toml:9:"),
        (&not_utf8, place.as_str()),
        (marked.as_bytes(), "manulife.toml:1:1: unknown key `nmae`"),
        (long.as_bytes(), "the file is larger than 1 MiB"),
        (b"", "`name` is missing"),
        (b"\0\0\0\0", "manulife.toml:1:1: not valid TOML"),
        (b"\xff\xfen\0a\0m\0e\0", "manulife.toml:1:1: the text is not UTF-8"),
    ] {
        let draft = scene.tenants().join(".draft");
        fs::write(&draft, content).unwrap();
        fs::rename(&draft, path(&scene, TENANT)).unwrap();
        is_told(&scene, says);
        is_mended(&scene);
    }
    scene.write_tenant("marked", &format!("\u{feff}{good}"));
    eventually("a byte order mark is no fault", || {
        scene.gateway.client("marked").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
}

#[test]
fn what_is_no_file_of_the_folder_is_told_and_not_read() {
    let scene = Scene::new(Stores::Embedded);
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("elsewhere.toml");
    fs::write(&target, tenant(&scene.sim).replace("Manulife", "Elsewhere")).unwrap();
    let link = |to: &std::path::Path| {
        let draft = scene.tenants().join(".draft");
        symlink(to, &draft).unwrap();
        fs::rename(&draft, path(&scene, TENANT)).unwrap();
    };
    link(&target);
    is_told(&scene, "this is a link out of the tenants' folder");
    assert!(scene.readiness().1.to_string().contains("elsewhere.toml"), "it is told where to");
    let admin = scene.admin_as("operator");
    let read = admin.get(&format!("/tenants/{TENANT}"));
    read.assert_error(503, "not_saved");
    assert!(!read.body.to_string().contains("[actions"), "what it leads to is not shown: {}", read.body);
    is_mended(&scene);
    link(std::path::Path::new("none.toml"));
    is_told(&scene, "can't be read");
    is_mended(&scene);
    link(std::path::Path::new("manulife.toml"));
    is_told(&scene, "can't be read");
    is_mended(&scene);
    fs::remove_file(path(&scene, TENANT)).unwrap();
    fs::create_dir(path(&scene, TENANT)).unwrap();
    is_told(&scene, "is not a regular file");
    is_mended(&scene);
    let pipe = std::process::Command::new("mkfifo").arg(path(&scene, "pipe")).status().unwrap();
    assert!(pipe.success());
    is_told(&scene, "is not a regular file");
}

#[test]
fn names_that_are_no_tenants_are_told_and_a_name_in_two_cases_is_told_which_one_counts() {
    let scene = Scene::new(Stores::Embedded);
    let file = tenant(&scene.sim);
    let long = "x".repeat(250);
    let names = ["a b", "-x", "保险", "a.b", "..", "x..", long.as_str()];
    for name in names {
        fs::write(path(&scene, name), &file).unwrap();
    }
    fs::write(scene.tenants().join(std::ffi::OsStr::from_bytes(b"\xff\xfe.toml")), &file).unwrap();
    for name in names.iter().filter(|name| !name.starts_with('.')) {
        is_told(&scene, &format!("{name}.toml: `"));
    }
    is_told(&scene, "`\u{fffd}\u{fffd}` is not a valid tenant name: it must have 1 to 64");
    fs::write(path(&scene, "Newcomer"), &file).unwrap();
    is_told(&scene, "a tenant's name is in lower case: rename it to");
    fs::write(path(&scene, "Manulife"), "name = \"an impostor\"").unwrap();
    is_told(&scene, "manulife.toml is there too, and only that one counts");
    for name in ["Newcomer", "newcomer", "Manulife", "..", &"x".repeat(300)] {
        let answer = scene.gateway.client(name).call("openid", &[("code", &scene.sim.code("ann"))]);
        assert_ne!(answer.error, None, "{name}");
    }
    let validated = scene.command(&["validate", "--offline"]);
    let text = String::from_utf8_lossy(&validated.stderr).into_owned();
    assert!(
        validated.status.code() == Some(1) && text.contains("Manulife.toml") && text.contains("is there too"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_being_written_is_not_taken_up_half_done() {
    let scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    let file = tenant(&scene.sim).replace(r#"["phone", "password", "profile"]"#, r#"["profile"]"#);
    // What stands above the actions is a whole tenant, too; it takes a second until they are there.
    let (head, actions) = file.split_once("[actions.openid]").unwrap();
    let mut open = File::create(path(&scene, TENANT)).unwrap();
    open.write_all(head.as_bytes()).unwrap();
    // The writer does nothing else, so that its pauses stay short on a busy machine.
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..50 {
                open.write_all(b"# more\n").unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        while !writer.is_finished() {
            assert!(person.call("user", &[]).error.is_none(), "half a file was loaded: {}", scene.log());
        }
    });
    open.write_all(format!("[actions.openid]{actions}").as_bytes()).unwrap();
    eventually("the whole is taken up", || {
        let answer = person.call("login", &[("method", "phone"), ("phone_code", "made-up-code")]);
        (answer.error.as_deref() == Some("method_not_allowed_here")).then_some(())
    });
    assert_eq!(scene.log().matches("tenant reloaded").count(), 1, "{}", scene.log());
}

#[test]
fn a_folder_that_comes_back_empty_takes_nobody_down() {
    let scene = Scene::new(Stores::Embedded);
    let away = scene.tenants().with_extension("away");
    fs::rename(scene.tenants(), &away).unwrap();
    fs::create_dir(scene.tenants()).unwrap();
    is_told(&scene, "was replaced by an empty one");
    for file in fs::read_dir(&away).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), scene.tenants().join(file.file_name())).unwrap();
    }
    eventually("its files are back", || (!scene.readiness().1.to_string().contains("empty one")).then_some(()));
    scene.authorize("ann").ok();
    scene.write_tenant("newcomer", &tenant(&scene.sim));
    eventually("it is watched", || {
        scene.gateway.client("newcomer").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
}

#[test]
fn a_folder_that_comes_back_file_by_file_takes_nobody_down_meanwhile() {
    let scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    let away = scene.tenants().with_extension("away");
    fs::rename(scene.tenants(), &away).unwrap();
    fs::create_dir(scene.tenants()).unwrap();
    for number in 0..20 {
        scene.write_tenant(&format!("early-{number:02}"), &tenant(&scene.sim));
        thread::sleep(Duration::from_millis(100));
        assert!(person.call("user", &[]).error.is_none(), "its file is still to come: {}", scene.log());
    }
    fs::copy(away.join("manulife.toml"), path(&scene, TENANT)).unwrap();
    eventually("all are taken up", || {
        scene.gateway.client("early-19").call("openid", &[("code", &scene.sim.code("ann"))]).token().map(drop)
    });
    eventually("who is not there any more is gone", || {
        (scene.gateway.client("neighbour").call("openid", &[]).status == 404).then_some(())
    });
    person.call("user", &[]).ok();
}
