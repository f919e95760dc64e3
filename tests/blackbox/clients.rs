//! Clients of mini-programs under Node.js: axios with axios-miniprogram-adapter, and wx.request (tests/clients).

use crate::scene::{Scene, Stores};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Files of the client, copied beside its npm packages.
const FILES: [&str; 4] = ["package.json", "package-lock.json", "wx.js", "flow.js"];

#[test]
fn mini_program_clients_complete_the_login_flow() {
    let folder = install();
    let scene = Scene::new(Stores::Embedded);
    let gateway = format!("http://{}", scene.addr());
    let output = run(Command::new("node").current_dir(folder).args(["flow.js", &gateway, scene.sim.base_url()]));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("the flow works"), "{out}{err}");
}

#[test]
fn readme_examples_work_as_written() {
    let scene = Scene::new(Stores::Embedded);
    let gateway = format!("http://{}", scene.addr());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = run(Command::new("node")
        .arg(root.join("tests/clients/readme.js"))
        .args([&gateway, scene.sim.base_url()])
        .args([root.join("README.md"), root.join("README.zh-CN.md")]));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("the examples work"), "{out}{err}");
}

/// Installs the client and its npm packages below the target folder, once per version of the lock file.
fn install() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    fs::create_dir_all(&folder).unwrap();
    let installed = folder.join("node_modules/.installed-from");
    let lock = fs::read(source.join("package-lock.json")).unwrap();
    for file in FILES {
        fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    if fs::read(&installed).is_ok_and(|installed_lock| installed_lock == lock) {
        return folder;
    }
    let options = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"];
    let output = run(Command::new("npm").current_dir(&folder).args(options));
    assert!(
        output.status.success(),
        "npm ci (needs a package registry once): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::write(installed, lock).unwrap();
    folder
}

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|e| panic!("{program}: {e}; install the Debian packages nodejs and npm"))
}
