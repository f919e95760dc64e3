//! `/cgi-bin/stable_token` and `/cgi-bin/token`.

use std::time::{Duration, SystemTime};

use menlou_simulator::{DEMO_APPID, DEMO_SECRET};
use serde_json::{Value, json};

use super::{Bench, bench, errcode, text};

/// What a call answers whose token is accepted.
const ACCEPTED: i64 = 40029;

async fn plain_token(bench: &Bench) -> String {
    let query = [("grant_type", "client_credential"), ("appid", DEMO_APPID), ("secret", DEMO_SECRET)];
    text(&bench.get("/cgi-bin/token", &query).await["access_token"])
}

fn token(answer: &Value) -> String {
    text(&answer["access_token"])
}

#[tokio::test]
async fn a_stable_token_stays_the_same_and_its_remaining_time_shrinks() {
    let bench = bench();
    let first = bench.stable_token(false).await;
    bench.sim.advance(Duration::from_secs(1000));
    let second = bench.stable_token(false).await;
    assert_eq!(token(&first), token(&second));
    assert_eq!(first["expires_in"], 7200);
    assert!(second["expires_in"].as_u64().unwrap() <= 6200);
}

#[tokio::test]
async fn a_stable_token_is_renewed_in_its_last_five_minutes_and_lives_on_until_its_end() {
    let bench = bench();
    let first = token(&bench.stable_token(false).await);
    bench.sim.advance(Duration::from_secs(6905));
    let second = token(&bench.stable_token(false).await);
    assert_ne!(first, second);
    assert_eq!(bench.errcode_with(&first).await, ACCEPTED);
    bench.sim.advance(Duration::from_secs(300));
    assert_eq!(bench.errcode_with(&first).await, 42001);
    assert_eq!(bench.errcode_with(&second).await, ACCEPTED);
}

#[tokio::test]
async fn a_forced_refresh_kills_the_stable_token_before() {
    let bench = bench();
    let first = token(&bench.stable_token(false).await);
    let second = token(&bench.stable_token(true).await);
    assert_eq!(bench.errcode_with(&first).await, 40001);
    assert_eq!(bench.errcode_with(&second).await, ACCEPTED);
}

#[tokio::test]
async fn forced_refreshes_are_thirty_seconds_apart() {
    let bench = bench();
    bench.stable_token(true).await;
    assert_eq!(errcode(&bench.stable_token(true).await), 45011);
    bench.sim.advance(Duration::from_secs(30));
    assert!(bench.stable_token(true).await.get("errcode").is_none());
}

#[tokio::test]
async fn forced_refreshes_are_at_most_twenty_a_day() {
    const DAY: u64 = 24 * 3600;
    let bench = bench();
    // From one minute past midnight in Beijing, so that all fall on one day.
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 8 * 3600;
    bench.sim.advance(Duration::from_secs(DAY - now % DAY + 60));
    for _ in 0..20 {
        assert!(bench.stable_token(true).await.get("errcode").is_none());
        bench.sim.advance(Duration::from_secs(31));
    }
    assert_eq!(errcode(&bench.stable_token(true).await), 45009);
    bench.sim.advance(Duration::from_secs(DAY));
    assert!(bench.stable_token(true).await.get("errcode").is_none());
}

#[tokio::test]
async fn a_token_of_the_old_kind_dies_five_minutes_after_the_next_was_fetched() {
    let bench = bench();
    let (first, second) = (plain_token(&bench).await, plain_token(&bench).await);
    assert_eq!(bench.errcode_with(&first).await, ACCEPTED);
    bench.sim.advance(Duration::from_secs(301));
    assert_eq!(bench.errcode_with(&first).await, 40001);
    assert_eq!(bench.errcode_with(&second).await, ACCEPTED);
}

#[tokio::test]
async fn the_two_kinds_of_token_do_not_disturb_each_other() {
    let bench = bench();
    let stable = token(&bench.stable_token(false).await);
    let plain = plain_token(&bench).await;
    bench.stable_token(true).await;
    bench.sim.advance(Duration::from_secs(301));
    assert_eq!(bench.errcode_with(&stable).await, 40001);
    assert_eq!(bench.errcode_with(&plain).await, ACCEPTED);
}

#[tokio::test]
async fn a_token_that_is_missing_or_made_up_or_expired_has_its_own_errcode() {
    let bench = bench();
    assert_eq!(bench.errcode_with("").await, 41001);
    assert_eq!(bench.errcode_with("made-up").await, 40014);
    let expired = token(&bench.stable_token(false).await);
    bench.sim.first_app().expire_tokens();
    assert_eq!(bench.errcode_with(&expired).await, 42001);
}

#[tokio::test]
async fn a_revoked_token_is_replaced_at_the_next_request_for_one() {
    let bench = bench();
    let revoked = token(&bench.stable_token(false).await);
    bench.sim.first_app().revoke_tokens();
    assert_eq!(bench.errcode_with(&revoked).await, 40001);
    let next = token(&bench.stable_token(false).await);
    assert_eq!(bench.errcode_with(&next).await, ACCEPTED);
}

#[tokio::test]
async fn a_reset_secret_makes_the_old_one_wrong_and_its_tokens_invalid() {
    let bench = bench();
    let before = token(&bench.stable_token(false).await);
    bench.sim.first_app().reset_secret("another").unwrap();
    assert_eq!(errcode(&bench.stable_token(false).await), 40125);
    assert_eq!(bench.errcode_with(&before).await, 40001);
}

#[tokio::test]
async fn a_secret_reset_with_overlap_leaves_the_old_one_good_until_the_next_reset() {
    let bench = bench();
    let before = token(&bench.stable_token(false).await);
    bench.sim.first_app().reset_secret_with_overlap("another").unwrap();
    assert_eq!(bench.errcode_with(&before).await, 40001);
    token(&bench.stable_token(false).await);
    bench.sim.first_app().reset_secret("another").unwrap();
    assert_eq!(errcode(&bench.stable_token(false).await), 40125);
    let reset = json!({"appid": DEMO_APPID, "secret": "a third", "previous_secret": DEMO_SECRET});
    bench.post("/_sim/app", &reset).await;
    token(&bench.stable_token(false).await);
}

#[tokio::test]
async fn a_stable_token_is_asked_for_with_a_well_formed_post() {
    let bench = bench();
    let path = "/cgi-bin/stable_token";
    assert_eq!(errcode(&bench.get(path, &[]).await), 43002);
    let mut body = json!({"appid": DEMO_APPID, "secret": DEMO_SECRET});
    assert_eq!(errcode(&bench.post(path, &body).await), 40002);
    body["secret"] = "wrong".into();
    assert_eq!(errcode(&bench.post(path, &body).await), 40125);
    assert_eq!(errcode(&bench.post(path, &json!([])).await), 47001);
}
