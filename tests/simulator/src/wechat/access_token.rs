//! `/cgi-bin/stable_token` and `/cgi-bin/token`: the two kinds of access token.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, Call, WechatError, credentials, text};
use crate::world::World;

pub(super) fn stable_token(world: &mut World, call: &Call) -> Result<Answer, WechatError> {
    let body = call.json()?;
    let appid = credentials(world, text(&body, "appid"), text(&body, "secret"))?;
    check_grant_type(text(&body, "grant_type"))?;
    let force = match body.get("force_refresh") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(force)) => *force,
        Some(_) => return Err(WechatError::new(47001)),
    };
    let now = world.clock.now_ms();
    let token = if force { world.tokens.stable_forced(&appid, now)? } else { world.tokens.stable(&appid, now) };
    Ok(answer(token))
}

pub(super) fn token(world: &mut World, call: &Call) -> Result<Answer, WechatError> {
    let appid = credentials(world, call.query("appid"), call.query("secret"))?;
    check_grant_type(call.query("grant_type"))?;
    let now = world.clock.now_ms();
    Ok(answer(world.tokens.plain(&appid, now)))
}

fn check_grant_type(grant_type: &str) -> Result<(), WechatError> {
    match grant_type {
        "client_credential" => Ok(()),
        _ => Err(WechatError::new(40002)),
    }
}

fn answer((access_token, expires_in): (Arc<str>, u64)) -> Answer {
    Answer::Json(json!({"access_token": &*access_token, "expires_in": expires_in}))
}
