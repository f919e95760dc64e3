//! `/sns/jscode2session`: exchanges a login code for an openid and a session_key.

use serde_json::json;

use super::{ApiRequest, ApiResponse, WechatError, credentials};
use crate::state::PlatformState;

pub(super) fn jscode2session(state: &mut PlatformState, request: &ApiRequest) -> Result<ApiResponse, WechatError> {
    let appid = credentials(state, request.query("appid"), request.query("secret"))?;
    let code = request.query("js_code");
    if code.is_empty() {
        return Err(WechatError::new(41008));
    }
    if request.query("grant_type") != "authorization_code" {
        return Err(WechatError::new(40002));
    }
    let (user, session_key) = state.exchange(&appid, code)?;
    let mut response = json!({"openid": user.openid, "session_key": session_key});
    if let Some(unionid) = user.unionid {
        response["unionid"] = unionid.into();
    }
    Ok(ApiResponse::Json(response))
}
