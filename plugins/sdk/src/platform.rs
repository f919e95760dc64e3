//! The tenant's account at the platform, as an action may use it: calls, and what hangs on the session's key.

use crate::{Call, Response, Result, ffi, operation};
use serde_json::{Map, Value};
use std::{future::Future, time::Duration};

impl<S> Call<S> {
    /// Calls the platform with the tenant's access token, which stays in the gateway. `path` is of plain segments
    /// (`/wxa/msg_sec_check`); `fields` are the query of a GET and the JSON body of a POST. The platform's refusals come
    /// as errors with `errcode` and `rid` in their data.
    ///
    /// ```
    /// use menlou_plugin::{Response, prelude::*, testing::Host};
    /// use serde_json::{Map, json};
    ///
    /// async fn poster(call: &Call, _: ()) -> Result<Response> {
    ///     let fields = Map::from_iter([("scene".to_owned(), json!("poster"))]);
    ///     match call.platform("POST", "/wxa/getwxacodeunlimit", &fields).await? {
    ///         Response::File { content_type, body } => Ok(Response::File { content_type, body }),
    ///         _ => Err(Error::internal("no picture")),
    ///     }
    /// }
    ///
    /// menlou_plugin::plugin! { name: "poster", actions: [Action::new("poster", poster)] }
    /// # fn main() {
    /// let host = Host::new().platform_response("/wxa/getwxacodeunlimit", "image/jpeg", b"a picture");
    /// assert_eq!(host.call(plugin(), "poster", json!({})).file.unwrap().1, b"a picture");
    /// # }
    /// ```
    pub fn platform(
        &self,
        method: &str,
        path: &str,
        fields: &Map<String, Value>,
    ) -> impl Future<Output = Result<Response<Map<String, Value>>>> + Send {
        let fields = serde_json::to_string(fields).unwrap_or_default(); // a map of JSON values always has its JSON
        let (method, path, fields) = (ffi::str(method), ffi::str(path), ffi::str(&fields));
        // SAFETY: inside this call, as `start` makes sure; texts are copied before it returns.
        let op = operation::start(self.host, |c| unsafe { (self.host.platform_call)(c, method, path, fields) });
        async {
            let answer = operation::found(op.await?)?;
            match answer.content_type() {
                Some(content_type) => {
                    Ok(Response::File { content_type: content_type.to_owned(), body: answer.bytes().to_vec() })
                }
                None => answer.json().map(Response::Data),
            }
        }
    }

    /// Opens what the platform encrypted for the caller, with the session's key, which stays in the gateway. Refused
    /// (`decrypt_failed`) where it is of another mini-program or older than `max_age`.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// use serde_json::{Map, Value};
    /// use std::time::Duration;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Params {
    ///     /// What wx.getUserInfo gave.
    ///     encrypted_data: String,
    ///     /// What it gave too.
    ///     iv: String,
    /// }
    ///
    /// async fn opened(call: &Call, params: Params) -> Result<Map<String, Value>> {
    ///     call.decrypt(&params.encrypted_data, &params.iv, Duration::from_secs(300)).await
    /// }
    ///
    /// let plain = json!({ "nickName": "Ann" });
    /// let host = Host::new().caller("o-ann").encrypted("data", "iv", plain, Duration::from_secs(60));
    /// let action = || Action::new("opened", opened).access(Access::Session);
    /// let reply = host.run(action(), json!({ "encrypted_data": "data", "iv": "iv" }));
    /// assert_eq!(reply.data["nickName"], "Ann");
    /// let reply = host.run(action(), json!({ "encrypted_data": "other", "iv": "iv" }));
    /// assert_eq!(reply.error.as_deref(), Some("decrypt_failed"));
    /// ```
    pub fn decrypt(
        &self,
        encrypted_data: &str,
        iv: &str,
        max_age: Duration,
    ) -> impl Future<Output = Result<Map<String, Value>>> + Send {
        let (data, iv) = (ffi::str(encrypted_data), ffi::str(iv));
        let age = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: as above.
        let op = operation::start(self.host, |c| unsafe { (self.host.decrypt)(c, data, iv, age) });
        async { operation::found(op.await?)?.json() }
    }

    /// Asks the platform whether the key of the caller's session is still valid: `session_expired` where it is not.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn renew(call: &Call, _: ()) -> Result<()> {
    ///     call.check_session_key().await?;
    ///     call.reset_session_key().await
    /// }
    ///
    /// let renew = || Action::new("renew", renew).access(Access::Session);
    /// let host = Host::new().caller("o-ann");
    /// assert_eq!((host.run(renew(), json!({})).error, host.session_key_resets()), (None, 1));
    /// let host = Host::new().caller("o-ann").expired_session_key();
    /// assert_eq!(host.run(renew(), json!({})).error.as_deref(), Some("session_expired"));
    /// ```
    pub fn check_session_key(&self) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: as above.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_key_check)(c) });
        async { op.await.map(drop) }
    }

    /// Has the platform give the caller a new key, which the gateway keeps in the session; `session_expired` where the old
    /// one is no longer valid. See [`check_session_key`](Call::check_session_key).
    pub fn reset_session_key(&self) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: as above.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_key_reset)(c) });
        async { op.await.map(drop) }
    }
}
