//! Replicas that share a Redis, each with a connection of its own.

use crate::{PHONE, SESSION, TOKEN};
use menlou_error::codes;
use menlou_platform::Platform;
use menlou_platform::exchange::CodeExchange;
use menlou_platform::http::HttpClient;
use menlou_platform::wechat::{Wechat, WechatCredentials};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET, Simulator};
use menlou_store::Redis;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const WINDOW: Duration = Duration::from_secs(10);

struct Replica {
    exchanges: CodeExchange,
    wechat: Arc<dyn Platform>,
}

impl Replica {
    async fn new(sim: &Simulator, redis: &menlou_harness::Redis) -> Arc<Self> {
        let store = Arc::new(Redis::open(&redis.url().into(), None, "menlou").await.expect("a store"));
        let account = WechatCredentials {
            appid: DEMO_APPID.to_owned(),
            secret: DEMO_SECRET.into(),
            previous_secret: None,
            base_url: sim.base_url().to_owned(),
        };
        let wechat = Wechat::new(account, "acme", HttpClient::new().expect("a client"), store.clone());
        Arc::new(Self { exchanges: CodeExchange::new(store), wechat: Arc::new(wechat) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_replicas_exchange_a_code_once_and_share_one_token_and_no_key_tells_a_code() {
    let (redis, sim) = (menlou_harness::Redis::start(), Simulator::start(Default::default()).expect("a simulator"));
    let replicas = [Replica::new(&sim, &redis).await, Replica::new(&sim, &redis).await];
    let code = sim.code("alice");
    let mut requests = JoinSet::new();
    for n in 0..100 {
        let (replica, code) = (Arc::clone(&replicas[n % 2]), code.clone());
        requests.spawn(async move { replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await });
    }
    while let Some(person) = requests.join_next().await {
        assert_eq!(person.expect("no panic").expect("a person").openid, sim.openid("alice"));
    }
    assert_eq!(sim.calls(SESSION), 1);
    for replica in &replicas {
        replica.wechat.phone_number(&sim.phone_code("13800138000"), None).await.expect("a number");
    }
    assert_eq!((sim.calls(TOKEN), sim.calls(PHONE)), (1, 2));

    let answer = redis.command(&["KEYS", "*"]);
    let keys: Vec<_> = answer.lines().filter(|line| line.starts_with("menlou:")).collect();
    assert_eq!(keys.len(), 2, "{answer}");
    for key in keys {
        assert!(!key.contains(&code) && !key.contains(DEMO_SECRET), "{key}");
        let life = redis.command(&["PTTL", key]);
        let life = life.lines().find_map(|line| line.strip_prefix(':')?.trim().parse::<i64>().ok());
        assert!(life.is_some_and(|ms| ms > 0), "{key} lives for {life:?}");
    }
}

#[tokio::test]
async fn while_redis_is_dead_or_frozen_no_code_is_spent_and_tokens_serve_on() {
    let (mut redis, sim) = (menlou_harness::Redis::start(), Simulator::start(Default::default()).expect("a simulator"));
    let replica = Replica::new(&sim, &redis).await;
    let code = sim.code("alice");
    for dead in [false, true] {
        if dead {
            redis.kill()
        } else {
            redis.freeze()
        }
        let begun = Instant::now();
        let error = replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await.expect_err("a failure");
        assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        replica.wechat.phone_number(&sim.phone_code("13800138000"), None).await.expect("a number");
        if dead { redis.restart() } else { redis.thaw() }
    }
    assert_eq!((sim.calls(SESSION), sim.calls(TOKEN)), (0, 1));
    let person = loop {
        match replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await {
            Ok(person) => break person,
            Err(error) => assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}"),
        }
    };
    assert_eq!(person.openid, sim.openid("alice"));
}

#[tokio::test]
async fn a_claim_that_a_slow_redis_took_unheard_does_not_keep_the_code_from_its_own_replica() {
    let (redis, sim) = (menlou_harness::Redis::start(), Simulator::start(Default::default()).expect("a simulator"));
    let replica = Replica::new(&sim, &redis).await;
    let code = sim.code("alice");
    redis.freeze();
    let error = replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await.expect_err("a failure");
    assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}");
    redis.thaw();
    let person = loop {
        match replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await {
            Ok(person) => break person,
            Err(error) => assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}"),
        }
    };
    assert_eq!(person.openid, sim.openid("alice"));
    assert_eq!(sim.calls(SESSION), 1);
}
