//! The simulator as tests use it: started on a port, controlled by methods, stopped on drop.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::app::App;
use crate::console::AppConsole;
use crate::failure::Failure;
use crate::server;
use crate::state::PlatformState;
use crate::state::phone::PhoneNumber;

/// Options of a simulator.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on. Port 0 selects a free port. The default is a free port of 127.0.0.1.
    pub listen: SocketAddr,
    /// The registered apps, at least one. The default is the demo app. The first app is used where no
    /// appid is given.
    pub apps: Vec<App>,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), apps: vec![App::default()] }
    }
}

/// A running simulator. It has its own thread, so that both blocking and async tests can use it. No
/// method waits for the network. Dropping it closes the port and all connections.
pub struct Simulator {
    addr: SocketAddr,
    base_url: String,
    state: Arc<Mutex<PlatformState>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts a simulator, which listens when this function returns.
    ///
    /// # Errors
    /// The error of the listener, or `InvalidInput` if an app is invalid or no app is given.
    pub fn start(options: Options) -> io::Result<Self> {
        let invalid = |message: &str| io::Error::new(io::ErrorKind::InvalidInput, message);
        let mut apps = options.apps.into_iter();
        let first = apps.next().ok_or_else(|| invalid("no app is given"))?;
        first.validate().map_err(invalid)?;
        let mut state = PlatformState::new(first);
        for app in apps {
            state.register(app).map_err(invalid)?;
        }
        let state = Arc::new(Mutex::new(state));

        let listener = TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let served = state.clone();
        let thread = thread::Builder::new().name("simulator".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = server::serve(listener, served) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { addr, base_url: format!("http://{addr}"), state, stop: Some(stop), thread: Some(thread) })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL that replaces `https://api.weixin.qq.com`, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The app with this appid, if it is registered.
    pub fn app(&self, appid: &str) -> Option<AppConsole<'_>> {
        let appid = lock(&self.state).known_appid(appid)?;
        Some(self.console(appid))
    }

    /// The first app of [`Options::apps`].
    pub fn first_app(&self) -> AppConsole<'_> {
        let appid = lock(&self.state).first_app();
        self.console(appid)
    }

    /// Registers one more app, or replaces one.
    ///
    /// # Errors
    /// A message if the app is invalid or 10,000 apps are registered.
    pub fn register(&self, app: App) -> Result<(), &'static str> {
        lock(&self.state).register(app)
    }

    /// A new login code for this user in the first app. `person` is any name.
    pub fn code(&self, person: &str) -> String {
        self.first_app().code(person)
    }

    /// A new login code for this openid in the first app.
    pub fn code_for_openid(&self, openid: &str) -> String {
        self.first_app().code_for_openid(openid)
    }

    /// The openid of this user in the first app.
    pub fn openid(&self, person: &str) -> String {
        self.first_app().openid(person)
    }

    /// A new phone code for a Chinese number in the first app.
    pub fn phone_code(&self, number: &str) -> String {
        self.first_app().phone_code(PhoneNumber::new(number))
    }

    /// Lets a login or phone code expire now. False if the code is unknown.
    pub fn expire_code(&self, code: &str) -> bool {
        lock(&self.state).expire_code(code)
    }

    /// Moves the clock of the simulator forward, for codes, tokens and timestamps.
    pub fn advance(&self, duration: Duration) {
        lock(&self.state).clock.advance(duration);
    }

    /// Lets the next `times` calls of a path fail. [`crate::EVERY_PATH`] matches all paths. The failures
    /// of one path occur in the order in which they were added.
    pub fn fail(&self, path: &str, failure: Failure, times: u32) {
        lock(&self.state).failures.add(path, failure, Some(times));
    }

    /// Lets all calls of a path fail until [`Simulator::clear_failures`].
    pub fn fail_until_cleared(&self, path: &str, failure: Failure) {
        lock(&self.state).failures.add(path, failure, None);
    }

    /// Removes all failures that have not occurred yet. Calls that hang already continue to hang.
    pub fn clear_failures(&self) {
        lock(&self.state).failures.clear();
    }

    /// The number of calls of this path, failed ones included. Calls of unknown paths are counted as
    /// `unknown`.
    pub fn calls(&self, path: &str) -> u64 {
        lock(&self.state).calls().get(path).copied().unwrap_or(0)
    }

    /// The number of calls of each path.
    pub fn all_calls(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.state).calls().clone()
    }

    /// Resets the counters.
    pub fn reset_calls(&self) {
        lock(&self.state).reset_calls();
    }

    fn console(&self, appid: Arc<str>) -> AppConsole<'_> {
        AppConsole { state: &self.state, appid }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // An error means that the thread has ended already.
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// Locks the state, even if a thread has panicked while it held the lock: each change is complete in
/// itself.
pub(crate) fn lock(state: &Mutex<PlatformState>) -> MutexGuard<'_, PlatformState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
