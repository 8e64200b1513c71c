//! The command line: parses, sets up logging, hands over.

use clap::{Parser, Subcommand};
use smt_node::config::{ConfigError, Layered, Settings};
use smt_node::dev::DevCommand;
use smt_node::genesis::GenesisCommand;
use smt_node::join::InitCommand;
use smt_node::run::RunCommand;
use smt_node::wallet::{ReceiptCommand, WalletCommand};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// A sharded ledger node.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    /// What is logged, as in `info` or `smt_node=debug,info`; to standard error [env: SMT_LOG] [default: warn]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole local network in one process.
    Dev(DevCommand),
    /// Make a network of separate processes.
    Genesis(GenesisCommand),
    /// Make a state directory with an identity of its own.
    Init(InitCommand),
    /// Run one replica of such a network.
    Run(RunCommand),
    /// Keys, payments and receipts.
    Wallet(WalletCommand),
    /// Check receipts offline.
    Receipt(ReceiptCommand),
    /// Print RPC.md, generated from the method table.
    #[command(hide = true)]
    RpcDoc,
}

fn main() -> ExitCode {
    if let Err(error) = smt_types::crypto::cpu::check() {
        return wrong(&error.to_string());
    }
    let cli = Cli::parse();
    let log = cli.log.as_deref();
    match cli.command {
        Command::Dev(dev) => {
            with_settings(dev.settings(log), |settings| settings.log.clone(), |layered| dev.run(layered))
        }
        Command::Genesis(genesis) => with_logging(log, || ended(genesis.run().map(|()| ExitCode::SUCCESS))),
        Command::Init(init) => with_logging(log, || ended(init.run().map(|()| ExitCode::SUCCESS))),
        Command::Run(run) => {
            with_settings(run.settings(log), |settings| settings.log.clone(), |layered| run.run(layered))
        }
        Command::Wallet(wallet) => with_logging(log, || wallet.run()),
        Command::Receipt(receipt) => with_logging(log, || receipt.run()),
        Command::RpcDoc => {
            print!("{}", smt_node::rpc::doc::markdown());
            ExitCode::SUCCESS
        }
    }
}

/// Here the filter can come from a file too, so settings are read first.
fn with_settings<S: Settings>(
    settings: Result<Layered<S>, ConfigError>,
    filter: impl FnOnce(&S) -> String,
    run: impl FnOnce(&Layered<S>) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let layered = match settings {
        Ok(layered) => layered,
        Err(error) => return wrong(&format!("{:#}", anyhow::Error::new(error))),
    };
    let filter = filter(layered.settings());
    match set_up_logging(&filter) {
        Ok(()) => ended(run(&layered)),
        Err(error) => wrong(&format!("log is {filter:?} in {}: {error}", layered.origin("log"))),
    }
}

fn ended(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn with_logging(flag: Option<&str>, run: impl FnOnce() -> ExitCode) -> ExitCode {
    let variable = std::env::var("SMT_LOG").ok();
    let filter = flag.or(variable.as_deref()).unwrap_or("warn");
    match set_up_logging(filter) {
        Ok(()) => run(),
        Err(error) => wrong(&format!("--log {filter}: {error}")),
    }
}

/// A fault of the command line, the environment or the configuration file.
fn wrong(text: &str) -> ExitCode {
    eprintln!("error: {text}");
    ExitCode::from(2)
}

fn set_up_logging(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    // Several replicas publish one header at once, and each that comes second is warned by gossipsub: no news to anybody.
    let quiet = if filter.contains("libp2p") { String::new() } else { "libp2p_gossipsub=error,".to_owned() };
    let filter = EnvFilter::try_new(quiet + filter)?;
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logger.init()
    } else {
        logger.json().init()
    }
    Ok(())
}
