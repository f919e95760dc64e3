//! Signing in with an admin's token, signing out, and choosing a language.

use super::{
    BASE,
    answer::{Answer, remedy},
    frame::Frame,
    sittings,
    visit::Visit,
};
use crate::tokens;
use askama::Template;
use menlou_call::Token;
use menlou_error::Result;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    frame: Frame,
    next: String,
    /// Why it was refused, and what to do.
    refused: Option<(String, String)>,
}

/// `GET /console/sign-in`
pub async fn show(visit: Visit) -> Result<Answer> {
    let next = within(visit.query.get("next"));
    if visit.caller().is_ok() {
        return Ok(Answer::to(next));
    }
    Answer::page(&Page { next, frame: visit.frame, refused: None })
}

/// `POST /console/sign-in`
pub async fn enter(visit: Visit) -> Result<Answer> {
    let next = within(visit.form.get("next"));
    let (desk, written) = (visit.desk(), visit.form.get("token").trim());
    let token = (!written.is_empty()).then(|| Token::new(written));
    match tokens::recognise(&*desk.stores.admins, &desk.attempts, token.as_ref(), visit.remote).await {
        Ok(caller) => {
            // Whoever was signed in here before is not any more.
            visit.console.sittings.end(&visit.headers, visit.secure);
            let value = visit.console.sittings.begin(&caller)?;
            tracing::info!(who = caller.label, token = caller.id, role = %caller.role, "signed in at the console");
            Ok(Answer::to(next).cookie(sittings::set(Some(&value), visit.secure)))
        }
        Err(error) => {
            let why = error.text().get(visit.frame.language).to_owned();
            let refused = Some((why, remedy(&error, &visit.frame).unwrap_or_default()));
            Ok(Answer::page(&Page { next, frame: visit.frame, refused })?.failed(&error))
        }
    }
}

/// `POST /console/sign-out`
pub async fn leave(visit: Visit) -> Result<Answer> {
    visit.console.sittings.end(&visit.headers, visit.secure);
    let address = format!("{BASE}sign-in?done=out");
    Ok(Answer::to(address).cookie(sittings::set(None, visit.secure)))
}

/// `POST /console/language`
pub async fn speak(visit: Visit) -> Result<Answer> {
    let language = if visit.form.get("to") == "en" { "en" } else { "zh" };
    let only = if visit.secure { "; Secure" } else { "" };
    let kept = format!("menlou-language={language}; Path=/console; Max-Age=31536000; HttpOnly; SameSite=Lax{only}");
    Ok(Answer::to(within(visit.form.get("back"))).cookie(kept))
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
