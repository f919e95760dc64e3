//! Signing in with an admin token, signing out, and selecting a language.

use super::{
    console_request::ConsoleRequest,
    cookies::{set_language_cookie, set_session_cookie},
    layout::Layout,
    paths::{BASE, within_console},
    response::{ConsoleResponse, remedy},
};
use crate::tokens;
use askama::Template;
use menlou_call::Token;
use menlou_error::Result;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    layout: Layout,
    /// The address to continue at.
    next: String,
    /// Why the token was rejected, and how to fix it.
    rejection: Option<(String, String)>,
}

/// `GET /console/sign-in`
pub async fn show(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let next = within_console(request.query.get("next"));
    if request.caller().is_ok() {
        return Ok(ConsoleResponse::redirect(next));
    }
    ConsoleResponse::page(&SignInPage { next, layout: request.layout, rejection: None })
}

/// `POST /console/sign-in`
pub async fn sign_in(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let next = within_console(request.form.get("next"));
    let (state, written) = (request.state(), request.form.get("token").trim());
    let token = (!written.is_empty()).then(|| Token::new(written));
    match tokens::authenticate(&*state.stores.admins, &state.failed_attempts, token.as_ref(), request.remote).await {
        Ok(caller) => {
            // Ends the previous session of this browser.
            request.console.sessions.end(&request.headers, request.is_secure);
            let value = request.console.sessions.create(&caller)?;
            tracing::info!(who = caller.label, token = caller.id, role = %caller.role, "admin signed in to the console");
            Ok(ConsoleResponse::redirect(next).with_cookie(set_session_cookie(Some(&value), request.is_secure)))
        }
        Err(error) => {
            let message = error.meaning().get(request.layout.language).to_owned();
            let rejection = Some((message, remedy(&error, &request.layout).unwrap_or_default()));
            let page = SignInPage { next, layout: request.layout, rejection };
            Ok(ConsoleResponse::page(&page)?.with_error_status(&error))
        }
    }
}

/// `POST /console/sign-out`
pub async fn sign_out(request: ConsoleRequest) -> Result<ConsoleResponse> {
    request.console.sessions.end(&request.headers, request.is_secure);
    let address = format!("{BASE}sign-in?done=out");
    Ok(ConsoleResponse::redirect(address).with_cookie(set_session_cookie(None, request.is_secure)))
}

/// `POST /console/language`
pub async fn set_language(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let cookie = set_language_cookie(request.form.get("to"), request.is_secure);
    Ok(ConsoleResponse::redirect(within_console(request.form.get("back"))).with_cookie(cookie))
}
