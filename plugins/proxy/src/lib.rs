//! Calls forwarded to the tenant's own back end: `[actions.orders] plugin = "proxy"`, `upstream = "http://…"`.

mod identity;
mod settings;

use menlou_plugin::{ForwardRequest, ResponseSent, prelude::*};
use settings::ProxySettings;

async fn proxy(call: &Call<ProxySettings>, _: ()) -> Result<ResponseSent> {
    let settings = call.settings();
    let target = target(call);
    let identity = identity::headers(call, &target).await?;
    let headers: Vec<(&str, &str)> = identity.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let forward = ForwardRequest {
        upstream: &settings.upstream_handle,
        target: &target,
        pass_headers: &settings.passed(),
        headers: &headers,
        timeout: settings.timeout(),
        retries: settings.retries(),
        max_body: settings.max_body,
    };
    call.forward(&forward).await
}

/// What is asked of the upstream, beneath its base path.
fn target(call: &Call<ProxySettings>) -> String {
    let mut target = match call.settings().strips_prefix() {
        true => String::new(),
        // Also for calls by `?f=&a=`: the upstream sees one form.
        false => format!("/srv/{}/{}", call.tenant(), call.action()),
    };
    encode(call.subpath(), |b| matches!(b, b'`' | b'{' | b'}' | b'^' | b'\\'), &mut target);
    if !call.query().is_empty() {
        target += "?";
        encode(call.query(), |b| matches!(b, b'\'' | b'\\'), &mut target);
    }
    target
}

/// Writes the few characters that clients may leave bare, and URLs don't have, as URLs do: what is signed is what arrives.
fn encode(text: &str, bare: impl Fn(u8) -> bool, into: &mut String) {
    for c in text.chars() {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).as_bytes();
        if !c.is_ascii_graphic() || matches!(bytes[0], b'"' | b'<' | b'>' | b'#') || bare(bytes[0]) {
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
                "把请求转发到租户自己的服务，附带签名的用户身份；请求与回答都边收边发，大小不限于内存。回答原样返回，没有信封；\
                 转发失败时仍为信封。",
                "Forwards the request to the tenant's own service, with the caller's identity in signed headers. Bodies are \
                 passed on as they come, both ways. The answer comes as it is, without an envelope; failures keep theirs.",
            ),
    ],
}

#[cfg(test)]
mod tests;
