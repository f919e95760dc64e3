//! Measures the plugin ABI alone: the empty action called in this process, against the same work in a linked function.

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
use menlou_policy::rate_limits::{AttemptLimits, LoginAttempts};
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

/// Calls per round and variant.
const CALLS: u64 = 200_000;
/// Number of rounds; each loads the plugin and measures both variants. Odd, for the median.
const ROUNDS: usize = 9;
/// Age from which a plugin's file is loaded without a wait.
const SETTLED_AGE: Duration = Duration::from_millis(400);

/// How the empty action is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Variant {
    /// Through the plugin ABI.
    Plugin,
    /// As a linked function that returns a boxed future.
    Linked,
}

/// Measures the plugin ABI in one process.
#[derive(Parser)]
struct Arguments {
    /// Folder that contains only `empty.so`.
    #[arg(long)]
    plugins: PathBuf,
    /// Only call this variant, for a profiler; otherwise measure, and print the medians as JSON.
    #[arg(long, requires = "calls")]
    variant: Option<Variant>,
    /// Number of calls.
    #[arg(long, default_value_t = CALLS)]
    calls: u64,
}

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // The caller has just copied the plugin: without this wait, the loader would wait and spoil the first time.
    std::thread::sleep(SETTLED_AGE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let action = runtime.block_on(action(&arguments.plugins))?;
    match arguments.variant {
        Some(variant) => run(&action, variant, arguments.calls),
        None => measure(&arguments.plugins, &action),
    }
}

fn measure(plugins: &Path, action: &Arc<Action>) -> Result<()> {
    let (mut loads, mut linked, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(PluginRegistry::load(plugins)?);
        loads.push(start.elapsed().as_secs_f64() * 1e3);
        let time = |variant| {
            let start = Instant::now();
            run(action, variant, CALLS).map(|()| start.elapsed().as_secs_f64() * 1e9 / CALLS as f64)
        };
        let (plugin, direct) = (time(Variant::Plugin)?, time(Variant::Linked)?);
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

fn run(action: &Arc<Action>, variant: Variant, calls: u64) -> Result<()> {
    for _ in 0..calls {
        let call = black_box(empty_call());
        let reply = match variant {
            Variant::Plugin => poll_once(Box::pin(action.run(call))),
            Variant::Linked => poll_once(linked(call)),
        };
        match black_box(reply) {
            Some(Ok(Reply::Data(data))) if *data == *b"{}" => {}
            _ => return Err("the empty action did not return {} immediately".into()),
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

/// The output of a future that is ready at its first poll.
fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
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

/// The empty action of a tenant with real services, none of which it uses.
async fn action(plugins: &Path) -> Result<Arc<Action>> {
    let path = plugins.join("abi.db");
    let stores = Stores::open(&StoreConfig { path, prefix: "bench".into(), ..StoreConfig::default() }).await?;
    let http = HttpClient::new().map_err(|e| format!("{e:?}"))?;
    let credentials =
        WechatCredentials { appid: "wx".into(), secret: "-".into(), previous_secret: None, base_url: BASE_URL.into() };
    let platform = Wechat::new(credentials, "bench", http.clone(), stores.ephemeral.clone());
    let limits = AttemptLimits { per_account: 10, per_openid: 30, per_address: 200, window: Duration::from_secs(900) };
    let services = Arc::new(Services {
        exchanges: CodeExchange::new(stores.ephemeral.clone()),
        stores,
        http,
        allow_test_openids: false,
        attempts: LoginAttempts::new(limits),
        hashing: HashingQueue::new(1),
    });
    let scope = TenantScope {
        tenant: "bench".into(),
        session_ttl: Duration::from_secs(3600),
        platform: Arc::new(platform),
        services,
        session_counter: Arc::new(()),
    };
    let registry = PluginRegistry::load(plugins)?;
    if let Some(rejected) = registry.rejected().first() {
        return Err(format!("{rejected:?}").into());
    }
    let (plugin, index) = registry.find("empty", None).ok_or("there is no empty.so")?;
    let configured = ConfiguredAction::new(plugin.clone(), index, ("bench", "empty"), &serde_json::json!({}));
    Ok(Arc::new(configured.map_err(|errors| format!("{errors:?}"))?.serve(scope)))
}
