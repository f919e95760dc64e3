//! A gateway with a layer of the operator's own build: every response on the traffic port asks browsers to use HTTPS.
//!
//! `cargo run -p menlou --example own_layer -- menlou.toml`

use http::{HeaderValue, header::STRICT_TRANSPORT_SECURITY};
use menlou::{cli::shutdown_signal, gateway::Gateway};
use menlou_config::server::Config;
use std::{path::PathBuf, process::ExitCode};
use tower_http::set_header::SetResponseHeaderLayer;

/// Two years, as browsers' lists of HTTPS-only sites ask for.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");

#[tokio::main]
async fn main() -> ExitCode {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let config = match Config::load(file.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("{error}"));
            return ExitCode::FAILURE;
        }
    };
    match Gateway::build(config).await {
        Ok(gateway) => {
            // The one line: any tower layer whose service answers HTTP requests.
            let gateway = gateway.layer(SetResponseHeaderLayer::if_not_present(STRICT_TRANSPORT_SECURITY, HSTS));
            gateway.run(shutdown_signal()).await;
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{}", text.en);
            ExitCode::FAILURE
        }
    }
}
