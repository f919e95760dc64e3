//! Requests to the platform, and operations with the session key.

use crate::{Call, Response, Result, ffi, operation};
use serde_json::{Map, Value};
use std::{future::Future, time::Duration};

impl<S> Call<S> {
    /// Sends a request to the platform with the tenant's access token, which the plugin never sees. `path` has plain
    /// segments (`/wxa/msg_sec_check`); `fields` are the query of a GET or the JSON body of a POST. Errors of the platform
    /// have `errcode` and `rid` in their data.
    ///
    /// ```
    /// use menlou_plugin::{Response, prelude::*, testing::Host};
    /// use serde_json::{Map, json};
    ///
    /// async fn poster(call: &Call, _: ()) -> Result<Response> {
    ///     let fields = Map::from_iter([("scene".to_owned(), json!("poster"))]);
    ///     match call.platform("POST", "/wxa/getwxacodeunlimit", &fields).await? {
    ///         Response::File { content_type, body } => Ok(Response::File { content_type, body }),
    ///         _ => Err(Error::internal("the platform returned no picture")),
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
        let fields = serde_json::to_string(fields).unwrap_or_default(); // cannot fail for a map of JSON values
        let (method, path, fields) = (ffi::str(method), ffi::str(path), ffi::str(&fields));
        // SAFETY: `start` asserts that this thread is inside the call; the gateway copies texts. The same holds below.
        let op = operation::start(self.host, |c| unsafe { (self.host.platform_call)(c, method, path, fields) });
        async {
            let output = operation::found(op.await?)?;
            match output.content_type() {
                Some(content_type) => {
                    Ok(Response::File { content_type: content_type.to_owned(), body: output.bytes().to_vec() })
                }
                None => output.json().map(Response::Data),
            }
        }
    }

    /// Decrypts data that the platform encrypted for the caller, with the session key, which the plugin never sees. Fails
    /// with `decrypt_failed` if the data is of another mini-program or older than `max_age`.
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
    ///     /// `encryptedData` of wx.getUserInfo.
    ///     encrypted_data: String,
    ///     /// `iv` of wx.getUserInfo.
    ///     iv: String,
    /// }
    ///
    /// async fn profile(call: &Call, params: Params) -> Result<Map<String, Value>> {
    ///     call.decrypt(&params.encrypted_data, &params.iv, Duration::from_secs(300)).await
    /// }
    ///
    /// let plain = json!({ "nickName": "Ann" });
    /// let host = Host::new().caller("o-ann").encrypted("data", "iv", plain, Duration::from_secs(60));
    /// let action = || Action::new("profile", profile).access(Access::Session);
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

    /// Asks the platform whether the key of the caller's session is still valid. Fails with `session_expired` if not.
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

    /// Has the platform issue a new key for the caller, which the gateway stores in the session. Fails with
    /// `session_expired` if the old key is no longer valid. See [`check_session_key`](Call::check_session_key).
    pub fn reset_session_key(&self) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: as above.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_key_reset)(c) });
        async { op.await.map(drop) }
    }
}
