//! The listener of both ports, and the request path of the traffic port.
//!
//! [`listener::serve`] serves any `tower::Service`. [`serve_traffic`] serves [`Handler`] within the [`layers`]. Tenants' actions
//! (`menlou_tenant`) handle the requests, and `menlou_policy` decides which requests are accepted.

pub mod addresses;
pub mod certificate_checks;
mod compress;
mod cors;
pub mod decode;
mod early_response;
mod encode;
mod forwarded;
mod guard;
mod handler;
mod http_service;
pub mod layers;
pub mod listener;
mod outcome;
pub mod proxies;
mod request_body;
mod request_id;
pub mod response_body;
mod stack;
pub mod tls;
mod traffic;

pub use guard::guard_config;
pub use handler::Handler;
pub use http_service::HttpService;
pub use stack::{TrafficService, serve_traffic};
pub use traffic::TrafficState;
