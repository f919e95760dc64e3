//! `/wxa/msg_sec_check` and `/cgi-bin/message/subscribe/send`: content checks and messages to users.

use serde_json::{Value, json};

use super::{ApiRequest, ApiResponse, WechatError, ok, text};
use crate::random;
use crate::state::PlatformState;

/// A text that contains this is judged risky.
const RISKY: &str = "sim-risky";
/// A text that contains this is judged to need a review.
const REVIEW: &str = "sim-review";
/// Texts are checked only for users whose last login is at most this old.
const MAX_LOGIN_AGE_MS: u64 = 2 * 3600 * 1000;

pub(super) fn msg_sec_check(state: &mut PlatformState, request: &ApiRequest) -> Result<ApiResponse, WechatError> {
    let appid = request.caller(state)?;
    let body = request.json()?;
    let content = text(&body, "content");
    if content.is_empty() || body.get("version").and_then(Value::as_u64) != Some(2) {
        return Err(WechatError::new(47001));
    }
    if content.chars().count() > 2500 {
        return Err(WechatError::new(45002));
    }
    if !matches!(body.get("scene").and_then(Value::as_u64), Some(1..=4)) {
        return Err(WechatError::new(40129));
    }
    let now = state.clock.now_ms();
    let Some(user) = state.users.get_mut(&appid, text(&body, "openid")) else {
        return Err(WechatError::new(40003));
    };
    if now > user.last_seen_ms + MAX_LOGIN_AGE_MS {
        return Err(WechatError::new(61010));
    }
    let (suggest, label) = match content {
        content if content.contains(RISKY) => ("risky", 20006),
        content if content.contains(REVIEW) => ("review", 21000),
        _ => ("pass", 100),
    };
    Ok(ApiResponse::Json(json!({
        "errcode": 0,
        "errmsg": "ok",
        "trace_id": random::rid(now / 1000),
        "result": {"suggest": suggest, "label": label},
        "detail": [{
            "strategy": "content_model",
            "errcode": 0,
            "suggest": suggest,
            "label": label,
            "prob": 90,
        }],
    })))
}

pub(super) fn subscribe_send(state: &mut PlatformState, request: &ApiRequest) -> Result<ApiResponse, WechatError> {
    let appid = request.caller(state)?;
    let body = request.json()?;
    let template = text(&body, "template_id");
    let Some(user) = state.users.get_mut(&appid, text(&body, "touser")) else {
        return Err(WechatError::new(40003));
    };
    if template.is_empty() {
        return Err(WechatError::new(40037));
    }
    if text(&body, "page").starts_with('/') {
        return Err(WechatError::new(41030));
    }
    let well_formed = body
        .get("data")
        .and_then(Value::as_object)
        .is_some_and(|data| !data.is_empty() && data.values().all(has_value));
    if !well_formed {
        return Err(WechatError::new(47003));
    }
    if !user.use_subscription(template) {
        return Err(WechatError::new(43101));
    }
    Ok(ok())
}

/// Whether the entry is `{"value": "…"}`, where the value is a string or a number.
fn has_value(entry: &Value) -> bool {
    match entry.get("value") {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(_)) => true,
        _ => false,
    }
}
