//! What holds over real sockets, endpoint by endpoint.
#![allow(clippy::unwrap_used, reason = "a test stops at its first surprise")]

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

/// A simulator with the demo app, and a client for it.
struct Bench {
    sim: Simulator,
    client: Client,
}

fn bench() -> Bench {
    let sim = Simulator::start(Default::default()).unwrap();
    let client = Client::new();
    Bench { sim, client }
}

impl Bench {
    async fn try_get(&self, path: &str, query: &[(&str, &str)]) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.sim.base_url());
        self.client.get(url).query(query).send().await
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let answer = self.try_get(path, query).await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.sim.base_url());
        self.client.post(url).json(body).send().await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.try_post(path, body).await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    async fn try_exchange(&self, code: &str) -> reqwest::Result<Response> {
        let query =
            [("appid", DEMO_APPID), ("secret", DEMO_SECRET), ("js_code", code), ("grant_type", "authorization_code")];
        self.try_get("/sns/jscode2session", &query).await
    }

    async fn exchange(&self, code: &str) -> Value {
        let answer = self.try_exchange(code).await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
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

    /// The errcode of a call that needs nothing but a valid token: 40029 then, its code is wrong.
    async fn errcode_with(&self, token: &str) -> i64 {
        let path = format!("/wxa/business/getuserphonenumber?access_token={token}");
        errcode(&self.post(&path, &json!({"code": "x"})).await)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn errcode(answer: &Value) -> i64 {
    answer["errcode"].as_i64().unwrap()
}
