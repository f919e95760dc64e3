//! The admin listener: plain HTTP on the loopback address only, TLS with reloaded certificates, deadlines, bounds.

use crate::scene::eventually;
use menlou_harness::{
    Gateway, GatewayFolder, Setup,
    artifacts::binary,
    http::{self, Request},
    process::{Process, free_port, loopback},
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

fn home(settings: &[(&str, &str)]) -> GatewayFolder {
    GatewayFolder::new(settings.iter().fold(Setup::default(), |setup, (name, value)| setup.setting(name, *value)))
}

#[test]
fn public_admin_address_requires_tls_or_explicit_permission() {
    for listen in ["\"0.0.0.0:8081\"", "\"[::]:8081\"", "\"192.0.2.7:8081\""] {
        for command in ["run", "validate"] {
            let output = home(&[("admin.listen", listen)]).command(&[command], b"");
            let output_text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success(), "{command} {listen}");
            assert!(output_text.contains("allow_plain_http") && output_text.contains("menlou.toml:2"), "{output_text}");
        }
        let allowed = home(&[("admin.listen", listen), ("admin.allow_plain_http", "true")]);
        let output = allowed.command(&["validate"], b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for listen in ["\"127.0.0.9:8081\"", "\"[::1]:8081\""] {
        assert!(home(&[("admin.listen", listen)]).command(&["validate"], b"").status.success(), "{listen}");
    }
    let half = home(&[("admin.tls_cert", "\"admin.pem\"")]).command(&["validate"], b"");
    assert!(!half.status.success() && String::from_utf8_lossy(&half.stderr).contains("must be set together"));
}

#[test]
fn unusable_certificate_is_a_config_error() {
    let home = home(&[("admin.tls_cert", "\"admin.pem\""), ("admin.tls_key", "\"admin.key\"")]);
    for command in ["run", "validate"] {
        let output = home.command(&[command], b"");
        let output_text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output_text.contains("admin.pem for TLS"), "{command}: {output_text}");
    }
    certify(home.path(), "one");
    fs::write(home.path().join("admin.pem"), "no certificate").unwrap();
    let output = home.command(&["validate"], b"");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("it contains no certificate"));
}

#[test]
fn new_certificate_is_loaded_and_an_invalid_one_is_not() {
    let home = home(&[("admin.tls_cert", "\"admin.pem\""), ("admin.tls_key", "\"admin.key\"")]);
    let first = certify(home.path(), "one");
    let (traffic, admin) = (loopback(free_port()), loopback(free_port()));
    let mut command = binary();
    command.current_dir(home.path()).env("MENLOU_LANG", "en").args(["run", "--config"]).arg(home.config());
    command.env("MENLOU_SERVER__LISTEN", traffic.to_string()).env("MENLOU_ADMIN__LISTEN", admin.to_string());
    let log = home.path().join("log");
    let _gateway = Process::start(&mut command, &log, "menlou");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The certificate of a new connection.
    let served = || {
        let request = async {
            let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).tls_info(true).no_proxy();
            let client = client.timeout(Duration::from_secs(5)).build().unwrap();
            let response = client.get(format!("https://{admin}/healthz")).send().await.ok()?;
            let certificate = response.extensions().get::<reqwest::tls::TlsInfo>()?.peer_certificate()?.to_vec();
            (response.text().await.ok()? == "ok\n").then_some(certificate)
        };
        runtime.block_on(request)
    };
    assert_eq!(eventually("the admin port serves TLS", served), first);
    let plain = Request::new("GET", "/healthz").send(admin);
    assert!(plain.is_err(), "no plain HTTP beside it");
    let second = certify(home.path(), "two");
    eventually("the new certificate is in use", || (served()? == second).then_some(()));
    fs::write(home.path().join("admin.key"), "no key").unwrap();
    let is_logged = || fs::read_to_string(&log).is_ok_and(|log| log.contains("the earlier certificates stay in use"));
    eventually("the invalid certificate is logged", || is_logged().then_some(()));
    assert_eq!(served(), Some(second));
}

#[test]
fn silent_slow_idle_and_unread_admin_connections_are_closed() {
    let second = |setup: Setup, name: &&str| setup.setting(name, "\"1s\"");
    let deadlines = ["server.header_timeout", "clients.first_byte_timeout", "clients.keep_alive_timeout"];
    let setup = deadlines.iter().chain(&["clients.response_write_timeout"]).fold(Setup::default(), second);
    let gateway = Gateway::start(setup);
    let (health, large) = ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n");
    let began = Instant::now();
    for (sent, responses) in [("", 0), ("GET", 1), ("GET /healthz HTTP/1.1\r\nHost:", 1), (health, 1)] {
        let mut stream = http::connect(gateway.admin_addr()).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap_or_else(|e| panic!("{sent:?} is not closed: {e}"));
        assert_eq!(all.matches("HTTP/1.1 ").count(), responses, "{sent:?}: {all}");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let mut unread = http::connect(gateway.admin_addr()).unwrap();
    unread.write_all(format!("{large}Host: localhost\r\n\r\n").repeat(50).as_bytes()).unwrap();
    let line = "menlou_connections_closed_total{reason=\"slow_reader\"} 1";
    eventually("the unread connection is closed", || {
        gateway.admin("/metrics").ok()?.text().contains(line).then_some(())
    });
    // Ambiguous requests are rejected here as well.
    let odd = http::send_raw(gateway.admin_addr(), health.replace("Host: a", "Host: a\r\nHost: b").as_bytes()).unwrap();
    assert_eq!((odd.status, odd.text().contains("bad_request")), (400, true), "{}", odd.text());
}

#[test]
fn requests_for_other_hosts_are_answered_with_421() {
    let setup = Setup::default().setting("admin.allowed_hosts", r#"["admin.example.com", "*.internal"]"#);
    let gateway = Gateway::start(setup);
    let port = gateway.admin_addr().port();
    let get = |path: &str, host: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Language: en\r\nConnection: close\r\n\r\n");
        http::send_raw(gateway.admin_addr(), request.as_bytes()).unwrap()
    };
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost.", "admin.example.com", "a.internal"] {
        assert_eq!(get("/healthz", host).status, 200, "{host}");
        assert_eq!(get("/healthz", &format!("{host}:{port}")).status, 200, "{host}");
    }
    for host in
        ["evil.example", "evil.example:80", "admin.example.com.evil.example", "internal", "192.0.2.1", "127.1", "a b"]
    {
        for path in ["/healthz", "/readyz", "/metrics", "/console/", "/console/sign-in", "/docs", "/api/v1/me", "/none"]
        {
            let refused = get(path, host);
            // The guard refuses what is no host at all.
            assert_eq!(refused.status, if host == "a b" { 400 } else { 421 }, "{host} {path}: {}", refused.text());
            if host != "a b" {
                let text = refused.text();
                assert!(text.contains("\"wrong_host\"") && text.contains("[admin] allowed_hosts"), "{text}");
            }
        }
    }
    // The host of an absolute target counts, as it does for routing.
    let absolute = "GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(http::send_raw(gateway.admin_addr(), absolute.as_bytes()).unwrap().status, 421);
    // Old health checkers send no host.
    let mut stream = http::connect(gateway.admin_addr()).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.0 200"), "{response}");
}

#[test]
fn one_address_cannot_use_all_admin_connections() {
    let gateway = Gateway::start(Setup::default());
    let open: Vec<TcpStream> = (0..300).map(|_| http::connect(gateway.admin_addr()).unwrap()).collect();
    // Connections beyond the limit of one address are closed immediately, long before the deadline of silent ones.
    let closed = || open.iter().filter(|stream| is_closed(stream)).count();
    eventually("connections beyond the limit are closed", || (closed() >= 300 - 128).then_some(()));
    let mut other = from([127, 0, 0, 2], gateway.admin_addr());
    other.write_all(&Request::new("GET", "/healthz").bytes()).unwrap();
    assert_eq!(http::read(&mut other).unwrap().status, 200);
}

/// A connection from this source address.
fn from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    let connecting = async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((address, 0).into())?;
        socket.connect(to).await?.into_std()
    };
    let stream = tokio::runtime::Runtime::new().unwrap().block_on(connecting).unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    !matches!(stream.peek(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

/// Creates a certificate. Returns it as DER.
fn certify(folder: &Path, name: &str) -> Vec<u8> {
    let run = |arguments: &[&str]| {
        let output =
            Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl (tests/tools.sh)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        &format!("/CN={name}"),
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "admin.key",
        "-out",
        "admin.pem",
    ]);
    run(&["x509", "-in", "admin.pem", "-outform", "DER"])
}
