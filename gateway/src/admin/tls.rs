//! The admin side's certificate: loaded at start, and taken up again when its files change.

use crate::{config::server, config::stamp::Stamp, text::Text};
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A certificate and its key, as their files are now.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Loads what the config names; `None` where it names none.
    ///
    /// # Errors
    /// A file that can't be read or holds no certificate or key; a key that is another certificate's.
    pub fn load(config: &server::Admin) -> Result<Option<Arc<Self>>, Text> {
        let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else { return Ok(None) };
        let current = ArcSwap::from_pointee(read(cert, key)?);
        Ok(Some(Arc::new(Self { cert: cert.clone(), key: key.clone(), current })))
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Takes changed files up, for ever. Bad ones are told, and what was loaded before serves on.
    pub async fn follow(self: Arc<Self>) {
        let stamps = |tls: &Self| (Stamp::of(&tls.cert), Stamp::of(&tls.key));
        let mut seen = stamps(&self);
        let mut told = None;
        loop {
            sleep(LOOK).await;
            let now = stamps(&self);
            if now == seen {
                continue;
            }
            let this = self.clone();
            match spawn_blocking(move || read(&this.cert, &this.key)).await {
                Ok(Ok(config)) => {
                    self.current.store(Arc::new(config));
                    tracing::info!(file = %self.cert.display(), "the admin side's certificate was taken up");
                    (seen, told) = (now, None);
                }
                // The two files are replaced one after the other: told only if it lasts, and once.
                Ok(Err(why)) => match told {
                    Some((of, false)) if of == now => {
                        tracing::error!("{}; the certificate before serves on", why.en);
                        told = Some((now, true));
                    }
                    Some((of, true)) if of == now => {}
                    _ => told = Some((now, false)),
                },
                Err(e) => tracing::error!(cause = %e, "the admin side's certificate could not be read"),
            }
        }
    }
}

fn read(cert: &Path, key: &Path) -> Result<ServerConfig, Text> {
    let unfit = |path: &Path, e: &dyn std::fmt::Display| {
        let path = path.display();
        Text::new(format!("管理端证书文件 {path} 不可用：{e}"), format!("the admin side's {path} can't be used: {e}"))
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let chain = chain.map_err(|e| unfit(cert, &e))?;
    if chain.is_empty() {
        return Err(unfit(cert, &"no certificate in it"));
    }
    // Its error tells of the file's form, never of the key.
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unfit(key, &e))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let versions = builder.with_safe_default_protocol_versions().map_err(|e| unfit(cert, &e))?;
    let mut config = versions.with_no_client_auth().with_single_cert(chain, private).map_err(|e| unfit(key, &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
