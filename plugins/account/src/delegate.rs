//! `method=delegate`: the tenant's own login service identifies the user.
//!
//! The gateway posts `{"tenant","openid","client_address","credentials":{…}}` to `delegate_url`, with `X-Menlou-Timestamp` (Unix seconds)
//! and `X-Menlou-Signature: v1=<hex HMAC-SHA256 of "<timestamp>.<body>">`. The service responds 200 with
//! `{"id","name","avatar_url"}`, 401 (wrong credentials) or 403 (login not allowed). The latter two may have a `{"msg"}`
//! for the user. Attempts are counted before the request is sent, as those with a password are, so that the service cannot be
//! used to guess passwords.

use crate::settings::LoginSettings;
use menlou_plugin::{HttpRequest, prelude::*};
use serde_json::{Map, Value, json};

/// Maximum length of an account name that is counted, in characters. Longer names with the same beginning count as one.
const MAX_COUNTED_ACCOUNT: usize = 256;

/// The account that the login service returned.
#[derive(Debug, PartialEq)]
pub struct Account {
    pub id: String,
    pub name: String,
    pub avatar_url: String,
}

/// Sends the credentials of the call, all of its parameters except `method`, to the tenant's login service.
pub async fn request_account(call: &Call<LoginSettings>) -> Result<Account> {
    let settings = call.settings();
    let (Some(url), Some(secret)) = (&settings.delegate_url, &settings.delegate_secret) else {
        return Err(Error::new("tenant_misconfigured"));
    };
    let mut credentials = call.params();
    credentials.remove("method");
    let account = counted_account(settings, &credentials);
    call.record_attempt(&account).await?;
    let body = json!({
        "tenant": call.tenant(),
        "openid": call.openid(),
        "client_address": call.remote_ip(),
        "credentials": credentials,
    });
    let body = body.to_string();
    let timestamp = (call.now_unix_ms() / 1000).to_string();
    let tag = call.hmac_sha256(secret.expose().as_bytes(), format!("{timestamp}.{body}").as_bytes())?;
    let signature = tag.iter().fold("v1=".to_owned(), |hex, byte| hex + &format!("{byte:02x}"));
    let headers = [
        ("content-type", "application/json"),
        ("x-menlou-timestamp", &timestamp),
        ("x-menlou-signature", &signature),
        ("x-request-id", call.request_id()),
    ];
    let timeout = settings.delegate_timeout.map(|t| t.0);
    let request = HttpRequest { method: "POST", url: url.as_str(), headers: &headers, body: body.as_bytes(), timeout };
    let response = call.http(&request).await?;
    let parsed = serde_json::from_slice::<Value>(&response.body).ok();
    match (response.status, parsed) {
        (200, Some(body)) => {
            let found = parse_account(&body).ok_or_else(|| invalid_response(call, 200))?;
            call.attempt_succeeded(&account).await?;
            Ok(found)
        }
        (401, body) => Err(rejection("bad_credentials", body)),
        (403, body) => Err(rejection("login_refused", body)),
        (status, _) => Err(invalid_response(call, status)),
    }
}

/// The account by which the attempt is counted. A service may ignore case and blanks around the name, so the counter does
/// too: otherwise each spelling would have a budget of its own.
fn counted_account(settings: &LoginSettings, credentials: &Map<String, Value>) -> String {
    let name = settings.delegate_account.as_deref().unwrap_or("account");
    let text = match credentials.get(name) {
        Some(Value::String(text)) => text.trim().to_lowercase(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    text.chars().take(MAX_COUNTED_ACCOUNT).collect()
}

fn parse_account(body: &Value) -> Option<Account> {
    let id = match body.get("id")? {
        // Stores treat NUL differently, and two ids must never become equal.
        Value::String(id) if !id.is_empty() && id.len() <= 256 && !id.contains('\0') => id.clone(),
        Value::Number(id) if id.is_i64() || id.is_u64() => id.to_string(),
        _ => return None,
    };
    let text = |key| body.get(key).and_then(Value::as_str).unwrap_or_default().chars().take(2048).collect();
    Some(Account { id, name: text("name"), avatar_url: text("avatar_url") })
}

/// An error with the message of the service, or with the gateway's message if it has none.
fn rejection(code: &'static str, body: Option<Value>) -> Error {
    let msg = body.as_ref().and_then(|b| b.get("msg")).and_then(Value::as_str).filter(|m| !m.is_empty());
    match msg {
        Some(msg) => {
            let msg: String = msg.chars().take(200).collect();
            Error::new(code).with_message(msg.clone(), msg)
        }
        None => Error::new(code),
    }
}

fn invalid_response(call: &Call<LoginSettings>, status: u16) -> Error {
    call.log(
        Level::Warn,
        "the tenant's login service returned an invalid response",
        &[("status", &status.to_string())],
    );
    Error::new("upstream_error")
}

#[cfg(test)]
mod tests {
    use crate::plugin;
    use menlou_plugin::testing::Host;
    use serde_json::{Value, json};

    const URL: &str = "http://login.example/check";
    const KEY: &str = "a-key-of-16-bytes-or-more";

    fn host(status: u16, body: &str) -> Host {
        Host::new()
            .caller("o-ann")
            .settings(json!({ "methods": ["delegate"], "delegate_url": URL, "delegate_secret": KEY }))
            .http_response("POST", URL, status, body)
    }

    fn params() -> Value {
        json!({ "method": "delegate", "account": "ann", "password": "pw", "shop": { "id": 3 } })
    }

    #[test]
    fn the_account_of_the_service_is_bound_once() {
        let host = host(200, r#"{"id":42,"name":"Ann","avatar_url":"https://example.com/a.png"}"#);
        let first = host.call(plugin(), "login", params());
        let again = host.call(plugin(), "login", params());
        assert_eq!((first.error, &first.data["user"]["name"]), (None, &json!("Ann")));
        assert_eq!(first.data["user"], again.data["user"]);
        assert_eq!(host.account_count(), 1);
    }

    #[test]
    fn credentials_are_sent_with_a_signature() {
        let host = host(200, r#"{"id":"a-1"}"#);
        host.call(plugin(), "login", params());
        let sent = &host.http_requests()[0];
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(
            body,
            json!({ "tenant": "test", "openid": "o-ann", "client_address": "127.0.0.1",
                    "credentials": { "account": "ann", "password": "pw", "shop": { "id": 3 } } })
        );
        let header = |name| sent.headers.iter().find(|h| h.0 == name).map(|h| h.1.as_str());
        assert_eq!(header("x-menlou-timestamp"), Some("1700000000"));
        assert!(header("x-menlou-signature").is_some_and(|s| s.starts_with("v1=") && s.len() == 67));
    }

    #[test]
    fn attempts_are_counted_per_account_before_the_service_is_asked() {
        let host = host(401, "{}");
        let login = |account: &str| {
            host.call(plugin(), "login", json!({ "method": "delegate", "account": account, "password": "pw" }))
        };
        for account in ["boss", " Boss ", "ann"] {
            login(account);
        }
        assert_eq!(host.attempts(), ["boss", "boss", "ann"]);
        let host = host.exhaust_attempts();
        let sent = host.http_requests().len();
        let reply = host.call(plugin(), "login", params());
        assert_eq!((reply.error.as_deref(), host.http_requests().len()), (Some("too_many_attempts"), sent));
    }

    #[test]
    fn the_setting_names_the_parameter_with_the_account() {
        let settings = json!({ "methods": ["delegate"], "delegate_url": URL, "delegate_secret": KEY,
                               "delegate_account": "employee" });
        let host = host(401, "{}").settings(settings);
        host.call(plugin(), "login", json!({ "method": "delegate", "employee": "e-1", "account": "decoy" }));
        host.call(plugin(), "login", json!({ "method": "delegate", "employee": 17 }));
        host.call(plugin(), "login", json!({ "method": "delegate", "ticket": "t-1" }));
        assert_eq!(host.attempts(), ["e-1", "17", ""]);
    }

    #[test]
    fn a_success_ends_the_count_of_the_account() {
        let host = host(200, r#"{"id":"a-1"}"#);
        host.call(plugin(), "login", params());
        assert!(host.attempts().is_empty());
    }

    #[test]
    fn a_rejection_has_the_message_of_the_service() {
        let reply = host(401, r#"{"msg":"工号不存在"}"#).call(plugin(), "login", params());
        assert_eq!(reply.error.as_deref(), Some("bad_credentials"));
        assert_eq!(reply.msg, Some(("工号不存在".into(), "工号不存在".into())));
        let reply = host(403, "").call(plugin(), "login", params());
        assert_eq!((reply.error.as_deref(), reply.msg), (Some("login_refused"), None));
    }

    #[test]
    fn an_invalid_response_binds_nothing_and_logs_no_credentials() {
        for (status, body) in [
            (200, "hello"),
            (200, "{}"),
            (200, r#"{"id":""}"#),
            (200, r#"{"id":"a\u0000b"}"#),
            (200, r#"{"id":[1]}"#),
            (500, ""),
            (302, ""),
        ] {
            let host = host(status, body);
            let reply = host.call(plugin(), "login", params());
            assert_eq!(reply.error.as_deref(), Some("upstream_error"), "{status} {body}");
            assert_eq!(host.account_count(), 0);
            assert!(!host.logs().concat().contains("pw"));
        }
    }
}
