//! Plugin files: the workspace's plugins as built by Cargo, and C sources built with `cc`.

use menlou_action::{PluginLoadError, PluginRegistry};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

/// The library of a crate of the workspace, such as `menlou_openid`. Cargo puts it beside this test binary.
pub fn built(name: &str) -> Vec<u8> {
    let path = std::env::current_exe().unwrap().parent().unwrap().join(format!("lib{name}.so"));
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The library built from `c/<source>` with these macros defined, such as `NAME="other"`.
pub fn compiled(source: &str, defined: &[&str]) -> Vec<u8> {
    let defined: Vec<String> = defined.iter().map(|d| format!("-D{d}")).collect();
    let flags: Vec<&str> = ["-shared", "-fPIC"].into_iter().chain(defined.iter().map(String::as_str)).collect();
    compiled_with(source, &flags)
}

/// The output of the C compiler for `c/<source>` with these flags.
pub fn compiled_with(source: &str, flags: &[&str]) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let output = Command::new("cc")
        .args(["-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root.join("plugins/abi"))
        .args(flags)
        .arg(root.join("tests/abi/c").join(source))
        .arg("-o")
        .arg(&out)
        .output()
        .expect("a C compiler");
    assert!(output.status.success(), "{source} {flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(out).unwrap()
}

/// A folder with these files, with a modification time in the past.
pub fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        put(&folder.path().join(name), bytes);
    }
    folder
}

/// Writes a file with a modification time in the past, so that it counts as settled.
pub fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

/// Why a file with these bytes is rejected, or `None` if it is loaded.
pub fn rejection(name: &str, bytes: &[u8]) -> Option<PluginLoadError> {
    let folder = folder(&[(name, bytes)]);
    let library = PluginRegistry::load(folder.path()).unwrap();
    match library.rejected() {
        [] => {
            assert_eq!(library.plugins().len(), 1);
            None
        }
        [file] => {
            assert_eq!((file.path.clone(), library.plugins().len()), (folder.path().join(name), 0));
            let text = file.why.text();
            assert!(!text.zh.is_empty() && text.en.len() > 20, "the text is too short to be useful: {text:?}");
            Some(file.why.clone())
        }
        more => panic!("one file is rejected {} times", more.len()),
    }
}

/// The names of the rejected files, with the reasons.
pub fn rejected(library: &PluginRegistry) -> Vec<(PathBuf, PluginLoadError)> {
    library.rejected().iter().map(|r| (r.path.file_name().unwrap().into(), r.why.clone())).collect()
}

/// The offset of `part` in `bytes`, where it occurs exactly once.
pub fn position(bytes: &[u8], part: &[u8]) -> usize {
    let mut found = bytes.windows(part.len()).enumerate().filter(|(_, w)| *w == part).map(|(i, _)| i);
    let first = found.next().expect("it occurs");
    assert_eq!(found.next(), None, "it occurs once");
    first
}
