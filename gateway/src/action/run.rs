//! Serves one call of an action: who is calling, do the parameters fit, then the plugin.

use super::{flight::Running, live::Action};
use crate::{
    call::{Call, Reply},
    error::{Error, Result, words},
    policy,
    text::Text,
};
use http::Method;
use std::sync::Arc;

impl Action {
    /// Serves a call. Dropping the future drops the plugin's.
    pub async fn run(self: &Arc<Self>, mut call: Call) -> Result<Reply> {
        let descriptor = self.descriptor();
        if !descriptor.methods.contains(&call.method) {
            let methods = descriptor.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let text = Text::new(format!("请使用 {methods}"), format!("Use {methods}."));
            return Err(Error::new(&words::WRONG_HTTP_METHOD).saying(text).allowing(methods));
        }
        let caller = policy::admit(&call, &self.scope.tenant, self.access(), &self.scope.services.stores).await?;
        descriptor.params.fit(&mut call.params)?;
        Running::start(self.clone(), call, caller).answer().await
    }
}
