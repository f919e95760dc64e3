//! Loading a folder of plugins: which files are loaded or rejected, and that a bad file does not affect the others.

use crate::libraries::{self, built, compiled, folder, put, rejected};
use menlou_action::{PluginLoadError, PluginRegistry};
use menlou_policy::Access;
use std::process::Command;

#[test]
fn first_party_plugins_are_loaded_with_their_descriptions() {
    let (openid, account) = (built("menlou_openid"), built("menlou_account"));
    let folder = folder(&[("openid.so", &openid), ("account.so", &account), ("README.md", b"not a plugin")]);
    let library = PluginRegistry::load(folder.path()).unwrap();
    assert_eq!(rejected(&library), []);
    let plugins: Vec<_> = library.plugins().iter().map(|p| (p.name, p.version.as_str())).collect();
    assert_eq!(plugins, [("account", "0.1.0"), ("openid", "0.1.0")]);
    let actions: Vec<_> = library.actions().map(|a| (a.name.as_str(), a.access)).collect();
    let wanted =
        [("login", Access::Session), ("logout", Access::Session), ("openid", Access::Anyone), ("user", Access::User)];
    assert_eq!(actions, wanted);
    for action in library.actions() {
        assert_eq!(action.methods, [http::Method::POST], "{}", action.name);
        for text in [&action.title, &action.description] {
            assert!(!text.zh.is_ascii() && text.en.len() > 3, "{}: {text:?}", action.name);
        }
        assert_eq!(action.params.as_json()["type"], "object", "{}", action.name);
        assert_eq!(action.data["type"], "object", "{}", action.name);
        assert_eq!(action.settings.as_json()["type"], "object", "{}", action.name);
    }
    let (plugin, index) = library.find("openid", None).unwrap();
    let action = &plugin.actions[index];
    assert!(action.params.as_json()["properties"]["code"].is_object());
    assert!(action.data["properties"]["session"]["properties"]["token"].is_object());
    assert!(action.settings.as_json()["properties"]["test_openids"].is_object());
    assert_eq!((library.find("opnid", None).is_none(), library.nearest("opnid")), (true, Some("openid")));
}

#[test]
fn a_file_must_have_the_name_of_its_plugin() {
    let openid = built("menlou_openid");
    for name in ["openld.so", "openid2.so", "open.so", "libopenid.so"] {
        assert_eq!(libraries::rejection(name, &openid), Some(PluginLoadError::OtherName("openid".into())), "{name}");
    }
    // The note holds 32 bytes of the name; the rest is compared too.
    let long = "a-name-of-32-bytes-fills-the-not";
    let bytes = compiled("odd.c", &[&format!("NAME=\"{long}\"")]);
    assert_eq!(libraries::rejection(&format!("{long}.so"), &bytes), None);
    assert_eq!(libraries::rejection(&format!("{long}e.so"), &bytes), Some(PluginLoadError::OtherName(long.into())));
}

#[test]
fn a_note_with_another_name_or_a_path_is_rejected_before_any_code_runs() {
    for name in ["../../odd", "even"] {
        // If `init` ran, its failure would be the reason.
        let mut bytes = compiled("odd.c", &["INIT=fails"]);
        let at = libraries::position(&bytes, b"Menlou\0\0") + 28;
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        assert_eq!(libraries::rejection("odd.so", &bytes), Some(PluginLoadError::OtherName(name.into())));
    }
}

#[test]
fn the_first_of_two_plugins_with_the_same_action_is_loaded() {
    let (first, second) = (compiled("odd.c", &["NAME=\"first\""]), compiled("odd.c", &["NAME=\"second\""]));
    let folder = folder(&[("second.so", &second), ("first.so", &first)]);
    let library = PluginRegistry::load(folder.path()).unwrap();
    assert_eq!(rejected(&library), [("second.so".into(), PluginLoadError::Clash("odd".into(), "first".into()))]);
    assert_eq!(library.find("odd", None).map(|(plugin, index)| (plugin.name, index)), Some(("first", 0)));
}

#[test]
fn a_bad_file_does_not_affect_the_others() {
    let openid = built("menlou_openid");
    let folder = folder(&[("a.so", b"text"), ("openid.so", &openid), ("z.so", &openid[..openid.len() / 2])]);
    std::fs::create_dir(folder.path().join("folder.so")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link.so")).unwrap();
    let pipe = Command::new("mkfifo").arg(folder.path().join("pipe.so")).status().unwrap();
    assert!(pipe.success());
    let library = PluginRegistry::load(folder.path()).unwrap();
    assert!(library.find("openid", None).is_some());
    let rejected = rejected(&library);
    let why: Vec<_> = rejected.iter().map(|(name, why)| (name.to_str().unwrap(), why)).collect();
    let [a, folder, link, pipe, z] = why.as_slice() else { panic!("{why:?}") };
    for (found, name) in [(a, "a.so"), (folder, "folder.so"), (pipe, "pipe.so")] {
        assert_eq!(*found, (name, &PluginLoadError::NotALibrary));
    }
    assert!(matches!(link, ("link.so", PluginLoadError::Unreadable(_))), "{link:?}");
    assert_eq!(*z, ("z.so", &PluginLoadError::Incomplete));
}

#[test]
fn a_new_version_is_loaded_from_the_same_path_and_the_old_one_stays_usable() {
    let folder = folder(&[("odd.so", &compiled("odd.c", &["TITLE=MENLOU_STR(\"Old\")"]))]);
    let old = PluginRegistry::load(folder.path()).unwrap();
    put(&folder.path().join("odd.so"), &compiled("odd.c", &["TITLE=MENLOU_STR(\"New\")"]));
    let new = PluginRegistry::load(folder.path()).unwrap();
    std::fs::remove_file(folder.path().join("odd.so")).unwrap();
    let title =
        |library: &PluginRegistry| library.actions().map(|a| a.title.en.clone().into_owned()).collect::<Vec<_>>();
    assert_eq!((title(&old), title(&new)), (vec!["Old".to_owned()], vec!["New".to_owned()]));
}

#[test]
fn a_touched_file_and_a_copy_of_the_same_bytes_are_no_new_version() {
    let bytes = compiled("odd.c", &[]);
    let folder = folder(&[("odd.so", &bytes)]);
    let path = folder.path().join("odd.so");
    let mut library = PluginRegistry::load(folder.path()).unwrap();
    let generation = library.plugins()[0].generation;
    let settled = std::time::SystemTime::now() - std::time::Duration::from_secs(30);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(settled).unwrap();
    for step in ["touched", "copied"] {
        let changes = library.changes(folder.path()).unwrap();
        assert!(matches!(changes.as_slice(), [change] if change.is_touched), "{step}: {} changes", changes.len());
        library = changes.into_iter().fold(library, |library, change| library.with(change));
        assert!(library.changes(folder.path()).unwrap().is_empty(), "{step}: the file is not read again");
        assert_eq!(library.plugins()[0].generation, generation, "{step}");
        std::fs::remove_file(&path).unwrap();
        put(&path, &bytes);
    }
    put(&path, &compiled("odd.c", &["TITLE=MENLOU_STR(\"New\")"]));
    let changes = library.changes(folder.path()).unwrap();
    let library = changes.into_iter().fold(library, |library, change| library.with(change));
    assert!(library.plugins()[0].generation > generation, "other bytes are a new version");
}

#[test]
fn a_missing_folder_is_an_error() {
    let folder = folder(&[]);
    assert!(PluginRegistry::load(&folder.path().join("nowhere")).is_err());
    assert!(PluginRegistry::load(folder.path()).unwrap().plugins().is_empty());
}
