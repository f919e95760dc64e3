//! A plugin file that is being copied into the folder while the gateway reads the folder.

use crate::libraries::{built, rejected};
use menlou_action::{PluginLoadError, PluginRegistry};
use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Reads the folder in a loop while `copy` writes a file slowly. The plugin must not be loaded before its last byte is
/// written.
fn loads_only_the_complete_file(copy: impl FnOnce(&Path, &[u8]) + Send) {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, done) = (folder.path().join("openid.so"), built("menlou_openid"), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            copy(&path, &bytes);
            done.store(true, Ordering::SeqCst);
        });
        let mut rejections = 0;
        loop {
            let library = PluginRegistry::load(folder.path()).unwrap();
            if library.find("openid", None).is_some() {
                assert!(done.load(Ordering::SeqCst), "loaded before it was complete");
                break;
            }
            for (_, why) in rejected(&library) {
                assert_eq!(why, PluginLoadError::Incomplete);
                rejections += 1;
            }
        }
        assert!(rejections > 0, "the folder was not read while the file was being written");
    });
}

/// Long enough for a file to count as settled.
const PAUSE: Duration = Duration::from_millis(700);

#[test]
fn a_growing_file_is_loaded_only_when_it_is_complete() {
    loads_only_the_complete_file(|path, bytes| {
        let mut file = File::create(path).unwrap();
        for part in bytes.chunks(bytes.len() / 3 + 1) {
            thread::sleep(PAUSE);
            file.write_all(part).unwrap();
        }
    });
}

#[test]
fn a_preallocated_file_is_loaded_only_when_it_is_complete() {
    loads_only_the_complete_file(|path, bytes| {
        let mut file = File::create(path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        let parts: Vec<_> = bytes.chunks(bytes.len() / 3 + 1).collect();
        file.write_all(parts[0]).unwrap();
        for part in &parts[1..] {
            thread::sleep(PAUSE);
            file.write_all(part).unwrap();
        }
    });
}
