//! The platform simulator: WeChat's server side of a mini-program, played on a loopback port.
//!
//! Tests hold a [`Simulator`] and steer it with its methods; the program `menlou-simulator` is the
//! same thing on a port of your choice, steered over HTTP under `/_sim/`. What each endpoint does,
//! and which details could not be confirmed, is told in this folder's `README.md`.
//!
//! ```
//! let sim = menlou_simulator::Simulator::start(Default::default())?;
//! let code = sim.code("alice");
//! // … let the program under test exchange `code` at `sim.base_url()` …
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
mod wechat;
mod world;

pub use app::{App, DEMO_APPID, DEMO_SECRET};
pub use console::AppConsole;
pub use failure::{EVERY_PATH, Failure};
pub use simulator::{Options, Simulator};
pub use world::phone::PhoneNumber;
