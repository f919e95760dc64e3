//! Misbehaving plugins in C (`rude`) and in Rust (`rogue`) in a running gateway: their callers get an error, the log names
//! the plugin, and other requests are served. Files that are no valid plugins are rejected, at the start and while running.

use crate::scene::{eventually, side_by_side, simulator};
use menlou_harness::{Client, Envelope, Gateway, Setup, artifacts::plugin_library};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET, Simulator};
use std::{
    fmt::Write as _,
    fs,
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

const TENANT: &str = "bad";

/// Compiles a C plugin of `tests/abi` into `folder`. In a gateway's plugin folder this loads it.
pub fn compile(source: &str, folder: &Path, name: &str, arguments: &[String]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let draft = folder.join(format!(".{name}"));
    let built = Command::new("cc")
        .args(["-D_GNU_SOURCE", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root.join("plugins/abi"))
        .args(arguments)
        .arg("-o")
        .args([&draft, &root.join("tests/abi/c").join(source)])
        .output()
        .expect("cc: install the Debian package build-essential");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let path = folder.join(format!("{name}.so"));
    fs::rename(draft, &path).unwrap();
    path
}

/// Compiles the plugin `odd.c` as `name`, with these macros, and replaces its file in the plugin folder atomically.
pub fn install(gateway: &Gateway, name: &str, defined: &[&str]) {
    let arguments: Vec<String> = defined.iter().map(|d| format!("-D{d}")).collect();
    compile("odd.c", &gateway.plugins(), name, &arguments);
}

fn tenant(sim: &Simulator, actions: &[&str]) -> String {
    let mut file = format!(
        "name = \"Bad\"\n[wechat]\nappid = \"{DEMO_APPID}\"\nsecret = \"{DEMO_SECRET}\"\nbase_url = \"{}\"\n",
        sim.base_url()
    );
    for action in actions {
        writeln!(file, "[actions.{action}]").unwrap();
    }
    file
}

/// A gateway with the plugins `rude` and `rogue`.
fn scene(change: impl FnOnce(Setup) -> Setup) -> (Gateway, Client) {
    let sim = simulator();
    let actions = [
        "rude",
        "echo",
        "never",
        "live",
        "leak",
        "block",
        "flood",
        "panic_now",
        "panic_later",
        "no_object",
        "large",
        "bad_error_code",
    ];
    let setup = Setup::default().tenant(TENANT, tenant(&sim, &actions));
    let mut gateway = Gateway::start(change(setup));
    compile("rude.c", &gateway.plugins(), "rude", &[]);
    fs::copy(plugin_library("rogue"), gateway.plugins().join("rogue.so")).unwrap();
    gateway.restart();
    let client = gateway.client(TENANT);
    (gateway, client)
}

fn request_id(response: &Envelope) -> String {
    response.response.header("x-request-id").expect("an id").to_owned()
}

/// The log lines that contain all of these texts.
pub fn lines(gateway: &Gateway, parts: &[&str]) -> Vec<String> {
    gateway.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
}

fn metrics(gateway: &Gateway) -> String {
    gateway.admin("/metrics").unwrap().text()
}

#[test]
fn a_call_that_never_replies_ends_at_its_deadline_and_others_are_served() {
    let (gateway, client) = scene(|setup| setup.setting("server.call_timeout", "\"2s\""));
    for (action, fields, live) in [
        ("rude", vec![("how", "never")], ("rude", vec![("how", "live")])),
        ("never", vec![("n", "1")], ("live", vec![])),
    ] {
        let count = || client.call(live.0, &live.1).ok()["n"].as_u64().unwrap();
        thread::scope(|scope| {
            let hanging =
                scope.spawn(|| side_by_side(8, |_| (Instant::now(), client.call(action, &fields), Instant::now())));
            eventually("all eight calls are running", || (count() == 8).then_some(()));
            client.call("echo", &[]).ok();
            for (start, response, end) in hanging.join().unwrap() {
                response.assert_error(504, "call_timeout");
                assert_eq!(response.msg, "处理超时");
                assert!(end - start >= Duration::from_secs(2), "{:?}", end - start);
                assert_eq!(lines(&gateway, &[&request_id(&response), "call_timeout", action]).len(), 1);
            }
        });
        assert_eq!(count(), 0, "{action}: every call is dropped");
        assert_eq!(client.with_language("en").call(action, &fields).msg, "The request took too long.");
    }
}

#[test]
fn a_failed_call_has_a_message_in_both_languages_and_its_cause_in_the_log() {
    let (mut gateway, client) = scene(|setup| setup);
    let too_large = ((16 << 20) + 1).to_string();
    for (action, fields, cause) in [
        ("rude", vec![("how", "garbage")], "its data is not a JSON object in UTF-8"),
        ("rude", vec![("how", "invalid_utf8")], "its data is not a JSON object in UTF-8"),
        ("rude", vec![("how", "large"), ("n", &too_large)], "it is larger than 16 MiB"),
        ("rude", vec![("how", "nothing")], "the plugin finished without a reply"),
        ("rude", vec![("how", "fail")], "the plugin returned error -2"),
        ("panic_now", vec![("n", "0")], "the plugin panicked"),
        ("panic_now", vec![("n", "1")], "the plugin panicked"),
        ("panic_later", vec![], "the plugin panicked"),
        ("no_object", vec![("text", "a text")], "its data is not a JSON object in UTF-8"),
        ("large", vec![("n", &too_large)], "it is larger than 16 MiB"),
        ("bad_error_code", vec![("text", "Not A Code")], "its error code is not 1 to 64"),
    ] {
        for (language, message) in [("zh", "操作失败，请稍后再试"), ("en", "Something went wrong; try again later.")]
        {
            let response = client.with_language(language).call(action, &fields);
            response.assert_error(500, "plugin_failed");
            assert_eq!(response.msg, message, "{action}");
            let logged = lines(&gateway, &[&request_id(&response), cause, &format!("action=\"{action}\"")]);
            assert_eq!(logged.len(), 1, "{action} {fields:?}: {cause}");
        }
    }
    assert_eq!(client.call("rude", &[("how", "twice")]).ok()["n"], 1);
    assert_eq!(lines(&gateway, &["replied to a call twice", "plugin=\"rude\""]).len(), 1);
    client.call("echo", &[]).ok();
    assert!(gateway.is_running());
}

#[test]
fn a_flood_of_log_lines_is_bounded_and_other_lines_are_written() {
    let (gateway, client) = scene(|setup| setup);
    let began = Instant::now();
    let calls = 24;
    for _ in 0..calls {
        client.call("rude", &[("how", "flood"), ("n", "20000")]).ok();
        client.call("flood", &[("n", "20000")]).ok();
        let other = client.call("echo", &[]);
        assert_eq!(
            lines(&gateway, &[&request_id(&other), "action=\"echo\""]).len(),
            1,
            "its line is written immediately"
        );
    }
    let most = 200 * (began.elapsed().as_secs() as usize + 2);
    for plugin in ["rude", "rogue"] {
        let written = lines(&gateway, &[&format!("a flood of the {plugin} plugin")]).len();
        assert!((200..=most).contains(&written), "{plugin}: {written} lines, at most {most}");
        let dropped = eventually("the dropped lines are reported", || {
            let logged = lines(&gateway, &["logs too many lines", &format!("plugin=\"{plugin}\"")]);
            let dropped =
                logged.iter().filter_map(|l| l.split("dropped=").nth(1)?.split(' ').next()?.parse::<usize>().ok());
            let dropped: usize = dropped.sum();
            (dropped + written == calls * 20_000).then_some(dropped)
        });
        let counted = format!("menlou_plugin_log_lines_dropped_total{{plugin=\"{plugin}\"}} {dropped}");
        assert!(metrics(&gateway).contains(&counted), "{counted}");
    }
    let traced = client.call("rude", &[("how", "trace"), ("n", "20000")]);
    let warnings = lines(&gateway, &["a warning of the rude plugin", &request_id(&traced)]);
    assert_eq!(warnings.len(), 1, "lines below the log level do not count");
    assert!(gateway.log().len() < 4 * most * 400, "{} bytes", gateway.log().len());
}

#[test]
fn a_plugin_that_blocks_a_worker_thread_is_logged_with_its_run_time() {
    let (gateway, client) = scene(|setup| setup);
    for (plugin, action, fields) in
        [("rude", "rude", vec![("how", "block"), ("n", "300")]), ("rogue", "block", vec![("n", "300")])]
    {
        for _ in 0..3 {
            client.call(action, &fields).ok();
        }
        let logged = lines(&gateway, &["blocked a worker thread", &format!("plugin=\"{plugin}\"")]);
        let [line] = logged.as_slice() else { panic!("logged once a minute: {logged:?}") };
        for part in ["WARN", &format!("action=\"{action}\""), "tenant=\"bad\"", " ms=", "times=1"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        let counted =
            format!("menlou_plugin_violations_total{{plugin=\"{plugin}\",action=\"{action}\",reason=\"blocked\"}} 3");
        assert!(metrics(&gateway).contains(&counted), "{counted}: {}", metrics(&gateway));
    }
}

#[test]
fn a_plugin_that_does_not_return_is_logged_while_it_runs() {
    let (gateway, client) = scene(|setup| setup);
    thread::scope(|scope| {
        let stuck = scope.spawn(|| client.call("rude", &[("how", "block"), ("n", "9000")]));
        let logged = ["ERROR", "keeps a worker thread", "plugin=\"rude\"", "action=\"rude\""];
        eventually("the violation is logged", || (lines(&gateway, &logged).len() == 1).then_some(()));
        assert!(!stuck.is_finished(), "the call is still running");
        stuck.join().unwrap().ok();
    });
    let counted = "menlou_plugin_violations_total{plugin=\"rude\",action=\"rude\",reason=\"stuck\"} 1";
    assert!(metrics(&gateway).contains(counted), "{}", metrics(&gateway));
}

#[test]
fn a_leaked_operation_holds_no_connection() {
    let (gateway, client) = scene(|setup| setup.setting("server.call_timeout", "\"2s\""));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    for (plugin, action, fields) in [
        ("rude", "rude", vec![("how", "leak"), ("url", &*url), ("wait", "1")]),
        ("rogue", "leak", vec![("text", &*url), ("n", "1")]),
    ] {
        thread::scope(|scope| {
            let called = scope.spawn(|| client.call(action, &fields));
            let (mut stream, _) = listener.accept().unwrap();
            called.join().unwrap().assert_error(504, "call_timeout");
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            assert!(stream.read_to_end(&mut Vec::new()).is_ok(), "{action}: the connection outlives the call");
        });
        assert_eq!(lines(&gateway, &["without op_drop", &format!("plugin=\"{plugin}\"")]).len(), 1);
        let counted = format!(
            "menlou_plugin_violations_total{{plugin=\"{plugin}\",action=\"{action}\",reason=\"leaked_operation\"}} 1"
        );
        assert!(metrics(&gateway).contains(&counted), "{counted}: {}", metrics(&gateway));
    }
    for _ in 0..20 {
        client.call("rude", &[("how", "keep")]).ok();
        assert_eq!(client.call("rude", &[("how", "use_kept")]).ok()["n"], 6);
    }
    client.call("echo", &[]).ok();
}

/// Invalid versions of the plugin `odd`, each with the reason for its rejection.
fn invalid_versions(folder: &Path, name: &str) -> Vec<(PathBuf, &'static str)> {
    let schema = |what: &str, text: &str| {
        let header = folder.join(format!("{what}.h"));
        let quoted = text.replace('"', "\\\"");
        fs::write(&header, format!("#define PARAMS MENLOU_STR(\"{quoted}\")\n")).unwrap();
        vec!["-include".to_owned(), header.display().to_string()]
    };
    let exponential: String = (0..60)
        .map(|i| format!(r##""d{i}":{{"allOf":[{{"$ref":"#/$defs/d{0}"}},{{"$ref":"#/$defs/d{0}"}}]}},"##, i + 1))
        .collect();
    let cases = [
        ("two", vec!["-DACTIONS_LEN=2".to_owned()], "it has two actions"),
        ("major", vec!["-DMAJOR=9".to_owned()], "built for plugin ABI 9.0, this gateway has 1.0"),
        ("kind", schema("kind", r#"{"type":"banana"}"#), "params_schema: "),
        ("list", schema("list", "[]"), "params_schema: a schema must be a JSON object"),
        ("text", schema("text", "not JSON"), "params_schema: expected"),
        ("deep", schema("deep", &r#"{"not":"#.repeat(100_000)), "params_schema: recursion limit exceeded"),
        ("long", schema("long", &r#"{"not":"#.repeat(1_000_000)), "params_schema: longer than 1048576 bytes"),
        (
            "exponential",
            schema("exponential", &format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{exponential}"d60":{{}}}}}}"##)),
            "too expensive",
        ),
    ];
    let mut files = Vec::new();
    for (what, mut arguments, why) in cases {
        let at = folder.join(what);
        fs::create_dir(&at).unwrap();
        arguments.push(format!("-DNAME=\"{}\"", name.replace("{}", what)));
        files.push((compile("odd.c", &at, &name.replace("{}", what), &arguments), why));
    }
    let text = folder.join(name.replace("{}", "script") + ".so");
    fs::write(&text, "#!/bin/sh\necho not a plugin\n").unwrap();
    files.push((text, "not a shared library"));
    files
}

#[test]
fn invalid_files_are_rejected_at_the_start_with_the_reason_and_the_others_are_loaded() {
    let (sim, workshop) = (simulator(), tempfile::tempdir().unwrap());
    let mut gateway = Gateway::start(Setup::default().tenant(TENANT, tenant(&sim, &["odd", "odd-two"])));
    let invalid = invalid_versions(workshop.path(), "odd-{}");
    for (path, _) in &invalid {
        fs::copy(path, gateway.plugins().join(path.file_name().unwrap())).unwrap();
    }
    compile("odd.c", &gateway.plugins(), "odd", &[]);
    compile("odd.c", &gateway.plugins(), "second", &["-DNAME=\"second\"".to_owned()]);
    gateway.restart();
    let clash = "the plugin odd already has an action odd";
    let rejected = gateway.readiness().1["plugins"]["rejected"].as_array().unwrap().clone();
    let invalid = invalid.iter().map(|(path, why)| (path.file_name().unwrap().to_string_lossy().into_owned(), *why));
    for (file, why) in invalid.clone().chain([("second.so".to_owned(), clash)]) {
        let logged = rejected.iter().find(|r| r["file"] == *file).unwrap_or_else(|| panic!("{file}: {rejected:?}"));
        assert!(logged["why"].as_str().unwrap().contains(why), "{logged}");
        assert_eq!(lines(&gateway, &["ERROR", "plugin rejected", &format!("/{file}"), why]).len(), 1, "{file}: {why}");
    }
    assert_eq!(rejected.len(), invalid.count() + 1);
    let counted = format!("menlou_plugins_rejected {}", rejected.len());
    assert!(metrics(&gateway).contains(&counted), "{counted}: {}", metrics(&gateway));
    let client = gateway.client(TENANT);
    assert_eq!(client.call("odd", &[]).ok()["n"], 1);
    client.call("odd-two", &[]).assert_error(503, "plugin_unavailable");
}

#[test]
fn a_rust_plugin_with_a_wrong_description_is_rejected_and_the_others_are_loaded() {
    let sim = simulator();
    for (says, why) in [
        ("twice", "it has two actions \"echo\""),
        ("clash", "the plugin odd already has an action odd"),
        ("banana", "params_schema: "),
        ("panic", "returned no description"),
    ] {
        let setup = Setup::default().env("ROGUE_SAYS", says).tenant(TENANT, tenant(&sim, &["odd", "echo"]));
        let mut gateway = Gateway::start(setup);
        compile("odd.c", &gateway.plugins(), "odd", &[]);
        fs::copy(plugin_library("rogue"), gateway.plugins().join("rogue.so")).unwrap();
        gateway.restart();
        let rejected = gateway.readiness().1["plugins"]["rejected"].clone();
        assert!(
            rejected[0]["file"] == "rogue.so" && rejected[0]["why"].as_str().unwrap().contains(why),
            "{says}: {rejected}"
        );
        let client = gateway.client(TENANT);
        assert_eq!(client.call("odd", &[]).ok()["n"], 1);
        client.call("echo", &[]).assert_error(503, "plugin_unavailable");
    }
}

#[test]
fn invalid_files_are_rejected_while_running_and_the_old_version_keeps_serving() {
    let (sim, workshop) = (simulator(), tempfile::tempdir().unwrap());
    let mut gateway = Gateway::start(Setup::default().tenant(TENANT, tenant(&sim, &["odd"])));
    compile("odd.c", &gateway.plugins(), "odd", &[]);
    gateway.restart();
    let client = gateway.client(TENANT);
    let loaded = || gateway.readiness().1["plugins"]["loaded"].to_string();
    let before = loaded();
    let invalid = invalid_versions(workshop.path(), "odd");
    for (path, why) in &invalid {
        fs::copy(path, gateway.plugins().join(".odd")).unwrap();
        fs::rename(gateway.plugins().join(".odd"), gateway.plugins().join("odd.so")).unwrap();
        eventually(&format!("the file is rejected: {why}"), || {
            gateway.readiness().1["plugins"]["rejected"].to_string().contains(why).then_some(())
        });
        assert_eq!(lines(&gateway, &["ERROR", "plugin rejected", "/odd.so", why]).len(), 1, "{why}");
        assert_eq!(client.call("odd", &[]).ok()["n"], 1);
    }
    assert_eq!(loaded(), before);
    let counted = format!("menlou_plugin_reloads_total{{plugin=\"odd\",result=\"rejected\"}} {}", invalid.len());
    assert!(metrics(&gateway).contains(&counted), "{counted}: {}", metrics(&gateway));

    // A second plugin with the same action is rejected until the first one is removed.
    compile("odd.c", &gateway.plugins(), "second", &["-DNAME=\"second\"".to_owned()]);
    let clash = "the plugin odd already has an action odd";
    eventually("the clash is reported", || {
        gateway.readiness().1["plugins"]["rejected"].to_string().contains(clash).then_some(())
    });
    assert_eq!(client.call("odd", &[]).ok()["n"], 1);
    fs::remove_file(gateway.plugins().join("odd.so")).unwrap();
    eventually("the second plugin is loaded", || {
        (gateway.readiness().1["plugins"]["loaded"].to_string().contains("second")).then_some(())
    });
    eventually("its action serves", || (client.call("odd", &[]).error.is_none()).then_some(()));
    assert_eq!(gateway.readiness().1["plugins"]["rejected"], serde_json::json!([]));
    assert!(metrics(&gateway).contains("menlou_plugins_rejected 0"));
}
