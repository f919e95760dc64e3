//! HTTP/2: the same calls, many at once on a connection, and clients who would make it costly.

use crate::scene::{Scene, Stores, TENANT, eventually};
use h2::{RecvStream, client};
use http::{Request, Response};
use menlou_harness::{
    Envelope, Gateway, Upstream,
    http::{self as http1, Response as Http1Response},
};
use menlou_simulator::Failure;
use std::{
    future::Future,
    io::{Read, Write},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE * 3, test).await.expect("in time") })
}

/// A client that knows, with these settings of its own.
async fn connect(gateway: &Gateway, with: client::Builder) -> client::SendRequest<bytes::Bytes> {
    let stream = TcpStream::connect(gateway.addr()).await.unwrap();
    let (sender, connection) = with.handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender
}

fn post(action: &str) -> http::request::Builder {
    Request::post(format!("http://a/srv/?f={TENANT}&a={action}"))
}

async fn whole(response: Response<RecvStream>) -> Envelope {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        bytes.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    let text = |v: &http::HeaderValue| v.to_str().unwrap().to_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Envelope::parse(Http1Response { status: head.status.as_u16(), headers, body: bytes })
}

async fn call(
    sender: &client::SendRequest<bytes::Bytes>,
    request: http::request::Builder,
) -> Result<Envelope, h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let (response, _) = sender.send_request(request.body(()).unwrap(), true)?;
    Ok(whole(response.await?).await)
}

#[test]
fn calls_go_side_by_side_on_one_connection() {
    let scene = Scene::new(Stores::Embedded);
    let code = scene.sim.code("ann");
    scene.secrets().add(&code);
    scene.sim.fail("/sns/jscode2session", Failure::delay(Duration::from_millis(500)), 1);
    run(async {
        let sender = connect(&scene, client::Builder::new()).await;
        let slow = call(&sender, Request::post(format!("http://a/srv/{TENANT}/openid?code={code}")));
        let quick = async {
            for _ in 0..50 {
                call(&sender, post("user")).await.unwrap().assert_error(401, "login_required");
            }
            Instant::now()
        };
        let ((slow, slow_at), quick_at) = tokio::join!(async { (slow.await.unwrap(), Instant::now()) }, quick);
        scene.secrets().add(slow.token().expect("a token"));
        assert!(quick_at < slow_at, "the slow one keeps nobody waiting");
        // Two hosts, and a target beyond the bound.
        call(&sender, post("user").header("host", "b")).await.unwrap().assert_error(400, "bad_request");
        call(&sender, post("user").header("host", "A")).await.unwrap().assert_error(401, "login_required");
        let long = format!("http://a/srv/?f={}", "x".repeat(9000));
        call(&sender, Request::post(long)).await.unwrap().assert_error(414, "uri_too_long");
    });
}

#[test]
fn a_connection_brings_so_many_requests_and_no_more() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("clients.max_requests_per_connection", "3"));
    run(async {
        let sender = connect(&scene, client::Builder::new()).await;
        for _ in 0..3 {
            call(&sender, post("user")).await.unwrap().assert_error(401, "login_required");
        }
        eventually_ends(&sender).await;
    });
}

async fn eventually_ends(sender: &client::SendRequest<bytes::Bytes>) {
    let began = Instant::now();
    while call(sender, post("user")).await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "it goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn idle_and_slow_clients_are_let_go() {
    let upstream = Upstream::start();
    let table = format!(
        "\n[actions.files]\nplugin = \"proxy\"\nupstream = \"http://{}/\"\nauth = \"optional\"\n",
        upstream.addr()
    );
    let scene = Scene::with(Stores::Embedded, |mut setup, _| {
        setup.tenants.iter_mut().filter(|(name, _)| name == TENANT).for_each(|(_, file)| *file += &table);
        setup
            .setting("clients.keep_alive_timeout", "\"2s\"")
            .setting("clients.response_write_timeout", "\"1s\"")
            .setting("clients.body_idle_timeout", "\"1s\"")
    });
    let let_go = |why: &str| {
        let line = format!("menlou_connections_closed_total{{reason=\"{why}\"}}");
        scene.admin("/metrics").unwrap().text().lines().any(|l| l.starts_with(&line))
    };
    run(async {
        // A body that stops.
        let sender = connect(&scene, client::Builder::new()).await;
        let mut ready = sender.clone().ready().await.unwrap();
        let request = post("user").header("content-type", "application/json").body(()).unwrap();
        let (response, mut body) = ready.send_request(request, false).unwrap();
        body.send_data("{".into(), false).unwrap();
        whole(response.await.unwrap()).await.assert_error(408, "request_timeout");
        call(&sender, post("user")).await.unwrap().assert_error(401, "login_required");
        // Nothing more.
        eventually("the idle one is gone", || let_go("idle").then_some(()));
        // Answers that are given no room, a whole one and a streamed one.
        for target in [format!("/srv/{TENANT}/user"), format!("/srv/{TENANT}/files/download?10000000")] {
            let mut small = client::Builder::new();
            small.initial_window_size(0);
            let mut sender = connect(&scene, small).await.ready().await.unwrap();
            let request = Request::get(format!("http://a{target}")).body(()).unwrap();
            let (response, _) = sender.send_request(request, true).unwrap();
            let (_, mut body) = response.await.unwrap().into_parts();
            assert!(
                timeout(PATIENCE, body.data()).await.expect("let go").is_none_or(|piece| piece.is_err()),
                "{target}"
            );
        }
    });
    assert!(let_go("slow_reader"));
    eventually("no connection is left", || {
        scene.admin("/metrics").unwrap().text().contains("menlou_connections 0").then_some(())
    });
}

#[test]
fn calls_in_flight_are_answered_before_it_ends() {
    let mut scene = Scene::new(Stores::Embedded);
    scene.sim.fail_until_cleared("/sns/jscode2session", Failure::delay(Duration::from_secs(1)));
    let code = scene.sim.code("ann");
    scene.secrets().add(&code);
    let answer = run(async {
        let sender = connect(&scene, client::Builder::new()).await;
        let request = Request::post(format!("http://a/srv/{TENANT}/openid?code={code}"));
        let stopping = async {
            while scene.sim.calls("/sns/jscode2session") == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            scene.gateway.send_sigterm();
        };
        tokio::join!(call(&sender, request), stopping).0
    });
    scene.secrets().add(answer.unwrap().token().expect("a token"));
    eventually("it has ended", || (!scene.gateway.is_running()).then_some(()));
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET /` at `a`, in HPACK without any table.
fn head() -> Vec<u8> {
    // :method GET, :scheme http, :path /, and :authority as a literal.
    [&[0x82, 0x86, 0x84, 0x41, 1][..], b"a"].concat()
}

/// Sends these frames and gives the kinds of those that come until the connection is closed, each once.
fn kinds(scene: &Scene, frames: &[u8]) -> Vec<u8> {
    let mut stream = http1::connect(scene.addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reading = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut kinds = Vec::new();
        let mut head = [0; 9];
        while reading.read_exact(&mut head).is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if reading.read_exact(&mut payload).is_err() {
                break;
            }
            if !kinds.contains(&head[3]) {
                kinds.push(head[3]);
            }
        }
        kinds
    });
    // Where it is closed in the middle, that is the point.
    let _ = stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), frames].concat());
    reader.join().unwrap()
}

#[test]
fn floods_end_their_own_connection_and_hurt_nobody_else() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("clients.keep_alive_timeout", "\"5s\""));
    let streams = |more: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> { (0..20_000).flat_map(|n| more(2 * n + 1)).collect() };
    let resets = streams(&|id| [frame(HEADERS, 5, id, &head()), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat());
    // Each makes the server reset the stream: its window overflows.
    let errors =
        streams(&|id| [frame(HEADERS, 4, id, &head()), frame(8, 0, id, &0x7fff_ffff_u32.to_be_bytes())].concat());
    let mut endless = frame(HEADERS, 1, 1, &head());
    for _ in 0..20_000 {
        endless.extend(frame(CONTINUATION, 0, 1, &[[0x40, 1, b'x', 1, b'y'].as_slice(); 100].concat()));
    }
    for (what, frames, told) in [
        ("rapid resets", resets, true),
        ("resets that the server is made to send", errors, true),
        ("a head without an end", endless, true),
        (
            "an empty flood of CONTINUATION",
            [frame(HEADERS, 1, 1, &head()), frame(CONTINUATION, 0, 1, &[]).repeat(50_000)].concat(),
            true,
        ),
        // These are cut off.
        ("pings", frame(PING, 0, 0, &[0; 8]).repeat(50_000), false),
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(50_000), false),
    ] {
        let began = Instant::now();
        let kinds = kinds(&scene, &frames);
        assert!(began.elapsed() < PATIENCE, "{what}: {:?}", began.elapsed());
        assert!(kinds.contains(&GOAWAY) || !told, "{what}: {kinds:?}");
        scene.client().call("user", &[]).assert_error(401, "login_required");
    }
    let metrics = scene.admin("/metrics").unwrap().text();
    assert!(metrics.contains("menlou_connections_closed_total{reason=\"flood\"} 2"), "{metrics}");
    let log = scene.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn streams_beyond_the_bound_are_refused_and_the_rest_served() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("http2.max_streams", "5"));
    scene.sim.fail_until_cleared("/sns/jscode2session", Failure::hang());
    let codes: Vec<_> = (0..10).map(|n| scene.sim.code(&format!("person-{n}"))).collect();
    codes.iter().for_each(|code| scene.secrets().add(code));
    let mut frames = Vec::new();
    for (n, code) in (0_u32..).zip(&codes) {
        let path = format!("/srv/{TENANT}/openid?code={code}");
        // :method POST, :scheme http, :path and :authority as literals.
        let head = [&[0x83, 0x86, 0x44, u8::try_from(path.len()).unwrap()][..], path.as_bytes(), &[0x41, 1], b"a"];
        frames.extend(frame(HEADERS, 5, 2 * n + 1, &head.concat()));
    }
    let kinds = std::thread::scope(|scope| {
        let asking = scope.spawn(|| kinds(&scene, &frames));
        eventually("some are in flight", || (scene.sim.calls("/sns/jscode2session") >= 1).then_some(()));
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(scene.sim.calls("/sns/jscode2session"), 5);
        asking.join().unwrap()
    });
    assert!(kinds.contains(&RST_STREAM), "{kinds:?}");
}

#[test]
fn where_it_is_switched_off_nobody_speaks_it() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("http2.enabled", "false"));
    let mut stream = http1::connect(scene.addr()).unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    Envelope::parse(http1::read(&mut stream).unwrap()).assert_error(400, "bad_request");
}
