//! Bodies that plugins in Rust and in C read and write chunk by chunk, and responses that a plugin does not complete.

use crate::scene::{eventually, setup, simulator};
use menlou_harness::{
    Gateway,
    artifacts::plugin_library,
    http::{self, Request, Response},
};
use menlou_simulator::Simulator;
use std::{
    fs, io,
    io::{Read, Write},
    path::Path,
    process::Command,
    thread,
};

const MIB: usize = 1 << 20;

/// A gateway with the plugin `rogue` and one in C.
fn scene() -> (Gateway, Simulator) {
    let sim = simulator();
    let base = sim.base_url();
    let tenant = format!(
        "name = \"Streams\"\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"demo-secret\"\nbase_url = \"{base}\"\n\
         [actions.streams]\n[actions.give_back]\n[actions.begin]\n[actions.echo]\n"
    );
    let setup = setup(&sim, None, None).tenant("shop", tenant).setting("server.call_timeout", "\"1s\"");
    let gateway = Gateway::start(setup);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-I"])
        .args([&root.join("plugins/abi"), &root.join("tests/blackbox/streams.c")])
        .arg("-o")
        .arg(gateway.plugins().join("streams.so"))
        .output()
        .expect("a C compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    fs::copy(plugin_library("rogue"), gateway.plugins().join("rogue.so")).expect("a copy");
    eventually("the plugins are loaded", || {
        let served = |a| call(&gateway, a, "?n=3").is_ok_and(|response| response.status == 200);
        (served("streams") && served("begin")).then_some(())
    });
    (gateway, sim)
}

fn call(gateway: &Gateway, action: &str, query: &str) -> io::Result<Response> {
    Request::post(format!("/srv/shop/{action}{query}")).send(gateway.addr())
}

#[test]
fn a_large_body_is_sent_back_while_it_is_received() {
    let (gateway, _sim) = scene();
    for action in ["streams", "give_back"] {
        let mut stream = http::connect(gateway.addr()).expect("a connection");
        let mut writer = stream.try_clone().expect("a second handle");
        let size = 64 * MIB;
        let head = format!(
            "POST /srv/shop/{action} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
        );
        let sending = thread::spawn(move || {
            writer.write_all(head.as_bytes()).expect("sent");
            for i in 0..64_u8 {
                writer.write_all(&vec![i; MIB]).expect("sent");
            }
        });
        let (mut sums, mut bytes, mut chunk) = ([0_usize; 64], 0, vec![0; MIB]);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the head");
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200") && head.contains("application/octet-stream"), "{head}");
        loop {
            match stream.read(&mut chunk).expect("more") {
                0 => break,
                n => {
                    bytes += n;
                    for b in &chunk[..n] {
                        if let Some(sum) = sums.get_mut(usize::from(*b)) {
                            *sum += 1;
                        }
                    }
                }
            }
        }
        sending.join().expect("all sent");
        // The count includes the digits of the chunk sizes.
        assert!(bytes >= size && sums.iter().take(10).all(|sum| *sum >= MIB), "{action}: {bytes}");
    }
}

#[test]
fn a_response_that_fails_in_the_middle_is_aborted_and_others_are_not_affected() {
    let (gateway, _sim) = scene();
    for (n, why) in
        [(0, "error -5"), (1, "the plugin wrote no chunk of the response for too long"), (2, "the plugin panicked")]
    {
        let outcome = call(&gateway, "begin", &format!("?n={n}"));
        // The last chunk is missing, so that clients can see that the response is incomplete.
        let is_complete = outcome.as_ref().is_ok_and(|a| a.body.ends_with(b"0\r\n\r\n"));
        assert!(!is_complete, "{n}: {outcome:?}");
        eventually("the cause is in the log", || gateway.log().contains(why).then_some(()));
        assert_eq!(call(&gateway, "echo", "?n=1").expect("a response").status, 200);
    }
}

#[test]
fn a_response_starts_once_and_its_chunks_keep_their_order() {
    let (gateway, _sim) = scene();
    for (n, wanted) in [(3, "begun once"), (4, "begun by three at once")] {
        let response = call(&gateway, "begin", &format!("?n={n}")).expect("a response");
        assert_eq!(response.header("content-type"), Some("text/plain"));
        let text: String = response.text().split("\r\n").skip(1).step_by(2).collect();
        assert_eq!(text, wanted);
    }
}

#[test]
fn a_call_that_writes_a_response_ends_when_the_client_closes_the_connection() {
    let (gateway, _sim) = scene();
    let mut stream = http::connect(gateway.addr()).expect("a connection");
    let head = "POST /srv/shop/give_back HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&vec![b'x'; MIB]).expect("sent");
    drop(stream);
    eventually("the connection is closed", || {
        gateway.admin("/metrics").ok()?.text().contains("menlou_connections 0").then_some(())
    });
    assert_eq!(call(&gateway, "echo", "?n=1").expect("a response").status, 200);
}
