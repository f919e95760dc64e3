//! Host services used with arguments that the gateway must reject.

use crate::{Data, Params};
use menlou_plugin::prelude::*;
use std::time::Duration;

pub async fn log(call: &Call, params: Params) -> Result<Data> {
    call.log(Level::Info, &params.text, &[("field", &params.text)]);
    Ok(Data::default())
}

/// Writes `n` log lines.
pub async fn flood(call: &Call, params: Params) -> Result<Data> {
    for _ in 0..params.n {
        call.log(Level::Warn, "a flood of the rogue plugin", &[]);
    }
    Ok(Data::default())
}

/// Opens a session for the openid `text`. With `n`, `text` is a code that is exchanged for an openid.
pub async fn open_session(call: &Call, params: Params) -> Result<Data> {
    let identity = match params.n {
        0 => menlou_plugin::Identity { openid: params.text, unionid: None },
        _ => call.exchange(&params.text, Duration::ZERO).await?,
    };
    Ok(Data { text: call.open_session(&identity).await?.token, n: 1 })
}

pub async fn find_user(call: &Call, params: Params) -> Result<Data> {
    let found = call.find_user(&params.text).await?;
    Ok(Data { n: found.is_some().into(), ..Data::default() })
}

pub async fn header(call: &Call, params: Params) -> Result<Data> {
    let found = call.header(&params.text);
    Ok(Data { n: found.is_some().into(), text: found.unwrap_or_default().to_owned() })
}

/// Sends a platform request given as JSON: method, path, fields.
pub async fn ask_platform(call: &Call, params: Params) -> Result<menlou_plugin::Response<Data>> {
    use menlou_plugin::Response;
    let (method, path, fields) = serde_json::from_str::<(String, String, _)>(&params.text)?;
    Ok(match call.platform(&method, &path, &fields).await? {
        Response::Data(data) => Response::Data(Data { text: serde_json::Value::from(data).to_string(), n: 1 }),
        Response::File { content_type, body } => Response::File { content_type, body },
        Response::Sent(sent) => return Err(Error::internal(format!("{sent:?}"))),
    })
}

pub async fn use_session_key(call: &Call, params: Params) -> Result<Data> {
    match params.n {
        0 => call.check_session_key().await?,
        1 => call.reset_session_key().await?,
        _ => drop(call.decrypt("AAAA", "AAAA", Duration::MAX).await?),
    }
    Ok(Data::default())
}

/// Returns whether the call has a caller's openid.
pub async fn has_caller(call: &Call<AuthSetting>, _: ()) -> Result<Data> {
    let _ = &call.settings().auth;
    Ok(Data { n: call.openid().is_some().into(), ..Data::default() })
}

/// Settings of `by_setting`.
#[derive(Deserialize, JsonSchema)]
pub struct AuthSetting {
    #[serde(default)]
    auth: Option<String>,
}

impl Settings for AuthSetting {}
