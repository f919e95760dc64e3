//! The calls that have a name of ours, each with its fields as WeChat documents them; and `POST /wxa/…`.

use crate::fields::{Field, Kind};

/// What a tenant's `call` names.
pub(crate) enum Target<'a> {
    /// One of [`NAMED`].
    Named(&'static Named),
    /// Any other path of the platform.
    Generic { method: &'static str, path: &'a str },
}

/// A call with a name.
pub(crate) struct Named {
    pub name: &'static str,
    /// What the client may send; all else is left out.
    pub fields: &'static [Field],
    pub does: Does,
}

/// What a named call does.
pub(crate) enum Does {
    /// Asks the platform by POST, with constants of ours and the caller's openid in a field.
    Ask {
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
    /// Whether it is for somebody: then it needs a session.
    pub fn needs_session(&self) -> bool {
        !matches!(self.does, Does::Ask { openid: None, .. } | Does::PhoneNumber)
    }
}

impl<'a> Target<'a> {
    /// Reads a `call`; `None` where it is neither a name nor a method and a path.
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

/// Whether the gateway keeps this path to itself: it gives out access tokens or session keys, or takes the AppSecret.
pub(crate) fn is_kept(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let kept = ["/cgi-bin/token", "/cgi-bin/stable_token", "/sns", "/wxa/resetusersessionkey", "/wxa/checksession"];
    kept.iter().any(|k| lower.strip_prefix(k).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

const fn text(name: &'static str, required: bool, longest: usize) -> Field {
    Field { name, required, kind: Kind::Text { longest } }
}

const fn of(name: &'static str, required: bool, kind: Kind) -> Field {
    Field { name, required, kind }
}

/// Every named call.
pub(crate) const NAMED: &[Named] = &[
    Named { name: "phone_number", fields: &[text("phone_code", true, 2048)], does: Does::PhoneNumber },
    Named {
        name: "msg_sec_check",
        fields: &[
            text("content", true, 2500),
            of("scene", true, Kind::Integer { least: 1, most: 4 }),
            text("title", false, 2500),
            text("nickname", false, 2500),
            text("signature", false, 2500),
        ],
        does: Does::Ask { path: "/wxa/msg_sec_check", constants: &[("version", 2)], openid: Some("openid") },
    },
    Named {
        name: "subscribe_send",
        fields: &[
            text("template_id", true, 128),
            text("page", false, 1024),
            of("data", true, Kind::Object),
            of("miniprogram_state", false, Kind::OneOf(&["developer", "trial", "formal"])),
            of("lang", false, Kind::OneOf(&["zh_CN", "en_US", "zh_HK", "zh_TW"])),
        ],
        does: Does::Ask { path: "/cgi-bin/message/subscribe/send", constants: &[], openid: Some("touser") },
    },
    Named {
        name: "qrcode",
        fields: &[
            of("scene", true, Kind::Scene),
            text("page", false, 1024),
            of("check_path", false, Kind::Flag),
            of("env_version", false, Kind::OneOf(&["release", "trial", "develop"])),
            of("width", false, Kind::Integer { least: 280, most: 1280 }),
            of("auto_color", false, Kind::Flag),
            of("line_color", false, Kind::Object),
            of("is_hyaline", false, Kind::Flag),
        ],
        does: Does::Ask { path: "/wxa/getwxacodeunlimit", constants: &[], openid: None },
    },
    Named {
        name: "decrypt",
        fields: &[text("encrypted_data", true, 65_536), text("iv", true, 64)],
        does: Does::Decrypt,
    },
    Named { name: "check_session", fields: &[], does: Does::CheckSession },
    Named { name: "reset_session_key", fields: &[], does: Does::ResetSessionKey },
];
