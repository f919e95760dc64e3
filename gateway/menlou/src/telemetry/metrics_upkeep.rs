//! Keeps the metrics bounded, at each scrape and in between.

use super::recorder::Metrics;
use menlou_tenant::TenantRegistry;
use std::{sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::interval};

/// How often the metrics are bounded while nobody reads them.
const INTERVAL: Duration = Duration::from_secs(5);

/// Renders the metrics for each scrape. Series of tenants that are gone are removed before.
pub fn renderer(metrics: Metrics, registry: Arc<TenantRegistry>) -> Box<dyn Fn() -> String + Send + Sync> {
    Box::new(move || {
        metrics.upkeep(&registry);
        metrics.render()
    })
}

/// Keeps the memory of the metrics bounded while nobody reads them; never returns.
pub async fn run(metrics: Metrics, registry: Arc<TenantRegistry>) {
    let mut ticks = interval(INTERVAL);
    loop {
        ticks.tick().await;
        let (metrics, registry) = (metrics.clone(), registry.clone());
        // With many tenants this takes a while. A panic is logged by the panic hook; the next turn tries again.
        let _ = spawn_blocking(move || metrics.upkeep(&registry)).await;
    }
}
