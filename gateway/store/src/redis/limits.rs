//! Limits counted in Redis, for all replicas together: one script, one round trip for all limits of a call.

use super::{Redis, eval};
use crate::{
    Error, Result,
    limits::{Demand, Limiter, Pace, Taken, duration},
};
use async_trait::async_trait;

/// As [`limits`](crate::limits) says. Times are counted by Redis' own clock, in ticks since the start of 2025, so
/// that a double holds them. A key lives as long as it says anything.
const TAKE: &str = "local time = redis.call('TIME')
        local now = (time[1] - 1735689600) * 10000000 + time[2] * 10
        local kept = redis.call('MGET', unpack(KEYS))
        local passes, debts, beyond = 1, {}, {}
        for i = 1, #KEYS do
          local interval, capacity = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
          local debt = math.max((tonumber(kept[i] or 0) or 0) - now, 0)
          beyond[i] = debt > capacity
          debts[i] = math.min(debt, capacity)
          if debts[i] + interval > capacity then passes = 0 end
        end
        for i, key in ipairs(KEYS) do
          if passes == 1 then debts[i] = debts[i] + tonumber(ARGV[2 * i - 1]) end
          if passes == 1 or beyond[i] then
            redis.call('SET', key, string.format('%.0f', now + debts[i]), 'PX', math.ceil(debts[i] / 10000))
          end
        end
        return {now, passes, unpack(debts)}";

#[async_trait]
impl Limiter for Redis {
    async fn take(&self, tenant: &str, demands: &[Demand<'_>]) -> Result<Taken> {
        let keys: Vec<String> =
            demands.iter().map(|Demand { limit, who, .. }| self.keys.limit(tenant, limit, *who)).collect();
        let mut call = eval(TAKE, &keys);
        for Demand { rate, .. } in demands {
            let Pace { interval, capacity } = Pace::of(rate);
            call.arg(interval).arg(capacity);
        }
        let answer: Vec<u64> = self.ask(&call).await?;
        match answer.as_slice() {
            [at, passes, debts @ ..] if debts.len() == demands.len() => Ok(Taken {
                passes: *passes == 1,
                debts: debts.iter().map(|debt| duration(*debt)).collect(),
                at: duration(*at),
            }),
            _ => Err(Error::Corrupt("Redis answered something else to the limits' script".into())),
        }
    }
}
