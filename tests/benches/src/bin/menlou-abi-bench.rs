//! The plugin ABI by itself: the empty action called in this process, against the same work linked in.

use bytes::Bytes;
use clap::Parser;
use http::{HeaderMap, Method};
use menlou_action::{Action, ConfiguredAction, PluginRegistry, Services, TenantScope};
use menlou_call::{Call, Params, Reply};
use menlou_error::text::Language;
use menlou_platform::{
    exchange::CodeExchange,
    http::HttpClient,
    wechat::{BASE_URL, Wechat, WechatCredentials},
};
use menlou_policy::HashingQueue;
use menlou_policy::rate_limits::AttemptLimits;
use menlou_store::{StoreConfig, Stores};
use std::{
    error::Error,
    future::Future,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Calls in each round, each way.
const CALLS: u64 = 200_000;
/// Rounds, the two ways in turn, and loading before each; an odd number.
const ROUNDS: usize = 9;
/// A plugin's file that was written to more recently is waited for.
const YOUNG: Duration = Duration::from_millis(400);

/// How the empty action is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// Through the plugin ABI: checked, started, polled, dropped, its answer checked and copied.
    Plugin,
    /// A boxed future of a function that was linked in.
    Linked,
}

/// Measures the plugin ABI in one process.
#[derive(Parser)]
struct Arguments {
    /// A folder with `empty.so` alone.
    #[arg(long)]
    plugins: PathBuf,
    /// Only call, this way, for another program to count; otherwise measure, and write the medians as JSON.
    #[arg(long, requires = "calls")]
    way: Option<Way>,
    /// How often.
    #[arg(long, default_value_t = CALLS)]
    calls: u64,
}

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::thread::sleep(YOUNG);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let action = runtime.block_on(action(&arguments.plugins))?;
    match arguments.way {
        Some(way) => go(&action, way, arguments.calls),
        None => measure(&arguments.plugins, &action),
    }
}

fn measure(plugins: &Path, action: &Arc<Action>) -> Result<()> {
    let (mut loads, mut linked, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(PluginRegistry::load(plugins)?);
        loads.push(start.elapsed().as_secs_f64() * 1e3);
        let time = |way| {
            let start = Instant::now();
            go(action, way, CALLS).map(|()| start.elapsed().as_secs_f64() * 1e9 / CALLS as f64)
        };
        let (plugin, direct) = (time(Way::Plugin)?, time(Way::Linked)?);
        linked.push(direct);
        added.push(plugin - direct);
    }
    let (linked, added, load) = (median(linked), median(added), median(loads));
    println!("{}", serde_json::json!({ "linked_ns": linked, "added_ns": added, "load_ms": load }));
    Ok(())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn go(action: &Arc<Action>, way: Way, calls: u64) -> Result<()> {
    for _ in 0..calls {
        let call = black_box(empty_call());
        let reply = match way {
            Way::Plugin => now(Box::pin(action.run(call))),
            Way::Linked => now(linked(call)),
        };
        match black_box(reply) {
            Some(Ok(Reply::Data(data))) if *data == *b"{}" => {}
            _ => return Err("the empty action did not answer {} at once".into()),
        }
    }
    Ok(())
}

#[inline(never)]
fn linked(call: Call) -> Pin<Box<dyn Future<Output = menlou_error::Result<Reply>> + Send>> {
    Box::pin(async move {
        black_box(&call);
        Ok(Reply::Data(Bytes::from_static(b"{}")))
    })
}

/// What a future gives that need not wait.
fn now<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    match Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn empty_call() -> Call {
    Call {
        id: "bench".into(),
        method: Method::POST,
        path: "/srv/".into(),
        subpath: String::new(),
        query: String::new(),
        action: "empty".into(),
        language: Language::Zh,
        remote: IpAddr::V4(Ipv4Addr::LOCALHOST),
        deadline_unix_ms: u64::MAX,
        token: None,
        params: Params::new(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        unread: None,
        stream_idle_timeout: std::time::Duration::from_secs(10),
    }
}

/// The empty action of a tenant with real services, none of which it asks for anything.
async fn action(plugins: &Path) -> Result<Arc<Action>> {
    let path = plugins.join("abi.db");
    let stores = Stores::open(&StoreConfig { path, prefix: "bench".into(), ..StoreConfig::default() }).await?;
    let http = HttpClient::new().map_err(|e| format!("{e:?}"))?;
    let account =
        WechatCredentials { appid: "wx".into(), secret: "-".into(), previous_secret: None, base_url: BASE_URL.into() };
    let platform = Wechat::new(account, "bench", http.clone(), stores.ephemeral.clone());
    let attempts =
        AttemptLimits { per_account: 10, per_openid: 30, per_address: 200, window: Duration::from_secs(900) };
    let services = Arc::new(Services {
        exchanges: CodeExchange::new(stores.ephemeral.clone()),
        stores,
        http,
        allow_test_openids: false,
        attempts,
        hashing: HashingQueue::new(1),
    });
    let scope = TenantScope {
        tenant: "bench".into(),
        session_ttl: Duration::from_secs(3600),
        platform: Arc::new(platform),
        services,
        session_counter: Arc::new(()),
    };
    let library = PluginRegistry::load(plugins)?;
    if let Some(refused) = library.rejected().first() {
        return Err(format!("{refused:?}").into());
    }
    let (plugin, index) = library.find("empty", None).ok_or("there is no empty.so")?;
    let configured = ConfiguredAction::new(plugin.clone(), index, ("bench", "empty"), &serde_json::json!({}));
    Ok(Arc::new(configured.map_err(|faults| format!("{faults:?}"))?.serve(scope)))
}
