//! Rotation of the AppSecret: `secret` and `previous_secret` are configured, and WeChat accepts one or both.

use crate::{SESSION, Scene, TOKEN};
use menlou_error::codes;
use menlou_platform::Platform;
use menlou_simulator::{DEMO_SECRET, Failure};
use std::sync::Arc;

const NEW: &str = "the-new-secret";

async fn assert_works(scene: &Scene, wechat: &Arc<dyn Platform>) {
    let identity = wechat.exchange(&scene.sim.code("alice")).await.expect("an identity");
    assert_eq!(identity.openid, scene.sim.openid("alice"));
    wechat.phone_number(&scene.sim.phone_code("13800138000"), None).await.expect("a number");
}

#[tokio::test]
async fn requests_succeed_before_during_and_after_a_secret_rotation() {
    for overlap in [false, true] {
        let scene = Scene::new().await;
        let app = scene.sim.first_app();
        let before = scene.wechat();
        let both = scene.wechat_with(scene.sim.base_url(), NEW, Some(DEMO_SECRET));
        assert_works(&scene, &before).await;
        assert_works(&scene, &both).await;
        if overlap {
            app.reset_secret_with_overlap(NEW).expect("a secret");
            assert_works(&scene, &before).await;
            assert_works(&scene, &both).await;
        }
        app.reset_secret(NEW).expect("a secret");
        assert_works(&scene, &both).await;
        assert_works(&scene, &scene.wechat_at(scene.sim.base_url(), NEW)).await;
        let error = before.exchange(&scene.sim.code("alice")).await.expect_err("the old secret is wrong");
        assert!(error.is(&codes::TENANT_MISCONFIGURED), "{error}");
    }
}

#[tokio::test]
async fn the_secret_that_wechat_accepted_last_is_tried_first() {
    let scene = Scene::new().await;
    let both = scene.wechat_with(scene.sim.base_url(), NEW, Some(DEMO_SECRET));
    let exchange = || async { both.exchange(&scene.sim.code("alice")).await.map(drop) };
    exchange().await.expect("an identity");
    assert_eq!(scene.sim.calls(SESSION), 2, "the new secret, then the old one");
    exchange().await.expect("an identity");
    assert_eq!(scene.sim.calls(SESSION), 3, "the old secret only");
    scene.sim.first_app().reset_secret(NEW).expect("a secret");
    exchange().await.expect("an identity");
    exchange().await.expect("an identity");
    assert_eq!(scene.sim.calls(SESSION), 6, "first the old secret, then the new one; afterwards the new one only");
}

#[tokio::test]
async fn only_a_wrong_secret_is_retried_with_the_other_secret() {
    let scene = Scene::new().await;
    let both = scene.wechat_with(scene.sim.base_url(), DEMO_SECRET, Some("an-old-secret"));
    for failure in [
        Failure::errcode(-1),
        Failure::errcode(40029),
        Failure::errcode(45011),
        Failure::errcode(40013),
        Failure::drop_connection(),
        Failure::status(502),
        Failure::truncate(),
    ] {
        scene.sim.reset_calls();
        scene.sim.fail(SESSION, failure, 1);
        both.exchange(&scene.sim.code("alice")).await.expect_err("an error");
        assert_eq!(scene.sim.calls(SESSION), 1);
    }
    let used = scene.sim.code("alice");
    both.exchange(&used).await.expect("an identity");
    assert!(both.exchange(&used).await.expect_err("used").is(&codes::CODE_USED));
}

#[tokio::test]
async fn two_wrong_secrets_are_a_tenant_misconfiguration() {
    let scene = Scene::new().await;
    let neither = scene.wechat_with(scene.sim.base_url(), "wrong-one", Some("wrong-two"));
    for _ in 0..2 {
        let error = neither.exchange(&scene.sim.code("alice")).await.expect_err("an error");
        assert!(error.is(&codes::TENANT_MISCONFIGURED) && error.meaning().en.contains("AppSecret"), "{error}");
    }
    let error = neither.phone_number(&scene.sim.phone_code("13800138000"), None).await.expect_err("an error");
    assert!(error.is(&codes::TENANT_MISCONFIGURED), "{error}");
    assert_eq!((scene.sim.calls(SESSION), scene.sim.calls(TOKEN)), (4, 2));
}
