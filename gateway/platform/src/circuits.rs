//! The circuit breakers of the platforms: one for each server, shared by all tenants that use it.

use menlou_circuit::{Breaker, BreakerPolicy, UpGauge};
use reqwest::Url;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

/// Five failures in a row open a circuit. From then on at most one trial request per second is sent.
const POLICY: BreakerPolicy = BreakerPolicy { break_after: 5, break_for: Duration::from_secs(1) };

/// Circuit breakers by the origin of a platform's base URL. Each one exists as long as it is in use.
///
/// The metric of each is the gauge `menlou_platform_up{server}`: 0 while its circuit is open.
#[derive(Default)]
pub struct PlatformCircuits(Mutex<BTreeMap<String, Weak<Breaker>>>);

impl PlatformCircuits {
    /// The circuit breaker of the platform with this base URL.
    pub fn for_base_url(&self, base_url: &str) -> Arc<Breaker> {
        // An invalid URL is rejected with the tenant file. The origin contains no credentials.
        let origin = Url::parse(base_url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, circuit| circuit.strong_count() > 0);
        if let Some(circuit) = all.get(&origin).and_then(Weak::upgrade) {
            return circuit;
        }
        let up = UpGauge::new(metrics::gauge!("menlou_platform_up", "server" => origin.clone()));
        let circuit = Arc::new(Breaker::new(origin.clone(), POLICY, up));
        all.insert(origin, Arc::downgrade(&circuit));
        circuit
    }

    /// The origin of each platform in use, with the reason if its circuit is open.
    pub fn status(&self) -> Vec<(String, Option<String>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(|(origin, circuit)| Some((origin.clone(), circuit.upgrade()?.open_reason()))).collect()
    }
}
