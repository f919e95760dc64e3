//! What a group of servers can't be made of.

use crate::{options, upstream};
use menlou_upstream::{HealthCheckOptions, OptionError, OptionField, Upstream, UpstreamOptions};
use std::time::Duration;

fn faults(options: UpstreamOptions) -> Vec<OptionError> {
    Upstream::new(options).expect_err("faults")
}

#[test]
fn all_faults_are_told_at_once_each_at_its_place_without_what_stands_there() {
    let servers = [
        "http://well:1",
        "ftp://hunter2/",
        "http://user:hunter2@host/",
        "https://host/?key=hunter2",
        "http://host/#hunter2",
        "hunter2",
        "http://WELL:1/",
    ];
    let health = HealthCheckOptions { path: "hunter2".to_owned(), interval: Duration::ZERO };
    let faults = faults(UpstreamOptions { health: Some(health), ..options(&servers) });
    let places: Vec<_> = faults.iter().map(|f| f.field).collect();
    let mut expected: Vec<_> = (1..=6).map(OptionField::Server).collect();
    expected.extend([OptionField::HealthInterval, OptionField::HealthPath]);
    assert_eq!(places, expected);
    assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
}

#[test]
fn a_group_has_a_server_at_least() {
    assert_eq!(faults(options(&[])).iter().map(|f| f.field).collect::<Vec<_>>(), [OptionField::Servers]);
}

#[test]
fn it_is_made_outside_of_any_runtime_and_prints_its_servers_without_their_paths() {
    let upstream = upstream(options(&["http://127.0.0.1:8080/secret/", "https://example.com/secret"]));
    assert_eq!(format!("{:?}", upstream.upstream), r#"["http://127.0.0.1:8080", "https://example.com"]"#);
}
