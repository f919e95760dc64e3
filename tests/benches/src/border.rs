//! The plugin border by itself: the empty action called in this process, against the same work linked in.

use crate::{
    Result,
    house::House,
    rounds::median,
    tools::{self, is_there, per_request},
};
use bytes::Bytes;
use http::{HeaderMap, Method};
use menlou::{
    action::{Action, Library, Scope, Services},
    call::{Call, Params, Reply},
    platform::{
        exchange::Exchanges,
        http::Http,
        wechat::{BASE_URL, Wechat, WechatAccount},
    },
    policy::attempts::Limits,
    store::{Settings, Stores},
    text::Language,
};
use std::{
    future::Future,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    pin::Pin,
    process::Command,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Calls in each round, each way.
const CALLS: u64 = 200_000;
/// Rounds, the two ways in turn.
const ROUNDS: usize = 9;
/// How often a plugin is loaded.
const LOADS: usize = 9;
/// Calls that valgrind sees, once and then twice over.
const SEEN: u64 = 10_000;

/// How the empty action is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// Through the border: checked, started, polled, dropped, its answer checked and copied.
    Plugin,
    /// A boxed future of a function that was linked in.
    Linked,
}

/// What the border costs beyond the linked function.
#[derive(Debug, serde::Serialize)]
pub struct Border {
    /// One call of the linked function, in nanoseconds, making the `Call` included.
    pub linked_ns: f64,
    /// What the border adds to it, in nanoseconds.
    pub added_ns: f64,
    /// What it adds in instructions.
    pub added_instructions: Option<f64>,
    /// What it adds in heap blocks, the plugin's too.
    pub added_allocations: Option<f64>,
    /// Loading a folder with one plugin, in milliseconds: checked, copied, opened, asked.
    pub load_ms: f64,
}

/// Measures it, on the servers' core.
pub fn measure(house: &House, no_tools: bool) -> Result<Border> {
    eprintln!("measuring: the border");
    let folder = house.folder().join("border");
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(house.plugins.join("empty.so"), folder.join("empty.so"))?;
    let (linked_ns, added_ns, load_ms) = house.cores.on_server(|| timed(&folder))??;
    let (mut added_instructions, mut added_allocations) = (None, None);
    if !no_tools && is_there("valgrind") {
        let seen = |way| per_request(SEEN, |calls| watched(house, &folder, way, calls));
        let (plugin, linked) = (seen("plugin")?, seen("linked")?);
        (added_instructions, added_allocations) = (Some(plugin.0 - linked.0), Some(plugin.1 - linked.1));
    }
    Ok(Border { linked_ns, added_ns, added_instructions, added_allocations, load_ms })
}

/// Calls the action `calls` times: this program started by itself, for valgrind.
pub fn call(plugins: &Path, way: Way, calls: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let action = runtime.block_on(action(plugins))?;
    go(&action, way, calls)
}

fn timed(folder: &Path) -> Result<(f64, f64, f64)> {
    let mut loads = Vec::new();
    std::thread::sleep(Duration::from_millis(500)); // a file that is younger is waited for
    for _ in 0..LOADS {
        let start = Instant::now();
        black_box(Library::load(folder)?);
        loads.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let action = runtime.block_on(action(folder))?;
    let (mut linked, mut added) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let time = |way| {
            let start = Instant::now();
            go(&action, way, CALLS).map(|()| start.elapsed().as_secs_f64() * 1e9 / CALLS as f64)
        };
        let (plugin, direct) = (time(Way::Plugin)?, time(Way::Linked)?);
        linked.push(direct);
        added.push(plugin - direct);
    }
    Ok((median(&linked), median(&added), median(&loads)))
}

fn watched(house: &House, folder: &Path, way: &str, calls: u64) -> Result<tools::Seen> {
    let out = house.folder().join("border.json");
    let words = tools::dhat(&out);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(std::env::current_exe()?).arg("border");
    command.arg("--plugins").arg(folder).args(["--way", way, "--calls", &calls.to_string()]);
    let output = command.output()?;
    match output.status.success() {
        true => tools::read(&out),
        false => Err(format!("valgrind: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn go(action: &Arc<Action>, way: Way, calls: u64) -> Result<()> {
    for _ in 0..calls {
        let call = black_box(empty_call());
        let reply = match way {
            Way::Plugin => now(Box::pin(action.run(call))),
            Way::Linked => now(linked(call)),
        };
        match black_box(reply) {
            Some(Ok(reply)) if *reply.data == *b"{}" => {}
            _ => return Err("the empty action did not answer {} at once".into()),
        }
    }
    Ok(())
}

#[inline(never)]
fn linked(call: Call) -> Pin<Box<dyn Future<Output = menlou::error::Result<Reply>> + Send>> {
    Box::pin(async move {
        black_box(&call);
        Ok(Reply { data: Bytes::from_static(b"{}") })
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
        tenant: "bench".into(),
        action: "empty".into(),
        language: Language::Zh,
        remote: IpAddr::V4(Ipv4Addr::LOCALHOST),
        deadline_unix_ms: u64::MAX,
        token: None,
        params: Params::new(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    }
}

/// The empty action of a tenant with real services, none of which it asks for anything.
async fn action(plugins: &Path) -> Result<Arc<Action>> {
    let path = plugins.join("border.db");
    let stores = Stores::open(&Settings { path, sessions: None, users: None }).await?;
    let http = Http::new().map_err(|e| format!("{e:?}"))?;
    let account = WechatAccount { appid: "wx".into(), secret: "-".into(), base_url: BASE_URL.into() };
    let platform = Wechat::new(account, "bench", http.clone(), stores.shared.clone());
    let attempts = Limits { per_account: 10, per_address: 200, window: Duration::from_secs(900) };
    let services = Arc::new(Services {
        sessions: stores.sessions,
        shared: stores.shared.clone(),
        users: stores.users,
        exchanges: Exchanges::new(stores.shared),
        http,
        allow_test_openids: false,
        attempts,
        hashing: Arc::new(Semaphore::new(1)),
    });
    let scope = Scope {
        tenant: "bench".into(),
        session_ttl: Duration::from_secs(3600),
        platform: Arc::new(platform),
        services,
    };
    let library = Library::load(plugins)?;
    if let Some(refused) = library.refused().first() {
        return Err(format!("{refused:?}").into());
    }
    let (plugin, index) = library.find("empty").ok_or("there is no empty.so")?;
    let settings = serde_json::json!({});
    let action = Action::new(plugin.clone(), index, &settings, Arc::new(scope));
    Ok(Arc::new(action.map_err(|faults| format!("{faults:?}"))?))
}
