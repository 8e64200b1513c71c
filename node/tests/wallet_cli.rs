//! The wallet's commands from argument list to outcome, against a node over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "tests"
)]

#[path = "support/paynode.rs"]
mod paynode;

use clap::Parser;
use paynode::{Fault, PayNode, payer, serve};
use serde_json::Value;
use smt_node::wallet::cli::{ReceiptAction, ReceiptCommand, WalletCommand};
use smt_node::wallet::commands;
use smt_node::wallet::output::{Exit, Failure, Report, finish};
use smt_types::Address;
use smt_types::address::Hrp;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Parser)]
enum Program {
    Wallet(WalletCommand),
    Receipt(ReceiptCommand),
}

struct Home {
    dir: tempfile::TempDir,
    node: Arc<PayNode>,
    url: String,
}

impl Home {
    fn new() -> Home {
        let node = Arc::new(PayNode::new(7, 0));
        let url = serve(&node);
        let home = Home { dir: tempfile::tempdir().unwrap(), node, url };
        home.secret("passphrase", "correct horse\n");
        home.secret("key", &hex::encode([77u8; 32]));
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.path(name)).unwrap();
        std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
    }

    /// Runs a command line; `@name` is a file in the home.
    fn run(&self, line: &str) -> Result<Report, Failure> {
        let wallet = self.path("wallet").display().to_string();
        let words = line.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).display().to_string(),
            None => word.to_owned(),
        });
        let head = ["smt-node".to_owned()].into_iter();
        match Program::try_parse_from(head.chain(words)).unwrap() {
            Program::Wallet(mut command) => {
                command.wallet_dir = Some(wallet.into());
                if command.rpc.ends_with(":9100") {
                    command.rpc.clone_from(&self.url);
                }
                commands::run(command)
            }
            Program::Receipt(ReceiptCommand { action: ReceiptAction::Verify(mut flags), .. }) => {
                flags.wallet_dir = Some(wallet.into());
                commands::verify(&flags)
            }
        }
    }

    fn json(&self, line: &str) -> Value {
        let report = self.run(line).unwrap_or_else(|failure| panic!("{line}: {failure:?}"));
        let json = report.json.clone();
        assert_eq!(finish(Ok(report), true), Exit::Done);
        json
    }

    fn fails(&self, line: &str) -> (Exit, String) {
        let failure = self.run(line).expect_err(line);
        let told = (failure.exit, failure.kind.clone());
        assert_eq!(finish(Err(failure), true), told.0);
        told
    }
}

fn failed(kind: &str) -> (Exit, String) {
    (Exit::Failed, kind.to_owned())
}

fn payee() -> String {
    Address([9; 32]).to_bech32(Hrp::Dev)
}

fn own() -> String {
    payer().public().address().to_bech32(Hrp::Dev)
}

#[test]
fn key_goes_in_pays_and_its_receipt_verifies_offline() {
    let home = Home::new();
    let made = home.json("wallet new --passphrase-file @passphrase");
    assert_eq!(made["name"], "key-1");
    let kept = home.json("wallet import --name rich --key-file @key --passphrase-file @passphrase");
    assert_eq!(kept["address"], own().as_str());
    assert_eq!(home.json("wallet list")["keys"].as_array().unwrap().len(), 2);
    assert!(home.json("wallet list --main")["keys"][1]["address"].as_str().unwrap().starts_with("smt1"));

    let balances = home.json("wallet balance");
    assert_eq!(balances["accounts"][0]["known"], false);
    assert_eq!(balances["accounts"][1]["balance"], "1000");

    let send = format!("wallet send --from rich --passphrase-file @passphrase --to {} --amount 5 --memo hi", payee());
    let paid = home.json(&send);
    assert_eq!((paid["stage"].as_str(), paid["paid"].as_bool()), (Some("final"), Some(true)));
    assert_eq!((paid["seq"].as_str(), paid["memo"].as_str()), (Some("0"), Some("6869")));
    assert_eq!(home.json("wallet balance rich")["accounts"][0]["balance"], "995");
    assert_eq!(home.json(&format!("wallet balance {}", payee()))["accounts"][0]["balance"], "5");

    let id = paid["id"].as_str().unwrap();
    home.json(&format!("wallet receipt {id} --out @receipt"));
    let genesis = home.json("wallet genesis --out @genesis");
    let hash = genesis["genesis_hash"].as_str().unwrap();
    for source in [
        String::from("--genesis @genesis"),
        format!("--genesis-hash {hash}"),
        format!("--genesis @genesis --genesis-hash {hash}"),
    ] {
        let shown = home.json(&format!("receipt verify @receipt {source}"));
        assert_eq!(
            (shown["id"].as_str(), shown["paid"].as_bool(), shown["epoch"].as_str()),
            (Some(id), Some(true), Some("4"))
        );
    }
    let wrong = "0".repeat(64);
    assert_eq!(
        home.fails(&format!("receipt verify @receipt --genesis @genesis --genesis-hash {wrong}")),
        failed("other_genesis")
    );
    assert_eq!(home.fails(&format!("wallet genesis --hash {wrong}")), failed("other_genesis"));
    let mut bytes = fs::read(home.path("receipt")).unwrap();
    bytes[100] ^= 1;
    fs::write(home.path("receipt"), bytes).unwrap();
    assert_eq!(home.fails("receipt verify @receipt --genesis @genesis"), failed("receipt_refused"));
}

#[test]
fn offline_signing_and_submitting_apart() {
    let home = Home::new();
    let sign = |amount: u64| {
        format!(
            "wallet sign --key-file @key --to {} --amount {amount} --network-id 7 --seq 0 --out @paper-{amount}",
            payee()
        )
    };
    let signed = home.json(&sign(5));
    assert_eq!(home.fails(&sign(6)), failed("seq_given_out"));
    assert!(!home.path("paper-6").exists());
    fs::remove_file(home.path("paper-5")).unwrap();
    // The same wish signs nothing new: the bytes are those on disk.
    assert_eq!(home.json(&sign(5))["payment"], signed["payment"]);
    let submitted = home.json("wallet submit @paper-5");
    assert_eq!((submitted["id"].clone(), submitted["paid"].as_bool()), (signed["id"].clone(), Some(true)));
    assert_eq!(home.json("wallet submit @paper-5")["id"], signed["id"]);

    let elsewhere =
        format!("wallet sign --key-file @key --to {} --amount 5 --network-id 8 --seq 0 --out @other", payee());
    home.json(&elsewhere);
    assert_eq!(home.fails("wallet submit @other"), failed("wrong_network"));
    let text = fs::read_to_string(home.path("paper-5")).unwrap();
    for (file, text, kind) in [
        ("short", text[..40].to_owned(), "bad_encoding"),
        ("words", "zz".to_owned(), "bad_encoding"),
        // The last byte but one of the signature.
        ("forged", format!("{}{}", &text[..text.len() - 5], "0000"), "bad_signature"),
    ] {
        fs::write(home.path(file), text).unwrap();
        assert_eq!(home.fails(&format!("wallet submit @{file}")), failed(kind), "{file}");
    }
    home.node.assert_one_payment_per_seq();
}

#[test]
fn unfinished_exits_3_and_the_same_command_goes_on() {
    let home = Home::new();
    let send = format!("wallet send --key-file @key --to {} --amount 5 --timeout 0", payee());
    home.node.fault([Fault::LoseReply]);
    assert_eq!(home.fails(&send), (Exit::Unfinished, "unreachable".into()));
    assert_eq!(home.json(&format!("wallet history {}", own()))["unconfirmed"].as_array().unwrap().len(), 1);
    assert_eq!(home.json(&send)["resumed"], true);
    assert_eq!(home.json(&send)["resumed"], false);
    assert_eq!(home.node.applied().len(), 2);
    home.node.assert_one_payment_per_seq();
}

#[test]
fn mistakes_have_kinds_of_their_own() {
    let home = Home::new();
    let send = |rest: &str| format!("wallet send --key-file @key --timeout 0 {rest}");
    let to = payee();
    let mistyped = format!("{}q", &to[..to.len() - 1]);
    let main = Address([9; 32]).to_bech32(Hrp::Main);
    let long = "x".repeat(65);
    let cases = [
        (send(&format!("--to {mistyped} --amount 1")), "bad_address"),
        (send("--to bob --amount 1"), "bad_address"),
        (send(&format!("--to {main} --amount 1")), "wrong_prefix"),
        (send(&format!("--to {to} --amount 0")), "amount_zero"),
        (send(&format!("--to {to} --amount 1001")), "insufficient_funds"),
        (send(&format!("--to {} --amount 1", own())), "self_payment"),
        (send(&format!("--to {to} --amount 1 --memo {long}")), "memo_too_long"),
        (send(&format!("--to {to} --amount 1 --network-id 8")), "wrong_network"),
        (format!("wallet send --from nobody --to {to} --amount 1"), "unknown_key"),
        ("wallet balance nobody".into(), "unknown_key"),
        (format!("wallet receipt {}", "0".repeat(64)), "unknown_transaction"),
        ("wallet forget --network-id 9".into(), "unknown_network"),
    ];
    for (line, kind) in cases {
        assert_eq!(home.fails(&line), failed(kind), "{line}");
    }
    home.json("wallet new --name a --passphrase-file @passphrase");
    assert_eq!(home.fails("wallet new --name a --passphrase-file @passphrase"), failed("key_exists"));
    home.secret("wrong", "wrong horse\n");
    let line = format!("wallet send --from a --passphrase-file @wrong --to {to} --amount 1");
    assert_eq!(home.fails(&line), failed("wrong_passphrase"));
    let line = format!("wallet send --from a --passphrase-file @passphrase --to {to} --amount 1");
    assert_eq!(home.fails(&line), failed("unknown_account"));
    fs::set_permissions(home.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(home.fails(&send(&format!("--to {to} --amount 1"))), failed("too_open"));
    assert_eq!(home.node.shown(), 0, "nothing was sent");
    // Nobody listens there.
    let line = "wallet --rpc http://127.0.0.1:1 balance".to_owned();
    assert_eq!(home.fails(&line), (Exit::Unfinished, "unreachable".into()));
}

#[test]
fn command_line_takes_no_secret_and_refuses_bad_values() {
    let parse = |line: &str| Program::try_parse_from(["smt-node"].into_iter().chain(line.split(' ')));
    for bad in [
        "wallet import --key 00",
        "wallet new --passphrase secret",
        "wallet send --to a --amount 1",
        "wallet send --from a --key-file b --to a --amount 1",
        "wallet send --from a --to a --amount -1",
        "wallet send --from a --to a --amount 01",
        "wallet send --from ../a --to a --amount 1",
        "wallet send --from a --to a --amount 1 --wait proven",
        "wallet receipt 00",
        "receipt verify file",
    ] {
        assert_eq!(parse(bad).expect_err(bad).exit_code(), 2, "{bad}");
    }
    assert!(parse("wallet send --from a --to b --amount 1 --wait credited --json").is_ok());
    assert!(Path::new("/dev/fd").exists());
}

/// A wallet with nothing on disk but keys of its own writes nothing others can read.
#[test]
fn everything_kept_is_the_owners_alone() {
    let home = Home::new();
    home.json("wallet new --passphrase-file @passphrase");
    home.json(&format!("wallet send --key-file @key --to {} --amount 5", payee()));
    let mut dirs = vec![home.path("wallet")];
    let mut files = 0;
    while let Some(dir) = dirs.pop() {
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o077, 0, "{dir:?}");
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                files += 1;
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{path:?}");
            }
        }
    }
    assert!(files >= 7, "{files} files");
}
