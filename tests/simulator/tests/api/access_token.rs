//! `/cgi-bin/stable_token` and `/cgi-bin/token`.

use std::time::{Duration, SystemTime};

use menlou_simulator::{DEMO_APPID, DEMO_SECRET};
use serde_json::{Value, json};

use super::{Scene, errcode, text};

/// The result of `Scene::errcode_with` for an accepted token.
const ACCEPTED: i64 = 40029;

async fn legacy_token(scene: &Scene) -> String {
    let query = [("grant_type", "client_credential"), ("appid", DEMO_APPID), ("secret", DEMO_SECRET)];
    text(&scene.get("/cgi-bin/token", &query).await["access_token"])
}

fn token(response: &Value) -> String {
    text(&response["access_token"])
}

#[tokio::test]
async fn a_stable_token_stays_the_same_and_its_remaining_time_shrinks() {
    let scene = Scene::new();
    let first = scene.stable_token(false).await;
    scene.sim.advance(Duration::from_secs(1000));
    let second = scene.stable_token(false).await;
    assert_eq!(token(&first), token(&second));
    assert_eq!(first["expires_in"], 7200);
    assert!(second["expires_in"].as_u64().unwrap() <= 6200);
}

#[tokio::test]
async fn a_stable_token_is_renewed_in_its_last_five_minutes_and_remains_valid_until_it_expires() {
    let scene = Scene::new();
    let first = token(&scene.stable_token(false).await);
    scene.sim.advance(Duration::from_secs(6905));
    let second = token(&scene.stable_token(false).await);
    assert_ne!(first, second);
    assert_eq!(scene.errcode_with(&first).await, ACCEPTED);
    scene.sim.advance(Duration::from_secs(300));
    assert_eq!(scene.errcode_with(&first).await, 42001);
    assert_eq!(scene.errcode_with(&second).await, ACCEPTED);
}

#[tokio::test]
async fn a_forced_refresh_revokes_the_previous_stable_token() {
    let scene = Scene::new();
    let first = token(&scene.stable_token(false).await);
    let second = token(&scene.stable_token(true).await);
    assert_eq!(scene.errcode_with(&first).await, 40001);
    assert_eq!(scene.errcode_with(&second).await, ACCEPTED);
}

#[tokio::test]
async fn forced_refreshes_are_allowed_every_thirty_seconds() {
    let scene = Scene::new();
    scene.stable_token(true).await;
    assert_eq!(errcode(&scene.stable_token(true).await), 45011);
    scene.sim.advance(Duration::from_secs(30));
    assert!(scene.stable_token(true).await.get("errcode").is_none());
}

#[tokio::test]
async fn forced_refreshes_are_limited_to_twenty_a_day() {
    const DAY: u64 = 24 * 3600;
    let scene = Scene::new();
    // Start one minute past midnight in Beijing, so that all refreshes are on one day.
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 8 * 3600;
    scene.sim.advance(Duration::from_secs(DAY - now % DAY + 60));
    for _ in 0..20 {
        assert!(scene.stable_token(true).await.get("errcode").is_none());
        scene.sim.advance(Duration::from_secs(31));
    }
    assert_eq!(errcode(&scene.stable_token(true).await), 45009);
    scene.sim.advance(Duration::from_secs(DAY));
    assert!(scene.stable_token(true).await.get("errcode").is_none());
}

#[tokio::test]
async fn a_legacy_token_is_revoked_five_minutes_after_the_next_one_is_issued() {
    let scene = Scene::new();
    let (first, second) = (legacy_token(&scene).await, legacy_token(&scene).await);
    assert_eq!(scene.errcode_with(&first).await, ACCEPTED);
    scene.sim.advance(Duration::from_secs(301));
    assert_eq!(scene.errcode_with(&first).await, 40001);
    assert_eq!(scene.errcode_with(&second).await, ACCEPTED);
}

#[tokio::test]
async fn stable_and_legacy_tokens_are_independent() {
    let scene = Scene::new();
    let stable = token(&scene.stable_token(false).await);
    let legacy = legacy_token(&scene).await;
    scene.stable_token(true).await;
    scene.sim.advance(Duration::from_secs(301));
    assert_eq!(scene.errcode_with(&stable).await, 40001);
    assert_eq!(scene.errcode_with(&legacy).await, ACCEPTED);
}

#[tokio::test]
async fn missing_unknown_and_expired_tokens_have_their_own_errcodes() {
    let scene = Scene::new();
    assert_eq!(scene.errcode_with("").await, 41001);
    assert_eq!(scene.errcode_with("unknown").await, 40014);
    let expired = token(&scene.stable_token(false).await);
    scene.sim.first_app().expire_tokens();
    assert_eq!(scene.errcode_with(&expired).await, 42001);
}

#[tokio::test]
async fn a_revoked_stable_token_is_replaced_at_the_next_token_request() {
    let scene = Scene::new();
    let revoked = token(&scene.stable_token(false).await);
    scene.sim.first_app().revoke_tokens();
    assert_eq!(scene.errcode_with(&revoked).await, 40001);
    let next = token(&scene.stable_token(false).await);
    assert_eq!(scene.errcode_with(&next).await, ACCEPTED);
}

#[tokio::test]
async fn a_secret_reset_invalidates_the_old_secret_and_its_tokens() {
    let scene = Scene::new();
    let previous = token(&scene.stable_token(false).await);
    scene.sim.first_app().reset_secret("another").unwrap();
    assert_eq!(errcode(&scene.stable_token(false).await), 40125);
    assert_eq!(scene.errcode_with(&previous).await, 40001);
}

#[tokio::test]
async fn after_a_secret_reset_with_overlap_the_old_secret_is_valid_until_the_next_reset() {
    let scene = Scene::new();
    let previous = token(&scene.stable_token(false).await);
    scene.sim.first_app().reset_secret_with_overlap("another").unwrap();
    assert_eq!(scene.errcode_with(&previous).await, 40001);
    token(&scene.stable_token(false).await);
    scene.sim.first_app().reset_secret("another").unwrap();
    assert_eq!(errcode(&scene.stable_token(false).await), 40125);
    let reset = json!({"appid": DEMO_APPID, "secret": "a third", "previous_secret": DEMO_SECRET});
    scene.post("/_sim/app", &reset).await;
    token(&scene.stable_token(false).await);
}

#[tokio::test]
async fn a_stable_token_requires_a_well_formed_post() {
    let scene = Scene::new();
    let path = "/cgi-bin/stable_token";
    assert_eq!(errcode(&scene.get(path, &[]).await), 43002);
    let mut body = json!({"appid": DEMO_APPID, "secret": DEMO_SECRET});
    assert_eq!(errcode(&scene.post(path, &body).await), 40002);
    body["secret"] = "wrong".into();
    assert_eq!(errcode(&scene.post(path, &body).await), 40125);
    assert_eq!(errcode(&scene.post(path, &json!([])).await), 47001);
}
