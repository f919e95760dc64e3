//! The program `menlou-simulator`: the simulator on a port of your choice, until told to stop.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use menlou_simulator::{App, Options, Simulator};
use tokio::signal::unix::{SignalKind, signal};

/// Plays the WeChat platform for mini-program developers and tests (微信平台模拟器).
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The address to listen on; port 0 takes a free one. Keep it on loopback: anyone who reaches
    /// it can make codes.
    #[arg(long, default_value = "127.0.0.1:9080")]
    listen: SocketAddr,

    /// An app to register, with its secret; apps with the same open-platform ACCOUNT share
    /// unionids. Repeatable; without any, the demo app wx4f4bc4dec97d474b with the secret
    /// demo-secret is registered.
    #[arg(long = "app", value_name = "APPID:SECRET[:ACCOUNT]", value_parser = parse_app)]
    apps: Vec<App>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut options = Options { listen: arguments.listen, ..Options::default() };
    if !arguments.apps.is_empty() {
        options.apps = arguments.apps;
    }
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("menlou-simulator: {}: {error}", arguments.listen);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(options: Options) -> io::Result<()> {
    // Before the first line is printed: whoever reads it may stop us at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let simulator = Simulator::start(options)?;
    greet(&simulator)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn greet(simulator: &Simulator) -> io::Result<()> {
    let (base, app) = (simulator.base_url(), simulator.first_app());
    let appid = app.appid();
    let mut out = io::stdout().lock();
    writeln!(out, "menlou-simulator listens on {base}  (help 帮助: open {base}/)")?;
    writeln!(out, "  login code 登录:  curl '{base}/_sim/code?appid={appid}&person=alice'")?;
    writeln!(out, "  phone code 手机:  curl '{base}/_sim/phone_code?appid={appid}&phone=13800138000'")?;
    out.flush()
}

fn parse_app(text: &str) -> Result<App, String> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(appid), Some(secret), account) => {
            let app = App::new(appid, secret);
            Ok(account.iter().fold(app, |app, account| app.open_platform(*account)))
        }
        _ => Err("expected APPID:SECRET or APPID:SECRET:ACCOUNT".to_owned()),
    }
}
