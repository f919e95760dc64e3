//! The baseline of the proxy action: nginx with `proxy_pass`, one worker, keep-alive on both sides, no access log.

use crate::{
    Result,
    environment::Environment,
    server::{Server, Wrapper},
};
use menlou_harness::process::{free_port, loopback};
use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Whether nginx is installed (Debian package nginx-light).
pub fn is_installed() -> bool {
    let mut version = Command::new("nginx");
    version.arg("-v").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Starts nginx, forwarding to the benchmarks' upstream.
pub fn start(environment: &Environment, name: &str, wrapper: Wrapper<'_>) -> Result<Server> {
    let (folder, address) = (environment.folder().join(name), loopback(free_port()));
    fs::create_dir_all(&folder)?;
    let (config, upstream) = (folder.join("nginx.conf"), environment.upstream);
    fs::write(
        &config,
        format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{ worker_connections 4096; }}\n\
             http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  keepalive_timeout 10m;\n\
             upstream up {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}\n\
             server {{\n    listen {address};\n    location / {{\n      proxy_pass http://up;\n\
             proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n  }}\n\
             client_body_temp_path body;\n  proxy_temp_path proxy;\n  fastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi;\n  scgi_temp_path scgi;\n}}\n"
        ),
    )?;
    let arguments: [OsString; 4] = ["-p".into(), folder.clone().into(), "-c".into(), config.into()];
    Server::start(Some(environment.cores), wrapper, Path::new("nginx"), &arguments, address, &folder.join("log"))
}
