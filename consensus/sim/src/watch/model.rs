//! A second, plain ledger that follows the agreed cuts: invariants 1, 3, 6 and 14.
//!
//! It knows payments by what their owners signed and batches by what left their gateways, and computes with signed
//! numbers, so that whatever goes negative shows.

use crate::hold;
use crate::shape::Shape;
use crate::watch::{Broken, Check, KnownBatch, Watch};
use smt_types::message::NodeId;
use smt_types::report::{BatchBits, Report, SourceCount};
use smt_types::{Address, CutValue, Digest, Epoch, PaymentId, Seq, ShardAddress, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// One account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Base units.
    pub balance: i128,
    /// The next seq.
    pub next: u64,
}

/// (count, sum) both ways of one shard's links at one epoch.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Sent, by destination.
    pub sent: BTreeMap<ShardAddress, (u64, u128)>,
    /// Received, by source.
    pub received: BTreeMap<ShardAddress, (u64, u128)>,
    /// Sum of balances.
    pub supply: i128,
}

/// What moves money: payment, payee, amount.
type Outgoing = (PaymentId, Address, u64);

/// The agreed state of all shards.
#[derive(Debug)]
pub struct Model {
    level: u8,
    accounts: BTreeMap<Address, Account>,
    /// Credits by (source, destination), in number order.
    outboxes: BTreeMap<(ShardAddress, ShardAddress), Vec<Outgoing>>,
    /// Per shard and epoch.
    pub(super) totals: BTreeMap<ShardAddress, Vec<Totals>>,
    /// Cut of each payment.
    pub joined: BTreeMap<PaymentId, Epoch>,
    slots: BTreeMap<Slot, PaymentId>,
    /// Where and when each payment was credited in another shard.
    pub credited: BTreeMap<PaymentId, (ShardAddress, Epoch)>,
    /// Last epoch per shard that moved money.
    pub active: BTreeMap<ShardAddress, Epoch>,
    reports: BTreeMap<(ShardAddress, Epoch, Digest), Vec<Report>>,
}

impl Model {
    pub(super) fn new(shape: &Shape) -> Model {
        let start = |(address, amount): &(Address, smt_types::Amount)| {
            (*address, Account { balance: i128::from(amount.0), next: 0 })
        };
        let totals = shape.network.genesis_headers.iter().map(|header| {
            let totals = Totals { supply: i128::from(header.supply.0), ..Totals::default() };
            (header.shard, vec![totals])
        });
        Model {
            level: shape.level,
            accounts: shape.genesis.accounts.iter().map(start).collect(),
            outboxes: BTreeMap::new(),
            totals: totals.collect(),
            joined: BTreeMap::new(),
            slots: BTreeMap::new(),
            credited: BTreeMap::new(),
            active: BTreeMap::new(),
            reports: BTreeMap::new(),
        }
    }

    /// The newest agreed epoch of a shard.
    #[must_use]
    pub fn epoch(&self, shard: ShardAddress) -> Epoch {
        Epoch(self.totals[&shard].len() as u64 - 1)
    }

    /// An account at the newest agreed cuts.
    #[must_use]
    pub fn account(&self, address: &Address) -> Account {
        self.accounts.get(address).copied().unwrap_or_default()
    }

    /// All accounts of a shard.
    pub fn accounts_of(&self, shard: ShardAddress) -> impl Iterator<Item = (&Address, &Account)> {
        self.accounts.iter().filter(move |(address, _)| shard.contains(address))
    }

    /// Whether everything sent has been received.
    #[must_use]
    pub fn in_flight(&self) -> Vec<(ShardAddress, ShardAddress)> {
        let open = |((from, to), sent): (&(ShardAddress, ShardAddress), &Vec<Outgoing>)| {
            let received = self.totals[to].last().and_then(|t| t.received.get(from)).map_or(0, |(count, _)| *count);
            (received < sent.len() as u64).then_some((*from, *to))
        };
        self.outboxes.iter().filter_map(open).collect()
    }

    /// Carries out the next cut of a shard.
    fn carry(&mut self, value: &CutValue, payments: &BTreeMap<Slot, Outgoing>) -> Check {
        let (shard, epoch) = (value.shard, value.epoch);
        let mut totals = self.totals[&shard].last().cloned().unwrap_or_default();
        for source in value.consumed.iter() {
            let done = totals.received.get(&source.source).copied().unwrap_or_default();
            let outbox = self.outboxes.get(&(source.source, shard)).map_or(&[][..], Vec::as_slice);
            hold!(
                "4 cursor within outbox",
                source.count <= outbox.len() as u64 && source.count > done.0,
                "cut {epoch} of {shard} consumes {} credits of {}, which has issued {}",
                source.count,
                source.source,
                outbox.len()
            );
            let mut sum = done.1;
            for (id, payee, amount) in &outbox[done.0 as usize..source.count as usize] {
                sum += u128::from(*amount);
                totals.supply += i128::from(*amount);
                self.accounts.entry(*payee).or_default().balance += i128::from(*amount);
                let before = self.credited.insert(*id, (shard, epoch));
                hold!(
                    "6 exactly-once credit",
                    before.is_none(),
                    "{id} is credited at {epoch} and before at {before:?}"
                );
            }
            totals.received.insert(source.source, (source.count, sum));
            self.active.insert(shard, epoch);
        }
        for (slot, (id, payee, paid)) in payments {
            let other = self.slots.insert(*slot, *id);
            hold!("1 uniqueness", other.is_none(), "{id} joins at {slot:?}, which {other:?} has taken");
            self.joined.insert(*id, epoch);
            self.active.insert(shard, epoch);
            let amount = i128::from(*paid);
            let payer = self.accounts.entry(slot.payer).or_default();
            hold!(
                "1 uniqueness",
                payer.next == slot.seq.0,
                "{id} joins cut {epoch} at {} before {}",
                slot.seq,
                payer.next
            );
            payer.next += 1;
            payer.balance -= amount;
            let home = payee.shard(self.level);
            if home == shard {
                self.accounts.entry(*payee).or_default().balance += amount;
            } else {
                totals.supply -= amount;
                let sent = totals.sent.entry(home).or_default();
                *sent = (sent.0 + 1, sent.1 + u128::from(*paid));
                self.outboxes.entry((shard, home)).or_default().push((*id, *payee, *paid));
            }
        }
        for slot in payments.keys() {
            let balance = self.account(&slot.payer).balance;
            hold!(
                "14 joins are non-negative",
                balance >= 0,
                "{:?} holds {balance} after cut {epoch} of {shard}",
                slot.payer
            );
        }
        if let Some(list) = self.totals.get_mut(&shard) {
            list.push(totals);
        }
        Ok(())
    }
}

impl Watch {
    /// The payments that bits name and no cut holds, by slot.
    fn joining(&self, shard: ShardAddress, bits: &[BatchBits]) -> Result<BTreeMap<Slot, Outgoing>, Broken> {
        let mut found: BTreeMap<Slot, Outgoing> = BTreeMap::new();
        for entry in bits {
            let batch: &KnownBatch = self
                .batches
                .get(&entry.header)
                .ok_or_else(|| ("validity", format!("{shard} cuts a batch that nobody sent")))?;
            for index in entry.bits.iter() {
                let (slot, id) = batch[usize::from(index)];
                if self.model.joined.contains_key(&id) {
                    continue;
                }
                let payment = &self.payments[&id].payment;
                if let Some((other, ..)) = found.insert(slot, (id, payment.payee, payment.amount.0)) {
                    hold!("1 uniqueness", other == id, "{other} and {id} are joined at {slot:?}");
                }
            }
        }
        Ok(found)
    }

    pub(super) fn carry(&mut self, value: &CutValue) -> Check {
        let payments = self.joining(value.shard, &value.bits)?;
        self.model.carry(value, &payments)
    }

    /// Invariant 14: every join of two honest reports is a non-negative, gapless set.
    pub(super) fn report_leaves(&mut self, from: NodeId, report: &Report) -> Check {
        let key = (report.shard, report.epoch, report.base);
        let known = self.model.reports.entry(key).or_default();
        known.retain(|other| other.replica != report.replica);
        known.push(report.clone());
        if self.model.epoch(from.shard).0 + 1 != report.epoch.0 {
            return Ok(());
        }
        let known = self.model.reports[&key].clone();
        for other in &known {
            let bits: Vec<BatchBits> = report.bits.iter().chain(other.bits.iter()).cloned().collect();
            let mut sources: BTreeMap<ShardAddress, SourceCount> = BTreeMap::new();
            for source in report.sources.iter().chain(other.sources.iter()) {
                let entry = sources.entry(source.source).or_insert(*source);
                entry.count = entry.count.max(source.count);
            }
            self.check_join(from, &bits, sources.values())?;
        }
        Ok(())
    }

    fn check_join<'a>(
        &self,
        from: NodeId,
        bits: &[BatchBits],
        sources: impl Iterator<Item = &'a SourceCount>,
    ) -> Check {
        const NAME: &str = "14 joins are non-negative";
        let payments = self.joining(from.shard, bits)?;
        let mut change: BTreeMap<Address, i128> = BTreeMap::new();
        let mut next: BTreeMap<Address, u64> = BTreeMap::new();
        for (slot, (id, payee, amount)) in &payments {
            let seq = next.entry(slot.payer).or_insert_with(|| self.model.account(&slot.payer).next);
            hold!(NAME, slot.seq == Seq(*seq), "a join of reports has {id} at {} before {seq}", slot.seq);
            *seq += 1;
            let amount = i128::from(*amount);
            *change.entry(slot.payer).or_default() -= amount;
            *change.entry(*payee).or_default() += amount;
        }
        for source in sources {
            let outbox = self.model.outboxes.get(&(source.source, from.shard)).map_or(&[][..], Vec::as_slice);
            let count = source.count as usize;
            hold!(
                "4 cursor within outbox",
                count <= outbox.len(),
                "{from} reports {count} credits of {}",
                source.source
            );
            let totals = self.model.totals[&from.shard].last();
            let done = totals.and_then(|t| t.received.get(&source.source)).map_or(0, |(count, _)| *count as usize);
            for (_, payee, amount) in outbox.get(done..count).unwrap_or_default() {
                *change.entry(*payee).or_default() += i128::from(*amount);
            }
        }
        for payer in payments.keys().map(|slot| slot.payer).collect::<BTreeSet<_>>() {
            let balance = self.model.account(&payer).balance + change.get(&payer).copied().unwrap_or_default();
            hold!(NAME, balance >= 0, "a join of honest reports leaves {balance} to {payer:?}");
        }
        Ok(())
    }
}
