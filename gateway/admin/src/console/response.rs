//! What a page answers: HTML, or where to go on.

use super::layout::Layout;
use askama::Template;
use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, SET_COOKIE},
    },
    response::Response,
};
use menlou_error::{Error, Result, admin_codes, codes};

/// What a page answers.
pub struct ConsoleResponse {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: String,
}

/// Where something is wrong that the page itself can't show.
#[derive(Template)]
#[template(path = "problem.html")]
struct Problem {
    layout: Layout,
    word: String,
    msg: String,
    remedy: Option<String>,
}

/// The same as part of a page.
#[derive(Template)]
#[template(path = "problem_part.html")]
struct ProblemPart {
    msg: String,
    remedy: Option<String>,
}

impl ConsoleResponse {
    /// A page, or part of one.
    pub fn page(page: &impl Template) -> Result<Self> {
        let body = page.render().map_err(|e| Error::new(&codes::INTERNAL_ERROR).with_cause(e))?;
        let html = (CONTENT_TYPE, "text/html; charset=utf-8".to_owned());
        Ok(Self { status: StatusCode::OK, headers: vec![html], body })
    }

    /// On to another page, by GET.
    pub fn to(address: impl Into<String>) -> Self {
        Self { status: StatusCode::SEE_OTHER, headers: vec![(LOCATION, address.into())], body: String::new() }
    }

    /// On to another page, whoever asked.
    pub fn to_for(htmx: bool, address: String) -> Self {
        if !htmx {
            return Self::to(address);
        }
        let redirect = HeaderName::from_static("hx-redirect");
        Self { status: StatusCode::NO_CONTENT, headers: vec![(redirect, address)], body: String::new() }
    }

    /// The same with the status of an error.
    pub fn failed(mut self, error: &Error) -> Self {
        self.status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(wait) = error.wait() {
            self.headers.push((RETRY_AFTER, wait.as_secs().max(1).to_string()));
        }
        self
    }

    /// The same with another cookie.
    pub fn cookie(mut self, cookie: String) -> Self {
        self.headers.push((SET_COOKIE, cookie));
        self
    }

    /// The response.
    pub fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            // Ours are all visible ASCII; addresses are percent-encoded.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// What to do about an error, where the tables know. That of an address that isn't there is about the traffic side.
pub fn remedy(error: &Error, layout: &Layout) -> Option<String> {
    if error.is(&codes::NOT_FOUND) {
        return None;
    }
    let word = codes::find(error.code()).or_else(|| admin_codes::find(error.code()))?;
    Some(word.remedy.get(layout.language).to_owned())
}

/// The response of an error that the page itself does not show.
pub fn problem(error: &Error, layout: Layout) -> Response {
    if let Some(cause) = error.cause() {
        tracing::warn!(error = error.code(), cause, "a page of the console failed");
    }
    let (msg, remedy) = (error.text().get(layout.language).to_owned(), remedy(error, &layout));
    let page = match layout.part {
        true => ConsoleResponse::page(&ProblemPart { msg, remedy }),
        false => ConsoleResponse::page(&Problem { word: error.code().to_owned(), msg, remedy, layout }),
    };
    // The template of a problem has nothing that could fail.
    page.map(|page| page.failed(error).response()).unwrap_or_default()
}
