//! An AppSecret that is changed: `secret` and `previous_secret` side by side, whichever WeChat takes.

use crate::{SESSION, Scene, TOKEN};
use menlou_error::codes;
use menlou_platform::Platform;
use menlou_simulator::{DEMO_SECRET, Failure};
use std::sync::Arc;

const NEW: &str = "the-new-secret";

async fn works(scene: &Scene, wechat: &Arc<dyn Platform>) {
    let person = wechat.exchange(&scene.sim.code("alice")).await.expect("a person");
    assert_eq!(person.openid, scene.sim.openid("alice"));
    wechat.phone_number(&scene.sim.phone_code("13800138000"), None).await.expect("a number");
}

#[tokio::test]
async fn the_new_secret_may_stand_in_the_file_before_or_after_wechat_takes_it() {
    for overlap in [false, true] {
        let scene = Scene::new().await;
        let app = scene.sim.first_app();
        let before = scene.wechat();
        let both = scene.wechat_with(scene.sim.base_url(), NEW, Some(DEMO_SECRET));
        works(&scene, &before).await;
        works(&scene, &both).await;
        if overlap {
            app.reset_secret_with_overlap(NEW).expect("a secret");
            works(&scene, &before).await;
            works(&scene, &both).await;
        }
        app.reset_secret(NEW).expect("a secret");
        works(&scene, &both).await;
        works(&scene, &scene.wechat_at(scene.sim.base_url(), NEW)).await;
        let error = before.exchange(&scene.sim.code("alice")).await.expect_err("the old secret is dead");
        assert!(error.is(&codes::TENANT_MISCONFIGURED), "{error}");
    }
}

#[tokio::test]
async fn the_secret_that_was_taken_last_is_asked_with_first() {
    let scene = Scene::new().await;
    let both = scene.wechat_with(scene.sim.base_url(), NEW, Some(DEMO_SECRET));
    let exchange = || async { both.exchange(&scene.sim.code("alice")).await.map(drop) };
    exchange().await.expect("a person");
    assert_eq!(scene.sim.calls(SESSION), 2, "the new one, then the old one");
    exchange().await.expect("a person");
    assert_eq!(scene.sim.calls(SESSION), 3, "the old one");
    scene.sim.first_app().reset_secret(NEW).expect("a secret");
    exchange().await.expect("a person");
    exchange().await.expect("a person");
    assert_eq!(scene.sim.calls(SESSION), 6, "the old one, the new one; the new one");
}

#[tokio::test]
async fn only_a_wrong_secret_is_asked_again_with_the_other_and_a_code_never() {
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
        both.exchange(&scene.sim.code("alice")).await.expect_err("a failure");
        assert_eq!(scene.sim.calls(SESSION), 1);
    }
    let used = scene.sim.code("alice");
    both.exchange(&used).await.expect("a person");
    assert!(both.exchange(&used).await.expect_err("used").is(&codes::CODE_USED));
}

#[tokio::test]
async fn where_both_are_wrong_it_is_the_tenants_misconfiguration() {
    let scene = Scene::new().await;
    let neither = scene.wechat_with(scene.sim.base_url(), "wrong-one", Some("wrong-two"));
    for _ in 0..2 {
        let error = neither.exchange(&scene.sim.code("alice")).await.expect_err("a failure");
        assert!(error.is(&codes::TENANT_MISCONFIGURED) && error.text().en.contains("AppSecret"), "{error}");
    }
    let error = neither.phone_number(&scene.sim.phone_code("13800138000"), None).await.expect_err("a failure");
    assert!(error.is(&codes::TENANT_MISCONFIGURED), "{error}");
    assert_eq!((scene.sim.calls(SESSION), scene.sim.calls(TOKEN)), (4, 2));
}
