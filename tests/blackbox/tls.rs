//! TLS on the traffic port: certificates by host name, taken up again when they change, and clients with their own.

use crate::scene::{Scene, Stores, eventually};
use menlou_harness::{Envelope, Gateway, http};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const POST: &str = "POST /srv/?f=manulife&a=user HTTP/1.1\r\nHost: a\r\n\r\n";

/// A folder with an authority of its own and what it signs.
struct TestCa(TempDir);

impl TestCa {
    fn new() -> Self {
        let this = Self(TempDir::with_prefix("menlou-tls-").unwrap());
        let subject = ["-subj", "/CN=Tests", "-addext", "basicConstraints=critical,CA:TRUE"];
        this.openssl(&[&["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"], &subject[..]].concat());
        this
    }

    /// Signs a certificate for these names; its files are `<file>.pem` and `<file>.key`.
    fn sign(&self, file: &str, names: &[&str]) {
        let [pem, key, draft] = ["pem", "key", "draft"].map(|end| format!("{file}.{end}"));
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let names = format!("subjectAltName={}", names.join(","));
        let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=host", "-addext", &names];
        let own = ["-addext", "basicConstraints=critical,CA:FALSE"];
        self.openssl(&[&["req", "-x509", "-keyout", &key, "-out", &draft, "-days", "2"], &by[..], &own[..]].concat());
        fs::rename(self.path(&draft), self.path(&pem)).unwrap();
    }

    fn openssl(&self, arguments: &[&str]) {
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let output = Command::new("openssl")
            .current_dir(self.0.path())
            .args(arguments)
            .args(new_key)
            .output()
            .expect("openssl (tests/tools.sh)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join(file)
    }

    /// The setting that names the certificates of these files.
    fn certificates(&self, files: &[&str]) -> String {
        let one = |file: &&str| {
            format!(
                "{{ cert = {:?}, key = {:?} }}",
                self.path(&format!("{file}.pem")),
                self.path(&format!("{file}.key"))
            )
        };
        format!("[{}]", files.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// A client that trusts this authority, with a certificate of its own or none.
    fn client(&self, own: Option<&str>, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(pem(&self.path("ca.pem"))).unwrap();
        let builder = ClientConfig::builder_with_provider(default_provider().into());
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{file}.key"))).unwrap();
                builder.with_client_auth_cert(vec![pem(&self.path(&format!("{file}.pem")))], key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        config.into()
    }
}

fn pem(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).unwrap()
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection that believes to be with this host.
fn connect(gateway: &Gateway, client: &Arc<ClientConfig>, host: &str) -> io::Result<Stream> {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let connection = ClientConnection::new(client.clone(), host).unwrap();
    let mut stream = StreamOwned::new(connection, http::connect(gateway.addr())?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Asks over TLS and is told to log in.
fn is_served(mut stream: Stream) -> io::Result<()> {
    stream.write_all(POST.as_bytes())?;
    Envelope::parse(http::read(&mut stream)?).assert_error(401, "login_required");
    Ok(())
}

fn scene(authority: &TestCa, files: &[&str], more: &[(&str, String)]) -> Scene {
    Scene::with(Stores::Embedded, |setup, _| {
        let setup = setup.setting("tls.certificates", authority.certificates(files));
        more.iter().fold(setup, |setup, (name, value)| setup.setting(name, value))
    })
}

#[test]
fn each_host_name_has_its_certificate_and_any_other_the_first() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    authority.sign("two", &["Two.example.com", "*.two.example.com"]);
    let scene = scene(&authority, &["one", "two"], &[]);
    let client = authority.client(None, &["http/1.1"]);
    for (host, file) in [
        ("one.example.com", "one"),
        ("two.example.com", "two"),
        ("TWO.example.com", "two"),
        ("any.two.example.com", "two"),
    ] {
        let stream = connect(&scene, &client, host).unwrap_or_else(|e| panic!("{host}: {e}"));
        assert_eq!(stream.conn.peer_certificates().unwrap()[0], pem(&authority.path(&format!("{file}.pem"))), "{host}");
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        is_served(stream).unwrap();
    }
    for host in ["other.example.com", "far.any.two.example.com"] {
        let e = connect(&scene, &client, host).map(drop).unwrap_err().to_string();
        assert!(e.contains("NotValidForName") || e.contains("not valid for name"), "the first, which doesn't fit: {e}");
    }
    let both = authority.client(None, &["http/1.1", "h2"]);
    let stream = connect(&scene, &both, "one.example.com").unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]), "the better of the two");
    // Whoever speaks no TLS has nothing to say here, and nobody else notices.
    let mut plain = http::connect(scene.addr()).unwrap();
    plain.write_all(POST.as_bytes()).unwrap();
    let mut all = Vec::new();
    let _ = plain.read_to_end(&mut all);
    assert!(!all.starts_with(b"HTTP"), "{all:?}");
    is_served(connect(&scene, &authority.client(None, &[]), "one.example.com").unwrap()).unwrap();
}

#[test]
fn changed_certificates_are_taken_up_and_bad_ones_are_not() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    let scene = scene(&authority, &["one"], &[]);
    let client = authority.client(None, &[]);
    let mut kept = connect(&scene, &client, "one.example.com").unwrap();
    let good = fs::read(authority.path("one.pem")).unwrap();
    for bad in [&b"no certificate"[..], b"", &good[..good.len() / 2]] {
        fs::write(authority.path("one.pem"), bad).unwrap();
        eventually("the error is logged", || {
            scene.log().contains("the earlier certificates stay in use").then_some(())
        });
        is_served(connect(&scene, &client, "one.example.com").unwrap()).unwrap();
    }
    authority.sign("one", &["renewed.example.com"]);
    eventually("the new one serves", || connect(&scene, &client, "renewed.example.com").ok().map(is_served)).unwrap();
    kept.write_all(POST.as_bytes()).unwrap();
    assert_eq!(http::read(&mut kept).unwrap().status, 401, "what was open goes on");
}

#[test]
fn where_clients_need_a_certificate_no_other_is_served() {
    let (authority, stranger) = (TestCa::new(), TestCa::new());
    authority.sign("one", &["one.example.com"]);
    authority.sign("client", &["client"]);
    stranger.sign("client", &["client"]);
    fs::copy(stranger.path("client.pem"), authority.path("strange.pem")).unwrap();
    fs::copy(stranger.path("client.key"), authority.path("strange.key")).unwrap();
    let scene = scene(&authority, &["one"], &[("tls.client_ca", format!("{:?}", authority.path("ca.pem")))]);
    for (own, served) in [(Some("client"), true), (None, false), (Some("strange"), false)] {
        let outcome = connect(&scene, &authority.client(own, &[]), "one.example.com").and_then(is_served);
        assert_eq!(outcome.is_ok(), served, "{own:?}: {outcome:?}");
    }
}

#[test]
fn a_handshake_that_is_not_brought_to_its_end_is_let_go() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    let scene = scene(&authority, &["one"], &[("tls.handshake_timeout", "\"1s\"".to_owned())]);
    let began = Instant::now();
    // Nothing, and the beginning of a ClientHello.
    for bytes in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut stream = http::connect(scene.addr()).unwrap();
        stream.write_all(bytes).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    is_served(connect(&scene, &authority.client(None, &[]), "one.example.com").unwrap()).unwrap();
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_before_the_start() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    authority.sign("two", &["two.example.com"]);
    fs::copy(authority.path("two.key"), authority.path("one.key")).unwrap();
    let home = menlou_harness::GatewayFolder::new(
        menlou_harness::Setup::default().setting("tls.certificates", authority.certificates(&["one"])),
    );
    for command in [&["run"][..], &["validate", "--offline"]] {
        let output = home.command(command, b"");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("one.key for TLS"), "{told}");
    }
}

#[test]
fn testssl_finds_nothing_to_warn_of() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    let scene = scene(&authority, &["one"], &[]);
    let report = authority.path("report.json");
    // Protocols, ciphers, and each weakness that has a name. Nobody is asked but the gateway: to learn what its own openssl
    // can, testssl has that look for `invalid.`, which is a name of nobody's.
    let mut command = Command::new("testssl");
    command.args([
        "--quiet",
        "--warnings",
        "off",
        "--color",
        "0",
        "--nodns",
        "none",
        "--ip",
        "127.0.0.1",
        "--jsonfile",
    ]);
    command.arg(&report).args(["-p", "-s", "-f", "-U"]).arg(format!("one.example.com:{}", scene.addr().port()));
    let output = command.output().expect("the Debian package testssl.sh (tests/tools.sh)");
    let report = fs::read_to_string(report).unwrap_or_default();
    let told = || format!("{}\n{report}", String::from_utf8_lossy(&output.stdout));
    let found: Vec<serde_json::Value> = serde_json::from_str(&report).unwrap_or_else(|e| panic!("{e}: {}", told()));
    for (id, expected) in [
        ("SSLv2", "not offered"),
        ("SSLv3", "not offered"),
        ("TLS1", "not offered"),
        ("TLS1_1", "not offered"),
        ("TLS1_2", "offered"),
        ("TLS1_3", "offered with final"),
        ("ALPN_HTTP2", "h2"),
        ("cipherlist_AVERAGE", "not offered"),
        ("PFS", "offered"),
    ] {
        let finding = found.iter().find(|f| f["id"] == id).and_then(|f| f["finding"].as_str());
        assert_eq!(finding, Some(expected), "{id}: {}", told());
    }
    // That its openssl knows no GOST is its own affair.
    let warns =
        |f: &&serde_json::Value| f["severity"] != "OK" && f["severity"] != "INFO" && f["id"] != "engine_problem";
    let warnings: Vec<_> = found.iter().filter(warns).collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
    assert!(found.iter().any(|f| f["id"] == "LUCKY13"), "it came to the end: {}", told());
}
