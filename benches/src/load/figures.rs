//! What is written down while a step runs: latencies, the seconds, how late the generator was.

use hdrhistogram::Histogram;

use super::schedule::{SECOND, to_f64};
use super::wire::Stage;
use crate::result::{CdfPoint, Distribution, Latencies, Percentiles, Second};

/// Longest latency told apart: ten minutes. A longer one counts as that.
const LATENCY_US_MAX: u64 = 600_000_000;

/// A histogram in microseconds, three digits.
pub fn histogram() -> Histogram<u32> {
    // The bounds are constants that the library accepts; its smallest histogram is for the case that it does not.
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
        .or_else(|_| Histogram::new(1))
        .unwrap_or_else(|_| unreachable!("one digit is always possible"))
}

/// Puts a duration in nanoseconds into a histogram.
pub fn record(histogram: &mut Histogram<u32>, ns: u64) {
    histogram.saturating_record((ns / 1_000).clamp(1, LATENCY_US_MAX));
}

/// A quantile in milliseconds; 0 for an empty histogram.
pub fn quantile_ms(histogram: &Histogram<u32>, quantile: f64) -> f64 {
    to_f64(histogram.value_at_quantile(quantile)) / 1_000.0
}

/// Latencies of one kind of payment by stage.
#[derive(Clone, Debug)]
pub struct ByStage([Histogram<u32>; 4]);

impl Default for ByStage {
    fn default() -> Self {
        ByStage(std::array::from_fn(|_| histogram()))
    }
}

impl ByStage {
    /// One stage's.
    pub fn of(&self, stage: Stage) -> &Histogram<u32> {
        let [certified, applied, snapshotted, credited] = &self.0;
        match stage {
            Stage::Certified => certified,
            Stage::Final => applied,
            Stage::Snapshotted => snapshotted,
            Stage::Credited => credited,
        }
    }

    fn of_mut(&mut self, stage: Stage) -> &mut Histogram<u32> {
        let [certified, applied, snapshotted, credited] = &mut self.0;
        match stage {
            Stage::Certified => certified,
            Stage::Final => applied,
            Stage::Snapshotted => snapshotted,
            Stage::Credited => credited,
        }
    }

    /// As the report has it; a stage nobody reached is absent.
    pub fn latencies(&self) -> Latencies {
        let of = |stage| percentiles(self.of(stage));
        Latencies {
            certified: of(Stage::Certified),
            r#final: of(Stage::Final),
            snapshotted: of(Stage::Snapshotted),
            credited: of(Stage::Credited),
        }
    }

    /// The distributions as points: finer towards the tail.
    pub fn distributions(&self) -> Vec<Distribution> {
        let shares = (0..100_u32).map(f64::from).map(|percent| percent / 100.0);
        let tail = [0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 1.0];
        let shares: Vec<f64> = shares.chain(tail).collect();
        Stage::ALL
            .into_iter()
            .filter(|stage| !self.of(*stage).is_empty())
            .map(|stage| Distribution {
                stage: stage.name().into(),
                points: shares
                    .iter()
                    .map(|share| CdfPoint { latency_ms: quantile_ms(self.of(stage), *share), share: *share })
                    .collect(),
            })
            .collect()
    }
}

fn percentiles(histogram: &Histogram<u32>) -> Option<Percentiles> {
    (!histogram.is_empty()).then(|| Percentiles {
        count: histogram.len(),
        mean: histogram.mean() / 1_000.0,
        p50: quantile_ms(histogram, 0.5),
        p90: quantile_ms(histogram, 0.9),
        p99: quantile_ms(histogram, 0.99),
        p999: quantile_ms(histogram, 0.999),
        max: to_f64(histogram.max()) / 1_000.0,
    })
}

/// Everything written down in one step.
#[derive(Debug)]
pub struct Figures {
    /// Begin and end of the measured window.
    pub window: (u64, u64),
    /// Payments that stayed in their shard.
    pub same: ByStage,
    /// Payments to another shard.
    pub cross: ByStage,
    /// Certified in the window, by shard.
    pub certified: Vec<u64>,
    /// Final in the window.
    pub finals: u64,
    /// Actual minus intended first send.
    pub lag: Histogram<u32>,
    /// Arrivals that had to wait for an account to be free.
    pub waited: u64,
    /// Payments signed while the clock ran.
    pub signed_live: u64,
    /// Completed seconds.
    pub seconds: Vec<Second>,
    /// Payments in flight in the middle of the window.
    pub backlog_middle: Option<u64>,
    /// And at its end.
    pub backlog_end: Option<u64>,
    /// Entries of calls sent in the window, first sends and resends.
    pub sent: u64,
    second: Second,
    second_latency: Histogram<u32>,
    second_ends: u64,
}

impl Figures {
    /// A step that starts at `start`; the window follows the warm-up.
    pub fn new(start: u64, window: (u64, u64), shards: usize) -> Figures {
        let warm_up = window.0.saturating_sub(start) / SECOND;
        let at_s = i64::try_from(warm_up).map_or(0, |s| s.saturating_neg());
        Figures {
            window,
            same: ByStage::default(),
            cross: ByStage::default(),
            certified: vec![0; shards],
            finals: 0,
            lag: histogram(),
            waited: 0,
            signed_live: 0,
            seconds: Vec::new(),
            backlog_middle: None,
            backlog_end: None,
            sent: 0,
            second: Second { at_s, ..Second::default() },
            second_latency: histogram(),
            second_ends: start.saturating_add(SECOND),
        }
    }

    /// Whether `at` is in the measured window.
    pub fn in_window(&self, at: u64) -> bool {
        (self.window.0..self.window.1).contains(&at)
    }

    /// A payment was due.
    pub fn offered(&mut self) {
        self.second.offered = self.second.offered.saturating_add(1);
    }

    /// A call was refused, or a payment of one.
    pub fn refused(&mut self) {
        self.second.refused = self.second.refused.saturating_add(1);
    }

    /// A payment was sent for the first time.
    pub fn first_sent(&mut self, intended: u64, now: u64, waited: bool) {
        if waited {
            self.waited = self.waited.saturating_add(1);
        } else if self.in_window(intended) {
            record(&mut self.lag, now.saturating_sub(intended));
        }
    }

    /// An entry of a call went out.
    pub fn entry_sent(&mut self, now: u64) {
        if self.in_window(now) {
            self.sent = self.sent.saturating_add(1);
        }
    }

    /// A payment reached a stage, seen at `at`.
    pub fn reached(&mut self, stage: Stage, intended: u64, at: u64, shard: usize, cross: bool) {
        let latency = at.saturating_sub(intended);
        if self.in_window(intended) {
            let by_stage = if cross { &mut self.cross } else { &mut self.same };
            record(by_stage.of_mut(stage), latency);
        }
        match stage {
            Stage::Certified => {
                self.second.certified = self.second.certified.saturating_add(1);
                record(&mut self.second_latency, latency);
                if self.in_window(at)
                    && let Some(count) = self.certified.get_mut(shard)
                {
                    *count = count.saturating_add(1);
                }
            }
            Stage::Final => {
                self.second.r#final = self.second.r#final.saturating_add(1);
                self.finals = self.finals.saturating_add(u64::from(self.in_window(at)));
            }
            Stage::Snapshotted | Stage::Credited => {}
        }
    }

    /// Closes the second if `now` is past it; answers the closed one. Called often.
    pub fn tick(&mut self, now: u64, in_flight: u64) -> Option<&Second> {
        let (start, end) = self.window;
        let middle = start.saturating_add(end.saturating_sub(start) / 2);
        if self.backlog_middle.is_none() && now >= middle {
            self.backlog_middle = Some(in_flight);
        }
        if self.backlog_end.is_none() && now >= end {
            self.backlog_end = Some(in_flight);
        }
        if now < self.second_ends {
            return None;
        }
        self.second.in_flight = in_flight;
        self.second.certified_p99_ms =
            (!self.second_latency.is_empty()).then(|| quantile_ms(&self.second_latency, 0.99));
        let next = Second { at_s: self.second.at_s.saturating_add(1), ..Second::default() };
        self.seconds.push(std::mem::replace(&mut self.second, next));
        self.second_latency.reset();
        self.second_ends = self.second_ends.saturating_add(SECOND);
        self.seconds.last()
    }

    /// Latencies of all payments together.
    pub fn all(&self) -> ByStage {
        let mut all = self.same.clone();
        for stage in Stage::ALL {
            // Both have the same bounds, so adding cannot fail.
            all.of_mut(stage).add(self.cross.of(stage)).ok();
        }
        all
    }

    /// Length of the window in seconds.
    pub fn window_s(&self) -> f64 {
        to_f64(self.window.1.saturating_sub(self.window.0)) / 1e9
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn only_the_window_counts_for_latency_and_throughput() {
        let mut figures = Figures::new(0, (2 * SECOND, 4 * SECOND), 1);
        // Intended in the warm-up, certified in the window: throughput, no latency.
        figures.reached(Stage::Certified, 2 * SECOND - 1, 2 * SECOND, 0, false);
        // Intended in the window, certified after it: latency, no throughput.
        figures.reached(Stage::Certified, 4 * SECOND - 1, 4 * SECOND + 9 * MS, 0, false);
        assert_eq!(figures.certified, [1]);
        let latencies = figures.all().latencies();
        let certified = latencies.certified.unwrap();
        assert_eq!(certified.count, 1);
        assert!((8.9..9.1).contains(&certified.p50), "{certified:?}");
        assert_eq!(latencies.snapshotted, None);
    }

    #[test]
    fn seconds_are_closed_one_by_one_and_warm_up_is_negative() {
        let mut figures = Figures::new(0, (2 * SECOND, 4 * SECOND), 1);
        figures.offered();
        assert!(figures.tick(SECOND - 1, 1).is_none());
        assert_eq!(figures.tick(SECOND, 1).unwrap().at_s, -2);
        figures.reached(Stage::Certified, SECOND, SECOND + 5 * MS, 0, false);
        assert!(figures.tick(2 * SECOND, 7).unwrap().certified_p99_ms.is_some());
        assert_eq!(figures.tick(3 * SECOND, 9).unwrap().at_s, 0);
        figures.tick(4 * SECOND, 3);
        assert_eq!((figures.backlog_middle, figures.backlog_end), (Some(9), Some(3)));
        assert_eq!(
            figures.seconds.iter().map(|s| (s.offered, s.in_flight)).collect::<Vec<_>>(),
            [(1, 1), (0, 7), (0, 9), (0, 3)]
        );
    }

    #[test]
    fn distribution_ascends() {
        let mut figures = Figures::new(0, (0, SECOND), 1);
        for ms in 1..500 {
            figures.reached(Stage::Final, 0, ms * MS, 0, ms % 2 == 0);
        }
        let distributions = figures.all().distributions();
        assert_eq!(distributions.len(), 1);
        let points = &distributions[0].points;
        assert!(points.windows(2).all(|p| p[0].latency_ms <= p[1].latency_ms && p[0].share <= p[1].share));
    }
}
