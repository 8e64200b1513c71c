//! A network under manual control, for crafted schedules: nothing is delivered, and no time passes, unless the test says so.

use crate::keys::{self, StandIn, StandInChecker};
use crate::random::Random;
use crate::shape::{NETWORK, Owner, Shape, shape};
use crate::store::Store;
use crate::world::START_US;
use smt_consensus::config::{Config, Params};
use smt_consensus::verify::Gate;
use smt_consensus::{Effect, Effects, Event, Input, Replica};
use smt_ledger::ShardLedger;
use smt_types::codec::Bounded;
use smt_types::message::{Message, NodeId};
use smt_types::{Address, Amount, Lamport, Payment, ReplicaIndex, Seq, SignedPayment};
use std::sync::Arc;

/// One replica with its disk.
pub struct Place {
    /// Where it is.
    pub id: NodeId,
    /// Its disk.
    pub store: Store,
    /// The replica, while it runs.
    pub replica: Option<Replica<ShardLedger>>,
    gate: Gate,
}

/// A message that has left and not arrived.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Sender.
    pub from: usize,
    /// Receiver.
    pub to: usize,
    /// What.
    pub message: Message,
}

/// The network.
pub struct Lab {
    /// The fixed part.
    pub shape: Arc<Shape>,
    /// Replicas, shard by shard.
    pub places: Vec<Place>,
    /// Messages on their way.
    pub mail: Vec<Mail>,
    /// What replicas told.
    pub events: Vec<(usize, Event)>,
    /// Now.
    pub now: u64,
}

impl Lab {
    /// 3^`level` shards of three, all started, all voting, nothing on its way.
    #[must_use]
    pub fn new(level: u8) -> Lab {
        let shape = shape(level, 3);
        let mut lab = Lab {
            shape: shape.clone(),
            places: Vec::new(),
            mail: Vec::new(),
            events: Vec::new(),
            now: START_US + 1_000,
        };
        for shard in &shape.shards {
            for replica in 0..3 {
                let id = NodeId { shard: *shard, replica: ReplicaIndex(replica) };
                let gate = Gate::new(id, shape.network.clone(), Arc::new(StandInChecker)).unwrap();
                lab.places.push(Place { id, store: Store::default(), replica: None, gate });
                let place = lab.places.len() - 1;
                lab.format(place);
                lab.start(place);
            }
        }
        lab.pass(1_000);
        lab.deliver(|_| true);
        lab
    }

    /// Gives a replica the genesis store, whatever it had.
    pub fn format(&mut self, place: usize) {
        let (ledger, _) = ShardLedger::genesis(&self.shape.genesis, self.places[place].id.shard).unwrap();
        let mut store = Store::default();
        store.write(&ledger.writes());
        store.sync();
        self.places[place].store = store;
    }

    /// Starts a replica from its store.
    pub fn start(&mut self, place: usize) {
        let params = Params { batch_delay_us: 1_000, ..Params::default() };
        let at = &mut self.places[place];
        let config = Config { node: at.id, network: self.shape.network.clone(), params };
        let ledger = ShardLedger::open(at.id.shard, &at.store).unwrap();
        at.replica = Replica::recover(config, Box::new(StandIn::new(place as u64)), ledger, &at.store, self.now);
        assert!(at.replica.is_some(), "the network has this replica");
    }

    /// Stops a replica; what it has not synced is lost, or some of it.
    pub fn stop(&mut self, place: usize) {
        self.places[place].replica = None;
        self.places[place].store.crash(&mut Random::new(self.now));
    }

    fn step(&mut self, place: usize, input: Input) {
        let at = &mut self.places[place];
        let Some(replica) = &mut at.replica else { return };
        let mut effects = Effects::default();
        replica.step(self.now, input, &at.store, &mut effects);
        at.store.write(&effects.writes);
        if effects.sync {
            at.store.sync();
        }
        let first = place / 3 * 3;
        for effect in effects.out {
            match effect {
                Effect::Send(to, message) => {
                    let to = to.shard.index() as usize * 3 + usize::from(to.replica.0);
                    self.mail.push(Mail { from: place, to, message });
                }
                Effect::Broadcast(message) => {
                    for to in (first..first + 3).filter(|to| *to != place) {
                        self.mail.push(Mail { from: place, to, message: message.clone() });
                    }
                }
                Effect::Publish(header) => {
                    for to in (0..self.places.len()).filter(|to| *to != place) {
                        self.mail.push(Mail { from: place, to, message: Message::Header(header.clone()) });
                    }
                }
                Effect::Event(event) => self.events.push((place, event)),
                Effect::Reply(..) => {}
            }
        }
    }

    /// Hands a message to a replica through its gate.
    pub fn hand(&mut self, from: usize, to: usize, message: Message) {
        let sender = self.places[from].id;
        let verified = self.places[to].gate.message(sender, message).expect("the gate accepts what is well signed");
        self.step(to, Input::Message(sender, verified));
    }

    /// Whether the gate of a replica refuses a message.
    #[must_use]
    pub fn is_refused(&self, from: usize, to: usize, message: Message) -> bool {
        self.places[to].gate.message(self.places[from].id, message).is_err()
    }

    /// Delivers what fits, in order, until nothing on its way fits any more.
    pub fn deliver(&mut self, fits: impl Fn(&Mail) -> bool) {
        for _ in 0..20_000 {
            let Some(next) = self.mail.iter().position(&fits) else { return };
            let Mail { from, to, message } = self.mail.remove(next);
            if self.places[to].replica.is_some() {
                self.hand(from, to, message);
            }
        }
        panic!("the replicas never stop talking");
    }

    /// Loses what fits.
    pub fn lose(&mut self, fits: impl Fn(&Mail) -> bool) {
        self.mail.retain(|mail| !fits(mail));
    }

    /// Lets time pass, ticking whoever is due, and delivers nothing.
    pub fn pass(&mut self, us: u64) {
        let end = self.now + us;
        loop {
            let due = self
                .places
                .iter()
                .enumerate()
                .filter_map(|(place, at)| Some((at.replica.as_ref()?.deadline()?, place)));
            let Some((at, place)) = due.min().filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.step(place, Input::Tick);
        }
        self.now = end;
    }

    /// Lets time pass in small steps and delivers all that fits after each.
    pub fn live(&mut self, us: u64, fits: impl Fn(&Mail) -> bool) {
        for _ in 0..us / 5_000 {
            self.pass(5_000);
            self.deliver(&fits);
        }
    }

    /// A client submits a payment; the gateway makes its batch at once.
    pub fn submit(&mut self, place: usize, payment: &SignedPayment) {
        let verified = self.places[place].gate.payment(payment.clone()).expect("payments are signed");
        self.step(place, Input::Submit(1, verified));
    }

    /// Owner `n` of the shard of `place`.
    #[must_use]
    pub fn owner(&self, place: usize, n: usize) -> Owner {
        let shard = self.places[place].id.shard;
        *self.shape.owners.iter().filter(|owner| owner.shard == shard).nth(n).expect("every shard has its owners")
    }

    /// The live balance of an account at a replica.
    #[must_use]
    pub fn balance(&self, place: usize, address: &Address) -> u64 {
        use smt_consensus::Ledger;
        let replica = self.places[place].replica.as_ref().expect("the replica runs");
        replica.ledger().account(address).map_or(0, |account| account.balance.0)
    }

    /// The running replica at a place.
    #[must_use]
    pub fn replica(&self, place: usize) -> &Replica<ShardLedger> {
        self.places[place].replica.as_ref().expect("the replica runs")
    }
}

/// A signed payment.
#[must_use]
pub fn pay(owner: &Owner, seq: u64, payee: Address, amount: u64) -> SignedPayment {
    keys::sign_payment(Payment {
        network: NETWORK,
        payer: owner.key,
        seq: Seq(seq),
        payee,
        amount: Amount(amount),
        memo: Bounded::default(),
        after: Lamport(0),
    })
}
