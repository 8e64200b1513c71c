//! How often contenders ask the kernel to make data durable, as the kernel sees it: system calls traced by strace in a
//! pass of its own, since tracing costs time. The contender says when it worked on each batch; calls made then count.

use crate::contender::{EPOCH_BATCHES, Plan};
use crate::contenders::Name;
use crate::report::Window;
use crate::run::{as_child, fresh_directory, parse};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::process::{Command, Stdio};

const CALLS: [&str; 5] = ["fsync", "fdatasync", "sync_file_range", "msync", "syncfs"];
const KEYS: u64 = 50_000;
const EPOCHS: u64 = 2;

/// Calls that ask for durability, by contender.
#[derive(Debug, Serialize)]
pub(crate) struct Syncs {
    pub(crate) keys: u64,
    pub(crate) counts: Vec<(Name, Result<SyncCount, WhyNot>)>,
}

/// Why calls were not counted.
type WhyNot = String;

/// One contender's calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct SyncCount {
    /// Mean over batches, without the ends of epochs.
    pub(crate) batch: f64,
    /// Mean over ends of epochs.
    pub(crate) epoch_end: f64,
}

/// Counts for all durable contenders among `names`.
pub(crate) fn count(names: &[Name], plan: &Plan) -> Syncs {
    let durable = names.iter().copied().filter(|name| name.is_durable());
    let counts = durable.map(|name| {
        eprintln!("{}, sync calls …", name.text());
        (name, count_one(name, plan).map_err(|error| format!("{error:#}")))
    });
    Syncs { keys: KEYS, counts: counts.collect() }
}

fn count_one(name: Name, plan: &Plan) -> Result<SyncCount> {
    let log = plan.directory.join("strace");
    let directory = fresh_directory(&plan.directory, name)?;
    let plan = Plan { keys: KEYS, batches: EPOCHS * EPOCH_BATCHES, proof_rounds: 0, directory };
    let mut strace = Command::new("strace");
    strace.args(["-f", "-ttt", "-e", "signal=none", "-e", &format!("trace={}", CALLS.join(",")), "-o"]).arg(&log);
    strace.arg(std::env::current_exe().context("finding this program")?);
    as_child(&mut strace, name, &plan);
    let output = strace.stderr(Stdio::null()).output();
    std::fs::remove_dir_all(&plan.directory).context("removing what the contender wrote")?;
    let output = output.context("starting strace")?;
    ensure!(output.status.success(), "strace: {}", output.status);
    let text = std::fs::read_to_string(&log).context("reading strace's log")?;
    std::fs::remove_file(&log).context("removing strace's log")?;
    Ok(sort(&times(&text), &parse(&output.stdout)?.updates.windows))
}

/// When calls began, from lines such as `123 1700000000.123456 fdatasync(5 <unfinished ...>`. That an unfinished one
/// resumes is another line, which has no call's name there.
fn times(log: &str) -> Vec<f64> {
    let time = |line: &str| {
        let mut fields = line.split_whitespace();
        let time = fields.nth(1)?.parse().ok()?;
        let (name, _) = fields.next()?.split_once('(')?;
        CALLS.contains(&name).then_some(time)
    };
    log.lines().filter_map(time).collect()
}

/// Which calls fall into batches, which into ends of epochs.
fn sort(times: &[f64], windows: &[Window]) -> SyncCount {
    let within = |from, to| times.iter().filter(|&&time| from <= time && time < to).count() as f64;
    let batches: f64 = windows.iter().map(|window| within(window.start, window.applied)).sum();
    let ends: f64 = windows.iter().map(|window| within(window.applied, window.end)).sum();
    SyncCount { batch: batches / windows.len() as f64, epoch_end: ends * EPOCH_BATCHES as f64 / windows.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_and_sorted() {
        let log = "7 100.1 fdatasync(5) = 0\n\
            8 100.2 fsync(6 <unfinished ...>\n\
            7 100.3 fdatasync(5) = 0\n\
            8 100.4 <... fsync resumed>) = 0\n\
            7 102.5 msync(0x7f, 4096, MS_SYNC) = 0\n\
            7 103.0 +++ exited with 0 +++\n";
        let times = times(log);
        assert_eq!(times, [100.1, 100.2, 100.3, 102.5]);
        let window = |start| Window { start, applied: start + 0.25, end: start + 0.5 };
        let count = sort(&times, &[window(100.0), window(101.0), window(102.0), window(103.0), window(104.0)]);
        assert_eq!(count, SyncCount { batch: 2.0 / 5.0, epoch_end: 1.0 });
    }
}
