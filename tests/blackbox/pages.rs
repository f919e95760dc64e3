//! The page of each first-party plugin: it says what the plugin says of itself, and its examples load.
//! `MENLOU_UPDATE_DOCS=1` writes the pages anew.

use menlou_harness::gateway::{GatewayFolder, Setup};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

/// What an example of a page stands in, where it does not bring this itself.
const TENANT: &str = r#"
name = "Example"
[wechat]
appid = "wx0123456789abcdef"
secret = "not-asked-for"
"#;

fn readme(plugin: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(plugin).join("README.md")
}

/// A folder with the first-party plugins, and their names.
fn home() -> (GatewayFolder, Vec<String>) {
    let named = ["MANULIFE_DELEGATE_SECRET", "ORDERS_KEY", "FILES_KEY"];
    let secrets = named.iter().fold(Setup::default(), |s, name| s.env(name, "a-key-of-more-than-16-bytes"));
    let home = GatewayFolder::new(secrets);
    let files = fs::read_dir(home.plugins()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert!(names.len() > 2, "{names:?}");
    (home, names)
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn page(home: &GatewayFolder, plugin: &str, more: &[&str]) -> Output {
    let file = format!("plugins/{plugin}.so");
    home.command(&[&["plugin", "docs", &file], more].concat(), b"")
}

#[test]
fn plugin_readmes_match_the_plugins() {
    let (home, plugins) = home();
    for plugin in plugins {
        let readme = readme(&plugin);
        let into = ["--into", readme.to_str().unwrap()];
        if std::env::var_os("MENLOU_UPDATE_DOCS").is_some() {
            let updated = page(&home, &plugin, &into);
            assert!(updated.status.success(), "{}", told(&updated));
        }
        let checked = page(&home, &plugin, &[&into[..], &["--check"]].concat());
        assert!(
            checked.status.success(),
            "{}run MENLOU_UPDATE_DOCS=1 cargo test -p menlou --test blackbox pages",
            told(&checked)
        );
    }
}

#[test]
fn examples_in_plugin_readmes_are_valid() {
    let (home, plugins) = home();
    for plugin in plugins {
        let text = fs::read_to_string(readme(&plugin)).unwrap();
        let examples = text.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
        let mut seen = 0;
        for example in examples {
            let whole = if example.contains("[wechat]") { example.to_owned() } else { format!("{TENANT}{example}") };
            home.write_tenant("example", &whole);
            let validated = home.command(&["validate", "--offline"], b"");
            assert!(validated.status.success(), "plugins/{plugin}/README.md: {}", told(&validated));
            assert!(told(&validated).contains("tenant example: "), "{}", told(&validated));
            seen += 1;
        }
        assert!(seen > 0, "plugins/{plugin}/README.md has no example of a tenant's file");
    }
}

#[test]
fn plugin_docs_are_updated_between_markers_in_a_readme() {
    let (home, _) = home();
    let kept = home.path().join("notes.md");
    let into = ["--into", "notes.md"];
    let check = ["--into", "notes.md", "--check"];

    let absent = page(&home, "openid", &check);
    assert!(!absent.status.success() && !kept.exists(), "checking writes nothing: {}", told(&absent));
    assert!(page(&home, "openid", &into).status.success());
    let made = fs::read_to_string(&kept).unwrap();
    assert!(made.starts_with("# openid\n\n<!-- menlou:docs") && made.contains("## `a=openid`"), "{made}");

    fs::write(&kept, made.replace("# openid\n", "# Ours\n").replace("`test_openids`", "`lies`") + "\n## Notes\n")
        .unwrap();
    let stale = page(&home, "openid", &check);
    assert_eq!(stale.status.code(), Some(1));
    assert!(told(&stale).contains("notes.md does not match the plugin"), "{}", told(&stale));
    assert!(page(&home, "openid", &into).status.success() && page(&home, "openid", &check).status.success());
    let again = fs::read_to_string(&kept).unwrap();
    assert_eq!(again, made.replace("# openid\n", "# Ours\n") + "\n## Notes\n", "what stands outside is the author's");

    fs::write(&kept, again.replace("<!-- /menlou:docs -->", "")).unwrap();
    let torn = page(&home, "openid", &into);
    assert!(!torn.status.success() && told(&torn).contains("do not form a pair"), "{}", told(&torn));

    let printed = page(&home, "openid", &[]);
    assert!(again.contains(&String::from_utf8(printed.stdout).unwrap()));
    fs::write(home.plugins().join("notes.so"), "no plugin").unwrap();
    assert_eq!(page(&home, "notes", &[]).status.code(), Some(1));
}
