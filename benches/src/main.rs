//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use smt_bench::load::options::Options;
use smt_bench::load::tps;
use smt_bench::report;
use smt_bench::result::{Outcome, Verdict};

/// Load generator and benchmark harness.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Certified payments a second, and their latencies.
    Tps(Box<Options>),
    /// What the protocol itself costs: three replicas on one thread, without sockets and disk.
    Core(smt_bench::in_memory::Options),
    /// The ratios of runs: pairs of JSON files, B over A, medians over the pairs.
    Compare {
        /// A B [A B …]
        #[arg(value_name = "FILE", required = true, num_args = 2..)]
        files: Vec<PathBuf>,
    },
    /// Make the HTML report of a JSON file.
    Html {
        /// What `tps --json` wrote.
        json: PathBuf,
        /// The page.
        html: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Tps(options) => on_a_thread(*options),
        Command::Core(options) => in_memory(&options),
        Command::Compare { files } => compare(&files),
        Command::Html { json, html } => page(&json, &html),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The generator's thread has a name of its own, so that reports can tell it from the rest.
fn on_a_thread(options: Options) -> Result<ExitCode> {
    let work = move || tps(&options);
    let thread = std::thread::Builder::new().name("generator".into()).spawn(work).context("starting a thread")?;
    thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the generator panicked")))
}

/// 0: complete, every check that was made passed. 1: otherwise.
fn tps(options: &Options) -> Result<ExitCode> {
    let outcome = tps::run(options)?;
    if let Some(path) = &options.json {
        report::json::save(path, &report::json::write(&outcome)?)?;
    }
    if let Some(path) = &options.html {
        report::json::save(path, &report::html::page(&outcome))?;
    }
    print!("{}", report::terminal::text(&outcome));
    Ok(if sound(&outcome) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_memory(options: &smt_bench::in_memory::Options) -> Result<ExitCode> {
    let figures = smt_bench::in_memory::run(options)?;
    if let Some(path) = &options.json {
        report::json::save(path, &serde_json::to_string_pretty(&figures)?)?;
    }
    print!("{}", figures.text());
    Ok(ExitCode::SUCCESS)
}

fn sound(outcome: &Outcome) -> bool {
    outcome.complete && outcome.checks.all().iter().all(|(_, check)| check.verdict != Verdict::Fail)
}

fn compare(files: &[PathBuf]) -> Result<ExitCode> {
    ensure!(files.len().is_multiple_of(2), "files come in pairs: A B [A B …]");
    let load = |path: &PathBuf| report::json::load(path);
    let pairs = files.chunks(2).filter_map(|pair| pair.first().zip(pair.get(1)));
    let pairs = pairs.map(|(a, b)| Ok((load(a)?, load(b)?))).collect::<Result<Vec<_>>>()?;
    print!("{}", report::compare::compare(&pairs)?.text());
    Ok(ExitCode::SUCCESS)
}

fn page(json: &Path, html: &Path) -> Result<ExitCode> {
    report::json::save(html, &report::html::page(&report::json::load(json)?))?;
    Ok(ExitCode::SUCCESS)
}
