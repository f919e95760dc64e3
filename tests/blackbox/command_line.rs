//! The command line: exit codes, texts in both languages, and the effect of each command.

use crate::scene::{Scene, Stores, TENANT, TEST_OPENID, eventually, setup, simulator, tenant};
use menlou_harness::{Gateway, GatewayFolder, Redis, Setup, artifacts, process::free_port};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn validate_lists_plugins_and_tenants_and_exits_0_without_errors() {
    let home = GatewayFolder::new(setup(&simulator(), None, None));
    let output = home.command(&["validate"], b"");
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    for shown in ["manulife", "neighbour", "openid", "login", "logout", "user"] {
        assert!(out(&output).contains(shown), "{shown}: {}", out(&output));
    }
    assert!(!out(&output).contains("demo-secret"));
}

#[test]
fn validate_lists_every_error_of_every_file_in_the_operators_language() {
    let sim = simulator();
    let invalid = tenant(&sim)
        .replace("appid = \"wx4f4bc4dec97d474b\"", "appid = \"gh_1\"")
        .replace("demo-secret", "env:MISSING_ONE");
    let setup = setup(&sim, None, None)
        .tenant("invalid", format!("{invalid}[actions.pay]\n[actions.oepnid]\n"))
        .tenant("broken", "name = \"unclosed\n[wechat")
        .tenant("Not A Name", tenant(&sim));
    for (language, phrases) in [("en", ["error", "did you mean openid?"]), ("zh", ["错误", "是否想写 openid？"])]
    {
        let home = GatewayFolder::new(setup.clone().env("MENLOU_LANG", language));
        let output = home.command(&["validate", "--offline"], b"");
        assert_eq!(output.status.code(), Some(1));
        let text = err(&output);
        for shown in ["invalid.toml:", "broken.toml:", "Not A Name", "gh_1", "MISSING_ONE", "pay", "oepnid", "^"] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        assert!(phrases.iter().all(|phrase| text.contains(phrase)), "{text}");
        assert!(out(&output).contains("manulife"), "valid tenants are listed: {}", out(&output));
    }
}

#[test]
fn validate_offline_does_not_connect_to_the_stores() {
    let sim = simulator();
    let unused = || free_port();
    let setup = setup(&sim, None, None)
        .setting("store.sessions", format!("\"redis://127.0.0.1:{}/0\"", unused()))
        .setting("store.users", format!("\"postgres://menlou@127.0.0.1:{}/postgres\"", unused()));
    let home = GatewayFolder::new(setup.clone());
    assert_eq!(home.command(&["validate", "--offline"], b"").status.code(), Some(0));
    assert!(!home.path().join("menlou.db").exists());
    let online = home.command(&["validate"], b"");
    assert_eq!(online.status.code(), Some(1), "{}", err(&online));
    assert!(err(&online).contains("Redis") && err(&online).contains("PostgreSQL"), "{}", err(&online));

    let home = GatewayFolder::new(crate::scene::setup(&sim, None, None));
    assert_eq!(home.command(&["validate", "--offline"], b"").status.code(), Some(0));
    assert!(!home.path().join("menlou.db").exists(), "not even the embedded one");
}

#[test]
fn no_message_contains_the_password_of_a_store() {
    let redis = Redis::start();
    redis.command(&["CONFIG", "SET", "requirepass", "another-password"]);
    let url = redis.url().replace("redis://", "redis://:a-secret-password@");
    let sim = simulator();
    let output = GatewayFolder::new(setup(&sim, None, None).setting("store.sessions", format!("{url:?}")))
        .command(&["validate"], b"");
    assert_eq!(output.status.code(), Some(1), "Redis refuses it");
    assert!(!(out(&output) + &err(&output)).contains("a-secret-password"));
}

#[test]
fn every_error_of_a_config_is_shown_and_nothing_starts() {
    let setup = Setup::default()
        .setting("server.max_bdoy", "\"1MiB\"")
        .setting("server.max_concurrent_requests", "0")
        .setting("log.level", "\"loud\"");
    let home = GatewayFolder::new(setup.env("MENLOU_SERVER__LISTEN", "nowhere"));
    for command in [&["run"][..], &["validate", "--offline"], &["user", "add", "--tenant", "t", "--account", "a"]] {
        let output = home.command(command, b"some-password");
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let text = err(&output);
        for shown in ["menlou.toml:2:", "`max_body`", "max_concurrent_requests", "loud", "MENLOU_SERVER__LISTEN"] {
            assert!(text.contains(shown), "{command:?}: {shown}: {text}");
        }
    }
}

#[test]
fn a_port_in_use_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let output = GatewayFolder::new(setup(&simulator(), None, None).env("MENLOU_SERVER__LISTEN", &listen))
        .command(&["run"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains(&listen), "{}", err(&output));
}

#[test]
fn explain_says_who_has_to_act_and_what_to_do_in_both_languages() {
    let home = GatewayFolder::new(Setup::default());
    for what in ["code_used", "store_unavailable", "40163", "-1", "45009"] {
        let output = home.command(&["explain", what], b"");
        assert_eq!(output.status.code(), Some(0), "{what}: {}", err(&output));
        for shown in ["谁来处理", "怎么办", "Who has to act", "What to do"] {
            assert!(out(&output).contains(shown), "{what}: {}", out(&output));
        }
    }
    assert!(out(&home.command(&["explain", "40163"], b"")).contains("code_used"));
    let all = home.command(&["explain"], b"");
    assert!(out(&all).contains("unknown_tenant") && out(&all).contains("40029"));

    for (language, near) in [("en", "did you mean code_used?"), ("zh", "是否想问 code_used？")] {
        let home = GatewayFolder::new(Setup::default().env("MENLOU_LANG", language));
        let output = home.command(&["explain", "code_sued"], b"");
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains(near), "{}", err(&output));
    }
    assert_eq!(home.command(&["explain", "123456"], b"").status.code(), Some(1));
}

#[test]
fn every_error_code_can_be_explained() {
    let home = GatewayFolder::new(Setup::default());
    for code in menlou_error::codes::ALL {
        assert_eq!(home.command(&["explain", code.name], b"").status.code(), Some(0), "{}", code.name);
    }
}

#[test]
fn the_schemas_accept_the_shipped_files() {
    let home = GatewayFolder::new(Setup::default());
    let schema = |of: &str| -> jsonschema::Validator {
        let output = home.command(&["schema", of], b"");
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let schema: Value = serde_json::from_str(&out(&output)).expect("JSON");
        jsonschema::meta::validate(&schema).expect("a valid JSON Schema");
        jsonschema::validator_for(&schema).expect("a JSON Schema")
    };
    let file = |path: &Path| -> Value { toml::from_str(&fs::read_to_string(path).unwrap()).expect("TOML") };
    let (tenant, server) = (schema("tenant"), schema("server"));
    let mut tenants = 0;
    for entry in fs::read_dir(repository().join("tenants")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let errors: Vec<String> = tenant.iter_errors(&file(&path)).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
            tenants += 1;
        }
    }
    assert!(tenants > 0);
    assert!(server.is_valid(&file(&repository().join("gateway/menlou.toml"))));
    assert!(!tenant.is_valid(&serde_json::json!({ "nmae": "x" })));
    assert!(!server.is_valid(&serde_json::json!({ "server": { "lisen": "127.0.0.1:1" } })));
}

#[test]
fn the_shipped_tenants_have_no_errors() {
    let mut setup = Setup::default().env("MANULIFE_WECHAT_SECRET", "some-secret-of-theirs");
    for entry in fs::read_dir(repository().join("tenants")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            setup = setup.tenant(&name, fs::read_to_string(&path).unwrap());
        }
    }
    let output = GatewayFolder::new(setup).command(&["validate", "--offline"], b"");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn init_makes_a_folder_that_a_gateway_starts_in_and_changes_nothing_that_exists() {
    let parent = tempfile::TempDir::with_prefix("menlou-init-").unwrap();
    let folder = parent.path().join("gateway");
    let menlou = |arguments: &[&str]| {
        let mut command = artifacts::binary();
        // The plugins of a built gateway are beside the program.
        command.current_dir(parent.path()).env("MENLOU_PLUGINS__DIR", parent.path()).env("MENLOU_LANG", "en");
        command.args(arguments);
        artifacts::run(&mut command, b"")
    };
    let output = menlou(&["init", "gateway"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("menlou --config gateway/menlou.toml validate"), "{}", out(&output));
    assert!(folder.join("tenants").is_dir());
    let output = menlou(&["--config", "gateway/menlou.toml", "validate"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));

    fs::write(folder.join("menlou.toml"), "# mine").unwrap();
    let output = menlou(&["init", "gateway"]);
    assert!(output.status.code() == Some(1) && err(&output).contains("gateway/menlou.toml exists"), "{}", err(&output));
    assert_eq!(fs::read_to_string(folder.join("menlou.toml")).unwrap(), "# mine");
    let output = menlou(&["init", "--config", "other.toml"]);
    assert!(output.status.code() == Some(1) && err(&output).contains("menlou init FOLDER"), "{}", err(&output));
}

#[test]
fn every_setting_in_the_shipped_config_is_accepted_when_uncommented() {
    let shipped = fs::read_to_string(repository().join("gateway/menlou.toml")).unwrap();
    // A setting is a `#` without a space behind it.
    let setting = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    // There is no certificate to be loaded.
    let lines = shipped.lines().filter(|line| !line.starts_with("#tls_"));
    let all: String = lines.map(|line| setting(line) + "\n").collect();
    let home = GatewayFolder::new(Setup::default());
    fs::write(home.config(), all).unwrap();
    // The only file that it names and does not come with the gateway.
    assert!(home.command(&["secret", "keygen"], b"").status.success());
    let output = home.command(&["validate", "--offline"], b"");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn a_command_that_was_renamed_names_the_new_one() {
    let home = GatewayFolder::new(Setup::default());
    for (old, new) in [
        (&["tenant", "new", "acme"][..], "menlou tenant create"),
        (&["plugin", "page", "x.so"], "menlou plugin docs"),
        (&["secret", "key"], "menlou secret keygen"),
        (&["types"], "menlou typescript"),
    ] {
        let output = home.command(old, b"");
        assert_eq!(output.status.code(), Some(2), "{old:?}");
        assert!(err(&output).contains(new), "{old:?}: {}", err(&output));
    }
}

#[test]
fn user_add_reads_the_password_from_standard_input() {
    let scene = Scene::new(Stores::Embedded);
    let add = |account: &str, input: &str| {
        scene.command_with_input(
            &["user", "add", "--tenant", TENANT, "--account", account, "--avatar-url", "https://x/a.png"],
            input,
        )
    };
    for (account, input) in [("ann", "annes-password\n"), ("bob", "bobs-password"), ("carl", "carls-password\r\n")] {
        let output = add(account, input);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(!(out(&output) + &err(&output)).contains(input.trim()), "the password is not printed");
        let login = [("method", "password"), ("account", account), ("password", input.trim())];
        let user = scene.session(account).call("login", &login).ok()["user"].clone();
        assert_eq!((user["name"].as_str(), user["avatar_url"].as_str()), (Some(account), Some("https://x/a.png")));
    }
    for (account, input, shown) in [
        ("ann", "another-password", "already exists"),
        ("dora", "short", "at least 8 characters"),
        ("dora", "", "at least 8 characters"),
        ("", "some-password", "account"),
        (&"x".repeat(65), "some-password", "account"),
        ("dora", &"x".repeat(300), "at most 256 bytes"),
    ] {
        let output = add(account, input);
        assert_eq!(output.status.code(), Some(1), "{account:.10} {input:.10}");
        assert!(err(&output).contains(shown), "{shown}: {}", err(&output));
    }
    let output = scene.command_with_input(&["user", "add", "--tenant", "nobody", "--account", "ann"], "some-password");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("nobody"), "{}", err(&output));
}

#[test]
fn the_environment_overrides_the_file() {
    let sim = simulator();
    let request = [("openid", TEST_OPENID)];
    let gateway = Gateway::start(setup(&sim, None, None).setting("testing.allow_test_openids", "true"));
    gateway.client(TENANT).call("openid", &request).ok();
    let overridden = setup(&sim, None, None)
        .setting("testing.allow_test_openids", "true")
        .env("MENLOU_TESTING__ALLOW_TEST_OPENIDS", "false");
    let gateway = Gateway::start(overridden);
    gateway.client(TENANT).call("openid", &request).assert_error(200, "test_openid_refused");
}

#[test]
fn with_format_json_every_log_line_is_json() {
    let sim = simulator();
    let gateway = Gateway::start(setup(&sim, None, None).setting("log.format", "\"json\""));
    gateway.client(TENANT).call("openid", &[("code", "made-up-code")]).assert_error(200, "invalid_code");
    gateway.write_tenant(TENANT, "name = 7");
    let log = eventually("the fault is logged", || Some(gateway.log()).filter(|log| log.contains("manulife.toml:1")));
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    assert!(lines.iter().any(|line| line.to_string().contains("invalid_code")), "{log}");
}

#[test]
fn the_startup_log_fits_on_one_screen() {
    let scene = Scene::new(Stores::Both);
    let log = scene.log();
    assert!(log.lines().count() <= 24, "{log}");
    for shown in [scene.addr().to_string().as_str(), "Redis", "PostgreSQL", "openid", "account", "manulife"] {
        assert!(log.contains(shown), "{shown}: {log}");
    }
}
