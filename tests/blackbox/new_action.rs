//! `menlou plugin new`, `dev`, `check`, `list` and `test`, from an empty folder to responses of a running gateway.

use crate::scene::{TENANT, eventually, setup, simulator, tenant};
use menlou_harness::{
    Client, Gateway, GatewayFolder, Setup,
    artifacts::{binary, run},
    http::Request,
    process::{Process, free_port, loopback},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A folder that persists between runs, so that dependencies of the scaffold are compiled once.
fn persistent_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn menlou(folder: &Path, arguments: &[&str]) -> Output {
    run(binary().current_dir(folder).env("MENLOU_LANG", "en").args(arguments), b"")
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn successful(output: &Output) -> String {
    assert!(output.status.success(), "{}", output_text(output));
    output_text(output)
}

/// Creates a plugin with `menlou plugin new`, and replaces a former one.
fn scaffold(workshop: &Path, name: &str, lang: &str) -> PathBuf {
    let folder = workshop.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    let printed = successful(&menlou(workshop, &["plugin", "new", name, "--lang", lang]));
    assert!(printed.contains(&format!("[actions.{name}]")) && printed.contains("curl"), "{printed}");
    folder
}

/// Starts a gateway with this plugin and with these lines in the tenant file, and returns a client.
fn gateway_with(library: &Path, name: &str, lines: &str) -> (Gateway, Client) {
    let sim = simulator();
    let mut gateway = Gateway::start(setup(&sim, None, None));
    fs::copy(library, gateway.plugins().join(format!("{name}.so"))).unwrap();
    gateway.write_tenant(TENANT, &(tenant(&sim) + lines));
    gateway.restart();
    let client = gateway.client(TENANT);
    (gateway, client)
}

#[test]
fn new_rust_plugin_builds_passes_its_tests_and_serves() {
    let workshop = persistent_folder("new-in-rust");
    let folder = scaffold(&workshop, "my-points", "rust");
    let target = workshop.join("target");
    // The versions of the workspace, because this test is offline.
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let cargo = |verb: &str| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([verb, "--offline"]).current_dir(&folder).env("CARGO_TARGET_DIR", &target);
        let printed = successful(&run(&mut cargo, b""));
        assert!(!printed.contains("warning"), "{printed}");
        printed
    };
    assert!(cargo("test").contains("2 passed"));
    cargo("build");

    let library = target.join("debug/libmy_points.so");
    let description = successful(&menlou(&workshop, &["plugin", "check", &library.to_string_lossy()]));
    for part in ["my-points 0.1.0 (ABI 1.", "a=my-points", "问候 · Greet", "The name to greet.", "greeting", "text"]
    {
        assert!(description.contains(part), "{part}: {description}");
    }
    let (_gateway, client) = gateway_with(&library, "my-points", "[actions.my-points]\ngreeting = \"Good morning\"\n");
    assert_eq!(client.call("my-points", &[("name", "Ann")]).ok()["text"], "Good morning Ann");
    client.call("my-points", &[]).assert_error(400, "missing_parameter");
}

#[test]
fn new_c_plugin_builds_and_serves() {
    let workshop = persistent_folder("new-in-c");
    let folder = scaffold(&workshop, "my-points", "c");
    let built = successful(&run(Command::new("make").current_dir(&folder).env("CFLAGS", "-O1 -Werror"), b""));
    assert!(!built.contains("warning"), "{built}");
    let description = successful(&menlou(&folder, &["plugin", "check", "my-points.so"]));
    assert!(description.contains("a=my-points") && description.contains("The name to greet."), "{description}");

    let (_gateway, client) = gateway_with(&folder.join("my-points.so"), "my-points", "[actions.my-points]\n");
    let odd = "A\"n\\n\n\u{1}安";
    assert_eq!(client.call("my-points", &[("name", odd)]).ok()["text"], format!("你好 {odd}"));
    client.call("my-points", &[]).assert_error(400, "missing_parameter");
}

#[test]
fn dev_builds_reloads_and_reports_the_result_of_the_gateway() {
    let folder = scaffold(&persistent_folder("dev-in-c"), "my-points", "c");
    let sim = simulator();
    let file = tenant(&sim) + "[actions.my-points]\n";
    let gateway = Gateway::start(setup(&sim, None, None).env("MENLOU_LANG", "en").tenant(TENANT, file));
    let dev =
        || gateway.command_with_admin(&["plugin", "dev", &folder.to_string_lossy(), "--tenant", TENANT, "--once"]);
    let first = successful(&dev());
    assert!(first.contains("the gateway serves my-points") && first.contains("a=my-points"), "{first}");
    let client = gateway.client(TENANT);
    assert_eq!(client.call("my-points", &[("name", "Ann")]).ok()["text"], "你好 Ann");

    let source = folder.join("my-points.c");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace("你好", "您好")).unwrap();
    successful(&dev());
    assert_eq!(client.call("my-points", &[("name", "Ann")]).ok()["text"], "您好 Ann");

    let unknown_tenant =
        gateway.command_with_admin(&["plugin", "dev", &folder.to_string_lossy(), "--tenant", "nobody", "--once"]);
    assert_eq!(unknown_tenant.status.code(), Some(1));
    assert!(
        output_text(&unknown_tenant).contains(&format!("there is no tenant nobody: name one of {TENANT}")),
        "{}",
        output_text(&unknown_tenant)
    );

    fs::write(&source, text + "oops").unwrap();
    let broken = dev();
    assert_eq!(broken.status.code(), Some(1));
    assert!(
        output_text(&broken).contains("the build failed") && output_text(&broken).contains("oops"),
        "{}",
        output_text(&broken)
    );
    assert_eq!(client.call("my-points", &[("name", "Ann")]).ok()["text"], "您好 Ann");
}

#[test]
fn dev_in_an_empty_folder_creates_a_tenant_and_runs_a_gateway() {
    let parent = tempfile::tempdir().unwrap();
    let folder = scaffold(parent.path(), "greet", "c");
    let [traffic, admin] = [free_port(), free_port()].map(loopback);
    let log = parent.path().join("log");
    let mut dev = binary();
    dev.args(["plugin", "dev", "greet", "--tenant", "demo"]).current_dir(parent.path()).env("MENLOU_LANG", "en");
    dev.env("MENLOU_PLUGINS__DIR", parent.path().join("plugins"));
    dev.env("MENLOU_SERVER__LISTEN", traffic.to_string()).env("MENLOU_ADMIN__LISTEN", admin.to_string());
    let mut dev = Process::start(&mut dev, &log, "menlou");
    let logged = || fs::read_to_string(&log).unwrap();
    let call = |name: &str| {
        let request = Request::post("/srv/?f=demo&a=greet").form(&[("name", name)]);
        request.send(traffic).map(|response| response.text()).unwrap_or_default()
    };
    let tried = format!("    curl -X POST 'http://{traffic}/srv/?f=demo&a=greet' -d name=…\n");
    eventually("the request to try is printed", || logged().contains(&tried).then_some(()));
    assert!(call("Ann").contains("你好 Ann"), "{}", logged());
    assert!(
        parent.path().join("tenants/demo.toml").exists() && logged().contains("demo.toml with these actions enabled"),
        "{}",
        logged()
    );

    // A plugin that crashes the gateway does not end `dev`.
    let source = folder.join("greet.c");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replacen("free(json);", "if (name.len == 1) *(volatile int *)0 = 0; free(json);", 1))
        .unwrap();
    eventually("the plugin is reloaded", || (logged().matches(&tried).count() == 2).then_some(()));
    call("x");
    eventually("the exit of the gateway is printed", || {
        logged().contains("the gateway has exited (signal: 11").then_some(())
    });
    fs::write(&source, text.replace("你好", "您好")).unwrap();
    eventually("the gateway serves again", || call("x").contains("您好 x").then_some(()));

    assert!(dev.terminate().success());
    assert!(logged().contains("menlou has stopped") && call("Ann").is_empty(), "{}", logged());
}

#[test]
fn invalid_names_and_non_empty_folders_are_rejected() {
    let home = GatewayFolder::new(Setup::default());
    let long = "a".repeat(33);
    for name in ["", "../x", "My", "a b", "-x", "9lives", "fn", "std", "serde-json", long.as_str(), "plugins"] {
        let output = menlou(home.path(), &["plugin", "new", "--", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            output_text(&output).starts_with("error: ") && !output_text(&output).contains("panicked"),
            "{}",
            output_text(&output)
        );
        assert!(!home.path().join("src").exists());
    }
    fs::create_dir(home.path().join("empty")).unwrap();
    successful(&menlou(home.path(), &["plugin", "new", "empty", "--lang", "c"]));
}

#[test]
fn rejected_files_are_listed_with_the_reason() {
    for (language, reason, absent) in
        [("en", "not a shared library", "the file cannot be read"), ("zh", "不是共享库", "无法读取文件")]
    {
        let home = GatewayFolder::new(Setup::default().env("MENLOU_LANG", language));
        let all_good = home.command(&["plugin", "list"], b"");
        assert_eq!(
            successful(&all_good),
            "account 0.1.0: login, user, logout\nopenid 0.1.0: openid\nproxy 0.1.0: proxy\nwechat 0.1.0: wechat\n"
        );

        fs::write(home.plugins().join("notes.so"), "not yet").unwrap();
        let listed = home.command(&["plugin", "list"], b"");
        assert_eq!(listed.status.code(), Some(1));
        for part in [reason, "notes.so", "openid 0.1.0: openid"] {
            assert!(output_text(&listed).contains(part), "{part}: {}", output_text(&listed));
        }
        for (file, reason) in [("plugins/notes.so", reason), ("plugins/none.so", absent), ("plugins", reason)] {
            let checked = home.command(&["plugin", "check", file], b"");
            assert_eq!(checked.status.code(), Some(1));
            assert!(output_text(&checked).contains(reason), "{file}: {}", output_text(&checked));
        }
    }
}

#[test]
fn conformance_test_names_each_violation() {
    let workshop = persistent_folder("new-to-be-tested");
    let folder = scaffold(&workshop, "greet", "c");
    let source = folder.join("greet.c");
    let valid = fs::read_to_string(&source).unwrap();
    let test = |(from, to): (&str, &str)| {
        assert!(valid.contains(from), "{from}");
        fs::write(&source, valid.replacen(from, to, 1)).unwrap();
        successful(&run(Command::new("make").args(["-B", "CFLAGS=-O0"]).current_dir(&folder), b""));
        menlou(&folder, &["plugin", "test", "greet.so"])
    };
    let passed = successful(&test(("a=greet", "a=greet")));
    assert!(passed.ends_with("passed\n") && !passed.contains("FAILED"), "{passed}");

    let at_the_end = "free(json);";
    for (change, reason) in [
        ((at_the_end, "if (name.len == 1) *(volatile int *)0 = 0;"), "ended the process (signal"),
        ((at_the_end, "if (name.len == 1) exit(0);"), "ended the process (exit"),
        ((at_the_end, "memcpy(malloc(4096), json, 1);"), "bytes per call"),
        (("\"\\\"}\"", "\"\\\"\""), "returned error -5"),
        (("return status;", "return MENLOU_ERR_FAILED;"), "returned error -2"),
        (("return status;", "return MENLOU_PENDING;"), "no response within 10 s"),
        ((at_the_end, "free(json); s->host->reply(call, &reply);"), "calls replied twice"),
        ((at_the_end, "free(json); s->host->sleep_ms(call, 1);"), "operations that were not dropped with op_drop"),
        (
            (at_the_end, "free(json); int usleep(); if (name.len == 1) usleep(150000);"),
            "blocked a worker thread for 100 ms or more",
        ),
        (("[\\\"text\\\"]", "[\\\"other\\\"]"), "does not match data_schema"),
    ] {
        let output = test(change);
        assert_eq!(output.status.code(), Some(1), "{change:?}: {}", output_text(&output));
        assert!(output_text(&output).contains(reason), "{change:?}: {}", output_text(&output));
    }
}
