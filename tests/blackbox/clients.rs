//! What mini-programs are written with: axios over axios-miniprogram-adapter, and wx.request, in node (tests/clients).

use crate::scene::{Scene, Stores};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The programs that a mini-program's client is made of here.
const FILES: [&str; 4] = ["package.json", "package-lock.json", "wx.js", "flow.js"];

#[test]
fn a_mini_program_s_client_library_walks_through_the_flow() {
    let folder = install();
    let scene = Scene::new(Stores::Embedded);
    let gateway = format!("http://{}", scene.addr());
    let walked = run(Command::new("node").current_dir(folder).args(["flow.js", &gateway, scene.sim.base_url()]));
    let (out, err) = (String::from_utf8_lossy(&walked.stdout), String::from_utf8_lossy(&walked.stderr));
    assert!(walked.status.success() && out.contains("the flow works"), "{out}{err}");
}

#[test]
fn the_examples_of_the_readmes_work_as_they_stand() {
    let scene = Scene::new(Stores::Embedded);
    let gateway = format!("http://{}", scene.addr());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let walked = run(Command::new("node")
        .arg(root.join("tests/clients/readme.js"))
        .args([&gateway, scene.sim.base_url()])
        .args([root.join("README.md"), root.join("README.zh-CN.md")]));
    let (out, err) = (String::from_utf8_lossy(&walked.stdout), String::from_utf8_lossy(&walked.stderr));
    assert!(walked.status.success() && out.contains("the examples work"), "{out}{err}");
}

/// Puts the client under the build's own folder, with what it needs from npm; once per version of its lock file.
fn install() -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    fs::create_dir_all(&folder).unwrap();
    let installed = folder.join("node_modules/.installed-from");
    let lock = fs::read(from.join("package-lock.json")).unwrap();
    for file in FILES {
        fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    if fs::read(&installed).is_ok_and(|of| of == lock) {
        return folder;
    }
    let options = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"];
    let done = run(Command::new("npm").current_dir(&folder).args(options));
    assert!(done.status.success(), "npm ci (needs a package registry once): {}", String::from_utf8_lossy(&done.stderr));
    fs::write(installed, lock).unwrap();
    folder
}

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|e| panic!("{program}: {e}; install the Debian packages nodejs and npm"))
}
