//! The command line: parses, sets up logging, hands over.

use clap::{Parser, Subcommand};
use smt_node::dev::DevCommand;
use smt_node::wallet::{ReceiptCommand, WalletCommand};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// A sharded ledger node.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    /// What is logged, as in `info` or `smt_node=debug,info`; to standard error.
    #[arg(long, global = true, env = "SMT_LOG", default_value = "warn")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole local network in one process.
    Dev(DevCommand),
    /// Keys, payments and receipts.
    Wallet(WalletCommand),
    /// Check receipts offline.
    Receipt(ReceiptCommand),
    /// Print RPC.md, generated from the method table.
    #[command(hide = true)]
    RpcDoc,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = set_up_logging(&cli.log) {
        eprintln!("error: --log {}: {error}", cli.log);
        return ExitCode::from(2);
    }
    match cli.command {
        Command::Dev(dev) => match dev.run() {
            Ok(code) => code,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
        Command::Wallet(wallet) => wallet.run(),
        Command::Receipt(receipt) => receipt.run(),
        Command::RpcDoc => {
            print!("{}", smt_node::rpc::doc::markdown());
            ExitCode::SUCCESS
        }
    }
}

fn set_up_logging(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() { logger.init() } else { logger.json().init() }
    Ok(())
}
