//! A mini-program's client: calls actions, and checks the envelope of every response.

use crate::http::{Request, Response, encode};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Parameters whose values must not be logged.
const SECRET_PARAMETERS: [&str; 4] = ["code", "phone_code", "password", "token"];

/// Secrets that must not be in the gateway's log.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<Mutex<BTreeSet<String>>>);

impl Secrets {
    /// Adds a secret. Secrets shorter than 8 bytes are ignored, since they may be in a log by chance.
    pub fn add(&self, secret: &str) {
        if secret.len() >= 8 {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_owned());
        }
    }

    /// Asserts that no secret is in `text`.
    ///
    /// # Panics
    /// Where one is; the text has the line with the secret masked.
    pub fn assert_absent_from(&self, text: &str) {
        for secret in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert!(
                line.is_none(),
                "a secret was logged: {}",
                line.unwrap_or_default().replace(secret.as_str(), "***")
            );
        }
    }
}

/// A client of one tenant, with or without a session.
#[derive(Clone, Debug)]
pub struct Client {
    addr: SocketAddr,
    tenant: String,
    token: Option<String>,
    language: Option<String>,
    address: Option<String>,
    secrets: Secrets,
}

/// A response in the envelope of the contract.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The HTTP status.
    pub status: u16,
    /// The message for users.
    pub msg: String,
    /// The error code; `None` is success.
    pub error: Option<String>,
    /// The data.
    pub data: Value,
    /// The HTTP response.
    pub response: Response,
}

impl Client {
    pub(crate) fn new(addr: SocketAddr, tenant: &str, secrets: Secrets) -> Self {
        Self { addr, tenant: tenant.to_owned(), token: None, language: None, address: None, secrets }
    }

    /// The same client with this session.
    pub fn with(&self, token: &str) -> Self {
        self.secrets.add(token);
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client with this `Accept-Language`.
    pub fn with_language(&self, language: &str) -> Self {
        Self { language: Some(language.to_owned()), ..self.clone() }
    }

    /// The same client at this address, for a gateway that trusts its neighbours' `X-Forwarded-For`.
    pub fn with_address(&self, address: &str) -> Self {
        Self { address: Some(address.to_owned()), ..self.clone() }
    }

    /// Calls an action with a form.
    ///
    /// # Panics
    /// Where there is no response, or it has no valid envelope.
    pub fn call(&self, action: &str, fields: &[(&str, &str)]) -> Envelope {
        self.try_call(action, fields).expect("a response")
    }

    /// As [`Client::call`], where the gateway may be down.
    ///
    /// # Errors
    /// Where no complete response arrives.
    pub fn try_call(&self, action: &str, fields: &[(&str, &str)]) -> std::io::Result<Envelope> {
        for (_, value) in fields.iter().filter(|(name, _)| SECRET_PARAMETERS.contains(name)) {
            self.secrets.add(value);
        }
        self.try_send(&Request::post(self.target(action)).form(fields))
    }

    /// The URL of an action, with `f` and `a` in its query.
    pub fn target(&self, action: &str) -> String {
        format!("/srv/?{}", encode(&[("f", &self.tenant), ("a", action)]))
    }

    /// Sends a request with this client's session and language.
    ///
    /// # Panics
    /// Where there is no response, or it has no valid envelope.
    pub fn send(&self, request: &Request) -> Envelope {
        self.try_send(request).expect("a response")
    }

    /// As [`Client::send`], where the gateway may be down.
    ///
    /// # Errors
    /// Where no complete response arrives.
    pub fn try_send(&self, request: &Request) -> std::io::Result<Envelope> {
        let mut request = request.clone();
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        if let Some(language) = &self.language {
            request = request.header("Accept-Language", language);
        }
        if let Some(address) = &self.address {
            request = request.header("X-Forwarded-For", address);
        }
        let envelope = Envelope::parse(request.send(self.addr)?);
        if let Some(token) = envelope.token() {
            self.secrets.add(token);
        }
        Ok(envelope)
    }
}

impl Envelope {
    /// Parses a response.
    ///
    /// # Panics
    /// Where its envelope violates the contract.
    pub fn parse(response: Response) -> Self {
        let shown = || format!("{} {:?}\n{}", response.status, response.headers, response.text());
        let body: Value =
            serde_json::from_slice(&response.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", shown()));
        let content = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
        assert!(content.starts_with("application/json"), "Content-Type is not JSON: {}", shown());
        assert!(response.header("x-request-id").is_some_and(|id| !id.is_empty()), "no X-Request-Id: {}", shown());
        let fields = body.as_object().unwrap_or_else(|| panic!("not an object: {}", shown()));
        let error = fields.get("error").map(|e| e.as_str().unwrap_or_else(|| panic!("error: {}", shown())).to_owned());
        let code = fields.get("code").and_then(Value::as_i64);
        assert_eq!(code, Some(i64::from(error.is_none())), "code and error disagree: {}", shown());
        let msg = fields.get("msg").and_then(Value::as_str).filter(|m| !m.is_empty());
        let msg = msg.unwrap_or_else(|| panic!("no msg: {}", shown())).to_owned();
        let data = fields.get("data").filter(|d| d.is_object()).unwrap_or_else(|| panic!("no data: {}", shown()));
        let known = ["code", "msg", "data", "error"];
        assert!(fields.keys().all(|k| known.contains(&k.as_str())), "unknown field in the envelope: {}", shown());
        assert!(error.is_some() || response.status == 200, "a success has another status than 200: {}", shown());
        Self { status: response.status, msg, error, data: data.clone(), response }
    }

    /// The data of a success.
    ///
    /// # Panics
    /// Where it is a failure.
    pub fn ok(&self) -> &Value {
        assert!(self.error.is_none(), "{} {}", self.status, self.response.text());
        &self.data
    }

    /// Asserts that the response is a failure with this status and error code.
    ///
    /// # Panics
    /// Where it is not.
    pub fn assert_error(&self, status: u16, code: &str) -> &Self {
        let got = (self.status, self.error.as_deref());
        assert_eq!(got, (status, Some(code)), "{}", self.response.text());
        self
    }

    /// The detail for developers; empty if there is none.
    pub fn detail(&self) -> &str {
        self.data["detail"].as_str().unwrap_or_default()
    }

    /// The session token, where the response has one.
    pub fn token(&self) -> Option<&str> {
        self.data.pointer("/session/token")?.as_str()
    }

    /// The id of the user, where the response has one.
    pub fn user_id(&self) -> Option<i64> {
        self.data.pointer("/user/id")?.as_i64()
    }
}
