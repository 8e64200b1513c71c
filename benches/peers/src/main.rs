//! The ternary trie beside its peers: one run, one workload, each contender in a process of its own, one after the
//! other. `benches/README.md` says what is measured and how to read it; `scripts/bench trie` builds and starts this.

mod blake3_limit;
mod contender;
mod contenders;
mod goals;
mod machine;
mod measure;
#[cfg(feature = "nomt")]
mod nomt;
mod ours;
#[cfg(feature = "qmdb")]
mod qmdb;
mod report;
mod run;
mod syncs;
mod tables;
mod text;
mod workload;

use crate::contender::Plan;
use crate::contenders::Name;
use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;

/// Compares smt-trie with NOMT and QMDB; see benches/README.md.
#[derive(Debug, Parser)]
struct Arguments {
    /// Keys in the state [default: 1,000,000; with --quick 100,000]. Above 2,000,000 only ours run unless --only says
    /// otherwise.
    #[arg(long = "n", value_name = "KEYS", value_parser = clap::value_parser!(u64).range(20_000..))]
    keys: Option<u64>,
    /// Only these contenders, separated by commas: names, or first parts of names such as 'ours'.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave out the row of 5,000,000 keys.
    #[arg(long)]
    no_large: bool,
    /// A smoke test: 100,000 keys, few rounds, no large row. Its figures are no measurement.
    #[arg(long)]
    quick: bool,
    /// Also write everything measured to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What to call the code under test in the output.
    #[arg(long, value_name = "TEXT", default_value = "unknown")]
    commit: String,
    /// Directory for what contenders write; must exist.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Be this contender and print a report: how the parent starts a child.
    #[arg(long, hide = true, requires_all = ["keys", "batches", "proof_rounds"])]
    child: Option<Name>,
    #[arg(long, hide = true)]
    batches: Option<u64>,
    #[arg(long, hide = true)]
    proof_rounds: Option<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match (arguments.child, arguments.keys, arguments.batches, arguments.proof_rounds) {
        (Some(name), Some(keys), Some(batches), Some(proof_rounds)) => {
            let report = name.run(&Plan { keys, batches, proof_rounds, directory: arguments.directory })?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(())
        }
        _ => run::all(&arguments),
    }
}
