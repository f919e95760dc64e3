//! Write an action of the Menlou gateway as an ordinary `async fn`, with typed parameters, settings and answer.
//!
//! [`plugin!`] has a whole plugin as its example; [`testing::Host`] runs it in a unit test. What the gateway does for
//! an action are the methods of [`Call`]. The SDK brings no runtime: a plugin links no tokio, no HTTP client, no
//! database driver, and asks the gateway instead.

mod action;
mod answer;
mod call;
mod error;
mod guard;
mod handler;
mod log;
mod operation;
mod params;
mod people;
mod platform;
mod raw;
mod settings;
mod stream;
mod task;
pub mod testing;
mod waker;

pub use action::{Access, Action, describe};
pub use answer::{Answer, IntoAnswer};
pub use call::{Call, HttpRequest, HttpResponse};
pub use error::{Error, Result};
pub use handler::{Handler, HandlerFor};
pub use log::Level;
pub use menlou_abi as abi;
pub use people::{Identity, Session, User};
pub use settings::{Address, Faults, Login, Period, Secret, Settings, Setup};
pub use stream::{Answered, Forward, Piece, Upstream, UpstreamOptions, Writer};

/// What most plugins need.
pub mod prelude {
    pub use crate::{Access, Action, Address, Call, Error, Faults, Level, Period, Result, Secret, Settings, User};
    pub use schemars::{self, JsonSchema};
    pub use serde::{Deserialize, Serialize};
}
