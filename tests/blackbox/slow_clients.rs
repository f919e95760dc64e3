//! Clients that are silent, slow, idle, do not read, or open too many connections: their connections are closed, and other
//! clients are not affected.

use crate::scene::{Scene, Stores, TENANT, eventually, side_by_side};
use menlou_harness::{
    Envelope, Setup, Upstream,
    http::{self, Request},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

const POST: &str = "POST /srv/?f=manulife&a=user HTTP/1.1\r\nHost: a\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A gateway with these settings. The action `files` of its tenant forwards to an upstream.
fn streaming(settings: &[(&str, &str)]) -> (Scene, Upstream) {
    let upstream = Upstream::start();
    let table = format!(
        "\n[actions.files]\nplugin = \"proxy\"\nupstream = \"http://{}/\"\nauth = \"optional\"\n",
        upstream.addr()
    );
    let scene = Scene::with(Stores::Embedded, |setup, _| {
        let mut setup = settings.iter().fold(setup, |setup, (name, value)| setup.setting(name, format!("{value:?}")));
        setup.tenants.iter_mut().filter(|(name, _)| name == TENANT).for_each(|(_, file)| *file += &table);
        setup
    });
    (scene, upstream)
}

/// Number of connections that were closed for this reason.
fn closed(scene: &Scene, reason: &str) -> u64 {
    let metrics = scene.admin("/metrics").unwrap().text();
    let line = metrics
        .lines()
        .find_map(|l| l.strip_prefix(&format!("menlou_connections_closed_total{{reason=\"{reason}\"}} ")));
    line.map_or(0, |n| n.trim().parse().unwrap())
}

/// Writes `bytes`, then one byte of `more` per `every`, until the connection is closed. Returns what was received.
fn trickle(stream: &mut TcpStream, bytes: &str, more: &str, every: Duration) -> Vec<u8> {
    stream.write_all(bytes.as_bytes()).unwrap();
    stream.set_read_timeout(Some(every)).unwrap();
    let (mut all, mut piece, began) = (Vec::new(), [0; 4096], Instant::now());
    for next in more.bytes().cycle() {
        match stream.read(&mut piece) {
            Ok(0) => return all,
            Ok(n) => all.extend_from_slice(&piece[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let _ = stream.write_all(&[next]);
            }
            Err(_) => return all,
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the connection stays open: {bytes:?} {more:?}");
    }
    all
}

#[test]
fn silent_connections_and_slow_heads_and_bodies_are_closed() {
    let (scene, _upstream) = streaming(&[
        ("clients.first_byte_timeout", "1s"),
        ("clients.keep_alive_timeout", "1s"),
        ("server.header_timeout", "1s"),
        ("server.body_timeout", "3s"),
        ("clients.body_idle_timeout", "1s"),
    ]);
    assert_all_are_closed(&scene, Duration::from_millis(300), Duration::from_secs(12));
    assert!(closed(&scene, "silent") >= 1 && closed(&scene, "idle") >= 1);
}

#[test]
fn slow_connections_are_closed_within_thirty_seconds_by_default() {
    let (scene, _upstream) = streaming(&[]);
    // Idle connections have that time from their last response on.
    assert_all_are_closed(&scene, Duration::from_secs(3), Duration::from_secs(33));
}

fn assert_all_are_closed(scene: &Scene, every: Duration, within: Duration) {
    let files = format!("POST /srv/{TENANT}/files HTTP/1.1\r\nHost: a\r\n");
    let long = "Content-Length: 100000\r\n\r\na";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n4\r\nco";
    let cases = [
        // Bytes sent immediately, bytes sent slowly after them, error code of the response.
        (String::new(), "", None),
        ("P".to_owned(), "", Some("request_timeout")),
        ("\r\n".to_owned(), "", Some("request_timeout")),
        (POST.to_owned(), "", Some("request_timeout")),
        (POST.to_owned(), "X-A: 1\r\n", Some("request_timeout")),
        (format!("{POST}X-A: "), "1", Some("request_timeout")),
        (format!("{POST}\r\n"), "", Some("login_required")),
        (format!("{POST}\r\n"), POST, Some("login_required")),
        (format!("{POST}{FORM}{long}"), "", Some("request_timeout")),
        (format!("{POST}{FORM}{long}"), "b", Some("request_timeout")),
        (format!("{POST}{FORM}{chunked}"), "", Some("request_timeout")),
        (format!("{POST}{FORM}Transfer-Encoding: chunked\r\n\r\n1;"), "x", Some("request_timeout")),
        (format!("{files}{long}"), "", None),
        (format!("{files}{long}"), "b", None),
    ];
    let start = Instant::now();
    thread::scope(|scope| {
        for (sent, more, code) in &cases {
            scope.spawn(move || {
                let mut stream = http::connect(scene.addr()).unwrap();
                let sends_nothing = more.is_empty();
                let all = trickle(
                    &mut stream,
                    sent,
                    if sends_nothing { "\0" } else { more },
                    if sends_nothing { within } else { every },
                );
                let context = format!("{sent:?} {more:?} {}", String::from_utf8_lossy(&all));
                assert!(start.elapsed() < within, "after {:?}: {context}", start.elapsed());
                match code {
                    Some(code) => {
                        let envelope = Envelope::parse(http::read(&mut &all[..]).expect(&context));
                        assert_eq!(envelope.error.as_deref(), Some(*code), "{context}");
                    }
                    None => assert!(!context.contains("HTTP/1.1 200"), "{context}"),
                }
            });
        }
    });
    scene.authorize("ann").ok();
}

#[test]
fn a_body_at_the_minimum_rate_passes_within_the_request_timeout() {
    let settings =
        [("clients.body_idle_timeout", "1s"), ("clients.request_timeout", "4s"), ("server.call_timeout", "2s")];
    let (scene, upstream) = streaming(&settings);
    let start = Instant::now();
    // Number of pieces, and whether the request is served.
    let mut rounds = vec![(40, false), (8, true)];
    while let Some((pieces, is_served)) = rounds.pop() {
        let mut stream = http::connect(scene.addr()).unwrap();
        let size = pieces * 4096;
        let head = format!("POST /srv/{TENANT}/files HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let began = Instant::now();
        for _ in 0..pieces {
            // The pace of the client is under test.
            thread::sleep(Duration::from_millis(300));
            if stream.write_all(&[b'x'; 4096]).is_err() {
                break;
            }
        }
        let sent = began.elapsed();
        let served = http::read(&mut stream).is_ok_and(|response| response.status == 200);
        // On a busy machine the client may be too slow to be served; such a round is repeated.
        if is_served && !served && sent > Duration::from_secs(3) {
            assert!(start.elapsed() < Duration::from_secs(60), "the machine is too busy for this test");
            rounds.push((pieces, is_served));
            continue;
        }
        assert_eq!(served, is_served, "sent in {sent:?}");
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn connections_that_do_not_read_a_response_are_closed() {
    let (scene, _upstream) = streaming(&[
        ("clients.response_write_timeout", "1s"),
        ("clients.min_transfer_rate", "1MiB"),
        ("server.call_timeout", "30s"),
    ]);
    let get = |path: &str| format!("GET /srv/{TENANT}/files{path} HTTP/1.1\r\nHost: a\r\n\r\n");
    side_by_side(4, |at| {
        let mut stream = http::connect(scene.addr()).unwrap();
        let path = ["/download?100000000", "/chunked?100000000"][at % 2];
        stream.write_all(get(path).as_bytes()).unwrap();
        let began = Instant::now();
        // Two clients read nothing, two read slowly.
        while at >= 2 && began.elapsed() < Duration::from_secs(30) {
            if stream.read(&mut [0; 2048]).is_ok_and(|n| n == 0) || closed(&scene, "slow_reader") >= 4 {
                break;
            }
            // The pace of the client is under test.
            thread::sleep(Duration::from_millis(100));
        }
        eventually("all are closed", || (closed(&scene, "slow_reader") == 4).then_some(()));
    });
    eventually("no connection is open", || {
        scene.admin("/metrics").unwrap().text().contains("menlou_connections 0").then_some(())
    });
    // A client that reads receives the complete response.
    let complete = Request::new("GET", format!("/srv/{TENANT}/files/download?50000000")).send(scene.addr()).unwrap();
    assert_eq!((complete.status, complete.body.len()), (200, 50_000_000));
}

#[test]
fn a_connection_is_closed_after_its_maximum_number_of_requests() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("clients.max_requests_per_connection", "3"));
    let mut stream = http::connect(scene.addr()).unwrap();
    for last in [false, false, true] {
        stream.write_all(format!("{POST}\r\n").as_bytes()).unwrap();
        let response =
            Envelope::parse(http::read(&mut stream).unwrap()).assert_error(401, "login_required").response.clone();
        assert_eq!(response.header("connection") == Some("close"), last);
    }
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "closed");
}

#[test]
fn connections_beyond_the_maximum_of_an_address_are_closed() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("clients.max_connections_per_address", "3"));
    let mut open: Vec<_> = (0..3).map(|_| http::connect(scene.addr()).unwrap()).collect();
    for stream in &mut open {
        stream.write_all(format!("{POST}\r\n").as_bytes()).unwrap();
        assert_eq!(http::read(stream).unwrap().status, 401);
    }
    assert!(scene.client().try_call("user", &[]).is_err());
    drop(open.pop());
    eventually("a new connection is served", || scene.client().try_call("user", &[]).ok());
}

/// Number of idle connections of the test: as many as the limit of open files allows, at most 10,000.
fn idle_connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    let files: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    (files - 200).min(10_000)
}

#[test]
fn thousands_of_idle_connections_do_not_slow_down_requests() {
    let many = |setup: Setup| {
        setup.setting("clients.max_connections_per_address", "20000").setting("server.max_connections", "20000")
    };
    let scene = Scene::with(Stores::Embedded, |setup, _| many(setup).setting("clients.first_byte_timeout", "\"60s\""));
    let person = scene.person("ann");
    let percentile_95 = || {
        let mut times: Vec<Duration> = (0..200)
            .map(|_| {
                let began = Instant::now();
                person.call("user", &[]).ok();
                began.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() * 95 / 100]
    };
    let alone = percentile_95();
    let count = idle_connections();
    let idle: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(scene.addr()).unwrap()).collect();
    eventually("all connections are open", || {
        let metrics = scene.admin("/metrics").unwrap().text();
        let open = metrics.lines().find_map(|line| line.strip_prefix("menlou_connections "))?.trim().parse::<usize>();
        (open.unwrap() >= count).then_some(())
    });
    let among = percentile_95();
    assert!(
        among < 3 * alone + Duration::from_millis(20),
        "{alone:?} without, {among:?} with {count} idle connections"
    );
    drop(idle);
    eventually("they are closed", || {
        let metrics = scene.admin("/metrics").unwrap().text();
        metrics.contains("menlou_connections 0").then_some(())
    });
}
