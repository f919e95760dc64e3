//! The caller's identity in headers, signed with a key that the upstream and the tenant file share.

use crate::settings::{ForwardedHeaders, ProxySettings};
use base64::{Engine, engine::general_purpose::STANDARD};
use menlou_plugin::prelude::*;
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Header of the signature: `v1=` and 64 hexadecimal digits.
const SIGNATURE: &str = "x-menlou-signature";

/// Header of the digest of the body (RFC 9530).
const CONTENT_DIGEST: &str = "content-digest";

/// The headers for a request of this target. A value that is not known (no session, not logged in) is empty, so that the
/// upstream sees each header. Without a key the identity is empty too, because it could not be verified.
pub(crate) async fn signed_headers(call: &Call<ProxySettings>, target: &str) -> Result<Vec<(&'static str, String)>> {
    let openid = call.openid().filter(|_| call.settings().key.is_some());
    let user = match (call.user_id(), openid) {
        (None, Some(openid)) => call.find_user(openid).await?.map(|user| user.id),
        (known, _) => known,
    };
    let user = user.map(|id| id.to_string()).unwrap_or_default();
    let mut headers = vec![
        ("x-menlou-timestamp", (call.now_unix_ms() / 1000).to_string()),
        ("x-menlou-tenant", call.tenant().to_owned()),
        ("x-menlou-action", call.action().to_owned()),
        ("x-request-id", call.request_id().to_owned()),
        ("x-menlou-openid", openid.unwrap_or_default().to_owned()),
        ("x-menlou-user-id", user),
    ];
    if call.settings().sign_body {
        headers.push((CONTENT_DIGEST, content_digest(call).await?));
    }
    if let Some(key) = &call.settings().key {
        let path = call.settings().base_path().to_owned() + target;
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let message = signed_message(call.method(), &path, &headers);
        let tag = call.hmac_sha256(key.expose().as_bytes(), message.as_bytes())?;
        let digits = tag.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
        headers.push((SIGNATURE, "v1=".chars().chain(hex).collect()));
    }
    // How the client reached the gateway, and the language, are not signed: they grant nothing.
    headers.extend(forwarded_headers(call));
    headers.push(("x-menlou-language", call.language().to_owned()));
    Ok(headers)
}

/// The digest of the body, which stays to be forwarded.
async fn content_digest(call: &Call<ProxySettings>) -> Result<String> {
    let body = call.buffer_body(call.settings().max_body().unwrap_or(u64::MAX)).await?;
    let digest = Sha256::digest(body.as_deref().unwrap_or_default());
    Ok(format!("sha-256=:{}:", STANDARD.encode(digest)))
}

/// The headers that tell the upstream how the client reached the gateway. The gateway has verified scheme and host.
fn forwarded_headers(call: &Call<ProxySettings>) -> Vec<(&'static str, String)> {
    let kind = call.settings().forwarded;
    let address = call.remote_ip();
    let [proto, host] = ["x-forwarded-proto", "x-forwarded-host"].map(|name| call.header(name).unwrap_or_default());
    let mut headers = Vec::new();
    if matches!(kind, ForwardedHeaders::Both | ForwardedHeaders::XForwarded) {
        headers.push(("x-forwarded-for", address.map(|ip| ip.to_string()).unwrap_or_default()));
        headers.push(("x-forwarded-proto", proto.to_owned()));
        headers.push(("x-forwarded-host", host.to_owned()));
        if call.settings().strips_prefix() {
            headers.push(("x-forwarded-prefix", format!("/srv/{}/{}", call.tenant(), call.action())));
        }
    }
    if matches!(kind, ForwardedHeaders::Both | ForwardedHeaders::Forwarded) {
        let node = address.map(|ip| match ip {
            IpAddr::V4(ip) => format!("for={ip}"),
            IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
        });
        // A host may contain a colon, which only a quoted value may (RFC 7239, 4).
        let host = (!host.is_empty()).then(|| format!("host=\"{host}\""));
        let proto = (!proto.is_empty()).then(|| format!("proto={proto}"));
        let pairs: Vec<String> = [node, host, proto].into_iter().flatten().collect();
        headers.push(("forwarded", pairs.join(";")));
    }
    headers.retain(|(_, value)| !value.is_empty());
    headers
}

/// The signed text: `v1`, the method, path and query as the upstream sees them, and the header values in order, one a line.
fn signed_message(method: &str, path: &str, headers: &[(&'static str, String)]) -> String {
    let mut lines = vec!["v1", method, path];
    lines.extend(headers.iter().map(|(_, value)| value.as_str()));
    lines.join("\n")
}
