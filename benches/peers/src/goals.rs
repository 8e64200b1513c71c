//! The bounds the trie has to hold, against what this run measured.

use crate::contenders::Name;
use crate::report::{OurProofs, Proofs, Report};
use crate::run::{KEYS, LARGE_KEYS};
use crate::text::{or_dash, whole};
use crate::workload::ENTRY_BYTES;
use serde::Serialize;

/// One bound.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) bound: Bound,
    /// Where it could get to.
    pub(crate) goal: Option<f64>,
    /// For rates of updates the median of batches; `None` if this run left out what it takes.
    pub(crate) measured: Option<f64>,
    /// For rates of updates the same by the mean of epochs. The bounds are for medians, which the end of an epoch, one
    /// batch in five, does not touch: a trie that only moved its work there should not look as if it held them.
    pub(crate) by_mean: Option<f64>,
    pub(crate) unit: Unit,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Unit {
    /// Operations per CPU-second.
    PerCpuSecond,
    Bytes,
    Mebibytes,
    Ratio,
    Percent,
}

impl Bound {
    fn holds(self, number: f64) -> bool {
        match self {
            Self::AtLeast(bound) => number >= bound,
            Self::AtMost(bound) => number <= bound,
        }
    }
}

impl Goal {
    fn new(what: &'static str, bound: Bound, unit: Unit, measured: Option<f64>) -> Self {
        Self { what, bound, goal: None, measured, by_mean: None, unit }
    }

    /// A goal over rates of updates, by median and by mean.
    fn of_updates(what: &'static str, bound: Bound, unit: Unit, [median, mean]: [Option<f64>; 2]) -> Self {
        Self { by_mean: mean, ..Self::new(what, bound, unit, median) }
    }

    fn up_to(self, goal: f64) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// What the last column says.
    pub(crate) fn verdict(&self) -> &'static str {
        let holds = |number| self.bound.holds(number);
        match (self.measured.map(holds), self.by_mean.map(holds)) {
            (None, _) => "not measured",
            (Some(false), _) => "MISSED",
            (Some(true), Some(false)) => "holds; MISSED by the mean",
            (Some(true), _) => "holds",
        }
    }

    /// Cells of the final table.
    pub(crate) fn cells(&self) -> Vec<String> {
        let text = |number| self.unit.text(number);
        let bound = match self.bound {
            Bound::AtLeast(bound) => format!("≥ {}", text(bound)),
            Bound::AtMost(bound) => format!("≤ {}", text(bound)),
        };
        let numbers = [self.goal, self.measured, self.by_mean].map(|number| or_dash(number, text));
        let mut cells = vec![self.what.to_owned(), bound];
        cells.extend(numbers);
        cells.push(self.verdict().to_owned());
        cells
    }
}

impl Unit {
    fn text(self, number: f64) -> String {
        match self {
            Self::PerCpuSecond => whole(number),
            Self::Bytes => format!("{} B", whole(number)),
            Self::Mebibytes => format!("{} MiB", whole(number)),
            Self::Ratio => format!("{number:.2} ×"),
            Self::Percent => format!("{:.1} %", number * 100.0),
        }
    }
}

/// All bounds, held against the reports of contenders with `keys` keys.
pub(crate) fn all(reports: &[Report], keys: u64) -> Vec<Goal> {
    let of = |name| report(reports, name, keys);
    let (memory, disk) = (of(Name::OursMemory), of(Name::OursDisk));
    let large = [Name::OursMemory, Name::OursDisk].map(|name| report(reports, name, LARGE_KEYS));
    let mut goals = updates(memory, disk, of(Name::Qmdb), of(Name::Nomt));
    goals.extend(proofs(memory));
    goals.extend(space(memory, disk, large));
    let slower = |large, one| if keys == KEYS { beside(rates(large), rates(one)) } else { [None, None] };
    let [large_memory, large_disk] = large;
    let dearer = beside(rates(memory), rates(of(Name::OursMemoryThreads)));
    goals.extend([
        Goal::of_updates(
            "updates in memory, 5,000,000 keys beside 1,000,000",
            Bound::AtLeast(0.7),
            Unit::Ratio,
            slower(large_memory, memory),
        ),
        Goal::of_updates("  durable", Bound::AtLeast(0.7), Unit::Ratio, slower(large_disk, disk)),
        Goal::of_updates("CPU per update, two threads beside one", Bound::AtMost(1.1), Unit::Ratio, dearer),
    ]);
    goals
}

type Measured<'a> = Option<&'a Report>;

fn updates(memory: Measured, disk: Measured, qmdb: Measured, nomt: Measured) -> Vec<Goal> {
    use Bound::AtLeast;
    use Unit::{PerCpuSecond, Ratio};
    let [memory, disk, qmdb, nomt] = [memory, disk, qmdb, nomt].map(rates);
    let goal = Goal::of_updates;
    vec![
        goal("updates in memory per CPU-second", AtLeast(1.2e6), PerCpuSecond, memory).up_to(1.5e6),
        goal("  beside QMDB", AtLeast(3.0), Ratio, beside(memory, qmdb)).up_to(3.5),
        goal("durable updates per CPU-second", AtLeast(0.8e6), PerCpuSecond, disk).up_to(1.0e6),
        goal("  beside QMDB", AtLeast(2.0), Ratio, beside(disk, qmdb)).up_to(2.4),
        goal("  beside NOMT", AtLeast(20.0), Ratio, beside(disk, nomt)),
    ]
}

fn proofs(memory: Measured) -> Vec<Goal> {
    use Bound::{AtLeast, AtMost};
    use Unit::{Bytes, PerCpuSecond, Percent};
    let single = |field: fn(&Proofs) -> f64| memory?.proofs.as_ref().map(field);
    let many = |field: fn(&OurProofs) -> f64| memory?.ours.as_ref()?.proofs.as_ref().map(field);
    let goal = Goal::new;
    vec![
        goal("proofs made in batches", AtLeast(450e3), PerCpuSecond, many(|of| of.prove_each.per_cpu_second)),
        goal("verified one by one", AtLeast(400e3), PerCpuSecond, single(|of| of.verify.per_cpu_second)),
        goal("verified in batches", AtLeast(1e6), PerCpuSecond, many(|of| of.verify_batch.per_cpu_second)),
        goal("mean inclusion proof, sums included", AtMost(860.0), Bytes, single(|of| of.bytes)),
        goal("multi-proof beside single proofs", AtMost(0.45), Percent, many(|of| of.multi_bytes / of.single_bytes)),
    ]
}

fn space(memory: Measured, disk: Measured, large: [Measured; 2]) -> Vec<Goal> {
    use Bound::AtMost;
    let peak = |report: &Report| report.updates.memory.peak as f64;
    let per_key = memory.map(|report| peak(report) / report.keys as f64);
    let folded = |report: &Report| Some(report.disk?.tidied as f64 / report.keys as f64 - ENTRY_BYTES);
    let [large, large_disk] = large.map(|report| report.map(|report| peak(report) / f64::from(1 << 20)));
    vec![
        Goal::new("resident memory per key", AtMost(400.0), Unit::Bytes, per_key),
        Goal::new("disk beyond key and value, folded", AtMost(130.0), Unit::Bytes, disk.and_then(folded)),
        Goal::new("resident memory at 5,000,000 keys", AtMost(2048.0), Unit::Mebibytes, large),
        Goal::new("  durable", AtMost(2048.0), Unit::Mebibytes, large_disk),
    ]
}

fn report(reports: &[Report], name: Name, keys: u64) -> Measured<'_> {
    reports.iter().find(|report| report.contender == name && report.keys == keys)
}

/// Updates per CPU-second: the median of batches and the mean of epochs.
fn rates(report: Measured) -> [Option<f64>; 2] {
    let rate = |updates: fn(&Report) -> f64| report.map(updates);
    [rate(|report| report.updates.median.per_cpu_second), rate(|report| report.updates.mean.per_cpu_second)]
}

fn beside(one: [Option<f64>; 2], other: [Option<f64>; 2]) -> [Option<f64>; 2] {
    std::array::from_fn(|i| Some(one[i]? / other[i]?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let verdict = |bound, measured| Goal::of_updates("", bound, Unit::Bytes, measured).verdict();
        assert_eq!(verdict(Bound::AtLeast(3.0), [Some(3.0), None]), "holds");
        assert_eq!(verdict(Bound::AtLeast(3.0), [Some(2.9), Some(4.0)]), "MISSED");
        assert_eq!(verdict(Bound::AtLeast(3.0), [Some(4.0), Some(2.9)]), "holds; MISSED by the mean");
        assert_eq!(verdict(Bound::AtMost(3.0), [Some(3.0), Some(3.0)]), "holds");
        assert_eq!(verdict(Bound::AtMost(3.0), [Some(3.1), None]), "MISSED");
        assert_eq!(verdict(Bound::AtMost(3.0), [None, None]), "not measured");
    }
}
