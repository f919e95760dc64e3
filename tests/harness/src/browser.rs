//! A browser without scripts for the web console: it stores cookies, submits forms, and checks the security headers and the
//! markup of every page.

use crate::{
    admin::Admin,
    gateway::Gateway,
    http::{Request, Response},
};
use std::{collections::BTreeMap, net::SocketAddr};

/// A browser.
#[derive(Clone, Debug)]
pub struct Browser {
    addr: SocketAddr,
    cookies: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
    /// The last page.
    pub page: String,
}

impl Gateway {
    /// A new browser without cookies.
    pub fn browser(&self) -> Browser {
        Browser::at(self.admin_addr())
    }

    /// A browser that is signed in with a new token of this role.
    pub fn console_as(&self, role: &str) -> Browser {
        self.console_of(&self.admin_as(role))
    }

    /// A browser that is signed in with this admin's token.
    ///
    /// # Panics
    /// Where the sign-in fails.
    pub fn console_of(&self, admin: &Admin) -> Browser {
        let mut browser = self.browser();
        let response = browser.post("/console/sign-in", &[("token", admin.token()), ("next", "/console/")]);
        assert_eq!(response.status, 303, "{}", browser.page);
        browser
    }
}

impl Browser {
    /// A new browser for the console at this address.
    pub fn at(addr: SocketAddr) -> Self {
        let headers = vec![("Accept-Language".to_owned(), "en".to_owned())];
        Self { addr, cookies: BTreeMap::new(), headers, page: String::new() }
    }

    /// The same browser with another header in every request.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Loads a page.
    pub fn get(&mut self, path: &str) -> Response {
        self.send(Request::new("GET", path))
    }

    /// Submits a form of the last page, CSRF token included.
    pub fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let csrf = self.value("csrf");
        self.post(path, &[fields, &[("csrf", csrf.as_str())]].concat())
    }

    /// Submits a form with exactly these fields.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.send(Request::post(path).header("Origin", "http://localhost").form(fields))
    }

    /// Sends a request with the cookies.
    ///
    /// # Panics
    /// Where there is no response, or it lacks a security header.
    pub fn send(&mut self, mut request: Request) -> Response {
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("Cookie", &cookies.join("; "));
        }
        let response = request.send(self.addr).expect("a response");
        for (_, cookie) in response.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, rest) = cookie.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            match cookie.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        self.page = response.text();
        assert_secure(&response);
        response
    }

    /// The value of a hidden field of the last page.
    pub fn value(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let rest = self.page.split_once(&start).map(|(_, rest)| rest).unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// The text of a text area of the last page.
    pub fn text(&self, id: &str) -> String {
        let area = self.page.split_once(&format!("<textarea id=\"{id}\"")).map(|(_, rest)| rest).unwrap_or_default();
        let text = area.split_once('>').map(|(_, rest)| rest).unwrap_or_default();
        let text = text.split("</textarea>").next().unwrap_or_default().trim_start_matches('\n');
        [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
            .iter()
            .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
    }
}

/// Asserts what every response of the console has to have.
fn assert_secure(response: &Response) {
    let shown = || format!("{} {:?}\n{}", response.status, response.headers, response.text());
    let policy = response.header("content-security-policy").unwrap_or_default();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "no {part}: {}", shown());
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{}", shown());
    let page = response.text();
    if response.header("content-type").is_some_and(|value| value.starts_with("text/html")) {
        assert_eq!(response.header("cache-control"), Some("no-store"), "{}", shown());
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:", "http://fonts", "https://cdn"] {
            assert!(!page.contains(inline), "{inline} in {}", shown());
        }
        for script in page.split("<script").skip(1) {
            assert!(script.starts_with(" defer src=\"/console/assets/"), "inline script: {}", shown());
        }
    }
}
