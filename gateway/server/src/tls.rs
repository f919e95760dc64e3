//! Certificates: loaded at start, chosen by host name, and taken up again when their files change.

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

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The certificates of a listener, as their files are now.
pub struct Tls {
    named: Named,
    current: ArcSwap<ServerConfig>,
}

/// What is read.
#[derive(Clone)]
struct Named {
    certificates: Vec<Certificate>,
    client_ca: Option<PathBuf>,
    protocols: Vec<Vec<u8>>,
}

impl Tls {
    /// Loads the certificates, the first of which serves where no name fits. Clients need a certificate of their own
    /// where `client_ca` names authorities. `protocols` are offered (ALPN), the best first.
    ///
    /// # Errors
    /// A file that can't be read or holds no certificate or key; a key that is another certificate's.
    pub fn load(certificates: &[Certificate], client_ca: Option<&Path>, protocols: &[&str]) -> Result<Arc<Self>, Text> {
        let named = Named {
            certificates: certificates.to_vec(),
            client_ca: client_ca.map(Path::to_owned),
            protocols: protocols.iter().map(|p| p.as_bytes().to_vec()).collect(),
        };
        let current = ArcSwap::from_pointee(named.read()?);
        Ok(Arc::new(Self { named, current }))
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Takes changed files up, for ever. Bad ones are told, and what was loaded before serves on.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = self.named.stamps();
        // A certificate and its key are replaced one after the other: what is wrong is told only if it lasts, and once.
        let mut wrong = None;
        loop {
            sleep(LOOK).await;
            let now = self.named.stamps();
            if now == seen {
                continue;
            }
            let named = self.named.clone();
            match spawn_blocking(move || named.read()).await {
                Ok(Ok(config)) => {
                    self.current.store(Arc::new(config));
                    tracing::info!("changed certificates were taken up");
                    (seen, wrong) = (now, None);
                }
                Ok(Err(why)) if wrong.as_ref() == Some(&now) => {
                    tracing::error!("{}; the certificates before serve on", why.en);
                    seen = now;
                }
                Ok(Err(_)) => wrong = Some(now),
                Err(e) => tracing::error!(cause = %e, "certificates could not be read"),
            }
        }
    }
}

impl Named {
    fn stamps(&self) -> Vec<Fingerprint> {
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
        // All of ours are good; that the server chooses is what testers of TLS look for.
        config.ignore_client_order = true;
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|e| failed(&e))?;
        Ok(config)
    }
}

/// Certificates by the host names in them.
#[derive(Debug, Default)]
struct ByName {
    /// In lower case; `*.` stands for one label.
    names: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl ByName {
    fn add(&mut self, Certificate { cert, key }: &Certificate, provider: &CryptoProvider) -> Result<(), Text> {
        let chain = chain(cert)?;
        // Its error tells of the file's form, never of the key.
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unfit(key, &e))?;
        let names: Vec<String> = {
            let host = chain.first().ok_or_else(|| unfit(cert, &"no certificate in it"))?;
            let host = webpki::EndEntityCert::try_from(host).map_err(|e| unfit(cert, &e))?;
            host.valid_dns_names().map(str::to_ascii_lowercase).collect()
        };
        let pair = CertifiedKey::from_der(chain, private, provider).map_err(|e| unfit(key, &e))?;
        let pair = Arc::new(pair);
        for name in names {
            // Of two for a name, the one that stands first serves.
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
        Ok(chain) if chain.is_empty() => Err(unfit(file, &"no certificate in it")),
        Ok(chain) => Ok(chain),
        Err(e) => Err(unfit(file, &e)),
    }
}

fn unfit(file: &Path, e: &dyn Display) -> Text {
    let file = file.display();
    Text::new(format!("证书文件 {file} 不可用：{e}"), format!("{file} can't be used for TLS: {e}"))
}

fn failed(e: &dyn Display) -> Text {
    Text::new(format!("TLS 不可用：{e}"), format!("TLS can't be had: {e}"))
}
