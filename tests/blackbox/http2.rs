//! HTTP/2: concurrent requests on one connection, idle and slow clients, shutdown, and floods of frames.

use crate::{
    http2_frames::{
        CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
        frame,
    },
    scene::{Scene, Stores, TENANT, eventually},
};
use h2::{RecvStream, client};
use http::{Request, Response};
use menlou_harness::{
    Envelope, Gateway, Upstream,
    http::{self as http1, Response as Http1Response},
};
use menlou_simulator::Failure;
use std::{
    collections::BTreeSet,
    future::Future,
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

/// Payload of RST_STREAM with the code REFUSED_STREAM.
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
const TIMEOUT: Duration = Duration::from_secs(20);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(TIMEOUT * 3, test).await.expect("in time") })
}

/// An HTTP/2 connection with prior knowledge and these settings of the client. The task ends when the connection is closed.
async fn connect(gateway: &Gateway, settings: client::Builder) -> (client::SendRequest<bytes::Bytes>, JoinHandle<()>) {
    let stream = TcpStream::connect(gateway.addr()).await.unwrap();
    let (sender, connection) = settings.handshake(stream).await.unwrap();
    (sender, tokio::spawn(async move { drop(connection.await) }))
}

fn post(action: &str) -> http::request::Builder {
    Request::post(format!("http://a/srv/?f={TENANT}&a={action}"))
}

async fn read_envelope(response: Response<RecvStream>) -> Envelope {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        bytes.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len()).unwrap();
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
    Ok(read_envelope(response.await?).await)
}

#[test]
fn requests_run_concurrently_on_one_connection() {
    let scene = Scene::new(Stores::Embedded);
    let code = scene.sim.code("ann");
    scene.secrets().add(&code);
    scene.sim.fail("/sns/jscode2session", Failure::delay(Duration::from_millis(500)), 1);
    run(async {
        let (sender, _) = connect(&scene, client::Builder::new()).await;
        let slow = call(&sender, Request::post(format!("http://a/srv/{TENANT}/openid?code={code}")));
        let quick = async {
            for _ in 0..50 {
                call(&sender, post("user")).await.unwrap().assert_error(401, "login_required");
            }
            Instant::now()
        };
        let ((slow, slow_at), quick_at) = tokio::join!(async { (slow.await.unwrap(), Instant::now()) }, quick);
        scene.secrets().add(slow.token().expect("a token"));
        assert!(quick_at < slow_at, "a slow request delays no other");
        // A host that differs from the authority, the same host, and a target that is too long.
        call(&sender, post("user").header("host", "b")).await.unwrap().assert_error(400, "bad_request");
        call(&sender, post("user").header("host", "A")).await.unwrap().assert_error(401, "login_required");
        let long = format!("http://a/srv/?f={}", "x".repeat(9000));
        call(&sender, Request::post(long)).await.unwrap().assert_error(414, "uri_too_long");
    });
}

#[test]
fn connection_closes_after_max_requests() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("clients.max_requests_per_connection", "3"));
    run(async {
        let (sender, connection) = connect(&scene, client::Builder::new()).await;
        for _ in 0..3 {
            call(&sender, post("user")).await.unwrap().assert_error(401, "login_required");
        }
        timeout(TIMEOUT, connection).await.expect("the gateway closes the connection").unwrap();
        assert!(call(&sender, post("user")).await.is_err(), "a fourth request is served");
    });
}

#[test]
fn idle_and_slow_connections_are_closed() {
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
    let is_closed = |reason: &str| {
        let line = format!("menlou_connections_closed_total{{reason=\"{reason}\"}}");
        scene.admin("/metrics").unwrap().text().lines().any(|l| l.starts_with(&line))
    };
    run(async {
        // A body that stops before its end. The connection stays open for other requests.
        let (sender, _) = connect(&scene, client::Builder::new()).await;
        let mut ready = sender.clone().ready().await.unwrap();
        let request = post("user").header("content-type", "application/json").body(()).unwrap();
        let (response, mut body) = ready.send_request(request, false).unwrap();
        body.send_data("{".into(), false).unwrap();
        read_envelope(response.await.unwrap()).await.assert_error(408, "request_timeout");
        call(&sender, post("user")).await.unwrap().assert_error(401, "login_required");
        // Now the connection is idle.
        eventually("the idle connection is closed", || is_closed("idle").then_some(()));
        // Responses, complete and streamed, for which the client opens no flow-control window.
        for target in [format!("/srv/{TENANT}/user"), format!("/srv/{TENANT}/files/download?10000000")] {
            let mut small = client::Builder::new();
            small.initial_window_size(0);
            let mut sender = connect(&scene, small).await.0.ready().await.unwrap();
            let request = Request::get(format!("http://a{target}")).body(()).unwrap();
            let (response, _) = sender.send_request(request, true).unwrap();
            let (_, mut body) = response.await.unwrap().into_parts();
            assert!(
                timeout(TIMEOUT, body.data()).await.expect("closed").is_none_or(|chunk| chunk.is_err()),
                "{target}"
            );
        }
    });
    assert!(is_closed("slow_reader"));
    eventually("no connection is left", || {
        scene.admin("/metrics").unwrap().text().contains("menlou_connections 0").then_some(())
    });
}

#[test]
fn requests_in_flight_finish_before_shutdown() {
    let mut scene = Scene::new(Stores::Embedded);
    scene.sim.fail_until_cleared("/sns/jscode2session", Failure::delay(Duration::from_secs(1)));
    let code = scene.sim.code("ann");
    scene.secrets().add(&code);
    let response = thread::scope(|scope| {
        let request = scope.spawn(|| {
            run(async {
                let (sender, _) = connect(&scene, client::Builder::new()).await;
                call(&sender, Request::post(format!("http://a/srv/{TENANT}/openid?code={code}"))).await
            })
        });
        eventually("the request is in flight", || (scene.sim.calls("/sns/jscode2session") > 0).then_some(()));
        scene.gateway.send_sigterm();
        request.join().unwrap()
    });
    scene.secrets().add(response.unwrap().token().expect("a token"));
    eventually("the gateway has ended", || (!scene.gateway.is_running()).then_some(()));
}

/// `GET /` with the authority `a`, in HPACK without the dynamic table.
fn head() -> Vec<u8> {
    // :method GET, :scheme http, :path /, and :authority as a literal.
    [&[0x82, 0x86, 0x84, 0x41, 1][..], b"a"].concat()
}

/// A frame that the gateway has sent.
#[derive(Debug)]
struct Received {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// Sends these frames on a new connection. Returns the frames received until `is_complete`, or until the connection is
/// closed.
fn exchange(scene: &Scene, frames: &[u8], is_complete: impl Fn(&[Received]) -> bool) -> Vec<Received> {
    let mut stream = http1::connect(scene.addr()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    thread::scope(|scope| {
        // The write fails if the gateway closes the connection meanwhile, which some cases expect.
        scope.spawn(move || writer.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), frames].concat()));
        let (mut received, mut head) = (Vec::new(), [0; 9]);
        while !is_complete(&received) && stream.read_exact(&mut head).is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if stream.read_exact(&mut payload).is_err() {
                break;
            }
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            received.push(Received { kind: head[3], stream, payload });
        }
        received
    })
}

#[test]
fn frame_flood_closes_only_its_own_connection() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("clients.keep_alive_timeout", "\"5s\""));
    let streams =
        |frames: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> { (0..20_000).flat_map(|n| frames(2 * n + 1)).collect() };
    let resets = streams(&|id| {
        [frame(HEADERS, END_STREAM | END_HEADERS, id, &head()), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
    });
    // The window of each stream overflows, so the server resets the stream.
    let errors = streams(&|id| {
        [frame(HEADERS, END_HEADERS, id, &head()), frame(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes())].concat()
    });
    let mut endless = frame(HEADERS, END_STREAM, 1, &head());
    for _ in 0..20_000 {
        endless.extend(frame(CONTINUATION, 0, 1, &[[0x40, 1, b'x', 1, b'y'].as_slice(); 100].concat()));
    }
    for (case, frames, has_goaway) in [
        ("rapid resets", resets, true),
        ("resets caused at the server", errors, true),
        ("a head without an end", endless, true),
        (
            "empty CONTINUATION frames",
            [frame(HEADERS, END_STREAM, 1, &head()), frame(CONTINUATION, 0, 1, &[]).repeat(50_000)].concat(),
            true,
        ),
        // The guard closes these connections without GOAWAY.
        ("pings", frame(PING, 0, 0, &[0; 8]).repeat(50_000), false),
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(50_000), false),
    ] {
        let began = Instant::now();
        let received = exchange(&scene, &frames, |_| false);
        assert!(began.elapsed() < TIMEOUT, "{case}: {:?}", began.elapsed());
        assert!(received.iter().any(|frame| frame.kind == GOAWAY) || !has_goaway, "{case}: no GOAWAY");
        scene.client().call("user", &[]).assert_error(401, "login_required");
    }
    let metrics = scene.admin("/metrics").unwrap().text();
    assert!(metrics.contains("menlou_connections_closed_total{reason=\"flood\"} 2"), "{metrics}");
    let log = scene.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn streams_beyond_max_streams_are_reset() {
    let scene = Scene::with(Stores::Embedded, |setup, _| {
        setup.setting("http2.max_streams", "5").setting("server.call_timeout", "\"5s\"")
    });
    scene.sim.fail_until_cleared("/sns/jscode2session", Failure::hang());
    let codes: Vec<_> = (0..10).map(|n| scene.sim.code(&format!("person-{n}"))).collect();
    codes.iter().for_each(|code| scene.secrets().add(code));
    let mut frames = Vec::new();
    for (n, code) in (0_u32..).zip(&codes) {
        let path = format!("/srv/{TENANT}/openid?code={code}");
        // :method POST, :scheme http, :path and :authority as literals.
        let head = [&[0x83, 0x86, 0x44, u8::try_from(path.len()).unwrap()][..], path.as_bytes(), &[0x41, 1], b"a"];
        frames.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &head.concat()));
    }
    let streams = |received: &[Received], kind: u8| -> BTreeSet<u32> {
        received.iter().filter(|frame| frame.kind == kind).map(|frame| frame.stream).collect()
    };
    // Every stream ends with a reset or a response.
    let is_complete =
        |received: &[Received]| streams(received, RST_STREAM).union(&streams(received, HEADERS)).count() == codes.len();
    let received = thread::scope(|scope| {
        let requests = scope.spawn(|| exchange(&scene, &frames, is_complete));
        eventually("five requests are in flight", || (scene.sim.calls("/sns/jscode2session") == 5).then_some(()));
        requests.join().unwrap()
    });
    assert_eq!(streams(&received, RST_STREAM), [11, 13, 15, 17, 19].into(), "{received:?}");
    assert_eq!(streams(&received, HEADERS), [1, 3, 5, 7, 9].into(), "{received:?}");
    let mut resets = received.iter().filter(|frame| frame.kind == RST_STREAM);
    assert!(resets.all(|frame| frame.payload == REFUSED_STREAM), "{received:?}");
    // All ten streams have ended, so no further request can reach the platform.
    assert_eq!(scene.sim.calls("/sns/jscode2session"), 5);
}

#[test]
fn preface_is_rejected_while_http2_is_disabled() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("http2.enabled", "false"));
    let mut stream = http1::connect(scene.addr()).unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    Envelope::parse(http1::read(&mut stream).unwrap()).assert_error(400, "bad_request");
}
