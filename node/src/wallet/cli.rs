//! The command line of `smt-node wallet …` and `smt-node receipt …`.

use super::commands;
use super::keystore::KeyName;
use super::output::{Exit, finish};
use super::secret::PassphraseSource;
use crate::rpc::schema::WaitFor;
use clap::{Args, Subcommand, ValueEnum};
use smt_types::{Amount, Digest};
use std::path::PathBuf;
use std::process::ExitCode;

/// Keys, payments and receipts.
///
/// Exit codes: 0 done; 1 refused or failed; 2 wrong command line; 3 not finished yet, the same command goes on with it.
#[derive(Debug, Args)]
pub struct WalletCommand {
    /// Where keys and signed payments are kept [default: $XDG_DATA_HOME/smt/wallet]
    #[arg(long, global = true, value_name = "DIR", env = "SMT_WALLET_DIR")]
    pub wallet_dir: Option<PathBuf>,
    /// The node to ask
    #[arg(long, global = true, value_name = "URL", env = "SMT_RPC", default_value = "http://127.0.0.1:9100")]
    pub rpc: String,
    /// Print one line of JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What the wallet can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a key and keep it encrypted
    New(New),
    /// Take over a key: 64 hex digits from the terminal, a file or standard input
    Import(Import),
    /// List the keys; needs no passphrase
    List(List),
    /// Show what accounts have and what is on its way to them
    Balance(Balance),
    /// Pay. After a crash or a timeout the same command goes on with the same payment
    Send(Send),
    /// List the payments of an account, newest first
    History(History),
    /// Fetch the receipt of a payment and verify it
    Receipt(FetchReceipt),
    /// Sign a payment without a network, to be submitted later. It counts as given out from then on: `send` sends it
    /// before it signs anything after it
    Sign(Sign),
    /// Send a signed payment; needs no key. The same bytes may be sent any number of times
    Submit(Submit),
    /// Fetch the network's genesis file and check it
    Genesis(FetchGenesis),
    /// Put everything kept of a network out of the way, after it was started afresh under the same number
    Forget(Forget),
}

/// Flags of `wallet new`.
#[derive(Debug, Args)]
pub struct New {
    /// Name of the key [default: the first free one of key-1, key-2, …]
    #[arg(long)]
    pub name: Option<KeyName>,
    /// Passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseSource,
    /// Show the address with the prefix of the main network
    #[arg(long)]
    pub main: bool,
}

/// Flags of `wallet import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Name of the key [default: the first free one of key-1, key-2, …]
    #[arg(long)]
    pub name: Option<KeyName>,
    /// File with the key in hex, - for standard input; asked for on the terminal without it
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseSource,
    /// Show the address with the prefix of the main network
    #[arg(long)]
    pub main: bool,
}

/// Flags of `wallet list`.
#[derive(Debug, Args)]
pub struct List {
    /// Show addresses with the prefix of the main network
    #[arg(long)]
    pub main: bool,
}

/// Flags of `wallet balance`.
#[derive(Debug, Args)]
pub struct Balance {
    /// Names of keys or addresses [default: all keys]
    #[arg(value_name = "NAME|ADDRESS")]
    pub accounts: Vec<String>,
}

/// Whose key signs.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Payer {
    /// Name of the key that pays
    #[arg(long, value_name = "NAME", required_unless_present = "key_file", conflicts_with = "key_file")]
    pub from: Option<KeyName>,
    /// Unencrypted key that pays, for scripts: a file with 64 hex digits that nobody else can read, or - for standard
    /// input
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseSource,
}

/// What is paid.
#[derive(Debug, Args)]
#[group(skip)]
pub struct What {
    /// Address of the payee
    #[arg(long, value_name = "ADDRESS")]
    pub to: String,
    /// Base units
    #[arg(long, value_name = "UNITS", value_parser = parse_amount)]
    pub amount: Amount,
    /// Text for the payee, at most 64 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub memo: String,
}

/// How far and how long.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Until {
    /// Stage to wait for
    #[arg(long, value_enum, value_name = "STAGE", default_value = "final")]
    pub wait: Wait,
    /// Seconds to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u32,
}

/// Flags of `wallet send`.
#[derive(Debug, Args)]
pub struct Send {
    /// Whose key signs.
    #[command(flatten)]
    pub payer: Payer,
    /// What is paid.
    #[command(flatten)]
    pub what: What,
    /// How far and how long.
    #[command(flatten)]
    pub until: Until,
    /// Pay once more even if an equal payment was begun and its outcome never shown
    #[arg(long)]
    pub again: bool,
    /// Sign at this seq instead of the next one; never at one that was used
    #[arg(long, value_name = "N")]
    pub seq: Option<u64>,
    /// Refuse an endpoint of another network
    #[arg(long, value_name = "N")]
    pub network_id: Option<u32>,
    /// Refuse an endpoint of another genesis
    #[arg(long, value_name = "HASH", value_parser = parse_digest)]
    pub genesis_hash: Option<Digest>,
}

/// Flags of `wallet history`.
#[derive(Debug, Args)]
pub struct History {
    /// Name of a key or address
    #[arg(value_name = "NAME|ADDRESS")]
    pub account: String,
    /// Entries wanted, 1 to 100
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,
    /// Go on after an earlier page: the cursor that it ended with
    #[arg(long, value_name = "CURSOR")]
    pub before: Option<String>,
}

/// Flags of `wallet receipt`.
#[derive(Debug, Args)]
pub struct FetchReceipt {
    /// Id of the payment, 64 hex digits
    #[arg(value_parser = parse_digest)]
    pub id: Digest,
    /// Write the receipt's canonical bytes here, - for standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Flags of `wallet sign`.
#[derive(Debug, Args)]
pub struct Sign {
    /// Whose key signs.
    #[command(flatten)]
    pub payer: Payer,
    /// What is paid.
    #[command(flatten)]
    pub what: What,
    /// Number of the network the payment is for
    #[arg(long, value_name = "N")]
    pub network_id: u32,
    /// The account's next seq (`wallet balance` shows it)
    #[arg(long, value_name = "N")]
    pub seq: u64,
    /// Largest Lamport value seen; advisory
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub after: u64,
    /// Write the signed payment (hex) here instead of standard output; never over an existing file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Flags of `wallet submit`.
#[derive(Debug, Args)]
pub struct Submit {
    /// File with a signed payment in hex, - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How far and how long.
    #[command(flatten)]
    pub until: Until,
}

/// Flags of `wallet genesis`.
#[derive(Debug, Args)]
pub struct FetchGenesis {
    /// Write the genesis file here, - for standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Refuse any other genesis hash
    #[arg(long, value_name = "HASH", value_parser = parse_digest)]
    pub hash: Option<Digest>,
    /// Take the genesis from this file instead of the endpoint, which only has to name its hash
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Flags of `wallet forget`.
#[derive(Debug, Args)]
pub struct Forget {
    /// Number of the network
    #[arg(long, value_name = "N")]
    pub network_id: u32,
}

/// Receipts, offline.
///
/// Exit codes: 0 the receipt verifies; 1 it does not, with the reason; 2 wrong command line.
#[derive(Debug, Args)]
pub struct ReceiptCommand {
    /// Print one line of JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub action: ReceiptAction,
}

/// What can be done with a receipt.
#[derive(Debug, Subcommand)]
pub enum ReceiptAction {
    /// Check a receipt against a genesis, without any network
    Verify(VerifyReceipt),
}

/// Flags of `receipt verify`.
#[derive(Debug, Args)]
pub struct VerifyReceipt {
    /// File with the canonical bytes of a receipt, - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The network's genesis file [default: the one the wallet keeps for --genesis-hash]
    #[arg(long, value_name = "FILE", required_unless_present = "genesis_hash")]
    pub genesis: Option<PathBuf>,
    /// The genesis hash; a genesis file of another hash is refused
    #[arg(long, value_name = "HASH", value_parser = parse_digest)]
    pub genesis_hash: Option<Digest>,
    /// Where the wallet keeps what it knows [default: $XDG_DATA_HOME/smt/wallet]
    #[arg(long, value_name = "DIR", env = "SMT_WALLET_DIR")]
    pub wallet_dir: Option<PathBuf>,
}

/// Stages that can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// A replica has it
    Received,
    /// A quorum accepts it
    Certified,
    /// Irrevocable: paid
    Final,
    /// Part of its shard's epoch cut
    Snapshotted,
    /// The payee can spend it
    Credited,
}

impl From<Wait> for WaitFor {
    fn from(wait: Wait) -> WaitFor {
        match wait {
            Wait::Received => WaitFor::Received,
            Wait::Certified => WaitFor::Certified,
            Wait::Final => WaitFor::Final,
            Wait::Snapshotted => WaitFor::Snapshotted,
            Wait::Credited => WaitFor::Credited,
        }
    }
}

fn parse_amount(text: &str) -> Result<Amount, String> {
    Amount::parse(text).ok_or_else(|| "a whole number of base units below 2^64, without sign or leading zero".into())
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| "64 hex digits".into())
}

impl WalletCommand {
    /// Runs the command and prints its outcome. Blocks: not for an async context.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let as_json = self.json;
        finish(commands::run(self), as_json).into()
    }
}

impl ReceiptCommand {
    /// Runs the command and prints its outcome. Asks no network.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let as_json = self.json;
        let ReceiptAction::Verify(flags) = self.action;
        let exit: Exit = finish(commands::verify(&flags), as_json);
        exit.into()
    }
}
