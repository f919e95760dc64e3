//! The README of each first-party plugin matches the plugin, and its examples are valid. `MENLOU_UPDATE_DOCS=1` regenerates
//! the READMEs.

use menlou_harness::{GatewayFolder, Setup};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

/// The tenant file around an example that is not a complete file.
const TENANT: &str = r#"
name = "Example"
[wechat]
appid = "wx0123456789abcdef"
secret = "not-in-use"
"#;

fn readme(plugin: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(plugin).join("README.md")
}

/// A gateway folder with the first-party plugins, and their names.
fn folder() -> (GatewayFolder, Vec<String>) {
    let named = ["MANULIFE_DELEGATE_SECRET", "ORDERS_KEY", "FILES_KEY"];
    let secrets = named.iter().fold(Setup::default(), |s, name| s.env(name, "a-key-of-more-than-16-bytes"));
    let folder = GatewayFolder::new(secrets);
    let files = fs::read_dir(folder.plugins()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert!(names.len() > 2, "{names:?}");
    (folder, names)
}

fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn page(folder: &GatewayFolder, plugin: &str, more: &[&str]) -> Output {
    let file = format!("plugins/{plugin}.so");
    folder.command(&[&["plugin", "docs", &file], more].concat(), b"")
}

#[test]
fn plugin_readmes_match_the_plugins() {
    let (folder, plugins) = folder();
    for plugin in plugins {
        let readme = readme(&plugin);
        let into = ["--into", readme.to_str().unwrap()];
        if std::env::var_os("MENLOU_UPDATE_DOCS").is_some() {
            let updated = page(&folder, &plugin, &into);
            assert!(updated.status.success(), "{}", output_text(&updated));
        }
        let checked = page(&folder, &plugin, &[&into[..], &["--check"]].concat());
        assert!(
            checked.status.success(),
            "{}run MENLOU_UPDATE_DOCS=1 cargo test -p menlou --test blackbox pages",
            output_text(&checked)
        );
    }
}

#[test]
fn examples_in_plugin_readmes_are_valid() {
    let (folder, plugins) = folder();
    for plugin in plugins {
        let text = fs::read_to_string(readme(&plugin)).unwrap();
        let examples = text.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
        let mut seen = 0;
        for example in examples {
            let file = if example.contains("[wechat]") { example.to_owned() } else { format!("{TENANT}{example}") };
            folder.write_tenant("example", &file);
            let validated = folder.command(&["validate", "--offline"], b"");
            assert!(validated.status.success(), "plugins/{plugin}/README.md: {}", output_text(&validated));
            assert!(output_text(&validated).contains("tenant example: "), "{}", output_text(&validated));
            seen += 1;
        }
        assert!(seen > 0, "plugins/{plugin}/README.md has no example of a tenant's file");
    }
}

#[test]
fn plugin_docs_are_updated_between_markers_in_a_readme() {
    let (folder, _) = folder();
    let notes = folder.path().join("notes.md");
    let into = ["--into", "notes.md"];
    let check = ["--into", "notes.md", "--check"];

    let absent = page(&folder, "openid", &check);
    assert!(!absent.status.success() && !notes.exists(), "checking writes nothing: {}", output_text(&absent));
    assert!(page(&folder, "openid", &into).status.success());
    let made = fs::read_to_string(&notes).unwrap();
    assert!(made.starts_with("# openid\n\n<!-- menlou:docs") && made.contains("## `a=openid`"), "{made}");

    fs::write(&notes, made.replace("# openid\n", "# Ours\n").replace("`test_openids`", "`lies`") + "\n## Notes\n")
        .unwrap();
    let stale = page(&folder, "openid", &check);
    assert_eq!(stale.status.code(), Some(1));
    assert!(output_text(&stale).contains("notes.md does not match the plugin"), "{}", output_text(&stale));
    assert!(page(&folder, "openid", &into).status.success() && page(&folder, "openid", &check).status.success());
    let again = fs::read_to_string(&notes).unwrap();
    assert_eq!(again, made.replace("# openid\n", "# Ours\n") + "\n## Notes\n", "the text outside the markers is kept");

    fs::write(&notes, again.replace("<!-- /menlou:docs -->", "")).unwrap();
    let unpaired = page(&folder, "openid", &into);
    assert!(
        !unpaired.status.success() && output_text(&unpaired).contains("do not form a pair"),
        "{}",
        output_text(&unpaired)
    );

    let printed = page(&folder, "openid", &[]);
    assert!(again.contains(&String::from_utf8(printed.stdout).unwrap()));
    fs::write(folder.plugins().join("notes.so"), "no plugin").unwrap();
    assert_eq!(page(&folder, "notes", &[]).status.code(), Some(1));
}
