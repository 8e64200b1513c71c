//! The table at the end of a run: enough to know what it found, whether it may be believed, and which bounds it misses.

use super::summary;
use super::text::Table;
use crate::result::Outcome;

/// Longest line before it is broken between words.
const WIDTH: usize = 120;

/// The text.
#[must_use]
pub fn text(run: &Outcome) -> String {
    let mut parts = vec![summary::title(run)];
    let warnings: Vec<String> = summary::warnings(run).iter().map(|warning| fold(&format!("!! {warning}"))).collect();
    if !warnings.is_empty() {
        parts.push(warnings.join("\n"));
    }
    parts.push(table(&summary::circumstances(run)));
    parts.push(fold(&summary::headline(run)));
    parts.push(table(&summary::counts(run)));
    parts.push(table(&summary::latencies(run)));
    parts.push(table(&summary::costs(run)));
    parts.extend(summary::calibration(run).as_ref().map(table));
    parts.extend(summary::limit(run).as_deref().map(fold));
    let rows = [
        (!run.stages.is_empty(), summary::stage_cpu(run)),
        (!run.processes.is_empty(), summary::processes(run)),
        (!run.sweep.is_empty(), summary::sweep(run)),
    ];
    parts.extend(rows.iter().filter(|(there, _)| *there).map(|(_, rows)| table(rows)));
    parts.extend(summary::special(run).iter().map(|sentence| fold(sentence)));
    parts.push(table(&summary::checks(run)));
    if run.complete {
        parts.push(table(&summary::bound_lines(run)));
    }
    parts.push(fold(&run.not_shown));
    parts.join("\n\n") + "\n"
}

fn table(table: &Table) -> String {
    table.text().trim_end().to_owned()
}

/// Breaks `text` into lines.
fn fold(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let length = |line: &str| line.chars().count();
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if length(line).saturating_add(length(word)) < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn one_shard_is_told_with_its_bounds() {
        let text = text(&sample::one_shard());
        for part in ["separate processes on loopback", "one shard", "p99.9", "Signature limit", "held", "does not show"]
        {
            assert!(text.contains(part), "no '{part}' in\n{text}");
        }
        assert!(!text.contains("MISSED") && !text.contains("!!"), "{text}");
    }

    #[test]
    fn shards_are_not_added_up() {
        let run = sample::three_shards();
        let text = text(&run);
        assert!(text.contains("per shard, the mean of 3 shards that share this machine"), "{text}");
        let sum: f64 = run.certified_per_second_by_shard.iter().sum();
        assert!(!text.contains(&super::super::text::figure(sum)), "{text}");
    }

    #[test]
    fn what_spoils_a_run_comes_first() {
        let mut run = sample::one_shard();
        run.complete = false;
        run.stopped = Some("stopped by Ctrl-C".into());
        run.generator_limited = true;
        let text = text(&run);
        assert!(text.contains("!! This run is not complete (stopped by Ctrl-C)"), "{text}");
        assert!(text.contains("!! The load generator was the limit"), "{text}");
        assert!(!text.contains("what has to hold"), "{text}");
    }

    #[test]
    fn sentences_are_folded() {
        let folded = fold(&"word ".repeat(60));
        assert!(folded.lines().count() == 3 && folded.lines().all(|line| line.chars().count() <= WIDTH), "{folded}");
    }
}
