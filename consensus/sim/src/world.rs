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

    // --- replicas -------------------------------------------------------------------------------------------------

    fn local(&self, node: usize) -> u64 {
        self.now + self.nodes[node].offset - self.faults.skew
    }

    fn params(&self) -> Params {
        Params { batch_max: self.faults.batch_max, batch_delay_us: self.faults.batch_delay, ..Params::default() }
    }

    fn restart(&mut self, node: usize, life: u64) -> Result<(), Broken> {
        if self.nodes[node].life != life || self.nodes[node].replica.is_some() {
            return Ok(());
        }
        let (now, params) = (self.local(node), self.params());
        let place = &mut self.nodes[node];
        let config = Config { node: place.id, network: self.shape.network.clone(), params };
        let ledger = ShardLedger::open(place.id.shard, &place.store)
            .map_err(|error| ("7 trie root independent of order", format!("{} does not open: {error}", place.id)))?;
        let signer = Box::new(StandIn::new(place.number));
        place.replica = Replica::recover(config, signer, ledger, &place.store, now);
        place.tick_at = u64::MAX;
        place.doom = None;
        self.note(|w| format!("{} starts", w.nodes[node].id));
        self.arm(node);
        Ok(())
    }

    fn stop(&mut self, node: usize, down: u64) {
        let place = &mut self.nodes[node];
        if place.replica.take().is_none() {
            return;
        }
        place.life += 1;
        place.waiting.clear();
        place.flushing = false;
        place.doom = None;
        let lost = place.store.crash(&mut self.random);
        let (id, life) = (place.id, place.life);
        if self.faults.skew > 0 && self.random.chance(300) {
            self.nodes[node].offset = self.random.between(0, 2 * self.faults.skew);
        }
        self.watch.stopped(id);
        self.count("crash");
        if lost > 0 {
            self.count("crash that lost writes");
        }
        self.note(|_| format!("{id} crashes and loses {lost} write sets"));
        self.at(down, Event::Restart { node, life });
    }

    fn step(&mut self, node: usize, input: Input) -> Result<(), Broken> {
        let now = self.local(node);
        let place = &mut self.nodes[node];
        let Some(replica) = &mut place.replica else { return Ok(()) };
        let mut effects = Effects::default();
        replica.step(now, input, &place.store, &mut effects);
        self.done(node, effects);
        self.arm(node);
        Ok(())
    }

    /// The one rule of the driver, with group commit: writes now, and everything waits for the same sync.
    fn done(&mut self, node: usize, effects: Effects) {
        self.counts.steps += 1;
        self.digest_effects(node, &effects);
        let Effects { writes, sync, out } = effects;
        if self.log.is_some() {
            for effect in &out {
                let text = describe(effect);
                self.note(|w| format!("{} {text}", w.nodes[node].id));
            }
        }
        let place = &mut self.nodes[node];
        place.store.write(&writes);
        if !sync && out.is_empty() {
            return;
        }
        place.waiting.push_back(Waiting { sync, facts: watch::facts(&writes), out });
        let (doomed, life) = (place.doom.is_some() && sync, place.life);
        let flushing = std::mem::replace(&mut place.flushing, true);
        if doomed && place.doom == Some(Doom::Before) {
            let down = self.random.below(self.faults.down);
            self.count("crash before a sync");
            self.stop(node, down);
            return;
        }
        if !flushing {
            let wait = if sync { self.random.between(20, self.faults.sync) } else { 0 };
            self.at(wait, Event::Flush { node, life });
        }
    }

    fn flush(&mut self, node: usize, life: u64) -> Result<(), Broken> {
        if self.nodes[node].life != life || self.nodes[node].replica.is_none() {
            return Ok(());
        }
        let place = &mut self.nodes[node];
        place.flushing = false;
        let groups: Vec<Waiting> = place.waiting.drain(..).collect();
        let sync = groups.iter().any(|group| group.sync);
        if sync {
            place.store.sync();
        }
        let id = place.id;
        let mut left = usize::MAX;
        if sync && place.doom == Some(Doom::After) {
            let all = groups.iter().map(|group| group.out.len()).sum::<usize>();
            left = self.random.index(all + 1);
        }
        for group in groups {
            for fact in &group.facts {
                self.watch.fact(id, fact, &self.nodes[node].store)?;
            }
            for effect in group.out {
                if left == 0 {
                    break;
                }
                left -= 1;
                self.leave(node, effect)?;
            }
        }
        if left < usize::MAX && self.nodes[node].doom == Some(Doom::After) {
            let down = self.random.below(self.faults.down);
            self.count("crash while sending");
            self.stop(node, down);
        }
        Ok(())
    }

    fn leave(&mut self, node: usize, effect: Effect) -> Result<(), Broken> {
        let id = self.nodes[node].id;
        match effect {
            Effect::Send(to, message) => {
                self.watch.leaves(id, &message, &self.nodes[node].store)?;
                let to = self.place(to);
                self.send(node, to, &Rc::new(message));
            }
            Effect::Broadcast(message) => {
                self.watch.leaves(id, &message, &self.nodes[node].store)?;
                let message = Rc::new(message);
                let first = self.watch.place(id.shard) * self.shape.replicas;
                for to in (first..first + self.shape.replicas).filter(|to| *to != node) {
                    self.send(node, to, &message);
                }
            }
            Effect::Publish(header) => {
                let message = Rc::new(Message::Header(header));
                for to in (0..self.nodes.len()).filter(|to| *to != node) {
                    self.send(node, to, &message);
                }
            }
            Effect::Event(event) => self.watch.event(id, &event, &self.nodes[node].store)?,
            Effect::Reply(..) => {}
        }
        Ok(())
    }

    fn arm(&mut self, node: usize) {
        let Some(deadline) = self.nodes[node].replica.as_ref().and_then(Replica::deadline) else { return };
        // The node's clock runs as fast as ours, only from another start.
        let at = (deadline + self.faults.skew).saturating_sub(self.nodes[node].offset).max(self.now);
        if at < self.nodes[node].tick_at {
            self.nodes[node].tick_at = at;
            self.at(at - self.now, Event::Tick { node });
        }
    }

    fn tick(&mut self, node: usize) -> Result<(), Broken> {
        if self.nodes[node].tick_at > self.now {
            return Ok(());
        }
        self.nodes[node].tick_at = u64::MAX;
        let now = self.local(node);
        let due = self.nodes[node].replica.as_ref().and_then(Replica::deadline).is_some_and(|at| at <= now);
        if due {
            return self.step(node, Input::Tick);
        }
        self.arm(node);
        Ok(())
    }

    fn place(&self, id: NodeId) -> usize {
        self.watch.place(id.shard) * self.shape.replicas + usize::from(id.replica.0)
    }

    // --- network --------------------------------------------------------------------------------------------------

    fn send(&mut self, from: usize, to: usize, message: &Rc<Message>) {
        self.counts.messages += 1;
        if self.blocked.contains_key(&(from, to)) {
            self.count("message into a partition");
            return;
        }
        if !self.calm && self.random.chance(self.faults.loss) {
            self.count("loss");
            return;
        }
        if let Some((kind, share)) = self.faults.mute
            && !self.calm
            && message.kind() == kind
            && self.random.chance(share)
        {
            self.count("loss of one kind");
            return;
        }
        let copies = if !self.calm && self.random.chance(self.faults.duplicate) {
            self.count("duplicate");
            2
        } else {
            1
        };
        for _ in 0..copies {
            let delay = self.delay(from, to);
            let event = Event::Deliver { to, from: self.nodes[from].id, message: message.clone() };
            self.at(delay, event);
        }
    }

    fn delay(&mut self, from: usize, to: usize) -> u64 {
        let (base, spread) = self.faults.delay;
        let mut delay = base + self.random.below(spread);
        if self.nodes[from].id.shard != self.nodes[to].id.shard {
            delay += self.faults.far;
        }
        if self.calm {
            return delay;
        }
        if let Some((slow, wait)) = self.faults.slow
            && (slow == from || slow == to)
        {
            self.count("slow");
            delay += self.random.between(wait / 2, wait);
        }
        if self.random.chance(self.faults.straggle) {
            self.count("straggler");
            delay += self.random.below(1_000_000);
        }
        delay
    }

    fn deliver(&mut self, to: usize, from: NodeId, message: &Message) -> Result<(), Broken> {
        if self.nodes[to].replica.is_none() {
            return Ok(());
        }
        match self.nodes[to].gate.message(from, message.clone()) {
            Ok(verified) => {
                self.note(|w| format!("{} <- {from}: {}", w.nodes[to].id, brief(message)));
                self.step(to, Input::Message(from, verified))
            }
            Err(Refused::Convicts(evidence)) => Err((
                "no honest replica is convicted",
                format!("the gate of {} finds {}", self.nodes[to].id, evidence.kind()),
            )),
            Err(error) => Err((
                "an honest message is accepted",
                format!("{} refuses {} of {from}: {error}", self.nodes[to].id, message.kind()),
            )),
        }
    }

    fn submit(&mut self, to: usize, payment: SignedPayment) -> Result<(), Broken> {
        let verified = self.nodes[to].gate.payment(payment);
        match verified {
            Ok(payment) => self.step(to, Input::Submit(0, payment)),
            Err(error) => Err(("an honest message is accepted", format!("a payment: {error}"))),
        }
    }

    fn burst(&mut self, client: usize) {
        let sent = if self.calm {
            self.clients[client].again(&self.shape, &self.watch, &mut self.random, 4)
        } else {
            self.clients[client].burst(&self.shape, &self.faults, &mut self.watch, &mut self.random)
        };
        for (gateway, payment) in sent {
            let to = self.place(gateway);
            let delay = self.random.between(100, 5_000);
            self.at(delay, Event::Submit { to, payment });
        }
        let wait = self.random.wait(if self.calm { 900_000 } else { self.faults.burst_every });
        self.at(wait, Event::Burst { client });
    }

    // --- faults ---------------------------------------------------------------------------------------------------

    fn crashes(&mut self) {
        if self.calm {
            return;
        }
        let victims: Vec<usize> = if self.random.chance(self.faults.all_crash) {
            self.count("crash of the network");
            (0..self.nodes.len()).collect()
        } else if self.random.chance(self.faults.shard_crash) {
            self.count("crash of a shard");
            let first = self.random.index(self.shape.shards.len()) * self.shape.replicas;
            (first..first + self.shape.replicas).collect()
        } else {
            vec![self.random.index(self.nodes.len())]
        };
        for node in victims {
            if self.random.chance(self.faults.aimed) && self.nodes[node].replica.is_some() {
                self.nodes[node].doom = Some(if self.random.chance(500) { Doom::Before } else { Doom::After });
            } else {
                let down = self.random.below(self.faults.down);
                self.stop(node, down);
            }
        }
        let wait = self.random.wait(self.faults.crash);
        self.at(wait, Event::Crash);
    }

    fn partition(&mut self) {
        if self.calm {
            return;
        }
        self.count("partition");
        let all = self.nodes.len();
        let inside: Vec<bool> = match self.random.below(3) {
            // One replica alone.
            0 => {
                let node = self.random.index(all);
                (0..all).map(|n| n == node).collect()
            }
            // One shard from the others.
            1 if self.shape.shards.len() > 1 => {
                let shard = self.random.index(self.shape.shards.len());
                (0..all).map(|n| n / self.shape.replicas == shard).collect()
            }
            _ => (0..all).map(|_| self.random.chance(500)).collect(),
        };
        let oneway = self.random.chance(300);
        let mut pairs = Vec::new();
        for from in 0..all {
            for to in 0..all {
                if inside[from] && !inside[to] {
                    pairs.push((from, to));
                    if !oneway {
                        pairs.push((to, from));
                    }
                }
            }
        }
        for pair in &pairs {
            *self.blocked.entry(*pair).or_default() += 1;
        }
        self.note(|_| format!("partition of {} pairs", pairs.len()));
        let (length, wait) = (self.random.between(100_000, 4_000_000), self.random.wait(self.faults.partition));
        self.at(length, Event::Heal { pairs });
        self.at(wait, Event::Partition);
    }

    fn heal(&mut self, pairs: &[(usize, usize)]) {
        for pair in pairs {
            if let Some(count) = self.blocked.get_mut(pair) {
                *count -= 1;
                if *count == 0 {
                    self.blocked.remove(pair);
                }
            }
        }
        self.note(|_| "a partition ends".into());
    }

    fn calm_down(&mut self) {
        self.calm = true;
        self.blocked.clear();
        for node in 0..self.nodes.len() {
            self.nodes[node].doom = None;
            if self.nodes[node].replica.is_none() {
                let life = self.nodes[node].life;
                self.at(1_000, Event::Restart { node, life });
            }
        }
        self.calm_epochs = self.shape.shards.iter().map(|shard| self.watch.model.epoch(*shard)).collect();
        self.note(|_| "faults end".into());
    }

    // --- looking --------------------------------------------------------------------------------------------------

    fn look(&mut self) -> Result<(), Broken> {
        let ledgers: Vec<(NodeId, &ShardLedger)> =
            self.nodes.iter().filter_map(|node| Some((node.id, node.replica.as_ref()?.ledger()))).collect();
        self.watch.live_states(&ledgers)?;
        // A step's facts are told when they are durable; a ledger ahead of that is looked at later.
        for node in self.nodes.iter().filter(|node| node.waiting.is_empty()) {
            if let Some(replica) = &node.replica {
                self.watch.ledger(node.id, replica.ledger())?;
            }
        }
        let node = self.random.index(self.nodes.len());
        let place = &self.nodes[node];
        if let Some(replica) = &place.replica {
            self.watch.trie(place.id, replica.ledger(), &place.store, &mut self.random)?;
        }
        Ok(())
    }

    /// What has not come to its end yet.
    fn open(&self) -> Option<String> {
        for (place, shard) in self.shape.shards.iter().enumerate() {
            let epoch = self.watch.model.epoch(*shard);
            if epoch.0 < self.calm_epochs[place].0 + 2 {
                return Some(format!("shard {shard} stands at epoch {epoch}"));
            }
        }
        for node in &self.nodes {
            let Some(replica) = &node.replica else { return Some(format!("{} is down", node.id)) };
            if *replica.voting() != smt_consensus::replica::Voting::Yes {
                return Some(format!("{} does not vote: {:?}", node.id, replica.voting()));
            }
            let epoch = self.watch.model.epoch(node.id.shard);
            if replica.decided().0 + 2 < epoch.0 {
                return Some(format!("{} has carried out cut {} of {epoch}", node.id, replica.decided()));
            }
            for (shard, active) in &self.watch.model.active {
                let at = replica.global_cut().headers.iter().find(|h| h.shard == *shard).map_or(Epoch(0), |h| h.epoch);
                if at < *active {
                    return Some(format!(
                        "{}'s global cut has {shard} at {at}, which moved money at {active}",
                        node.id
                    ));
                }
            }
        }
        if let Some((from, to)) = self.watch.model.in_flight().first() {
            return Some(format!("credits from {from} to {to} are in flight"));
        }
        for client in &self.clients {
            let (next, balance) = self.watch.spendable(&client.owner.address);
            let open = client.signed.get(next as usize).filter(|_| client.spoiled.is_none_or(|seq| next < seq));
            if let Some(payment) = open.filter(|p| p.payment.amount <= balance) {
                return Some(format!(
                    "payment {next} of {:?} over {} of {} is in no cut: {}",
                    client.owner.address,
                    payment.payment.amount.0,
                    balance.0,
                    self.where_is(payment)
                ));
            }
        }
        let lost = self.watch.certified.iter().find(|(slot, id)| {
            !self.watch.contested.contains(slot)
                && !self.watch.model.joined.contains_key(id)
                && !self.behind_contested(slot)
        });
        lost.map(|(slot, id)| format!("{id} at {} of {:?} is certified and in no cut", slot.seq, slot.payer))
    }

    /// A payment behind a slot that its owner spoiled, or behind one that it cannot fund, may wait for ever.
    fn behind_contested(&self, slot: &smt_types::Slot) -> bool {
        self.clients.iter().any(|c| c.owner.address == slot.payer && c.spoiled.is_some_and(|seq| slot.seq.0 > seq))
    }

    fn where_is(&self, payment: &SignedPayment) -> String {
        let (slot, id) = (payment.payment.slot(), payment.payment.id());
        let shard = slot.payer.shard(self.shape.level);
        let of = |node: &Node| {
            let replica = node.replica.as_ref()?;
            let live = replica.ledger().account(&slot.payer);
            Some(format!("{}: {:?}, live {live:?}", node.id, replica.stage(&node.store, &slot, &id)))
        };
        self.nodes.iter().filter(|node| node.id.shard == shard).filter_map(of).collect::<Vec<_>>().join("; ")
    }

    fn finish(&mut self) -> Result<(), Broken> {
        self.counts.certified = self.watch.certified.len() as u64;
        self.counts.joined = self.watch.model.joined.len() as u64;
        self.counts.credited = self.watch.model.credited.len() as u64;
        self.counts.cuts = self.shape.shards.iter().map(|shard| self.watch.model.epoch(*shard).0).sum();
        for node in 0..self.nodes.len() {
            let place = &self.nodes[node];
            if let Some(replica) = &place.replica {
                self.watch.ledger(place.id, replica.ledger())?;
                self.watch.trie(place.id, replica.ledger(), &place.store, &mut self.random)?;
            }
        }
        Ok(())
    }

    fn digest_effects(&mut self, node: usize, effects: &Effects) {
        let mut hasher = hash::hasher(Domain::DevelopmentSeed);
        hasher.update(&self.digest.0);
        hasher.update(&self.now.to_le_bytes());
        hasher.update(&[node as u8, u8::from(effects.sync)]);
        for write in &effects.writes {
            hasher.update(&[write.column as u8]);
            hasher.update(&write.key);
            hasher.update(write.value.as_deref().unwrap_or_default());
        }
        for effect in &effects.out {
            match effect {
                Effect::Send(to, message) => {
                    hasher.update(&to.to_bytes());
                    hasher.update(&message.to_bytes());
                }
                Effect::Broadcast(message) => {
                    hasher.update(&message.to_bytes());
                }
                Effect::Publish(header) => {
                    hasher.update(&header.to_bytes());
                }
                Effect::Reply(_, id, answer) => {
                    hasher.update(&id.0.0);
                    hasher.update(&[u8::from(answer.is_ok())]);
                }
                Effect::Event(event) => {
                    hasher.update(describe_event(event).as_bytes());
                }
            }
        }
        self.digest = Digest(*hasher.finalize().as_bytes());
    }
}

fn describe_event(event: &smt_consensus::Event) -> String {
    use smt_consensus::Event;
    match event {
        Event::Header(header) => format!("header {}", header.header.epoch),
        Event::GlobalCut(cut) => format!("global cut {} {}", cut.epoch, cut.root),
        Event::Evidence(evidence, replica) => format!("evidence {} against {replica}", evidence.kind()),
        other => format!("{other:?}"),
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Send(to, message) => format!("-> {to}: {}", brief(message)),
        Effect::Broadcast(message) => format!("-> all: {}", brief(message)),
        Effect::Publish(header) => format!("publishes header {}", header.header.epoch),
        Effect::Reply(_, id, answer) => format!("answers {id:?}: {answer:?}"),
        Effect::Event(event) => describe_event(event),
    }
}

fn brief(message: &Message) -> String {
    let bits = |bits: &smt_types::Bitmap| bits.iter().map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    match message {
        Message::Batch(b) => {
            let ids = b.payments.iter().map(|p| format!("{:?}", p.payment.id())).collect::<Vec<_>>().join(" ");
            format!("batch {}/{} {:?}: {ids}", b.header.gateway, b.header.number, b.header.digest())
        }
        Message::Vote(v, _) => format!("vote {:?} [{}]", v.header, bits(&v.bits)),
        Message::Certificate(c) => format!("certificate {:?} of {}", c.header, c.votes.len()),
        Message::Applied(a) => {
            format!("applied {:?} by {} [{}] open {}", a.header, a.replica, bits(&a.bits), a.open_epoch)
        }
        Message::Report(r) => format!("report {}/{} of {} batches", r.epoch, r.view, r.bits.len()),
        Message::Proposal(p) => {
            format!("proposal {}/{} {:?}, {} reports", p.epoch, p.view, p.value.digest(), p.reports.len())
        }
        Message::CutVote(v) => format!("{:?} {}/{} {:?} by {}", v.phase, v.epoch, v.view, v.value, v.replica),
        Message::ViewChange(c, _) => format!("view change {}/{} by {}", c.epoch, c.view, c.replica),
        Message::Decision(d) => format!("decision {}", d.value.epoch),
        Message::HeaderSignature(s) => format!("header signature {} by {}", s.header.epoch, s.signature.replica),
        Message::Header(h) => format!("header {} of {}", h.header.epoch, h.header.shard),
        Message::Credits(b) => {
            format!("credits {}+{} under header {}", b.first, b.credits.len(), b.header.header.epoch)
        }
        Message::Ask(ask) => format!("{ask:?}"),
        other => other.kind().into(),
    }
}
