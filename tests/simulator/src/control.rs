//! The control API under `/_sim/`: the methods of the library over HTTP.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::App;
use crate::failure::{EVERY_PATH, Failure};
use crate::params::Params;
use crate::random;
use crate::state::login::UserIds;
use crate::state::phone::PhoneNumber;
use crate::state::{CODE_TTL_MS, PlatformState};
use crate::wechat;

/// The path prefix of the control API, under which the platform has no endpoint.
pub(crate) const PREFIX: &str = "/_sim/";

type ControlResult = Result<Value, String>;

/// Handles a control request. A request that changes the behaviour of the platform must be a POST, so
/// that a link preview or a crawler cannot send it.
pub(crate) fn handle(
    state: &mut PlatformState,
    method: &Method,
    name: &str,
    query: &str,
    body: &[u8],
) -> (StatusCode, Value) {
    let (allows_get, run): (bool, fn(&mut PlatformState, &mut Params) -> ControlResult) = match name {
        "code" => (true, code),
        "phone_code" => (true, phone_code),
        "session_key" => (true, session_key),
        "calls" => (true, calls),
        "reset_calls" => (false, reset_calls),
        "fail" => (false, fail),
        "clear" => (false, clear),
        "app" => (false, app),
        "expire_token" => (false, expire_token),
        "expire_code" => (false, expire_code),
        "advance" => (false, advance),
        "agree" => (false, agree),
        _ => {
            return error_response(StatusCode::NOT_FOUND, "no such control path; tests/simulator/README.md lists them");
        }
    };
    let is_post = *method == Method::POST;
    if !(is_post || allows_get && *method == Method::GET) {
        return error_response(StatusCode::METHOD_NOT_ALLOWED, "use POST");
    }
    let result = Params::parse(query, body).and_then(|mut params| {
        let value = run(state, &mut params)?;
        params.finish()?;
        Ok(value)
    });
    match result {
        Ok(value) => (StatusCode::OK, value),
        Err(error) => error_response(StatusCode::BAD_REQUEST, &error),
    }
}

fn error_response(status: StatusCode, error: &str) -> (StatusCode, Value) {
    (status, json!({"error": error}))
}

fn code(state: &mut PlatformState, params: &mut Params) -> ControlResult {
    let appid = app_or_default(state, params)?;
    let (code, UserIds { openid, unionid }) = match user_selector(params)? {
        UserSelector::Person(person) => state.code_for_person(&appid, &person),
        UserSelector::Openid(openid) => state.code_for_openid(&appid, &openid),
    };
    Ok(json!({
        "appid": &*appid,
        "code": code,
        "expires_in": CODE_TTL_MS / 1000,
        "openid": openid,
        "unionid": unionid,
    }))
}

fn phone_code(state: &mut PlatformState, params: &mut Params) -> ControlResult {
    let appid = app_or_default(state, params)?;
    let mut phone = PhoneNumber::new(params.required("phone")?);
    if let Some(country) = params.value("country") {
        phone = phone.country(country);
    }
    phone.validate()?;
    let openid = optional_user_selector(params)?.map(|user| user.openid(&appid));
    let code = state.phone_code(&appid, phone, openid);
    Ok(json!({"appid": &*appid, "code": code, "expires_in": CODE_TTL_MS / 1000}))
}

fn session_key(state: &mut PlatformState, params: &mut Params) -> ControlResult {
    let appid = app_or_default(state, params)?;
    let openid = user_selector(params)?.openid(&appid);
    let user = state.users.get_mut(&appid, &openid);
    let session_key = user.and_then(|user| user.session_key.as_deref());
    Ok(json!({"openid": openid, "session_key": session_key}))
}

fn calls(state: &mut PlatformState, _: &mut Params) -> ControlResult {
    let calls = state.calls();
    Ok(json!({"calls": calls, "total": calls.values().sum::<u64>()}))
}

fn reset_calls(state: &mut PlatformState, _: &mut Params) -> ControlResult {
    state.reset_calls();
    Ok(json!({}))
}

fn fail(state: &mut PlatformState, params: &mut Params) -> ControlResult {
    let path = params.text("path")?.unwrap_or_else(|| EVERY_PATH.to_owned());
    if path != EVERY_PATH && wechat::endpoint(&path).is_none() {
        return Err(format!("path is neither an endpoint nor {EVERY_PATH}"));
    }
    let kind = params.required("kind")?;
    let mut failure = match kind.as_str() {
        "errcode" => {
            let errcode = params.number("errcode")?.ok_or("errcode is missing")?;
            match params.text("errmsg")? {
                Some(errmsg) => Failure::errcode_with_text(errcode, errmsg),
                None => Failure::errcode(errcode),
            }
        }
        "delay" => {
            let ms = params.number("delay_ms")?.ok_or("delay_ms is missing")?;
            Failure::delay(Duration::from_millis(ms))
        }
        "hang" => Failure::hang(),
        "drop" => Failure::drop_connection(),
        "status" => match params.number("status")?.unwrap_or(500) {
            status @ 400..600 => Failure::status(status),
            _ => return Err("status is not a number from 400 to 599".to_owned()),
        },
        "truncate" => Failure::truncate(),
        _ => return Err("kind is none of errcode, delay, hang, drop, status, truncate".to_owned()),
    };
    if params.flag("after_effect")? {
        failure = failure.after_effect();
    }
    let times = params.number("times")?;
    state.failures.add(&path, failure, times);
    Ok(json!({"path": path, "kind": kind, "times": times}))
}

fn clear(state: &mut PlatformState, _: &mut Params) -> ControlResult {
    state.failures.clear();
    Ok(json!({}))
}

fn app(state: &mut PlatformState, params: &mut Params) -> ControlResult {
    let appid = params.required("appid")?;
    let mut app = App::new(&appid, params.required("secret")?);
    app.open_platform = match params.text("open_platform")? {
        Some(account) => Some(account),
        None => state.app(&appid).and_then(|known| known.open_platform.clone()),
    };
    app.previous_secret = params.text("previous_secret")?;
    state.register(app)?;
    Ok(json!({"appid": appid}))
}

fn expire_token(state: &mut PlatformState, params: &mut Params) -> ControlResult {
    let appid = app_or_default(state, params)?;
    let now = state.clock.now_ms();
    if params.flag("revoke")? {
        state.tokens.revoke_all(&appid, now);
    } else {
        state.tokens.expire_all(&appid, now);
    }
    Ok(json!({"appid": &*appid}))
}

fn expire_code(state: &mut PlatformState, params: &mut Params) -> ControlResult {
    if state.expire_code(&params.required("code")?) { Ok(json!({})) } else { Err("no such code".to_owned()) }
}

fn advance(state: &mut PlatformState, params: &mut Params) -> ControlResult {
    let seconds = params.number("seconds")?.ok_or("seconds is missing")?;
    state.clock.advance(Duration::from_secs(seconds));
    Ok(json!({"now": state.clock.now_s()}))
}

fn agree(state: &mut PlatformState, params: &mut Params) -> ControlResult {
    let appid = app_or_default(state, params)?;
    let openid = user_selector(params)?.openid(&appid);
    let template = params.required("template_id")?;
    let times = params.number("times")?.unwrap_or(1);
    let user = state.users.get_mut(&appid, &openid);
    let user = user.ok_or("the app does not know this user: create a login code first")?;
    user.subscribe(&template, times);
    Ok(json!({"openid": openid, "template_id": template}))
}

/// The app that `appid` names. The default is the first app.
fn app_or_default(state: &PlatformState, params: &mut Params) -> Result<Arc<str>, String> {
    match params.text("appid")? {
        None => Ok(state.first_app()),
        Some(appid) => state.known_appid(&appid).ok_or_else(|| "appid is not registered".to_owned()),
    }
}

/// How a request names a user.
enum UserSelector {
    Person(String),
    Openid(String),
}

impl UserSelector {
    fn openid(self, appid: &str) -> String {
        match self {
            Self::Person(person) => random::openid(appid, &person),
            Self::Openid(openid) => openid,
        }
    }
}

/// The user that `person` or `openid` names.
fn user_selector(params: &mut Params) -> Result<UserSelector, String> {
    optional_user_selector(params)?.ok_or_else(|| "person (any name) or openid is missing".to_owned())
}

fn optional_user_selector(params: &mut Params) -> Result<Option<UserSelector>, String> {
    match (params.text("person")?, params.text("openid")?) {
        (Some(person), None) => Ok(Some(UserSelector::Person(person))),
        (None, Some(openid)) => Ok(Some(UserSelector::Openid(openid))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("person and openid are both given: give one of them".to_owned()),
    }
}
