//! Responses of console pages: HTML, a redirect, or an error page.

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

/// The response of a console page.
pub struct ConsoleResponse {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: String,
}

/// The page for errors that the requested page cannot show itself.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    layout: Layout,
    code: String,
    message: String,
    remedy: Option<String>,
}

/// The same as a fragment for htmx.
#[derive(Template)]
#[template(path = "error_fragment.html")]
struct ErrorFragment {
    message: String,
    remedy: Option<String>,
}

impl ConsoleResponse {
    /// 200 with a page or a fragment.
    ///
    /// # Errors
    /// `internal_error` if the template fails.
    pub fn page(page: &impl Template) -> Result<Self> {
        let body = page.render().map_err(|e| Error::new(&codes::INTERNAL_ERROR).with_cause(e))?;
        let html = (CONTENT_TYPE, "text/html; charset=utf-8".to_owned());
        Ok(Self { status: StatusCode::OK, headers: vec![html], body })
    }

    /// 303 to another page.
    pub fn redirect(address: impl Into<String>) -> Self {
        Self { status: StatusCode::SEE_OTHER, headers: vec![(LOCATION, address.into())], body: String::new() }
    }

    /// A redirect that loads a complete page, also for a request of htmx.
    pub fn redirect_for(is_htmx: bool, address: String) -> Self {
        if !is_htmx {
            return Self::redirect(address);
        }
        let redirect = HeaderName::from_static("hx-redirect");
        Self { status: StatusCode::NO_CONTENT, headers: vec![(redirect, address)], body: String::new() }
    }

    /// Sets the status of an error.
    pub fn with_error_status(mut self, error: &Error) -> Self {
        self.status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(wait) = error.wait() {
            self.headers.push((RETRY_AFTER, wait.as_secs().max(1).to_string()));
        }
        self
    }

    /// Adds a `Set-Cookie` header.
    pub fn with_cookie(mut self, cookie: String) -> Self {
        self.headers.push((SET_COOKIE, cookie));
        self
    }

    /// Converts to the HTTP response.
    pub fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            // All values are visible ASCII: addresses are percent-encoded.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// How to fix an error, if its code has a remedy. The remedy of `not_found` concerns traffic and does not fit here.
pub fn remedy(error: &Error, layout: &Layout) -> Option<String> {
    if error.is(&codes::NOT_FOUND) {
        return None;
    }
    let code = codes::find(error.code()).or_else(|| admin_codes::find(error.code()))?;
    Some(code.remedy.get(layout.language).to_owned())
}

/// The response for an error that the requested page does not show itself.
pub fn error_response(error: &Error, layout: Layout) -> Response {
    if let Some(cause) = error.cause() {
        tracing::warn!(error = error.code(), cause, "console request failed");
    }
    let (message, remedy) = (error.meaning().get(layout.language).to_owned(), remedy(error, &layout));
    let page = match layout.is_fragment {
        true => ConsoleResponse::page(&ErrorFragment { message, remedy }),
        false => ConsoleResponse::page(&ErrorPage { code: error.code().to_owned(), message, remedy, layout }),
    };
    // These templates contain nothing that can fail.
    page.map(|page| page.with_error_status(error).response()).unwrap_or_default()
}
