//! `smt-sim`: run seeds of the simulator.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a tool around a test: it tells how long a run takes"
)]

use smt_sim::run::{Options, Totals, Verdict, simulate, sweep};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "smt-sim: seeded simulation of whole networks, with faults, invariants and a demand for progress

  smt-sim [--seeds A..B] [--seconds N] [--threads N]   run seeds A to B (B not included; default 0..200)
  smt-sim --seed N [--seconds N] [--trace]             run one seed; --trace prints the end of its event log
  --planted NAME    with a known bug (built with --features planted); succeeds if a seed catches it

Vacuous seeds (no fault injected, or fewer than 500 payments certified) do not count and are replaced by further ones.
A failure prints the seed, the invariant, what was seen, and the command that runs it again. Exit code 1 on failure.";

struct Arguments {
    first: u64,
    wanted: u64,
    single: bool,
    options: Options,
    threads: usize,
    planted: Option<String>,
}

fn arguments() -> Result<Option<Arguments>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut found =
        Arguments { first: 0, wanted: 200, single: false, options: Options::default(), threads, planted: None };
    let mut rest = std::env::args().skip(1);
    while let Some(flag) = rest.next() {
        if flag == "--help" || flag == "-h" {
            return Ok(None);
        }
        if flag == "--trace" {
            found.options.trace = true;
            continue;
        }
        let value = rest.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{flag}: {value} is not a number"));
        match flag.as_str() {
            "--seed" => (found.first, found.wanted, found.single) = (number()?, 1, true),
            "--seconds" => found.options.seconds = number()?.clamp(1, 3600),
            "--threads" => found.threads = number()?.clamp(1, 256) as usize,
            "--planted" => found.planted = Some(value),
            "--seeds" => {
                let (a, b) = value.split_once("..").ok_or("--seeds takes A..B")?;
                let a: u64 = a.parse().map_err(|_| "--seeds takes A..B")?;
                let b: u64 = b.parse().map_err(|_| "--seeds takes A..B")?;
                (found.first, found.wanted) = (a, b.checked_sub(a).ok_or("--seeds A..B needs A ≤ B")?);
            }
            _ => return Err(format!("unknown argument {flag}; see --help")),
        }
    }
    Ok(Some(found))
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("smt-sim: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(name) = &arguments.planted {
        return planted(name, &arguments);
    }
    if arguments.single {
        return single(&arguments);
    }
    let started = Instant::now();
    let step = (arguments.wanted / 20).max(1);
    let totals =
        sweep(arguments.first, arguments.wanted, arguments.options, arguments.threads, 5, |outcome, totals| {
            if let Verdict::Failed(name, what) = &outcome.verdict {
                eprintln!("seed {} FAILED after {:.3} s: {name}: {what}", outcome.seed, outcome.seconds);
                eprintln!("  again: {}", again(outcome.seed, arguments.options.seconds));
            }
            let done = totals.passed + totals.failed.len() as u64;
            if done.is_multiple_of(step) {
                eprintln!("{done} of {} seeds, {:.0} s", arguments.wanted, started.elapsed().as_secs_f64());
            }
        });
    summary(&totals, started);
    if totals.failed.is_empty() && totals.passed >= arguments.wanted { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn again(seed: u64, seconds: u64) -> String {
    format!("cargo run --release -p smt-sim -- --seed {seed} --seconds {seconds} --trace")
}

fn single(arguments: &Arguments) -> ExitCode {
    let outcome = simulate(arguments.first, arguments.options);
    for line in &outcome.log {
        println!("{line}");
    }
    println!("seed {} after {:.3} s: {:?}", outcome.seed, outcome.seconds, outcome.verdict);
    println!("{:?}", outcome.counts);
    println!("effects {}", outcome.digest);
    match outcome.verdict {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::Vacuous => ExitCode::from(3),
        Verdict::Failed(..) => {
            println!("again: {}", again(outcome.seed, arguments.options.seconds));
            ExitCode::FAILURE
        }
    }
}

fn summary(totals: &Totals, started: Instant) {
    println!(
        "{} seeds passed, {} failed, {} vacuous {:?}; {:.0} s",
        totals.passed,
        totals.failed.len(),
        totals.vacuous.len(),
        totals.vacuous,
        started.elapsed().as_secs_f64()
    );
    println!(
        "{} payments certified, {} credited in another shard, {} cuts, {} steps",
        totals.certified, totals.credited, totals.cuts, totals.steps
    );
    for (kind, count) in &totals.faults {
        println!("  {count:>10} {kind}");
    }
}

#[cfg(feature = "planted")]
fn planted(name: &str, arguments: &Arguments) -> ExitCode {
    use smt_consensus::planted::{Bug, plant};
    let Some(bug) = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name) else {
        eprintln!("smt-sim: no planted bug {name}; there are {:?}", Bug::ALL);
        return ExitCode::from(2);
    };
    plant(Some(bug));
    for seed in arguments.first..arguments.first + arguments.wanted {
        let outcome = simulate(seed, arguments.options);
        if let Verdict::Failed(invariant, what) = outcome.verdict {
            for line in &outcome.log {
                println!("{line}");
            }
            println!("{name} is caught by seed {seed} after {:.3} s: {invariant}: {what}", outcome.seconds);
            return ExitCode::SUCCESS;
        }
    }
    eprintln!("{name} is not caught by {} seeds", arguments.wanted);
    ExitCode::FAILURE
}

#[cfg(not(feature = "planted"))]
fn planted(_name: &str, _arguments: &Arguments) -> ExitCode {
    eprintln!("smt-sim: build with --features planted");
    ExitCode::from(2)
}
