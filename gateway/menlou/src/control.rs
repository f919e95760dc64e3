//! The control socket, through which `menlou reload` reaches the gateways of its config on this machine.
//!
//! The sockets are beside the SQLite file, one for each process, because gateways may share a config. Only the gateway's
//! user and root are answered.

use crate::reload::{ReloadHandle, ReloadReport};
use menlou_config::server::Config;
use rustix::process::getuid;
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::timeout,
};

/// The only request.
const RELOAD: &[u8] = b"reload\n";

/// Maximum time of a reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time to receive the request and to send the response.
const IO_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum size of a response, in bytes.
const MAX_RESPONSE: u64 = 1024 * 1024;

/// Connections that are served at the same time.
const MAX_CONNECTIONS: usize = 4;

/// The socket of this process. Its file is removed when it is dropped.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Creates the socket.
    ///
    /// # Errors
    /// The folder of the SQLite file is not writable, or its path is too long for a socket.
    pub fn bind(config: &Config) -> io::Result<Self> {
        let path = folder(config).join(format!("{}{}.sock", prefix(config), std::process::id()));
        remove_stale(config)?;
        // Left by an earlier process of the same id.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves requests until dropped.
    pub async fn serve(self, reload: ReloadHandle) {
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let reload = reload.clone();
                    connections.spawn(async move {
                        // A client that fails is no concern of the gateway.
                        let _ = respond(stream, &reload).await;
                    });
                }
                Err(e) => {
                    tracing::error!(cause = %e, "the control socket failed: use SIGHUP instead of menlou reload");
                    return;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A file that is gone already is no error.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the sockets of gateways that were killed.
fn remove_stale(config: &Config) -> io::Result<()> {
    for (path, _) in sockets(config)? {
        let connected = std::os::unix::net::UnixStream::connect(&path);
        if connected.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            // It may have been removed by another process.
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// The sockets of this config, each with the id of its process.
fn sockets(config: &Config) -> io::Result<Vec<(PathBuf, String)>> {
    let prefix = prefix(config);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(config))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(id) = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".sock")) {
            let id = id.to_owned();
            found.push((path, id));
        }
    }
    Ok(found)
}

async fn respond(mut stream: UnixStream, reload: &ReloadHandle) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    if user != 0 && user != getuid().as_raw() {
        return Ok(());
    }
    let mut request = [0; RELOAD.len()];
    timeout(IO_TIMEOUT, stream.read_exact(&mut request)).await??;
    if request != RELOAD {
        return Ok(());
    }
    let Some(report) = timeout(RELOAD_TIMEOUT, reload.reload()).await? else { return Ok(()) };
    let body = serde_json::to_vec(&report)?;
    timeout(IO_TIMEOUT, stream.write_all(&body)).await??;
    Ok(())
}

/// Requests a reload of each gateway that runs with this config on this machine. Sockets of gateways that were killed are
/// removed.
///
/// # Errors
/// The folder of the sockets cannot be read.
pub async fn reload_all(config: &Config) -> io::Result<Vec<(String, io::Result<ReloadReport>)>> {
    let mut reports = Vec::new();
    for (path, id) in sockets(config)? {
        match UnixStream::connect(&path).await {
            Ok(stream) => reports.push((id, request(stream).await)),
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                // It may have been removed by another command.
                let _ = fs::remove_file(&path);
            }
            Err(e) => reports.push((id, Err(e))),
        }
    }
    Ok(reports)
}

async fn request(mut stream: UnixStream) -> io::Result<ReloadReport> {
    timeout(IO_TIMEOUT, stream.write_all(RELOAD)).await??;
    let mut body = Vec::new();
    timeout(RELOAD_TIMEOUT + IO_TIMEOUT, stream.take(MAX_RESPONSE).read_to_end(&mut body)).await??;
    if body.is_empty() {
        return Err(io::Error::other("the gateway did not respond: it is stopping, or runs as another user"));
    }
    Ok(serde_json::from_slice(&body)?)
}

/// The folder of the SQLite file.
fn folder(config: &Config) -> &Path {
    config.store.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn prefix(config: &Config) -> String {
    format!("{}-", config.store.path.file_name().unwrap_or_default().to_string_lossy())
}
