//! The reference pages of the ABI: they name everything in it, and their examples compile and work.

use crate::{
    libraries::{built, compiled_with},
    test_gateway::{TestGateway, call_with, run},
};
use serde_json::json;
use std::{collections::BTreeSet, fs};
use tempfile::TempDir;

const ABI: &str = include_str!("../../plugins/abi/src/lib.rs");
const PAGES: [(&str, &str); 2] =
    [("ABI.md", include_str!("../../plugins/ABI.md")), ("ABI.zh-CN.md", include_str!("../../plugins/ABI.zh-CN.md"))];

/// The fields of a struct of the ABI.
fn fields(name: &str) -> impl Iterator<Item = &'static str> {
    let inside = ABI.split_once(&format!("pub struct {name} {{\n")).unwrap().1.split_once("\n}").unwrap().0;
    inside.lines().filter_map(|line| line.strip_prefix("    pub ")?.split(':').next())
}

/// The first identifier after `prefix` in each line that begins with it.
fn names_after(prefix: &str) -> impl Iterator<Item = &'static str> {
    ABI.lines().filter_map(move |line| line.strip_prefix(prefix)?.split([':', ' ', '(']).next())
}

/// The contents of the only code block in this language.
fn code_block(page: &str, language: &str) -> String {
    let opening = format!("\n```{language}\n");
    let mut blocks = page.split(&opening).skip(1);
    let block = blocks.next().expect("a code block").split_once("\n```\n").expect("the end of the block").0;
    assert!(blocks.next().is_none(), "more than one block of {language}");
    format!("{block}\n")
}

#[test]
fn both_pages_name_everything_in_the_abi() {
    // Fields that every struct has need no description, and plugins use only functions of the host table.
    let plain = ["struct_size", "abi_major", "abi_minor", "context", "reserved"];
    let parts = fields("menlou_host").chain(fields("menlou_action")).filter(|name| !plain.contains(name));
    let constants = names_after("pub const ").filter(|name| name.starts_with("MENLOU_"));
    let types = names_after("pub struct ");
    let all: BTreeSet<&str> = parts.chain(constants).chain(types).collect();
    assert!(all.len() > 70 && all.contains("reply") && all.contains("MENLOU_ERR_CODE") && all.contains("menlou_op"));
    for (file, page) in PAGES {
        let words: BTreeSet<&str> = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let missing: Vec<_> = all.difference(&words).collect();
        assert!(missing.is_empty(), "plugins/{file} does not name {missing:?}");
    }
}

#[tokio::test]
async fn the_c_example_of_both_pages_is_a_working_plugin() {
    let [english, chinese] = PAGES.map(|(_, page)| code_block(page, "c"));
    assert_eq!(english, chinese);
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("comment.c");
    fs::write(&source, english).unwrap();
    let library = compiled_with(source.to_str().unwrap(), &["-std=gnu11", "-fvisibility=hidden", "-shared", "-fPIC"]);
    let gateway = TestGateway::new(&[("comment", &library), ("openid", &built("menlou_openid"))]).await;

    let session = gateway.call("openid", json!({ "code": gateway.sim.code("alice") })).await.unwrap();
    let token = session["session"]["token"].as_str().unwrap();
    let comment = |content: &str| run_comment(&gateway, token, content.to_owned());
    assert_eq!(comment("\"good\"\n\u{1}\\").await.unwrap(), json!({ "taken": true }));
    assert_eq!(comment("sim-risky").await.unwrap_err().code(), "comment_refused");
    assert_eq!(comment(&"字".repeat(2500)).await.unwrap(), json!({ "taken": true }));
    assert_eq!(comment("").await.unwrap_err().code(), "platform_error", "an error of WeChat is passed on");
    assert_eq!(gateway.call("comment", json!({ "content": "x" })).await.unwrap_err().code(), "login_required");
}

async fn run_comment(gateway: &TestGateway, token: &str, content: String) -> menlou_error::Result<serde_json::Value> {
    run(&gateway.action("comment"), call_with(token, "comment", json!({ "content": content }))).await
}

#[test]
fn the_cpp_example_of_both_pages_compiles() {
    let [english, chinese] = PAGES.map(|(_, page)| code_block(page, "cpp"));
    assert_eq!(english, chinese);
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("guard.cpp");
    let class = "#include \"menlou_plugin.h\"\nstruct Call { int32_t poll(menlou_call *); };\n";
    fs::write(&source, format!("{class}{english}int32_t (*used)(void *, menlou_call *) = poll;\n")).unwrap();
    compiled_with(source.to_str().unwrap(), &["-x", "c++", "-std=gnu++17", "-c"]);
}
