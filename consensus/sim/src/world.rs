//! The kernel: event queue, replicas with their disks, the network between them, the end of faults, progress.

use crate::clients::{self, Client};
use crate::faults::Faults;
use crate::keys::{StandIn, StandInChecker};
use crate::random::Random;
use crate::shape::{Shape, shape};
use crate::store::Store;
use crate::watch::{self, Broken, Fact, Watch};
use smt_consensus::config::{Config, Params};
use smt_consensus::verify::{Gate, Refused};
use smt_consensus::{Effect, Effects, Input, Ledger, Replica};
use smt_ledger::ShardLedger;
use smt_types::message::{Message, NodeId};
use smt_types::{Canonical, Digest, Domain, Epoch, ReplicaIndex, SignedPayment, hash};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

mod describe;
mod looking;
mod replicas;
mod trouble;
mod wire;

use describe::{brief, describe, describe_event};

/// The wall clock when a run starts, microseconds since the Unix epoch.
pub const START_US: u64 = 1_800_000_000_000_000;

/// Longest time after the end of faults until everything must be done.
const PROGRESS_US: u64 = 120_000_000;

/// Lines of the event log that a failure shows.
const LOG_LINES: usize = 20_000;

/// What happens at a time.
enum Event {
    Deliver { to: usize, from: NodeId, message: Rc<Message> },
    Submit { to: usize, payment: SignedPayment },
    Tick { node: usize },
    Flush { node: usize, life: u64 },
    Restart { node: usize, life: u64 },
    Burst { client: usize },
    Crash,
    Partition,
    Heal { pairs: Vec<(usize, usize)> },
    Look,
    End,
}

struct Entry {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// How a replica is to be crashed once it has something to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doom {
    /// Before the sync: the record may be lost, nothing has left.
    Before,
    /// After it, in the middle of sending.
    After,
}

/// A step whose effects wait for the disk.
struct Waiting {
    sync: bool,
    facts: Vec<Fact>,
    out: Vec<Effect>,
}

struct Node {
    id: NodeId,
    number: u64,
    gate: Gate,
    store: Store,
    replica: Option<Replica<ShardLedger>>,
    /// Counts starts; events of earlier lives are void.
    life: u64,
    /// Clock offset: microseconds ahead of true time, minus the largest offset.
    offset: u64,
    waiting: VecDeque<Waiting>,
    /// Facts that a crash overtook on their way to the disk: some may be there.
    overtaken: Vec<Fact>,
    flushing: bool,
    tick_at: u64,
    doom: Option<Doom>,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By kind: faults injected.
    pub faults: BTreeMap<&'static str, u64>,
    /// Steps of replicas.
    pub steps: u64,
    /// Messages that left.
    pub messages: u64,
    /// Payments certified.
    pub certified: u64,
    /// Payments in cuts.
    pub joined: u64,
    /// Payments credited in another shard.
    pub credited: u64,
    /// Cuts agreed, over all shards.
    pub cuts: u64,
    /// Seconds from the end of faults to the end of the run.
    pub settled_s: u64,
}

/// One simulated network.
pub struct World {
    /// The fixed part.
    pub shape: Arc<Shape>,
    faults: Faults,
    random: Random,
    queue: BinaryHeap<Reverse<Entry>>,
    order: u64,
    now: u64,
    end: u64,
    calm: bool,
    nodes: Vec<Node>,
    blocked: BTreeMap<(usize, usize), u32>,
    clients: Vec<Client>,
    watch: Watch,
    /// What happened so far.
    pub counts: Counts,
    digest: Digest,
    log: Option<VecDeque<String>>,
    calm_epochs: Vec<Epoch>,
}

impl World {
    /// The network that `seed` draws, to run with faults for `seconds`.
    #[must_use]
    pub fn new(seed: u64, seconds: u64, trace: bool) -> World {
        let mut random = Random::new(seed);
        let faults = Faults::draw(&mut random);
        let shape = shape(faults.level, faults.replicas);
        let checker: Arc<StandInChecker> = Arc::new(StandInChecker);
        let mut nodes = Vec::new();
        for shard in &shape.shards {
            for place in 0..shape.replicas {
                let id = NodeId { shard: *shard, replica: ReplicaIndex(place as u8) };
                let gate = Gate::new(id, shape.network.clone(), checker.clone()).unwrap();
                let offset = random.between(0, 2 * faults.skew);
                nodes.push(Node {
                    id,
                    number: nodes.len() as u64,
                    gate,
                    store: Store::default(),
                    replica: None,
                    life: 0,
                    offset,
                    waiting: VecDeque::new(),
                    overtaken: Vec::new(),
                    flushing: false,
                    tick_at: u64::MAX,
                    doom: None,
                });
            }
        }
        let clients = clients::clients(&shape, &faults, &mut random);
        let mut world = World {
            watch: Watch::new(shape.clone()),
            shape,
            faults,
            random,
            queue: BinaryHeap::new(),
            order: 0,
            now: START_US,
            end: START_US + seconds * 1_000_000,
            calm: false,
            nodes,
            blocked: BTreeMap::new(),
            clients,
            counts: Counts::default(),
            digest: Digest::ZERO,
            log: trace.then(VecDeque::new),
            calm_epochs: Vec::new(),
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for node in 0..self.nodes.len() {
            let (ledger, _) = ShardLedger::genesis(&self.shape.genesis, self.nodes[node].id.shard).unwrap();
            self.nodes[node].store.write(&ledger.writes());
            self.nodes[node].store.sync();
            let delay = self.random.below(100_000);
            self.at(delay, Event::Restart { node, life: 0 });
        }
        for client in 0..self.clients.len() {
            let delay = 200_000 + self.random.below(self.faults.burst_every * 2);
            self.at(delay, Event::Burst { client });
        }
        if self.faults.crash > 0 {
            let delay = 300_000 + self.random.wait(self.faults.crash);
            self.at(delay, Event::Crash);
        }
        if self.faults.partition > 0 {
            let delay = self.random.wait(self.faults.partition);
            self.at(delay, Event::Partition);
        }
        self.at(1_000_000, Event::Look);
        self.at(self.end - self.now, Event::End);
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Entry { at: self.now + delay, order: self.order, event }));
    }

    fn note(&mut self, line: impl FnOnce(&World) -> String) {
        if self.log.is_none() {
            return;
        }
        let text = format!("{:>10.6} {}", (self.now - START_US) as f64 / 1e6, line(self));
        if let Some(log) = &mut self.log {
            if log.len() >= LOG_LINES {
                log.pop_front();
            }
            log.push_back(text);
        }
    }

    fn count(&mut self, fault: &'static str) {
        *self.counts.faults.entry(fault).or_default() += 1;
    }

    /// The faults of this run.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The last lines of the event log, if it is kept.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.iter().flatten().cloned().collect()
    }

    /// Digest of all effects so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.now - START_US) as f64 / 1e6
    }

    /// Runs with faults, then without until everything is done.
    ///
    /// # Errors
    /// The first broken invariant, or what has not come to its end [`PROGRESS_US`] after the end of faults.
    pub fn run(&mut self) -> Result<(), Broken> {
        let mut settled = 0;
        while let Some(Reverse(entry)) = self.queue.pop() {
            self.now = entry.at;
            match entry.event {
                Event::Deliver { to, from, message } => self.deliver(to, from, &message)?,
                Event::Submit { to, payment } => self.submit(to, payment)?,
                Event::Tick { node } => self.tick(node)?,
                Event::Flush { node, life } => self.flush(node, life)?,
                Event::Restart { node, life } => self.restart(node, life)?,
                Event::Burst { client } => self.burst(client),
                Event::Crash => self.crashes(),
                Event::Partition => self.partition(),
                Event::Heal { pairs } => self.heal(&pairs),
                Event::Look => {
                    self.look()?;
                    if self.calm {
                        let open = self.open();
                        // Twice in a row: what is on its way in the first look must have nothing to say in the second.
                        settled = if open.is_none() { settled + 1 } else { 0 };
                        if settled >= 2 {
                            self.counts.settled_s = (self.now - self.end) / 1_000_000;
                            return self.finish();
                        }
                        if let Some(what) = open.filter(|_| self.now > self.end + PROGRESS_US) {
                            return Err(("progress", what));
                        }
                    }
                    self.at(1_000_000, Event::Look);
                }
                Event::End => self.calm_down(),
            }
        }
        Err(("progress", "nothing is left to happen".into()))
    }
}
