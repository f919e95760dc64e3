//! A certificate authority for one test, with a server certificate for the loopback address.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A CA that nothing else trusts, with certificate and key of a server at 127.0.0.1. Dropping it deletes the files.
#[derive(Debug)]
pub struct TestCa {
    folder: TempDir,
}

impl TestCa {
    /// Creates the CA and the certificate by openssl.
    ///
    /// # Panics
    /// Where openssl is missing.
    pub fn new() -> Self {
        let this = Self { folder: TempDir::with_prefix("menlou-ca-").expect("a temporary folder") };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        this.openssl(&["req", "-x509", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem"], &key);
        this.openssl(&["req", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"], &key[..5]);
        fs::write(this.file("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").expect("a file");
        let signed = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        this.openssl(&signed, &["-days", "2", "-extfile", "names", "-out", "server.pem"]);
        this
    }

    /// Path of the CA's certificate, PEM.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// Path of the server's certificate, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// Path of the server's private key, PEM.
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
