//! The style sheet and scripts of the console, which are part of the binary, and the security headers of every page.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::Path,
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};
use std::sync::LazyLock;

/// Pages load nothing from other origins, contain no inline scripts or styles, and cannot be framed.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The name, media type and content of each file.
const FILES: [(&str, &str, &str); 4] = [
    ("style.css", "text/css; charset=utf-8", include_str!("../../console/assets/style.css")),
    ("htmx.min.js", "text/javascript; charset=utf-8", include_str!("../../console/assets/htmx.min.js")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("../../console/assets/console.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../console/assets/icon.svg")),
];

/// A hash of all files. Pages add it to the addresses of the files, so that browsers can cache them without limit.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: String = FILES.iter().map(|(_, _, content)| *content).collect();
    hex::encode(&digest(&SHA256, all.as_bytes()).as_ref()[..6])
});

/// `GET /console/assets/{file}`
pub async fn file(Path(name): Path<String>) -> Response {
    let Some((_, media_type, content)) = FILES.iter().find(|(file, _, _)| *file == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    ([(CONTENT_TYPE, *media_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")], *content).into_response()
}

/// Adds the security headers to every response.
pub async fn add_security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
