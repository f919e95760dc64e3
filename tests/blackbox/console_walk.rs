//! The console in a real browser: `tests/console/walk.mjs` operates it in Debian's Chromium.

use crate::{
    openapi::installed,
    scene::{Scene, Stores},
};
use std::process::Command;

#[test]
fn console_works_in_chromium_and_every_page_is_accessible() {
    let folder = installed("console", "console", &["package-lock.json", "package.json", "walk.mjs"], |folder| {
        let mut npm = Command::new("npm");
        npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]);
        vec![npm]
    });
    let scene = Scene::new(Stores::Embedded);
    scene.secrets().add("the-next-secret");
    let output = Command::new("node")
        .current_dir(folder)
        .arg("walk.mjs")
        .env("ADMIN", format!("http://{}", scene.admin_addr()))
        .env("TRAFFIC", format!("http://{}", scene.gateway.addr()))
        .env("SIM", scene.sim.base_url())
        .env("TOKEN", scene.admin_as("operator").token())
        .output()
        .expect("node");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
