//! Replays the corpora of the fuzz targets, every file of them. `README.md` explains how to search for more.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod targets;

use std::{fs, path::Path};

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() > 3, "{} has too few files", folder.display());
    for file in files {
        // Shown if the target panics.
        println!("{}", file.display());
        target(&fs::read(&file).expect("a file"));
    }
}

#[test]
fn the_request_decoder_passes_its_corpus() {
    replay("request", targets::request);
}

#[test]
fn the_parser_of_tenant_files_passes_its_corpus() {
    replay("tenant_file", targets::tenant_file);
}

#[test]
fn the_parser_of_platform_responses_passes_its_corpus() {
    replay("platform_response", targets::platform_response);
}

#[test]
fn the_validation_of_parameters_passes_its_corpus() {
    replay("parameters", targets::parameters);
}

#[test]
fn the_check_of_plugin_files_passes_its_corpus() {
    replay("plugin_file", targets::plugin_file);
}

#[test]
fn the_http_guard_passes_its_corpus() {
    replay("http_guard", targets::http_guard);
}

#[test]
fn the_decoder_of_sessions_passes_its_corpus() {
    replay("session", targets::session);
}
