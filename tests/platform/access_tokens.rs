//! The cache of access tokens, tested through phone numbers, whose request needs a token.

use crate::peer::{Peer, Step, ok};
use crate::{PHONE, Scene, TOKEN};
use menlou_error::codes;
use menlou_platform::Platform;
use menlou_simulator::Failure;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Requests a hundred phone numbers concurrently. All must succeed.
async fn request_hundred_numbers(scene: &Scene, wechat: &Arc<dyn Platform>) {
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (wechat, code) = (Arc::clone(wechat), scene.sim.phone_code("13800138000"));
        calls.spawn(async move { wechat.phone_number(&code, None).await });
    }
    while let Some(number) = calls.join_next().await {
        assert_eq!(number.expect("no panic").expect("a number"), "+8613800138000");
    }
}

async fn number(scene: &Scene, wechat: &Arc<dyn Platform>) -> menlou_error::Result<String> {
    wechat.phone_number(&scene.sim.phone_code("13800138000"), None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_concurrent_calls_and_a_second_replica_fetch_one_token() {
    let scene = Scene::new().await;
    request_hundred_numbers(&scene, &scene.wechat()).await;
    request_hundred_numbers(&scene, &scene.wechat()).await;
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (1, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revoked_or_expired_token_is_renewed_once_for_all_calls() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    for (fetched, revoke) in [(2, true), (3, false)] {
        number(&scene, &wechat).await.expect("a number");
        if revoke {
            scene.sim.first_app().revoke_tokens()
        } else {
            scene.sim.first_app().expire_tokens()
        }
        request_hundred_numbers(&scene, &wechat).await;
        assert_eq!(scene.sim.calls(TOKEN), fetched);
    }
}

#[tokio::test]
async fn other_replicas_use_the_renewed_token() {
    let scene = Scene::new().await;
    let (here, there) = (scene.wechat(), scene.wechat());
    number(&scene, &here).await.expect("a number");
    number(&scene, &there).await.expect("a number");
    scene.sim.first_app().revoke_tokens();
    number(&scene, &here).await.expect("a number");
    number(&scene, &there).await.expect("a number");
    assert_eq!(scene.sim.calls(TOKEN), 2);
}

#[tokio::test]
async fn a_rejected_token_that_wechat_returns_again_is_force_refreshed_at_most_once_in_30_s() {
    let scene = Scene::new().await;
    let (here, there) = (scene.wechat(), scene.wechat());
    for replica in [&here, &there] {
        number(&scene, replica).await.expect("a number");
    }
    scene.sim.reset_calls();
    scene.sim.fail(PHONE, Failure::errcode(40001), 1);
    number(&scene, &here).await.expect("a number");
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (2, 2), "a plain request, then a forced refresh");
    number(&scene, &there).await.expect("a number with the token that the first replica stored");
    assert_eq!(scene.sim.calls(TOKEN), 2);

    scene.sim.fail(PHONE, Failure::errcode(40001), 1);
    let error = number(&scene, &there).await.expect_err("an error");
    assert!(error.is(&codes::PLATFORM_BUSY), "{error}");
    let fetched = scene.sim.calls(TOKEN);
    let error = number(&scene, &there).await.expect_err("an error");
    assert!(error.is(&codes::PLATFORM_BUSY), "{error}");
    assert_eq!(scene.sim.calls(TOKEN), fetched, "token requests are paused");
    number(&scene, &here).await.expect("its token is valid");
}

#[tokio::test]
async fn a_rejected_token_is_never_sent_again() {
    let token = ok(r#"{"access_token":"T","expires_in":7200}"#);
    let refusal = ok(r#"{"errcode":40001,"errmsg":"invalid credential rid: 1-2-3"}"#);
    let peer = Peer::start(vec![Step::Send(token.clone()), Step::Send(refusal), Step::Send(token)]).await;
    let scene = Scene::new().await;
    let error = scene.wechat_at(&peer.base_url, "s").phone_number("c", None).await.expect_err("an error");
    assert!(error.is(&codes::PLATFORM_BUSY), "{error}");
    let requests = peer.requests();
    assert_eq!(requests.iter().filter(|r| r.starts_with("POST /wxa")).count(), 1);
    assert_eq!(requests.iter().filter(|r| r.contains(r#""force_refresh":true"#)).count(), 1);
}

#[tokio::test]
async fn an_exhausted_daily_quota_stops_all_token_requests() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    scene.sim.fail_until_cleared(TOKEN, Failure::errcode(45009));
    for _ in 0..5 {
        let error = number(&scene, &wechat).await.expect_err("an error");
        assert!(error.is(&codes::PLATFORM_QUOTA), "{error}");
        assert!(error.wait().is_some_and(|wait| wait >= Duration::from_secs(60)));
    }
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (1, 0));
}

#[tokio::test]
async fn a_call_whose_own_quota_is_exhausted_is_not_retried() {
    let scene = Scene::new().await;
    scene.sim.fail(PHONE, Failure::errcode(45009), 1);
    let error = number(&scene, &scene.wechat()).await.expect_err("an error");
    assert!(error.is(&codes::PLATFORM_QUOTA), "{error}");
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (1, 1));
}

#[tokio::test]
async fn after_a_temporary_failure_the_next_token_is_fetched_after_a_second() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    for failure in [Failure::errcode(-1), Failure::status(502)] {
        scene.sim.first_app().revoke_tokens();
        scene.sim.fail(TOKEN, failure, 1);
        number(&scene, &wechat).await.expect_err("an error");
        // Time is the subject: token requests are paused for a second.
        sleep(Duration::from_millis(1200)).await;
        number(&scene, &wechat).await.expect("a number");
    }
}

#[tokio::test]
async fn a_changed_secret_discards_the_cached_token() {
    let scene = Scene::new().await;
    number(&scene, &scene.wechat()).await.expect("a number");
    scene.sim.first_app().reset_secret("the new secret").expect("a secret");
    let wechat = scene.wechat_at(scene.sim.base_url(), "the new secret");
    number(&scene, &wechat).await.expect("a number");
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (2, 2), "the old token was not sent");
}

#[tokio::test]
async fn a_wrong_secret_is_a_tenant_misconfiguration_and_sent_once() {
    let scene = Scene::new().await;
    let wechat = scene.wechat_at(scene.sim.base_url(), "wrong");
    for errcode in [40125, 40001] {
        scene.sim.fail(TOKEN, Failure::errcode(errcode), 1);
        let wechat = if errcode == 40125 { &wechat } else { &scene.wechat() };
        for _ in 0..3 {
            let error = number(&scene, wechat).await.expect_err("an error");
            assert!(error.is(&codes::TENANT_MISCONFIGURED), "{error}");
            assert!(error.meaning().zh.contains("AppSecret"), "{error}");
        }
    }
    assert_eq!(scene.sim.calls(TOKEN), 2);
}

#[tokio::test]
async fn tokens_are_fetched_and_cached_while_the_store_is_unavailable() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    let _lock = scene.lock_store();
    request_hundred_numbers(&scene, &wechat).await;
    assert_eq!(scene.sim.calls(TOKEN), 1);
}

#[tokio::test]
async fn a_token_near_expiry_remains_in_use_while_the_next_is_fetched() {
    // A token of 4 s is renewed from 3 s on and expires at 3.6 s.
    let token = ok(r#"{"access_token":"T1","expires_in":4}"#);
    let number = ok(r#"{"errcode":0,"phone_info":{"purePhoneNumber":"13800138000","countryCode":"86"}}"#);
    let peer = Peer::start(vec![Step::Send(token), Step::Send(number)]).await;
    let scene = Scene::new().await;
    let wechat = scene.wechat_at(&peer.base_url, "s");
    let count = |path: &str| peer.requests().iter().filter(|r| r.starts_with(&format!("POST {path}"))).count();
    let started = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    let mut calls = 0;
    // The renewal fails, as its response contains no token. T1 remains the only token.
    while count(TOKEN) < 2 {
        pause.tick().await;
        assert!(started.elapsed() < Duration::from_secs(20), "no renewal within 20 s");
        wechat.phone_number("c", None).await.expect("a number with T1");
        calls += 1;
    }
    assert!(started.elapsed() >= Duration::from_millis(2900), "renewed too early: {:?}", started.elapsed());
    assert_eq!(count(&format!("{PHONE}?access_token=T1 ")), calls);
}
