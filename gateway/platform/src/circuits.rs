//! The circuits of the platforms: one for each place, whichever tenants have their accounts there.

use super::http::Url;
use menlou_circuit::{Breaker, BreakerPolicy, UpGauge};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

/// So many calls in a row that a platform leaves unanswered open its circuit: then it is tried by one call at a time,
/// at most once in `break_for`.
const LIMITS: BreakerPolicy = BreakerPolicy { break_after: 5, break_for: Duration::from_secs(1) };

/// PlatformCircuits by the origin of a platform's base URL. They live as long as somebody has them.
///
/// The gauge of each is `menlou_platform_up{server}`: 0 while its circuit is open.
#[derive(Default)]
pub struct PlatformCircuits(Mutex<BTreeMap<String, Weak<Breaker>>>);

impl PlatformCircuits {
    /// The circuit of this platform.
    pub fn for_base_url(&self, base_url: &str) -> Arc<Breaker> {
        // What is no URL is refused with the tenant's file; the origin holds no credentials.
        let origin = Url::parse(base_url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, circuit| circuit.strong_count() > 0);
        if let Some(circuit) = all.get(&origin).and_then(Weak::upgrade) {
            return circuit;
        }
        let up = UpGauge::new(metrics::gauge!("menlou_platform_up", "server" => origin.clone()));
        let circuit = Arc::new(Breaker::new(origin.clone(), LIMITS, up));
        all.insert(origin, Arc::downgrade(&circuit));
        circuit
    }

    /// Each platform that is in use, and why it is away where it is.
    pub fn status(&self) -> Vec<(String, Option<String>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(|(origin, circuit)| Some((origin.clone(), circuit.upgrade()?.open_reason()))).collect()
    }
}
