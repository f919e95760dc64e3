//! Clients that are silent, trickle, pause, don't read, stay too long or are too many: each is let go, and nobody else
//! notices.

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

/// A gateway with these settings, whose tenant streams to and from an upstream as `a=files`.
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

/// How often clients were let go for this reason.
fn let_go(scene: &Scene, why: &str) -> u64 {
    let metrics = scene.admin("/metrics").unwrap().text();
    let line =
        metrics.lines().find_map(|l| l.strip_prefix(&format!("menlou_connections_closed_total{{reason=\"{why}\"}} ")));
    line.map_or(0, |n| n.trim().parse().unwrap())
}

/// Writes these bytes, and then the next of `more` every so often, until the connection is closed; gives what came.
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
        assert!(began.elapsed() < Duration::from_secs(60), "it is never let go: {bytes:?} {more:?}");
    }
    all
}

#[test]
fn who_is_silent_or_trickles_a_head_or_a_body_is_let_go() {
    let (scene, _upstream) = streaming(&[
        ("clients.first_byte_timeout", "1s"),
        ("clients.keep_alive_timeout", "1s"),
        ("server.header_timeout", "1s"),
        ("server.body_timeout", "3s"),
        ("clients.body_idle_timeout", "1s"),
    ]);
    all_are_let_go(&scene, Duration::from_millis(300), Duration::from_secs(12));
    assert!(let_go(&scene, "silent") >= 1 && let_go(&scene, "idle") >= 1);
}

#[test]
fn by_default_within_thirty_seconds() {
    let (scene, _upstream) = streaming(&[]);
    // The idle ones, which have been served, have that time from their answer on.
    all_are_let_go(&scene, Duration::from_secs(3), Duration::from_secs(33));
}

fn all_are_let_go(scene: &Scene, every: Duration, within: Duration) {
    let files = format!("POST /srv/{TENANT}/files HTTP/1.1\r\nHost: a\r\n");
    let long = "Content-Length: 100000\r\n\r\na";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n4\r\nco";
    let cases = [
        // What is sent, what is trickled behind it, and what is answered.
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
    let begun = Instant::now();
    thread::scope(|scope| {
        for (sent, more, word) in &cases {
            scope.spawn(move || {
                let mut stream = http::connect(scene.addr()).unwrap();
                let nothing = more.is_empty();
                let all =
                    trickle(&mut stream, sent, if nothing { "\0" } else { more }, if nothing { within } else { every });
                let told = format!("{sent:?} {more:?} {}", String::from_utf8_lossy(&all));
                assert!(begun.elapsed() < within, "after {:?}: {told}", begun.elapsed());
                match word {
                    Some(word) => {
                        let envelope = Envelope::parse(http::read(&mut &all[..]).expect(&told));
                        assert_eq!(envelope.error.as_deref(), Some(*word), "{told}");
                    }
                    None => assert!(!told.contains("HTTP/1.1 200"), "{told}"),
                }
            });
        }
    });
    scene.authorize("ann").ok();
}

#[test]
fn a_body_that_keeps_its_pace_may_take_its_time_but_not_for_ever() {
    let settings =
        [("clients.body_idle_timeout", "1s"), ("clients.request_timeout", "4s"), ("server.call_timeout", "2s")];
    let (scene, upstream) = streaming(&settings);
    for (pieces, whole) in [(8, true), (40, false)] {
        let mut stream = http::connect(scene.addr()).unwrap();
        let size = pieces * 4096;
        let head = format!("POST /srv/{TENANT}/files HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let began = Instant::now();
        for _ in 0..pieces {
            thread::sleep(Duration::from_millis(300));
            if stream.write_all(&[b'x'; 4096]).is_err() {
                break;
            }
        }
        let served = http::read(&mut stream).is_ok_and(|answer| answer.status == 200);
        assert_eq!(served, whole, "after {:?}", began.elapsed());
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn who_does_not_read_an_answer_is_let_go() {
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
        // Two read nothing, two a little now and then.
        while at >= 2 && began.elapsed() < Duration::from_secs(30) {
            if stream.read(&mut [0; 2048]).is_ok_and(|n| n == 0) || let_go(&scene, "slow_reader") >= 4 {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        eventually("all are let go", || (let_go(&scene, "slow_reader") == 4).then_some(()));
    });
    eventually("no connection is left", || {
        scene.admin("/metrics").unwrap().text().contains("menlou_connections 0").then_some(())
    });
    // Who reads gets it whole.
    let whole = Request::new("GET", format!("/srv/{TENANT}/files/download?50000000")).send(scene.addr()).unwrap();
    assert_eq!((whole.status, whole.body.len()), (200, 50_000_000));
}

#[test]
fn a_connection_brings_so_many_requests_and_no_more() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("clients.max_requests_per_connection", "3"));
    let mut stream = http::connect(scene.addr()).unwrap();
    for last in [false, false, true] {
        stream.write_all(format!("{POST}\r\n").as_bytes()).unwrap();
        let answer =
            Envelope::parse(http::read(&mut stream).unwrap()).assert_error(401, "login_required").response.clone();
        assert_eq!(answer.header("connection") == Some("close"), last);
    }
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "closed");
}

#[test]
fn an_address_has_so_many_connections_and_no_more() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("clients.max_connections_per_address", "3"));
    let mut open: Vec<_> = (0..3).map(|_| http::connect(scene.addr()).unwrap()).collect();
    for stream in &mut open {
        stream.write_all(format!("{POST}\r\n").as_bytes()).unwrap();
        assert_eq!(http::read(stream).unwrap().status, 401);
    }
    assert!(scene.client().try_call("user", &[]).is_err());
    drop(open.pop());
    eventually("a place is free", || scene.client().try_call("user", &[]).ok());
}

/// As many as the machine's limit of open files allows, 10,000 at most.
fn idle_connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    let files: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    (files - 200).min(10_000)
}

#[test]
fn thousands_of_idle_connections_keep_nobody_waiting() {
    let many = |setup: Setup| {
        setup.setting("clients.max_connections_per_address", "20000").setting("server.max_connections", "20000")
    };
    let scene = Scene::with(Stores::Embedded, |setup, _| many(setup).setting("clients.first_byte_timeout", "\"60s\""));
    let person = scene.person("ann");
    let slowest_of_most = || {
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
    let alone = slowest_of_most();
    let count = idle_connections();
    let idle: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(scene.addr()).unwrap()).collect();
    eventually("all are open", || {
        let metrics = scene.admin("/metrics").unwrap().text();
        let open = metrics.lines().find_map(|line| line.strip_prefix("menlou_connections "))?.trim().parse::<usize>();
        (open.unwrap() >= count).then_some(())
    });
    let among = slowest_of_most();
    assert!(among < 3 * alone + Duration::from_millis(20), "{alone:?} alone, {among:?} among {count}");
    drop(idle);
    eventually("they are gone", || {
        let metrics = scene.admin("/metrics").unwrap().text();
        metrics.contains("menlou_connections 0").then_some(())
    });
}
