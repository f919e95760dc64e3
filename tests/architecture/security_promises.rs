//! Every promise of `SECURITY.md` names tests that exist.

use super::{root, sources};
use std::fs;

#[test]
fn every_promise_of_security_md_names_tests_that_exist() {
    let page = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let (_, promised) = page.split_once("## What is promised").unwrap();
    let (promised, _) = promised.split_once("## What is not promised").unwrap();
    let named: Vec<&str> =
        promised.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3).collect();
    assert!(named.len() > 30, "{named:?}");
    let code: String = ["gateway", "plugins", "tests"]
        .iter()
        .flat_map(|folder| sources(&root().join(folder)))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for name in named {
        assert!(code.contains(&format!("fn {name}(")), "no test is called {name}");
    }
    for promise in promised.lines().filter(|line| line.starts_with("- ")) {
        assert!(promise.contains('`'), "no test holds: {promise}");
    }
}
