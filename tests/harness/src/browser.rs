//! A browser without scripts, as far as the console needs one: it keeps cookies, fills in forms, and holds every page to
//! what all of them promise.

use crate::{
    admin::Admin,
    gateway::Gateway,
    http::{Request, Response},
};
use std::{collections::BTreeMap, net::SocketAddr};

/// Someone's browser.
#[derive(Clone, Debug)]
pub struct Browser {
    addr: SocketAddr,
    cookies: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
    /// The page that was shown last.
    pub page: String,
}

impl Gateway {
    /// A browser that has not been anywhere yet.
    pub fn browser(&self) -> Browser {
        Browser::at(self.admin_addr())
    }

    /// The browser of someone with a new token of this role, signed in.
    pub fn console_as(&self, role: &str) -> Browser {
        self.console_of(&self.admin_as(role))
    }

    /// The browser of this admin, signed in.
    ///
    /// # Panics
    /// Where that fails.
    pub fn console_of(&self, admin: &Admin) -> Browser {
        let mut browser = self.browser();
        let answer = browser.post("/console/sign-in", &[("token", admin.token()), ("next", "/console/")]);
        assert_eq!(answer.status, 303, "{}", browser.page);
        browser
    }
}

impl Browser {
    /// One that has not been anywhere yet; the console is at this address.
    pub fn at(addr: SocketAddr) -> Self {
        let headers = vec![("Accept-Language".to_owned(), "en".to_owned())];
        Self { addr, cookies: BTreeMap::new(), headers, page: String::new() }
    }

    /// The same with another header in every request.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(of, _)| of != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Opens a page.
    pub fn get(&mut self, path: &str) -> Response {
        self.send(Request::new("GET", path))
    }

    /// Sends a form as the page does that was shown last, its hidden mark included.
    pub fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let csrf = self.value("csrf");
        self.post(path, &[fields, &[("csrf", csrf.as_str())]].concat())
    }

    /// Sends a form with these fields and no other.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.send(Request::post(path).header("Origin", "http://localhost").form(fields))
    }

    /// Sends a request with the cookies.
    ///
    /// # Panics
    /// Where there is no answer, or one that lacks what each has to have.
    pub fn send(&mut self, mut request: Request) -> Response {
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("Cookie", &cookies.join("; "));
        }
        let answer = request.send(self.addr).expect("an answer");
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, rest) = cookie.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            match cookie.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        self.page = answer.text();
        held(&answer);
        answer
    }

    /// The value of a hidden field of the page that was shown last.
    pub fn value(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let rest = self.page.split_once(&start).map(|(_, rest)| rest).unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// What a text field of the page holds.
    pub fn text(&self, id: &str) -> String {
        let area = self.page.split_once(&format!("<textarea id=\"{id}\"")).map(|(_, rest)| rest).unwrap_or_default();
        let text = area.split_once('>').map(|(_, rest)| rest).unwrap_or_default();
        let text = text.split("</textarea>").next().unwrap_or_default().trim_start_matches('\n');
        [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
            .iter()
            .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
    }
}

/// What every answer of the console has to have.
fn held(answer: &Response) {
    let told = || format!("{} {:?}\n{}", answer.status, answer.headers, answer.text());
    let policy = answer.header("content-security-policy").unwrap_or_default();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "no {part}: {}", told());
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{}", told());
    let page = answer.text();
    if answer.header("content-type").is_some_and(|of| of.starts_with("text/html")) {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", told());
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:", "http://fonts", "https://cdn"] {
            assert!(!page.contains(inline), "{inline} in {}", told());
        }
        for script in page.split("<script").skip(1) {
            assert!(script.starts_with(" defer src=\"/console/assets/"), "a script: {}", told());
        }
    }
}
