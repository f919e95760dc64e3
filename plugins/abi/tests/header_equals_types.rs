//! `menlou_plugin.h` equals what cbindgen generates from this crate. `MENLOU_UPDATE_HEADER=1` writes the file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/menlou_plugin.h");

fn generated_header() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let rules: String = source
        .lines()
        .map_while(|l| l.strip_prefix("//!"))
        .map(|l| format!(" *{}\n", l.replace("**", "").replace('`', "")))
        .collect();
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    config.header = Some(format!("/*\n{rules} */"));
    config.trailer = Some(fs::read_to_string(root.join("src/trailer.h")).unwrap());
    let mut header = Vec::new();
    cbindgen::Builder::new()
        .with_src(root.join("src/lib.rs"))
        .with_config(config)
        .generate()
        .unwrap()
        .write(&mut header);
    String::from_utf8(header).unwrap()
}

#[test]
fn header_equals_the_generated_one() {
    let generated = generated_header();
    if std::env::var_os("MENLOU_UPDATE_HEADER").is_some() {
        fs::write(HEADER, &generated).unwrap();
    }
    assert!(
        fs::read_to_string(HEADER).is_ok_and(|kept| kept == generated),
        "menlou_plugin.h is out of date: run MENLOU_UPDATE_HEADER=1 cargo test -p menlou-abi"
    );
}

#[test]
fn c_and_cpp_compilers_see_the_sizes_that_rust_sees() {
    let folder = tempfile::tempdir().unwrap();
    let [host, plugin, action, request, outcome, reply, http_request, param] = menlou_abi::SIZES;
    let source = format!(
        r#"#include "menlou_plugin.h"
        _Static_assert(sizeof(menlou_host) == {host}, "host");
        _Static_assert(sizeof(menlou_plugin) == {plugin}, "plugin");
        _Static_assert(sizeof(menlou_action) == {action}, "action");
        _Static_assert(sizeof(menlou_request) == {request}, "request");
        _Static_assert(sizeof(menlou_outcome) == {outcome}, "outcome");
        _Static_assert(sizeof(menlou_reply) == {reply}, "reply");
        _Static_assert(sizeof(menlou_http_request) == {http_request}, "http_request");
        _Static_assert(sizeof(menlou_param) == {param}, "param");
        _Static_assert(sizeof(menlou_note) == {note}, "note");
        MENLOU_PLUGIN_NOTE("c", "1.0.0");
        static const uint16_t sizes[8] = MENLOU_SIZES;
        static const uint8_t magic[8] = MENLOU_MAGIC;
        int main(void) {{ return sizes[0] == magic[0] && menlou_note_.kind; }}
        "#,
        note = size_of::<menlou_abi::menlou_note>(),
    );
    let file = folder.path().join("sizes.c");
    fs::write(&file, source).unwrap();
    for (compiler, standard) in [("cc", "-std=gnu11"), ("c++", "-std=gnu++17")] {
        let out = Command::new(compiler)
            .args([standard, "-Wall", "-Wextra", "-Werror", "-x", if compiler == "cc" { "c" } else { "c++" }])
            .args(["-D_Static_assert=static_assert"].iter().filter(|_| compiler == "c++"))
            .args(["-fsyntax-only", "-I", env!("CARGO_MANIFEST_DIR")])
            .arg(&file)
            .output()
            .unwrap();
        assert!(out.status.success(), "{compiler}: {}", String::from_utf8_lossy(&out.stderr));
    }
}
