//! WeChat requests under names that the tenant chooses: `[actions.check-text] plugin = "wechat"`, `call = "msg_sec_check"`.

mod calls;
mod fields;
mod settings;

use calls::{Operation, Target};
use menlou_plugin::{Response, prelude::*};
use serde_json::{Map, Value, json};
use settings::WechatSettings;

/// The client's parameters. The tenant's settings decide which of them become fields of the request.
type Params = Map<String, Value>;

async fn wechat(call: &Call<WechatSettings>, params: Params) -> Result<Response<Map<String, Value>>> {
    let settings = call.settings();
    let Some(target) = Target::parse(&settings.call) else {
        return Err(Error::internal("checked settings name no request"));
    };
    let named = match target {
        Target::Generic { method, path } => {
            let mut fields = fields::filter(params, settings.fields.as_deref())?;
            fields.extend(settings.fixed.clone());
            insert_openid(call, settings.openid_field.as_deref(), &mut fields)?;
            return call.platform(method, path, &fields).await;
        }
        Target::Named(named) => named,
    };
    let mut fields = fields::read(named.fields, params, &settings.fixed)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let data = match named.operation {
        Operation::Request { path, constants, openid } => {
            fields.extend(constants.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
            insert_openid(call, openid, &mut fields)?;
            return call.platform("POST", path, &fields).await;
        }
        Operation::PhoneNumber => json!({ "phone": call.phone_number(text("phone_code")).await? }),
        Operation::Decrypt => call.decrypt(text("encrypted_data"), text("iv"), settings.max_age()).await?.into(),
        Operation::CheckSession => {
            call.check_session_key().await?;
            json!({ "valid": true })
        }
        Operation::ResetSessionKey => {
            call.reset_session_key().await?;
            json!({ "reset": true })
        }
    };
    match data {
        Value::Object(data) => Ok(Response::Data(data)),
        _ => Err(Error::internal("the response is not a JSON object")),
    }
}

/// Sets this field to the caller's openid, and overwrites what the client sent.
fn insert_openid(call: &Call<WechatSettings>, field: Option<&str>, fields: &mut Map<String, Value>) -> Result<()> {
    if let Some(field) = field {
        let openid = call.openid().ok_or_else(|| Error::new("login_required"))?;
        fields.insert(field.to_owned(), openid.into());
    }
    Ok(())
}

menlou_plugin::plugin! {
    name: "wechat",
    actions: [
        Action::new("wechat", wechat)
            .access(Access::BySetting)
            .file_types("image/*,audio/*,video/*,application/octet-stream,application/pdf")
            .title("调用微信接口", "Call WeChat")
            .description(
                "用租户的 access_token 调用微信接口。接口由租户文件的 call 决定，客户端不能更改。",
                "Sends a request to WeChat with the tenant's access token. The setting `call` of the tenant file selects the \
                 request; clients cannot change it.",
            ),
    ],
}

#[cfg(test)]
mod tests;
