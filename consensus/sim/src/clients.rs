//! Owners: they pay in bursts, out of order, over several gateways, repeat the same bytes until they see them in a cut,
//! sometimes exceed their balance, and a few sign two payments at one seq.

use crate::faults::Faults;
use crate::keys;
use crate::random::Random;
use crate::shape::{NETWORK, Owner, Shape};
use crate::watch::Watch;
use smt_types::codec::Bounded;
use smt_types::message::NodeId;
use smt_types::{Address, Amount, Lamport, Payment, ReplicaIndex, Seq, SignedPayment};

/// Payments an owner has open at most.
const OPEN_MAX: usize = 12;

/// One owner.
#[derive(Debug)]
pub struct Client {
    /// Its account.
    pub owner: Owner,
    /// Payments signed, by seq; the second one of a double spender is not among them.
    pub signed: Vec<SignedPayment>,
    /// Signs two payments at one seq now and then.
    pub dishonest: bool,
    /// First seq with two payments.
    pub spoiled: Option<u64>,
}

/// A payment on its way to a gateway.
pub type Submission = (NodeId, SignedPayment);

/// All owners of a network.
#[must_use]
pub fn clients(shape: &Shape, faults: &Faults, random: &mut Random) -> Vec<Client> {
    let client = |owner: &Owner| {
        let dishonest = faults.double_spend && random.chance(60);
        Client { owner: *owner, signed: Vec::new(), dishonest, spoiled: None }
    };
    shape.owners.iter().map(client).collect()
}

impl Client {
    fn gateway(&self, shape: &Shape, random: &mut Random) -> NodeId {
        NodeId { shard: self.owner.shard, replica: ReplicaIndex(random.index(shape.replicas) as u8) }
    }

    fn sign(&self, seq: u64, payee: Address, amount: u64, random: &mut Random) -> SignedPayment {
        let memo = vec![7; random.index(4)];
        keys::sign_payment(Payment {
            network: NETWORK,
            payer: self.owner.key,
            seq: Seq(seq),
            payee,
            amount: Amount(amount),
            memo: Bounded::truncated(memo),
            after: Lamport(random.below(3)),
        })
    }

    fn payee(&self, shape: &Shape, random: &mut Random) -> Address {
        if random.chance(30) {
            return keys::public_key(3, random.below(1 << 16)).address();
        }
        loop {
            let other = shape.owners[random.index(shape.owners.len())];
            let near = other.shard == self.owner.shard;
            if other.address != self.owner.address && (near || random.chance(600)) {
                return other.address;
            }
        }
    }

    /// Signs a burst and sends it.
    pub fn burst(&mut self, shape: &Shape, faults: &Faults, watch: &mut Watch, random: &mut Random) -> Vec<Submission> {
        let next = watch.spendable(&self.owner.address).0 as usize;
        let mut sent = Vec::new();
        let gateway = self.gateway(shape, random);
        let scattered = random.chance(200);
        for _ in 0..random.between(1, 5) {
            if self.signed.len() >= next + OPEN_MAX {
                break;
            }
            let seq = self.signed.len() as u64;
            let amount = if random.chance(faults.tight) {
                // Nearly all the cut shows, and more than some replica may have applied yet.
                watch.spendable(&self.owner.address).1.0.max(20) * random.between(60, 100) / 100
            } else if random.chance(faults.overdraft) {
                random.between(300, 3_000)
            } else {
                random.between(1, 60)
            };
            let payee = self.payee(shape, random);
            let payment = self.sign(seq, payee, amount, random);
            watch.signed(&payment);
            if self.dishonest && random.chance(150) {
                let payee = self.payee(shape, random);
                let rival = self.sign(seq, payee, random.between(1, 60), random);
                if rival.payment.id() != payment.payment.id() {
                    watch.signed(&rival);
                    watch.contested.insert(rival.payment.slot());
                    self.spoiled = self.spoiled.or(Some(seq));
                    sent.push((self.gateway(shape, random), rival));
                }
            }
            let to = if scattered { self.gateway(shape, random) } else { gateway };
            sent.push((to, payment.clone()));
            if random.chance(faults.everywhere) {
                sent.push((self.gateway(shape, random), payment.clone()));
            }
            self.signed.push(payment);
        }
        if random.chance(250) {
            random.shuffle(&mut sent);
        }
        sent.extend(self.again(shape, watch, random, 2));
        sent
    }

    /// The oldest payments that no cut holds, once more, same bytes.
    pub fn again(&self, shape: &Shape, watch: &Watch, random: &mut Random, count: usize) -> Vec<Submission> {
        let next = watch.spendable(&self.owner.address).0 as usize;
        let open = self.signed.iter().skip(next).take(count);
        open.map(|payment| (self.gateway(shape, random), payment.clone())).collect()
    }
}
