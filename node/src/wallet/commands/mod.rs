//! What each command does, from flags to what it says.

mod keys;
mod payments;
mod proofs;
mod queries;

pub use proofs::verify;

use super::cli::{Action, WalletCommand};
use super::durable;
use super::keystore::{KeyName, Keystore};
use super::network::Network;
use super::output::{Exit, Failure, Report};
use super::remote::Remote;
use crate::rpc::error::ErrorKind;
use smt_types::Address;
use smt_types::address::Hrp;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the wallet is and whom it asks.
struct Context {
    dir: PathBuf,
    remote: Remote,
}

/// Runs a wallet command.
///
/// # Errors
/// [`Failure`], which says how to exit.
pub fn run(command: WalletCommand) -> Result<Report, Failure> {
    let context = Context { dir: wallet_dir(command.wallet_dir)?, remote: Remote::new(&command.rpc) };
    match command.action {
        Action::New(flags) => keys::new(&context, &flags),
        Action::Import(flags) => keys::import(&context, &flags),
        Action::List(flags) => keys::list(&context, &flags),
        Action::Balance(flags) => queries::balance(&context, &flags),
        Action::Send(flags) => payments::send(&context, &flags),
        Action::History(flags) => queries::history(&context, flags),
        Action::Receipt(flags) => proofs::receipt(&context, &flags),
        Action::Sign(flags) => payments::sign(&context, &flags),
        Action::Submit(flags) => payments::submit(&context, &flags),
        Action::Genesis(flags) => proofs::genesis(&context, &flags),
        Action::Forget(flags) => proofs::forget(&context, &flags),
    }
}

/// The wallet's directory: as given, else below the user's data directory.
fn wallet_dir(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given
        .or_else(|| set("XDG_DATA_HOME").map(|data| data.join("smt/wallet")))
        .or_else(|| set("HOME").map(|home| home.join(".local/share/smt/wallet")))
        .ok_or_else(|| Failure::text(Exit::Usage, "no_directory", "no HOME: say --wallet-dir"))
}

/// The account a key name or an address stands for.
fn account_of(context: &Context, network: &Network, text: &str) -> Result<Address, Failure> {
    if let Ok(name) = text.parse::<KeyName>() {
        let keystore = Keystore::open(&context.dir)?;
        if keystore.path(&name).exists() {
            return Ok(keystore.find(&name)?.address);
        }
        if !text.contains('1') {
            return Err(keystore.find(&name).err().map_or_else(|| bad_address("no such key"), Failure::from));
        }
    }
    parse_address(network.hrp(), text)
}

fn bad_address(message: impl Into<String>) -> Failure {
    Failure::text(Exit::Failed, ErrorKind::BadAddress.word(), message)
}

fn parse_address(wanted: Hrp, text: &str) -> Result<Address, Failure> {
    let (found, address) = Address::parse(text).map_err(|error| bad_address(error.to_string()))?;
    if found != wanted {
        return Err(Failure::text(
            Exit::Failed,
            ErrorKind::WrongPrefix.word(),
            format!(
                "address {text} is of another network: its prefix is {}, wanted {}",
                found.as_str(),
                wanted.as_str()
            ),
        ));
    }
    Ok(address)
}

/// A memo as readable text after two spaces; nothing if it is empty, hex if it is not plain text.
fn memo_text(memo: &[u8]) -> String {
    match std::str::from_utf8(memo) {
        _ if memo.is_empty() => String::new(),
        // A memo is foreign text: control characters would let it rewrite the terminal.
        Ok(text) if !text.chars().any(char::is_control) => format!("  {text:?}"),
        _ => format!("  0x{}", hex::encode(memo)),
    }
}

fn file_failure(path: &Path, error: &io::Error) -> Failure {
    Failure::text(Exit::Failed, "file", format!("{}: {error}", path.display()))
}

fn read_input(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let read =
        if path == Path::new("-") { durable::read_from(io::stdin().lock(), max) } else { durable::read(path, max) };
    read.map_err(|error| file_failure(path, &error))
}

/// Writes bytes where they were asked for: to a file beside the report, or to standard output instead of it.
fn write_out(path: Option<&Path>, bytes: &[u8], mut report: Report) -> Result<Report, Failure> {
    match path {
        None => Ok(report),
        Some(path) if path == Path::new("-") => {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| file_failure(path, &error))?;
            Ok(Report { human: String::new(), ..report })
        }
        Some(path) => {
            durable::replace(path, bytes).map_err(|error| file_failure(path, &error))?;
            report.human.push_str(&format!("\nwritten to {}", path.display()));
            Ok(report)
        }
    }
}
