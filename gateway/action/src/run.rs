//! Serves a request with an action: method, caller, limits and parameters are checked, then the plugin runs.

use super::{instance::Action, plugin_future::PluginFuture};
use ::menlou_call::{Call, Reply};
use http::Method;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_policy::{
    self, Caller,
    rate_limits::{RateLimitPermit, RequestLimits},
};
use std::sync::Arc;

impl Action {
    /// Admits and serves a request, without rate limits. Dropping the future drops the plugin's future.
    pub async fn run(self: &Arc<Self>, call: Call) -> Result<Reply> {
        let caller = self.admit(&call, None).await?;
        self.serve(call, caller).await
    }

    /// Checks the HTTP method, the session and, if given, the rate limits. Returns the caller if the request has a session
    /// that the action uses.
    pub async fn admit(
        &self,
        call: &Call,
        limits: Option<(&RequestLimits, &mut RateLimitPermit)>,
    ) -> Result<Option<Caller>> {
        let descriptor = self.descriptor();
        if !descriptor.methods.contains(&call.method) {
            let methods = descriptor.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let text = Text::new(format!("请使用 {methods}"), format!("Use {methods}."));
            return Err(Error::new(&codes::WRONG_HTTP_METHOD).with_detail(text).allowing(methods));
        }
        menlou_policy::admit(call, &self.scope.tenant, self.access(), &self.scope.services.stores, limits).await
    }

    /// Serves a request of the caller that [`Action::admit`] returned. Dropping the future drops the plugin's future.
    pub async fn serve(self: &Arc<Self>, mut call: Call, caller: Option<Caller>) -> Result<Reply> {
        self.descriptor().params.convert(&mut call.params)?;
        PluginFuture::new(self.clone(), call, caller).reply().await
    }
}
