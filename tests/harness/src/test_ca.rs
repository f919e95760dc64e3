//! A certificate authority of a test's own, with a certificate for this machine's loopback address.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A CA that nobody else trusts, and what a server at 127.0.0.1 needs. The files go with it.
#[derive(Debug)]
pub struct TestCa {
    folder: TempDir,
}

impl TestCa {
    /// Makes one, by openssl.
    ///
    /// # Panics
    /// When openssl is not there.
    pub fn new() -> Self {
        let this = Self { folder: TempDir::with_prefix("menlou-ca-").expect("a temporary folder") };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        this.openssl(&["req", "-x509", "-subj", "/CN=a test's CA", "-keyout", "ca.key", "-out", "ca.pem"], &key);
        this.openssl(&["req", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"], &key[..5]);
        fs::write(this.file("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").expect("a file");
        let signed = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        this.openssl(&signed, &["-days", "2", "-extfile", "names", "-out", "server.pem"]);
        this
    }

    /// The CA's own certificate, PEM.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The server's certificate, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// The server's private key, PEM.
    pub fn key(&self) -> PathBuf {
        self.file("server.key")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, what: &[&str], more: &[&str]) {
        let mut command = Command::new("openssl");
        command.current_dir(self.folder.path()).args(what).args(more).stdin(Stdio::null());
        let output = command.output().expect("openssl: install the Debian package openssl");
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}
