//! TLS on the traffic port: certificates by host name, certificate reload, client certificates, handshake timeout.

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

/// A folder with a certificate authority and the certificates that it has signed.
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
        let [pem, key, unfinished] = ["pem", "key", "unfinished"].map(|end| format!("{file}.{end}"));
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let names = format!("subjectAltName={}", names.join(","));
        let signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=host", "-addext", &names];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
        self.openssl(
            &[&["req", "-x509", "-keyout", &key, "-out", &unfinished, "-days", "2"], &signer[..], &leaf[..]].concat(),
        );
        // The gateway watches the folder. A rename keeps it from reading an incomplete certificate.
        fs::rename(self.path(&unfinished), self.path(&pem)).unwrap();
    }

    /// Signs a certificate for a.example that ends in so many days; -1 for one that ended yesterday.
    fn sign_until(&self, file: &str, days: i32) {
        let [pem, key, request] = ["pem", "key", "csr"].map(|end| format!("{file}.{end}"));
        self.openssl(&["req", "-new", "-keyout", &key, "-out", &request, "-subj", "/CN=host"]);
        fs::write(self.path("names"), "subjectAltName=DNS:a.example").unwrap();
        let days = days.to_string();
        let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", &days];
        self.run(&[&["x509", "-req", "-in", &request, "-out", &pem], &by[..]].concat());
    }

    fn openssl(&self, arguments: &[&str]) {
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        self.run(&[arguments, &new_key].concat());
    }

    fn run(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .current_dir(self.0.path())
            .args(arguments)
            .output()
            .expect("openssl (tests/tools.sh)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join(file)
    }

    /// Value of `tls.certificates` for these files.
    fn certificates(&self, files: &[&str]) -> String {
        let certificate = |file: &&str| {
            format!(
                "{{ cert = {:?}, key = {:?} }}",
                self.path(&format!("{file}.pem")),
                self.path(&format!("{file}.key"))
            )
        };
        format!("[{}]", files.iter().map(certificate).collect::<Vec<_>>().join(", "))
    }

    /// A client that trusts this authority and sends the certificate `own`, if any.
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

/// A connection that expects the certificate of this host.
fn connect(gateway: &Gateway, client: &Arc<ClientConfig>, host: &str) -> io::Result<Stream> {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let connection = ClientConnection::new(client.clone(), host).unwrap();
    let mut stream = StreamOwned::new(connection, http::connect(gateway.addr())?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Sends a request without a session and checks the response.
fn send_request(mut stream: Stream) -> io::Result<()> {
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
fn certificate_is_chosen_by_host_name_with_the_first_as_default() {
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
        send_request(stream).unwrap();
    }
    for host in ["other.example.com", "far.any.two.example.com"] {
        let e = connect(&scene, &client, host).map(drop).unwrap_err().to_string();
        assert!(
            e.contains("NotValidForName") || e.contains("not valid for name"),
            "the default certificate is not valid for {host}: {e}"
        );
    }
    let both = authority.client(None, &["http/1.1", "h2"]);
    let stream = connect(&scene, &both, "one.example.com").unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 is preferred");
    // A connection without TLS is closed, and later ones are served.
    let mut plain = http::connect(scene.addr()).unwrap();
    plain.write_all(POST.as_bytes()).unwrap();
    let mut received = Vec::new();
    let _ = plain.read_to_end(&mut received);
    assert!(!received.starts_with(b"HTTP"), "{received:?}");
    send_request(connect(&scene, &authority.client(None, &[]), "one.example.com").unwrap()).unwrap();
}

#[test]
fn changed_certificates_are_reloaded_and_invalid_ones_ignored() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    let scene = scene(&authority, &["one"], &[]);
    let client = authority.client(None, &[]);
    let mut open = connect(&scene, &client, "one.example.com").unwrap();
    let valid = fs::read(authority.path("one.pem")).unwrap();
    for invalid in [&b"no certificate"[..], b"", &valid[..valid.len() / 2]] {
        fs::write(authority.path("one.pem"), invalid).unwrap();
        eventually("the error is logged", || {
            scene.log().contains("the earlier certificates stay in use").then_some(())
        });
        send_request(connect(&scene, &client, "one.example.com").unwrap()).unwrap();
    }
    authority.sign("one", &["renewed.example.com"]);
    eventually("the new certificate is in use", || {
        connect(&scene, &client, "renewed.example.com").ok().map(send_request)
    })
    .unwrap();
    open.write_all(POST.as_bytes()).unwrap();
    assert_eq!(http::read(&mut open).unwrap().status, 401, "open connections stay open");
}

#[test]
fn client_ca_rejects_missing_and_untrusted_client_certificates() {
    let (authority, other) = (TestCa::new(), TestCa::new());
    authority.sign("one", &["one.example.com"]);
    authority.sign("client", &["client"]);
    other.sign("client", &["client"]);
    fs::copy(other.path("client.pem"), authority.path("untrusted.pem")).unwrap();
    fs::copy(other.path("client.key"), authority.path("untrusted.key")).unwrap();
    let scene = scene(&authority, &["one"], &[("tls.client_ca", format!("{:?}", authority.path("ca.pem")))]);
    for (own, is_served) in [(Some("client"), true), (None, false), (Some("untrusted"), false)] {
        let outcome = connect(&scene, &authority.client(own, &[]), "one.example.com").and_then(send_request);
        assert_eq!(outcome.is_ok(), is_served, "{own:?}: {outcome:?}");
    }
}

#[test]
fn unfinished_handshake_is_closed_after_the_timeout() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    let scene = scene(&authority, &["one"], &[("tls.handshake_timeout", "\"1s\"".to_owned())]);
    let began = Instant::now();
    // No bytes, and the beginning of a ClientHello.
    for bytes in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut stream = http::connect(scene.addr()).unwrap();
        stream.write_all(bytes).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    send_request(connect(&scene, &authority.client(None, &[]), "one.example.com").unwrap()).unwrap();
}

#[test]
fn unusable_certificate_is_reported_by_run_and_validate() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    authority.sign("two", &["two.example.com"]);
    fs::copy(authority.path("two.key"), authority.path("one.key")).unwrap();
    let folder = menlou_harness::GatewayFolder::new(
        menlou_harness::Setup::default().setting("tls.certificates", authority.certificates(&["one"])),
    );
    for command in [&["run"][..], &["validate", "--offline"]] {
        let output = folder.command(command, b"");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains("does not belong to the first certificate"), "{error}");
    }
}

#[test]
fn expired_and_soon_expiring_certificates_are_reported_by_run_validate_and_metrics() {
    let authority = TestCa::new();
    authority.sign_until("expired", -1);
    authority.sign_until("soon", 20);
    authority.sign_until("later", 90);
    for (files, is_valid, expected) in [
        (&["expired"][..], false, &["expired.pem: the certificate expired on"][..]),
        (&["soon"], true, &["soon.pem", "the certificate expires on"]),
        (&["later"], true, &[]),
        (&["later", "soon"], true, &["soon.pem", "a.example is also in", "later.pem"]),
    ] {
        let setup = menlou_harness::Setup::default().setting("tls.certificates", authority.certificates(files));
        let output = menlou_harness::GatewayFolder::new(setup).command(&["validate", "--offline"], b"");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), is_valid, "{files:?}: {error}");
        assert!(expected.iter().all(|text| error.contains(text)), "{files:?}: {error}");
        assert!(!expected.is_empty() || !error.contains(".pem"), "{files:?}: {error}");
    }
    let scene = scene(&authority, &["expired"], &[]);
    eventually("the log names the file", || {
        (scene.log().contains("expired.pem") && scene.log().contains("the certificate expired on")).then_some(())
    });
    let metrics = scene.admin("/metrics").unwrap().text();
    assert!(metrics.contains("menlou_certificate_expiry_timestamp_seconds{file=\""), "{metrics}");
}

#[test]
fn encrypted_and_mistaken_keys_are_explained() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    authority.run(&["pkey", "-in", "one.key", "-aes256", "-passout", "pass:secret", "-out", "encrypted.key"]);
    authority.run(&["ec", "-in", "one.key", "-aes128", "-passout", "pass:secret", "-out", "older.key"]);
    fs::copy(authority.path("one.pem"), authority.path("certificate.key")).unwrap();
    fs::write(authority.path("empty.key"), "").unwrap();
    for (key, expected) in [
        ("encrypted", "is encrypted"),
        ("older", "is encrypted"),
        ("certificate", "contains a certificate instead of a private key"),
        ("empty", "contains no private key"),
    ] {
        let pair = format!(
            "[{{ cert = {:?}, key = {:?} }}]",
            authority.path("one.pem"),
            authority.path(&format!("{key}.key"))
        );
        let setup = menlou_harness::Setup::default().setting("tls.certificates", pair);
        let output = menlou_harness::GatewayFolder::new(setup).command(&["validate", "--offline"], b"");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(expected), "{key}: {error}");
    }
}

#[test]
fn testssl_reports_no_warnings() {
    let authority = TestCa::new();
    authority.sign("one", &["one.example.com"]);
    let scene = scene(&authority, &["one"], &[]);
    let report = authority.path("report.json");
    // Protocols, ciphers, and every named vulnerability. The only server contacted is the gateway: to find out the
    // abilities of its own openssl, testssl uses the host `invalid.`, which never resolves.
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
    let context = || format!("{}\n{report}", String::from_utf8_lossy(&output.stdout));
    let found: Vec<serde_json::Value> = serde_json::from_str(&report).unwrap_or_else(|e| panic!("{e}: {}", context()));
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
        assert_eq!(finding, Some(expected), "{id}: {}", context());
    }
    // `engine_problem` reports that the openssl of testssl lacks GOST. It says nothing about the gateway.
    let is_warning =
        |f: &&serde_json::Value| f["severity"] != "OK" && f["severity"] != "INFO" && f["id"] != "engine_problem";
    let warnings: Vec<_> = found.iter().filter(is_warning).collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
    assert!(found.iter().any(|f| f["id"] == "LUCKY13"), "testssl ran to its end: {}", context());
}
