//! Host functions that count attempts to log in with credentials that an action checks by itself.

use super::{entry::begin, users::identity};
use crate::{
    ffi::text,
    operation::{OpFuture, OpOutput},
    plugin_call::PluginCall,
};
use menlou_abi::{menlou_call, menlou_op, menlou_str};
use menlou_policy::rate_limits::login_attempts::{CredentialKind, LoginAttempt};

/// Maximum length of the name of an account, in bytes.
const MAX_ACCOUNT: usize = 4096;

pub(super) unsafe extern "C" fn record(call: *mut menlou_call, account: menlou_str) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe { begin(call, |call| attempt(call, text(account)?, false)) }
}

pub(super) unsafe extern "C" fn succeed(call: *mut menlou_call, account: menlou_str) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe { begin(call, |call| attempt(call, text(account)?, true)) }
}

fn attempt(call: &PluginCall, account: &str, has_succeeded: bool) -> Option<OpFuture> {
    if account.len() > MAX_ACCOUNT {
        return None;
    }
    let (scope, identity, address) = (call.scope(), identity(call)?, call.request.remote);
    let account = account.to_owned();
    Some(Box::pin(async move {
        let attempt = LoginAttempt {
            tenant: &scope.tenant,
            kind: CredentialKind::Action,
            account: &account,
            platform: &identity.platform,
            openid: &identity.openid,
            address,
        };
        let (store, attempts) = (&*scope.services.stores.ephemeral, &scope.services.attempts);
        match has_succeeded {
            false => attempts.record(store, &attempt).await?,
            true => attempts.record_success(store, &attempt).await?,
        }
        Ok(OpOutput::Nothing)
    }))
}
