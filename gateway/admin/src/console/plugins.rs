//! The page of the plugins: their actions, rejected files and reloads.

use super::{console_request::ConsoleRequest, layout::Layout, response::ConsoleResponse};
use crate::plugins::{self, Plugins};
use askama::Template;
use menlou_error::Result;

#[derive(Template)]
#[template(path = "plugins.html")]
struct PluginsPage {
    layout: Layout,
    list: Plugins,
}

/// `GET /console/plugins`
pub async fn show(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let list = plugins::list(request.state(), request.caller()?)?;
    ConsoleResponse::page(&PluginsPage { list, layout: request.layout })
}
