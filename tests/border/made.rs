//! Libraries to load: ours as cargo built them, and C sources as the machine's compiler makes them.

use menlou_action::{PluginLoadError, PluginRegistry};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

/// The bytes of the library that cargo built of a crate, `menlou_openid`; beside this very test.
pub fn built(name: &str) -> Vec<u8> {
    let path = std::env::current_exe().unwrap().parent().unwrap().join(format!("lib{name}.so"));
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The bytes of a library made of `c/<source>`, with what is defined on the command line: `NAME="other"`.
pub fn compiled(source: &str, defined: &[&str]) -> Vec<u8> {
    let defined: Vec<String> = defined.iter().map(|d| format!("-D{d}")).collect();
    let flags: Vec<&str> = ["-shared", "-fPIC"].into_iter().chain(defined.iter().map(String::as_str)).collect();
    made_of(source, &flags)
}

/// What the compiler makes of `c/<source>` with these flags.
pub fn made_of(source: &str, flags: &[&str]) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("made");
    let made = Command::new("cc")
        .args(["-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root.join("plugins/abi"))
        .args(flags)
        .arg(root.join("tests/border/c").join(source))
        .arg("-o")
        .arg(&out)
        .output()
        .expect("a C compiler");
    assert!(made.status.success(), "{source} {flags:?}: {}", String::from_utf8_lossy(&made.stderr));
    fs::read(out).unwrap()
}

/// A folder with these files, all of which stopped changing long ago.
pub fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        put(&folder.path().join(name), bytes);
    }
    folder
}

/// Writes a file that stopped changing long ago.
pub fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

/// Why a file with these bytes is refused; `None` where it is not.
pub fn refusal(name: &str, bytes: &[u8]) -> Option<PluginLoadError> {
    let folder = folder(&[(name, bytes)]);
    let library = PluginRegistry::load(folder.path()).unwrap();
    match library.rejected() {
        [] => {
            assert_eq!(library.plugins().len(), 1);
            None
        }
        [refused] => {
            assert_eq!((refused.path.clone(), library.plugins().len()), (folder.path().join(name), 0));
            let text = refused.why.text();
            assert!(!text.zh.is_empty() && text.en.len() > 20, "a reason that says little: {text:?}");
            Some(refused.why.clone())
        }
        more => panic!("one file, refused {} times", more.len()),
    }
}

/// The names of the files that a library refused, with the reasons.
pub fn refused(library: &PluginRegistry) -> Vec<(PathBuf, PluginLoadError)> {
    library.rejected().iter().map(|r| (r.path.file_name().unwrap().into(), r.why.clone())).collect()
}

/// Where `part` begins in `bytes`; it is there once.
pub fn position(bytes: &[u8], part: &[u8]) -> usize {
    let mut found = bytes.windows(part.len()).enumerate().filter(|(_, w)| *w == part).map(|(i, _)| i);
    let first = found.next().expect("it is there");
    assert_eq!(found.next(), None, "it is there once");
    first
}
