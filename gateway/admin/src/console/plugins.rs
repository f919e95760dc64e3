//! The plugins: what they offer, which version serves, what came of new ones.

use super::{answer::Answer, frame::Frame, visit::Visit};
use crate::plugins::{self, Plugins};
use askama::Template;
use menlou_error::Result;

#[derive(Template)]
#[template(path = "plugins.html")]
struct Page {
    frame: Frame,
    told: Plugins,
}

/// `GET /console/plugins`
pub async fn show(visit: Visit) -> Result<Answer> {
    let told = plugins::list(visit.desk(), visit.caller()?)?;
    Answer::page(&Page { told, frame: visit.frame })
}
