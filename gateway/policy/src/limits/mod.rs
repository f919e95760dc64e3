//! How much of the gateway a tenant and its actions may take: so many calls at once; so many in a time, in all, by address,
//! by openid.

mod admission;
mod cpu_load;
mod limiter;

use super::network;
pub use admission::{AdmissionController, Permit};
use admission::{Full, InFlightStats};
use aws_lc_rs::digest;
pub use limiter::Limiter;
use limiter::TenantCounters;
use menlou_config::{rate::Rate, tenant};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_store::rate_limits::RateLimitLevel;
use metrics::{Counter, counter};
use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The limits that hold for one action of a tenant. What every call needs comes first: see [`RequestLimits::near`].
#[repr(C)]
pub struct RequestLimits {
    /// The tenant's calls under way.
    of_tenant: Arc<InFlightStats>,
    /// The action's.
    of_action: Arc<InFlightStats>,
    limiter: Arc<Limiter>,
    /// How many of the tenant's and of the action's calls may be under way.
    most: (Option<usize>, Option<usize>),
    tally: Arc<TenantCounters>,
    tenant: String,
    /// Calls beyond `most` or the tenant's share, once there was one.
    shed: OnceLock<Counter>,
    /// Those that hold for whoever calls.
    early: Vec<Limit>,
    /// Those that hold for each openid.
    by_openid: Vec<Limit>,
    /// All of them as `RateLimit-Policy` has them.
    policy: String,
}

struct Limit {
    /// `calls`, or `login.calls` for an action's own.
    name: String,
    /// Whether it holds for each caller by itself, or for all together.
    each: bool,
    rate: Rate,
    /// Calls beyond that, once there was one.
    refused: OnceLock<Counter>,
}

/// One call on its way in, past the limits of its action.
#[derive(Default)]
pub struct RateLimitPermit {
    place: Option<Permit>,
    /// The limit that is nearest to its end.
    tightest: Option<(String, RateLimitLevel)>,
}

/// How the limits stand, for the answer's headers.
pub struct RateLimitHeaders<'a> {
    /// All limits that hold: what `RateLimit-Policy` says.
    pub policy: &'a str,
    /// The name of the limit that is nearest to its end.
    pub tightest: &'a str,
    /// How it stands.
    pub level: RateLimitLevel,
}

impl RequestLimits {
    /// The limits of an action by its tenant's file. Those by openid hold only where the action needs a session.
    pub fn new(
        (tenant, action): (&str, &str),
        (of_tenant, of_action): (&tenant::RateLimitConfig, &tenant::RateLimitConfig),
        needs_session: bool,
        limiter: Arc<Limiter>,
    ) -> Self {
        let limit = |rate: Option<Rate>, prefix: &str, name: &str, each| {
            rate.map(|rate| Limit { name: format!("{prefix}{name}"), each, rate, refused: OnceLock::new() })
        };
        let own = format!("{action}.");
        let tables = [("", of_tenant), (own.as_str(), of_action)];
        let early = tables.iter().flat_map(|(prefix, table)| {
            [limit(table.calls, prefix, "calls", false), limit(table.per_address, prefix, "per_address", true)]
        });
        let early: Vec<Limit> = early.flatten().collect();
        let by_openid = tables.iter().filter_map(|(prefix, table)| limit(table.per_openid, prefix, "per_openid", true));
        let by_openid: Vec<Limit> = by_openid.filter(|_| needs_session).collect();
        let policy: Vec<String> = early.iter().chain(&by_openid).map(Limit::policy).collect();
        let tally = limiter.tally(tenant);
        Self {
            limiter,
            of_tenant: tally.under_way.clone(),
            of_action: tally.action(action),
            tally,
            tenant: tenant.to_owned(),
            most: (of_tenant.max_concurrent, of_action.max_concurrent),
            shed: OnceLock::new(),
            early,
            by_openid,
            policy: policy.join(", "),
        }
    }

    /// Reads a word of all that a call touches, for the processor to have it near; the number says nothing.
    pub fn near(&self) -> usize {
        let lengths = self.early.len() + self.by_openid.len() + self.most.0.unwrap_or(0);
        Arc::strong_count(&self.of_tenant) + Arc::strong_count(&self.of_action) + lengths
    }
}

impl Limit {
    /// So many in a window of so many seconds: the burst, and how long it takes to be whole again.
    fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.name, self.rate.burst(), self.rate.window().as_secs_f64().ceil())
    }
}

impl RateLimitPermit {
    /// Gives the call a place among those under way, and counts it against the limits that hold for whoever calls; an
    /// error where it is beyond one of them.
    pub async fn enter(&mut self, limits: &RequestLimits, address: IpAddr) -> Result<()> {
        match limits.limiter.room.place(&limits.of_tenant, &limits.of_action, limits.most) {
            Ok(place) => self.place = Some(place),
            Err(Full::CpuLoad) => return Err(Error::new(&codes::OVERLOADED)),
            Err(Full::Share) => {
                let new = || counter!("menlou_requests_shed_total", "reason" => "tenant_limit", "tenant" => limits.tenant.clone());
                limits.shed.get_or_init(new).increment(1);
                let text = Text::fixed(
                    "该小程序处理中的请求过多，请稍后再试",
                    "Too many calls of this mini-program are under way; try again shortly.",
                );
                return Err(Error::new(&codes::OVERLOADED).with_message(text));
            }
        }
        match limits.early.is_empty() {
            true => Ok(()),
            false => self.take(limits, &limits.early, &network(address).to_string()).await,
        }
    }

    /// Counts the call against the limits that hold for each openid, once it is known.
    pub async fn known(&mut self, limits: &RequestLimits, openid: &str) -> Result<()> {
        if limits.by_openid.is_empty() {
            return Ok(());
        }
        // Hashed: what came from elsewhere must not become part of a store's key.
        let hash = digest::digest(&digest::SHA256, openid.as_bytes());
        let subject = hex::encode(&hash.as_ref()[..16]);
        self.take(limits, &limits.by_openid, &subject).await
    }

    async fn take(&mut self, limits: &RequestLimits, taken: &[Limit], who: &str) -> Result<()> {
        let outcome = limits.limiter.take(&limits.tenant, &limits.tally, taken, who).await;
        let levels =
            taken.iter().zip(outcome.backlogs).map(|(limit, debt)| (limit, RateLimitLevel::new(&limit.rate, debt)));
        if outcome.allowed {
            if let Some((limit, level)) = levels.min_by_key(|(_, level)| level.remaining)
                && self.tightest.as_ref().is_none_or(|(_, known)| level.remaining < known.remaining)
            {
                self.tightest = Some((limit.name.clone(), level));
            }
            return Ok(());
        }
        let Some((limit, level)) = levels.max_by_key(|(_, level)| level.wait) else { return Ok(()) };
        // Named by configuration.
        let (tenant, name) = (&limits.tenant, &limit.name);
        let new = || counter!("menlou_rate_limited_total", "tenant" => tenant.clone(), "limit" => name.clone());
        limit.refused.get_or_init(new).increment(1);
        self.tightest = Some((limit.name.clone(), level));
        Err(Error::new(&codes::RATE_LIMITED).retry_after(level.wait))
    }

    /// The call took this long, until its answer began.
    pub fn took(&self, limits: &RequestLimits, time: Duration) {
        if self.place.is_some() {
            limits.of_action.took(time);
        }
    }

    /// The call's place, to be kept until its answer has gone.
    pub fn into_place(self) -> Option<Permit> {
        self.place
    }

    /// How the limits stand; `None` where none holds, or none was asked yet.
    pub fn quota<'a>(&'a self, limits: &'a RequestLimits) -> Option<RateLimitHeaders<'a>> {
        let (tightest, level) = self.tightest.as_ref()?;
        Some(RateLimitHeaders { policy: &limits.policy, tightest, level: *level })
    }
}
