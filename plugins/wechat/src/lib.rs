//! Calls to WeChat under names that the tenant chooses: `[actions.check-text] plugin = "wechat"`, `call = "msg_sec_check"`.

mod calls;
mod fields;
mod settings;

use calls::{Does, Target};
use menlou_plugin::{Response, prelude::*};
use serde_json::{Map, Value, json};
use settings::WechatSettings;

/// What the client sends: the fields of the call, as the tenant's settings let them through.
type Params = Map<String, Value>;

async fn wechat(call: &Call<WechatSettings>, params: Params) -> Result<Response<Map<String, Value>>> {
    let settings = call.settings();
    let Some(target) = Target::parse(&settings.call) else {
        return Err(Error::internal("the settings were checked, and yet name no call"));
    };
    let named = match target {
        Target::Generic { method, path } => {
            let mut fields = fields::let_through(params, settings.fields.as_deref())?;
            fields.extend(settings.fixed.clone());
            fill_in(call, settings.openid_field.as_deref(), &mut fields)?;
            return call.platform(method, path, &fields).await;
        }
        Target::Named(named) => named,
    };
    let mut fields = fields::read(named.fields, params, &settings.fixed)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let data = match named.does {
        Does::Ask { path, constants, openid } => {
            fields.extend(constants.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
            fill_in(call, openid, &mut fields)?;
            return call.platform("POST", path, &fields).await;
        }
        Does::PhoneNumber => json!({ "phone": call.phone_number(text("phone_code")).await? }),
        Does::Decrypt => call.decrypt(text("encrypted_data"), text("iv"), settings.max_age()).await?.into(),
        Does::CheckSession => {
            call.check_session_key().await?;
            json!({ "valid": true })
        }
        Does::ResetSessionKey => {
            call.reset_session_key().await?;
            json!({ "reset": true })
        }
    };
    match data {
        Value::Object(data) => Ok(Response::Data(data)),
        _ => Err(Error::internal("an answer that is no object")),
    }
}

/// Puts the caller's openid into this field, whatever the client sent there.
fn fill_in(call: &Call<WechatSettings>, field: Option<&str>, fields: &mut Map<String, Value>) -> Result<()> {
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
                "以租户的 access_token 调用微信接口；调用哪个接口由租户文件的 call 决定，客户端不能改变。",
                "Calls WeChat with the tenant's access token. Which call it is, the tenant file's `call` says, and no client \
                 can change it.",
            ),
    ],
}

#[cfg(test)]
mod tests;
