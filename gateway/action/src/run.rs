//! Serves one call of an action: who is calling, do the parameters fit, then the plugin.

use super::{instance::Action, plugin_call::PluginFuture};
use ::menlou_call::{Call, Reply};
use http::Method;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_policy::{
    self, Caller,
    limits::{RateLimitPermit, RequestLimits},
};
use std::sync::Arc;

impl Action {
    /// Serves a call, whoever may make it. Dropping the future drops the plugin's.
    pub async fn run(self: &Arc<Self>, call: Call) -> Result<Reply> {
        let caller = self.admit(&call, None).await?;
        self.serve(call, caller).await
    }

    /// Who is calling, as far as the action needs to know, or why the call may not pass: the limits are asked too, where
    /// they are given.
    pub async fn admit(
        &self,
        call: &Call,
        limits: Option<(&RequestLimits, &mut RateLimitPermit)>,
    ) -> Result<Option<Caller>> {
        let descriptor = self.descriptor();
        if !descriptor.methods.contains(&call.method) {
            let methods = descriptor.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let text = Text::new(format!("请使用 {methods}"), format!("Use {methods}."));
            return Err(Error::new(&codes::WRONG_HTTP_METHOD).with_message(text).allowing(methods));
        }
        menlou_policy::admit(call, &self.scope.tenant, self.access(), &self.scope.services.stores, limits).await
    }

    /// Serves a call of this caller, as [`Action::admit`] gave it. Dropping the future drops the plugin's.
    pub async fn serve(self: &Arc<Self>, mut call: Call, caller: Option<Caller>) -> Result<Reply> {
        self.descriptor().params.fit(&mut call.params)?;
        PluginFuture::start(self.clone(), call, caller).answer().await
    }
}
