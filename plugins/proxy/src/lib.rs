//! Forwards calls to the tenant's own back end: `[actions.orders] plugin = "proxy"`, `upstream = "http://…"`.

mod identity;
mod settings;

use menlou_plugin::{ForwardRequest, ResponseSent, prelude::*};
use settings::ProxySettings;

async fn proxy(call: &Call<ProxySettings>, _: ()) -> Result<ResponseSent> {
    let settings = call.settings();
    let target = target(call);
    let identity = identity::signed_headers(call, &target).await?;
    let headers: Vec<(&str, &str)> = identity.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let forward = ForwardRequest {
        upstream: &settings.upstream_handle,
        target: &target,
        pass_headers: &settings.passed_headers(),
        headers: &headers,
        timeout: settings.timeout(),
        retries: settings.retries(),
        max_body: settings.max_body(),
        keep_location: !settings.rewrites_location(),
    };
    call.forward(&forward).await
}

/// Path and query of the upstream request, below its base path.
fn target(call: &Call<ProxySettings>) -> String {
    let mut target = match call.settings().strips_prefix() {
        true => String::new(),
        // Also for requests by `?f=&a=`, so that the upstream sees one form only.
        false => format!("/srv/{}/{}", call.tenant(), call.action()),
    };
    encode(call.subpath(), |b| matches!(b, b'`' | b'{' | b'}' | b'^' | b'\\'), &mut target);
    if !call.query().is_empty() {
        target += "?";
        encode(call.query(), |b| matches!(b, b'\'' | b'\\'), &mut target);
    }
    target
}

/// Percent-encodes characters that clients may send unencoded but that are invalid in URLs. The upstream then receives
/// exactly what was signed.
fn encode(text: &str, is_invalid: impl Fn(u8) -> bool, into: &mut String) {
    for c in text.chars() {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).as_bytes();
        if !c.is_ascii_graphic() || matches!(bytes[0], b'"' | b'<' | b'>' | b'#') || is_invalid(bytes[0]) {
            bytes.iter().for_each(|b| *into += &format!("%{b:02X}"));
        } else {
            into.push(c);
        }
    }
}

menlou_plugin::plugin! {
    name: "proxy",
    actions: [
        Action::new("proxy", proxy)
            .access(Access::BySetting)
            .methods("GET,HEAD,POST,PUT,PATCH,DELETE")
            .raw_body()
            .raw_query()
            .subpaths()
            .title("转发到自有服务", "Forward to your own service")
            .description(
                "把请求转发到租户自己的服务，并附带签名的调用方身份。请求体和响应体都以流式转发，不占内存。响应原样返回，不加信封；\
                 转发失败时仍返回信封。",
                "Forwards the request to the tenant's own service, with the caller's identity in signed headers. Both bodies are \
                 streamed. The response is passed on unchanged, without an envelope; errors are sent in an envelope.",
            ),
    ],
}

#[cfg(test)]
mod tests;
