//! Certificates: loaded at start, chosen by host name, and reloaded when their files change.

use arc_swap::ArcSwap;
use menlou_config::{fingerprint::Fingerprint, server::Certificate};
use menlou_error::text::Text;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use std::{
    collections::HashMap,
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::TlsAcceptor;

/// Interval of checks whether the files have changed.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The certificates of a listener, kept up to date with their files.
pub struct Tls {
    files: ArcSwap<Files>,
    current: ArcSwap<ServerConfig>,
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
        TlsAcceptor::from(self.current.load_full())
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
        let config = spawn_blocking(move || read.read()).await.map_err(|e| failed(&e))??;
        self.current.store(Arc::new(config));
        self.files.store(files);
        Ok(())
    }

    /// Reloads files that change; never returns. If a changed file is invalid, this is logged and the earlier certificates
    /// stay in use.
    pub async fn watch(self: Arc<Self>) {
        let mut loaded = self.files.load().fingerprints();
        // A certificate and its key are replaced one after the other. So an error is logged only if the same files are
        // invalid at the next check too, and once.
        let mut invalid = None;
        loop {
            sleep(CHECK_INTERVAL).await;
            let files = self.files.load_full();
            let now = files.fingerprints();
            if now == loaded {
                continue;
            }
            match spawn_blocking(move || files.read()).await {
                Ok(Ok(config)) => {
                    self.current.store(Arc::new(config));
                    tracing::info!("certificates reloaded");
                    (loaded, invalid) = (now, None);
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

    fn read(&self) -> Result<ServerConfig, Text> {
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
                for authority in chain(file)? {
                    roots.add(authority).map_err(|e| unfit(file, &e))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|e| unfit(file, &e))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(keys));
        config.alpn_protocols.clone_from(&self.protocols);
        // Every suite is good. TLS testers expect the server to choose.
        config.ignore_client_order = true;
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|e| failed(&e))?;
        Ok(config)
    }
}

/// Certificates by the host names in them.
#[derive(Debug, Default)]
struct ByName {
    /// Host names in lower case; `*.` stands for one label.
    names: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl ByName {
    fn add(&mut self, Certificate { cert, key }: &Certificate, provider: &CryptoProvider) -> Result<(), Text> {
        let chain = chain(cert)?;
        // The error describes the format of the file, never the key.
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unfit(key, &e))?;
        let names: Vec<String> = {
            let host = chain.first().ok_or_else(|| unfit(cert, &"it contains no certificate"))?;
            let host = webpki::EndEntityCert::try_from(host).map_err(|e| unfit(cert, &e))?;
            host.valid_dns_names().map(str::to_ascii_lowercase).collect()
        };
        let pair = CertifiedKey::from_der(chain, private, provider).map_err(|e| unfit(key, &e))?;
        let pair = Arc::new(pair);
        for name in names {
            // If two certificates have a name, the first one is used.
            self.names.entry(name).or_insert_with(|| pair.clone());
        }
        self.first.get_or_insert(pair);
        Ok(())
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let of = |name: &str| {
            let wildcard = || self.names.get(&format!("*.{}", name.split_once('.')?.1));
            self.names.get(name).or_else(wildcard).cloned()
        };
        name.and_then(|name| of(&name.to_ascii_lowercase())).or_else(|| self.first.clone())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Text> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match chain {
        Ok(chain) if chain.is_empty() => Err(unfit(file, &"it contains no certificate")),
        Ok(chain) => Ok(chain),
        Err(e) => Err(unfit(file, &e)),
    }
}

fn unfit(file: &Path, e: &dyn Display) -> Text {
    let file = file.display();
    Text::new(format!("证书文件 {file} 不可用：{e}"), format!("could not use {file} for TLS: {e}"))
}

fn failed(e: &dyn Display) -> Text {
    Text::new(format!("无法初始化 TLS：{e}"), format!("could not initialise TLS: {e}"))
}
