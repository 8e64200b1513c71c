//! The wallet's main path, the binary against a development network of the binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "tests"
)]

#[path = "support/net.rs"]
mod net;

use net::{Process, turn};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A person's directory, with wallet and passphrase.
struct Home {
    dir: tempfile::TempDir,
    url: String,
}

impl Home {
    fn secret(&self, name: &str, text: &str) {
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(self.dir.path().join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Runs `smt-node` in the home with `input`: exit code and its line of JSON.
    fn run(&self, line: &str, input: &str) -> (i32, Value) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_smt-node"))
            .args(line.split(' '))
            .current_dir(&self.dir)
            .env("SMT_WALLET_DIR", "wallet")
            .env("SMT_RPC", &self.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input may have ended already.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let last = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
        let json = serde_json::from_str(last).unwrap_or_else(|error| panic!("{line}: {error} in {text:?}"));
        (output.status.code().unwrap_or_else(|| panic!("{line}: {}; {text}", output.status)), json)
    }

    fn done(&self, line: &str) -> Value {
        let (code, json) = self.run(line, "");
        assert_eq!((code, &json["ok"]), (0, &Value::Bool(true)), "{line}: {json}");
        json
    }

    fn refused(&self, line: &str, code: i32, kind: &str) {
        let (got, json) = self.run(line, "");
        assert_eq!((got, &json["kind"]), (code, &Value::from(kind)), "{line}: {json}");
    }
}

fn flip(from: &Path, to: &Path, byte: usize) {
    let mut bytes = fs::read(from).unwrap();
    bytes[byte] ^= 1;
    fs::write(to, bytes).unwrap();
}

#[test]
fn from_key_to_receipt() {
    let _turn = turn();
    let state = tempfile::tempdir().unwrap();
    let mut process = Process::on(state.path(), &["--epoch-ms", "300"], |_| {});
    let line = process.ready();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let home = Home { dir: tempfile::tempdir().unwrap(), url: text(&line["rpc"][0]["url"]) };
    home.secret("pass", "correct horse\n");
    home.secret("wrong", "battery staple\n");
    let (seed, network, genesis) =
        (text(&line["keys"][0]["seed"]), line["network"].to_string(), text(&line["genesis"]));
    let [here, there] = ["0", "1"].map(|shard| {
        let mut keys = line["keys"].as_array().unwrap().iter().rev();
        text(&keys.find(|key| key["shard"] == shard).unwrap()["address"])
    });

    // Keys.
    let (code, alice) = home.run("wallet --json import --name alice --key-file - --passphrase-file pass", &seed);
    assert_eq!((code, &alice["address"]), (0, &line["keys"][0]["address"]), "{alice}");
    let bob = text(&home.done("wallet --json new --name bob --passphrase-file pass")["address"]);
    assert_eq!(home.done("wallet --json list")["keys"].as_array().unwrap().len(), 2);

    // Payments to every stage, in the own shard and across.
    for (seq, (stage, payee)) in [
        ("received", &here),
        ("certified", &there),
        ("final", &here),
        ("snapshotted", &there),
        ("credited", &there),
        ("credited", &bob),
    ]
    .into_iter()
    .enumerate()
    {
        let sent = home.done(&format!(
            "wallet --json send --from alice --to {payee} --amount 10 --wait {stage} --passphrase-file pass"
        ));
        assert_eq!(
            (&sent["seq"], &sent["payee"]),
            (&Value::from(seq.to_string()), &Value::from(payee.as_str())),
            "{sent}"
        );
    }
    let balances = home.done("wallet --json balance");
    let of = |name: &str| {
        let accounts = balances["accounts"].as_array().unwrap();
        accounts.iter().find(|account| account["account"] == name).unwrap()["balance"].clone()
    };
    assert_eq!((of("alice"), of("bob")), (Value::from("999999940"), Value::from("10")));

    // Signed apart, sent by another endpoint, twice: one payment.
    let sign = format!(
        "wallet --json sign --from alice --to {here} --amount 7 --network-id {network} --seq 6 --passphrase-file pass --out p.hex"
    );
    let id = text(&home.done(&sign)["id"]);
    let other = text(&line["rpc"][8]["url"]);
    for _ in 0..2 {
        let sent = home.done(&format!("wallet --json --rpc {other} submit p.hex --wait snapshotted"));
        assert_eq!(sent["id"], Value::from(id.as_str()), "{sent}");
    }

    // Everything is in the history, newest first, and the receipt holds offline.
    let history = home.done("wallet --json history alice");
    let entries = history["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["id"]), (7, &Value::from(id.as_str())), "{history}");
    home.done(&format!("wallet --json genesis --hash {genesis} --out genesis.bin"));
    home.done(&format!("wallet --json receipt {id} --out receipt.bin"));
    let ended = process.child.id();
    process.kill9();
    let verify = format!("--genesis genesis.bin --genesis-hash {genesis}");
    let shown = home.done(&format!("receipt --json verify receipt.bin {verify}"));
    assert_eq!((&shown["id"], &shown["amount"]), (&Value::from(id.as_str()), &Value::from("7")), "{shown}");
    flip(&home.dir.path().join("receipt.bin"), &home.dir.path().join("flipped.bin"), 100);
    home.refused(&format!("receipt --json verify flipped.bin {verify}"), 1, "receipt_refused");

    // Nobody answers: not finished. After a restart from the same state everything is there.
    let send = format!("wallet --json send --from alice --to {here} --amount 5 --passphrase-file pass --timeout 1");
    home.refused(&send, 3, "unreachable");
    let mut process = Process::on(state.path(), &["--epoch-ms", "300"], |_| {});
    let line = process.ready();
    assert_ne!(process.child.id(), ended);
    let home = Home { url: text(&line["rpc"][4]["url"]), ..home };
    let again = home.done(&format!("wallet --json receipt {id}"));
    assert_eq!(again["id"], Value::from(id.as_str()));

    // Refusals, each with its word.
    home.refused(&format!("{send} --network-id 17"), 1, "wrong_network");
    home.refused(
        &format!("wallet --json send --from alice --to {here} --amount 5 --passphrase-file wrong"),
        1,
        "wrong_passphrase",
    );
    home.refused(
        &format!("wallet --json send --from carol --to {here} --amount 5 --passphrase-file pass"),
        1,
        "unknown_key",
    );
    home.refused(
        &format!("wallet --json send --from alice --to {here}q --amount 5 --passphrase-file pass"),
        1,
        "bad_address",
    );
    home.refused(
        &format!("wallet --json send --from alice --to {here} --amount 0 --passphrase-file pass"),
        1,
        "amount_zero",
    );
    home.refused(
        &format!("wallet --json send --from bob --to {here} --amount 11 --passphrase-file pass"),
        1,
        "insufficient_funds",
    );
    home.done(&format!("wallet --json send --from bob --to {here} --amount 10 --passphrase-file pass"));
}
