//! `menlou tenant create|list|show|edit|remove`, interactively on a terminal and from scripts.

use crate::scene::{Scene, Stores, TENANT, eventually, setup, simulator, tenant};
use menlou_harness::{GatewayFolder, Setup};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET, Simulator};
use serde_json::Value;
use std::{fs, os::unix::fs::MetadataExt, process::Output};

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn exits(output: &Output, code: i32) -> String {
    let text = printed(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains(DEMO_SECRET), "a secret is shown: {text}");
    text
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", printed(output)))
}

fn file(home: &GatewayFolder, name: &str) -> String {
    fs::read_to_string(home.tenants().join(format!("{name}.toml"))).unwrap()
}

fn new<'a>(name: &'a str, sim: &'a Simulator) -> Vec<&'a str> {
    vec!["tenant", "create", name, "--appid", DEMO_APPID, "--secret-stdin", "--base-url", sim.base_url()]
}

#[test]
fn create_writes_verifies_and_serves_a_tenant_and_prints_requests_to_try() {
    let scene = Scene::new(Stores::Embedded);
    let output = scene.command_with_input(&new("acme", &scene.sim), &format!("{DEMO_SECRET}\n"));
    let message = exits(&output, 0);
    for part in [
        "acme.toml",
        "✓ access token",
        "✓ login",
        "✓ phone numbers",
        "curl -X POST",
        "/srv/?f=acme&a=openid",
        "wx.request",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let path = scene.tenants().join("acme.toml");
    let text = fs::read_to_string(&path).unwrap();
    for part in ["# 显示名称。", "# The display name.", "[actions.openid]", "[actions.logout]", "# 小程序登录"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "the file contains a secret");
    eventually("the tenant is served", || {
        let response = scene.gateway.client("acme").call("openid", &[("code", &scene.sim.code("ann"))]);
        response.error.is_none().then_some(())
    });
    exits(&scene.command(&["validate"]), 0);
}

#[test]
fn every_commented_out_setting_of_a_new_file_is_valid() {
    let sim = simulator();
    let home = GatewayFolder::new(Setup::default());
    exits(&home.command(&new("acme", &sim), DEMO_SECRET.as_bytes()), 0);
    let text = file(&home, "acme");
    let setting =
        |line: &str| line.strip_prefix('#').filter(|l| !l.starts_with(' ') && !l.contains('…')).map(str::to_owned);
    let open: String = text.lines().map(|l| setting(l).unwrap_or_else(|| l.to_owned()) + "\n").collect();
    let open = open.replace("env:NAME", "a-secret-of-sixteen");
    assert_ne!(text, open);
    home.write_tenant("acme", &open);
    exits(&home.command(&["validate", "--offline"], b""), 0);
}

#[test]
fn on_a_terminal_create_asks_questions_and_does_not_show_the_secret() {
    let sim = simulator();
    let home = GatewayFolder::new(Setup::default());
    let mut terminal = home.terminal(&["tenant", "create", "acme", "--base-url", sim.base_url()], &[]);
    terminal.expect("display name [acme]:");
    terminal.type_line("Acme 公司");
    terminal.expect("AppID:");
    terminal.type_line("gh_1");
    terminal.expect("wx and 16 hex digits");
    terminal.expect("AppID:");
    terminal.type_line(DEMO_APPID);
    terminal.expect("AppSecret (not shown");
    terminal.type_line("vault:kv/x");
    terminal.expect("unknown kind of secret");
    terminal.expect("AppSecret (not shown");
    terminal.type_line(DEMO_SECRET);
    terminal.expect("[openid,login,user,logout]:");
    terminal.type_line("openid,lgoin");
    terminal.expect("did you mean login?");
    terminal.type_line("openid, login");
    terminal.expect("requesting http://");
    terminal.expect("✓ access token");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains(DEMO_SECRET) && !shown.contains("vault:kv/x"), "{shown}");
    let text = file(&home, "acme");
    assert!(
        text.contains("name = \"Acme 公司\"") && text.contains("[actions.login]") && !text.contains("[actions.user]"),
        "{text}"
    );
}

#[test]
fn questions_are_in_the_operators_language_and_an_aborted_create_writes_nothing() {
    let home = GatewayFolder::new(Setup::default());
    let mut terminal = home.terminal(&["tenant", "create", "acme"], &[("MENLOU_LANG", "zh")]);
    terminal.expect("显示名称 [acme]:");
    terminal.type_end();
    terminal.expect("已中止");
    assert_eq!(terminal.end().0, 1);
    assert_eq!(fs::read_dir(home.tenants()).unwrap().count(), 0);
}

#[test]
fn create_rejects_invalid_input_before_it_writes_a_file() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    let secret = DEMO_SECRET.as_bytes();
    let with = |more: &[&'static str]| -> Output {
        let mut arguments = new("acme", &sim);
        arguments.extend(more);
        home.command(&arguments, secret)
    };
    for (output, code, says) in [
        (home.command(&new(TENANT, &sim), secret), 1, "already exists"),
        (home.command(&["tenant", "create", "acme", "--secret-stdin"], secret), 2, "--appid"),
        (home.command(&["tenant", "create", "acme", "--appid", DEMO_APPID], secret), 2, "--secret-stdin"),
        (
            home.command(&["tenant", "create", "acme", "--appid", DEMO_APPID, "--secret", "demo-secret-2"], b""),
            2,
            "cannot be an argument",
        ),
        (home.command(&["tenant", "create", "acme", "--appid", "gh_1", "--secret-stdin"], secret), 1, "16 hex digits"),
        (home.command(&new("acme", &sim), b"\n"), 2, "the secret is empty"),
        (home.command(&new("acme", &sim), &[b'x'; 5000]), 2, "more than 4096 bytes"),
        (with(&["--actions", "openid,lgoin"]), 2, "did you mean login?"),
        (with(&["--set", "actions.login.delegate_secret=demo-secret-2"]), 2, "cannot be an argument"),
        (with(&["--set", "session.ttl=5s"]), 1, "from 1m to 30d"),
        (with(&["--set", "session"]), 2, "KEY=VALUE"),
        (
            home.command(&["tenant", "create", "acme", "--appid", DEMO_APPID, "--secret", "env:MISSING_ONE"], b""),
            1,
            "MISSING_ONE is not set",
        ),
    ] {
        let message = exits(&output, code);
        assert!(message.contains(says) && !message.contains("demo-secret-2"), "{says}: {message}");
        assert!(!home.tenants().join("acme.toml").exists(), "{says}");
    }
}

#[test]
fn a_missing_gateway_config_is_reported() {
    let home = GatewayFolder::new(Setup::default());
    let folder = tempfile::tempdir().unwrap();
    let new = ["tenant", "create", "acme", "--appid", DEMO_APPID, "--secret", "env:S", "--offline"];
    let mut command = menlou_harness::artifacts::binary();
    command.args(new).current_dir(folder.path()).env("MENLOU_LANG", "en").env("MENLOU_PLUGINS__DIR", home.plugins());
    let message = exits(&menlou_harness::artifacts::run(&mut command, b""), 1);
    assert!(
        message.contains("there is no menlou.toml here") && message.contains("tenants does not exist"),
        "{message}"
    );
    fs::create_dir(folder.path().join("tenants")).unwrap();
    let message = exits(&menlou_harness::artifacts::run(command.env("S", "some-secret"), b""), 0);
    assert!(message.contains("there is no menlou.toml here"), "{message}");
    assert!(folder.path().join("tenants/acme.toml").exists());
}

#[test]
fn a_new_tenant_with_a_wrong_secret_is_kept_and_the_problem_is_explained() {
    let sim = simulator();
    let home = GatewayFolder::new(Setup::default());
    let output = home.command(&new("acme", &sim), b"a-wrong-secret");
    let message = exits(&output, 1);
    for part in ["40125", "The AppSecret is wrong", "开发者 ID", "menlou tenant edit acme", "menlou tenant verify acme"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("a-wrong-secret"));
    assert!(home.tenants().join("acme.toml").exists());
    let output = home.command(&["tenant", "edit", "acme", "--set-secret", "wechat.secret"], DEMO_SECRET.as_bytes());
    exits(&output, 0);
    exits(&home.command(&["tenant", "verify", "acme"], b""), 0);
}

#[test]
fn with_json_commands_print_one_object_and_ask_no_questions() {
    let sim = simulator();
    let home = GatewayFolder::new(Setup::default());
    let mut arguments = new("acme", &sim);
    arguments.extend(["--json", "--set", "session.ttl=1d"]);
    let output = home.command(&arguments, DEMO_SECRET.as_bytes());
    exits(&output, 0);
    let made = json(&output);
    assert_eq!((made["ok"].as_bool(), made["findings"].as_array().map(Vec::len)), (Some(true), Some(3)), "{made}");
    assert!(made["try"]["curl"].as_str().is_some_and(|c| c.contains("f=acme")), "{made}");

    let output = home.command(&["tenant", "list", "--json"], b"");
    exits(&output, 0);
    let row = json(&output)["tenants"][0].clone();
    assert_eq!((row["tenant"].as_str(), row["appid"].as_str()), (Some("acme"), Some(DEMO_APPID)), "{row}");

    let output = home.command(&["tenant", "show", "acme", "--json"], b"");
    exits(&output, 0);
    let shown = json(&output);
    assert_eq!(shown["settings"]["session"]["ttl"], "1d");
    assert_eq!(shown["secrets"]["/wechat/secret"], "literal");
    assert_eq!(shown["revision"], made["revision"]);

    for (arguments, code, error) in [
        (&["tenant", "show", "nobody", "--json"][..], 1, "absent"),
        (&["tenant", "show", "No Name", "--json"], 2, "usage"),
        (&["tenant", "remove", "acme", "--json"], 2, "usage"),
        (&["tenant", "edit", "acme", "--json"], 2, "usage"),
        (&["tenant", "edit", "acme", "--set", "session.ttl=1s", "--json"], 1, "faulty"),
    ] {
        let output = home.command(arguments, b"");
        exits(&output, code);
        let failed = json(&output);
        assert_eq!((failed["ok"].as_bool(), failed["error"].as_str()), (Some(false), Some(error)), "{failed}");
        assert!(failed["zh"].is_string() && failed["en"].is_string(), "{failed}");
        assert_eq!(failed["faults"].as_array().is_some_and(|f| !f.is_empty()), error == "faulty", "{failed}");
    }
}

#[test]
fn list_and_show_report_errors_and_no_secrets() {
    let sim = simulator();
    let invalid = tenant(&sim).replace("base_url", "sceret = \"hunter2-hunter2\"\nbase_url")
        + "[actions.pay]\nkey = \"hunter3-hunter3\"\n";
    let home = GatewayFolder::new(
        setup(&sim, None, None).tenant("invalid", invalid).tenant("Not A Name", "").tenant("broken", "name = \"un\n"),
    );
    let message = exits(&home.command(&["tenant", "list"], b""), 1);
    for part in ["TENANT", "manulife", "Manulife", DEMO_APPID, "invalid ", "broken", "Not A Name"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let message = exits(&home.command(&["tenant", "show", "invalid"], b""), 1);
    for part in [
        "did you mean `secret`?",
        "invalid.toml:",
        "pay",
        "secret = \"***\"  # in this file, in plain text",
        "ttl = \"7d\"  # default",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("hunter2") && !message.contains("hunter3"), "{message}");
    let message = exits(&home.command(&["tenant", "show", "broken"], b""), 1);
    assert!(message.contains("broken.toml:1:"), "{message}");
    let message = exits(&home.command(&["tenant", "show", TENANT], b""), 0);
    assert!(
        message.contains("[actions.login]") && message.contains("methods = [\"phone\", \"password\", \"profile\"]"),
        "{message}"
    );
}

#[test]
fn remove_asks_for_the_name_and_lists_what_stays_in_the_stores() {
    let sim = simulator();
    let home = GatewayFolder::new(setup(&sim, None, None));
    let path = home.tenants().join(format!("{TENANT}.toml"));
    let message = exits(&home.command(&["tenant", "remove", TENANT], b"manulife\n"), 2);
    assert!(message.contains("--yes"), "{message}");
    for (typed, code) in [("manulive", 1), (TENANT, 0)] {
        assert!(path.exists());
        let mut terminal = home.terminal(&["tenant", "remove", TENANT], &[]);
        terminal.expect("to confirm:");
        terminal.type_line(typed);
        let (ended, shown) = terminal.end();
        assert_eq!(ended, code, "{shown}");
        assert!(code != 0 || shown.contains("accounts and bindings (") && shown.contains("menlou.db"), "{shown}");
    }
    assert!(!path.exists());
    exits(&home.command(&["tenant", "remove", TENANT, "--yes"], b""), 1);
    exits(&home.command(&["tenant", "remove", "neighbour", "--yes"], b""), 0);
    let message = exits(&home.command(&["tenant", "list"], b""), 0);
    assert!(message.contains("menlou tenant create"), "{message}");
}

#[test]
fn every_command_rejects_invalid_tenant_names() {
    let home = GatewayFolder::new(Setup::default());
    let long = "a".repeat(300);
    for name in ["..", "../x", "a b", "ACME", "保险", "", "_x", long.as_str()] {
        for command in [
            &["tenant", "create", name, "--offline"][..],
            &["tenant", "show", name],
            &["tenant", "edit", name, "--set", "name=x"],
            &["tenant", "remove", name, "--yes"],
            &["tenant", "verify", name],
            &["user", "add", "--tenant", name, "--account", "ann"],
            &["openapi", "--tenant", name],
            &["typescript", "--tenant", name],
        ] {
            let output = home.command(command, b"some-password");
            let code = if command[0] == "tenant" { 2 } else { 1 };
            let message = exits(&output, code);
            assert!(message.contains("is not a valid tenant name") && message.len() < 400, "{command:?}: {message}");
        }
    }
}
