//! Rate limits in Redis, shared by all replicas: one script, and one round trip for all limits of a request.

use super::{Redis, eval};
use crate::{
    error::{Error, Result},
    rate_limits::{Gcra, RateLimitCheck, RateLimitOutcome, SharedRateLimiter, duration},
};
use async_trait::async_trait;

/// The algorithm of [`rate_limits`](crate::rate_limits). Times are read from Redis' clock, in ticks since the start of 2025,
/// so that a double holds them exactly. A key lives as long as it has a backlog.
const ACQUIRE: &str = "local time = redis.call('TIME')
        local now = (time[1] - 1735689600) * 10000000 + time[2] * 10
        local tats = redis.call('MGET', unpack(KEYS))
        local allowed, backlogs, beyond = 1, {}, {}
        for i = 1, #KEYS do
          local interval, capacity = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
          local backlog = math.max((tonumber(tats[i] or 0) or 0) - now, 0)
          beyond[i] = backlog > capacity
          backlogs[i] = math.min(backlog, capacity)
          if backlogs[i] + interval > capacity then allowed = 0 end
        end
        for i, key in ipairs(KEYS) do
          if allowed == 1 then backlogs[i] = backlogs[i] + tonumber(ARGV[2 * i - 1]) end
          if allowed == 1 or beyond[i] then
            redis.call('SET', key, string.format('%.0f', now + backlogs[i]), 'PX', math.ceil(backlogs[i] / 10000))
          end
        end
        return {now, allowed, unpack(backlogs)}";

#[async_trait]
impl SharedRateLimiter for Redis {
    async fn acquire(&self, tenant: &str, checks: &[RateLimitCheck<'_>]) -> Result<RateLimitOutcome> {
        let keys: Vec<String> = checks
            .iter()
            .map(|RateLimitCheck { limit, subject, .. }| self.keys.rate_limit(tenant, limit, *subject))
            .collect();
        let mut command = eval(ACQUIRE, &keys);
        for RateLimitCheck { rate, .. } in checks {
            let Gcra { interval, capacity } = Gcra::new(rate);
            command.arg(interval).arg(capacity);
        }
        let response: Vec<u64> = self.query(&command).await?;
        match response.as_slice() {
            [at, allowed, backlogs @ ..] if backlogs.len() == checks.len() => Ok(RateLimitOutcome {
                allowed: *allowed == 1,
                backlogs: backlogs.iter().map(|backlog| duration(*backlog)).collect(),
                at: duration(*at),
            }),
            _ => Err(Error::Corrupt("unexpected response of Redis to the rate limit script".into())),
        }
    }
}
