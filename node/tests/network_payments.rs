//! What a person does first: start a network and pay, by the typed client, by a raw HTTP request, across shards.
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

use net::{Endpoint, Local, Net, Person, Process, Rng, eventually, seed, turn, wire};
use smt_ledger::{AccountProof, MAX_ACCOUNT_PROOF_BYTES};
use smt_node::rpc::schema::{self, Stage, WaitFor};
use smt_node::rpc::table::{CallFaucet, GetAccountHistory, GetProof};
use smt_node::rpc::wire::Decimal;
use smt_types::{Canonical, Header, RealChecker, ReplicaIndex, SignedPayment};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Prints a time beside its goal; fails only far beyond it, because a test machine may be busy.
fn report(what: &str, took: Duration, goal: Duration) {
    let word = if took <= goal { "met" } else { "MISSED" };
    println!("{what}: {:.0} ms, goal {:.0} ms {word}", took.as_secs_f64() * 1e3, goal.as_secs_f64() * 1e3);
    assert!(took <= goal * 10, "{what} took {took:?}, ten times the goal of {goal:?} and more");
}

/// A request as any language would write it, without our client.
fn raw_http(endpoint: &Endpoint, body: &str) -> serde_json::Value {
    let host = endpoint.client.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("an HTTP answer, got {answer:?}"));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let start = body.find('{').unwrap();
    let end = body.rfind('}').unwrap();
    serde_json::from_str(&body[start..=end]).unwrap_or_else(|error| panic!("{error} in {body:?}"))
}

fn raw_submit(endpoint: &Endpoint, signed: &SignedPayment, wait: &str) -> serde_json::Value {
    let payment = hex::encode(signed.to_bytes());
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"x","method":"smt_submitTransaction","params":{{"payment":"{payment}","wait":"{wait}","timeout_ms":30000}}}}"#
    );
    raw_http(endpoint, &body)
}

#[test]
fn payments_reach_their_stages_in_time() {
    let _turn = turn();
    let begin = Instant::now();
    let local = Local::start(3, 3, 1000);
    let net = &local.net;
    let epoch = Duration::from_millis(1000);
    let second = Duration::from_secs(1);
    let shards = net.shards();
    let first = net.sign(net.person(shards[0], 0), 0, net.person(shards[0], 1), 10);
    net.endpoints[0].pay(&first, WaitFor::Certified);
    report("start to first certified payment, in process", begin.elapsed(), Duration::from_secs(5));

    // Typed client, inside one shard.
    let signed = net.sign(net.person(shards[0], 0), 1, net.person(shards[0], 1), 11);
    let begin = Instant::now();
    let submitted = net.endpoints[0].submit(&signed, WaitFor::Final, 30_000).unwrap();
    report("typed client, final", begin.elapsed(), second);
    net.check_final(&signed, &submitted);
    let submitted = net.endpoints[0].submit(&signed, WaitFor::Snapshotted, 30_000).unwrap();
    report("typed client, snapshotted", begin.elapsed(), epoch + second);
    assert_eq!(submitted.stage, Stage::Snapshotted);

    // Raw HTTP, at an endpoint of another shard.
    let signed = net.sign(net.person(shards[1], 0), 0, net.person(shards[1], 1), 12);
    let begin = Instant::now();
    let answer = raw_submit(&net.endpoints[0], &signed, "final");
    report("raw HTTP, final", begin.elapsed(), second);
    assert_eq!(answer["id"], "x", "{answer}");
    assert_eq!(answer["result"]["id"], signed.payment.id().to_string(), "{answer}");
    let receipt = hex::decode(answer["result"]["receipt"].as_str().unwrap_or_else(|| panic!("{answer}"))).unwrap();
    assert_eq!(net.verify(&receipt).unwrap().payment(), &signed);
    let answer = raw_submit(&net.endpoints[0], &signed, "snapshotted");
    report("raw HTTP, snapshotted", begin.elapsed(), epoch + second);
    assert_eq!(answer["result"]["stage"], "snapshotted", "{answer}");

    // Across shards, every ordered pair.
    for from in &shards {
        for to in shards.iter().filter(|to| *to != from) {
            let (payer, payee) = (net.person(*from, 2), net.person(*to, 2));
            let entry = net.of(*from).next().unwrap();
            let seq = entry.account(payer).unwrap().next_seq.0;
            let signed = net.sign(payer, seq, payee, 13);
            let begin = Instant::now();
            let submitted = entry.submit(&signed, WaitFor::Credited, 30_000).unwrap();
            report(&format!("from shard {from} to shard {to}, credited"), begin.elapsed(), epoch * 2 + second);
            assert_eq!(submitted.stage, Stage::Credited);
        }
    }
    for shard in &shards {
        net.endpoints[0].expect_account(net.person(*shard, 2), net.start_balance, 2);
    }
    net.wait_nothing_in_flight();
    net.check_same_history(3);
}

#[test]
fn a_receipt_verifies_offline_and_no_flipped_bit_does() {
    let _turn = turn();
    let local = Local::start(3, 3, 300);
    let net = &local.net;
    let shards = net.shards();
    // A batch of several payments, so that the path has siblings.
    let (payer, payee) = (net.person(shards[1], 0), net.person(shards[2], 0));
    let payments: Vec<SignedPayment> = (0..5).map(|seq| net.sign(payer, seq, payee, 1 + seq)).collect();
    let params = schema::SubmitTransactions {
        payments: payments.iter().map(wire).collect(),
        wait: Some(WaitFor::Final),
        timeout_ms: Some(30_000),
    };
    let reply = net.endpoints[0].client.call::<smt_node::rpc::table::SubmitTransactions>(&params).unwrap();
    for (signed, outcome) in payments.iter().zip(&reply.outcomes) {
        net.check_final(signed, outcome.result.as_ref().unwrap_or_else(|| panic!("{outcome:?}")));
    }
    let receipt = net.endpoints[4].receipt(payments[3].payment.id()).unwrap();
    assert_eq!(net.verify(&receipt).unwrap().payment(), &payments[3]);
    for bit in 0..receipt.len() * 8 {
        let mut other = receipt.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(net.verify(&other).is_err(), "the receipt verifies with bit {bit} of {} flipped", receipt.len() * 8);
    }
    println!("{} bits flipped, none verifies", receipt.len() * 8);
    assert!(net.verify(&receipt[..receipt.len() - 1]).is_err(), "cut short");
}

/// Balance and header of an account as `smt_getProof` shows it, everything checked.
fn proven(net: &Net, endpoint: &Endpoint, person: &Person) -> (u64, u64) {
    let reply = eventually("a proof", net::LONG, || {
        endpoint.client.call::<GetProof>(&schema::ByAddress { address: person.text() })
    });
    let header = Header::from_bytes(&reply.header.0, 1 << 16).unwrap();
    assert_eq!((header.shard, header.epoch.0), (person.shard, reply.epoch.0));
    let committee = net.committees.iter().find(|committee| committee.shard() == person.shard).unwrap();
    assert_eq!(header.committee, committee.digest());
    let mut signers = BTreeSet::new();
    for signature in &reply.signatures {
        let keys = committee.keys(ReplicaIndex(signature.replica)).unwrap();
        let signature = smt_types::header::HeaderSignature {
            replica: ReplicaIndex(signature.replica),
            ed25519: smt_types::Signature(signature.ed25519.0.clone().try_into().unwrap()),
            jub: smt_types::JubSignature(signature.jub.0.clone().try_into().unwrap()),
        };
        assert!(signature.is_valid(committee, &header.digest(), &header.poseidon(), &RealChecker));
        assert!(keys.are_possessed());
        signers.insert(signature.replica);
    }
    assert!(header.epoch.0 == 0 || signers.len() >= committee.quorum(), "{} signers", signers.len());
    let proof = AccountProof::from_bytes(&reply.proof.0, MAX_ACCOUNT_PROOF_BYTES).unwrap();
    let shown = proof.verify(&header, &person.address).unwrap();
    assert_eq!(shown.address(), person.address);
    // The proof is worth nothing for another account or header.
    assert!(proof.verify(&Header { state: smt_types::Digest([1; 32]), ..header.clone() }, &person.address).is_err());
    (header.epoch.0, shown.account().map_or(0, |account| account.balance.0))
}

#[test]
fn every_endpoint_serves_every_shard() {
    let _turn = turn();
    let mut rng = Rng(seed("every_endpoint_serves_every_shard", 3));
    let local = Local::start(3, 3, 300);
    let net = &local.net;
    let shards = net.shards();
    let mut seqs = vec![0u64; shards.len()];
    for (at, endpoint) in net.endpoints.iter().enumerate() {
        for (place, shard) in shards.iter().enumerate() {
            let (payer, payee) = (net.person(*shard, 0), net.person(shards[(place + 1) % 3], 1));
            let signed = net.sign(payer, seqs[place], payee, 5);
            seqs[place] += 1;
            let submitted = endpoint.submit(&signed, WaitFor::Final, 30_000).unwrap();
            let receipt = net.check_final(&signed, &submitted);
            let id = signed.payment.id();
            // The same bytes again, elsewhere: the same payment, the same answer.
            let other = &net.endpoints[(at + 4) % net.endpoints.len()];
            let again = other.submit(&signed, WaitFor::Final, 30_000).unwrap();
            assert_eq!((again.id, &again.shard), (submitted.id, &submitted.shard));
            net.check_final(&signed, &again);
            assert_eq!(net.verify(&receipt).unwrap().id(), id);
            // Questions about it at this endpoint.
            let found = endpoint.transaction(id).unwrap();
            assert!(net::is_final(found.stage), "{found:?}");
            assert_eq!(found.payment.amount, Decimal(5));
            assert_eq!(net.verify(&endpoint.receipt(id).unwrap()).unwrap().id(), id);
            assert_eq!(endpoint.account(payer).unwrap().next_seq.0, seqs[place], "payer at {}", endpoint.node);
            let snapshot = endpoint.snapshot(*shard, None).unwrap();
            assert_eq!(snapshot.shard, (*shard).into());
            proven(net, endpoint, payer);
            // The faucet pays an account of this shard that nobody has heard of.
            let newcomer = Person::in_shard(&mut rng, *shard);
            assert_eq!(endpoint.account(&newcomer).unwrap_err().kind(), Some(smt_node::rpc::ErrorKind::UnknownAccount));
            let wish = schema::Faucet {
                address: newcomer.text(),
                amount: Some(Decimal(777)),
                wait: None,
                timeout_ms: Some(30_000),
            };
            let given = endpoint.client.call::<CallFaucet>(&wish).unwrap();
            assert!(net::is_final(given.stage), "{given:?}");
            endpoint.expect_account(&newcomer, 777, 0);
        }
        net.check_cut(&endpoint.cut().unwrap());
        endpoint.info().unwrap();
    }
    // All money arrives, and every endpoint tells the same history.
    for (place, shard) in shards.iter().enumerate() {
        let paid = 5 * net.endpoints.len() as u64;
        net.endpoints[0].expect_account(net.person(*shard, 0), net.start_balance - paid, seqs[place]);
        net.endpoints[0].expect_account(net.person(*shard, 1), net.start_balance + paid, 0);
    }
    net.wait_nothing_in_flight();
    for endpoint in &net.endpoints {
        for shard in &shards {
            let payer = net.person(*shard, 0);
            let history = eventually("a history of nine payments", net::LONG, || {
                let asked = schema::AccountHistory { address: payer.text(), before: None, limit: Some(100) };
                let history = endpoint.client.call::<GetAccountHistory>(&asked).map_err(|error| error.to_string())?;
                if history.entries.len() == net.endpoints.len() { Ok(history) } else { Err(format!("{history:?}")) }
            });
            let mut found: Vec<u64> = history.entries.iter().map(|entry| entry.seq.0).collect();
            found.sort_unstable();
            assert_eq!(found, (0..net.endpoints.len() as u64).collect::<Vec<_>>());
            eventually("a proof of the final balance", net::LONG, || {
                let (epoch, balance) = proven(net, endpoint, payer);
                if balance == net.start_balance - 45 { Ok(()) } else { Err(format!("{balance} at epoch {epoch}")) }
            });
        }
    }
    net.check_same_history(3);
}

#[test]
fn many_ask_one_faucet_at_once() {
    let _turn = turn();
    let mut rng = Rng(seed("many_ask_one_faucet_at_once", 4));
    let local = Local::start(1, 3, 300);
    let net = &local.net;
    let people: Vec<Person> = (0..24).map(|_| Person::new(rng.key(), 0)).collect();
    std::thread::scope(|scope| {
        for (place, person) in people.iter().enumerate() {
            let endpoint = &net.endpoints[place % 3];
            scope.spawn(move || {
                let wish =
                    schema::Faucet { address: person.text(), amount: None, wait: None, timeout_ms: Some(30_000) };
                endpoint
                    .client
                    .call::<CallFaucet>(&wish)
                    .unwrap_or_else(|error| panic!("faucet of {}: {error}", endpoint.node));
            });
        }
    });
    for person in &people {
        net.endpoints[0].expect_account(person, smt_node::dev::shape::FAUCET_DEFAULT, 0);
    }
}

/// The wallet as a person uses it: pay, fetch the receipt and the genesis, check offline; a flipped bit is refused.
fn wallet_pays(net: &Net, line: &serde_json::Value) {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let url = net.endpoints[3].client.url();
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_smt-node"));
        let output = command.args(words).env("SMT_WALLET_DIR", path("wallet")).env("SMT_RPC", url).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let works = |words: &[&str]| {
        let (success, text) = run(words);
        assert!(success, "smt-node {words:?}: {text}");
        text
    };
    let key = &line["keys"][5];
    std::fs::write(path("key"), key["seed"].as_str().unwrap()).unwrap();
    std::fs::set_permissions(path("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let payee = line["keys"][6]["address"].as_str().unwrap();
    let begin = Instant::now();
    let sent = works(&[
        "wallet",
        "send",
        "--json",
        "--key-file",
        &path("key"),
        "--to",
        payee,
        "--amount",
        "1234",
        "--wait",
        "final",
    ]);
    report("wallet as a process, final", begin.elapsed(), Duration::from_secs(1));
    let sent: serde_json::Value =
        serde_json::from_str(sent.lines().next().unwrap()).unwrap_or_else(|error| panic!("{error}: {sent}"));
    let id = sent["id"].as_str().unwrap_or_else(|| panic!("the id of the payment in {sent}"));
    works(&["wallet", "receipt", id, "--out", &path("receipt")]);
    works(&["wallet", "genesis", "--out", &path("genesis")]);
    works(&["receipt", "verify", &path("receipt"), "--genesis", &path("genesis")]);
    let balance = works(&["wallet", "balance", payee]);
    println!("{}", balance.trim_end());
    let mut bytes = std::fs::read(path("receipt")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path("flipped"), bytes).unwrap();
    let (success, text) = run(&["receipt", "verify", &path("flipped"), "--genesis", &path("genesis")]);
    assert!(!success, "a flipped receipt verifies: {text}");
}

#[test]
fn the_binary_takes_payments_within_seconds() {
    let _turn = turn();
    let mut process = Process::start(&["--rpc-port", "0"], |_| {});
    let line = process.ready();
    let printed = process.started.elapsed();
    let net = Process::net(&line);
    let shards = net.shards();
    let signed = net.sign(net.person(shards[0], 0), 0, net.person(shards[0], 1), 1);
    net.endpoints[0].submit(&signed, WaitFor::Certified, 30_000).unwrap();
    report("process start to first certified payment", process.started.elapsed(), Duration::from_secs(5));
    println!("process start to printed keys and URLs: {:.0} ms", printed.as_secs_f64() * 1e3);
    assert_eq!(line["resumed"], false);
    assert_eq!(line["rpc"].as_array().unwrap().len(), 9);
    assert_eq!(line["keys"].as_array().unwrap().len(), 10);
    let info = net.endpoints[0].info().unwrap();
    assert_eq!(line["genesis"], info.genesis_hash.to_string(), "the line names the genesis the endpoints serve");
    for shard in &shards {
        let signed = net.sign(net.person(*shard, 1), 0, net.person(shards[0], 2), 9);
        let begin = Instant::now();
        let answer = raw_submit(&net.endpoints[8], &signed, "final");
        report("raw HTTP to the binary, final", begin.elapsed(), Duration::from_secs(1));
        let receipt = hex::decode(answer["result"]["receipt"].as_str().unwrap_or_else(|| panic!("{answer}"))).unwrap();
        assert_eq!(net.verify(&receipt).unwrap().payment(), &signed);
    }
    wallet_pays(&net, &line);
    process.interrupt();
    let (status, took) = process.ended(Duration::from_secs(10));
    assert!(status.success(), "{status}: {}", process.errors());
    report("graceful stop", took, Duration::from_secs(5));
}
