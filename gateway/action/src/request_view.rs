//! A request in the layout of the plugin ABI.

use super::ffi;
use ::menlou_call::Call;
use menlou_abi::*;
use menlou_policy::Caller;
use serde_json::Value;

/// The ABI's struct of a request. It points to the request itself, and to values that are converted here.
pub(super) struct RequestView {
    raw: menlou_request,
    params: Vec<menlou_param>,
    /// Values that are not texts, as JSON, and the client's address. Moving a `String` does not move its bytes.
    texts: Vec<String>,
}

impl RequestView {
    /// Fills the view in. It stays valid as long as `request`, `caller` and `tenant` neither move nor change.
    pub fn point_to(&mut self, request: &Call, caller: Option<&Caller>, tenant: &str) {
        let mut texts = Vec::new();
        self.params = request
            .params
            .as_map()
            .iter()
            .map(|(name, value)| {
                let (value, kind) = match value {
                    Value::String(text) => (str(text), MENLOU_PARAM_TEXT),
                    other => (keep(&mut texts, other.to_string()), MENLOU_PARAM_JSON),
                };
                menlou_param { name: str(name), value, kind, reserved: 0 }
            })
            .collect();
        let raw = &mut self.raw;
        raw.remote_ip = keep(&mut texts, ffi::address(request.remote));
        raw.params = self.params.as_ptr();
        raw.params_len = self.params.len();
        raw.deadline_unix_ms = request.deadline_unix_ms;
        raw.method = str(request.method.as_str());
        raw.path = str(&request.path);
        raw.tenant = str(tenant);
        raw.action = str(&request.action);
        raw.request_id = str(&request.id);
        raw.language = str(request.language.tag());
        raw.body = menlou_str::new(&request.body);
        raw.query = str(&request.query);
        raw.subpath = str(&request.subpath);
        if let Some(caller) = caller {
            raw.platform = str(&caller.session.platform);
            raw.openid = str(&caller.session.openid);
            if let Some(user) = &caller.user {
                raw.user_id = user.id;
                raw.user_name = str(&user.name);
                raw.user_avatar_url = str(&user.avatar_url);
            }
        }
        self.texts = texts;
    }

    /// A pointer for the plugin.
    pub fn as_ptr(&self) -> *const menlou_request {
        &raw const self.raw
    }
}

impl Default for RequestView {
    fn default() -> Self {
        let none = menlou_str::NONE;
        let raw = menlou_request {
            struct_size: size_of::<menlou_request>() as u32,
            reserved: 0,
            deadline_unix_ms: 0,
            method: none,
            path: none,
            tenant: none,
            action: none,
            request_id: none,
            remote_ip: none,
            language: none,
            params: std::ptr::null(),
            params_len: 0,
            body: none,
            platform: none,
            openid: none,
            user_id: 0,
            user_name: none,
            user_avatar_url: none,
            query: none,
            subpath: none,
        };
        Self { raw, params: Vec::new(), texts: Vec::new() }
    }
}

fn str(text: &str) -> menlou_str {
    menlou_str::new(text.as_bytes())
}

/// Moves a text into `texts` and points to it.
fn keep(texts: &mut Vec<String>, text: String) -> menlou_str {
    let kept = str(&text);
    texts.push(text);
    kept
}
