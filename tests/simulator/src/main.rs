//! The program `menlou-simulator`: the simulator on a port of your choice, until SIGINT or SIGTERM.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use menlou_simulator::{App, Options, Simulator};
use tokio::signal::unix::{SignalKind, signal};

/// Simulates the WeChat platform for mini-program developers and tests (微信平台模拟器).
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The address to listen on; port 0 selects a free port. Use a loopback address: every client that
    /// can connect can create codes. 监听地址，端口 0 表示任选空闲端口；请只监听本机地址。
    #[arg(long, default_value = "127.0.0.1:9080")]
    listen: SocketAddr,

    /// An app to register, with its secret. Apps with the same open-platform ACCOUNT share unionids.
    /// Repeatable. The default is the demo app wx4f4bc4dec97d474b with the secret demo-secret.
    /// 登记的小程序及其密钥，可重复；默认为演示小程序。
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
    // Installed before the first line is printed: a reader of that line may send a signal immediately.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let simulator = Simulator::start(options)?;
    print_usage(&simulator)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn print_usage(simulator: &Simulator) -> io::Result<()> {
    let (base, app) = (simulator.base_url(), simulator.first_app());
    let appid = app.appid();
    let mut out = io::stdout().lock();
    writeln!(out, "menlou-simulator is listening on {base}  (usage 使用说明: {base}/)")?;
    writeln!(out, "  login code 登录:  curl '{base}/_sim/code?appid={appid}&person=alice'")?;
    writeln!(out, "  phone code 手机号: curl '{base}/_sim/phone_code?appid={appid}&phone=13800138000'")?;
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
