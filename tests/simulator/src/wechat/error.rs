//! The errors of the platform: errcode, errmsg and rid.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::random;

/// An error of the platform. Any errcode is possible. The ones documented for our endpoints have the
/// text of the platform.
#[derive(Debug)]
pub(crate) struct WechatError {
    errcode: i64,
    errmsg: Cow<'static, str>,
}

impl WechatError {
    /// The error with this errcode and the text of the platform, if it is known.
    pub(crate) fn new(errcode: i64) -> Self {
        Self { errcode, errmsg: standard_text(errcode).into() }
    }

    /// An error with another text.
    pub(crate) fn with_text(errcode: i64, errmsg: String) -> Self {
        Self { errcode, errmsg: errmsg.into() }
    }

    /// The body of the response. `separator` is between the text and the rid.
    pub(super) fn body(&self, separator: &str, unix_seconds: u64) -> Value {
        let (text, rid) = (&self.errmsg, random::rid(unix_seconds));
        json!({"errcode": self.errcode, "errmsg": format!("{text}{separator}rid: {rid}")})
    }
}

fn standard_text(errcode: i64) -> &'static str {
    match errcode {
        -1 => "system error",
        40001 => "invalid credential, access_token is invalid or not latest",
        40002 => "invalid grant_type",
        40003 => "invalid openid",
        40013 => "invalid appid",
        40014 => "invalid access_token",
        40029 => "invalid code",
        40037 => "invalid template_id",
        40066 => "invalid url",
        40097 => "invalid args",
        40125 => "invalid appsecret",
        40129 => "invalid scene",
        40163 => "code been used",
        40164 => "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist",
        40169 => "invalid length for scene, or the data is not json string",
        40226 => "code blocked",
        40243 => "AppSecret has been frozen",
        41001 => "access_token missing",
        41002 => "appid missing",
        41004 => "appsecret missing",
        41008 => "missing code",
        41030 => "invalid page",
        42001 => "access_token expired",
        43001 => "require GET method",
        43002 => "require POST method",
        43101 => "user refuse to accept the msg",
        43104 => "this appid does not have permission",
        44991 => "reach limit of minute quota",
        45002 => "content size out of limit",
        45009 => "reach max api daily quota limit",
        45011 => "api minute-quota reach limit, must slower, retry next minute",
        47001 => "data format error",
        47003 => "argument invalid!",
        48001 => "api unauthorized",
        50004 => "forbidden to use this token interface",
        50007 => "account is frozen",
        61010 => "code is expired",
        85096 => "scancode_time is system reserved",
        87007 => "session_key is not existd or expired",
        87008 => "invalid sig_method",
        87009 => "invalid signature",
        89503 => "this ip needs the administrator's confirmation",
        89506 => "this ip was refused by the administrator, retry after 24 hours",
        89507 => "this ip was refused by the administrator, retry after 1 hour",
        _ => "error",
    }
}
