//! `menlou tenant edit`: saves are atomic, comments are kept, and concurrent changes are not lost.

use crate::scene::{Scene, Stores, TENANT, eventually, setup, side_by_side, simulator, tenant};
use menlou_harness::{GatewayFolder, Setup};
use menlou_simulator::{App, DEMO_SECRET};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Output,
};

#[track_caller]
fn exits(output: &Output, code: i32) -> String {
    let message = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(!message.contains(DEMO_SECRET), "a secret is shown: {message}");
    message
}

fn home() -> GatewayFolder {
    GatewayFolder::new(setup(&simulator(), None, None))
}

fn file(home: &GatewayFolder) -> String {
    fs::read_to_string(home.tenants().join(format!("{TENANT}.toml"))).unwrap()
}

/// All files in the tenants' folder, including temporary ones.
fn names(home: &GatewayFolder) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(home.tenants()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_edited_value_keeps_its_position_and_the_gateway_reloads_it() {
    let scene = Scene::new(Stores::Embedded);
    let path = scene.tenants().join(format!("{TENANT}.toml"));
    let before =
        format!("# ours\n{}", tenant(&scene.sim).replace("name = \"Manulife\"", "name = \"Manulife\"  # theirs"));
    scene.gateway.write_tenant(TENANT, &before);
    let edit = [
        "tenant",
        "edit",
        TENANT,
        "--set",
        "name=宏利",
        "--set",
        "actions.login.methods=[\"phone\"]",
        "--unset",
        "actions.user",
    ];
    exits(&scene.command(&edit), 0);
    let after = before
        .replace("\"Manulife\"", "\"宏利\"")
        .replace("[\"phone\", \"password\", \"profile\"]", "[\"phone\"]")
        .replace("[actions.user]\n\n", "");
    assert_eq!(fs::read_to_string(&path).unwrap(), after);
    eventually("the tenant is reloaded", || {
        let response = scene.session("ann").call("login", &[("method", "profile"), ("name", "Ann")]);
        (response.error.as_deref() == Some("method_not_allowed_here")).then_some(())
    });
}

#[test]
fn a_secret_is_rotated_from_standard_input_while_people_log_in() {
    let scene = Scene::new(Stores::Embedded);
    scene.authorize("ann").ok();
    scene.sim.register(App::new(menlou_simulator::DEMO_APPID, "the-next-secret")).unwrap();
    scene.authorize("bob").assert_error(503, "tenant_misconfigured");
    exits(
        &scene.command_with_input(&["tenant", "edit", TENANT, "--set-secret", "wechat.secret"], "the-next-secret\n"),
        0,
    );
    eventually("the new secret is in use", || scene.authorize("carl").error.is_none().then_some(()));
}

#[test]
fn a_secret_is_saved_whatever_else_is_wrong_in_the_file() {
    let home = home();
    let set = ["tenant", "edit", TENANT, "--set-secret", "wechat.secret"];
    for (other, says) in [
        ("[session]\nttl = \"5s\"\n", "`ttl` must be from 1m to 30d"),
        ("[session]\ntll = \"5d\"\n", "unknown key `tll`"),
        ("[actions.orders]\nplugin = \"proxy\"\n", "`upstream` is missing"),
    ] {
        let before = format!("{}{other}", tenant(&simulator()));
        home.write_tenant(TENANT, &before);
        let message = exits(&home.command(&set, b"a-new-secret"), 1);
        assert!(message.contains("is saved") && message.contains(says), "{message}");
        assert!(message.contains("keeps the last valid version") && !message.contains("reloads it"), "{message}");
        assert!(!message.contains("a-new-secret"), "{message}");
        assert_eq!(file(&home), before.replace(DEMO_SECRET, "a-new-secret"), "{other}");
    }
    // A change that adds an error is refused, with that error only.
    let before = file(&home);
    let message = exits(&home.command(&["tenant", "edit", TENANT, "--set-secret", "wechat.sceret"], b"x"), 1);
    assert!(message.contains("did you mean `secret`?") && !message.contains("upstream"), "{message}");
    assert_eq!(file(&home), before);
    // Without a secret, a file with errors is not saved.
    exits(&home.command(&["tenant", "edit", TENANT, "--set", "name=Other"], b""), 1);
    assert_eq!(file(&home), before);
}

#[test]
fn the_message_does_not_promise_what_a_running_gateway_cannot_load() {
    let home = home();
    let set = ["tenant", "edit", TENANT, "--set-secret", "wechat.secret"];
    let message = exits(&home.command(&set, b"a-new-secret"), 0);
    assert!(message.contains("reloads it automatically"), "{message}");
    // The keys of a gateway are those of the config that it was started with.
    let config = fs::read_to_string(home.config()).unwrap();
    fs::write(home.config(), format!("{config}secrets.keys_file = \"file:seal.keys\"\n")).unwrap();
    exits(&home.command(&["secret", "keygen"], b""), 0);
    let message = exits(&home.command(&set, b"another-secret"), 0);
    assert!(message.contains("restart") && message.contains("keys_file"), "{message}");
    assert!(!message.contains("reloads it automatically"), "{message}");
    let message = exits(&home.command(&["tenant", "edit", TENANT, "--set", "session.ttl=1d"], b""), 0);
    assert!(message.contains("reloads it automatically"), "nothing new is encrypted: {message}");
}

#[test]
fn a_file_with_errors_is_not_saved_and_the_errors_have_positions() {
    let home = home();
    let before = file(&home);
    for (edit, code, says) in [
        (&["--set", "session.ttl=5s"][..], 1, "manulife.toml:"),
        (&["--set", "session.tll=5d"], 1, "did you mean `ttl`?"),
        (&["--unset", "wechat.secret"], 1, "`secret` is missing"),
        (&["--set", "name.x=1"], 2, "not a table"),
        (&["--set", "a b=1"], 2, "is not a key"),
        (&["--set", "wechat.secret=hunter2-hunter2"], 2, "cannot be an argument"),
        (
            &["--set", "wechat={ appid = \"wx4f4bc4dec97d474b\", secret = \"hunter2-hunter2\" }"],
            2,
            "cannot be an argument",
        ),
        (&["--set", "wechat.secret=env:MISSING_ONE"], 1, "MISSING_ONE is not set"),
        (&[], 2, "--set, --unset or --set-secret"),
    ] {
        let arguments: Vec<&str> = ["tenant", "edit", TENANT].iter().chain(edit).copied().collect();
        let message = exits(&home.command(&arguments, b""), code);
        assert!(message.contains(says) && !message.contains("hunter2"), "{edit:?}: {message}");
        assert_eq!(file(&home), before, "{edit:?}");
    }
    assert_eq!(names(&home), ["manulife.toml", "neighbour.toml"]);
}

#[test]
fn in_an_editor_an_invalid_file_is_edited_again_or_discarded() {
    let home = home();
    let before = file(&home);
    let editor = "f() { if grep -q 5s \"$1\"; then sed -i s/5s/5d/ \"$1\"; else printf '[session]\\nttl = \"5s\"\\n' >> \"$1\"; fi; }; f";
    for (choice, code, after) in [("d", 0, before.clone()), ("e", 0, format!("{before}[session]\nttl = \"5d\"\n"))] {
        let mut terminal = home.terminal(&["tenant", "edit", TENANT], &[("EDITOR", editor)]);
        terminal.expect("from 1m to 30d");
        terminal.expect("e: edit again");
        terminal.type_line(choice);
        let (ended, shown) = terminal.end();
        assert_eq!(ended, code, "{shown}");
        assert!(!shown.contains(DEMO_SECRET), "{shown}");
        assert_eq!(file(&home), after, "{shown}");
    }
    for (editor, code, says) in [("true", 0, "nothing was changed"), ("false", 1, "the editor false failed")] {
        let (ended, shown) = home.terminal(&["tenant", "edit", TENANT], &[("VISUAL", editor)]).end();
        assert!(ended == code && shown.contains(says), "{shown}");
    }
    let left: Vec<_> =
        fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(
        !left.iter().any(|name| name.starts_with("menlou-") && home.path().join(name).join("manulife.toml").exists()),
        "no copy with the secret stays: {left:?}"
    );
}

#[test]
fn the_editor_does_not_overwrite_a_concurrent_change() {
    let home = home();
    let theirs = file(&home).replace("Manulife", "Theirs");
    let live = home.tenants().join(format!("{TENANT}.toml"));
    let editor =
        format!("f() {{ sed -i s/Manulife/Theirs/ '{}'; sed -i s/Manulife/Ours/ \"$1\"; }}; f", live.display());
    let mut terminal = home.terminal(&["tenant", "edit", TENANT], &[("EDITOR", &editor)]);
    terminal.expect("your changes are kept in ");
    terminal.expect("somebody else has changed");
    let (code, shown) = terminal.end();
    assert_eq!(code, 1, "{shown}");
    assert_eq!(file(&home), theirs);
    let kept = shown.split("are kept in ").nth(1).and_then(|rest| rest.lines().next()).unwrap().trim();
    assert!(fs::read_to_string(kept).unwrap().contains("Ours"), "{kept}");
}

#[test]
fn concurrent_edits_are_all_saved() {
    let home = home();
    let codes = side_by_side(6, |i| {
        let set = format!("actions.a{i}={{ plugin = \"user\" }}");
        home.command(&["tenant", "edit", TENANT, "--set", &set], b"").status.code()
    });
    assert_eq!(codes, [Some(0); 6]);
    assert!((0..6).all(|i| file(&home).contains(&format!("[actions.a{i}]"))), "{}", file(&home));
    assert_eq!(names(&home), ["manulife.toml", "neighbour.toml"]);
}

#[test]
fn on_a_full_disk_the_file_stays_unchanged() {
    // Without plugins, so that nothing but the tenant's file is written; then actions are message to be unavailable.
    let sim = simulator();
    let plain = |name: &str| {
        format!(
            "name = \"{name}\"\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"{DEMO_SECRET}\"\nbase_url = \"{}\"\n",
            sim.base_url()
        )
    };
    let long = format!("{}# {}\n", plain("Manulife"), "x".repeat(50_000));
    let home = GatewayFolder::new(Setup { without_plugins: true, ..Setup::default().tenant(TENANT, &long) });
    let full = ["sh", "-c", "trap '' XFSZ; ulimit -f 20; exec \"$0\" \"$@\""];
    for (language, says) in [("en", ["could not be saved", "unchanged"]), ("zh", ["无法保存", "未改动"])] {
        let by: Vec<&str> = ["env", if language == "zh" { "MENLOU_LANG=zh" } else { "MENLOU_LANG=en" }]
            .into_iter()
            .chain(full)
            .collect();
        let message = exits(&home.command_through(&by, &["tenant", "edit", TENANT, "--set", "name=Other"]), 1);
        assert!(says.iter().all(|s| message.contains(s)), "{message}");
        assert_eq!(file(&home), long);
        assert_eq!(names(&home), ["manulife.toml"], "the temporary file is removed");
    }
    exits(&home.command(&["tenant", "edit", TENANT, "--set", "name=Other"], b""), 0);
}

#[test]
fn in_a_read_only_folder_the_file_stays_unchanged_and_the_reason_is_reported() {
    let home = home();
    let before = file(&home);
    fs::set_permissions(home.tenants(), Permissions::from_mode(0o555)).unwrap();
    // Root may write anywhere, unless it gives that up.
    let root = fs::write(home.tenants().join("probe"), "").is_ok();
    let _ = fs::remove_file(home.tenants().join("probe"));
    let by: &[&str] = if root { &["setpriv", "--bounding-set", "-dac_override"] } else { &["env"] };
    for command in [
        &["tenant", "edit", TENANT, "--set", "name=Other"][..],
        &["tenant", "remove", TENANT, "--yes"],
        &["tenant", "create", "acme", "--appid", "wx4f4bc4dec97d474b", "--secret", "file:s", "--offline"],
    ] {
        fs::write(home.path().join("s"), "some-secret").unwrap();
        let command: Vec<&str> =
            command.iter().map(|part| if *part == "file:s" { "file:../s" } else { part }).collect();
        let message = exits(&home.command_through(by, &command), 1);
        assert!(message.contains("no write permission"), "{message}");
    }
    fs::set_permissions(home.tenants(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(file(&home), before);
    assert_eq!(names(&home), ["manulife.toml", "neighbour.toml"]);
}

#[test]
fn a_link_is_read_only_within_the_folder_and_never_changed() {
    let home = home();
    let path = home.tenants().join(format!("{TENANT}.toml"));
    for (elsewhere, shown) in [(home.tenants().join("elsewhere"), 0), (home.path().join("elsewhere.toml"), 1)] {
        fs::rename(fs::canonicalize(&path).unwrap(), &elsewhere).unwrap();
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let message = exits(&home.command(&["tenant", "show", TENANT], b""), shown);
        assert_eq!(message.contains("is a link out of the tenants' folder"), shown == 1, "{message}");
        let message = exits(&home.command(&["tenant", "edit", TENANT, "--set", "name=Other"], b""), 1);
        assert!(message.contains("is a link"), "{message}");
        assert!(fs::read_to_string(&elsewhere).unwrap().contains("Manulife") && path.is_symlink());
    }
}
