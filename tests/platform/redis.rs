//! Replicas that share one Redis, each with its own connection.

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
        let credentials = WechatCredentials {
            appid: DEMO_APPID.to_owned(),
            secret: DEMO_SECRET.into(),
            previous_secret: None,
            base_url: sim.base_url().to_owned(),
        };
        let wechat = Wechat::new(credentials, "acme", HttpClient::new().expect("a client"), store.clone());
        Arc::new(Self { exchanges: CodeExchange::new(store), wechat: Arc::new(wechat) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_replicas_exchange_a_code_once_share_one_token_and_store_the_code_in_no_key() {
    let (redis, sim) = (menlou_harness::Redis::start(), Simulator::start(Default::default()).expect("a simulator"));
    let replicas = [Replica::new(&sim, &redis).await, Replica::new(&sim, &redis).await];
    let code = sim.code("alice");
    let mut requests = JoinSet::new();
    for n in 0..100 {
        let (replica, code) = (Arc::clone(&replicas[n % 2]), code.clone());
        requests.spawn(async move { replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await });
    }
    while let Some(identity) = requests.join_next().await {
        assert_eq!(identity.expect("no panic").expect("an identity").openid, sim.openid("alice"));
    }
    assert_eq!(sim.calls(SESSION), 1);
    for replica in &replicas {
        replica.wechat.phone_number(&sim.phone_code("13800138000"), None).await.expect("a number");
    }
    assert_eq!((sim.calls(TOKEN), sim.calls(PHONE)), (1, 2));

    let response = redis.command(&["KEYS", "*"]);
    let keys: Vec<_> = response.lines().filter(|line| line.starts_with("menlou:")).collect();
    assert_eq!(keys.len(), 2, "{response}");
    for key in keys {
        assert!(!key.contains(&code) && !key.contains(DEMO_SECRET), "{key}");
        let ttl = redis.command(&["PTTL", key]);
        let ttl = ttl.lines().find_map(|line| line.strip_prefix(':')?.trim().parse::<i64>().ok());
        assert!(ttl.is_some_and(|ms| ms > 0), "{key} has the TTL {ttl:?}");
    }
}

#[tokio::test]
async fn while_redis_is_dead_or_frozen_no_code_is_spent_and_cached_tokens_remain_usable() {
    let (mut redis, sim) = (menlou_harness::Redis::start(), Simulator::start(Default::default()).expect("a simulator"));
    let replica = Replica::new(&sim, &redis).await;
    let code = sim.code("alice");
    for dead in [false, true] {
        if dead {
            redis.kill()
        } else {
            redis.freeze()
        }
        let started = Instant::now();
        let error = replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await.expect_err("an error");
        assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
        replica.wechat.phone_number(&sim.phone_code("13800138000"), None).await.expect("a number");
        if dead { redis.restart() } else { redis.thaw() }
    }
    assert_eq!((sim.calls(SESSION), sim.calls(TOKEN)), (0, 1));
    let identity = loop {
        match replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await {
            Ok(identity) => break identity,
            Err(error) => assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}"),
        }
    };
    assert_eq!(identity.openid, sim.openid("alice"));
}

#[tokio::test]
async fn a_claim_whose_response_from_redis_was_lost_does_not_block_its_own_replica() {
    let (redis, sim) = (menlou_harness::Redis::start(), Simulator::start(Default::default()).expect("a simulator"));
    let replica = Replica::new(&sim, &redis).await;
    let code = sim.code("alice");
    redis.freeze();
    let error = replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await.expect_err("an error");
    assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}");
    redis.thaw();
    let identity = loop {
        match replica.exchanges.exchange("acme", &replica.wechat, &code, WINDOW).await {
            Ok(identity) => break identity,
            Err(error) => assert!(error.is(&codes::STORE_UNAVAILABLE), "{error}"),
        }
    };
    assert_eq!(identity.openid, sim.openid("alice"));
    assert_eq!(sim.calls(SESSION), 1);
}
