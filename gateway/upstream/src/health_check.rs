//! Active health checks: periodic GET requests to each server.

use super::load_balancer::LoadBalancer;
use bytes::Bytes;
use http::{HeaderMap, Method, header::USER_AGENT};
use http_body_util::Empty;
use menlou_platform::http::{ConnectionChoice, HttpClient, USER_AGENT_VALUE};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Maximum time until the head of the response.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Checks one server about every `interval`, without end. The first check is at a random time within the interval, so that
/// the checks of many servers are spread.
pub(super) async fn run(balancer: Arc<LoadBalancer>, server: usize, url: String, interval: Duration, http: HttpClient) {
    sleep(interval.mul_f64(fraction())).await;
    loop {
        let failure = check(&http, &url, interval.min(TIMEOUT)).await.err();
        balancer.record_check(server, failure.as_deref());
        sleep(interval.mul_f64(0.9 + fraction() / 5.0)).await;
    }
}

/// One check. The status code of the response decides.
async fn check(http: &HttpClient, url: &str, max_time: Duration) -> Result<(), String> {
    let headers = HeaderMap::from_iter([(USER_AGENT, USER_AGENT_VALUE)]);
    // A kept connection that the server is closing says nothing about its health.
    let request = http.stream(Method::GET, url, headers, Empty::<Bytes>::new(), ConnectionChoice::Fresh);
    let response = timeout(max_time, request).await.map_err(|_| format!("no response within {max_time:?}"))?;
    let status = response.map_err(|failure| failure.to_string())?.status();
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("status code {status}")) }
}

/// A random number between 0 and 1.
fn fraction() -> f64 {
    // Each RandomState has random keys, so its hash of the empty input is a random number.
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}
