//! SIGTERM: calls in flight end, nothing new is taken, the process ends in time with success.

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
fn calls_in_flight_are_answered_before_it_ends() {
    let mut scene = Scene::new(Stores::Embedded);
    scene.sim.fail_until_cleared(EXCHANGE, Failure::delay(Duration::from_secs(1)));
    let (client, codes) = (scene.client(), [scene.sim.code("ann"), scene.sim.code("bob")]);
    let answers = thread::scope(|scope| {
        let client = &client;
        let calls: Vec<_> =
            codes.iter().map(|code| scope.spawn(move || client.call("openid", &[("code", code)]))).collect();
        crate::scene::eventually("both are in flight", || (scene.sim.calls(EXCHANGE) == 2).then_some(()));
        let begun = Instant::now();
        assert_eq!(scene.gateway.terminate().code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        calls.into_iter().map(|call| call.join().expect("an answer")).collect::<Vec<_>>()
    });
    let tokens: Vec<&str> =
        answers.iter().map(|answer| answer.ok().pointer("/session/token").unwrap().as_str().unwrap()).collect();
    assert!(client.try_call("openid", &[]).is_err(), "nothing new is taken");

    scene.sim.clear_failures();
    scene.gateway.restart();
    for token in tokens {
        client.with(token).call("user", &[]).assert_error(401, "login_required");
    }
}

#[test]
fn what_does_not_end_is_given_up_at_the_end_of_the_drain() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("server.drain_timeout", "\"1s\""));
    scene.sim.fail(EXCHANGE, Failure::hang(), 1);
    let (client, code) = (scene.client(), scene.sim.code("ann"));
    thread::scope(|scope| {
        let hanging = scope.spawn(|| client.try_call("openid", &[("code", &code)]));
        crate::scene::eventually("it is in flight", || (scene.sim.calls(EXCHANGE) == 1).then_some(()));
        let begun = Instant::now();
        assert_eq!(scene.gateway.terminate().code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
        let _ = hanging.join();
    });
}

#[test]
fn idle_connections_keep_nobody_waiting() {
    let mut scene = Scene::new(Stores::Embedded);
    let mut idle: Vec<_> = (0..3).map(|_| http::connect(scene.addr()).unwrap()).collect();
    let used = idle.last_mut().unwrap();
    used.write_all(b"POST /srv/?f=manulife&a=openid HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(http::read(used).unwrap().status, 400);
    let begun = Instant::now();
    assert_eq!(scene.gateway.terminate().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for stream in &mut idle {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "closed");
    }
}

#[test]
fn readiness_ends_before_connections_are_no_longer_taken() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("server.drain_delay", "\"2s\""));
    assert_eq!(scene.readiness().0, 200);
    let begun = Instant::now();
    scene.gateway.send_sigterm();
    crate::scene::eventually("it is told", || (scene.readiness().0 == 503).then_some(()));
    assert_eq!(scene.readiness().1["stopping"], true);
    scene.client().call("user", &[]).assert_error(401, "login_required");
    crate::scene::eventually("it has ended", || (!scene.gateway.is_running()).then_some(()));
    assert!((2..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}
