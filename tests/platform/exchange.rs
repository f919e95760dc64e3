//! The idempotent code exchange, in one process and across replicas that share a store.

use crate::peer::{Peer, Step, ok};
use crate::{PHONE, SESSION, Scene, session_key, wait_until};
use async_trait::async_trait;
use menlou_error::{Result, codes};
use menlou_platform::exchange::CodeExchange;
use menlou_platform::{Platform, PlatformIdentity, PlatformQuery, PlatformReply};
use menlou_simulator::Failure;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

const WINDOW: Duration = Duration::from_secs(10);

impl Scene {
    fn exchanges(&self) -> Arc<CodeExchange> {
        Arc::new(CodeExchange::new(self.store.clone()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_identical_requests_at_two_replicas_make_one_exchange() {
    let scene = Scene::new().await;
    let replicas = [(scene.exchanges(), scene.wechat()), (scene.exchanges(), scene.wechat())];
    let code = scene.sim.code("alice");
    scene.sim.fail(SESSION, Failure::delay(Duration::from_millis(300)), 1);
    let mut requests = JoinSet::new();
    for n in 0..100 {
        let (exchanges, wechat) = replicas[n % 2].clone();
        let code = code.clone();
        requests.spawn(async move { exchanges.exchange("acme", &wechat, &code, WINDOW).await });
    }
    let mut responses = HashSet::new();
    while let Some(identity) = requests.join_next().await {
        let identity = identity.expect("no panic").expect("an identity");
        responses.insert((identity.openid.clone(), session_key(&identity).to_owned()));
    }
    assert_eq!(responses.len(), 1);
    assert_eq!(responses.into_iter().next().expect("one").0, scene.sim.openid("alice"));
    assert_eq!(scene.sim.calls(SESSION), 1);
}

#[tokio::test]
async fn a_code_sent_again_gets_the_first_result_within_the_window_and_code_used_after_it() {
    let scene = Scene::new().await;
    let (here, there, wechat) = (scene.exchanges(), scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    let window = Duration::from_secs(2);
    let first = here.exchange("acme", &wechat, &code, window).await.expect("an identity");
    for replica in [&here, &there] {
        let again = replica.exchange("acme", &wechat, &code, window).await.expect("an identity");
        assert_eq!((&first.openid, session_key(&first)), (&again.openid, session_key(&again)));
    }
    assert_eq!(scene.sim.calls(SESSION), 1);
    // Time is the subject: the window has to pass.
    sleep(window + Duration::from_millis(100)).await;
    let error = here.exchange("acme", &wechat, &code, window).await.expect_err("an error");
    assert!(error.is(&codes::CODE_USED), "{error}");
    assert_eq!(scene.sim.calls(SESSION), 2);
}

#[tokio::test]
async fn a_phone_code_sent_again_returns_the_same_number_to_the_same_user_only() {
    let scene = Scene::new().await;
    let (here, there, wechat) = (scene.exchanges(), scene.exchanges(), scene.wechat());
    let code = scene.sim.phone_code("13800138000");
    scene.sim.fail(PHONE, Failure::delay(Duration::from_millis(200)).after_effect(), 1);
    let mut requests = JoinSet::new();
    for n in 0..20 {
        let (exchanges, wechat, code) = ([&here, &there][n % 2].clone(), wechat.clone(), code.clone());
        requests.spawn(async move { exchanges.phone_number("acme", &wechat, "o1", &code, WINDOW).await });
    }
    while let Some(number) = requests.join_next().await {
        assert_eq!(number.expect("no panic").expect("a number"), "+8613800138000");
    }
    assert_eq!(scene.sim.calls(PHONE), 1);
    let error = there.phone_number("acme", &wechat, "o2", &code, WINDOW).await.expect_err("an error");
    assert!(error.is(&codes::INVALID_CODE), "{error}");
    assert_eq!(scene.sim.calls(PHONE), 2);
}

#[tokio::test]
async fn final_errors_of_the_platform_are_kept_for_all_replicas() {
    let scene = Scene::new().await;
    let (here, there, wechat) = (scene.exchanges(), scene.exchanges(), scene.wechat());
    for errcode in [40029, 40163, 40226] {
        scene.sim.reset_calls();
        scene.sim.fail(SESSION, Failure::errcode(errcode), 1);
        let code = scene.sim.code("alice");
        let first = here.exchange("acme", &wechat, &code, WINDOW).await.expect_err("an error");
        let again = there.exchange("acme", &wechat, &code, WINDOW).await.expect_err("an error");
        assert_eq!((first.code(), first.text(), first.data()), (again.code(), again.text(), again.data()));
        assert_eq!(scene.sim.calls(SESSION), 1);
    }
}

#[tokio::test]
async fn failures_that_are_not_final_are_not_kept() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let failures = [
        Failure::errcode(-1),
        Failure::errcode(40164),
        Failure::errcode(45011),
        Failure::status(500),
        Failure::drop_connection(),
    ];
    for failure in failures {
        let code = scene.sim.code("alice");
        scene.sim.fail(SESSION, failure, 1);
        exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("an error");
        let identity = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect("an identity");
        assert_eq!(identity.openid, scene.sim.openid("alice"));
    }
}

#[tokio::test]
async fn a_code_spent_by_an_exchange_whose_response_was_lost_is_code_used() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    scene.sim.fail(SESSION, Failure::drop_connection().after_effect(), 1);
    let error = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("an error");
    assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    let error = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("an error");
    assert!(error.is(&codes::CODE_USED), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_waiting_requests_of_all_replicas_share_one_failed_platform_request() {
    let body = r#"{"errcode":50007,"errmsg":"account frozen rid: 1-2-3"}"#;
    let peer = Peer::start(vec![Step::After(Duration::from_millis(500), Box::new(Step::Send(ok(body))))]).await;
    let scene = Scene::new().await;
    let mut requests = JoinSet::new();
    for replica in [scene.exchanges(), scene.exchanges()] {
        let wechat = scene.wechat_at(&peer.base_url, "s");
        for _ in 0..10 {
            let (exchanges, wechat) = (Arc::clone(&replica), Arc::clone(&wechat));
            requests.spawn(async move { exchanges.exchange("acme", &wechat, "c", WINDOW).await });
        }
    }
    while let Some(response) = requests.join_next().await {
        let error = response.expect("no panic").expect_err("an error");
        assert!(error.is(&codes::TENANT_MISCONFIGURED), "{error}");
        assert_eq!(error.data().expect("data")["errcode"], 50007);
    }
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn a_cancelled_exchange_does_not_lose_the_code() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    scene.sim.fail(SESSION, Failure::delay(Duration::from_millis(500)), 1);
    let first = tokio::spawn({
        let (exchanges, wechat, code) = (Arc::clone(&exchanges), Arc::clone(&wechat), code.clone());
        async move { exchanges.exchange("acme", &wechat, &code, WINDOW).await }
    });
    wait_until(|| scene.sim.calls(SESSION) > 0).await;
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    let identity = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect("an identity");
    assert_eq!(identity.openid, scene.sim.openid("alice"));
    assert_eq!(scene.sim.calls(SESSION), 1);
}

#[tokio::test]
async fn the_result_for_a_code_is_not_shared_with_another_tenant() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect("an identity");
    let error = exchanges.exchange("other", &wechat, &code, WINDOW).await.expect_err("an error");
    assert!(error.is(&codes::CODE_USED), "{error}");
}

#[tokio::test]
async fn without_a_window_each_exchange_is_a_platform_request() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    exchanges.exchange("acme", &wechat, &code, Duration::ZERO).await.expect("an identity");
    let error = exchanges.exchange("acme", &wechat, &code, Duration::ZERO).await.expect_err("an error");
    assert!(error.is(&codes::CODE_USED), "{error}");
}

#[tokio::test]
async fn while_the_store_is_unavailable_no_code_is_spent() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    let lock = scene.lock_store();
    let error = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("an error");
    assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}");
    assert_eq!(scene.sim.calls(SESSION), 0);
    drop(lock);
    exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect("an identity");
}

#[test]
fn a_code_claimed_by_a_dead_replica_is_usable_again_within_30_s() {
    let survivor = tokio::runtime::Runtime::new().expect("a runtime");
    let scene = survivor.block_on(Scene::new());
    let code = scene.sim.code("alice");
    scene.sim.fail(SESSION, Failure::hang(), 1);
    let doomed = tokio::runtime::Runtime::new().expect("a runtime");
    doomed.spawn({
        let (exchanges, wechat, code) = (scene.exchanges(), scene.wechat(), code.clone());
        async move { exchanges.exchange("acme", &wechat, &code, WINDOW).await }
    });
    survivor.block_on(wait_until(|| scene.sim.calls(SESSION) > 0));
    doomed.shutdown_background();
    survivor.block_on(async {
        let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
        let started = Instant::now();
        let error = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("an error");
        assert!(error.is(&codes::PLATFORM_BUSY), "{error}");
        let identity = loop {
            match exchanges.exchange("acme", &wechat, &code, WINDOW).await {
                Ok(identity) => break identity,
                Err(error) => assert!(error.is(&codes::PLATFORM_BUSY), "{error}"),
            }
            assert!(started.elapsed() < Duration::from_secs(30));
        };
        assert_eq!(identity.openid, scene.sim.openid("alice"));
    });
    assert_eq!(scene.sim.calls(SESSION), 2);
}

#[tokio::test]
async fn a_panic_in_a_platform_client_is_an_internal_error() {
    struct Panics;
    #[async_trait]
    impl Platform for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }
        async fn exchange(&self, _code: &str) -> Result<PlatformIdentity> {
            panic!("intended by the test")
        }
        async fn phone_number(&self, _code: &str, _openid: Option<&str>) -> Result<String> {
            panic!("intended by the test")
        }
        fn may_call(&self, _path: &str) -> bool {
            panic!("intended by the test")
        }
        async fn call(&self, _query: PlatformQuery) -> Result<PlatformReply> {
            panic!("intended by the test")
        }
        fn decrypt(&self, _: &SecretString, _: &str, _: &str, _: Duration) -> Result<Map<String, Value>> {
            panic!("intended by the test")
        }
        async fn check_session_key(&self, _openid: &str, _key: &SecretString) -> Result<()> {
            panic!("intended by the test")
        }
        async fn reset_session_key(&self, _openid: &str, _key: &SecretString) -> Result<SecretString> {
            panic!("intended by the test")
        }
    }
    let scene = Scene::new().await;
    let panics: Arc<dyn Platform> = Arc::new(Panics);
    let error = scene.exchanges().exchange("acme", &panics, "c", WINDOW).await.expect_err("an error");
    assert!(error.is(&codes::INTERNAL_ERROR), "{error}");
}
