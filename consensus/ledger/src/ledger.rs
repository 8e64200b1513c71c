//! [`ShardLedger`]: one shard's balances, and the [`Ledger`] port over them.

use crate::account::{Account, Link, StateParts, channel_key, channel_leaf};
use crate::error::LedgerError;
use crate::live::{Live, Transfer};
use crate::plan::{Base, Plan, Planned};
use crate::saved::Saved;
use crate::store;
use crate::{AccountProof, history};
use smt_consensus::ports::{ApplyError, CutError, Known, Ledger, LiveAccount, Snapshot, Write};
use smt_consensus::table::Table;
use smt_trie::{History, Settings, Trie};
use smt_types::clock::SierpinskiClock;
use smt_types::codec::Bounded;
use smt_types::credit::{Channel, Credit};
use smt_types::header::{LinkChange, LinkChanges};
use smt_types::{Address, Amount, CutValue, Digest, Domain, Epoch, Genesis, PaymentId, Seq, ShardAddress, Slot};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A shard's accounts, outboxes, cursors and history at the newest cut, and the live balances above it.
///
/// Everything is in memory; [`Ledger::decide`] hands out the durable changes, `ShardLedger::open` reads them back.
#[derive(Clone, Debug)]
pub struct ShardLedger {
    pub(crate) shard: ShardAddress,
    pub(crate) epoch: Epoch,
    /// The accounts twice: committed to, and for quick look-ups.
    pub(crate) trie: Trie,
    pub(crate) accounts: Table<Address, Account>,
    pub(crate) links: BTreeMap<ShardAddress, Link>,
    pub(crate) outboxes: Trie,
    pub(crate) cursors: Trie,
    pub(crate) history: History,
    pub(crate) levels: SierpinskiClock,
    live: Live,
    displaced: Vec<PaymentId>,
    /// What the last check worked out, for the decision that mostly follows. Holds for the present cut alone.
    planned: RefCell<Option<Planned>>,
    /// What the store holds of the accounts.
    pub(crate) saved: Saved,
}

impl ShardLedger {
    /// The genesis state of `shard` and its snapshot at epoch 0. [`ShardLedger::writes`] gives its durable form.
    ///
    /// # Errors
    /// [`LedgerError::Accounts`] for a genesis that [`Genesis::check_shape`] refuses.
    pub fn genesis(genesis: &Genesis, shard: ShardAddress) -> Result<(ShardLedger, Snapshot), LedgerError> {
        ShardLedger::with_balances(shard, genesis.accounts_of(shard))
    }

    /// A ledger at epoch 0 with these balances.
    pub(crate) fn with_balances(
        shard: ShardAddress,
        balances: impl Iterator<Item = (Address, Amount)>,
    ) -> Result<(ShardLedger, Snapshot), LedgerError> {
        let accounts = balances.map(|(address, balance)| (address, Account { balance, next_seq: Seq(0) })).collect();
        let levels = SierpinskiClock::new(shard.level());
        let parts = CutParts { epoch: Epoch(0), links: BTreeMap::new(), history: History::new(), levels };
        let ledger = ShardLedger::from_parts(shard, accounts, parts)?;
        let snapshot = Snapshot {
            state: ledger.state_root(),
            supply: ledger.supply(),
            levels: ledger.levels.clone(),
            changes: LinkChanges::default(),
            joined: Vec::new(),
            credited: Vec::new(),
        };
        Ok((ledger, snapshot))
    }

    /// Builds the tries over what a cut is made of.
    pub(crate) fn from_parts(
        shard: ShardAddress,
        accounts: Vec<(Address, Account)>,
        parts: CutParts,
    ) -> Result<ShardLedger, LedgerError> {
        let refused = |source| LedgerError::Accounts { shard, source };
        if let Some((address, _)) = accounts.iter().find(|(address, _)| !shard.contains(address)) {
            let (key, want) = (address.0, shard.level());
            return Err(refused(smt_trie::UpdateError::ForeignKey { key, got: 0, want }));
        }
        let settings = Settings { root_depth: shard.level(), ..Settings::default() };
        let leaves = accounts.iter().map(|(address, account)| (address.0, account.leaf()));
        let trie = Trie::build(settings, leaves).map_err(refused)?;
        let saved = Saved::whole(parts.epoch, accounts.len());
        let mut table = Table::new();
        for (address, account) in accounts {
            table.insert(address, account);
        }
        let CutParts { epoch, links, history, levels } = parts;
        let small = || Trie::with_settings(Settings::small(0));
        let (mut outboxes, mut cursors) = (small(), small());
        put_links(&mut outboxes, &mut cursors, &links).map_err(refused)?;
        Ok(ShardLedger {
            shard,
            epoch,
            trie,
            accounts: table,
            links,
            outboxes,
            cursors,
            history,
            levels,
            live: Live::new(),
            displaced: Vec::new(),
            planned: RefCell::new(None),
            saved,
        })
    }

    /// The shard.
    #[must_use]
    pub fn shard(&self) -> ShardAddress {
        self.shard
    }

    /// What S is made of at the newest cut. Cost: the hashes of [`History::root`]; the other roots are kept.
    #[must_use]
    pub fn parts(&self) -> StateParts {
        StateParts {
            accounts: Digest(self.trie.root().hash),
            supply: self.supply(),
            outbox: Digest(self.outboxes.root().hash),
            cursors: Digest(self.cursors.root().hash),
            history: history::commitment(&self.history),
        }
    }

    /// S at the newest cut.
    #[must_use]
    pub fn state_root(&self) -> Digest {
        self.parts().digest()
    }

    /// Sum of all balances at the newest cut.
    #[must_use]
    pub fn supply(&self) -> Amount {
        Amount(self.trie.root().sum)
    }

    /// Number of accounts at the newest cut.
    #[must_use]
    pub fn account_count(&self) -> usize {
        self.trie.len()
    }

    /// The per-level sums at the newest cut.
    #[must_use]
    pub fn levels(&self) -> &SierpinskiClock {
        &self.levels
    }

    /// An account at the newest cut.
    #[must_use]
    pub fn cut_account(&self, address: &Address) -> Option<Account> {
        self.accounts.get(address).copied()
    }

    /// Shards ever paid or consumed from, ascending, with the channels both ways at the newest cut.
    pub fn links(&self) -> impl Iterator<Item = (ShardAddress, Link)> + '_ {
        self.links.iter().map(|(peer, link)| (*peer, *link))
    }

    /// Payments applied here that no cut holds yet, in (payer, seq) order.
    pub fn ahead(&self) -> impl Iterator<Item = (Slot, PaymentId)> + '_ {
        self.live.ahead()
    }

    /// Payments that were applied here and fell out of the live state with the newest cut: their slot was voided or kept
    /// by another payment, or what funded them was such a payment. The latter may be applied again once funded. Empty as
    /// long as nobody signs two payments at one seq.
    #[must_use]
    pub fn displaced(&self) -> &[PaymentId] {
        &self.displaced
    }

    /// The account, or its absence, at the newest cut, provable against that cut's header.
    #[must_use]
    pub fn account_proof(&self, address: &Address) -> AccountProof {
        AccountProof::new(self.parts(), &self.trie.prove(&address.0))
    }

    fn base(&self) -> Base<'_> {
        Base {
            shard: self.shard,
            accounts: &self.accounts,
            links: &self.links,
            levels: &self.levels,
            supply: self.supply(),
        }
    }

    /// Carries out a plan. Nothing changes before the last step that could fail.
    fn commit(&mut self, epoch: Epoch, plan: Plan, writes: &mut Vec<Write>) -> Result<Snapshot, CutError> {
        let history = history::extend(&self.history, epoch, &plan.entries).ok_or(CutError::Overflow)?;
        let change =
            |(peer, link): (&ShardAddress, &Link)| LinkChange { peer: *peer, sent: link.sent, received: link.received };
        let changes = Bounded::new(plan.links.iter().map(change).collect()).map_err(|_| CutError::Overflow)?;
        let (mut outboxes, mut cursors) = (self.outboxes.clone(), self.cursors.clone());
        put_links(&mut outboxes, &mut cursors, &plan.links).map_err(|_| CutError::Overflow)?;
        // The plan has checked keys, sums and lengths; the trie would refuse the batch as a whole.
        let leaves: Vec<_> = plan.accounts.iter().map(|(address, account)| (address.0, Some(account.leaf()))).collect();
        self.trie.update(&leaves).map_err(|_| CutError::Overflow)?;

        self.planned.take();
        self.epoch = epoch;
        self.history = history;
        self.levels = plan.levels;
        (self.outboxes, self.cursors) = (outboxes, cursors);
        self.saved.save(epoch, &plan.accounts, &self.trie, writes);
        writes.extend(plan.outgoing.iter().map(|(peer, number, credit)| store::outbox_write(*peer, *number, credit)));
        writes.extend(plan.links.iter().map(|(peer, link)| store::link_write(*peer, link)));
        writes.push(store::meta_write(self, self.saved));
        for (address, account) in plan.accounts {
            self.accounts.insert(address, account);
        }
        self.links.extend(plan.links);
        self.displaced = self.live.rebase(&self.accounts, &plan.joined);
        Ok(Snapshot {
            state: self.state_root(),
            supply: self.supply(),
            levels: self.levels.clone(),
            changes: LinkChanges(changes),
            joined: plan.joined,
            credited: plan.credited,
        })
    }
}

impl Ledger for ShardLedger {
    fn account(&self, address: &Address) -> Option<LiveAccount> {
        self.live.account(&self.accounts, address)
    }

    fn apply(&mut self, payment: Known<'_>) -> Result<(), ApplyError> {
        if !self.shard.contains(&payment.slot.payer) {
            return Err(ApplyError::Unfunded { balance: Amount::ZERO });
        }
        let transfer = Transfer::new(&payment, self.shard.contains(&payment.payment.payee));
        self.live.apply(&self.accounts, payment.slot, transfer)
    }

    fn cut_seq(&self, payer: &Address) -> Seq {
        self.accounts.get(payer).map_or(Seq(0), |account| account.next_seq)
    }

    fn check_cut(
        &self,
        value: &CutValue,
        payments: &[Known<'_>],
        credits: &[(ShardAddress, Vec<Credit>)],
    ) -> Result<(), CutError> {
        let key = Planned::key(value, payments, credits);
        if self.planned.borrow().as_ref().is_some_and(|planned| planned.key == key) {
            return Ok(());
        }
        let plan = self.base().plan(value, payments, credits)?;
        *self.planned.borrow_mut() = Some(Planned { key, plan });
        Ok(())
    }

    /// As the trait says. [`CutError::ForeignCredit`] also stands for a credit that the value names as consumed and
    /// `credits` lacks; the caller fetches credits before it asks.
    ///
    /// # Panics
    /// If the value's epoch is not the next one: epochs of a shard are consecutive, and the caller checks.
    fn decide(
        &mut self,
        value: &CutValue,
        payments: &[Known<'_>],
        credits: &[(ShardAddress, Vec<Credit>)],
        writes: &mut Vec<Write>,
    ) -> Result<Snapshot, CutError> {
        assert_eq!(Some(value.epoch), self.epoch.next(), "cuts of shard {} are consecutive", self.shard);
        let key = Planned::key(value, payments, credits);
        let plan = match self.planned.take().filter(|planned| planned.key == key) {
            Some(planned) => planned.plan,
            None => self.base().plan(value, payments, credits)?,
        };
        self.commit(value.epoch, plan, writes)
    }

    fn outbox(&self, peer: ShardAddress) -> Channel {
        self.links.get(&peer).copied().unwrap_or_default().sent
    }

    fn cursor(&self, peer: ShardAddress) -> Channel {
        self.links.get(&peer).copied().unwrap_or_default().received
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// What a cut is made of beside accounts.
pub(crate) struct CutParts {
    pub(crate) epoch: Epoch,
    pub(crate) links: BTreeMap<ShardAddress, Link>,
    pub(crate) history: History,
    pub(crate) levels: SierpinskiClock,
}

/// Enters links into the two tries; a direction never used has no entry.
fn put_links(
    outboxes: &mut Trie,
    cursors: &mut Trie,
    links: &BTreeMap<ShardAddress, Link>,
) -> Result<(), smt_trie::UpdateError> {
    let leaves = |domain: Domain, side: fn(&Link) -> &Channel| {
        links
            .iter()
            .filter(move |(_, link)| side(link).count > 0)
            .map(move |(peer, link)| (channel_key(domain, peer), Some(channel_leaf(side(link)))))
            .collect::<Vec<_>>()
    };
    outboxes.update(&leaves(Domain::OutboxKey, |link| &link.sent))?;
    cursors.update(&leaves(Domain::CursorKey, |link| &link.received))?;
    Ok(())
}
