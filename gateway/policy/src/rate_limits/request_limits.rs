//! The limits of one action of a tenant, and how a request passes them: concurrency first, then the rates in total and per
//! address, then the rates per openid.

use super::{
    limiter::{RateLimiter, TenantCounters},
    named_limit::NamedLimit,
};
use crate::{
    admission::{InFlightStats, Permit, Rejection},
    client_network,
};
use aws_lc_rs::digest;
use menlou_config::{rate::Rate, tenant};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_store::rate_limits::RateLimitLevel;
use metrics::{Counter, counter};
use std::{
    fmt::Write,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The limits of one action of a tenant. The fields that every request needs come first: see [`RequestLimits::prefetch`].
#[repr(C)]
pub struct RequestLimits {
    tenant_in_flight: Arc<InFlightStats>,
    action_in_flight: Arc<InFlightStats>,
    limiter: Arc<RateLimiter>,
    /// Maximum number of concurrent requests of the tenant and of the action.
    max_concurrent: (Option<usize>, Option<usize>),
    counters: Arc<TenantCounters>,
    tenant: String,
    /// Requests beyond the tenant's share or `max_concurrent`. The counter is registered with the first one.
    shed: OnceLock<Counter>,
    /// Limits that need no session: in total and per address.
    before_session: Vec<NamedLimit>,
    /// Limits per openid.
    per_openid: Vec<NamedLimit>,
    /// All limits in the syntax of `RateLimit-Policy`.
    policy: String,
}

/// The progress of one request through the limits of its action.
#[derive(Default)]
pub struct RateLimitPermit {
    permit: Option<Permit>,
    /// The limit with the fewest remaining requests.
    tightest: Option<(String, RateLimitLevel)>,
}

/// The contents of a response's rate limit headers.
pub struct RateLimitHeaders<'a> {
    /// All limits that apply, in the syntax of `RateLimit-Policy`.
    pub policy: &'a str,
    /// Name of the limit with the fewest remaining requests.
    pub tightest: &'a str,
    /// State of that limit.
    pub level: RateLimitLevel,
}

impl RequestLimits {
    /// The limits of an action from the tenant file: the tenant's table and the action's. Limits per openid apply only if
    /// the action needs a session.
    pub fn new(
        (tenant, action): (&str, &str),
        (tenant_config, action_config): (&tenant::RateLimitConfig, &tenant::RateLimitConfig),
        needs_session: bool,
        limiter: Arc<RateLimiter>,
    ) -> Self {
        let limit = |rate: Option<Rate>, prefix: &str, name: &str, is_per_subject| {
            let name = format!("{prefix}{name}");
            rate.map(|rate| NamedLimit { name, is_per_subject, rate, exceeded: OnceLock::new() })
        };
        let action_prefix = format!("{action}.");
        let tables = [("", tenant_config), (action_prefix.as_str(), action_config)];
        let before_session = tables.iter().flat_map(|(prefix, table)| {
            [limit(table.calls, prefix, "calls", false), limit(table.per_address, prefix, "per_address", true)]
        });
        let before_session: Vec<NamedLimit> = before_session.flatten().collect();
        let per_openid =
            tables.iter().filter_map(|(prefix, table)| limit(table.per_openid, prefix, "per_openid", true));
        let per_openid: Vec<NamedLimit> = per_openid.filter(|_| needs_session).collect();
        let policy: Vec<String> = before_session.iter().chain(&per_openid).map(NamedLimit::policy).collect();
        let counters = limiter.counters(tenant);
        Self {
            limiter,
            tenant_in_flight: counters.in_flight.clone(),
            action_in_flight: counters.action(action),
            counters,
            tenant: tenant.to_owned(),
            max_concurrent: (tenant_config.max_concurrent, action_config.max_concurrent),
            shed: OnceLock::new(),
            before_session,
            per_openid,
            policy: policy.join(", "),
        }
    }

    /// Reads one word of each cache line that a request needs, so that the processor loads them in parallel. The result
    /// has no meaning; it keeps the compiler from removing the reads.
    pub fn prefetch(&self) -> usize {
        let lengths = self.before_session.len() + self.per_openid.len() + self.max_concurrent.0.unwrap_or(0);
        Arc::strong_count(&self.tenant_in_flight) + Arc::strong_count(&self.action_in_flight) + lengths
    }
}

impl RateLimitPermit {
    /// Admits a request: acquires a concurrency permit, and counts the request against the limits that need no session.
    ///
    /// # Errors
    /// `overloaded`, `rate_limited`.
    pub async fn admit(&mut self, limits: &RequestLimits, address: IpAddr) -> Result<()> {
        let RequestLimits { limiter, tenant_in_flight, action_in_flight, max_concurrent, .. } = limits;
        match limiter.admission.acquire_for(tenant_in_flight, action_in_flight, *max_concurrent) {
            Ok(permit) => self.permit = Some(permit),
            Err(Rejection::CpuLoad) => return Err(Error::new(&codes::OVERLOADED)),
            Err(Rejection::TenantLimit) => {
                let (reason, tenant) = ("tenant_limit", &limits.tenant);
                let new = || counter!("menlou_requests_shed_total", "reason" => reason, "tenant" => tenant.clone());
                limits.shed.get_or_init(new).increment(1);
                let text = Text::fixed(
                    "该小程序处理中的请求过多，请稍后再试",
                    "This mini-program has too many requests in progress; try again shortly.",
                );
                return Err(Error::new(&codes::OVERLOADED).with_message(text));
            }
        }
        match limits.before_session.is_empty() {
            true => Ok(()),
            false => self.acquire(limits, &limits.before_session, &client_network(address).to_string()).await,
        }
    }

    /// Counts the request against the limits per openid. Call this once the openid is known.
    ///
    /// # Errors
    /// `rate_limited`.
    pub async fn check_openid(&mut self, limits: &RequestLimits, openid: &str) -> Result<()> {
        if limits.per_openid.is_empty() {
            return Ok(());
        }
        // Hashed, because a value of the platform must not become part of a key in the store.
        let hash = digest::digest(&digest::SHA256, openid.as_bytes());
        let subject = hash.as_ref()[..16].iter().fold(String::with_capacity(32), |mut subject, byte| {
            // Writing to a String cannot fail.
            let _ = write!(subject, "{byte:02x}");
            subject
        });
        self.acquire(limits, &limits.per_openid, &subject).await
    }

    async fn acquire(&mut self, limits: &RequestLimits, checked: &[NamedLimit], subject: &str) -> Result<()> {
        let outcome = limits.limiter.acquire(&limits.tenant, &limits.counters, checked, subject).await;
        let levels = checked
            .iter()
            .zip(outcome.backlogs)
            .map(|(limit, backlog)| (limit, RateLimitLevel::new(&limit.rate, backlog)));
        if outcome.allowed {
            if let Some((limit, level)) = levels.min_by_key(|(_, level)| level.remaining)
                && self.tightest.as_ref().is_none_or(|(_, known)| level.remaining < known.remaining)
            {
                self.tightest = Some((limit.name.clone(), level));
            }
            return Ok(());
        }
        let Some((limit, level)) = levels.max_by_key(|(_, level)| level.wait) else { return Ok(()) };
        // The labels come from configuration, never from a request.
        let (tenant, name) = (&limits.tenant, &limit.name);
        let new = || counter!("menlou_rate_limited_total", "tenant" => tenant.clone(), "limit" => name.clone());
        limit.exceeded.get_or_init(new).increment(1);
        self.tightest = Some((limit.name.clone(), level));
        Err(Error::new(&codes::RATE_LIMITED).retry_after(level.wait))
    }

    /// Records the time from the request's start to its response's head. Requests that were not admitted do not count.
    pub fn record_duration(&self, limits: &RequestLimits, duration: Duration) {
        if self.permit.is_some() {
            limits.action_in_flight.record_duration(duration);
        }
    }

    /// The concurrency permit. It must be held until the response has been sent.
    pub fn into_permit(self) -> Option<Permit> {
        self.permit
    }

    /// The contents of the rate limit headers; `None` if no limit applies or none was checked yet.
    pub fn headers<'a>(&'a self, limits: &'a RequestLimits) -> Option<RateLimitHeaders<'a>> {
        let (tightest, level) = self.tightest.as_ref()?;
        Some(RateLimitHeaders { policy: &limits.policy, tightest, level: *level })
    }
}
