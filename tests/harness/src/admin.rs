//! An admin: asks the admin API with a token, and holds every failure to its form.

use crate::{
    gateway::Gateway,
    http::{Request, Response},
};
use serde_json::Value;
use std::net::SocketAddr;

/// Someone with a token, or without.
#[derive(Clone, Debug)]
pub struct Admin {
    addr: SocketAddr,
    token: Option<String>,
}

/// What the API said.
#[derive(Clone, Debug)]
pub struct AdminResponse {
    /// The HTTP status.
    pub status: u16,
    /// The version, where one is told.
    pub etag: Option<String>,
    /// The body; null where there is none.
    pub body: Value,
    /// The answer as it came.
    pub response: Response,
}

impl Gateway {
    /// An admin of this role, with a new token from `menlou admin token new`.
    ///
    /// # Panics
    /// When that fails.
    pub fn admin_as(&self, role: &str) -> Admin {
        let output = self.command(&["admin", "token", "new", "--role", role, "--label", "a test"]);
        assert!(output.status.success(), "token new: {}", String::from_utf8_lossy(&output.stderr));
        self.admin_with(String::from_utf8_lossy(&output.stdout).trim())
    }

    /// Someone with this token.
    pub fn admin_with(&self, token: &str) -> Admin {
        self.secrets().add(token);
        Admin { addr: self.admin_addr(), token: Some(token.to_owned()) }
    }

    /// Someone without a token.
    pub fn anonymous_admin(&self) -> Admin {
        Admin { addr: self.admin_addr(), token: None }
    }
}

impl Admin {
    /// The token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Sends a request with the token.
    ///
    /// # Panics
    /// Where there is no answer, or none that the API gives.
    pub fn send(&self, request: &Request) -> AdminResponse {
        let mut request = request.clone();
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        AdminResponse::parse(request.send(self.addr).expect("an answer"))
    }

    /// Reads what is at a path behind `/api/v1`.
    pub fn get(&self, path: &str) -> AdminResponse {
        self.send(&Request::new("GET", format!("/api/v1{path}")))
    }

    /// Takes away what is at a path behind `/api/v1`.
    pub fn delete(&self, path: &str) -> AdminResponse {
        self.send(&Request::new("DELETE", format!("/api/v1{path}")))
    }

    /// Saves a tenant's file, on this condition: `("If-Match", "*")`.
    pub fn put(&self, tenant: &str, file: &str, condition: (&str, &str)) -> AdminResponse {
        let request = Request::new("PUT", format!("/api/v1/tenants/{tenant}")).header(condition.0, condition.1);
        self.send(&request.body("application/toml", file))
    }
}

impl AdminResponse {
    fn parse(answer: Response) -> Self {
        let told = || format!("{} {:?}\n{}", answer.status, answer.headers, answer.text());
        assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "no X-Request-Id: {}", told());
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", told());
        let body: Value = match answer.body.as_slice() {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("no JSON ({e}): {}", told())),
        };
        if answer.status >= 400 {
            let text = |key: &str| body[key].as_str().is_some_and(|text| !text.is_empty());
            assert!(text("error") && text("msg") && body["data"].is_object(), "no failure: {}", told());
        }
        let etag = answer.header("etag").map(str::to_owned);
        Self { status: answer.status, etag, body, response: answer }
    }

    /// The body of a success.
    ///
    /// # Panics
    /// Where it is a failure.
    pub fn ok(&self) -> &Value {
        assert!(self.status < 300, "{} {}", self.status, self.response.text());
        &self.body
    }

    /// Holds it to be this failure.
    ///
    /// # Panics
    /// Where it is another, or none.
    pub fn assert_error(&self, status: u16, word: &str) -> &Self {
        let got = (self.status, self.body["error"].as_str());
        assert_eq!(got, (status, Some(word)), "{}", self.response.text());
        self
    }
}
