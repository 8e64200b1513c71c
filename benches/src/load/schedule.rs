//! When payments are due: an absolute schedule that does not know how the network does.
//!
//! Times are nanoseconds from the harness's own start. The schedule of a rate is computed from its beginning (arrival k at k/rate) and not
//! from arrival to arrival, so rounding does not add up and a late generator finds everything it missed, each with its own intended time.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// Arrivals at one rate from `from` until `until`.
#[derive(Debug)]
pub struct Schedule {
    from: u64,
    until: u64,
    rate: f64,
    issued: u64,
    next: u64,
    random: Option<(ChaCha8Rng, f64)>,
}

impl Schedule {
    /// Evenly spaced, or with exponential gaps drawn from `poisson`.
    pub fn new(from: u64, until: u64, rate: f64, poisson: Option<u64>) -> Schedule {
        let random = poisson.map(|seed| (ChaCha8Rng::seed_from_u64(seed), 0.0));
        let mut schedule = Schedule { from, until, rate, issued: 0, next: from, random };
        if schedule.rate <= 0.0 {
            schedule.next = until;
        } else if schedule.random.is_some() {
            schedule.step();
        }
        schedule
    }

    /// The next arrival's intended time; `None` when there are no more.
    pub fn next(&self) -> Option<u64> {
        (self.next < self.until).then_some(self.next)
    }

    /// Takes the next arrival if it is due at `now`.
    pub fn take(&mut self, now: u64) -> Option<u64> {
        let intended = self.next().filter(|next| *next <= now)?;
        self.issued = self.issued.saturating_add(1);
        self.step();
        Some(intended)
    }

    fn step(&mut self) {
        let offset = match &mut self.random {
            None => seconds_to_ns(to_f64(self.issued) / self.rate),
            Some((random, at_s)) => {
                // 53 random bits, never 0: the logarithm is finite.
                let unit = (to_f64(random.next_u64() >> 11) + 1.0) / 9_007_199_254_740_993.0;
                *at_s -= unit.ln() / self.rate;
                seconds_to_ns(*at_s)
            }
        };
        self.next = self.from.saturating_add(offset);
    }
}

/// Exact below 2⁵³, which is more payments and nanoseconds than a run has.
#[expect(clippy::cast_precision_loss, reason = "figures of a run are far below 2^53")]
pub fn to_f64(value: u64) -> f64 {
    value as f64
}

/// Rounds down; negative and not finite are 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is wanted")]
pub fn to_u64(value: f64) -> u64 {
    value as u64
}

/// Seconds as nanoseconds.
pub fn seconds_to_ns(seconds: f64) -> u64 {
    to_u64(seconds * 1e9)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn even_schedule_has_every_arrival_at_its_own_time() {
        let mut schedule = Schedule::new(5 * SECOND, 6 * SECOND, 3.0, None);
        assert_eq!(schedule.next(), Some(5 * SECOND));
        assert_eq!(schedule.take(5 * SECOND - 1), None);
        // A generator that wakes up late gets all of them, with the times it should have woken up at.
        let all: Vec<_> = std::iter::from_fn(|| schedule.take(10 * SECOND)).collect();
        assert_eq!(all, [5_000_000_000, 5_333_333_333, 5_666_666_666]);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn rounding_does_not_add_up() {
        let mut schedule = Schedule::new(0, 100 * SECOND, 29_000.0, None);
        let count = std::iter::from_fn(|| schedule.take(u64::MAX)).count();
        assert_eq!(count, 2_900_000);
    }

    #[test]
    fn poisson_has_the_rate_and_repeats_with_its_seed() {
        let all = |seed| {
            let mut schedule = Schedule::new(SECOND, 101 * SECOND, 1_000.0, Some(seed));
            std::iter::from_fn(|| schedule.take(u64::MAX)).collect::<Vec<_>>()
        };
        let (first, again, other) = (all(1), all(1), all(2));
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert!(first.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((99_000..101_000).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn rate_zero_has_no_arrivals() {
        assert_eq!(Schedule::new(0, SECOND, 0.0, None).next(), None);
    }
}
