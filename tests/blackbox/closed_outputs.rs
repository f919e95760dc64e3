//! Commands whose standard output or standard error is closed or full.

use crate::scene::{setup, simulator};
use menlou_harness::GatewayFolder;
use std::{fs::File, io::pipe, process::Stdio};

/// One of each kind of command, for output of all sizes.
const COMMANDS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["unknown"],
    &["explain"],
    &["explain", "40029"],
    &["explain", "no_such_code"],
    &["schema", "tenant"],
    &["schema", "server"],
    &["validate", "--offline"],
    &["openapi"],
    &["typescript"],
    &["reload"],
    &["tenant", "list"],
    &["tenant", "list", "--json"],
    &["tenant", "show", "manulife"],
    &["tenant", "show", "absent"],
    &["tenant", "verify", "manulife"],
    &["plugin", "list"],
    &["plugin", "docs", "plugins/openid.so"],
    &["plugin", "check", "plugins/openid.so"],
    &["secret", "keygen", "--help"],
    &["admin", "token", "new", "--role", "viewer"],
    &["admin", "token", "list"],
    &["admin", "token", "list", "--json"],
];

/// A pipe that nobody reads.
fn closed() -> Stdio {
    pipe().unwrap().1.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn commands_end_quietly_where_their_output_is_closed_and_fail_where_it_is_full() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    for command in COMMANDS {
        let usual = home.command_with_outputs(command, Stdio::piped(), Stdio::piped());
        let (code, prints) = (usual.status.code(), !usual.stdout.is_empty());
        assert!(code.is_some(), "{command:?} ended by a signal");

        let cut = home.command_with_outputs(command, closed(), Stdio::piped());
        assert_eq!(cut.status.code(), code, "{command:?} with a closed output");
        assert_eq!(cut.stderr.is_empty(), usual.stderr.is_empty(), "{command:?}: {:?}", cut.stderr.escape_ascii());

        let silent = home.command_with_outputs(command, Stdio::piped(), closed());
        assert_eq!(silent.status.code(), code, "{command:?} with a closed standard error");
        let silent = home.command_with_outputs(command, Stdio::piped(), full());
        assert_eq!(silent.status.code(), code, "{command:?} with a full standard error");

        let lost = home.command_with_outputs(command, full(), Stdio::piped());
        let told = String::from_utf8_lossy(&lost.stderr).into_owned();
        assert_eq!(lost.status.code(), if prints { Some(1) } else { code }, "{command:?} with a full output: {told}");
        assert_eq!(told.contains("could not write to standard output"), prints, "{command:?}: {told}");

        for output in [&cut, &lost, &silent] {
            assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{command:?}");
        }
        assert_eq!(home.command_with_outputs(command, closed(), closed()).status.code(), code, "{command:?}");
    }
}
