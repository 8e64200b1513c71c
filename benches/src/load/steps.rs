//! Runs of several steps: the search for the maximum, and what a long or an overloaded run says.

use anyhow::Result;

use super::schedule::to_f64;
use crate::result::{Second, Soak, SweepPoint};

/// Lowest rate that is tried.
const RATE_MIN: f64 = 10.0;
/// Most steps of a search.
const STEPS_MAX: usize = 24;

/// Whether a rate was held.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observed {
    /// Offered, payments a second and shard.
    pub rate: f64,
    /// Certified.
    pub certified_per_second: f64,
    /// 99th percentile of `certified`.
    pub p99_ms: f64,
    /// In flight in the middle of the window, all shards.
    pub backlog_middle: u64,
    /// And at its end.
    pub backlog_end: u64,
    /// Rejected, expired and timed out.
    pub lost: u64,
}

/// Judges a step: held, and why not.
pub fn judge(seen: &Observed, p99_bound_ms: f64) -> (bool, String) {
    let growth = to_f64(seen.backlog_end) - to_f64(seen.backlog_middle);
    // What 20 ms of load and chance put in flight is no growth.
    let allowed = 0.25 * to_f64(seen.backlog_middle) + 0.02 * seen.rate + 50.0;
    let reason = if seen.lost > 0 {
        format!("{} payments were rejected or given up", seen.lost)
    } else if seen.p99_ms > p99_bound_ms {
        format!("p99 {:.0} ms is over {p99_bound_ms:.0} ms", seen.p99_ms)
    } else if seen.certified_per_second < 0.97 * seen.rate {
        format!("{:.0}/s certified of {:.0}/s offered", seen.certified_per_second, seen.rate)
    } else if growth > allowed {
        format!("the backlog grows: {} in flight in the middle, {} at the end", seen.backlog_middle, seen.backlog_end)
    } else {
        return (true, String::new());
    };
    (false, reason)
}

/// Finds the highest rate that is held, to within the factor `within`: up from `start` in long strides, then by bisection. Answers it
/// (`None`: not even the lowest is) with all points, by rate.
///
/// # Errors
/// Whatever `measure` fails with.
pub fn find_max(
    start: f64,
    p99_bound_ms: f64,
    within: f64,
    mut measure: impl FnMut(f64) -> Result<SweepPoint>,
) -> Result<(Option<f64>, Vec<SweepPoint>)> {
    let (mut held, mut missed): (Option<f64>, Option<f64>) = (None, None);
    let mut points: Vec<SweepPoint> = Vec::new();
    let mut rate = start;
    while points.len() < STEPS_MAX {
        let point = measure(rate)?;
        let (is_held, p99) = (point.held, point.p99_ms);
        points.push(point);
        if is_held {
            held = Some(rate);
        } else {
            missed = Some(rate);
        }
        rate = match (held, missed) {
            (Some(held), Some(missed)) if missed / held <= within => break,
            // The geometric mean: the bound asked for is a ratio.
            (Some(held), Some(missed)) => (held * missed).sqrt(),
            (Some(held), None) if p99 < p99_bound_ms / 2.0 => held * 2.0,
            (Some(held), None) => held * 1.25,
            (None, _) if rate / 2.0 < RATE_MIN => break,
            (None, _) => rate / 2.0,
        };
    }
    points.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    Ok((held, points))
}

/// When a network is itself again after an overload: the start of the first second from which on every one has p99 under the bound and
/// certifies what is offered.
pub fn recovered_after_s(seconds: &[Second], rate: f64, p99_bound_ms: f64) -> Option<f64> {
    let well = |second: &Second| {
        second.certified_p99_ms.is_some_and(|p99| p99 <= p99_bound_ms) && to_f64(second.certified) >= 0.9 * rate
    };
    let ill = seconds.iter().rposition(|second| !well(second)).map_or(0, |place| place.saturating_add(1));
    (ill < seconds.len()).then(|| to_f64(u64::try_from(ill).unwrap_or(u64::MAX)))
}

/// First fifth of a long run against its last.
pub fn soak(seconds: &[Second]) -> Option<Soak> {
    let window: Vec<&Second> = seconds.iter().filter(|second| second.at_s >= 0 && second.offered > 0).collect();
    let fifth = window.len().checked_div(5).filter(|fifth| *fifth > 0)?;
    let first = window.get(..fifth)?;
    let last = window.get(window.len().saturating_sub(fifth)..)?;
    let median_p99 = |part: &[&Second]| {
        let mut all: Vec<f64> = part.iter().filter_map(|second| second.certified_p99_ms).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(0.0)
    };
    let count = to_f64(u64::try_from(fifth).unwrap_or(1));
    let in_flight = |part: &[&Second]| part.iter().map(|second| to_f64(second.in_flight)).sum::<f64>() / count;
    let memory = |part: &[&Second]| {
        let all: Vec<u64> = part.iter().filter_map(|second| second.replica_rss_bytes).collect();
        all.iter().fold(0_u64, |sum, rss| sum.saturating_add(*rss)).checked_div(u64::try_from(all.len()).ok()?)
    };
    Some(Soak {
        duration_s: to_f64(u64::try_from(window.len()).unwrap_or(0)),
        p99_first_ms: median_p99(first),
        p99_last_ms: median_p99(last),
        in_flight_first: in_flight(first),
        in_flight_last: in_flight(last),
        rss_first_bytes: memory(first),
        rss_last_bytes: memory(last),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn network(limit: f64) -> impl FnMut(f64) -> Result<SweepPoint> {
        move |rate| {
            let p99_ms = if rate <= limit { 20.0 + 100.0 * rate / limit } else { 5_000.0 };
            Ok(SweepPoint { rate, p99_ms, held: p99_ms <= 200.0, ..SweepPoint::default() })
        }
    }

    #[test]
    fn search_ends_near_the_limit_from_below_and_from_above() {
        for (start, limit) in [(1_000.0, 12_345.0), (1_000.0, 300.0), (50_000.0, 29_000.0), (1_000.0, 1_000.0)] {
            let (found, points) = find_max(start, 200.0, 1.05, network(limit)).unwrap();
            let found = found.unwrap();
            assert!(found <= limit && found * 1.05 >= limit, "{found} for {limit}");
            assert!(points.len() <= 15, "{} steps", points.len());
            assert!(points.windows(2).all(|pair| pair[0].rate <= pair[1].rate));
        }
        assert_eq!(find_max(1_000.0, 200.0, 1.05, network(0.0)).unwrap().0, None);
    }

    #[test]
    fn step_is_held_only_if_nothing_is_lost_late_or_piling_up() {
        let good = Observed {
            rate: 1_000.0,
            certified_per_second: 999.0,
            p99_ms: 100.0,
            backlog_middle: 100,
            backlog_end: 120,
            lost: 0,
        };
        assert_eq!(judge(&good, 200.0), (true, String::new()));
        for bad in [
            Observed { lost: 1, ..good },
            Observed { p99_ms: 201.0, ..good },
            Observed { certified_per_second: 960.0, ..good },
            Observed { backlog_end: 300, ..good },
        ] {
            let (held, reason) = judge(&bad, 200.0);
            assert!(!held && !reason.is_empty(), "{bad:?}");
        }
    }

    fn second(at_s: i64, p99: f64, certified: u64) -> Second {
        Second { at_s, offered: 100, certified, certified_p99_ms: Some(p99), in_flight: 10, ..Second::default() }
    }

    #[test]
    fn recovery_counts_from_the_last_bad_second() {
        let seconds = [second(0, 900.0, 100), second(1, 100.0, 100), second(2, 300.0, 100), second(3, 90.0, 99)];
        assert_eq!(recovered_after_s(&seconds, 100.0, 200.0), Some(3.0));
        assert_eq!(recovered_after_s(&seconds[..3], 100.0, 200.0), None);
        assert_eq!(recovered_after_s(&seconds[3..], 100.0, 200.0), Some(0.0));
        assert_eq!(recovered_after_s(&[second(0, 1.0, 50)], 100.0, 200.0), None, "too few");
    }

    #[test]
    fn soak_compares_fifths_and_leaves_warm_up_and_drain_out() {
        let mut seconds: Vec<_> = (-5..0).map(|at| second(at, 10_000.0, 1)).collect();
        seconds.extend((0..100_u32).map(|at| second(i64::from(at), f64::from(at), 100)));
        seconds.push(Second { at_s: 100, ..Second::default() });
        let soak = soak(&seconds).unwrap();
        assert_eq!((soak.duration_s, soak.p99_first_ms, soak.p99_last_ms), (100.0, 10.0, 90.0));
        assert!(super::soak(&seconds[..7]).is_none());
    }
}
