//! SIGTERM: requests in flight are answered, new connections are not accepted, the process exits with success in time.

use crate::scene::{Scene, Stores};
use menlou_harness::http;
use menlou_simulator::Failure;
use std::{
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};

const EXCHANGE: &str = "/sns/jscode2session";

#[test]
fn requests_in_flight_are_answered_before_exit() {
    let mut scene = Scene::new(Stores::Embedded);
    scene.sim.fail_until_cleared(EXCHANGE, Failure::delay(Duration::from_secs(1)));
    let (client, codes) = (scene.client(), [scene.sim.code("ann"), scene.sim.code("bob")]);
    let responses = thread::scope(|scope| {
        let client = &client;
        let calls: Vec<_> =
            codes.iter().map(|code| scope.spawn(move || client.call("openid", &[("code", code)]))).collect();
        crate::scene::eventually("both are in flight", || (scene.sim.calls(EXCHANGE) == 2).then_some(()));
        let start = Instant::now();
        assert_eq!(scene.gateway.terminate().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        calls.into_iter().map(|call| call.join().expect("a response")).collect::<Vec<_>>()
    });
    let tokens: Vec<&str> =
        responses.iter().map(|response| response.ok().pointer("/session/token").unwrap().as_str().unwrap()).collect();
    assert!(client.try_call("openid", &[]).is_err(), "no new connection is accepted");

    scene.sim.clear_failures();
    scene.gateway.restart();
    for token in tokens {
        client.with(token).call("user", &[]).assert_error(401, "login_required");
    }
}

#[test]
fn unfinished_requests_are_aborted_at_the_drain_timeout() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("server.drain_timeout", "\"1s\""));
    scene.sim.fail(EXCHANGE, Failure::hang(), 1);
    let (client, code) = (scene.client(), scene.sim.code("ann"));
    thread::scope(|scope| {
        let hanging = scope.spawn(|| client.try_call("openid", &[("code", &code)]));
        crate::scene::eventually("the request is in flight", || (scene.sim.calls(EXCHANGE) == 1).then_some(()));
        let start = Instant::now();
        assert_eq!(scene.gateway.terminate().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
        let _ = hanging.join();
    });
}

#[test]
fn idle_connections_do_not_delay_the_exit() {
    let mut scene = Scene::new(Stores::Embedded);
    let mut idle: Vec<_> = (0..3).map(|_| http::connect(scene.addr()).unwrap()).collect();
    let used = idle.last_mut().unwrap();
    used.write_all(b"POST /srv/?f=manulife&a=openid HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(http::read(used).unwrap().status, 400);
    let start = Instant::now();
    assert_eq!(scene.gateway.terminate().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    for stream in &mut idle {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "closed");
    }
}

#[test]
fn readiness_fails_before_connections_are_rejected() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("server.drain_delay", "\"2s\""));
    assert_eq!(scene.readiness().0, 200);
    let start = Instant::now();
    scene.gateway.send_sigterm();
    crate::scene::eventually("readiness fails", || (scene.readiness().0 == 503).then_some(()));
    assert_eq!(scene.readiness().1["stopping"], true);
    scene.client().call("user", &[]).assert_error(401, "login_required");
    crate::scene::eventually("the process has exited", || (!scene.gateway.is_running()).then_some(()));
    assert!((2..8).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}
