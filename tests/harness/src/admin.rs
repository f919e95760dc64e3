//! A client of the admin API, which checks the form of every response.

use crate::{
    gateway::Gateway,
    http::{Request, Response},
};
use serde_json::Value;
use std::net::SocketAddr;

/// A client with or without an admin token.
#[derive(Clone, Debug)]
pub struct Admin {
    addr: SocketAddr,
    token: Option<String>,
}

/// A response of the admin API.
#[derive(Clone, Debug)]
pub struct AdminResponse {
    /// The HTTP status.
    pub status: u16,
    /// The version, where the response has one.
    pub etag: Option<String>,
    /// The body; null where it is empty.
    pub body: Value,
    /// The HTTP response.
    pub response: Response,
}

impl Gateway {
    /// A client with a new token of this role, from the command line.
    ///
    /// # Panics
    /// Where the command fails.
    pub fn admin_as(&self, role: &str) -> Admin {
        let output = self.command(&["admin", "token", "new", "--role", role, "--label", "a test"]);
        assert!(output.status.success(), "token new: {}", String::from_utf8_lossy(&output.stderr));
        self.admin_with(String::from_utf8_lossy(&output.stdout).trim())
    }

    /// A client with this token.
    pub fn admin_with(&self, token: &str) -> Admin {
        self.secrets().add(token);
        Admin { addr: self.admin_addr(), token: Some(token.to_owned()) }
    }

    /// A client without a token.
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
    /// Where there is no response, or its form is not that of the API.
    pub fn send(&self, request: &Request) -> AdminResponse {
        let mut request = request.clone();
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        AdminResponse::parse(request.send(self.addr).expect("a response"))
    }

    /// Sends GET to a path below `/api/v1`.
    pub fn get(&self, path: &str) -> AdminResponse {
        self.send(&Request::new("GET", format!("/api/v1{path}")))
    }

    /// Sends DELETE to a path below `/api/v1`.
    pub fn delete(&self, path: &str) -> AdminResponse {
        self.send(&Request::new("DELETE", format!("/api/v1{path}")))
    }

    /// Saves a tenant's file under a condition such as `("If-Match", "*")`.
    pub fn put(&self, tenant: &str, file: &str, condition: (&str, &str)) -> AdminResponse {
        let request = Request::new("PUT", format!("/api/v1/tenants/{tenant}")).header(condition.0, condition.1);
        self.send(&request.body("application/toml", file))
    }
}

impl AdminResponse {
    fn parse(response: Response) -> Self {
        let shown = || format!("{} {:?}\n{}", response.status, response.headers, response.text());
        assert!(response.header("x-request-id").is_some_and(|id| !id.is_empty()), "no X-Request-Id: {}", shown());
        assert_eq!(response.header("cache-control"), Some("no-store"), "{}", shown());
        let body: Value = match response.body.as_slice() {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("not JSON ({e}): {}", shown())),
        };
        if response.status >= 400 {
            let text = |key: &str| body[key].as_str().is_some_and(|text| !text.is_empty());
            assert!(text("error") && text("msg") && body["data"].is_object(), "malformed failure: {}", shown());
        }
        let etag = response.header("etag").map(str::to_owned);
        Self { status: response.status, etag, body, response }
    }

    /// The body of a success.
    ///
    /// # Panics
    /// Where it is a failure.
    pub fn ok(&self) -> &Value {
        assert!(self.status < 300, "{} {}", self.status, self.response.text());
        &self.body
    }

    /// Asserts that the response is a failure with this status and error code.
    ///
    /// # Panics
    /// Where it is not.
    pub fn assert_error(&self, status: u16, code: &str) -> &Self {
        let got = (self.status, self.body["error"].as_str());
        assert_eq!(got, (status, Some(code)), "{}", self.response.text());
        self
    }
}
