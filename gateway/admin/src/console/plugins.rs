//! The plugins: what they offer, which version serves, what came of new ones.

use super::{console_request::ConsoleRequest, layout::Layout, response::ConsoleResponse};
use crate::plugins::{self, Plugins};
use askama::Template;
use menlou_error::Result;

#[derive(Template)]
#[template(path = "plugins.html")]
struct Page {
    layout: Layout,
    told: Plugins,
}

/// `GET /console/plugins`
pub async fn show(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let told = plugins::list(request.state(), request.caller()?)?;
    ConsoleResponse::page(&Page { told, layout: request.layout })
}
