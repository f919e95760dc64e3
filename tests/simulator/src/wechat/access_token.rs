//! `/cgi-bin/stable_token` and `/cgi-bin/token`: the two kinds of access token.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ApiRequest, ApiResponse, WechatError, credentials, text};
use crate::state::PlatformState;

pub(super) fn stable_token(state: &mut PlatformState, request: &ApiRequest) -> Result<ApiResponse, WechatError> {
    let body = request.json()?;
    let appid = credentials(state, text(&body, "appid"), text(&body, "secret"))?;
    check_grant_type(text(&body, "grant_type"))?;
    let force = match body.get("force_refresh") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(force)) => *force,
        Some(_) => return Err(WechatError::new(47001)),
    };
    let now = state.clock.now_ms();
    let token = if force { state.tokens.stable_forced(&appid, now)? } else { state.tokens.stable(&appid, now) };
    Ok(token_response(token))
}

pub(super) fn token(state: &mut PlatformState, request: &ApiRequest) -> Result<ApiResponse, WechatError> {
    let appid = credentials(state, request.query("appid"), request.query("secret"))?;
    check_grant_type(request.query("grant_type"))?;
    let now = state.clock.now_ms();
    Ok(token_response(state.tokens.legacy(&appid, now)))
}

fn check_grant_type(grant_type: &str) -> Result<(), WechatError> {
    match grant_type {
        "client_credential" => Ok(()),
        _ => Err(WechatError::new(40002)),
    }
}

fn token_response((access_token, expires_in): (Arc<str>, u64)) -> ApiResponse {
    ApiResponse::Json(json!({"access_token": &*access_token, "expires_in": expires_in}))
}
