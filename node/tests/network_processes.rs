//! Networks of separate processes: `smt-node genesis`, one `smt-node run` a replica, seen through their endpoints only.
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

#[path = "support/dropsync.rs"]
mod dropsync;
#[path = "support/net.rs"]
mod net;

use net::{Endpoint, LONG, Net, Person, Process, node, turn};
use smt_node::genesis::{AddressBook, KeyFile, load_account};
use smt_node::rpc::schema::WaitFor;
use smt_types::ShardAddress;
use smt_types::message::NodeId;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The promise of a graceful stop.
const STOP: Duration = Duration::from_secs(5);

const SEED: u64 = 3;
const BALANCE: u64 = 1000;

fn smt(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smt-node"));
    command.args(arguments);
    command
}

/// The first of `count` ports in a row that nobody uses now.
fn free_ports(count: u16) -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Below the ports that the system gives out by itself, and each test process somewhere else.
    let first = 10_000 + (std::process::id() % 200) as u16 * 100;
    (0..200)
        .map(|step: u16| 10_000 + (first - 10_000 + step * 100) % 20_000)
        .find(|base| (*base..base + count).all(free))
        .expect("some ports in a row are free")
}

/// A network's files, and where its replicas keep their state.
struct Home {
    dir: tempfile::TempDir,
    shards: u16,
}

impl Home {
    fn new(shards: u16, seed: u64) -> Home {
        let home = Home { dir: tempfile::tempdir().unwrap(), shards };
        let output = home.genesis(seed, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("INSECURE"));
        home
    }

    fn genesis(&self, seed: u64, more: &[&str]) -> Output {
        let port = free_ports(self.shards * 6).to_string();
        let (out, shards, seed, balance) =
            (self.path("net"), self.shards.to_string(), seed.to_string(), BALANCE.to_string());
        let mut command = smt(&["genesis", "--out", out.to_str().unwrap(), "--shards", &shards, "--seed", &seed]);
        command.args(["--epoch-ms", "300", "--accounts", "50", "--balance", &balance, "--base-port", &port]).args(more);
        command.output().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn book(&self) -> AddressBook {
        AddressBook::read(&self.path("net/network.toml")).unwrap()
    }

    fn keys(&self, node: NodeId) -> PathBuf {
        self.path("net/keys").join(KeyFile::name(node))
    }

    fn state(&self, node: NodeId) -> PathBuf {
        self.path("state").join(node.to_string())
    }

    /// `smt-node run` with every file as it should be.
    fn run(&self, node: NodeId) -> Command {
        self.run_with(
            &self.path("net/genesis.bin"),
            &self.path("net/network.toml"),
            &self.keys(node),
            &self.state(node),
        )
    }

    fn run_with(&self, genesis: &Path, network: &Path, keys: &Path, state: &Path) -> Command {
        let mut command = smt(&["run"]);
        for (flag, path) in [("--genesis", genesis), ("--network", network), ("--keys", keys), ("--state", state)] {
            command.arg(flag).arg(path);
        }
        command
    }
}

/// A running network and what its clients know of it.
struct Network {
    processes: BTreeMap<NodeId, Process>,
    net: Net,
}

impl Network {
    fn start(home: &Home) -> Network {
        Network::start_with(home, BTreeMap::new())
    }

    /// With commands of their own for some replicas.
    fn start_with(home: &Home, mut other: BTreeMap<NodeId, Command>) -> Network {
        let mut spawn = |node| Process::spawn(other.remove(&node).unwrap_or_else(|| home.run(node)));
        let mut processes: BTreeMap<NodeId, Process> =
            home.book().nodes().into_iter().map(|node| (node, spawn(node))).collect();
        let endpoints = processes.iter_mut().map(|(node, process)| {
            let line = process.ready();
            assert!(line["peer"].as_str().unwrap().contains("/p2p/12D3"), "{line}");
            Endpoint::new(*node, line["rpc"].as_str().unwrap().to_owned())
        });
        let endpoints: Vec<Endpoint> = endpoints.collect();
        let level = home.book().nodes()[0].shard.level();
        let people = ShardAddress::all(level).flat_map(|shard| (0..4).map(move |i| load_account(SEED, shard, i)));
        let net = Net::attach(endpoints, people.collect(), BALANCE);
        net.wait_ready();
        Network { processes, net }
    }

    /// A payment through one endpoint, its receipt checked.
    fn pay(&self, at: NodeId, payer: &Person, seq: u64, payee: &Person) {
        let signed = self.net.sign(payer, seq, payee, 5);
        let submitted = self.net.at(at).pay(&signed, WaitFor::Final);
        self.net.check_final(&signed, &submitted);
    }
}

fn refused(command: Command, words: &[&str]) {
    Process::spawn(command).refused(words);
}

#[test]
fn payments_go_on_through_kill_restart_and_stop() {
    let _turn = turn();
    let home = Home::new(1, SEED);
    let root = ShardAddress::ROOT;
    let [first, second, third] = [0, 1, 2].map(|replica| node(root, replica));
    let mut network = Network::start(&home);
    let [alice, bob] = [0, 1].map(|n| network.net.person(root, n).clone());
    network.pay(third, &alice, 0, &bob);

    // Two of three are a quorum; the third comes back from its state and takes payments.
    network.processes.get_mut(&second).unwrap().kill9();
    network.pay(first, &alice, 1, &bob);
    // Long enough for the others to dial it more and more rarely.
    std::thread::sleep(Duration::from_secs(3));
    let begin = Instant::now();
    let mut again = Process::spawn(home.run(second));
    let line = again.ready();
    let served = begin.elapsed();
    network.net.wait_ready();
    println!(
        "killed and restarted: serves after {} ms, votes after {} ms",
        served.as_millis(),
        begin.elapsed().as_millis()
    );
    assert_eq!(line["rpc"], format!("http://{}", home.book().places[&second].rpc));
    network.processes.insert(second, again);
    network.pay(second, &alice, 2, &bob);
    network.net.at(second).expect_account(&bob, BALANCE + 15, 0);

    // A second process on one replica's state, with a port of its own, is refused.
    let mut twice = home.run(first);
    twice.args(["--rpc", "127.0.0.1:0"]);
    let pid = network.processes[&first].child.id().to_string();
    refused(twice, &["in use", &pid]);

    for (signal, node) in [("TERM", first), ("INT", second), ("TERM", third)] {
        let process = network.processes.get_mut(&node).unwrap();
        process.signal(signal);
        let (status, took) = process.ended(STOP * 3);
        assert!(status.success(), "{status}: {}", process.errors());
        assert!(took <= STOP, "a graceful stop took {took:?}");
        println!("{signal} to {node}: stopped in {} ms", took.as_millis());
    }

    // In another order, each when the one before serves alone.
    let mut processes = Vec::new();
    for node in [third, first, second] {
        let mut process = Process::spawn(home.run(node));
        process.ready();
        processes.push(process);
    }
    network.net.wait_ready();
    network.pay(first, &bob, 0, &alice);
    network.net.at(third).expect_account(&alice, BALANCE - 10, 3);
    network.net.check_same_history(2);
}

#[test]
fn a_replica_that_stops_by_itself_ends_its_process_with_the_reason() {
    let _turn = turn();
    let home = Home::new(1, SEED);
    let broken = node(ShardAddress::ROOT, 1);
    let disk = dropsync::Disk::new();
    let mut command = home.run_with(
        &home.path("net/genesis.bin"),
        &home.path("net/network.toml"),
        &home.keys(broken),
        &disk.dir().join("state"),
    );
    disk.attach(&mut command);
    let mut network = Network::start_with(&home, BTreeMap::from([(broken, command)]));
    let [alice, bob] = [0, 1].map(|n| network.net.person(ShardAddress::ROOT, n).clone());
    network.pay(broken, &alice, 0, &bob);
    fs::write(disk.fail_flag(), "").unwrap();
    let process = network.processes.get_mut(&broken).unwrap();
    let (status, _) = process.ended(LONG);
    let errors = process.errors();
    assert_eq!(status.code(), Some(1), "{errors}");
    let reason = errors.lines().find(|line| line.starts_with("error:")).unwrap_or_default();
    assert!(reason.contains("replica root/1 has stopped") && reason.contains("store"), "{errors}");
    println!("{reason}");
    network.pay(node(ShardAddress::ROOT, 0), &alice, 1, &bob);
}

#[test]
fn nine_processes_pay_across_shards() {
    let _turn = turn();
    let home = Home::new(3, SEED);
    let network = Network::start(&home);
    let shards = network.net.shards();
    let payer = network.net.person(shards[0], 0);
    let payee = network.net.person(shards[2], 1);
    // Asked at a shard that is neither the payer's nor the payee's.
    let asked = node(shards[1], 1);
    network.pay(asked, payer, 0, payee);
    network.net.at(asked).pay(&network.net.sign(payer, 1, payee, 7), WaitFor::Credited);
    network.net.at(node(shards[2], 0)).expect_account(payee, BALANCE + 12, 0);
    network.net.wait_nothing_in_flight();
    // A development network has a faucet at every replica.
    assert!(network.net.at(asked).info().unwrap().faucet.is_some());
}

#[test]
fn files_that_do_not_go_together_are_refused() {
    let _turn = turn();
    let (home, other) = (Home::new(1, SEED), Home::new(3, 4));
    let root = ShardAddress::ROOT;
    let [first, second] = [0, 1].map(|replica| node(root, replica));
    let shard = ShardAddress::new(1, 0).unwrap();
    let foreign = node(shard, 0);
    let [genesis, network] = ["net/genesis.bin", "net/network.toml"].map(|name| home.path(name));
    let (keys, state) = (home.keys(first), home.state(first));

    // Nothing that exists is written over, and beside a part of a network no other is made.
    let before = fs::read(&genesis).unwrap();
    for part in ["net/genesis.bin", "net/network.toml", "net/keys"] {
        let taken = Home { dir: tempfile::tempdir().unwrap(), shards: 1 };
        fs::create_dir_all(taken.path(part)).unwrap();
        let output = taken.genesis(SEED, &[]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(part) && errors.contains("exists"), "{part}: {errors}");
        assert_eq!(fs::read_dir(taken.path("net")).unwrap().count(), 1, "only {part}");
    }
    assert!(!home.genesis(5, &[]).status.success());
    assert_eq!(fs::read(&genesis).unwrap(), before);
    // Equal wishes give an equal network.
    let twin = Home { dir: tempfile::tempdir().unwrap(), shards: 1 };
    assert!(twin.genesis(SEED, &[]).status.success());
    assert_eq!(fs::read(twin.path("net/genesis.bin")).unwrap(), before);
    assert_eq!(fs::read(twin.keys(second)).unwrap(), fs::read(home.keys(second)).unwrap());

    // Genesis and address book of two networks: both hashes are named.
    let (mine, theirs) = (home.book().genesis_hash.to_hex(), other.book().genesis_hash.to_hex());
    refused(home.run_with(&other.path("net/genesis.bin"), &network, &keys, &state), &[&mine, &theirs]);
    // Keys of another network with the same shape, of a place that does not exist, that others may read, that are none.
    let third = Home::new(1, 5);
    let theirs = third.keys(first);
    refused(home.run_with(&genesis, &network, &theirs, &state), &["not for this network", "ed25519", "root/0"]);
    refused(home.run_with(&genesis, &network, &other.keys(foreign), &state), &["0/0", "does not have"]);
    let open = home.path("open.key");
    fs::copy(&keys, &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    refused(home.run_with(&genesis, &network, &open, &state), &["open.key", "chmod 600"]);
    refused(home.run_with(&genesis, &network, &home.path("none.key"), &state), &["none.key"]);
    // Half a genesis, and none at all.
    let half = home.path("half.bin");
    fs::write(&half, &before[..before.len() / 2]).unwrap();
    refused(home.run_with(&half, &network, &keys, &state), &["half.bin", "no genesis file"]);
    refused(home.run_with(&home.path("gone.bin"), &network, &keys, &state), &["gone.bin"]);
    refused(smt(&["run"]), &["genesis is not set", "SMT_GENESIS"]);
    assert!(!state.exists(), "a refusal has made {}", state.display());

    // A state directory belongs to one replica of one network.
    let mut process = Process::spawn(home.run(first));
    process.ready();
    process.signal("TERM");
    assert!(process.ended(STOP * 3).0.success(), "{}", process.errors());
    refused(home.run_with(&genesis, &network, &home.keys(second), &state), &["belongs to"]);
    let [genesis, network] = ["net/genesis.bin", "net/network.toml"].map(|name| third.path(name));
    refused(third.run_with(&genesis, &network, &third.keys(first), &state), &["belongs to"]);
}

#[test]
fn a_network_without_seed_has_its_own_keys_and_named_accounts() {
    let _turn = turn();
    let home = Home { dir: tempfile::tempdir().unwrap(), shards: 1 };
    let key = load_account(77, ShardAddress::ROOT, 0);
    let address = key.public().address();
    let named = |hrp| format!("{}=1000", address.to_bech32(hrp));
    let (main, dev) = (named(smt_types::address::Hrp::Main), named(smt_types::address::Hrp::Dev));
    let out = home.path("net");
    let genesis = |more: &[&str]| {
        let port = free_ports(6).to_string();
        let mut command = smt(&["genesis", "--out", out.to_str().unwrap(), "--shards", "1", "--base-port", &port]);
        command.args(more);
        command
    };
    refused(genesis(&[]), &["without money", "--account"]);
    refused(genesis(&["--accounts", "5"]), &["--seed", "--account ADDRESS=AMOUNT"]);
    refused(genesis(&["--account", &dev]), &["begin with \"smt\""]);
    refused(genesis(&["--account", &main, "--account", &main]), &["twice"]);
    refused(genesis(&["--account", &main, "--network-id", "2147483648"]), &["2147483647"]);
    refused(genesis(&["--account", &main, "--epoch-ms", "5"]), &["--epoch-ms 5", "100 to 60000"]);
    refused(genesis(&["--account", &main, "--host", "127.0.0.1,127.0.0.2"]), &["--host: 2 addresses", "3 replicas"]);
    assert!(!out.exists());
    let one_each = "127.0.0.1,127.0.0.2,127.0.0.3";
    let mut wanted = genesis(&["--account", &main, "--network-id", "17", "--epoch-ms", "300", "--host", one_each]);
    let made = wanted.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let book = fs::read_to_string(out.join("network.toml")).unwrap();
    assert!(one_each.split(',').all(|host| book.contains(host)), "{book}");
    let text = fs::read_to_string(home.keys(node(ShardAddress::ROOT, 0))).unwrap();
    assert!(text.contains("development = false") && !text.contains("INSECURE"));
    assert_ne!(fs::read(home.keys(node(ShardAddress::ROOT, 1))).unwrap(), text.as_bytes());

    let mut processes: Vec<Process> =
        home.book().nodes().into_iter().map(|node| Process::spawn(home.run(node))).collect();
    let endpoints: Vec<Endpoint> = home
        .book()
        .nodes()
        .into_iter()
        .zip(&mut processes)
        .map(|(node, process)| Endpoint::new(node, process.ready()["rpc"].as_str().unwrap().to_owned()))
        .collect();
    let net = Net::attach(endpoints, vec![key], 1000);
    net.wait_ready();
    assert_eq!(net.network.0, 17);
    let info = net.endpoints[0].info().unwrap();
    assert_eq!((info.address_prefix.as_str(), info.faucet.is_none()), ("smt", true));
    let payee = Person::new(load_account(78, ShardAddress::ROOT, 0), 0);
    let signed = net.sign(net.person(ShardAddress::ROOT, 0), 0, &payee, 5);
    net.check_final(&signed, &net.endpoints[1].pay(&signed, WaitFor::Final));
}
