//! `/sns/jscode2session`: a login code for an openid and a session_key.

use serde_json::json;

use super::{Answer, Call, WechatError, credentials};
use crate::world::World;

pub(super) fn jscode2session(world: &mut World, call: &Call) -> Result<Answer, WechatError> {
    let appid = credentials(world, call.query("appid"), call.query("secret"))?;
    let code = call.query("js_code");
    if code.is_empty() {
        return Err(WechatError::new(41008));
    }
    if call.query("grant_type") != "authorization_code" {
        return Err(WechatError::new(40002));
    }
    let (who, session_key) = world.exchange(&appid, code)?;
    let mut answer = json!({"openid": who.openid, "session_key": session_key});
    if let Some(unionid) = who.unionid {
        answer["unionid"] = unionid.into();
    }
    Ok(Answer::Json(answer))
}
