//! Token buckets by client address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::config::RpcConfig;

/// Buckets kept; when a new client would be one more, those that are full again are forgotten, and if none is, the new
/// client shares the bucket of all newcomers. An attacker with many addresses slows newcomers, never the memory.
const BUCKETS_MAX: usize = 16_384;

/// Rate limits of one endpoint. A bucket holds at most `rate × burst`; a call is let in while the bucket is above zero and
/// may take it below, so that one call larger than the burst is possible and then paid off.
#[derive(Debug)]
pub struct RateLimit {
    elsewhere_per_s: u32,
    loopback_per_s: u32,
    burst: Duration,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// The time at which the bucket is full again, if nothing more is taken.
    full_at: Instant,
}

impl RateLimit {
    /// The limits of `config`.
    #[must_use]
    pub fn new(config: &RpcConfig) -> RateLimit {
        RateLimit {
            elsewhere_per_s: config.rate_per_s,
            loopback_per_s: config.rate_loopback_per_s,
            burst: Duration::from_millis(u64::from(config.rate_burst_ms)),
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// Whether calls of `client` cost it anything.
    #[must_use]
    pub fn applies(&self, client: IpAddr) -> bool {
        self.per_s(client.to_canonical()) > 0
    }

    fn per_s(&self, client: IpAddr) -> u32 {
        if client.is_loopback() { self.loopback_per_s } else { self.elsewhere_per_s }
    }

    /// Takes `cost` units from the bucket of `client` at `now`.
    ///
    /// # Errors
    /// How long to wait before a call is let in again.
    pub fn take(&self, client: IpAddr, cost: u32, now: Instant) -> Result<(), Duration> {
        let client = client.to_canonical();
        let per_s = self.per_s(client);
        if per_s == 0 {
            return Ok(());
        }
        let price =
            Duration::from_secs(1).checked_mul(cost).and_then(|d| d.checked_div(per_s)).unwrap_or(Duration::MAX);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = subnet(client);
        if !buckets.contains_key(&key) && buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| bucket.full_at > now);
            if buckets.len() >= BUCKETS_MAX {
                key = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { full_at: now });
        let owed = bucket.full_at.saturating_duration_since(now);
        if owed >= self.burst && !owed.is_zero() {
            return Err(owed.saturating_sub(self.burst).max(Duration::from_millis(1)));
        }
        bucket.full_at = bucket.full_at.max(now).checked_add(price).unwrap_or(bucket.full_at);
        Ok(())
    }
}

/// One customer: an IPv4 address, or the /64 an IPv6 address is in (one machine has all of it).
fn subnet(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;

    fn limit(per_s: u32, burst_ms: u32) -> RateLimit {
        RateLimit::new(&RpcConfig { rate_per_s: per_s, rate_burst_ms: burst_ms, ..RpcConfig::default() })
    }

    #[test]
    fn burst_then_steady_rate() {
        let limit = limit(10, 1_000);
        let client = "192.0.2.1".parse().unwrap();
        let start = Instant::now();
        for _ in 0..10 {
            limit.take(client, 1, start).unwrap();
        }
        assert!(limit.take(client, 1, start).is_err());
        let later = start + Duration::from_millis(100);
        limit.take(client, 1, later).unwrap();
        assert!(limit.take(client, 1, later).is_err());
    }

    #[test]
    fn clients_do_not_share_and_loopback_is_free_by_default() {
        let limit = limit(1, 1_000);
        let now = Instant::now();
        limit.take("192.0.2.1".parse().unwrap(), 1, now).unwrap();
        assert!(limit.take("192.0.2.1".parse().unwrap(), 1, now).is_err());
        limit.take("192.0.2.2".parse().unwrap(), 1, now).unwrap();
        for _ in 0..1_000 {
            limit.take("127.0.0.1".parse().unwrap(), 100, now).unwrap();
        }
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        let limit = limit(1, 1_000);
        let now = Instant::now();
        limit.take("2001:db8::1".parse().unwrap(), 1, now).unwrap();
        assert!(limit.take("2001:db8::2".parse().unwrap(), 1, now).is_err());
        limit.take("2001:db8:0:1::1".parse().unwrap(), 1, now).unwrap();
    }

    #[test]
    fn table_is_bounded() {
        let limit = limit(1, 1_000);
        let now = Instant::now();
        for n in 0..20_000u32 {
            assert!(limit.take(IpAddr::V4((0x0a00_0000 + n).into()), 1, now).is_ok() || n >= 16_384);
        }
        assert!(limit.buckets.lock().unwrap().len() <= BUCKETS_MAX + 1);
    }
}
