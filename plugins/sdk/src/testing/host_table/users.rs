//! Login codes, sessions and accounts of the in-memory gateway.

use crate::{
    User,
    testing::{
        state::Account,
        test_call::{call_ref, failed, json_output, not_found, text},
    },
};
use menlou_abi::*;
use serde_json::{Value, json};
use std::ptr;

// SAFETY of all functions below: see the table above.

fn user_output(user: User) -> *mut menlou_op {
    json_output(json!(user))
}

pub(super) unsafe extern "C" fn exchange(call: *mut menlou_call, code: menlou_str, _: u32) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, code) = unsafe { (call_ref(call), text(code)) };
    match call.state().codes.get(&code) {
        Some(Ok(openid)) => {
            call.identities.borrow_mut().push(openid.clone());
            json_output(json!({ "openid": openid }))
        }
        Some(Err(code)) => failed(code),
        None => failed("invalid_code"),
    }
}

pub(super) unsafe extern "C" fn test_identity(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, openid) = unsafe { (call_ref(call), text(openid)) };
    if !call.state().test_openids {
        return failed("test_openid_refused");
    }
    call.identities.borrow_mut().push(openid.clone());
    json_output(json!({ "openid": openid }))
}

pub(super) unsafe extern "C" fn session_open(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, openid) = unsafe { (call_ref(call), text(openid)) };
    if !call.identities.borrow().contains(&openid) {
        return ptr::null_mut();
    }
    let mut state = call.state();
    state.sessions.push(openid);
    json_output(json!({ "token": format!("token-{}", state.sessions.len()), "expires_in": 604_800 }))
}

pub(super) unsafe extern "C" fn session_current(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    unsafe { call_ref(call) }
        .with_session(|_, _| json_output(json!({ "token": "the-callers-token", "expires_in": 604_000 })))
}

pub(super) unsafe extern "C" fn session_end(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    unsafe { call_ref(call) }.with_session(|openid, state| {
        if let Some(at) = state.sessions.iter().position(|s| s == openid) {
            state.sessions.remove(at);
        }
        json_output(Value::Null)
    })
}

pub(super) unsafe extern "C" fn phone_number(call: *mut menlou_call, code: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, code) = unsafe { (call_ref(call), text(code)) };
    match call.state().phone_codes.get(&code) {
        Some(phone) => json_output(json!({ "phone": phone })),
        None => failed("invalid_code"),
    }
}

pub(super) unsafe extern "C" fn user_find(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, openid) = unsafe { (call_ref(call), text(openid)) };
    if call.openid.as_ref() != Some(&openid) && !call.identities.borrow().contains(&openid) {
        return ptr::null_mut();
    }
    match call.state().user_for(&openid) {
        Some(found) => user_output(found),
        None => not_found(),
    }
}

pub(super) unsafe extern "C" fn user_bind_new(
    call: *mut menlou_call,
    name: menlou_str,
    avatar: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, name, avatar) = unsafe { (call_ref(call), text(name), text(avatar)) };
    call.with_session(|openid, state| {
        user_output(match state.user_for(openid) {
            Some(bound) => bound,
            None => state.bind(openid, |_| false, Account::new, &name, &avatar),
        })
    })
}

pub(super) unsafe extern "C" fn user_bind_phone(call: *mut menlou_call, phone: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, phone) = unsafe { (call_ref(call), text(phone)) };
    call.with_session(|openid, state| {
        let found = |p: &Account| p.phone.as_ref() == Some(&phone);
        let make = |user| Account { phone: Some(phone.clone()), ..Account::new(user) };
        user_output(state.bind(openid, found, make, "", ""))
    })
}

pub(super) unsafe extern "C" fn user_bind_external(
    call: *mut menlou_call,
    id: menlou_str,
    name: menlou_str,
    avatar: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, id, name, avatar) = unsafe { (call_ref(call), text(id), text(name), text(avatar)) };
    call.with_session(|openid, state| {
        for account in state.accounts.iter_mut().filter(|p| p.external.as_ref() == Some(&id)) {
            (account.user.name, account.user.avatar_url) = (name.clone(), avatar.clone());
        }
        let found = |p: &Account| p.external.as_ref() == Some(&id);
        let make = |user| Account { external: Some(id.clone()), ..Account::new(user) };
        user_output(state.bind(openid, found, make, &name, &avatar))
    })
}

pub(super) unsafe extern "C" fn user_bind_password(
    call: *mut menlou_call,
    account: menlou_str,
    password: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, given) = unsafe { (call_ref(call), (text(account), text(password))) };
    call.with_session(|openid, state| {
        let Some(found) = state.accounts.iter().find(|p| p.password.as_ref() == Some(&given)).map(|p| p.user.clone())
        else {
            return failed("bad_credentials");
        };
        state.bindings.insert(openid.into(), found.id);
        user_output(found)
    })
}

pub(super) unsafe extern "C" fn user_unbind(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    unsafe { call_ref(call) }.with_session(|openid, state| {
        state.bindings.remove(openid);
        json_output(Value::Null)
    })
}

pub(super) unsafe extern "C" fn user_update(
    call: *mut menlou_call,
    name: menlou_str,
    avatar: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see above; a NULL text is "not given".
    let (call, name, avatar) = unsafe {
        (call_ref(call), (!name.ptr.is_null()).then(|| text(name)), (!avatar.ptr.is_null()).then(|| text(avatar)))
    };
    call.with_session(|openid, state| {
        let Some(id) = state.bindings.get(openid).copied() else { return failed("login_required") };
        match state.accounts.iter_mut().find(|p| p.user.id == id) {
            Some(account) => {
                account.user.name = name.unwrap_or_else(|| account.user.name.clone());
                account.user.avatar_url = avatar.unwrap_or_else(|| account.user.avatar_url.clone());
                user_output(account.user.clone())
            }
            None => not_found(),
        }
    })
}

pub(super) unsafe extern "C" fn attempt_record(call: *mut menlou_call, account: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, account) = unsafe { (call_ref(call), text(account)) };
    call.with_session(|_, state| {
        state.attempts.push(account);
        match state.attempts_exhausted {
            true => failed("too_many_attempts"),
            false => json_output(Value::Null),
        }
    })
}

pub(super) unsafe extern "C" fn attempt_succeed(call: *mut menlou_call, account: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, account) = unsafe { (call_ref(call), text(account)) };
    call.with_session(|_, state| {
        state.attempts.retain(|counted| *counted != account);
        json_output(Value::Null)
    })
}
