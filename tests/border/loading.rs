//! A folder of plugins: who is taken, who is refused, and that nobody is refused for another's fault.

use crate::made::{self, built, compiled, folder, put, refused};
use menlou_action::{PluginLoadError, PluginRegistry};
use menlou_policy::Access;
use std::process::Command;

#[test]
fn first_party_plugins_are_what_they_say() {
    let (openid, account) = (built("menlou_openid"), built("menlou_account"));
    let folder = folder(&[("openid.so", &openid), ("account.so", &account), ("README.md", b"not looked at")]);
    let library = PluginRegistry::load(folder.path()).unwrap();
    assert_eq!(refused(&library), []);
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
fn a_file_is_named_as_its_plugin() {
    let openid = built("menlou_openid");
    for name in ["openld.so", "openid2.so", "open.so", "libopenid.so"] {
        assert_eq!(made::refusal(name, &openid), Some(PluginLoadError::OtherName("openid".into())), "{name}");
    }
    // The note has room for 32 bytes; what comes after is compared, too.
    let long = "a-name-of-32-bytes-fills-the-not";
    let bytes = compiled("odd.c", &[&format!("NAME=\"{long}\"")]);
    assert_eq!(made::refusal(&format!("{long}.so"), &bytes), None);
    assert_eq!(made::refusal(&format!("{long}e.so"), &bytes), Some(PluginLoadError::OtherName(long.into())));
}

#[test]
fn a_note_that_names_another_plugin_or_a_path_is_refused_before_any_code_runs() {
    for name in ["../../odd", "even"] {
        // An `init` that fails would say so, had it run.
        let mut bytes = compiled("odd.c", &["INIT=fails"]);
        let at = made::position(&bytes, b"Menlou\0\0") + 28;
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        assert_eq!(made::refusal("odd.so", &bytes), Some(PluginLoadError::OtherName(name.into())));
    }
}

#[test]
fn of_two_plugins_with_one_action_the_first_serves() {
    let (first, second) = (compiled("odd.c", &["NAME=\"first\""]), compiled("odd.c", &["NAME=\"second\""]));
    let folder = folder(&[("second.so", &second), ("first.so", &first)]);
    let library = PluginRegistry::load(folder.path()).unwrap();
    assert_eq!(refused(&library), [("second.so".into(), PluginLoadError::Clash("odd".into(), "first".into()))]);
    assert_eq!(library.find("odd", None).map(|(plugin, index)| (plugin.name, index)), Some(("first", 0)));
}

#[test]
fn one_bad_file_takes_nothing_else_down() {
    let openid = built("menlou_openid");
    let folder = folder(&[("a.so", b"text"), ("openid.so", &openid), ("z.so", &openid[..openid.len() / 2])]);
    std::fs::create_dir(folder.path().join("folder.so")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link.so")).unwrap();
    let pipe = Command::new("mkfifo").arg(folder.path().join("pipe.so")).status().unwrap();
    assert!(pipe.success());
    let library = PluginRegistry::load(folder.path()).unwrap();
    assert!(library.find("openid", None).is_some());
    let refused = refused(&library);
    let why: Vec<_> = refused.iter().map(|(name, why)| (name.to_str().unwrap(), why)).collect();
    let [a, folder, link, pipe, z] = why.as_slice() else { panic!("{why:?}") };
    for (found, name) in [(a, "a.so"), (folder, "folder.so"), (pipe, "pipe.so")] {
        assert_eq!(*found, (name, &PluginLoadError::NotALibrary));
    }
    assert!(matches!(link, ("link.so", PluginLoadError::Unreadable(_))), "{link:?}");
    assert_eq!(*z, ("z.so", &PluginLoadError::Incomplete));
}

#[test]
fn a_plugin_is_loaded_anew_from_the_same_path_and_the_old_one_serves_on() {
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
fn a_folder_that_is_not_there_is_an_error() {
    let folder = folder(&[]);
    assert!(PluginRegistry::load(&folder.path().join("nowhere")).is_err());
    assert!(PluginRegistry::load(folder.path()).unwrap().plugins().is_empty());
}
