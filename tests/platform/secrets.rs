//! Nothing secret in what the gateway says or logs.

use crate::{PHONE, SESSION, Scene, TOKEN};
use menlou_platform::exchange::CodeExchange;
use menlou_platform::wechat::WechatCredentials;
use menlou_simulator::Failure;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &str = "5f2c9d7ae81b4063a9c4d07e3b61f582";

/// A log that a test can read.
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
    let account = WechatCredentials {
        appid,
        secret: SECRET.into(),
        previous_secret: None,
        base_url: scene.sim.base_url().to_owned(),
    };
    let mut said = vec![format!("{account:?}")];
    let mut secrets = vec![SECRET.to_owned(), "13800138000".to_owned()];
    let echo = |of: &[&str]| Failure::errcode_with_text(99999, format!("echo {}", of.join(" and ")));

    let wechat = scene.wechat_at(scene.sim.base_url(), SECRET);
    let exchanges = CodeExchange::new(scene.store.clone());
    let window = Duration::from_secs(10);
    let person = exchanges.exchange("acme", &wechat, &scene.sim.code("alice"), window).await.expect("a person");
    said.push(format!("{person:?}"));
    secrets.push(crate::session_key(&person).to_owned());
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
        let error = exchanges.exchange("acme", &wechat, &code, window).await.expect_err("a failure");
        said.push(format!("{error} {error:?}"));
        secrets.push(code);

        let code = scene.sim.phone_code("13800138000");
        for path in [PHONE, TOKEN] {
            let token = access_token(&scene).await;
            if path == TOKEN {
                // So that another is asked for.
                scene.sim.first_app().revoke_tokens();
            }
            scene.sim.fail(path, failures(&code, &token)[n].clone(), 1);
            // One of its own, as a keeper rests after a failure.
            if let Err(error) = scene.wechat_at(scene.sim.base_url(), SECRET).phone_number(&code, None).await {
                said.push(format!("{error} {error:?}"));
            }
            scene.sim.clear_failures();
            secrets.push(token);
        }
        secrets.push(code);
    }
    let unreachable = scene.wechat_at("http://127.0.0.1:1", SECRET);
    let error = unreachable.exchange("0a3XzFll2YtKxe4mJvml2dW1Gv1XzFl7").await.expect_err("a failure");
    said.push(format!("{error} {error:?}"));
    secrets.push("0a3XzFll2YtKxe4mJvml2dW1Gv1XzFl7".to_owned());
    secrets.push(access_token(&scene).await);

    let logged = String::from_utf8_lossy(&log.0.lock().expect("no panic")).into_owned();
    assert!(logged.contains("TRACE"), "the log was on");
    assert!(said.len() > 25);
    said.push(logged);
    for secret in &secrets {
        assert!(secret.len() > 10);
        let told = said.iter().find(|text| text.contains(secret));
        assert!(told.is_none(), "{secret} is told: {}", told.map_or("", |t| &t[..t.len().min(2000)]));
    }
}

/// The token that the gateway uses now: the same for all who ask.
async fn access_token(scene: &Scene) -> String {
    let body = serde_json::json!({
        "grant_type": "client_credential",
        "appid": scene.sim.first_app().appid(),
        "secret": SECRET,
    });
    let url = format!("{}{TOKEN}", scene.sim.base_url());
    let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("an answer");
    let answer: serde_json::Value = answer.json().await.expect("JSON");
    answer["access_token"].as_str().expect("a token").to_owned()
}
