//! Host functions of accounts: find one by an openid that the call obtained, bind and change the caller's.

use super::entry::begin;
use crate::ffi::text;
use crate::operation::{OpFuture, OpOutput};
use crate::plugin_call::PluginCall;
use crate::services::TenantScope;
use menlou_abi::{menlou_call, menlou_op, menlou_str};
use menlou_error::{Error, Result, codes};
use menlou_policy::{
    password, profile,
    rate_limits::login_attempts::{CredentialKind, LoginAttempt},
};
use menlou_store::{AccountSelector, Identity, User};
use secrecy::SecretString;
use serde_json::json;
use std::sync::Arc;

pub(super) unsafe extern "C" fn find(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let openid = text(openid)?.to_owned();
            let is_own = call.caller.as_ref().is_some_and(|c| c.session.openid == openid);
            if !is_own && call.identity(&openid).is_none() {
                return None;
            }
            let scope = call.scope();
            Some(Box::pin(async move {
                let found = scope.services.stores.users.find(&scope.tenant, scope.platform.name(), &openid).await?;
                Ok(found.map_or(OpOutput::NotFound, |user| user_json(&user)))
            }))
        })
    }
}

pub(super) unsafe extern "C" fn bind_new(
    call: *mut menlou_call,
    name: menlou_str,
    avatar_url: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let (name, avatar_url) = (text(name)?.to_owned(), text(avatar_url)?.to_owned());
            bind(call, |scope, identity| async move {
                let name = profile::require_name(&name)?;
                profile::require_avatar_url(&avatar_url)?;
                let account = AccountSelector::New { name: &name, avatar_url: &avatar_url };
                scope.services.stores.users.bind(&scope.tenant, &identity, account).await.map_err(Error::from)
            })
        })
    }
}

pub(super) unsafe extern "C" fn bind_phone(call: *mut menlou_call, phone: menlou_str) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let phone = text(phone)?.to_owned();
            let digits = phone.strip_prefix('+')?;
            if !(5..=20).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            bind(call, |scope, identity| async move {
                let bound =
                    scope.services.stores.users.bind(&scope.tenant, &identity, AccountSelector::Phone(&phone)).await;
                bound.map_err(Error::from)
            })
        })
    }
}

pub(super) unsafe extern "C" fn bind_external(
    call: *mut menlou_call,
    id: menlou_str,
    name: menlou_str,
    avatar_url: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let id = text(id).filter(|id| (1..=256).contains(&id.len()))?.to_owned();
            // They come from the tenant's service, not from the user, who could not correct them. The login succeeds without.
            let name = profile::normalize_name(text(name)?).unwrap_or_default();
            let avatar_url =
                Some(text(avatar_url)?).filter(|url| profile::is_avatar_url(url)).unwrap_or_default().to_owned();
            bind(call, |scope, identity| async move {
                let account = AccountSelector::External { id: &id, name: &name, avatar_url: &avatar_url };
                scope.services.stores.users.bind(&scope.tenant, &identity, account).await.map_err(Error::from)
            })
        })
    }
}

pub(super) unsafe extern "C" fn bind_password(
    call: *mut menlou_call,
    account: menlou_str,
    given: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let (account, given) = (text(account)?.to_owned(), SecretString::from(text(given)?));
            let address = call.request.remote;
            bind(call, |scope, identity| async move {
                let services = &scope.services;
                // Before the attempt is counted, so that a login that is rejected here costs neither work nor an attempt.
                services.hashing.check(&scope.tenant)?;
                let attempt = LoginAttempt {
                    tenant: &scope.tenant,
                    kind: CredentialKind::Password,
                    account: &account,
                    platform: &identity.platform,
                    openid: &identity.openid,
                    address,
                };
                services.attempts.record(&*services.stores.ephemeral, &attempt).await?;
                let known = services.stores.users.credentials(&scope.tenant, &account).await?;
                let (user, hash) = known.map(|c| (c.user, c.password_hash)).unzip();
                let permit = services.hashing.acquire(&scope.tenant).await?;
                if !password::verify(permit, given, hash).await? {
                    return Err(Error::new(&codes::BAD_CREDENTIALS));
                }
                services.attempts.record_success(&*services.stores.ephemeral, &attempt).await?;
                let existing = AccountSelector::Existing(user.unwrap_or_default());
                Ok(services.stores.users.bind(&scope.tenant, &identity, existing).await?)
            })
        })
    }
}

pub(super) unsafe extern "C" fn unbind(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let (scope, identity) = (call.scope(), identity(call)?);
            Some(Box::pin(async move {
                scope.services.stores.users.unbind(&scope.tenant, &identity.platform, &identity.openid).await?;
                Ok(OpOutput::Nothing)
            }))
        })
    }
}

pub(super) unsafe extern "C" fn update(
    call: *mut menlou_call,
    name: menlou_str,
    avatar_url: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            // A NULL text means no change.
            let optional =
                |s: menlou_str| if s.ptr.is_null() { Some(None) } else { text(s).map(|t| Some(t.to_owned())) };
            let (name, avatar_url) = (optional(name)?, optional(avatar_url)?);
            let (scope, user) = (call.scope(), call.caller.as_ref()?.user.as_ref()?.id);
            Some(Box::pin(async move {
                let name = name.as_deref().map(profile::require_name).transpose()?;
                avatar_url.as_deref().map(profile::require_avatar_url).transpose()?;
                let users = &scope.services.stores.users;
                let changed = users.update(&scope.tenant, user, name.as_deref(), avatar_url.as_deref()).await?;
                changed.map(|user| user_json(&user)).ok_or_else(|| Error::new(&codes::LOGIN_REQUIRED))
            }))
        })
    }
}

/// An operation that binds the caller's openid to an account and returns the account. `None` if the caller has no session.
fn bind<F>(call: &PluginCall, operation: impl FnOnce(TenantScope, Identity) -> F) -> Option<OpFuture>
where
    F: Future<Output = Result<Option<Arc<User>>>> + Send + 'static,
{
    let binding = operation(call.scope(), identity(call)?);
    Some(Box::pin(async move {
        let bound = binding.await?;
        bound.map(|user| user_json(&user)).ok_or_else(|| Error::new(&codes::BAD_CREDENTIALS))
    }))
}

/// The identity of the caller's session.
pub(super) fn identity(call: &PluginCall) -> Option<Identity> {
    let session = &call.caller.as_ref()?.session;
    Some(Identity {
        platform: session.platform.clone(),
        openid: session.openid.clone(),
        unionid: session.unionid.clone(),
    })
}

fn user_json(user: &User) -> OpOutput {
    OpOutput::Json(json!(user))
}
