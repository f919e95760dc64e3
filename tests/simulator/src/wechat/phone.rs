//! `/wxa/business/getuserphonenumber`: exchanges a phone code for the phone number.

use serde_json::json;

use super::{ApiRequest, ApiResponse, WechatError, text};
use crate::state::PlatformState;

pub(super) fn getuserphonenumber(state: &mut PlatformState, request: &ApiRequest) -> Result<ApiResponse, WechatError> {
    let appid = request.caller(state)?;
    let body = request.json()?;
    let phone = state.redeem_phone(&appid, text(&body, "code"), text(&body, "openid"))?;
    let mut info = phone.info();
    info["watermark"] = json!({"timestamp": state.clock.now_s(), "appid": &*appid});
    Ok(ApiResponse::Json(json!({"errcode": 0, "errmsg": "ok", "phone_info": info})))
}
