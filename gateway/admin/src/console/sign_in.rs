//! Signing in with an admin's token, signing out, and choosing a language.

use super::{
    BASE,
    console_request::ConsoleRequest,
    console_session,
    layout::Layout,
    response::{ConsoleResponse, remedy},
};
use crate::tokens;
use askama::Template;
use menlou_call::Token;
use menlou_error::Result;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    layout: Layout,
    next: String,
    /// Why it was refused, and what to do.
    refused: Option<(String, String)>,
}

/// `GET /console/sign-in`
pub async fn show(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let next = within(request.query.get("next"));
    if request.caller().is_ok() {
        return Ok(ConsoleResponse::to(next));
    }
    ConsoleResponse::page(&Page { next, layout: request.layout, refused: None })
}

/// `POST /console/sign-in`
pub async fn enter(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let next = within(request.form.get("next"));
    let (state, written) = (request.state(), request.form.get("token").trim());
    let token = (!written.is_empty()).then(|| Token::new(written));
    match tokens::authenticate(&*state.stores.admins, &state.failed_attempts, token.as_ref(), request.remote).await {
        Ok(caller) => {
            // Whoever was signed in here before is not any more.
            request.console.sessions.end(&request.headers, request.secure);
            let value = request.console.sessions.begin(&caller)?;
            tracing::info!(who = caller.label, token = caller.id, role = %caller.role, "signed in at the console");
            Ok(ConsoleResponse::to(next).cookie(console_session::set(Some(&value), request.secure)))
        }
        Err(error) => {
            let why = error.text().get(request.layout.language).to_owned();
            let refused = Some((why, remedy(&error, &request.layout).unwrap_or_default()));
            Ok(ConsoleResponse::page(&Page { next, layout: request.layout, refused })?.failed(&error))
        }
    }
}

/// `POST /console/sign-out`
pub async fn leave(request: ConsoleRequest) -> Result<ConsoleResponse> {
    request.console.sessions.end(&request.headers, request.secure);
    let address = format!("{BASE}sign-in?done=out");
    Ok(ConsoleResponse::to(address).cookie(console_session::set(None, request.secure)))
}

/// `POST /console/language`
pub async fn speak(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let language = if request.form.get("to") == "en" { "en" } else { "zh" };
    let only = if request.secure { "; Secure" } else { "" };
    let kept = format!("menlou-language={language}; Path=/console; Max-Age=31536000; HttpOnly; SameSite=Lax{only}");
    Ok(ConsoleResponse::to(within(request.form.get("back"))).cookie(kept))
}

/// The address where to go on, if it is one of the console's: elsewhere nobody is sent.
fn within(address: &str) -> String {
    let plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if address.starts_with(BASE) && !address.starts_with("/console//") && plain { address } else { BASE }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(within("/console/tenants/acme?done=saved"), "/console/tenants/acme?done=saved");
        for elsewhere in ["", "https://evil.example/", "//evil.example", "/console//evil", "/console/\r\nx: y", "/x"] {
            assert_eq!(within(elsewhere), BASE, "{elsewhere:?}");
        }
    }
}
