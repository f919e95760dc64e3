//! People: whose code it is, their sessions, their accounts.

use crate::{Call, Result, ffi, operation};
use serde::{Deserialize, Serialize};
use std::{future::Future, time::Duration};

/// An account of the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct User {
    /// 用户 ID。The account's id.
    pub id: i64,
    /// 姓名。The name to show; may be empty.
    pub name: String,
    /// 头像。The picture to show; may be empty.
    pub avatar_url: String,
}

/// The person behind a login code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The person's id in this mini-program.
    pub openid: String,
    /// The person's id across apps, where the platform gives it.
    #[serde(default)]
    pub unionid: Option<String>,
}

/// A session just opened.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Session {
    /// 会话令牌，以 Authorization: Bearer 发送。To be sent as `Authorization: Bearer <token>`.
    pub token: String,
    /// 剩余秒数。Seconds until it ends.
    pub expires_in: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Phone {
    phone: String,
}

impl<S> Call<S> {
    /// Asks the platform whose login code this is. The same code again within `replay_window` is answered as the first was.
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
    /// async fn enter(call: &Call, params: Params) -> Result<Session> {
    ///     let identity = call.exchange(&params.code, Duration::from_secs(10)).await?;
    ///     call.open_session(&identity).await
    /// }
    ///
    /// let host = Host::new().code("a-code", "o-ann").reject_code("another", "user_blocked");
    /// let reply = host.run(Action::new("enter", enter), json!({ "code": "a-code" }));
    /// assert_eq!((reply.error, host.sessions()), (None, vec!["o-ann".to_owned()]));
    /// let reply = host.run(Action::new("enter", enter), json!({ "code": "another" }));
    /// assert_eq!(reply.error.as_deref(), Some("user_blocked"));
    /// ```
    pub fn exchange(&self, code: &str, replay_window: Duration) -> impl Future<Output = Result<Identity>> + Send {
        let window = u32::try_from(replay_window.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: inside this call, as `start` makes sure, here and below; texts are copied before it returns.
        let op = operation::start(self.host, |c| unsafe { (self.host.exchange)(c, ffi::str(code), window) });
        async { operation::found(op.await?)?.json() }
    }

    /// Takes an openid without a code: refused unless the gateway's config allows test openids. That the tenant's
    /// settings list this openid is for the action to check.
    ///
    /// ```
    /// use menlou_plugin::{Session, prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn enter(call: &Call, _: ()) -> Result<Session> {
    ///     let identity = call.test_identity("o-test").await?;
    ///     call.open_session(&identity).await
    /// }
    ///
    /// let reply = Host::new().run(Action::new("enter", enter), json!({}));
    /// assert_eq!(reply.error.as_deref(), Some("test_openid_refused"));
    /// let reply = Host::new().allow_test_openids().run(Action::new("enter", enter), json!({}));
    /// assert_eq!(reply.error, None);
    /// ```
    pub fn test_identity(&self, openid: &str) -> impl Future<Output = Result<Identity>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.test_identity)(c, ffi::str(openid)) });
        async { operation::found(op.await?)?.json() }
    }

    /// Opens a session for an identity that this call got by [`exchange`](Call::exchange) or
    /// [`test_identity`](Call::test_identity).
    pub fn open_session(&self, identity: &Identity) -> impl Future<Output = Result<Session>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_open)(c, ffi::str(&identity.openid)) });
        async { operation::found(op.await?)?.json() }
    }

    /// The caller's session, with the token that the caller sent.
    ///
    /// ```
    /// use menlou_plugin::{Session, prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn still(call: &Call, _: ()) -> Result<Session> {
    ///     call.session().await
    /// }
    ///
    /// let action = Action::new("still", still).access(Access::Session);
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
    /// async fn leave(call: &Call, _: ()) -> Result<()> {
    ///     call.unbind().await?;
    ///     call.end_session().await
    /// }
    ///
    /// let ann = User { id: 7, name: "Ann".into(), avatar_url: String::new() };
    /// let host = Host::new().caller("o-ann").bound("o-ann", ann);
    /// host.run(Action::new("leave", leave).access(Access::Session), json!({}));
    /// assert_eq!((host.user_for("o-ann"), host.account_count()), (None, 1));
    /// ```
    pub fn end_session(&self) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_end)(c) });
        async { op.await.map(drop) }
    }

    /// Asks the platform for the phone number behind a phone code: E.164, `+8613800138000`.
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

    /// The account that an openid is bound to: the caller's own, or one that this call got.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn known(call: &Call, _: ()) -> Result<User> {
    ///     let openid = call.openid().ok_or_else(|| Error::new("login_required"))?;
    ///     match call.find_user(openid).await? {
    ///         Some(user) => Ok(user),
    ///         None => Err(Error::new("not_yet_here").with_message("请先登录", "Log in first.")),
    ///     }
    /// }
    ///
    /// let action = Action::new("known", known).access(Access::Session);
    /// let reply = Host::new().caller("o-bob").run(action, json!({}));
    /// assert_eq!(reply.error.as_deref(), Some("not_yet_here"));
    /// ```
    pub fn find_user(&self, openid: &str) -> impl Future<Output = Result<Option<User>>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_find)(c, ffi::str(openid)) });
        async { op.await?.map(|found| found.json()).transpose() }
    }

    /// Binds the caller's openid to a new account; where it is bound already, gives that account as it is.
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

    /// Binds the caller's openid to the account with this phone number, made if there is none; see
    /// [`phone_number`](Call::phone_number).
    pub fn bind_phone(&self, phone: &str) -> impl Future<Output = Result<User>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_bind_phone)(c, ffi::str(phone)) });
        async { operation::found(op.await?)?.json() }
    }

    /// Binds the caller's openid to the account that the tenant's own login service knows by `id`, made if there is none.
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

    /// Checks account and password (attempts are limited) and binds the caller's openid to the account.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Params {
    ///     /// The account.
    ///     account: String,
    ///     /// Its password.
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

    /// Takes the binding of the caller's openid away; the account stays. See [`end_session`](Call::end_session).
    pub fn unbind(&self) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_unbind)(c) });
        async { op.await.map(drop) }
    }

    /// Changes name and picture of the caller's account where given.
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
