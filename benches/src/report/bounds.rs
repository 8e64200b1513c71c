//! What a run has to show, in one table: the bound, the goal beyond it, and what was measured.
//!
//! A bound is judged only by a run that can show it ("under load" by no idle run, one shard by no run of three), and by no incomplete
//! run. A bound that a run cannot judge is left out; one that it could judge but did not measure says so. Between runs
//! (cross-shard against same-shard) [`compare`](super::compare) judges.

use super::text::{count, figure};
use crate::result::{Mode, Outcome, Soak, Verdict};

/// Certified payments a second, one shard, under load.
const RATE: (f64, f64) = (10_000.0, 29_000.0);
/// Latency of `certified` under load, milliseconds.
const P99_MS: f64 = 200.0;
/// CPU of all replicas per payment, µs: bound and goal.
const CPU_US: (f64, f64) = (100.0, 50.0);
/// Syncs per payment and replica under load.
const SYNCS: f64 = 0.02;
/// Latency of `certified` at low load, milliseconds beyond twice the calibration's sync: median and 99 %.
const LOW_LOAD_MS: (f64, f64) = (5.0, 50.0);
/// The in-memory core: certified payments per CPU-second of all replicas.
const CORE_RATE: f64 = 19_000.0;
/// Overload: offered over the maximum, certified over the maximum, seconds until it has recovered.
const OVERLOAD: (f64, f64, f64) = (2.0, 0.8, 5.0);
/// Length of a run that can show that nothing grows, seconds: ten minutes, less a margin for how windows are cut.
const SOAK_S: f64 = 590.0;
/// What counts as no growth, last fifth over first fifth: memory, latency, backlog.
const GROWTH: (f64, f64, f64) = (1.10, 1.25, 1.25);

/// Up to this rate, payments a second and shard, a run is one at low load.
const LOW_LOAD: f64 = 200.0;
/// Replicas of a shard that the bounds are for.
const REPLICAS: usize = 3;

/// One bound and how the run stands to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What is bounded.
    pub what: &'static str,
    /// The bound and, in brackets, the goal.
    pub bound: String,
    /// The figure, or a dash.
    pub measured: String,
    /// The verdict.
    pub standing: Standing,
    /// Whether a load generator at its limit may be why it is not held.
    pub of_load: bool,
}

/// How a run stands to a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Held.
    Held,
    /// Held, and the goal reached.
    Goal,
    /// Not held.
    Missed,
    /// The run could have shown it and did not measure it.
    NotMeasured,
}

impl Standing {
    /// As reports write it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Standing::Held => "held",
            Standing::Goal => "held, goal reached",
            Standing::Missed => "MISSED",
            Standing::NotMeasured => "not measured",
        }
    }
}

/// A bound, and the goal beyond it where there is one.
type Limit = (f64, Option<f64>);

/// Which side of the bound is good.
#[derive(Clone, Copy)]
enum Good {
    AtMost,
    AtLeast,
}

/// One row of the table.
struct Row {
    what: &'static str,
    unit: &'static str,
    good: Good,
    /// Bound and goal; `None` if this run cannot judge it.
    limit: fn(&Outcome) -> Option<Limit>,
    measured: fn(&Outcome) -> Option<f64>,
}

/// Every bound of a single run.
const ROWS: [Row; 14] = [
    Row {
        what: "certified payments a second, one shard",
        unit: "/s",
        good: Good::AtLeast,
        // A long run stays below the maximum on purpose.
        limit: |run| (loaded_shard(run) && run.soak.is_none()).then_some((RATE.0, Some(RATE.1))),
        measured: |run| Some(run.certified_per_second),
    },
    Row {
        what: "certified p99 at that rate",
        unit: " ms",
        good: Good::AtMost,
        limit: |run| loaded_shard(run).then_some((P99_MS, None)),
        measured: |run| run.latency_ms.certified.map(|latency| latency.p99),
    },
    Row {
        what: "CPU of all replicas per payment",
        unit: " µs",
        good: Good::AtMost,
        limit: |run| loaded_shard(run).then_some((CPU_US.0, Some(CPU_US.1))),
        measured: |run| run.replica_cpu_us_per_payment,
    },
    Row {
        what: "syncs per payment and replica",
        unit: "",
        good: Good::AtMost,
        limit: |run| (separate(run) && under_load(run)).then_some((SYNCS, None)),
        measured: |run| run.fsyncs_per_payment,
    },
    Row {
        what: "certified p50 at low load",
        unit: " ms",
        good: Good::AtMost,
        limit: |run| low_load_limit(run, LOW_LOAD_MS.0, sync_ms(run, |before, _| before)),
        measured: |run| run.latency_ms.certified.map(|latency| latency.p50),
    },
    Row {
        what: "certified p99 at low load",
        unit: " ms",
        good: Good::AtMost,
        limit: |run| low_load_limit(run, LOW_LOAD_MS.1, sync_ms(run, |_, after| after)),
        measured: |run| run.latency_ms.certified.map(|latency| latency.p99),
    },
    Row {
        what: "in-memory core, certified per CPU-second of all replicas",
        unit: "/s",
        good: Good::AtLeast,
        limit: |run| {
            (run.mode == Mode::Core && replicas(run).is_none_or(|n| n == REPLICAS)).then_some((CORE_RATE, None))
        },
        measured: |run| run.replica_cpu_us_per_payment.filter(|cpu| *cpu > 0.0).map(|cpu| 1e6 / cpu),
    },
    Row {
        what: "overload: offered over the maximum",
        unit: " ×",
        good: Good::AtLeast,
        limit: |run| run.overload.as_ref().map(|_| (OVERLOAD.0, None)),
        measured: |run| run.overload.as_ref().map(|overload| overload.factor),
    },
    Row {
        what: "overload: certified over the maximum",
        unit: " ×",
        good: Good::AtLeast,
        limit: |run| run.overload.as_ref().map(|_| (OVERLOAD.1, None)),
        measured: |run| run.overload.as_ref().map(|overload| overload.ratio),
    },
    Row {
        what: "overload: recovered after",
        unit: " s",
        good: Good::AtMost,
        limit: |run| run.overload.as_ref().map(|_| (OVERLOAD.2, None)),
        // A network that never recovered took for ever.
        measured: |run| run.overload.as_ref().map(|overload| overload.recovered_after_s.unwrap_or(f64::INFINITY)),
    },
    Row {
        what: "long run: length",
        unit: " s",
        good: Good::AtLeast,
        limit: |run| run.soak.as_ref().map(|_| (SOAK_S, None)),
        measured: |run| run.soak.as_ref().map(|soak| soak.duration_s),
    },
    Row {
        what: "long run: memory, last fifth over first",
        unit: " ×",
        good: Good::AtMost,
        limit: |run| run.soak.as_ref().map(|_| (GROWTH.0, None)),
        measured: |run| growth(run, |soak| Some((soak.rss_first_bytes? as f64, soak.rss_last_bytes? as f64))),
    },
    Row {
        what: "long run: certified p99, last fifth over first",
        unit: " ×",
        good: Good::AtMost,
        limit: |run| run.soak.as_ref().map(|_| (GROWTH.1, None)),
        measured: |run| growth(run, |soak| Some((soak.p99_first_ms, soak.p99_last_ms))),
    },
    Row {
        what: "long run: in flight, last fifth over first",
        unit: " ×",
        good: Good::AtMost,
        limit: |run| run.soak.as_ref().map(|_| (GROWTH.2, None)),
        measured: |run| growth(run, |soak| Some((soak.in_flight_first, soak.in_flight_last))),
    },
];

/// The bounds that this run can judge.
#[must_use]
pub fn judge(run: &Outcome) -> Vec<Line> {
    if !run.complete {
        return Vec::new();
    }
    let line = |row: &Row| {
        let (bound, goal) = (row.limit)(run)?;
        let measured = (row.measured)(run);
        let good = |value: f64, limit: f64| match row.good {
            Good::AtMost => value <= limit,
            Good::AtLeast => value >= limit,
        };
        let standing = match measured {
            None => Standing::NotMeasured,
            Some(value) if goal.is_some_and(|goal| good(value, goal)) => Standing::Goal,
            Some(value) if good(value, bound) => Standing::Held,
            Some(_) => Standing::Missed,
        };
        let sign = match row.good {
            Good::AtMost => "≤",
            Good::AtLeast => "≥",
        };
        let goal = goal.map(|goal| format!(" (goal {sign} {}{})", figure(goal), row.unit)).unwrap_or_default();
        let value =
            |value: f64| if value.is_finite() { format!("{}{}", figure(value), row.unit) } else { "never".into() };
        Some(Line {
            what: row.what,
            bound: format!("{sign} {}{}{goal}", figure(bound), row.unit),
            measured: measured.map_or_else(|| "–".to_owned(), value),
            standing,
            of_load: true,
        })
    };
    ROWS.iter().filter_map(line).chain(sound(run)).collect()
}

/// What every complete run has to show, whatever it measures.
fn sound(run: &Outcome) -> Vec<Line> {
    let failed: Vec<&str> = run
        .checks
        .all()
        .into_iter()
        .filter(|(_, check)| check.verdict == Verdict::Fail)
        .map(|(name, _)| name)
        .collect();
    let unmade = run.checks.all().into_iter().filter(|(_, check)| check.verdict == Verdict::NotMade).count();
    let checks = Line {
        what: "checks after the run",
        bound: "all pass".into(),
        measured: match (failed.is_empty(), unmade) {
            (true, 0) => "all pass".into(),
            (true, _) => format!("{unmade} not made"),
            (false, _) => format!("failed: {}", failed.join(", ")),
        },
        standing: match (failed.is_empty(), unmade) {
            (true, 0) => Standing::Held,
            (true, _) => Standing::NotMeasured,
            (false, _) => Standing::Missed,
        },
        of_load: false,
    };
    let counts = Line {
        what: "offered payments accounted for",
        bound: "all".into(),
        measured: if run.counts.add_up() { "all".into() } else { "the sums differ".into() },
        standing: if run.counts.add_up() { Standing::Held } else { Standing::Missed },
        of_load: false,
    };
    let conflicts = run.conflicts.map(|conflicts| Line {
        what: "slots with two payments (the generator makes none)",
        bound: "0".into(),
        measured: count(conflicts),
        standing: if conflicts == 0 { Standing::Held } else { Standing::Missed },
        of_load: false,
    });
    [counts, checks].into_iter().chain(conflicts).collect()
}

/// Number of shards.
#[must_use]
pub fn shards(run: &Outcome) -> usize {
    run.certified_per_second_by_shard.len().max(1)
}

/// Replicas of each shard, where the run knows its processes or was told.
#[must_use]
pub fn replicas(run: &Outcome) -> Option<usize> {
    let told = run.parameters.get("replicas").and_then(|text| text.parse().ok());
    let seen = run.processes.iter().filter(|process| process.name.starts_with("replica")).count();
    told.or((seen > 0).then(|| seen.div_ceil(shards(run))))
}

/// Payments offered a second and shard in the window.
#[must_use]
pub fn load(run: &Outcome) -> f64 {
    let in_window = run.seconds.iter().filter(|second| second.at_s >= 0 && (second.at_s as f64) < run.window_s);
    let offered: f64 = in_window.map(|second| second.offered as f64).sum();
    if run.window_s > 0.0 { offered / run.window_s / shards(run) as f64 } else { 0.0 }
}

fn separate(run: &Outcome) -> bool {
    run.mode == Mode::Processes && replicas(run).is_none_or(|replicas| replicas == REPLICAS)
}

fn loaded_shard(run: &Outcome) -> bool {
    separate(run) && shards(run) == 1 && under_load(run)
}

/// Offered as much as the bound asks for, or looked for the most that the network holds: a run at less shows nothing of either.
fn under_load(run: &Outcome) -> bool {
    load(run) >= RATE.0 || !run.sweep.is_empty()
}

fn low_load_limit(run: &Outcome, base_ms: f64, sync_ms: Option<f64>) -> Option<Limit> {
    let low = separate(run) && shards(run) == 1 && load(run) > 0.0 && load(run) <= LOW_LOAD;
    Some((base_ms + 2.0 * sync_ms?, None)).filter(|_| low)
}

/// The run's sync time, median and 99 % picked by `of`: the mean of the calibrations before and after.
fn sync_ms(run: &Outcome, of: fn(f64, f64) -> f64) -> Option<f64> {
    let calibration = run.calibration.as_ref()?;
    let ms = |primitives: &crate::result::Primitives| of(primitives.fdatasync_p50_ms, primitives.fdatasync_p99_ms);
    let before = ms(&calibration.before);
    Some(calibration.after.as_ref().map_or(before, |after| f64::midpoint(before, ms(after))))
}

/// Last over first; from nothing to nothing is no growth.
fn growth(run: &Outcome, of: fn(&Soak) -> Option<(f64, f64)>) -> Option<f64> {
    let (first, last) = of(run.soak.as_ref()?)?;
    Some(if first > 0.0 {
        last / first
    } else if last > 0.0 {
        f64::INFINITY
    } else {
        1.0
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::result::{Overload, Percentiles};

    fn standing(run: &Outcome, what: &str) -> Option<Standing> {
        judge(run).into_iter().find(|line| line.what.starts_with(what)).map(|line| line.standing)
    }

    #[test]
    fn a_run_under_load_is_judged_by_rate_cpu_and_syncs() {
        let mut run = sample::one_shard();
        assert_eq!(standing(&run, "certified payments"), Some(Standing::Held));
        assert_eq!(standing(&run, "CPU of all"), Some(Standing::Held));
        assert_eq!(standing(&run, "certified p50 at low"), None);
        let mut smoke = run.clone();
        smoke.seconds.iter_mut().for_each(|second| second.offered = 1_000);
        assert_eq!(standing(&smoke, "certified payments"), None);
        assert_eq!(standing(&smoke, "syncs"), None);
        run.certified_per_second = 9_999.0;
        run.replica_cpu_us_per_payment = Some(49.0);
        run.fsyncs_per_payment = None;
        assert_eq!(standing(&run, "certified payments"), Some(Standing::Missed));
        assert_eq!(standing(&run, "CPU of all"), Some(Standing::Goal));
        assert_eq!(standing(&run, "syncs"), Some(Standing::NotMeasured));
        run.complete = false;
        assert_eq!(judge(&run), []);
    }

    #[test]
    fn three_shards_on_one_machine_are_not_one_shard() {
        let run = sample::three_shards();
        assert_eq!(standing(&run, "certified payments"), None);
        assert_eq!(standing(&run, "syncs"), Some(Standing::Held));
    }

    #[test]
    fn low_load_is_judged_against_the_runs_own_syncs() {
        let mut run = sample::one_shard();
        for second in &mut run.seconds {
            second.offered = 100;
        }
        // The sample's syncs take 1 ms before and 2 ms after: 5 + 2 × 1.5.
        run.latency_ms.certified = Some(Percentiles { p50: 8.0, p99: 1000.0, ..Percentiles::default() });
        assert_eq!(standing(&run, "certified p50 at low"), Some(Standing::Held));
        assert_eq!(standing(&run, "certified p99 at low"), Some(Standing::Missed));
        assert_eq!(standing(&run, "certified payments"), None);
        run.latency_ms.certified = Some(Percentiles { p50: 8.1, ..Percentiles::default() });
        assert_eq!(standing(&run, "certified p50 at low"), Some(Standing::Missed));
    }

    #[test]
    fn no_recovery_and_growth_are_missed() {
        let mut run = sample::one_shard();
        run.overload = Some(Overload { factor: 2.0, ratio: 0.8, ..Overload::default() });
        assert_eq!(standing(&run, "overload: offered"), Some(Standing::Held));
        assert_eq!(standing(&run, "overload: recovered"), Some(Standing::Missed));
        run.overload = None;
        run.soak = Some(Soak { duration_s: 600.0, p99_first_ms: 10.0, p99_last_ms: 20.0, ..Soak::default() });
        assert_eq!(standing(&run, "long run: certified p99"), Some(Standing::Missed));
        assert_eq!(standing(&run, "long run: in flight"), Some(Standing::Held));
        assert_eq!(standing(&run, "long run: memory"), Some(Standing::NotMeasured));
    }

    #[test]
    fn checks_and_counts_decide_too() {
        let mut run = sample::one_shard();
        assert_eq!(standing(&run, "checks"), Some(Standing::Held));
        run.checks.equal_roots.verdict = Verdict::NotMade;
        assert_eq!(standing(&run, "checks"), Some(Standing::NotMeasured));
        run.checks.conservation.verdict = Verdict::Fail;
        run.counts.offered += 1;
        run.conflicts = Some(1);
        for what in ["checks", "offered", "slots"] {
            assert_eq!(standing(&run, what), Some(Standing::Missed));
        }
    }
}
