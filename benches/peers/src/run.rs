//! The parent: starts the contenders one by one and prints what they report.

use crate::Arguments;
use crate::blake3_limit::Blake3Limit;
use crate::contender::Plan;
use crate::contenders::{Name, versions};
use crate::goals::{self, Goal};
use crate::machine::{Machine, load_average};
use crate::report::Report;
use crate::syncs::{self, Syncs};
use crate::tables;
use crate::workload::SEED;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Keys the floors are stated for.
pub(crate) const KEYS: u64 = 1_000_000;
/// Keys of the large row.
pub(crate) const LARGE_KEYS: u64 = 5_000_000;
/// Runs of every contender, in turn.
const RUNS: usize = 3;
/// Above this many keys a peer takes longer than anybody waits.
const PEER_KEYS_MAX: u64 = 2_000_000;

/// Everything the run found, as `--json` writes it.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    pub(crate) commit: String,
    /// Packages of the peers.
    pub(crate) peers: Vec<String>,
    pub(crate) machine: Machine,
    /// Load averages before and after.
    pub(crate) load_averages: [String; 2],
    pub(crate) seed: u64,
    pub(crate) keys: u64,
    pub(crate) batches: u64,
    pub(crate) proof_rounds: usize,
    /// Runs of every contender, of which the median one is reported.
    pub(crate) runs: usize,
    pub(crate) quick: bool,
    /// The better of two measurements, before and after the contenders.
    pub(crate) blake3: Blake3Limit,
    pub(crate) reports: Vec<Report>,
    pub(crate) syncs: Syncs,
    pub(crate) goals: Vec<Goal>,
}

/// Runs everything the arguments ask for. Floors missed are printed; contenders that fail are errors.
pub(crate) fn all(arguments: &Arguments) -> Result<()> {
    let keys = arguments.keys.unwrap_or(if arguments.quick { 100_000 } else { KEYS });
    let names = chosen(arguments, keys)?;
    let (batches, proof_rounds) = if arguments.quick { (10, 3) } else { (30, 9) };
    let plan = Plan { keys, batches, proof_rounds, directory: arguments.directory.clone() };
    let machine = Machine::describe(&plan.directory)?;
    let load_before = load_average()?;
    let blake3 = Blake3Limit::measure();

    let mut tasks: Vec<(Name, Plan)> = names.iter().map(|&name| (name, plan.clone())).collect();
    if !arguments.no_large && !arguments.quick && keys < LARGE_KEYS {
        let large = Plan { keys: LARGE_KEYS, ..plan.clone() };
        let both = [Name::OursMemory, Name::OursDisk];
        tasks.extend(both.into_iter().filter(|name| names.contains(name)).map(|name| (name, large.clone())));
    }
    let runs = if arguments.quick { 1 } else { RUNS };
    let (reports, failures) = measure(&tasks, runs);
    let syncs = syncs::count(&names, &plan);
    let blake3 = blake3.max(Blake3Limit::measure());

    let goals = goals::all(&reports, keys);
    let findings = Findings {
        commit: arguments.commit.clone(),
        peers: versions(),
        machine,
        load_averages: [load_before, load_average()?],
        seed: SEED,
        keys,
        batches,
        proof_rounds,
        runs,
        quick: arguments.quick,
        blake3,
        reports,
        syncs,
        goals,
    };
    tables::print(&findings);
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&findings)?).context("writing the JSON file")?;
    }
    same_roots(&findings.reports)?;
    ensure!(failures.is_empty(), "contenders that failed:\n  {}", failures.join("\n  "));
    Ok(())
}

/// Runs every task so many times, all in turn, so that what else happens on the machine meets them alike. Gives each
/// one's run of median speed, and what failed.
fn measure(tasks: &[(Name, Plan)], runs: usize) -> (Vec<Report>, Vec<String>) {
    let mut reports: Vec<Vec<Report>> = tasks.iter().map(|_| Vec::new()).collect();
    let mut failures = Vec::new();
    for _ in 0..runs {
        for ((name, plan), reports) in tasks.iter().zip(&mut reports) {
            match child(*name, plan) {
                Ok(report) => reports.push(report),
                Err(error) => failures.push(format!("{} with {} keys: {error:#}", name.text(), plan.keys)),
            }
        }
    }
    let median = |mut reports: Vec<Report>| {
        reports.sort_by(|a, b| a.updates.median.per_cpu_second.total_cmp(&b.updates.median.per_cpu_second));
        (!reports.is_empty()).then(|| reports.swap_remove(reports.len() / 2))
    };
    (reports.into_iter().filter_map(median).collect(), failures)
}

/// The contenders to run, in order.
fn chosen(arguments: &Arguments, keys: u64) -> Result<Vec<Name>> {
    let all = Name::value_variants().iter().copied();
    if arguments.only.is_empty() {
        let fits = |name: &Name| name.is_built() && (name.is_ours() || keys <= PEER_KEYS_MAX);
        return Ok(all.filter(fits).collect());
    }
    for word in &arguments.only {
        let mut meant = Name::value_variants().iter().filter(|name| name.is_meant_by(word));
        ensure!(meant.clone().next().is_some(), "nobody is called '{word}'");
        ensure!(meant.all(|name| name.is_built()), "'{word}' is not in this build");
    }
    Ok(all.filter(|name| arguments.only.iter().any(|word| name.is_meant_by(word))).collect())
}

/// Runs one contender in a process of its own.
fn child(name: Name, plan: &Plan) -> Result<Report> {
    eprintln!("{}, {} keys …", name.text(), plan.keys);
    let start = Instant::now();
    let plan = Plan { directory: fresh_directory(&plan.directory, name)?, ..plan.clone() };
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    as_child(&mut command, name, &plan);
    let output = command.stderr(Stdio::inherit()).output();
    std::fs::remove_dir_all(&plan.directory).context("removing what the contender wrote")?;
    let output = output.context("starting it")?;
    if !output.status.success() {
        bail!("{}", output.status);
    }
    eprintln!("    {:.0} s", start.elapsed().as_secs_f64());
    parse(&output.stdout)
}

/// The report in what a child printed: its last line.
pub(crate) fn parse(output: &[u8]) -> Result<Report> {
    let report = output.trim_ascii().rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(report).context("reading its report")
}

/// Arguments and environment of a process that does `plan` as `name`.
pub(crate) fn as_child(command: &mut Command, name: Name, plan: &Plan) {
    command.args(["--child", &name.text(), "--n", &plan.keys.to_string(), "--batches", &plan.batches.to_string()]);
    command.args(["--proof-rounds", &plan.proof_rounds.to_string()]).arg("--directory").arg(&plan.directory);
    if name.is_ours() {
        // Whatever asks rayon for threads gets as many as the row says. Peers set their own numbers.
        command.env("RAYON_NUM_THREADS", if name == Name::OursMemory { "1" } else { "2" });
    }
    command.stdin(Stdio::null());
}

/// An empty directory below `parent`.
pub(crate) fn fresh_directory(parent: &Path, name: Name) -> Result<PathBuf> {
    let directory = parent.join(name.text());
    if directory.exists() {
        std::fs::remove_dir_all(&directory).context("removing an old run's directory")?;
    }
    std::fs::create_dir_all(&directory).context("creating a scratch directory")?;
    Ok(directory)
}

/// Our trie has one root for one state: in memory, on disk, with any number of threads.
fn same_roots(reports: &[Report]) -> Result<()> {
    for one in reports.iter().filter(|report| report.contender.is_ours()) {
        for other in reports.iter().filter(|report| report.contender.is_ours() && report.keys == one.keys) {
            let same = one.root == other.root;
            ensure!(same, "{} and {} disagree on the root", one.contender.text(), other.contender.text());
        }
    }
    Ok(())
}
