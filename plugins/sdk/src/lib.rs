//! Write an action of the Menlou gateway as an ordinary `async fn`, with typed parameters, settings and answer.
//!
//! [`plugin!`] has a whole plugin as its example; [`testing::Host`] runs it in a unit test. What the gateway does for
//! an action are the methods of [`Call`]. The SDK brings no runtime: a plugin links no tokio, no HTTP client, no
//! database driver, and asks the gateway instead.

mod action;
mod call;
mod error;
mod ffi;
mod handler;
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
pub use log::Level;
pub use menlou_abi as abi;
pub use response::{IntoResponse, Response};
pub use settings::{Address, Auth, ConfigDuration, ConfigErrors, Secret, Settings, Setup};
pub use stream::{BodyChunk, ForwardRequest, ResponseSent, ResponseWriter, Upstream, UpstreamOptions};
pub use users::{Identity, Session, User};

/// What most plugins need.
pub mod prelude {
    pub use crate::{
        Access, Action, Address, Call, ConfigDuration, ConfigErrors, Error, Level, Result, Secret, Settings, User,
    };
    pub use schemars::{self, JsonSchema};
    pub use serde::{Deserialize, Serialize};
}
