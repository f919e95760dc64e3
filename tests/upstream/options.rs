//! Validation of the options of an upstream.

use crate::{options, upstream};
use menlou_upstream::{HealthCheckOptions, OptionError, OptionField, Upstream, UpstreamOptions};
use std::time::Duration;

fn errors(options: UpstreamOptions) -> Vec<OptionError> {
    Upstream::new(options).expect_err("errors")
}

#[test]
fn all_invalid_options_are_reported_together_by_field_without_their_values() {
    let servers = [
        "http://valid:1",
        "ftp://hunter2/",
        "http://user:hunter2@host/",
        "https://host/?key=hunter2",
        "http://host/#hunter2",
        "hunter2",
        "http://VALID:1/",
    ];
    let health = HealthCheckOptions { path: "hunter2".to_owned(), interval: Duration::ZERO };
    let errors = errors(UpstreamOptions { health: Some(health), ..options(&servers) });
    let fields: Vec<_> = errors.iter().map(|f| f.field).collect();
    let mut expected: Vec<_> = (1..=6).map(OptionField::Server).collect();
    expected.extend([OptionField::HealthInterval, OptionField::HealthPath]);
    assert_eq!(fields, expected);
    assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
}

#[test]
fn an_upstream_without_servers_is_invalid() {
    assert_eq!(errors(options(&[])).iter().map(|f| f.field).collect::<Vec<_>>(), [OptionField::Servers]);
}

#[test]
fn an_upstream_is_created_without_a_runtime_and_its_debug_output_omits_paths() {
    let upstream = upstream(options(&["http://127.0.0.1:8080/secret/", "https://example.com/secret"]));
    assert_eq!(format!("{:?}", upstream.upstream), r#"["http://127.0.0.1:8080", "https://example.com"]"#);
}
