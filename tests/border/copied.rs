//! A file that is being copied into the folder while the folder is read.

use crate::made::{built, refused};
use menlou_action::{PluginLoadError, PluginRegistry};
use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Reads the folder again and again while `copy` writes a file there, slowly; the first time that it is taken is after
/// its last byte was written.
fn is_taken_only_when_whole(copy: impl FnOnce(&Path, &[u8]) + Send) {
    let folder = tempfile::tempdir().unwrap();
    let (path, whole, done) = (folder.path().join("openid.so"), built("menlou_openid"), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            copy(&path, &whole);
            done.store(true, Ordering::SeqCst);
        });
        let mut looked = 0;
        loop {
            let library = PluginRegistry::load(folder.path()).unwrap();
            if library.find("openid", None).is_some() {
                assert!(done.load(Ordering::SeqCst), "taken before it was whole");
                break;
            }
            for (_, why) in refused(&library) {
                assert_eq!(why, PluginLoadError::Incomplete);
                looked += 1;
            }
        }
        assert!(looked > 0, "nobody looked while it was being written");
    });
}

/// Long enough for a file to count as settled, for whoever looks.
const PAUSE: Duration = Duration::from_millis(700);

#[test]
fn one_that_grows_is_taken_only_when_whole() {
    is_taken_only_when_whole(|path, whole| {
        let mut file = File::create(path).unwrap();
        for part in whole.chunks(whole.len() / 3 + 1) {
            thread::sleep(PAUSE);
            file.write_all(part).unwrap();
        }
    });
}

#[test]
fn one_that_has_its_length_from_the_start_is_taken_only_when_whole() {
    is_taken_only_when_whole(|path, whole| {
        let mut file = File::create(path).unwrap();
        file.set_len(whole.len() as u64).unwrap();
        let parts: Vec<_> = whole.chunks(whole.len() / 3 + 1).collect();
        file.write_all(parts[0]).unwrap();
        for part in &parts[1..] {
            thread::sleep(PAUSE);
            file.write_all(part).unwrap();
        }
    });
}
