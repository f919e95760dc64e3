//! Whether a tenant's credentials work, asked of its platform with what its file says.

use super::build::PlatformCredentials;
use menlou_config::load::Document;
use menlou_platform::{
    http::HttpClient,
    wechat::{
        WechatCredentials,
        verify::{self, CheckResult},
    },
};
use serde_json::Value;

/// Asks the platform, and tells each result as soon as it is there. A running gateway is not disturbed: no token is
/// renewed by force and nothing is stored.
pub async fn verify(
    account: &PlatformCredentials,
    phone: bool,
    http: HttpClient,
    told: impl FnMut(&CheckResult),
) -> Vec<CheckResult> {
    let account = WechatCredentials {
        appid: account.appid.clone(),
        secret: account.secret.clone(),
        previous_secret: account.previous_secret.clone(),
        base_url: account.base_url.clone(),
    };
    verify::verify(account, http, phone, told).await
}

/// Whether people log in by phone number: an action lists `phone` among its `methods`. Then it is asked whether the
/// platform grants phone numbers.
pub fn logs_in_by_phone(doc: &Document) -> bool {
    let actions = doc.value("/actions").and_then(Value::as_object);
    actions.into_iter().flat_map(|actions| actions.values()).any(|action| {
        let methods = action.get("methods").and_then(Value::as_array);
        methods.is_some_and(|methods| methods.iter().any(|method| method == "phone"))
    })
}
