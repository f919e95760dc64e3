//! Files and folders that every user of the machine can change or read secrets from.

use crate::scene::{TENANT, setup, simulator};
use menlou_harness::{Gateway, GatewayFolder, Setup};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A folder that other users can reach, with strict modes.
fn home(setup: Setup) -> GatewayFolder {
    let home = GatewayFolder::new(setup);
    chmod(home.path(), 0o755);
    for name in [TENANT, "neighbour"] {
        chmod(&home.tenants().join(format!("{name}.toml")), 0o640);
    }
    home
}

#[test]
fn what_every_user_can_change_or_read_is_reported_and_can_stop_the_start() {
    let sim = simulator();
    for policy in ["warn", "refuse"] {
        let home = home(setup(&sim, None, None).setting("server.loose_permissions", format!("{policy:?}")));
        let validate = || home.command(&["validate", "--offline"], b"");
        let strict = validate();
        let shown = String::from_utf8_lossy(&strict.stderr).into_owned();
        assert!(strict.status.success() && !shown.contains("every user"), "{shown}");
        let (plugins, tenants) = (home.plugins(), home.tenants());
        let tenant = tenants.join(format!("{TENANT}.toml"));
        // A plugin of its own, not the link to the build.
        let library = plugins.join("openid.so");
        fs::copy(&library, plugins.join("copy")).unwrap();
        fs::rename(plugins.join("copy"), &library).unwrap();
        for (path, loose, strict) in [
            (&plugins, 0o777, 0o755),
            (&tenants, 0o757, 0o755),
            (&library, 0o757, 0o755),
            (&tenant, 0o642, 0o640),
            (&tenant, 0o644, 0o640),
        ] {
            chmod(path, loose);
            let output = validate();
            let shown = String::from_utf8_lossy(&output.stderr).into_owned();
            let named = |text: &str| {
                let path = path.display().to_string();
                text.contains(&path) && text.contains("every user can") && text.contains(&format!("(mode {loose:03o})"))
            };
            assert!(named(&shown), "{shown}");
            assert_eq!(output.status.success(), policy == "warn", "{shown}");
            if policy == "refuse" {
                let output = home.command(&["run"], b"");
                let shown = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.code() == Some(1) && named(&shown), "{shown}");
            }
            chmod(path, strict);
        }
        // What nobody can reach is not open to everybody.
        chmod(&tenant, 0o644);
        chmod(home.path(), 0o750);
        assert!(validate().status.success());
    }
}

#[test]
fn files_of_the_gateway_have_their_own_modes_whatever_the_umask_is() {
    for umask in ["000", "077"] {
        let setup = setup(&simulator(), None, None).setting("log.file", "\"own.log\"");
        let home = home(setup);
        let wrap = format!("umask {umask} && exec timeout 3 \"$@\"");
        home.command_through(&["sh", "-c", &wrap, "sh"], &["run"]);
        for (file, mode) in [("own.log", 0o640), ("menlou.db", 0o600)] {
            let found = fs::metadata(home.path().join(file)).unwrap().mode() & 0o777;
            assert_eq!(found, mode, "{file}, umask {umask}: {found:03o}");
        }
    }
    let gateway = Gateway::start(setup(&simulator(), None, None));
    let beside = fs::read_dir(gateway.tenants().parent().unwrap()).unwrap();
    let sockets: Vec<u32> = beside
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "sock"))
        .map(|entry| entry.metadata().unwrap().mode() & 0o777)
        .collect();
    assert_eq!(sockets, [0o600]);
}
