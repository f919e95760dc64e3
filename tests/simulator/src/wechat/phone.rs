//! `/wxa/business/getuserphonenumber`: a phone code for the phone number.

use serde_json::json;

use super::{Answer, Call, WechatError, text};
use crate::world::World;

pub(super) fn getuserphonenumber(world: &mut World, call: &Call) -> Result<Answer, WechatError> {
    let appid = call.caller(world)?;
    let body = call.json()?;
    let phone = world.redeem_phone(&appid, text(&body, "code"), text(&body, "openid"))?;
    let mut info = phone.info();
    info["watermark"] = json!({"timestamp": world.clock.now_s(), "appid": &*appid});
    Ok(Answer::Json(json!({"errcode": 0, "errmsg": "ok", "phone_info": info})))
}
