//! Processes that find each other: no address book, one bootnode, ports that the system chooses.
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

use net::{Endpoint, LONG, Net, Person, Process, eventually, node, turn};
use smt_node::genesis::{KeyFile, load_account};
use smt_node::rpc::schema::{Empty, WaitFor};
use smt_node::rpc::table::GetPeers;
use smt_types::message::NodeId;
use smt_types::{ReplicaIndex, ShardAddress};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

const SEED: u64 = 11;
const BALANCE: u64 = 1000;
const HERE: &str = "/ip4/127.0.0.1/tcp/0";

fn smt(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smt-node"));
    command.args(arguments);
    command
}

/// A network's genesis and keys, and where its replicas keep their state. Its address book is thrown away.
struct Home {
    dir: tempfile::TempDir,
    level: u8,
}

impl Home {
    fn new(shards: &str, seed: u64) -> Home {
        let home = Home { dir: tempfile::tempdir().unwrap(), level: u8::from(shards != "1") };
        let (out, seed, balance) = (home.path("net"), seed.to_string(), BALANCE.to_string());
        let mut command = smt(&["genesis", "--out", out.to_str().unwrap(), "--shards", shards, "--seed", &seed]);
        command.args(["--epoch-ms", "300", "--accounts", "50", "--balance", &balance]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::remove_file(out.join("network.toml")).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn nodes(&self) -> Vec<NodeId> {
        let replicas = |shard| (0..3).map(move |replica| NodeId { shard, replica: ReplicaIndex(replica) });
        ShardAddress::all(self.level).flat_map(replicas).collect()
    }

    fn state(&self, node: NodeId) -> PathBuf {
        self.path("state").join(node.to_string())
    }

    fn run(&self, node: NodeId, bootnodes: &[&str]) -> Command {
        let mut command = smt(&["run", "--rpc", "127.0.0.1:0", "--listen", HERE]);
        command.arg("--genesis").arg(self.path("net/genesis.bin"));
        command.arg("--keys").arg(self.path("net/keys").join(KeyFile::name(node)));
        command.arg("--state").arg(self.state(node));
        command.args(bootnodes.iter().flat_map(|bootnode| ["--bootnode", bootnode]));
        command
    }

    /// Gives a replica an identity of its own; returns its peer id.
    fn init(&self, node: NodeId) -> String {
        let output = smt(&["init", "--state", self.state(node).to_str().unwrap()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().next().unwrap().strip_prefix("peer ").unwrap().to_owned()
    }
}

/// A running replica.
struct Running {
    process: Process,
    rpc: String,
    peer: String,
}

impl Running {
    fn start(command: Command) -> Running {
        let mut process = Process::spawn(command);
        let line = process.ready();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        Running { rpc: text("rpc"), peer: text("peer"), process }
    }
}

struct Network {
    running: BTreeMap<NodeId, Running>,
}

impl Network {
    /// All replicas, the first of them the bootnode of the others.
    fn start(home: &Home) -> Network {
        let nodes = home.nodes();
        let first = Running::start(home.run(nodes[0], &[]));
        let bootnode = first.peer.clone();
        let mut running = BTreeMap::from([(nodes[0], first)]);
        for node in &nodes[1..] {
            running.insert(*node, Running::start(home.run(*node, &[&bootnode])));
        }
        Network { running }
    }

    /// As its clients see it now.
    fn net(&self) -> Net {
        let endpoints = self.running.iter().map(|(node, running)| Endpoint::new(*node, running.rpc.clone()));
        let level = self.running.keys().next().unwrap().shard.level();
        let people = ShardAddress::all(level).flat_map(|shard| (0..4).map(move |i| load_account(SEED, shard, i)));
        let net = Net::attach(endpoints.collect(), people.collect(), BALANCE);
        net.wait_ready();
        net
    }

    /// Waits until everybody is connected to everybody.
    fn wait_meshed(&self) {
        for (node, running) in &self.running {
            let endpoint = Endpoint::new(*node, running.rpc.clone());
            eventually(&format!("{node} is connected to all"), LONG, || {
                let peers = endpoint.client.call::<GetPeers>(&Empty {});
                let peers = peers.map_err(|error| error.to_string())?.peers;
                let replicas = peers.iter().filter(|peer| peer.connected && peer.replica.is_some()).count();
                if replicas + 1 == self.running.len() { Ok(()) } else { Err(format!("{replicas}")) }
            });
        }
    }
}

fn pay(net: &Net, at: NodeId, payer: &Person, seq: u64, payee: &Person) {
    let signed = net.sign(payer, seq, payee, 5);
    net.check_final(&signed, &net.at(at).pay(&signed, WaitFor::Final));
}

#[test]
fn nine_processes_find_each_other_through_one_and_again_without_it() {
    let _turn = turn();
    let home = Home::new("3", SEED);
    let nodes = home.nodes();
    let mut network = Network::start(&home);
    network.wait_meshed();
    let net = network.net();
    let shards = net.shards();
    let (payer, payee) = (net.person(shards[0], 0).clone(), net.person(shards[2], 1).clone());
    pay(&net, node(shards[1], 1), &payer, 0, &payee);

    // The bootnode is gone. Somebody else restarts, on another port, and finds the others by what it has kept; they find it.
    let (bootnode, moved) = (nodes[0], nodes[4]);
    network.running.remove(&bootnode).unwrap().process.kill9();
    let before = network.running.remove(&moved).unwrap();
    let peer = before.peer.clone();
    drop(before);
    network.running.insert(moved, Running::start(home.run(moved, &[])));
    assert_ne!(network.running[&moved].peer, peer, "the port is another");
    network.wait_meshed();
    pay(&network.net(), moved, &payer, 1, &payee);

    // The bootnode comes back elsewhere: it knows the others, and nobody needs its old address.
    network.running.insert(bootnode, Running::start(home.run(bootnode, &[])));
    network.wait_meshed();
    pay(&network.net(), bootnode, &payer, 2, &payee);
}

#[test]
fn a_replica_that_comes_with_a_new_identity_takes_its_place() {
    let _turn = turn();
    let home = Home::new("1", SEED);
    let nodes = home.nodes();
    let own = home.init(nodes[2]);
    let mut network = Network::start(&home);
    assert!(network.running[&nodes[2]].peer.ends_with(&own), "the identity in the state directory counts");
    network.wait_meshed();
    let net = network.net();
    let [alice, bob] = [0, 1].map(|n| net.person(ShardAddress::ROOT, n).clone());
    pay(&net, nodes[2], &alice, 0, &bob);
    let again = smt(&["init", "--state", home.state(nodes[2]).to_str().unwrap()]);
    Process::spawn(again).refused(&["identity.key", "nothing is written over"]);

    // It lost its identity and draws a new one. The consensus key says who it is; it votes again.
    drop(network.running.remove(&nodes[2]));
    std::fs::remove_file(home.state(nodes[2]).join("identity.key")).unwrap();
    assert_ne!(home.init(nodes[2]), own);
    network.running.insert(nodes[2], Running::start(home.run(nodes[2], &[])));
    network.wait_meshed();
    drop(network.running.remove(&nodes[1]));
    // Two of three are a quorum only if both count.
    pay(&network.net(), nodes[0], &alice, 1, &bob);
}

#[test]
fn a_node_of_another_genesis_ends_and_both_name_both_hashes() {
    let _turn = turn();
    let (home, other) = (Home::new("1", SEED), Home::new("1", 12));
    let nodes = home.nodes();
    let mut bootnode = Process::spawn(home.run(nodes[0], &[]));
    let line = bootnode.ready();
    let ours = line["genesis"].as_str().unwrap().to_owned();
    let mut foreign = Process::spawn(other.run(nodes[1], &[line["peer"].as_str().unwrap()]));
    let theirs = foreign.ready()["genesis"].as_str().unwrap().to_owned();
    assert_ne!(ours, theirs);
    let (status, _) = foreign.ended(LONG);
    assert_eq!(status.code(), Some(1));
    let errors = foreign.errors();
    let why = errors.lines().find(|line| line.starts_with("error:")).unwrap_or_default();
    assert!(why.contains("no bootnode is of this network") && why.contains(&ours) && why.contains(&theirs), "{errors}");
    println!("{why}");
    eventually("the bootnode's log names both", LONG, || {
        let log = bootnode.errors();
        let named = log.lines().any(|line| line.contains("hung up") && line.contains(&ours) && line.contains(&theirs));
        if named { Ok(()) } else { Err(log) }
    });
    // It goes on: one of its own network joins.
    let joined = Running::start(home.run(nodes[1], &[line["peer"].as_str().unwrap()]));
    let net = Net::attach(
        vec![
            Endpoint::new(nodes[0], line["rpc"].as_str().unwrap().to_owned()),
            Endpoint::new(nodes[1], joined.rpc.clone()),
        ],
        (0..2).map(|i| load_account(SEED, ShardAddress::ROOT, i)).collect(),
        BALANCE,
    );
    net.wait_ready();
    let [alice, bob] = [0, 1].map(|n| net.person(ShardAddress::ROOT, n).clone());
    pay(&net, nodes[1], &alice, 0, &bob);
}

#[test]
fn what_says_nothing_of_where_to_go_is_refused() {
    let _turn = turn();
    let home = Home::new("1", SEED);
    let first = home.nodes()[0];
    let with = |more: &[&str]| {
        let mut command = smt(&["run", "--rpc", "127.0.0.1:0"]);
        command.arg("--genesis").arg(home.path("net/genesis.bin"));
        command.arg("--keys").arg(home.path("net/keys").join(KeyFile::name(first)));
        command.arg("--state").arg(home.state(first)).args(more);
        Process::spawn(command)
    };
    with(&["--listen", "/ip4/0.0.0.0/tcp/0"]).refused(&["--announce"]);
    with(&["--listen", HERE, "--bootnode", "/ip4/127.0.0.1/tcp/9400"]).refused(&["bootnodes", "/p2p/PEER"]);
    with(&["--listen", HERE, "--announce", "/ip4/10.0.0.1/tcp/0"]).refused(&["announce", "1 to 65535"]);
    with(&["--listen", HERE, "--announce", "/ip4/0.0.0.0/tcp/9400"]).refused(&["announce", "others can dial"]);
    assert!(!home.state(first).exists(), "a refusal makes nothing");
    // Nobody given to go to, or nobody who could come: it runs, and says so.
    let mut alone = with(&["--listen", HERE]);
    alone.ready();
    assert!(alone.errors().contains("neither an address book nor a bootnode"), "{}", alone.errors());
    drop(alone);
    let left = home.state(first).join(".tmp-0011223344556677");
    std::fs::write(&left, "half").unwrap();
    let far = "/ip4/192.0.2.1/tcp/9400/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
    let mut hidden = with(&["--listen", HERE, "--bootnode", far]);
    hidden.ready();
    assert!(hidden.errors().contains("announces a loopback address"), "{}", hidden.errors());
    assert!(!hidden.errors().contains("neither"), "{}", hidden.errors());
    assert!(!left.exists(), "what a crash left is removed");
}
