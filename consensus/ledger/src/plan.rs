//! What a cut would change: everything is computed and checked here, nothing is changed.

use crate::account::{Account, Link};
use crate::history::{Entry, Fate};
use smt_consensus::ports::{CutError, Joined, Known};
use smt_consensus::table::Table;
use smt_types::clock::SierpinskiClock;
use smt_types::credit::{Channel, Credit};
use smt_types::{Address, Amount, CutValue, Digest, Domain, Payment, PaymentId, Seq, ShardAddress, Slot, hash};
use std::collections::BTreeMap;

/// The state a cut extends.
pub(crate) struct Base<'a> {
    pub(crate) shard: ShardAddress,
    pub(crate) accounts: &'a Table<Address, Account>,
    pub(crate) links: &'a BTreeMap<ShardAddress, Link>,
    pub(crate) levels: &'a SierpinskiClock,
    pub(crate) supply: Amount,
}

/// The new values of all that a cut changes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Payments that join, in (payer, seq) order.
    pub(crate) joined: Vec<Joined>,
    /// They and the voids, in the same order.
    pub(crate) entries: Vec<Entry>,
    /// Ascending by address.
    pub(crate) accounts: Vec<(Address, Account)>,
    pub(crate) links: BTreeMap<ShardAddress, Link>,
    /// New credits to other shards: destination, number, credit; ascending by (payer, seq).
    pub(crate) outgoing: Vec<(ShardAddress, u64, Credit)>,
    /// Consumed credits: source, number, credit.
    pub(crate) credited: Vec<(ShardAddress, u64, Credit)>,
    pub(crate) levels: SierpinskiClock,
}

/// A plan, and what it was made for.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) key: Digest,
    pub(crate) plan: Plan,
}

impl Planned {
    /// Binds everything that [`Base::plan`] looks at, and not the stamps of a value: they are set after its first check.
    /// Cost: hashes 72 bytes a payment.
    pub(crate) fn key(value: &CutValue, payments: &[Known<'_>], credits: &[(ShardAddress, Vec<Credit>)]) -> Digest {
        let mut hasher = hash::hasher(Domain::CutPlan);
        let mut part = |bytes: &[u8]| {
            hasher.update(bytes);
        };
        part(&smt_types::codec::to_bytes(&(value.epoch, value.base, &value.voids, &value.consumed)));
        part(&u64::try_from(payments.len()).unwrap_or(u64::MAX).to_le_bytes());
        for payment in payments {
            part(&payment.id.0.0);
            part(&payment.slot.payer.0);
            part(&payment.slot.seq.0.to_le_bytes());
        }
        part(&smt_types::codec::to_bytes(credits));
        Digest(*hasher.finalize().as_bytes())
    }
}

/// What is added to and taken from an account.
struct Change {
    address: Address,
    before: Account,
    credit: u128,
    debit: u128,
    next_seq: Seq,
}

impl Base<'_> {
    fn account(&self, address: &Address) -> Account {
        self.accounts.get(address).copied().unwrap_or_default()
    }

    /// Checks a cut and computes what it changes.
    pub(crate) fn plan(
        &self,
        value: &CutValue,
        payments: &[Known<'_>],
        credits: &[(ShardAddress, Vec<Credit>)],
    ) -> Result<Plan, CutError> {
        let slots = self.slots(value, payments)?;
        let mut planner = Planner {
            base: self,
            changes: Vec::with_capacity(slots.len()),
            places: Table::new(),
            links: BTreeMap::new(),
            outgoing: Vec::new(),
            credited: Vec::new(),
        };
        for (slot, payment) in &slots {
            planner.pass(*slot, *payment)?;
        }
        planner.consume(value, credits)?;
        let levels = planner.levels(value)?;
        planner.check_supply()?;
        let accounts = planner.accounts()?;
        let Planner { links, outgoing, credited, .. } = planner;
        let entry = |(slot, payment): &Passed<'_>| match payment {
            Some(Joining { id, .. }) => Entry { slot: *slot, fate: Fate::Payment(*id) },
            None => Entry { slot: *slot, fate: Fate::Void },
        };
        let joined =
            |(slot, payment): &Passed<'_>| payment.map(|Joining { id, place, .. }| Joined { slot: *slot, id, place });
        let joined = slots.iter().filter_map(joined).collect();
        let entries = slots.iter().map(entry).collect();
        Ok(Plan { joined, entries, accounts, links, outgoing, credited, levels })
    }

    /// The slots this cut passes, ascending, each with its payment or none where it is void.
    fn slots<'p>(&self, value: &CutValue, payments: &[Known<'p>]) -> Result<Vec<Passed<'p>>, CutError> {
        let mut slots: Vec<Passed<'p>> = Vec::with_capacity(payments.len());
        for (Known { slot, id, payment }, place) in payments.iter().copied().zip(0u32..) {
            if !self.shard.contains(&slot.payer) {
                // Nobody of another shard holds anything here.
                return Err(CutError::Negative(slot.payer));
            }
            if slot.seq < self.account(&slot.payer).next_seq {
                continue;
            }
            slots.push((slot, Some(Joining { id, place, payment })));
        }
        slots.sort_unstable_by_key(|(slot, payment)| (*slot, payment.map(|joining| (joining.id, joining.place))));
        slots.dedup_by_key(|(slot, payment)| (*slot, payment.map(|joining| joining.id)));
        for pair in slots.windows(2) {
            if let [(slot, Some(first)), (next, Some(second))] = pair
                && slot == next
            {
                return Err(CutError::TwoAtSlot { slot: *slot, first: first.id, second: second.id });
            }
        }
        for slot in value.voids.iter() {
            let next = self.account(&slot.payer).next_seq;
            if slot.seq < next {
                continue;
            }
            // A slot is either kept or void, and other shards' slots are none of ours.
            let place = slots.binary_search_by_key(slot, |(slot, _)| *slot);
            match place.err().filter(|_| self.shard.contains(&slot.payer)) {
                Some(place) => slots.insert(place, (*slot, None)),
                None => return Err(CutError::Gap { slot: *slot, next }),
            }
        }
        Ok(slots)
    }
}

/// A payment that joins, and its place among those given.
#[derive(Clone, Copy)]
struct Joining<'p> {
    id: PaymentId,
    place: u32,
    payment: &'p Payment,
}

/// A slot that a cut passes, with its payment, or `None` for a void.
type Passed<'p> = (Slot, Option<Joining<'p>>);

struct Planner<'a> {
    base: &'a Base<'a>,
    changes: Vec<Change>,
    /// Address → place among the changes.
    places: Table<Address, usize>,
    links: BTreeMap<ShardAddress, Link>,
    outgoing: Vec<(ShardAddress, u64, Credit)>,
    credited: Vec<(ShardAddress, u64, Credit)>,
}

impl Planner<'_> {
    fn change(&mut self, address: Address) -> Result<&mut Change, CutError> {
        let place = *self.places.entry(address).or_insert_with(|| {
            let before = self.base.account(&address);
            self.changes.push(Change { address, before, credit: 0, debit: 0, next_seq: before.next_seq });
            self.changes.len().saturating_sub(1)
        });
        self.changes.get_mut(place).ok_or(CutError::Overflow)
    }

    fn link(&mut self, peer: ShardAddress) -> &mut Link {
        let link = self.base.links.get(&peer).copied().unwrap_or_default();
        self.links.entry(peer).or_insert(link)
    }

    fn credit(&mut self, payee: Address, amount: Amount) -> Result<(), CutError> {
        let change = self.change(payee)?;
        change.credit = change.credit.checked_add(u128::from(amount.0)).ok_or(CutError::Overflow)?;
        Ok(())
    }

    /// Passes the payer's next slot. Called in slot order.
    fn pass(&mut self, slot: Slot, payment: Option<Joining<'_>>) -> Result<(), CutError> {
        let level = self.base.shard.level();
        let payer = self.change(slot.payer)?;
        if slot.seq != payer.next_seq {
            return Err(CutError::Gap { slot, next: payer.next_seq });
        }
        payer.next_seq = payer.next_seq.next().ok_or(CutError::Overflow)?;
        let Some(Joining { id, payment, .. }) = payment else {
            return Ok(());
        };
        payer.debit = payer.debit.checked_add(u128::from(payment.amount.0)).ok_or(CutError::Overflow)?;
        let home = payment.payee.shard(level);
        if home == self.base.shard {
            return self.credit(payment.payee, payment.amount);
        }
        let Payment { payee, amount, .. } = *payment;
        let credit = Credit { payer: slot.payer, seq: slot.seq, payment: id, payee, amount };
        let outbox = &mut self.link(home).sent;
        let number = outbox.count;
        *outbox = outbox.extend(&credit).ok_or(CutError::Overflow)?;
        self.outgoing.push((home, number, credit));
        Ok(())
    }

    /// Consumes what the value names.
    fn consume(&mut self, value: &CutValue, credits: &[(ShardAddress, Vec<Credit>)]) -> Result<(), CutError> {
        let own = self.base.shard;
        let mut given: BTreeMap<ShardAddress, &[Credit]> = BTreeMap::new();
        for (source, list) in credits {
            given.entry(*source).or_insert(list);
        }
        for named in value.consumed.iter() {
            let source = named.source;
            let mut cursor = self.base.links.get(&source).copied().unwrap_or_default().received;
            if source.level() != own.level() || source == own {
                return Err(CutError::ForeignCredit { source_shard: source, number: cursor.count });
            }
            let mut list = given.get(&source).copied().unwrap_or_default().iter();
            while cursor.count < named.count {
                let number = cursor.count;
                let fits = |credit: &&Credit| own.contains(&credit.payee) && source.contains(&credit.payer);
                let missing = CutError::ForeignCredit { source_shard: source, number };
                let credit = list.next().filter(fits).ok_or(missing)?;
                cursor = cursor.extend(credit).ok_or(CutError::Overflow)?;
                self.link(source).received = cursor;
                self.credit(credit.payee, credit.amount)?;
                self.credited.push((source, number, *credit));
            }
        }
        Ok(())
    }

    /// What the changed links have sent and received in this epoch, by peer.
    fn turnover(&self) -> impl Iterator<Item = Result<(ShardAddress, u128, u128), CutError>> + '_ {
        self.links.iter().map(|(peer, link)| {
            let before = self.base.links.get(peer).copied().unwrap_or_default();
            let grown = |now: &Channel, then: &Channel| now.sum.checked_sub(then.sum).ok_or(CutError::Overflow);
            Ok((*peer, grown(&link.sent, &before.sent)?, grown(&link.received, &before.received)?))
        })
    }

    /// The per-level sums after this cut.
    fn levels(&self, value: &CutValue) -> Result<SierpinskiClock, CutError> {
        let own = self.base.shard;
        let epochs: BTreeMap<ShardAddress, u64> =
            value.consumed.iter().map(|named| (named.source, named.epoch.0)).collect();
        let mut levels = self.base.levels.clone();
        for turnover in self.turnover() {
            let (peer, sent, received) = turnover?;
            levels.send(&own, &peer, sent).map_err(|_| CutError::Overflow)?;
            // A link changed by sending alone brings no epoch.
            let before = self.base.links.get(&peer).map_or(0, |link| link.received.count);
            let consumed = self.links.get(&peer).is_some_and(|link| link.received.count > before);
            let epoch = epochs.get(&peer).copied().filter(|_| consumed).unwrap_or(0);
            levels.receive(&own, &peer, received, epoch).map_err(|_| CutError::Overflow)?;
        }
        Ok(levels)
    }

    /// The accounts after this cut, ascending: all credits are added, then all debits are taken.
    fn accounts(&mut self) -> Result<Vec<(Address, Account)>, CutError> {
        // The first fault in this order is the one named, whatever the order of the payments was.
        self.changes.sort_unstable_by_key(|change| change.address);
        let after = |change: &Change| {
            let before = u128::from(change.before.balance.0);
            let total = before.checked_add(change.credit).ok_or(CutError::Overflow)?;
            let left = total.checked_sub(change.debit).ok_or(CutError::Negative(change.address))?;
            let balance = u64::try_from(left).map(Amount).map_err(|_| CutError::Overflow)?;
            Ok((change.address, Account { balance, next_seq: change.next_seq }))
        };
        self.changes.iter().map(after).collect()
    }

    /// The sum of all balances still fits 64 bits. Only forged credits of a lost source shard can break this.
    fn check_supply(&self) -> Result<(), CutError> {
        let (mut plus, mut minus) = (u128::from(self.base.supply.0), 0u128);
        for turnover in self.turnover() {
            let (_, sent, received) = turnover?;
            plus = plus.checked_add(received).ok_or(CutError::Overflow)?;
            minus = minus.checked_add(sent).ok_or(CutError::Overflow)?;
        }
        // Where more is sent than there is, some payer is negative, and named as such.
        match u64::try_from(plus.saturating_sub(minus)) {
            Ok(_) => Ok(()),
            Err(_) => Err(CutError::Overflow),
        }
    }
}
