//! The access-token keeper, seen through the phone number, which needs a token.

use crate::peer::{Peer, Step, ok};
use crate::{PHONE, Scene, TOKEN};
use menlou_error::codes;
use menlou_platform::Platform;
use menlou_simulator::Failure;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A hundred phone numbers at once, all of which must come.
async fn hundred(scene: &Scene, wechat: &Arc<dyn Platform>) {
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
async fn a_hundred_calls_at_once_fetch_one_token_and_so_do_two_replicas_and_a_restart() {
    let scene = Scene::new().await;
    hundred(&scene, &scene.wechat()).await;
    hundred(&scene, &scene.wechat()).await;
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (1, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_that_was_clobbered_or_has_expired_is_renewed_once_for_all() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    for (fetched, kill) in [(2, true), (3, false)] {
        number(&scene, &wechat).await.expect("a number");
        if kill {
            scene.sim.first_app().revoke_tokens()
        } else {
            scene.sim.first_app().expire_tokens()
        }
        hundred(&scene, &wechat).await;
        assert_eq!(scene.sim.calls(TOKEN), fetched);
    }
}

#[tokio::test]
async fn another_replica_takes_up_the_renewed_token() {
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
async fn a_token_that_wechat_gives_again_though_it_refused_it_is_forced_out_but_not_again_within_30_s() {
    let scene = Scene::new().await;
    let (here, there) = (scene.wechat(), scene.wechat());
    for replica in [&here, &there] {
        number(&scene, replica).await.expect("a number");
    }
    scene.sim.reset_calls();
    scene.sim.fail(PHONE, Failure::errcode(40001), 1);
    number(&scene, &here).await.expect("a number");
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (2, 2), "asked, then forced");
    number(&scene, &there).await.expect("a number by the token that here put into the store");
    assert_eq!(scene.sim.calls(TOKEN), 2);

    scene.sim.fail(PHONE, Failure::errcode(40001), 1);
    let error = number(&scene, &there).await.expect_err("a failure");
    assert!(error.is(&codes::PLATFORM_BUSY), "{error}");
    let asked = scene.sim.calls(TOKEN);
    let error = number(&scene, &there).await.expect_err("a failure");
    assert!(error.is(&codes::PLATFORM_BUSY), "{error}");
    assert_eq!(scene.sim.calls(TOKEN), asked, "it rests");
    number(&scene, &here).await.expect("its token is good");
}

#[tokio::test]
async fn the_same_token_is_never_sent_again_after_it_was_refused() {
    let token = ok(r#"{"access_token":"T","expires_in":7200}"#);
    let refusal = ok(r#"{"errcode":40001,"errmsg":"invalid credential rid: 1-2-3"}"#);
    let peer = Peer::start(vec![Step::Send(token.clone()), Step::Send(refusal), Step::Send(token)]).await;
    let scene = Scene::new().await;
    let error = scene.wechat_at(&peer.base_url, "s").phone_number("c", None).await.expect_err("a failure");
    assert!(error.is(&codes::PLATFORM_BUSY), "{error}");
    let requests = peer.requests();
    assert_eq!(requests.iter().filter(|r| r.starts_with("POST /wxa")).count(), 1);
    assert_eq!(requests.iter().filter(|r| r.contains(r#""force_refresh":true"#)).count(), 1);
}

#[tokio::test]
async fn a_daily_quota_that_is_used_up_stops_all_requests_for_tokens() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    scene.sim.fail_until_cleared(TOKEN, Failure::errcode(45009));
    for _ in 0..5 {
        let error = number(&scene, &wechat).await.expect_err("a failure");
        assert!(error.is(&codes::PLATFORM_QUOTA), "{error}");
        assert!(error.wait().is_some_and(|wait| wait >= Duration::from_secs(60)));
    }
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (1, 0));
}

#[tokio::test]
async fn a_call_whose_own_quota_is_used_up_is_not_tried_again() {
    let scene = Scene::new().await;
    scene.sim.fail(PHONE, Failure::errcode(45009), 1);
    let error = number(&scene, &scene.wechat()).await.expect_err("a failure");
    assert!(error.is(&codes::PLATFORM_QUOTA), "{error}");
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (1, 1));
}

#[tokio::test]
async fn a_failure_that_passes_is_got_over_within_seconds() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    for failure in [Failure::errcode(-1), Failure::status(502)] {
        scene.sim.first_app().revoke_tokens();
        scene.sim.fail(TOKEN, failure, 1);
        number(&scene, &wechat).await.expect_err("a failure");
        sleep(Duration::from_millis(1200)).await;
        number(&scene, &wechat).await.expect("a number");
    }
}

#[tokio::test]
async fn a_changed_secret_drops_the_token_by_itself() {
    let scene = Scene::new().await;
    number(&scene, &scene.wechat()).await.expect("a number");
    scene.sim.first_app().reset_secret("the new secret").expect("a secret");
    let wechat = scene.wechat_at(scene.sim.base_url(), "the new secret");
    number(&scene, &wechat).await.expect("a number");
    assert_eq!((scene.sim.calls(TOKEN), scene.sim.calls(PHONE)), (2, 2), "the old token was not even tried");
}

#[tokio::test]
async fn a_wrong_secret_is_the_tenants_misconfiguration_and_asked_for_once() {
    let scene = Scene::new().await;
    let wechat = scene.wechat_at(scene.sim.base_url(), "wrong");
    for errcode in [40125, 40001] {
        scene.sim.fail(TOKEN, Failure::errcode(errcode), 1);
        let wechat = if errcode == 40125 { &wechat } else { &scene.wechat() };
        for _ in 0..3 {
            let error = number(&scene, wechat).await.expect_err("a failure");
            assert!(error.is(&codes::TENANT_MISCONFIGURED), "{error}");
            assert!(error.text().zh.contains("AppSecret"), "{error}");
        }
    }
    assert_eq!(scene.sim.calls(TOKEN), 2);
}

#[tokio::test]
async fn a_store_that_does_not_serve_keeps_no_token_from_its_replica() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    let _lock = scene.lock_store();
    hundred(&scene, &wechat).await;
    assert_eq!(scene.sim.calls(TOKEN), 1);
}

#[tokio::test]
async fn a_token_that_nears_its_end_serves_on_while_the_next_is_fetched() {
    // Of 2 s, the last half second is for renewing.
    let token = |name: &str| ok(format!(r#"{{"access_token":"{name}","expires_in":2}}"#));
    let number = ok(r#"{"errcode":0,"phone_info":{"purePhoneNumber":"13800138000","countryCode":"86"}}"#);
    let steps =
        vec![Step::Send(token("T1")), Step::Send(number.clone()), Step::Send(number.clone()), Step::Send(number)];
    let peer = Peer::start(steps).await;
    let scene = Scene::new().await;
    let wechat = scene.wechat_at(&peer.base_url, "s");
    wechat.phone_number("c1", None).await.expect("a number");
    wechat.phone_number("c2", None).await.expect("a number");
    let asked = |path: &str| peer.requests().iter().filter(|r| r.starts_with(&format!("POST {path}"))).count();
    assert_eq!((asked(TOKEN), asked(PHONE)), (1, 2));
    sleep(Duration::from_millis(1600)).await;
    let _ = wechat.phone_number("c3", None).await;
    while asked(TOKEN) < 2 {
        sleep(Duration::from_millis(5)).await;
    }
}
