//! The platform simulator: the server side of WeChat for mini-programs, on a loopback port.
//!
//! Tests start a [`Simulator`] and control it with its methods. The program `menlou-simulator` is the
//! same on a port of your choice, controlled over HTTP under `/_sim/`. The file `README.md` describes
//! the endpoints and lists which details could not be confirmed.
//!
//! ```
//! let sim = menlou_simulator::Simulator::start(Default::default())?;
//! let code = sim.code("alice");
//! // … the program under test exchanges `code` at `sim.base_url()` …
//! assert_eq!(sim.calls("/sns/jscode2session"), 0);
//! # Ok::<(), std::io::Error>(())
//! ```

mod app;
mod console;
mod control;
mod failure;
mod page;
mod params;
mod random;
mod server;
mod simulator;
mod state;
mod wechat;

pub use app::{App, DEMO_APPID, DEMO_SECRET};
pub use console::AppConsole;
pub use failure::{EVERY_PATH, Failure};
pub use simulator::{Options, Simulator};
pub use state::phone::PhoneNumber;
