//! Plugins load whatever the folder for temporary files is: missing, read-only, `noexec`.

use crate::scene::{Scene, Stores, setup, simulator};
use menlou_harness::GatewayFolder;
use std::process::Command;

#[test]
fn plugins_load_without_a_folder_for_temporary_files() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.env("TMPDIR", "/nonexistent/folder"));
    scene.person("ann").call("user", &[]).ok();
    assert_eq!(scene.readiness().1["plugins"]["rejected"], serde_json::json!([]));
}

#[test]
fn plugins_load_where_the_folder_for_temporary_files_is_noexec_or_read_only() {
    let can_mount = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !can_mount {
        // Mount namespaces need root, and a kernel that allows them.
        return;
    }
    let home = GatewayFolder::new(setup(&simulator(), None, None));
    for options in ["noexec", "ro"] {
        let mount = format!("mount -t tmpfs -o {options} tmpfs /tmp && TMPDIR=/tmp exec \"$@\"");
        // The folder of the test is in /tmp too: bind it to a path that stays.
        let keep = format!("mkdir -p /mnt && mount --bind {0} /mnt && {mount}", home.path().display());
        let own = [
            "unshare",
            "-m",
            "sh",
            "-c",
            &keep,
            "sh",
            "sh",
            "-c",
            "cd /mnt && exec \"$0\" plugin list --config menlou.toml",
        ];
        let output = home.command_through(&own, &[]);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        for plugin in ["openid", "account", "wechat", "proxy"] {
            assert!(shown.contains(&format!("{plugin} ")), "{options}: {shown}");
        }
        assert!(output.status.success(), "{options}: {shown}");
    }
}
