//! Replays what fuzzing has found: every file of the corpora, on every run of the tests. `README.md` says how to go on.
#![expect(clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod targets;

use std::{fs, path::Path};

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() > 3, "{} has hardly anything", folder.display());
    for file in files {
        // Told by the test where it fails.
        println!("{}", file.display());
        target(&fs::read(&file).expect("a file"));
    }
}

#[test]
fn the_corpus_of_requests_holds() {
    replay("request", targets::request);
}

#[test]
fn the_corpus_of_tenants_files_holds() {
    replay("tenant_file", targets::tenant_file);
}

#[test]
fn the_corpus_of_platforms_answers_holds() {
    replay("platform_answer", targets::platform_answer);
}

#[test]
fn the_corpus_of_parameters_and_their_schemas_holds() {
    replay("parameters", targets::parameters);
}

#[test]
fn the_corpus_of_plugins_files_holds() {
    replay("plugin_file", targets::plugin_file);
}

#[test]
fn the_corpus_of_what_clients_send_holds() {
    replay("http_guard", targets::http_guard);
}

#[test]
fn the_corpus_of_stored_sessions_holds() {
    replay("session", targets::session);
}
