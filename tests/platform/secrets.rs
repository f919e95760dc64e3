//! Errors, `Debug` output and logs contain no secrets.

use crate::{PHONE, SESSION, Scene, TOKEN};
use menlou_platform::exchange::CodeExchange;
use menlou_platform::wechat::WechatCredentials;
use menlou_simulator::Failure;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &str = "5f2c9d7ae81b4063a9c4d07e3b61f582";

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_code_token_key_or_number_is_in_any_error_debug_or_log_line() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).init();

    let scene = Scene::new().await;
    let appid = scene.sim.first_app().appid().to_owned();
    scene.sim.first_app().reset_secret(SECRET).expect("a secret");
    let credentials = WechatCredentials {
        appid,
        secret: SECRET.into(),
        previous_secret: None,
        base_url: scene.sim.base_url().to_owned(),
    };
    let mut outputs = vec![format!("{credentials:?}")];
    let mut secrets = vec![SECRET.to_owned(), "13800138000".to_owned()];
    let echo = |parts: &[&str]| Failure::errcode_with_text(99999, format!("echo {}", parts.join(" and ")));

    let wechat = scene.wechat_at(scene.sim.base_url(), SECRET);
    let exchanges = CodeExchange::new(scene.store.clone());
    let window = Duration::from_secs(10);
    let identity = exchanges.exchange("acme", &wechat, &scene.sim.code("alice"), window).await.expect("an identity");
    outputs.push(format!("{identity:?}"));
    secrets.push(crate::session_key(&identity).to_owned());
    let failures = |code: &str, token: &str| {
        [
            Failure::errcode(-1),
            Failure::errcode(40001),
            Failure::errcode(40029),
            Failure::errcode(40164),
            echo(&[SECRET, code]),
            echo(&[token]),
            Failure::drop_connection(),
            Failure::status(500),
            Failure::status(404),
            Failure::truncate(),
        ]
    };
    for n in 0..failures("", "").len() {
        let code = scene.sim.code("alice");
        scene.sim.fail(SESSION, failures(&code, "")[n].clone(), 1);
        let error = exchanges.exchange("acme", &wechat, &code, window).await.expect_err("an error");
        outputs.push(format!("{error} {error:?}"));
        secrets.push(code);

        let code = scene.sim.phone_code("13800138000");
        for path in [PHONE, TOKEN] {
            let token = access_token(&scene).await;
            if path == TOKEN {
                // The next call has to fetch a new token.
                scene.sim.first_app().revoke_tokens();
            }
            scene.sim.fail(path, failures(&code, &token)[n].clone(), 1);
            // A new client each time: after a failed fetch, a client pauses its token requests.
            if let Err(error) = scene.wechat_at(scene.sim.base_url(), SECRET).phone_number(&code, None).await {
                outputs.push(format!("{error} {error:?}"));
            }
            scene.sim.clear_failures();
            secrets.push(token);
        }
        secrets.push(code);
    }
    let unreachable = scene.wechat_at("http://127.0.0.1:1", SECRET);
    let error = unreachable.exchange("0a3XzFll2YtKxe4mJvml2dW1Gv1XzFl7").await.expect_err("an error");
    outputs.push(format!("{error} {error:?}"));
    secrets.push("0a3XzFll2YtKxe4mJvml2dW1Gv1XzFl7".to_owned());
    secrets.push(access_token(&scene).await);

    let logged = String::from_utf8_lossy(&log.0.lock().expect("no panic")).into_owned();
    assert!(logged.contains("TRACE"), "the log is on at level TRACE");
    assert!(outputs.len() > 25);
    outputs.push(logged);
    for secret in &secrets {
        assert!(secret.len() > 10);
        let leak = outputs.iter().find(|text| text.contains(secret));
        assert!(leak.is_none(), "{secret} is in: {}", leak.map_or("", |text| &text[..text.len().min(2000)]));
    }
}

/// The current stable token, which is the same for all clients.
async fn access_token(scene: &Scene) -> String {
    let body = serde_json::json!({
        "grant_type": "client_credential",
        "appid": scene.sim.first_app().appid(),
        "secret": SECRET,
    });
    let url = format!("{}{TOKEN}", scene.sim.base_url());
    let response = reqwest::Client::new().post(url).json(&body).send().await.expect("a response");
    let response: serde_json::Value = response.json().await.expect("JSON");
    response["access_token"].as_str().expect("a token").to_owned()
}
