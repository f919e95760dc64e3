//! Operations on login codes, sessions and accounts.

use crate::{
    Call, Result, ffi,
    identity::{Identity, Session, User},
    operation,
};
use serde::Deserialize;
use std::{future::Future, time::Duration};

#[derive(Deserialize)]
struct Phone {
    phone: String,
}

impl<S> Call<S> {
    /// Exchanges a login code with the platform. The same code within `replay_window` gets the first result again.
    ///
    /// ```
    /// use menlou_plugin::{Session, prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// use std::time::Duration;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Params {
    ///     /// The code of wx.login.
    ///     code: String,
    /// }
    ///
    /// async fn sign_in(call: &Call, params: Params) -> Result<Session> {
    ///     let identity = call.exchange(&params.code, Duration::from_secs(10)).await?;
    ///     call.open_session(&identity).await
    /// }
    ///
    /// let host = Host::new().code("a-code", "o-ann").reject_code("another", "user_blocked");
    /// let reply = host.run(Action::new("sign-in", sign_in), json!({ "code": "a-code" }));
    /// assert_eq!((reply.error, host.sessions()), (None, vec!["o-ann".to_owned()]));
    /// let reply = host.run(Action::new("sign-in", sign_in), json!({ "code": "another" }));
    /// assert_eq!(reply.error.as_deref(), Some("user_blocked"));
    /// ```
    pub fn exchange(&self, code: &str, replay_window: Duration) -> impl Future<Output = Result<Identity>> + Send {
        let window = u32::try_from(replay_window.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: `start` asserts that this thread is inside the call; the gateway copies texts. The same holds below.
        let op = operation::start(self.host, |c| unsafe { (self.host.exchange)(c, ffi::str(code), window) });
        async { operation::found(op.await?)?.json() }
    }

    /// Accepts an openid without a code. Rejected unless the gateway's config allows test openids. The action must check
    /// that the tenant's settings list this openid.
    ///
    /// ```
    /// use menlou_plugin::{Session, prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn sign_in(call: &Call, _: ()) -> Result<Session> {
    ///     let identity = call.test_identity("o-test").await?;
    ///     call.open_session(&identity).await
    /// }
    ///
    /// let reply = Host::new().run(Action::new("sign-in", sign_in), json!({}));
    /// assert_eq!(reply.error.as_deref(), Some("test_openid_refused"));
    /// let reply = Host::new().allow_test_openids().run(Action::new("sign-in", sign_in), json!({}));
    /// assert_eq!(reply.error, None);
    /// ```
    pub fn test_identity(&self, openid: &str) -> impl Future<Output = Result<Identity>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.test_identity)(c, ffi::str(openid)) });
        async { operation::found(op.await?)?.json() }
    }

    /// Opens a session for an identity that this call got from [`exchange`](Call::exchange) or
    /// [`test_identity`](Call::test_identity).
    pub fn open_session(&self, identity: &Identity) -> impl Future<Output = Result<Session>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_open)(c, ffi::str(&identity.openid)) });
        async { operation::found(op.await?)?.json() }
    }

    /// Reads the caller's session, with the token that the caller sent.
    ///
    /// ```
    /// use menlou_plugin::{Session, prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn current(call: &Call, _: ()) -> Result<Session> {
    ///     call.session().await
    /// }
    ///
    /// let action = Action::new("current", current).access(Access::Session);
    /// let reply = Host::new().caller("o-ann").run(action, json!({}));
    /// assert!(reply.data["expires_in"].as_u64() > Some(0));
    /// ```
    pub fn session(&self) -> impl Future<Output = Result<Session>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_current)(c) });
        async { operation::found(op.await?)?.json() }
    }

    /// Ends the caller's session.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn sign_out(call: &Call, _: ()) -> Result<()> {
    ///     call.unbind().await?;
    ///     call.end_session().await
    /// }
    ///
    /// let ann = User { id: 7, name: "Ann".into(), avatar_url: String::new() };
    /// let host = Host::new().caller("o-ann").bound("o-ann", ann);
    /// host.run(Action::new("sign-out", sign_out).access(Access::Session), json!({}));
    /// assert_eq!((host.user_for("o-ann"), host.account_count()), (None, 1));
    /// ```
    pub fn end_session(&self) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_end)(c) });
        async { op.await.map(drop) }
    }

    /// Exchanges a phone code for a phone number with the platform: E.164, `+8613800138000`. A code that another person than
    /// the caller obtained is rejected with `invalid_code`, if the platform can check that.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Params {
    ///     /// The code of getPhoneNumber.
    ///     phone_code: String,
    /// }
    ///
    /// async fn by_phone(call: &Call, params: Params) -> Result<User> {
    ///     let phone = call.phone_number(&params.phone_code).await?;
    ///     call.bind_phone(&phone).await
    /// }
    ///
    /// let host = Host::new().caller("o-ann").phone_code("a-code", "+8613800138000");
    /// let action = Action::new("by-phone", by_phone).access(Access::Session);
    /// let reply = host.run(action, json!({ "phone_code": "a-code" }));
    /// assert_eq!(host.user_for("o-ann").map(|user| user.id), reply.data["id"].as_i64());
    /// ```
    pub fn phone_number(&self, phone_code: &str) -> impl Future<Output = Result<String>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.phone_number)(c, ffi::str(phone_code)) });
        async { Ok(operation::found(op.await?)?.json::<Phone>()?.phone) }
    }

    /// Finds the account that an openid is bound to: the caller's openid, or one that this call got from
    /// [`exchange`](Call::exchange) or [`test_identity`](Call::test_identity).
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn known(call: &Call, _: ()) -> Result<User> {
    ///     let openid = call.openid().ok_or_else(|| Error::new("login_required"))?;
    ///     match call.find_user(openid).await? {
    ///         Some(user) => Ok(user),
    ///         None => Err(Error::new("not_registered").with_message("请先登录", "Log in first.")),
    ///     }
    /// }
    ///
    /// let action = Action::new("known", known).access(Access::Session);
    /// let reply = Host::new().caller("o-bob").run(action, json!({}));
    /// assert_eq!(reply.error.as_deref(), Some("not_registered"));
    /// ```
    pub fn find_user(&self, openid: &str) -> impl Future<Output = Result<Option<User>>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_find)(c, ffi::str(openid)) });
        async { op.await?.map(|found| found.json()).transpose() }
    }

    /// Binds the caller's openid to a new account. If it is bound already, returns that account unchanged.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn join(call: &Call, _: ()) -> Result<User> {
    ///     call.bind_new("Ann", "").await
    /// }
    ///
    /// let host = Host::new().caller("o-ann");
    /// for _ in 0..2 {
    ///     host.run(Action::new("join", join).access(Access::Session), json!({}));
    /// }
    /// assert_eq!(host.account_count(), 1);
    /// ```
    pub fn bind_new(&self, name: &str, avatar_url: &str) -> impl Future<Output = Result<User>> + Send {
        let (name, avatar_url) = (ffi::str(name), ffi::str(avatar_url));
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_bind_new)(c, name, avatar_url) });
        async { operation::found(op.await?)?.json() }
    }

    /// Binds the caller's openid to the account with this phone number, which is created if necessary. See
    /// [`phone_number`](Call::phone_number).
    pub fn bind_phone(&self, phone: &str) -> impl Future<Output = Result<User>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_bind_phone)(c, ffi::str(phone)) });
        async { operation::found(op.await?)?.json() }
    }

    /// Binds the caller's openid to the account with this `id` in the tenant's own login service. The account is created
    /// if necessary; its name and avatar URL are updated.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn member(call: &Call, _: ()) -> Result<User> {
    ///     call.bind_external("member-42", "Ann", "").await
    /// }
    ///
    /// let host = Host::new().caller("o-ann");
    /// let reply = host.run(Action::new("member", member).access(Access::Session), json!({}));
    /// assert_eq!(reply.data["name"], "Ann");
    /// ```
    pub fn bind_external(&self, id: &str, name: &str, avatar_url: &str) -> impl Future<Output = Result<User>> + Send {
        let (id, name, avatar_url) = (ffi::str(id), ffi::str(name), ffi::str(avatar_url));
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_bind_external)(c, id, name, avatar_url) });
        async { operation::found(op.await?)?.json() }
    }

    /// Checks an account name and a password, and binds the caller's openid to the account. Attempts are limited.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Params {
    ///     /// The account name.
    ///     account: String,
    ///     /// The password.
    ///     password: String,
    /// }
    ///
    /// async fn sign_in(call: &Call, params: Params) -> Result<User> {
    ///     call.bind_password(&params.account, &params.password).await
    /// }
    ///
    /// let ann = User { id: 7, name: "Ann".into(), avatar_url: String::new() };
    /// let host = Host::new().caller("o-ann").account("ann", "correct horse", ann);
    /// let action = || Action::new("sign-in", sign_in).access(Access::Session);
    /// let reply = host.run(action(), json!({ "account": "ann", "password": "a guess" }));
    /// assert_eq!(reply.error.as_deref(), Some("bad_credentials"));
    /// let reply = host.run(action(), json!({ "account": "ann", "password": "correct horse" }));
    /// assert_eq!(reply.data["id"], 7);
    /// ```
    pub fn bind_password(&self, account: &str, password: &str) -> impl Future<Output = Result<User>> + Send {
        let (account, password) = (ffi::str(account), ffi::str(password));
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_bind_password)(c, account, password) });
        async { operation::found(op.await?)?.json() }
    }

    /// Counts an attempt to log in to an account whose credentials the action checks by itself. Call it before the check,
    /// and [`attempt_succeeded`](Call::attempt_succeeded) after a successful one. Attempts are limited per account, per
    /// openid and per client address; beyond a limit this fails with `too_many_attempts`.
    ///
    /// ```
    /// use menlou_plugin::{HttpRequest, prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Params {
    ///     /// The card's number.
    ///     card: String,
    /// }
    ///
    /// async fn by_card(call: &Call, params: Params) -> Result<User> {
    ///     call.record_attempt(&params.card).await?;
    ///     let request = HttpRequest { method: "POST", url: "https://cards.example.com/", ..HttpRequest::default() };
    ///     if call.http(&request).await?.status != 200 {
    ///         return Err(Error::new("bad_credentials"));
    ///     }
    ///     call.attempt_succeeded(&params.card).await?;
    ///     call.bind_external(&params.card, "", "").await
    /// }
    ///
    /// let action = || Action::new("by-card", by_card).access(Access::Session);
    /// let host = Host::new().caller("o-ann").http_response("POST", "https://cards.example.com/", 401, "");
    /// host.run(action(), json!({ "card": "17" }));
    /// assert_eq!(host.attempts(), ["17"]);
    /// let host = host.exhaust_attempts();
    /// assert_eq!(host.run(action(), json!({ "card": "17" })).error.as_deref(), Some("too_many_attempts"));
    /// ```
    pub fn record_attempt(&self, account: &str) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.attempt_record)(c, ffi::str(account)) });
        async { op.await.map(drop) }
    }

    /// Reports that the credentials of the attempt were right. See [`record_attempt`](Call::record_attempt).
    pub fn attempt_succeeded(&self, account: &str) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.attempt_succeed)(c, ffi::str(account)) });
        async { op.await.map(drop) }
    }

    /// Removes the binding of the caller's openid; the account stays. See [`end_session`](Call::end_session).
    pub fn unbind(&self) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_unbind)(c) });
        async { op.await.map(drop) }
    }

    /// Updates name and avatar URL of the caller's account; `None` leaves a value unchanged.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn rename(call: &Call, _: ()) -> Result<User> {
    ///     call.update_user(Some("Anna"), None).await
    /// }
    ///
    /// let ann = User { id: 7, name: "Ann".into(), avatar_url: "a.png".into() };
    /// let host = Host::new().caller("o-ann").bound("o-ann", ann);
    /// let reply = host.run(Action::new("rename", rename).access(Access::User), json!({}));
    /// assert_eq!((&reply.data["name"], &reply.data["avatar_url"]), (&json!("Anna"), &json!("a.png")));
    /// ```
    pub fn update_user(
        &self,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> impl Future<Output = Result<User>> + Send {
        let (name, avatar_url) = (ffi::option(name), ffi::option(avatar_url));
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_update)(c, name, avatar_url) });
        async { operation::found(op.await?)?.json() }
    }
}
