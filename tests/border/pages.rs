//! The border in words, `plugins/BORDER.md`: it leaves nothing of the border out, and its example is a plugin that works.

use crate::{
    house::{House, call_with, run},
    made::{built, made_of},
};
use serde_json::json;
use std::{collections::BTreeSet, fs};
use tempfile::TempDir;

const BORDER: &str = include_str!("../../plugins/abi/src/lib.rs");
const PAGES: [(&str, &str); 2] = [
    ("BORDER.md", include_str!("../../plugins/BORDER.md")),
    ("BORDER.zh-CN.md", include_str!("../../plugins/BORDER.zh-CN.md")),
];

/// The fields of a struct of the border.
fn fields(of: &str) -> impl Iterator<Item = &'static str> {
    let inside = BORDER.split_once(&format!("pub struct {of} {{\n")).unwrap().1.split_once("\n}").unwrap().0;
    inside.lines().filter_map(|line| line.strip_prefix("    pub ")?.split(':').next())
}

/// The first word of the lines that begin like this.
fn named(beginning: &str) -> impl Iterator<Item = &'static str> {
    BORDER.lines().filter_map(move |line| line.strip_prefix(beginning)?.split([':', ' ', '(']).next())
}

/// The text of the one block in this language.
fn block(page: &str, language: &str) -> String {
    let opening = format!("\n```{language}\n");
    let mut blocks = page.split(&opening).skip(1);
    let block = blocks.next().expect("a block").split_once("\n```\n").expect("its end").0;
    assert!(blocks.next().is_none(), "two blocks of {language}");
    format!("{block}\n")
}

#[test]
fn both_pages_name_all_of_the_border() {
    // What every struct has says nothing, and of the host table only functions are called.
    let plain = ["struct_size", "abi_major", "abi_minor", "context", "reserved"];
    let parts = fields("menlou_host").chain(fields("menlou_action")).filter(|name| !plain.contains(name));
    let constants = named("pub const ").filter(|name| name.starts_with("MENLOU_"));
    let types = named("pub struct ");
    let all: BTreeSet<&str> = parts.chain(constants).chain(types).collect();
    assert!(all.len() > 70 && all.contains("reply") && all.contains("MENLOU_ERR_WORD") && all.contains("menlou_op"));
    for (file, page) in PAGES {
        let words: BTreeSet<&str> = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let missing: Vec<_> = all.difference(&words).collect();
        assert!(missing.is_empty(), "plugins/{file} does not name {missing:?}");
    }
}

#[tokio::test]
async fn the_example_of_both_pages_is_a_plugin_that_works() {
    let [english, chinese] = PAGES.map(|(_, page)| block(page, "c"));
    assert_eq!(english, chinese);
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("comment.c");
    fs::write(&source, english).unwrap();
    let library = made_of(source.to_str().unwrap(), &["-std=gnu11", "-fvisibility=hidden", "-shared", "-fPIC"]);
    let house = House::new(&[("comment", &library), ("openid", &built("menlou_openid"))]).await;

    let session = house.call("openid", json!({ "code": house.sim.code("alice") })).await.unwrap();
    let token = session["session"]["token"].as_str().unwrap();
    let comment = |content: &str| run_comment(&house, token, content.to_owned());
    assert_eq!(comment("\"good\"\n\u{1}\\").await.unwrap(), json!({ "taken": true }));
    assert_eq!(comment("sim-risky").await.unwrap_err().code(), "comment_refused");
    assert_eq!(comment(&"字".repeat(2500)).await.unwrap(), json!({ "taken": true }));
    assert_eq!(comment("").await.unwrap_err().code(), "platform_error", "a refusal of WeChat's is passed on");
    assert_eq!(house.call("comment", json!({ "content": "x" })).await.unwrap_err().code(), "login_required");
}

async fn run_comment(house: &House, token: &str, content: String) -> menlou_error::Result<serde_json::Value> {
    run(&house.action("comment"), call_with(token, "comment", json!({ "content": content }))).await
}

#[test]
fn the_guard_of_both_pages_is_cpp() {
    let [english, chinese] = PAGES.map(|(_, page)| block(page, "cpp"));
    assert_eq!(english, chinese);
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("guard.cpp");
    let class = "#include \"menlou_plugin.h\"\nstruct Call { int32_t poll(menlou_call *); };\n";
    fs::write(&source, format!("{class}{english}int32_t (*used)(void *, menlou_call *) = poll;\n")).unwrap();
    made_of(source.to_str().unwrap(), &["-x", "c++", "-std=gnu++17", "-c"]);
}
