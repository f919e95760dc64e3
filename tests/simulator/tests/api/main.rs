//! Tests of the simulator over real sockets, by endpoint.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access_token;
mod control;
mod failures;
mod login;
mod messages;
mod phone;
mod program;
mod session_key;

use menlou_simulator::{DEMO_APPID, DEMO_SECRET, Simulator};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A simulator with the demo app and an HTTP client.
struct Scene {
    sim: Simulator,
    client: Client,
}

impl Scene {
    fn new() -> Self {
        let sim = Simulator::start(Default::default()).unwrap();
        Self { sim, client: Client::new() }
    }

    async fn try_get(&self, path: &str, query: &[(&str, &str)]) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.sim.base_url());
        self.client.get(url).query(query).send().await
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let response = self.try_get(path, query).await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.sim.base_url());
        self.client.post(url).json(body).send().await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let response = self.try_post(path, body).await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn try_exchange(&self, code: &str) -> reqwest::Result<Response> {
        let query =
            [("appid", DEMO_APPID), ("secret", DEMO_SECRET), ("js_code", code), ("grant_type", "authorization_code")];
        self.try_get("/sns/jscode2session", &query).await
    }

    async fn exchange(&self, code: &str) -> Value {
        let response = self.try_exchange(code).await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn stable_token(&self, force_refresh: bool) -> Value {
        let body = json!({
            "grant_type": "client_credential",
            "appid": DEMO_APPID,
            "secret": DEMO_SECRET,
            "force_refresh": force_refresh,
        });
        self.post("/cgi-bin/stable_token", &body).await
    }

    /// The path of an endpoint with a valid access token.
    async fn with_token(&self, path: &str) -> String {
        let token = text(&self.stable_token(false).await["access_token"]);
        format!("{path}?access_token={token}")
    }

    /// The errcode of a call with this token and an invalid code: 40029 if the token is accepted.
    async fn errcode_with(&self, token: &str) -> i64 {
        let path = format!("/wxa/business/getuserphonenumber?access_token={token}");
        errcode(&self.post(&path, &json!({"code": "x"})).await)
    }
}

/// Waits until the condition holds, for at most 20 s.
async fn wait_until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "the condition did not become true within 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn errcode(response: &Value) -> i64 {
    response["errcode"].as_i64().unwrap()
}
