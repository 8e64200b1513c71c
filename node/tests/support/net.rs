//! Whole development networks under test: started in this process or by the binary, seen through their endpoints only.

use smt_node::dev::state::StateDir;
use smt_node::dev::{DevNetwork, DevOptions, Shape};
use smt_node::rpc::client::{Client, ClientError};
use smt_node::rpc::config::RpcConfig;
use smt_node::rpc::schema::{
    Account, ByAddress, ById, Empty, GlobalCut, NodeInfo, Readiness, ReceiptReply, Snapshot, SnapshotQuery, Stage,
    SubmitTransaction, Submitted, Transaction, WaitFor,
};
use smt_node::rpc::table::{
    GetAccount, GetGenesis, GetGlobalCut, GetNodeInfo, GetReceipt, GetSnapshot, GetTransaction,
    SubmitTransaction as Submit,
};
use smt_node::rpc::wire::{AddressText, Decimal, HexBytes};
use smt_types::address::Hrp;
use smt_types::crypto::SecretKey;
use smt_types::message::NodeId;
use smt_types::receipt::{FinalPayment, MAX_RECEIPT_BYTES, Receipt};
use smt_types::{
    Address, Amount, Bounded, Canonical, Committee, Genesis, Lamport, NetworkId, Payment, PaymentId, RealChecker,
    ReplicaIndex, Seq, ShardAddress, SignedPayment,
};
use std::fmt::Display;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for anything that a healthy network does in a moment: the machine may be busy with a build.
pub const LONG: Duration = Duration::from_secs(60);

/// One network at a time in a test process, so that times mean something. A failed test must not fail the others.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until there is an answer; fails with what was seen last.
pub fn eventually<T, E: Display>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() > deadline => panic!("expected within {limit:?}: {what}; seen: {seen}"),
            Err(_) => std::thread::sleep(Duration::from_millis(15)),
        }
    }
}

/// A seed for everything random in a test: fixed, or `SMT_TEST_SEED`; printed.
pub fn seed(test: &str, usual: u64) -> u64 {
    let seed = std::env::var("SMT_TEST_SEED").map_or(usual, |text| text.parse().expect("SMT_TEST_SEED is a number"));
    println!("{test}: seed {seed} (SMT_TEST_SEED={seed} repeats it)");
    seed
}

/// SplitMix64: reproducible, good enough to choose payers, amounts and moments.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A key nobody else has.
    pub fn key(&mut self) -> SecretKey {
        let mut seed = [0u8; 32];
        seed.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.next().to_le_bytes()));
        SecretKey::from_seed(seed)
    }
}

/// Somebody with a key.
#[derive(Clone)]
pub struct Person {
    pub key: SecretKey,
    pub address: Address,
    pub shard: ShardAddress,
}

impl Person {
    pub fn new(key: SecretKey, level: u8) -> Person {
        let address = key.public().address();
        Person { key, address, shard: address.shard(level) }
    }

    /// A new one of a shard.
    pub fn in_shard(rng: &mut Rng, shard: ShardAddress) -> Person {
        loop {
            let person = Person::new(rng.key(), shard.level());
            if person.shard == shard {
                return person;
            }
        }
    }

    pub fn text(&self) -> AddressText {
        self.address.to_bech32(Hrp::Dev).into()
    }
}

/// Wire form of a signed payment.
pub fn wire(signed: &SignedPayment) -> HexBytes {
    HexBytes(signed.to_bytes())
}

/// One endpoint.
#[derive(Clone)]
pub struct Endpoint {
    pub node: NodeId,
    pub client: Client,
}

impl Endpoint {
    pub fn new(node: NodeId, url: String) -> Endpoint {
        Endpoint { node, client: Client::new(url) }
    }

    pub fn submit(&self, signed: &SignedPayment, wait: WaitFor, timeout_ms: u32) -> Result<Submitted, ClientError> {
        let params = SubmitTransaction { payment: wire(signed), wait: Some(wait), timeout_ms: Some(timeout_ms) };
        self.client.call::<Submit>(&params)
    }

    /// Sends the same bytes until they are final, as a wallet does; an answer that is not retryable fails the test.
    pub fn pay(&self, signed: &SignedPayment, wait: WaitFor) -> Submitted {
        eventually(&format!("payment {} at {wait:?}", signed.payment.id()), LONG, || {
            match self.submit(signed, wait, 5_000) {
                Err(error) if !error.retryable() => {
                    panic!("{}: payment {:?} is refused: {error}", self.node, signed.payment.slot())
                }
                answer => answer,
            }
        })
    }

    pub fn info(&self) -> Result<NodeInfo, ClientError> {
        self.client.call::<GetNodeInfo>(&Empty {})
    }

    pub fn account(&self, person: &Person) -> Result<Account, ClientError> {
        self.client.call::<GetAccount>(&ByAddress { address: person.text() })
    }

    pub fn transaction(&self, id: PaymentId) -> Result<Transaction, ClientError> {
        self.client.call::<GetTransaction>(&ById { id: id.into() })
    }

    pub fn receipt(&self, id: PaymentId) -> Result<Vec<u8>, ClientError> {
        self.client.call::<GetReceipt>(&ById { id: id.into() }).map(|ReceiptReply { receipt, .. }| receipt.0)
    }

    pub fn snapshot(&self, shard: ShardAddress, epoch: Option<u64>) -> Result<Snapshot, ClientError> {
        self.client.call::<GetSnapshot>(&SnapshotQuery { shard: shard.into(), epoch: epoch.map(Decimal) })
    }

    pub fn cut(&self) -> Result<GlobalCut, ClientError> {
        self.client.call::<GetGlobalCut>(&Empty {})
    }

    /// Waits until an account's balance and next seq are these.
    pub fn expect_account(&self, person: &Person, balance: u64, next_seq: u64) {
        let what = format!("{} at {} with balance {balance}, next seq {next_seq}", person.text(), self.node);
        eventually(&what, LONG, || match self.account(person) {
            Ok(account) if (account.balance.0, account.next_seq.0) == (balance, next_seq) => Ok(()),
            Ok(account) => Err(format!("balance {}, next seq {}", account.balance, account.next_seq)),
            Err(error) => Err(error.to_string()),
        });
    }
}

/// A network as its clients know it: endpoints, and the committees its genesis file names.
#[derive(Clone)]
pub struct Net {
    pub endpoints: Vec<Endpoint>,
    pub network: NetworkId,
    pub level: u8,
    pub supply: u128,
    pub committees: Arc<Vec<Committee>>,
    /// The printed accounts.
    pub people: Vec<Person>,
    /// What each of them has at genesis.
    pub start_balance: u64,
}

impl Net {
    /// Everything but the endpoints and people comes from the genesis file, as a careful client would have it.
    pub fn attach(endpoints: Vec<Endpoint>, people: Vec<SecretKey>, start_balance: u64) -> Net {
        let first = endpoints.first().expect("a network has endpoints");
        let reply = first.client.call::<GetGenesis>(&Empty {}).expect("the first endpoint has the genesis");
        let file = reply.file.expect("a development genesis is small enough to be sent");
        let (genesis, committees) = Genesis::read(&file.0).expect("the genesis file is sound");
        let people = people.into_iter().map(|key| Person::new(key, genesis.level)).collect();
        Net {
            endpoints,
            network: genesis.network,
            level: genesis.level,
            supply: u128::from(genesis.supply().expect("a genesis has a supply").0),
            committees: Arc::new(committees),
            people,
            start_balance,
        }
    }

    pub fn shards(&self) -> Vec<ShardAddress> {
        ShardAddress::all(self.level).collect()
    }

    pub fn at(&self, node: NodeId) -> &Endpoint {
        self.endpoints.iter().find(|endpoint| endpoint.node == node).expect("the node is part of the network")
    }

    pub fn of(&self, shard: ShardAddress) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(move |endpoint| endpoint.node.shard == shard)
    }

    /// The `n`-th printed account of a shard.
    pub fn person(&self, shard: ShardAddress, n: usize) -> &Person {
        self.people
            .iter()
            .filter(|person| person.shard == shard)
            .nth(n)
            .expect("three or more accounts live in a shard of three")
    }

    pub fn sign(&self, payer: &Person, seq: u64, payee: &Person, amount: u64) -> SignedPayment {
        let payment = Payment {
            network: self.network,
            payer: payer.key.public(),
            seq: Seq(seq),
            payee: payee.address,
            amount: Amount(amount),
            memo: Bounded::default(),
            after: Lamport(0),
        };
        payment.sign(&payer.key)
    }

    /// Checks a receipt offline.
    pub fn verify(&self, receipt: &[u8]) -> Result<FinalPayment, String> {
        let receipt = Receipt::from_bytes(receipt, MAX_RECEIPT_BYTES).map_err(|error| error.to_string())?;
        let committee = self.committees.iter().find(|committee| committee.shard() == receipt.header.shard);
        receipt.verify(committee.ok_or("no such shard")?, &RealChecker).map_err(|error| error.to_string())
    }

    /// The receipt of an answer at `final`, checked to be for this payment.
    pub fn check_final(&self, signed: &SignedPayment, submitted: &Submitted) -> Vec<u8> {
        let id = signed.payment.id();
        assert_eq!(PaymentId::from(submitted.id), id, "the answer is for the payment sent");
        assert!(
            is_final(submitted.stage),
            "payment {id} was waited for until final, the answer says {:?}",
            submitted.stage
        );
        let receipt = submitted
            .receipt
            .clone()
            .unwrap_or_else(|| panic!("payment {id} is {:?}, without a receipt", submitted.stage))
            .0;
        let shown = self.verify(&receipt).unwrap_or_else(|error| panic!("receipt of {id}: {error}"));
        assert_eq!(shown.payment(), signed, "the receipt shows the payment sent");
        receipt
    }

    /// Waits until every endpoint says that it is ready; one that says it will never vote again fails the test at once.
    pub fn wait_ready(&self) {
        for endpoint in &self.endpoints {
            eventually(&format!("{} ready", endpoint.node), LONG, || match endpoint.info() {
                Ok(info) if info.readiness == Readiness::Ready => Ok(()),
                Ok(info) if matches!(info.readiness, Readiness::Stopped | Readiness::Forked) => {
                    panic!("{} is {:?} for good: {:?}", endpoint.node, info.readiness, info.readiness_reasons)
                }
                Ok(info) => Err(format!("{:?} {:?}", info.readiness, info.readiness_reasons)),
                Err(error) => Err(error.to_string()),
            });
        }
    }

    /// Asserts that a cut neither makes nor loses money.
    pub fn check_cut(&self, cut: &GlobalCut) {
        assert_eq!(
            cut.supply.0 + cut.in_flight.0,
            self.supply,
            "global cut {} of epoch {}: supply {} + in flight {} = genesis supply",
            cut.root,
            cut.epoch,
            cut.supply,
            cut.in_flight
        );
        let sum: u128 = cut.headers.iter().map(|header| header.supply.0).sum();
        assert_eq!(sum, cut.supply.0, "global cut {}: sum over its headers = its supply", cut.root);
        assert_eq!(cut.headers.len(), self.shards().len(), "one header a shard");
    }

    /// Waits until every endpoint's newest cut has nothing in flight; every cut on the way adds up.
    pub fn wait_nothing_in_flight(&self) {
        for endpoint in &self.endpoints {
            eventually(&format!("a cut at {} with nothing in flight", endpoint.node), LONG, || {
                let cut = endpoint.cut().map_err(|error| error.to_string())?;
                self.check_cut(&cut);
                if cut.in_flight.0 == 0 {
                    Ok(())
                } else {
                    Err(format!("{} in flight in epoch {}", cut.in_flight, cut.epoch))
                }
            });
        }
    }

    /// Waits until all replicas of each shard have the header of one epoch, not older than the newest of any of them now,
    /// and compares it and the `back` before it: digest, and so S, V and D.
    pub fn check_same_history(&self, back: u64) {
        for shard in self.shards() {
            let newest = self
                .of(shard)
                .filter_map(|endpoint| endpoint.snapshot(shard, None).ok())
                .map(|snapshot| snapshot.epoch.0)
                .max();
            let newest = newest.unwrap_or(0);
            for epoch in newest.saturating_sub(back)..=newest {
                let mut first: Option<Snapshot> = None;
                for endpoint in self.of(shard) {
                    let found =
                        eventually(&format!("{} with the header of epoch {epoch}", endpoint.node), LONG, || {
                            endpoint.snapshot(shard, Some(epoch))
                        });
                    let first = first.get_or_insert_with(|| found.clone());
                    assert_eq!(
                        first.state_root, found.state_root,
                        "S of shard {shard}, epoch {epoch}, at {}",
                        endpoint.node
                    );
                    assert_eq!(
                        first.digest, found.digest,
                        "header of shard {shard}, epoch {epoch}, at {}",
                        endpoint.node
                    );
                }
            }
        }
    }
}

/// Whether a payment at this stage is paid.
pub fn is_final(stage: Stage) -> bool {
    matches!(stage, Stage::Final | Stage::Snapshotted | Stage::Proven | Stage::Incoming | Stage::Credited)
}

/// A network in this process.
pub struct Local {
    runtime: tokio::runtime::Runtime,
    network: Option<DevNetwork>,
    pub net: Net,
    /// From the start to readiness.
    pub started_in: Duration,
}

impl Local {
    pub fn start(shards: u16, replicas: u8, epoch_ms: u32) -> Local {
        let begin = Instant::now();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
        let shape = Shape { shards, replicas, seed: 7, epoch_ms, accounts: 0, balance: 0 };
        let options = DevOptions { shape, rpc_port: 0, next_port: true, rpc: RpcConfig::default() };
        let state = StateDir::prepare(None, &shape, false).expect("a temporary directory can be made");
        let network = runtime.block_on(async {
            let network = DevNetwork::start(options, state).await.expect("the network starts");
            network.wait_ready(LONG).await.expect("the network becomes ready");
            network
        });
        let started_in = begin.elapsed();
        let endpoints =
            network.endpoints().into_iter().map(|(node, addr)| Endpoint::new(node, format!("http://{addr}"))).collect();
        let people = shape.accounts().into_iter().map(|account| account.key).collect();
        let net = Net::attach(endpoints, people, smt_node::dev::shape::ACCOUNT_AMOUNT);
        Local { runtime, network: Some(network), net, started_in }
    }

    fn network(&self) -> &DevNetwork {
        self.network.as_ref().expect("present until dropped")
    }

    pub fn stop(&mut self, node: NodeId) {
        let network = self.network.as_mut().expect("present until dropped");
        self.runtime.block_on(network.stop_replica(node));
    }

    pub fn resume(&mut self, node: NodeId) {
        let network = self.network.as_mut().expect("present until dropped");
        self.runtime
            .block_on(network.start_replica(node))
            .unwrap_or_else(|error| panic!("{node} starts again: {error:?}"));
    }

    /// Waits until all running replicas vote and are connected.
    pub fn wait_ready(&self) {
        self.runtime.block_on(self.network().wait_ready(LONG)).expect("ready again");
    }

    /// Decided epoch and state root, from the core itself; `None` when the replica is stopped.
    pub fn head(&self, node: NodeId) -> Option<(u64, String)> {
        let replica = self.network().replica(node)?.clone();
        let asked = self
            .runtime
            .block_on(replica.ask(|replica, _| (replica.decided().0, replica.ledger().state_root().to_hex())));
        asked.ok()
    }

    pub fn directory(&self) -> &Path {
        self.network().state().path()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(network) = self.network.take() {
            self.runtime.block_on(network.stop());
        }
    }
}

/// A place by numbers.
pub fn node(shard: ShardAddress, replica: u8) -> NodeId {
    NodeId { shard, replica: ReplicaIndex(replica) }
}

/// `smt-node dev --json` or `smt-node run` as a process; killed when dropped.
pub struct Process {
    pub child: Child,
    pub started: Instant,
    line: Receiver<String>,
    errors: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `smt-node dev --json` with more arguments; `prepare` may change the command.
    pub fn start(arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smt-node"));
        command.args(["dev", "--json"]).args(arguments);
        prepare(&mut command);
        Process::spawn(command)
    }

    /// Starts a command that writes one line of JSON when it is ready.
    pub fn spawn(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().expect("the binary starts");
        let (sender, line) = channel();
        let stdout = child.stdout.take().expect("standard output is piped");
        std::thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        let (kept, mut stderr) = (errors.clone(), child.stderr.take().expect("standard error is piped"));
        std::thread::spawn(move || {
            let mut block = [0u8; 4096];
            while let Ok(length) = stderr.read(&mut block) {
                if length == 0 {
                    return;
                }
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&block[..length]));
            }
        });
        Process { child, started, line, errors }
    }

    /// With a state directory and free ports.
    pub fn on(state: &Path, more: &[&str], prepare: impl FnOnce(&mut Command)) -> Process {
        let state = state.to_str().expect("temporary paths are text");
        let mut arguments = vec!["--rpc-port", "0", "--state", state];
        arguments.extend(more);
        Process::start(&arguments, prepare)
    }

    /// What it has written to standard error.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It ends by itself, one line on standard error says why, and that line has all of `words`.
    pub fn refused(&mut self, words: &[&str]) {
        let (status, _) = self.ended(LONG);
        let errors = self.errors();
        assert!(!status.success(), "it should be refused; standard error: {errors}");
        for word in words {
            assert!(errors.contains(word), "expected {word:?} in the error, got: {errors}");
        }
        assert_eq!(errors.trim_end().lines().count(), 1, "one line says it: {errors}");
        println!("{}", errors.trim_end());
    }

    /// Its line, once it takes payments.
    pub fn ready(&mut self) -> serde_json::Value {
        let ended = self.ready_or_ended();
        ended.unwrap_or_else(|status| {
            panic!("expected the ready line; the process ended with {status}: {}", self.errors())
        })
    }

    /// Its line, or how it ended without one.
    pub fn ready_or_ended(&mut self) -> Result<serde_json::Value, ExitStatus> {
        let deadline = Instant::now() + LONG;
        loop {
            if let Ok(text) = self.line.recv_timeout(Duration::from_millis(20)) {
                let line = serde_json::from_str(text.strip_prefix("ready ").unwrap_or(&text));
                return Ok(line.unwrap_or_else(|error| panic!("one line of JSON, got {text:?}: {error}")));
            }
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                // What it wrote last is read by another thread.
                std::thread::sleep(Duration::from_millis(50));
                return Err(status);
            }
            assert!(
                Instant::now() < deadline,
                "expected the ready line within {LONG:?}; standard error: {}",
                self.errors()
            );
        }
    }

    /// The network its line describes.
    pub fn net(line: &serde_json::Value) -> Net {
        let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
        let list = |name: &str| line[name].as_array().unwrap_or_else(|| panic!("{name} is a list in {line}")).clone();
        let level =
            match list("rpc").iter().map(|rpc| text(&rpc["shard"])).collect::<std::collections::BTreeSet<_>>().len() {
                1 => 0,
                3 => 1,
                _ => 2,
            };
        let endpoints = list("rpc").into_iter().map(|rpc| {
            let word = text(&rpc["shard"]).into();
            let shard = smt_node::rpc::convert::shard(&word, level).expect("a shard word of this network");
            let replica = u8::try_from(rpc["replica"].as_u64().expect("a number")).expect("a small one");
            Endpoint::new(node(shard, replica), text(&rpc["url"]))
        });
        let keys = list("keys").into_iter().map(|key| {
            let seed: [u8; 32] = hex::decode(text(&key["seed"])).expect("hex").try_into().expect("32 bytes");
            SecretKey::from_seed(seed)
        });
        let balance = text(&list("keys")[0]["balance"]).parse().expect("a decimal");
        Net::attach(endpoints.collect(), keys.collect(), balance)
    }

    /// SIGKILL, and no other chance.
    pub fn kill9(&mut self) {
        self.child.kill().expect("an own child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// A signal by its name.
    pub fn signal(&self, name: &str) {
        let told = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(told.expect("sh runs").success(), "the process takes signals");
    }

    /// How it ended, and after how long a wait.
    pub fn ended(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        let status = eventually("the process ends", limit, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        // What it wrote last is read by another thread.
        std::thread::sleep(Duration::from_millis(50));
        (status, begin.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("standard error of the node:\n{}", self.errors());
        }
    }
}
