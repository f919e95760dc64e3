//! The idempotent exchange, in one process and across replicas that share a store.

use crate::peer::{Peer, Step, ok};
use crate::{PHONE, SESSION, Scene, session_key};
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
    let mut answers = HashSet::new();
    while let Some(person) = requests.join_next().await {
        let person = person.expect("no panic").expect("a person");
        answers.insert((person.openid.clone(), session_key(&person).to_owned()));
    }
    assert_eq!(answers.len(), 1);
    assert_eq!(answers.into_iter().next().expect("one").0, scene.sim.openid("alice"));
    assert_eq!(scene.sim.calls(SESSION), 1);
}

#[tokio::test]
async fn a_code_sent_again_within_the_window_is_answered_as_before_and_later_as_the_platform_says() {
    let scene = Scene::new().await;
    let (here, there, wechat) = (scene.exchanges(), scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    let window = Duration::from_secs(2);
    let first = here.exchange("acme", &wechat, &code, window).await.expect("a person");
    for replica in [&here, &there] {
        let again = replica.exchange("acme", &wechat, &code, window).await.expect("a person");
        assert_eq!((&first.openid, session_key(&first)), (&again.openid, session_key(&again)));
    }
    assert_eq!(scene.sim.calls(SESSION), 1);
    sleep(window + Duration::from_millis(100)).await;
    let error = here.exchange("acme", &wechat, &code, window).await.expect_err("a refusal");
    assert!(error.is(&codes::CODE_USED), "{error}");
    assert_eq!(scene.sim.calls(SESSION), 2);
}

#[tokio::test]
async fn a_phone_code_sent_again_by_the_same_person_is_answered_as_before_and_by_another_refused() {
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
    let error = there.phone_number("acme", &wechat, "o2", &code, WINDOW).await.expect_err("a refusal");
    assert!(error.is(&codes::INVALID_CODE), "{error}");
    assert_eq!(scene.sim.calls(PHONE), 2);
}

#[tokio::test]
async fn what_the_platform_decided_against_a_code_is_kept_too() {
    let scene = Scene::new().await;
    let (here, there, wechat) = (scene.exchanges(), scene.exchanges(), scene.wechat());
    for errcode in [40029, 40163, 40226] {
        scene.sim.reset_calls();
        scene.sim.fail(SESSION, Failure::errcode(errcode), 1);
        let code = scene.sim.code("alice");
        let first = here.exchange("acme", &wechat, &code, WINDOW).await.expect_err("a refusal");
        let again = there.exchange("acme", &wechat, &code, WINDOW).await.expect_err("a refusal");
        assert_eq!((first.code(), first.text(), first.data()), (again.code(), again.text(), again.data()));
        assert_eq!(scene.sim.calls(SESSION), 1);
    }
}

#[tokio::test]
async fn a_failure_that_decides_nothing_is_not_kept() {
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
        exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("a failure");
        let person = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect("a person");
        assert_eq!(person.openid, scene.sim.openid("alice"));
    }
}

#[tokio::test]
async fn a_code_that_was_spent_while_the_answer_was_lost_is_honestly_used() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    scene.sim.fail(SESSION, Failure::drop_connection().after_effect(), 1);
    let error = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("a failure");
    assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    let error = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("a refusal");
    assert!(error.is(&codes::CODE_USED), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_who_wait_for_a_failure_get_it_in_every_replica_and_the_platform_is_asked_once() {
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
    while let Some(answer) = requests.join_next().await {
        let error = answer.expect("no panic").expect_err("a failure");
        assert!(error.is(&codes::TENANT_MISCONFIGURED), "{error}");
        assert_eq!(error.data().expect("data")["errcode"], 50007);
    }
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_lose_the_code() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    scene.sim.fail(SESSION, Failure::delay(Duration::from_millis(500)), 1);
    let first = tokio::spawn({
        let (exchanges, wechat, code) = (Arc::clone(&exchanges), Arc::clone(&wechat), code.clone());
        async move { exchanges.exchange("acme", &wechat, &code, WINDOW).await }
    });
    while scene.sim.calls(SESSION) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    let person = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect("a person");
    assert_eq!(person.openid, scene.sim.openid("alice"));
    assert_eq!(scene.sim.calls(SESSION), 1);
}

#[tokio::test]
async fn a_code_of_one_tenant_says_nothing_to_another() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect("a person");
    let error = exchanges.exchange("other", &wechat, &code, WINDOW).await.expect_err("a refusal");
    assert!(error.is(&codes::CODE_USED), "{error}");
}

#[tokio::test]
async fn with_no_window_each_request_asks_the_platform() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    exchanges.exchange("acme", &wechat, &code, Duration::ZERO).await.expect("a person");
    let error = exchanges.exchange("acme", &wechat, &code, Duration::ZERO).await.expect_err("a refusal");
    assert!(error.is(&codes::CODE_USED), "{error}");
}

#[tokio::test]
async fn without_the_store_no_code_is_spent() {
    let scene = Scene::new().await;
    let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
    let code = scene.sim.code("alice");
    let lock = scene.lock_store();
    let error = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("a failure");
    assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}");
    assert_eq!(scene.sim.calls(SESSION), 0);
    drop(lock);
    exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect("a person");
}

#[test]
fn a_replica_that_dies_holds_a_code_for_seconds_only() {
    let survivor = tokio::runtime::Runtime::new().expect("a runtime");
    let scene = survivor.block_on(Scene::new());
    let code = scene.sim.code("alice");
    scene.sim.fail(SESSION, Failure::hang(), 1);
    let doomed = tokio::runtime::Runtime::new().expect("a runtime");
    doomed.spawn({
        let (exchanges, wechat, code) = (scene.exchanges(), scene.wechat(), code.clone());
        async move { exchanges.exchange("acme", &wechat, &code, WINDOW).await }
    });
    while scene.sim.calls(SESSION) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    doomed.shutdown_background();
    survivor.block_on(async {
        let (exchanges, wechat) = (scene.exchanges(), scene.wechat());
        let begun = Instant::now();
        let error = exchanges.exchange("acme", &wechat, &code, WINDOW).await.expect_err("a failure");
        assert!(error.is(&codes::PLATFORM_BUSY), "{error}");
        let person = loop {
            match exchanges.exchange("acme", &wechat, &code, WINDOW).await {
                Ok(person) => break person,
                Err(error) => assert!(error.is(&codes::PLATFORM_BUSY), "{error}"),
            }
            assert!(begun.elapsed() < Duration::from_secs(30));
        };
        assert_eq!(person.openid, scene.sim.openid("alice"));
    });
    assert_eq!(scene.sim.calls(SESSION), 2);
}

#[tokio::test]
async fn a_platform_client_that_panics_fails_its_callers_at_once() {
    struct Panics;
    #[async_trait]
    impl Platform for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }
        async fn exchange(&self, _code: &str) -> Result<PlatformIdentity> {
            panic!("as a test wants it")
        }
        async fn phone_number(&self, _code: &str, _openid: Option<&str>) -> Result<String> {
            panic!("as a test wants it")
        }
        fn may_call(&self, _path: &str) -> bool {
            panic!("as a test wants it")
        }
        async fn call(&self, _asked: PlatformQuery) -> Result<PlatformReply> {
            panic!("as a test wants it")
        }
        fn decrypt(&self, _: &SecretString, _: &str, _: &str, _: Duration) -> Result<Map<String, Value>> {
            panic!("as a test wants it")
        }
        async fn check_session_key(&self, _openid: &str, _key: &SecretString) -> Result<()> {
            panic!("as a test wants it")
        }
        async fn reset_session_key(&self, _openid: &str, _key: &SecretString) -> Result<SecretString> {
            panic!("as a test wants it")
        }
    }
    let scene = Scene::new().await;
    let panics: Arc<dyn Platform> = Arc::new(Panics);
    let error = scene.exchanges().exchange("acme", &panics, "c", WINDOW).await.expect_err("a failure");
    assert!(error.is(&codes::INTERNAL_ERROR), "{error}");
}
