//! The admin side's listener: plain HTTP for nobody else's ears, and TLS whose certificate is taken up anew.

use crate::scene::eventually;
use menlou_harness::{
    Home, Setup,
    gateway::binary,
    process::{Process, free_port, loopback},
};
use std::{fs, path::Path, process::Command, time::Duration};

fn home(settings: &[(&str, &str)]) -> Home {
    Home::new(settings.iter().fold(Setup::default(), |setup, (name, value)| setup.setting(name, *value)))
}

#[test]
fn others_are_spoken_to_by_tls_or_on_an_explicit_word_only() {
    for listen in ["\"0.0.0.0:8081\"", "\"[::]:8081\"", "\"192.0.2.7:8081\""] {
        for command in ["run", "validate"] {
            let output = home(&[("admin.listen", listen)]).command(&[command], b"");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success(), "{command} {listen}");
            assert!(told.contains("allow_plain_http") && told.contains("menlou.toml:2"), "{told}");
        }
        let allowed = home(&[("admin.listen", listen), ("admin.allow_plain_http", "true")]);
        let output = allowed.command(&["validate"], b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for listen in ["\"127.0.0.9:8081\"", "\"[::1]:8081\""] {
        assert!(home(&[("admin.listen", listen)]).command(&["validate"], b"").status.success(), "{listen}");
    }
    let half = home(&[("admin.tls_cert", "\"admin.pem\"")]).command(&["validate"], b"");
    assert!(!half.status.success() && String::from_utf8_lossy(&half.stderr).contains("belong together"));
}

#[test]
fn a_certificate_that_can_not_be_used_is_told() {
    let home = home(&[("admin.tls_cert", "\"admin.pem\""), ("admin.tls_key", "\"admin.key\"")]);
    for command in ["run", "validate"] {
        let output = home.command(&[command], b"");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("admin.pem can't be used"), "{command}: {told}");
    }
    certify(home.path(), "one");
    fs::write(home.path().join("admin.pem"), "no certificate").unwrap();
    let told = home.command(&["validate"], b"");
    assert!(!told.status.success() && String::from_utf8_lossy(&told.stderr).contains("no certificate in it"));
}

#[test]
fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() {
    let home = home(&[("admin.tls_cert", "\"admin.pem\""), ("admin.tls_key", "\"admin.key\"")]);
    let first = certify(home.path(), "one");
    let (traffic, admin) = (loopback(free_port()), loopback(free_port()));
    let mut command = binary();
    command.current_dir(home.path()).env("MENLOU_LANG", "en").args(["run", "--config"]).arg(home.config());
    command.env("MENLOU_SERVER__LISTEN", traffic.to_string()).env("MENLOU_ADMIN__LISTEN", admin.to_string());
    let log = home.path().join("log");
    let _gateway = Process::start(&mut command, &log, "menlou");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The certificate that a new connection gets.
    let served = || {
        let asked = async {
            let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).tls_info(true).no_proxy();
            let client = client.timeout(Duration::from_secs(5)).build().unwrap();
            let answer = client.get(format!("https://{admin}/healthz")).send().await.ok()?;
            let certificate = answer.extensions().get::<reqwest::tls::TlsInfo>()?.peer_certificate()?.to_vec();
            (answer.text().await.ok()? == "ok\n").then_some(certificate)
        };
        runtime.block_on(asked)
    };
    assert_eq!(eventually("it speaks TLS", served), first);
    let plain = menlou_harness::http::Request::new("GET", "/healthz").send(admin);
    assert!(plain.is_err(), "no plain HTTP beside it");
    let second = certify(home.path(), "two");
    eventually("the new one", || (served()? == second).then_some(()));
    fs::write(home.path().join("admin.key"), "no key").unwrap();
    let told = || fs::read_to_string(&log).is_ok_and(|log| log.contains("the certificates before serve on"));
    eventually("the bad one is told", || told().then_some(()));
    assert_eq!(served(), Some(second));
}

/// Makes a certificate, and gives it as DER.
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
