//! `/wxa/getwxacodeunlimit`: the image of a mini-program code.

use serde_json::Value;

use super::{ApiRequest, ApiResponse, WechatError, text};
use crate::state::PlatformState;

/// An image of 280 × 280 pixels that looks like a code but cannot be scanned.
const IMAGE: &[u8] = include_bytes!("../../assets/wxacode.jpg");

pub(super) fn getwxacodeunlimit(state: &mut PlatformState, request: &ApiRequest) -> Result<ApiResponse, WechatError> {
    request.caller(state)?;
    let body = request.json()?;
    let scene = text(&body, "scene");
    if scene.is_empty() || scene.len() > 32 || !scene.bytes().all(is_scene_byte) {
        return Err(WechatError::new(40169));
    }
    if text(&body, "page").starts_with('/') {
        return Err(WechatError::new(41030));
    }
    let version = body.get("env_version").map_or(Some("release"), Value::as_str);
    let width = body.get("width").map_or(Some(430), Value::as_u64);
    match (version, width) {
        (Some("release" | "trial" | "develop"), Some(280..=1280)) => Ok(ApiResponse::Jpeg(IMAGE)),
        _ => Err(WechatError::new(40097)),
    }
}

fn is_scene_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&'()*+,/:;=?@-._~".contains(&byte)
}
