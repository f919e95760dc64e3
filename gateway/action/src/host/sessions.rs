//! Host functions of sessions: open one for an identity that the call obtained, read and end the caller's.

use super::entry::begin;
use crate::ffi::text;
use crate::operation::OpOutput;
use ::menlou_call::Token;
use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use menlou_abi::{menlou_call, menlou_op, menlou_str};
use menlou_clock::unix_seconds;
use menlou_error::{Error, codes};
use menlou_store::Session;
use serde_json::json;

pub(super) unsafe extern "C" fn open(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let (person, test) = call.identity(text(openid)?)?;
            call.has_read_token.set(true);
            let scope = call.scope();
            Some(Box::pin(async move {
                let mut bits = [0; 32];
                rand::fill(&mut bits).map_err(|_| Error::new(&codes::INTERNAL_ERROR).with_cause("no random bytes"))?;
                let token = Token::new(&URL_SAFE_NO_PAD.encode(bits));
                let now = unix_seconds();
                let session = Session {
                    platform: scope.platform.name().to_owned(),
                    openid: person.openid.clone(),
                    unionid: person.unionid.clone(),
                    session_key: person.session_key.clone(),
                    test,
                    created_at: now,
                    expires_at: now + scope.session_ttl.as_secs(),
                };
                scope.services.stores.sessions.open(&scope.tenant, &menlou_policy::hash_token(&token), session).await?;
                scope.session_counter.session_opened();
                Ok(OpOutput::Json(json!({ "token": token.expose(), "expires_in": scope.session_ttl.as_secs() })))
            }))
        })
    }
}

pub(super) unsafe extern "C" fn current(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let (caller, token) = (call.caller.as_ref()?, call.request.token.as_ref()?);
            call.has_read_token.set(true);
            let left = caller.session.expires_at.saturating_sub(unix_seconds());
            let session = json!({ "token": token.expose(), "expires_in": left });
            Some(Box::pin(std::future::ready(Ok(OpOutput::Json(session)))))
        })
    }
}

pub(super) unsafe extern "C" fn end(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let (scope, token) = (call.scope(), call.caller.as_ref()?.token);
            Some(Box::pin(async move {
                scope.services.stores.sessions.end(&scope.tenant, &token).await?;
                Ok(OpOutput::Nothing)
            }))
        })
    }
}
