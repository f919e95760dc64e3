//! `/wxa/getwxacodeunlimit`: the picture of a mini-program code.

use serde_json::Value;

use super::{Answer, Call, WechatError, text};
use crate::world::World;

/// A round pattern of 280 × 280 pixels. It looks like a code, and leads nowhere.
const PICTURE: &[u8] = include_bytes!("../../assets/wxacode.jpg");

pub(super) fn getwxacodeunlimit(world: &mut World, call: &Call) -> Result<Answer, WechatError> {
    call.caller(world)?;
    let body = call.json()?;
    let scene = text(&body, "scene");
    if scene.is_empty() || scene.len() > 32 || !scene.bytes().all(may_stand_in_a_scene) {
        return Err(WechatError::new(40169));
    }
    if text(&body, "page").starts_with('/') {
        return Err(WechatError::new(41030));
    }
    let version = body.get("env_version").map_or(Some("release"), Value::as_str);
    let width = body.get("width").map_or(Some(430), Value::as_u64);
    match (version, width) {
        (Some("release" | "trial" | "develop"), Some(280..=1280)) => Ok(Answer::Jpeg(PICTURE)),
        _ => Err(WechatError::new(40097)),
    }
}

fn may_stand_in_a_scene(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&'()*+,/:;=?@-._~".contains(&byte)
}
