//! Certificates: loaded at start, chosen by host name, and reloaded when their files change.

use crate::certificate_checks::{CertificateFinding, CertificateStatus};
use arc_swap::ArcSwap;
use menlou_config::{fingerprint::Fingerprint, server::Certificate};
use menlou_error::text::{Language, Text};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fmt::Display,
    fs, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::TlsAcceptor;

/// Interval of checks whether the files have changed.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which expired certificates, and those that expire soon, are logged again.
const REPORT_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// The certificates of a listener, kept up to date with their files.
pub struct Tls {
    files: ArcSwap<Files>,
    current: ArcSwap<Loaded>,
}

/// What the files contained when they were read.
struct Loaded {
    config: Arc<ServerConfig>,
    certificates: Vec<CertificateStatus>,
}

/// Paths and protocols from the config.
#[derive(Clone)]
struct Files {
    certificates: Vec<Certificate>,
    client_ca: Option<PathBuf>,
    protocols: Vec<Vec<u8>>,
}

impl Tls {
    /// Loads the certificates. The first one is used for host names that no certificate has. If `client_ca` is set, clients
    /// need a certificate of one of these authorities. `protocols` are offered by ALPN, the preferred one first.
    ///
    /// # Errors
    /// A file that cannot be read or contains no certificate or key; a key that does not belong to its certificate.
    pub fn load(certificates: &[Certificate], client_ca: Option<&Path>, protocols: &[&str]) -> Result<Arc<Self>, Text> {
        let files = Files {
            certificates: certificates.to_vec(),
            client_ca: client_ca.map(Path::to_owned),
            protocols: protocols.iter().map(|p| p.as_bytes().to_vec()).collect(),
        };
        let current = ArcSwap::from_pointee(files.read()?);
        Ok(Arc::new(Self { files: ArcSwap::from_pointee(files), current }))
    }

    /// The acceptor for the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load().config.clone())
    }

    /// What is wrong now with the loaded certificates, or will be soon.
    pub fn findings(&self) -> Vec<CertificateFinding> {
        let now = menlou_clock::since_epoch();
        self.current.load().certificates.iter().flat_map(|certificate| certificate.findings(now)).collect()
    }

    /// When the certificates of each file end, in Unix time.
    pub fn expiries(&self) -> Vec<(PathBuf, Duration)> {
        self.current.load().certificates.iter().map(|status| (status.file.clone(), status.expires_at)).collect()
    }

    /// Sets the metric of the certificates' end, and logs the findings.
    fn report(&self) {
        for (file, end) in self.expiries() {
            expiry_gauge(&file).set(end.as_secs_f64());
        }
        for CertificateFinding { file, is_rejected, text } in self.findings() {
            let (file, why) = (file.display(), text.get(Language::for_operator()));
            if is_rejected {
                tracing::error!(%file, "{why}");
            } else {
                tracing::warn!(%file, "{why}");
            }
        }
    }

    /// Loads the certificates from these files, also if they are the same files as before.
    ///
    /// # Errors
    /// As [`Self::load`]; the earlier certificates stay in use.
    pub async fn replace(&self, certificates: &[Certificate], client_ca: Option<&Path>) -> Result<(), Text> {
        let files = Arc::new(Files {
            certificates: certificates.to_vec(),
            client_ca: client_ca.map(Path::to_owned),
            protocols: self.files.load().protocols.clone(),
        });
        let read = files.clone();
        let loaded = spawn_blocking(move || read.read()).await.map_err(|e| failed(&e))??;
        for CertificateStatus { file, .. } in &self.current.load().certificates {
            // A series cannot be removed. Comparisons with a number that is none are false, so no alert fires.
            expiry_gauge(file).set(f64::NAN);
        }
        self.current.store(Arc::new(loaded));
        self.files.store(files);
        self.report();
        Ok(())
    }

    /// Reloads files that change; never returns. If a changed file is invalid, this is logged and the earlier certificates
    /// stay in use.
    pub async fn watch(self: Arc<Self>) {
        let mut loaded = self.files.load().fingerprints();
        // A certificate and its key are replaced one after the other. So an error is logged only if the same files are
        // invalid at the next check too, and once.
        let mut invalid = None;
        let mut reported = None;
        loop {
            if reported.is_none_or(|at: Instant| at.elapsed() > REPORT_INTERVAL) {
                self.report();
                reported = Some(Instant::now());
            }
            sleep(CHECK_INTERVAL).await;
            let files = self.files.load_full();
            let now = files.fingerprints();
            if now == loaded {
                continue;
            }
            match spawn_blocking(move || files.read()).await {
                Ok(Ok(read)) => {
                    self.current.store(Arc::new(read));
                    tracing::info!("certificates reloaded");
                    (loaded, invalid, reported) = (now, None, None);
                }
                Ok(Err(why)) if invalid.as_ref() == Some(&now) => {
                    tracing::error!("{}; the earlier certificates stay in use", why.en);
                    loaded = now;
                }
                Ok(Err(_)) => invalid = Some(now),
                Err(e) => tracing::error!(cause = %e, "reading certificates panicked (a bug in Menlou)"),
            }
        }
    }
}

impl Files {
    fn fingerprints(&self) -> Vec<Fingerprint> {
        let files = self.certificates.iter().flat_map(|c| [&c.cert, &c.key]).chain(&self.client_ca);
        files.map(|file| Fingerprint::for_path(file)).collect()
    }

    fn read(&self) -> Result<Loaded, Text> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut keys = ByName::default();
        for certificate in &self.certificates {
            keys.add(certificate, &provider)?;
        }
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(|e| failed(&e))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                let authorities = chain(file)?;
                keys.statuses.push(CertificateStatus::read(file, &authorities, false).map_err(|e| unfit(file, &e))?);
                for authority in authorities {
                    roots.add(authority).map_err(|e| unfit(file, &e))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|e| unfit(file, &e))?)
            }
        };
        let certificates = mem::take(&mut keys.statuses);
        let mut config = builder.with_cert_resolver(Arc::new(keys));
        config.alpn_protocols.clone_from(&self.protocols);
        // Every suite is good. TLS testers expect the server to choose.
        config.ignore_client_order = true;
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|e| failed(&e))?;
        Ok(Loaded { config: config.into(), certificates })
    }
}

/// Certificates by the host names in them.
#[derive(Debug, Default)]
struct ByName {
    /// Host names in lower case, each with its certificate and the file of it; `*.` stands for one label.
    names: HashMap<String, (Arc<CertifiedKey>, PathBuf)>,
    first: Option<Arc<CertifiedKey>>,
    statuses: Vec<CertificateStatus>,
}

impl ByName {
    fn add(&mut self, Certificate { cert, key }: &Certificate, provider: &CryptoProvider) -> Result<(), Text> {
        let chain = chain(cert)?;
        let mut status = CertificateStatus::read(cert, &chain, true).map_err(|e| unfit(cert, &e))?;
        let names: Vec<String> = {
            let host = chain.first().ok_or_else(|| unfit(cert, &"it contains no certificate"))?;
            let host = webpki::EndEntityCert::try_from(host).map_err(|e| unfit(cert, &e))?;
            host.valid_dns_names().map(str::to_ascii_lowercase).collect()
        };
        let pair = CertifiedKey::from_der(chain, private_key(key)?, provider).map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => wrong_key(cert, key),
            e => unfit(key, &e),
        })?;
        let pair = Arc::new(pair);
        let mut shadowed: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
        for name in names {
            match self.names.entry(name) {
                // If two certificates have a name, the first one is used.
                Entry::Occupied(earlier) if earlier.get().1 != *cert => {
                    shadowed.entry(earlier.get().1.clone()).or_default().push(earlier.key().clone());
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => {
                    free.insert((pair.clone(), cert.clone()));
                }
            }
        }
        for (earlier, names) in shadowed {
            status.shadowed_by(&earlier, &names);
        }
        self.statuses.push(status);
        self.first.get_or_insert(pair);
        Ok(())
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let of = |name: &str| {
            let wildcard = || self.names.get(&format!("*.{}", name.split_once('.')?.1));
            self.names.get(name).or_else(wildcard).map(|(pair, _)| pair.clone())
        };
        name.and_then(|name| of(&name.to_ascii_lowercase())).or_else(|| self.first.clone())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

fn expiry_gauge(file: &Path) -> metrics::Gauge {
    metrics::gauge!("menlou_certificate_expiry_timestamp_seconds", "file" => file.display().to_string())
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Text> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match chain {
        Ok(chain) if chain.is_empty() => Err(unfit(file, &"it contains no certificate")),
        Ok(chain) => Ok(chain),
        Err(e) => Err(unfit(file, &e)),
    }
}

/// Reads the private key of a certificate. Errors describe the format of the file, never the key.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Text> {
    let bytes = fs::read(file).map_err(|e| unfit(file, &e))?;
    let text = String::from_utf8_lossy(&bytes);
    let has = |marker: &str| text.contains(marker);
    // Of PKCS#8 and of the older form of OpenSSL.
    if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") {
        let file = file.display();
        return Err(Text::new(
            format!("私钥文件 {file} 有密码保护，网关无法询问密码：用 openssl pkey -in {file} -out 新文件 去掉密码"),
            format!(
                "the private key {file} is encrypted, and the gateway cannot ask for the passphrase: remove it with \
                 openssl pkey -in {file} -out NEW_FILE"
            ),
        ));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| match e {
        pem::Error::NoItemsFound if has("BEGIN CERTIFICATE") => {
            unfit(file, &"it contains a certificate instead of a private key")
        }
        pem::Error::NoItemsFound => unfit(file, &"it contains no private key in PEM format (BEGIN ... PRIVATE KEY)"),
        e => unfit(file, &e),
    })
}

fn wrong_key(cert: &Path, key: &Path) -> Text {
    let (cert, key) = (cert.display(), key.display());
    Text::new(
        format!("私钥 {key} 与证书 {cert} 不匹配：{cert} 中服务器的证书须排在第一个，且与此私钥配对"),
        format!(
            "the private key {key} does not belong to the first certificate of {cert}: the server's own certificate comes \
             first, followed by its issuers"
        ),
    )
}

fn unfit(file: &Path, e: &dyn Display) -> Text {
    let file = file.display();
    Text::new(format!("证书文件 {file} 不可用：{e}"), format!("could not use {file} for TLS: {e}"))
}

fn failed(e: &dyn Display) -> Text {
    Text::new(format!("无法初始化 TLS：{e}"), format!("could not initialise TLS: {e}"))
}
