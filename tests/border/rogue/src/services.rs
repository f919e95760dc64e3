//! What a plugin asks of the gateway that is not its to have.

use crate::{Data, Params};
use menlou_plugin::prelude::*;
use std::time::Duration;

pub async fn log(call: &Call, params: Params) -> Result<Data> {
    call.log(Level::Info, &params.text, &[("field", &params.text)]);
    Ok(Data::default())
}

/// A session for whatever openid; with `n`, for the one behind a code.
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
