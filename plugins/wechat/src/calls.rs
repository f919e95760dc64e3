//! The WeChat requests that the setting `call` may name: named requests with their fields, and any method and path.

use crate::fields::{Field, FieldKind};

/// The request that a tenant's `call` selects.
pub(crate) enum Target<'a> {
    /// One of [`NAMED`].
    Named(&'static Named),
    /// Any other path of WeChat's API.
    Generic { method: &'static str, path: &'a str },
}

/// A request with a name.
pub(crate) struct Named {
    pub name: &'static str,
    /// The fields that the client may send; other parameters are dropped.
    pub fields: &'static [Field],
    pub operation: Operation,
}

/// The operation of a named request.
pub(crate) enum Operation {
    /// A POST request to WeChat, with constant fields and the caller's openid in a field.
    Request {
        path: &'static str,
        constants: &'static [(&'static str, i64)],
        openid: Option<&'static str>,
    },
    PhoneNumber,
    Decrypt,
    CheckSession,
    ResetSessionKey,
}

impl Named {
    /// Whether the request concerns the caller and so needs a session.
    pub fn needs_session(&self) -> bool {
        !matches!(self.operation, Operation::Request { openid: None, .. } | Operation::PhoneNumber)
    }
}

impl<'a> Target<'a> {
    /// Parses a `call`; `None` if it is neither a name nor a method and a path.
    pub fn parse(call: &'a str) -> Option<Self> {
        if let Some(named) = NAMED.iter().find(|named| named.name == call) {
            return Some(Self::Named(named));
        }
        let (method, path) = call.split_once(' ')?;
        let method = ["GET", "POST"].into_iter().find(|m| *m == method)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let segments = path.strip_prefix('/')?.split('/').all(|s| !s.is_empty() && s.chars().all(plain));
        (segments && path.len() <= 256).then_some(Self::Generic { method, path })
    }
}

/// Whether only the gateway may request this path: it returns access tokens or session keys, or needs the AppSecret.
pub(crate) fn is_reserved(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let reserved = ["/cgi-bin/token", "/cgi-bin/stable_token", "/sns", "/wxa/resetusersessionkey", "/wxa/checksession"];
    reserved.iter().any(|k| lower.strip_prefix(k).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

const fn text(name: &'static str, required: bool, max_chars: usize) -> Field {
    Field { name, required, kind: FieldKind::Text { max_chars } }
}

const fn field(name: &'static str, required: bool, kind: FieldKind) -> Field {
    Field { name, required, kind }
}

/// All named requests.
pub(crate) const NAMED: &[Named] = &[
    Named { name: "phone_number", fields: &[text("phone_code", true, 2048)], operation: Operation::PhoneNumber },
    Named {
        name: "msg_sec_check",
        fields: &[
            text("content", true, 2500),
            field("scene", true, FieldKind::Integer { min: 1, max: 4 }),
            text("title", false, 2500),
            text("nickname", false, 2500),
            text("signature", false, 2500),
        ],
        operation: Operation::Request {
            path: "/wxa/msg_sec_check",
            constants: &[("version", 2)],
            openid: Some("openid"),
        },
    },
    Named {
        name: "subscribe_send",
        fields: &[
            text("template_id", true, 128),
            text("page", false, 1024),
            field("data", true, FieldKind::Object),
            field("miniprogram_state", false, FieldKind::OneOf(&["developer", "trial", "formal"])),
            field("lang", false, FieldKind::OneOf(&["zh_CN", "en_US", "zh_HK", "zh_TW"])),
        ],
        operation: Operation::Request {
            path: "/cgi-bin/message/subscribe/send",
            constants: &[],
            openid: Some("touser"),
        },
    },
    Named {
        name: "qrcode",
        fields: &[
            field("scene", true, FieldKind::Scene),
            text("page", false, 1024),
            field("check_path", false, FieldKind::Flag),
            field("env_version", false, FieldKind::OneOf(&["release", "trial", "develop"])),
            field("width", false, FieldKind::Integer { min: 280, max: 1280 }),
            field("auto_color", false, FieldKind::Flag),
            field("line_color", false, FieldKind::Object),
            field("is_hyaline", false, FieldKind::Flag),
        ],
        operation: Operation::Request { path: "/wxa/getwxacodeunlimit", constants: &[], openid: None },
    },
    Named {
        name: "decrypt",
        fields: &[text("encrypted_data", true, 65_536), text("iv", true, 64)],
        operation: Operation::Decrypt,
    },
    Named { name: "check_session", fields: &[], operation: Operation::CheckSession },
    Named { name: "reset_session_key", fields: &[], operation: Operation::ResetSessionKey },
];
