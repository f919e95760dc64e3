//! The simulator as tests hold it: started on a port, steered by methods, stopped on drop.

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
use crate::world::World;
use crate::world::phone::PhoneNumber;

/// How to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on; port 0 is a free one. By default a free port of 127.0.0.1.
    pub listen: SocketAddr,
    /// The registered apps, at least one; by default the demo app. The first is the one that is
    /// meant where none is named.
    pub apps: Vec<App>,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), apps: vec![App::default()] }
    }
}

/// A running simulator. It serves from a thread of its own, so that blocking and async tests can
/// use it alike; no method waits for the network. Dropping it closes the port and all connections.
pub struct Simulator {
    addr: SocketAddr,
    base_url: String,
    world: Arc<Mutex<World>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts it; it listens when this returns.
    ///
    /// # Errors
    /// If the address can't be listened on, or an app is faulty or none is given
    /// (`InvalidInput`).
    pub fn start(options: Options) -> io::Result<Self> {
        let invalid = |fault: &str| io::Error::new(io::ErrorKind::InvalidInput, fault);
        let mut apps = options.apps.into_iter();
        let first = apps.next().ok_or_else(|| invalid("no app is given"))?;
        if let Some(fault) = first.fault() {
            return Err(invalid(fault));
        }
        let mut world = World::new(first);
        for app in apps {
            world.register(app).map_err(invalid)?;
        }
        let world = Arc::new(Mutex::new(world));

        let listener = TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let served = world.clone();
        let thread = thread::Builder::new().name("simulator".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = server::serve(listener, served) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { addr, base_url: format!("http://{addr}"), world, stop: Some(stop), thread: Some(thread) })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What takes the place of `https://api.weixin.qq.com`, without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The app with this id, if it is registered.
    pub fn app(&self, appid: &str) -> Option<AppConsole<'_>> {
        let appid = lock(&self.world).known_appid(appid)?;
        Some(self.console(appid))
    }

    /// The first app of the options.
    pub fn first_app(&self) -> AppConsole<'_> {
        let appid = lock(&self.world).first_app();
        self.console(appid)
    }

    /// Registers one more app, or replaces one.
    ///
    /// # Errors
    /// A text for people if the app is faulty, or more than 10,000 are registered.
    pub fn register(&self, app: App) -> Result<(), &'static str> {
        lock(&self.world).register(app)
    }

    /// A fresh login code for this person in the first app.
    pub fn code(&self, person: &str) -> String {
        self.first_app().code(person)
    }

    /// A fresh login code for this openid in the first app.
    pub fn code_for_openid(&self, openid: &str) -> String {
        self.first_app().code_for_openid(openid)
    }

    /// The openid of this person in the first app.
    pub fn openid(&self, person: &str) -> String {
        self.first_app().openid(person)
    }

    /// A fresh phone code for a Chinese number in the first app.
    pub fn phone_code(&self, number: &str) -> String {
        self.first_app().phone_code(PhoneNumber::new(number))
    }

    /// Lets a login or phone code expire now; whether there was such a code.
    pub fn expire_code(&self, code: &str) -> bool {
        lock(&self.world).expire_code(code)
    }

    /// Moves the simulator's clock forward, for codes, tokens and timestamps.
    pub fn advance(&self, by: Duration) {
        lock(&self.world).clock.advance(by);
    }

    /// Lets the next `times` calls of a path fail; [`crate::EVERY_PATH`] stands for all. Failures
    /// of one path are used up in the order in which they were given.
    pub fn fail(&self, path: &str, failure: Failure, times: u32) {
        lock(&self.world).failures.add(path, failure, Some(times));
    }

    /// Lets all calls of a path fail until [`Simulator::clear_failures`].
    pub fn fail_until_cleared(&self, path: &str, failure: Failure) {
        lock(&self.world).failures.add(path, failure, None);
    }

    /// Forgets all failures that are still due. Calls that hang already go on hanging.
    pub fn clear_failures(&self) {
        lock(&self.world).failures.clear();
    }

    /// How many calls of this path have arrived, failed ones too; of paths that the platform does
    /// not have, under `unknown`.
    pub fn calls(&self, path: &str) -> u64 {
        lock(&self.world).calls().get(path).copied().unwrap_or(0)
    }

    /// How many calls of each path have arrived.
    pub fn all_calls(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.world).calls().clone()
    }

    /// Starts counting from zero.
    pub fn reset_calls(&self) {
        lock(&self.world).reset_calls();
    }

    fn console(&self, appid: Arc<str>) -> AppConsole<'_> {
        AppConsole { world: &self.world, appid }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // Either may be gone if the thread has ended by itself; then there is nothing to stop.
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

/// The world, also if a thread has panicked while it held the lock: each change is complete in
/// itself.
pub(crate) fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}
