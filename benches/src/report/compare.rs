//! Two runs beside each other, or the median over pairs of them.
//!
//! Only ratios are shown as findings, since a shared machine changes from hour to hour: pairs are run in alternation, and the median of
//! their ratios does not care for one that a neighbour spoilt. Runs of different kinds are refused.

use super::text::{Table, figure, or_dash};
use super::{bounds, summary};
use crate::result::Outcome;
use anyhow::{Result, ensure};
use std::collections::BTreeSet;

/// CPU per payment with cross-shard traffic over without: bound and goal.
const CROSS_SHARD: (f64, f64) = (1.10, 1.05);
/// The cross-shard bound is for this many shards, and offered rates that are equal to this share.
const SHARDS: usize = 3;
const SAME_RATE: f64 = 0.02;
/// Pairs that the bound asks for.
const PAIRS: usize = 5;
/// The parameter that may differ in a cross-shard comparison.
const CROSS_SHARE: &str = "cross_share";
/// Parameters that say where a report goes and nothing of the run.
const INDIFFERENT: [&str; 4] = ["json", "html", "state", "node"];

/// A figure of a run that has a ratio.
type Figure = (&'static str, fn(&Outcome) -> Option<f64>);

const FIGURES: [Figure; 10] = [
    ("certified a second and shard", |run| Some(run.certified_per_second)),
    ("CPU µs per payment, all replicas", |run| run.replica_cpu_us_per_payment),
    ("CPU µs per payment, load generator", |run| run.generator_cpu_us_per_payment),
    ("certified p50 ms", |run| run.latency_ms.certified.map(|latency| latency.p50)),
    ("certified p99 ms", |run| run.latency_ms.certified.map(|latency| latency.p99)),
    ("final p99 ms", |run| run.latency_ms.r#final.map(|latency| latency.p99)),
    ("snapshotted p99 ms", |run| run.latency_ms.snapshotted.map(|latency| latency.p99)),
    ("syncs per payment and replica", |run| run.fsyncs_per_payment),
    ("bytes written per payment and replica", |run| run.bytes_written_per_payment),
    ("of the signature limit", |run| run.calibration.as_ref()?.ratio_to_signature_limit),
];

/// What pairs of runs say.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// How many pairs.
    pub pairs: usize,
    /// Name, median of the first runs, median of the second runs, median of the ratios second over first.
    pub rows: Vec<(&'static str, f64, f64, f64)>,
    /// Parameters that differ: name, first, second.
    pub differences: Vec<(String, String, String)>,
    /// What keeps the ratios from being believed.
    pub warnings: Vec<String>,
    /// The cross-shard bound, if these runs can judge it.
    pub cross_shard: Option<String>,
}

/// Compares the second run of each pair with its first.
///
/// # Errors
/// Without pairs, with incomplete runs, and if the kinds of run differ.
pub fn compare(pairs: &[(Outcome, Outcome)]) -> Result<Comparison> {
    ensure!(!pairs.is_empty(), "nothing to compare");
    let runs = || pairs.iter().flat_map(|(first, second)| [first, second]);
    for run in runs() {
        ensure!(
            run.complete,
            "a run of commit {} is not complete: {}",
            run.commit,
            run.stopped.as_deref().unwrap_or("no reason given")
        );
    }
    let kinds: BTreeSet<String> = runs().map(summary::title).collect();
    ensure!(
        kinds.len() == 1,
        "runs of different kinds are not comparable: {}",
        kinds.into_iter().collect::<Vec<_>>().join("; ")
    );

    let differences = differences(pairs);
    Ok(Comparison {
        pairs: pairs.len(),
        rows: FIGURES.iter().filter_map(|figure| row(figure, pairs)).collect(),
        warnings: warnings(pairs, &differences),
        cross_shard: cross_shard(pairs, &differences),
        differences,
    })
}

impl Comparison {
    /// For the terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let pairs = if self.pairs == 1 {
            "one pair of runs".to_owned()
        } else {
            format!("medians of {} pairs of runs", self.pairs)
        };
        let mut parts: Vec<String> = self.warnings.iter().map(|warning| format!("!! {warning}")).collect();
        let mut differences = Table::new(&["parameter", "first", "second"]).of_words();
        for (name, first, second) in &self.differences {
            differences.row([name, first, second]);
        }
        if !self.differences.is_empty() {
            parts.push(differences.text().trim_end().to_owned());
        }
        let mut figures = Table::new(&[&pairs, "first", "second", "second / first"]);
        for (name, first, second, ratio) in &self.rows {
            figures.row([(*name).to_owned(), figure(*first), figure(*second), format!("{ratio:.3} ×")]);
        }
        parts.push(figures.text().trim_end().to_owned());
        parts.extend(self.cross_shard.clone());
        parts.join("\n\n") + "\n"
    }
}

/// The medians of one figure, if all runs have it.
fn row(&(name, of): &Figure, pairs: &[(Outcome, Outcome)]) -> Option<(&'static str, f64, f64, f64)> {
    let values = |pick: fn(&(Outcome, Outcome)) -> &Outcome| {
        pairs.iter().map(|pair| of(pick(pair))).collect::<Option<Vec<f64>>>()
    };
    let (first, second) = (values(|pair| &pair.0)?, values(|pair| &pair.1)?);
    let ratios = first
        .iter()
        .zip(&second)
        .map(|(first, second)| (*first > 0.0).then_some(second / first))
        .collect::<Option<Vec<f64>>>()?;
    Some((name, median(first)?, median(second)?, median(ratios)?))
}

/// Of an even number, the mean of the middle two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// Parameters with more than one value on a side, or with different ones on the two sides.
fn differences(pairs: &[(Outcome, Outcome)]) -> Vec<(String, String, String)> {
    let runs = pairs.iter().flat_map(|(first, second)| [first, second]);
    let names: BTreeSet<&String> = runs.flat_map(|run| run.parameters.keys()).collect();
    let side = |name: &String, pick: fn(&(Outcome, Outcome)) -> &Outcome| {
        let value = |pair| pick(pair).parameters.get(name).map_or("–", String::as_str);
        pairs.iter().map(value).collect::<BTreeSet<&str>>().into_iter().collect::<Vec<_>>().join(", ")
    };
    let difference = |name: &String| (name.clone(), side(name, |pair| &pair.0), side(name, |pair| &pair.1));
    let names = names.into_iter().filter(|name| !INDIFFERENT.contains(&name.as_str()));
    names.map(difference).filter(|(_, first, second)| first != second).collect()
}

fn warnings(pairs: &[(Outcome, Outcome)], differences: &[(String, String, String)]) -> Vec<String> {
    let mut warnings = Vec::new();
    let runs = || pairs.iter().flat_map(|(first, second)| [first, second]);
    let several = |of: fn(&Outcome) -> String| runs().map(of).collect::<BTreeSet<String>>().len() > 1;
    if several(|run| format!("{:?}", run.machine)) {
        warnings.push("The runs are from different machines.".to_owned());
    }
    if several(|run| run.commit.clone()) && !differences.is_empty() {
        warnings.push("Both code and parameters differ: a ratio cannot be put down to either.".to_owned());
    }
    let limited = runs().filter(|run| run.generator_limited).count();
    if limited > 0 {
        warnings.push(format!("In {limited} runs the load generator was the limit."));
    }
    let unsound = runs()
        .filter(|run| run.checks.all().iter().any(|(_, check)| check.verdict == crate::result::Verdict::Fail))
        .count();
    if unsound > 0 {
        warnings.push(format!("In {unsound} runs a check failed."));
    }
    warnings
}

/// Judged if the second runs have cross-shard traffic, the first none, and nothing else differs.
fn cross_shard(pairs: &[(Outcome, Outcome)], differences: &[(String, String, String)]) -> Option<String> {
    let [(name, _, _)] = differences else { return None };
    let rate = |run: &Outcome| bounds::load(run);
    let fits = |(first, second): &(Outcome, Outcome)| {
        let equal = (rate(first) - rate(second)).abs() <= SAME_RATE * rate(first);
        equal && bounds::shards(first) == SHARDS && bounds::shards(second) == SHARDS
    };
    let none_in_first = pairs.iter().all(|pair| pair.0.counts.cross_shard == 0 && pair.1.counts.cross_shard > 0);
    if name != CROSS_SHARE || !none_in_first || !pairs.iter().all(fits) {
        return None;
    }
    let ratio = FIGURES
        .iter()
        .find(|figure| figure.0.starts_with("CPU µs per payment, all"))
        .and_then(|figure| row(figure, pairs));
    let ratio = ratio.map(|row| row.3);
    let verdict = match ratio {
        None => "not measured",
        Some(ratio) if ratio <= CROSS_SHARD.1 => "held, goal reached",
        Some(ratio) if ratio <= CROSS_SHARD.0 => "held",
        Some(_) => "MISSED",
    };
    let few = if pairs.len() < PAIRS {
        format!(" (the bound asks for {PAIRS} pairs, these are {})", pairs.len())
    } else {
        String::new()
    };
    let measured = or_dash(ratio, |ratio| format!("{ratio:.3}"));
    Some(format!(
        "CPU per payment with cross-shard traffic over without: {measured}; bound ≤ {:.2}, goal ≤ {:.2}: {verdict}{few}",
        CROSS_SHARD.0, CROSS_SHARD.1
    ))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::result::Mode;

    fn pair(ratio: f64) -> (Outcome, Outcome) {
        let second = sample::three_shards();
        let mut first = second.clone();
        first.parameters.insert(CROSS_SHARE.into(), "0".into());
        first.counts.cross_shard = 0;
        first.replica_cpu_us_per_payment = second.replica_cpu_us_per_payment.map(|cpu| cpu / ratio);
        (first, second)
    }

    #[test]
    fn the_median_of_ratios_decides_the_cross_shard_bound() {
        let pairs: Vec<_> = [1.04, 1.30, 1.07, 1.02, 1.09].map(pair).into();
        let comparison = compare(&pairs).unwrap();
        assert!(comparison.warnings.is_empty(), "{comparison:?}");
        assert_eq!(comparison.differences, [(CROSS_SHARE.to_owned(), "0".to_owned(), "0.5".to_owned())]);
        let said = comparison.cross_shard.clone().unwrap();
        assert!(said.contains("1.070") && said.ends_with(": held"), "{said}");
        assert!(comparison.text().contains("1.070 ×"), "{}", comparison.text());
        let said = compare(&[pair(1.2)]).unwrap().cross_shard.unwrap();
        assert!(said.contains("MISSED (the bound asks for 5 pairs"), "{said}");
    }

    #[test]
    fn a_second_difference_takes_the_verdict_away() {
        let (first, mut second) = pair(1.0);
        second.parameters.insert("epoch_ms".into(), "500".into());
        second.parameters.insert("json".into(), "other.json".into());
        second.commit = "other".into();
        let comparison = compare(&[(first, second)]).unwrap();
        assert_eq!(comparison.cross_shard, None);
        assert_eq!(comparison.differences.len(), 2);
        assert_eq!(comparison.warnings.len(), 1);
    }

    #[test]
    fn other_kinds_and_incomplete_runs_are_refused() {
        let (first, mut second) = pair(1.0);
        second.mode = Mode::Core;
        assert!(compare(&[(first.clone(), second)]).unwrap_err().to_string().contains("not comparable"));
        let (_, mut second) = pair(1.0);
        second.complete = false;
        assert!(compare(&[(first, second)]).is_err());
        assert!(compare(&[]).is_err());
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
