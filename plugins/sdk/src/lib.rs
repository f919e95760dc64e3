//! The SDK for plugins of the Menlou gateway: an action is an `async fn` with typed parameters, settings and data.
//!
//! [`plugin!`] shows a complete plugin; [`testing::Host`] runs it in a unit test. The methods of [`Call`] are the
//! services of the gateway. A plugin needs no async runtime, no HTTP client and no database driver: it uses the
//! gateway's.

mod action;
mod call;
mod error;
mod ffi;
mod handler;
mod identity;
mod log;
mod operation;
mod panic_guard;
mod params;
mod platform;
mod response;
mod settings;
mod stream;
mod task;
pub mod testing;
mod users;
mod waker;

pub use action::{Access, Action, describe};
pub use call::{Call, HttpRequest, HttpResponse};
pub use error::{Error, Result};
pub use handler::{Handler, HandlerFor};
pub use identity::{Identity, Session, User};
pub use log::Level;
pub use menlou_abi as abi;
pub use response::{IntoResponse, Response};
pub use settings::{Address, Auth, ConfigDuration, ConfigErrors, Secret, Settings, Setup};
pub use stream::{BodyChunk, ForwardRequest, ResponseSent, ResponseWriter, Upstream, UpstreamOptions};

/// The items that most plugins need.
pub mod prelude {
    pub use crate::{
        Access, Action, Address, Call, ConfigDuration, ConfigErrors, Error, Level, Result, Secret, Settings, User,
    };
    pub use schemars::{self, JsonSchema};
    pub use serde::{Deserialize, Serialize};
}
