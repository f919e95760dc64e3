//! The log: what its lines contain, where they go, and that a reader that stops delays nothing.

use crate::scene::{Scene, Stores, TENANT, eventually, setup, simulator};
use menlou_harness::{GatewayFolder, Setup, Signal, http};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
};

/// Requests whose lines are more than the pipe and the gateway's queue hold.
const MANY: usize = 100_000;

/// Pipelined requests: no more than the buffers of a connection hold.
const BATCH: usize = 200;

/// The value of a metric without labels.
fn metric(scene: &Scene, name: &str) -> u64 {
    let metrics = String::from_utf8(scene.admin("/metrics").unwrap().body).unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

#[test]
fn a_stuck_reader_of_the_log_delays_no_request_and_no_shutdown() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.log_pipe());
    // The lines are long because of their request ids.
    let head = format!("POST /srv/{TENANT}/user HTTP/1.1\r\nHost: a\r\nX-Request-Id: {}\r\n", "i".repeat(100));
    let batch = format!("{head}\r\n").repeat(BATCH - 1) + &format!("{head}Connection: close\r\n\r\n");
    let mut answered = 0;
    while metric(&scene, "menlou_log_lines_dropped_total") == 0 {
        assert!(answered < MANY, "no line was dropped after {answered} requests");
        let (mut stream, mut responses) = (http::connect(scene.addr()).unwrap(), String::new());
        stream.write_all(batch.as_bytes()).unwrap();
        stream.read_to_string(&mut responses).unwrap();
        assert_eq!(responses.matches("HTTP/1.1 401").count(), BATCH);
        answered += BATCH;
    }
    assert_eq!(scene.admin("/healthz").unwrap().status, 200);
    scene.person("ann").call("user", &[]).ok();

    // The reader reads again: the lines that were kept arrive, and the number of those that were not.
    let mut lines = BufReader::new(scene.gateway.take_log_pipe()).lines().map(|line| line.unwrap());
    let told = lines.find(|line| line.contains("log lines were dropped"));
    assert!(told.is_some_and(|line| line.contains("lines=")));
    drop(lines);
    // Its end is closed: no line can be written any more.
    scene.client().call("user", &[]).assert_error(401, "login_required");
    assert_eq!(scene.gateway.terminate().code(), Some(0));
}

#[test]
fn sigterm_ends_a_gateway_whose_log_is_stuck() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.log_pipe());
    let client = scene.client();
    // More than a pipe holds: the thread that writes the log waits.
    for _ in 0..600 {
        client.call("user", &[]).assert_error(401, "login_required");
    }
    assert_eq!(scene.gateway.terminate().code(), Some(0));
}

#[test]
fn lines_of_the_json_log_have_a_message_and_numbers() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("log.format", "\"json\""));
    scene.client().call("user", &[]).assert_error(401, "login_required");
    let line: Value = eventually("the request is logged", || {
        let lines = scene.log();
        let line = lines.lines().find(|line| line.contains("login_required"))?;
        Some(serde_json::from_str(line).expect("JSON"))
    });
    assert!(line["ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{line}");
    assert_eq!((&line["message"], &line["status"], &line["level"]), (&"request".into(), &401.into(), &"INFO".into()));
    for line in scene.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}"));
        assert!(line["message"].as_str().is_some_and(|message| !message.is_empty()), "{line}");
    }
}

#[test]
fn errors_at_the_start_are_json_where_the_log_is() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let json = || Setup::default().setting("log.format", "\"json\"");
    let valid = setup(&simulator(), None, None);
    let homes = [
        (GatewayFolder::new(json().env("MENLOU_SERVER__LISTEN", &listen)), listen.as_str()),
        (GatewayFolder::new(json().setting("server.max_bdoy", "1").setting("log.level", "\"loud\"")), "max_bdoy"),
        (GatewayFolder::new(json().setting("server.max_body", "[")), "menlou.toml"),
        (GatewayFolder::new(valid.env("MENLOU_LOG__FORMAT", "json").env("MENLOU_SERVER__LISTEN", "x")), "LISTEN"),
    ];
    for (home, shown) in &homes {
        let output = home.command(&["run"], b"");
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(shown), "{shown}: {text}");
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}"));
            assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
        }
    }
    // The location is in fields of its own.
    let output = homes[1].0.command(&["run"], b"");
    let lines: Vec<Value> =
        String::from_utf8(output.stderr).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["line"] == 3 && line["file"].as_str().unwrap().ends_with("menlou.toml")));
}

#[test]
fn a_log_file_has_the_log_and_an_unusable_one_stops_the_start() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("log.file", "\"own.log\""));
    scene.client().call("user", &[]).assert_error(401, "login_required");
    let file = scene.tenants().with_file_name("own.log");
    eventually("the request is in the file", || {
        fs::read_to_string(&file).ok().filter(|log| log.contains("login_required"))
    });
    assert!(!scene.log().contains("login_required"));

    // logrotate moves it away and sends SIGHUP.
    fs::rename(&file, file.with_extension("log.1")).unwrap();
    scene.gateway.send(Signal::HUP);
    eventually("there is a new file", || file.exists().then_some(()));
    scene.client().call("openid", &[]).assert_error(400, "missing_parameter");
    eventually("the request is in the new file", || {
        fs::read_to_string(&file).ok().filter(|log| log.contains("missing_parameter"))
    });
    assert!(!fs::read_to_string(file.with_extension("log.1")).unwrap().contains("missing_parameter"));

    let home = GatewayFolder::new(setup(&simulator(), None, None).setting("log.file", "\"missing/own.log\""));
    let output = home.command(&["run"], b"");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("missing/own.log") && text.contains("[log] file"), "{text}");
}
