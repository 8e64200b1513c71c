//! The live state: the cut, and what this replica has applied since.

use crate::account::Account;
use smt_consensus::ports::{ApplyError, Joined, Known, LiveAccount};
use smt_consensus::table::Table;
use smt_types::{Address, Amount, PaymentId, Slot};
use std::collections::BTreeSet;

/// What of a payment moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) id: PaymentId,
    pub(crate) payee: Address,
    pub(crate) amount: Amount,
    /// Whether the payee lives in this shard.
    pub(crate) inside: bool,
}

impl Transfer {
    pub(crate) fn new(known: &Known<'_>, inside: bool) -> Transfer {
        Transfer { id: known.id, payee: known.payment.payee, amount: known.payment.amount, inside }
    }
}

/// Accounts that differ from the cut, and the payments that make the difference.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    overlay: Table<Address, LiveAccount>,
    /// In the order in which they were applied here.
    ahead: Vec<(Slot, Transfer)>,
}

impl Live {
    pub(crate) fn new() -> Live {
        Live { overlay: Table::new(), ahead: Vec::new() }
    }

    /// The payments applied and in no cut, in (payer, seq) order. For queries: sorts them.
    pub(crate) fn ahead(&self) -> impl Iterator<Item = (Slot, PaymentId)> + '_ {
        let mut sorted: Vec<_> = self.ahead.iter().map(|(slot, transfer)| (*slot, transfer.id)).collect();
        sorted.sort_unstable();
        sorted.into_iter()
    }

    pub(crate) fn account(&self, cut: &Table<Address, Account>, address: &Address) -> Option<LiveAccount> {
        self.overlay.get(address).copied().or_else(|| cut.get(address).map(|account| (*account).into()))
    }

    /// Debits the payer and credits a payee inside, if the slot is next and funded; changes nothing otherwise.
    pub(crate) fn apply(
        &mut self,
        cut: &Table<Address, Account>,
        slot: Slot,
        transfer: Transfer,
    ) -> Result<(), ApplyError> {
        let mut payer = self.account(cut, &slot.payer).unwrap_or_default();
        if payer.next_seq != slot.seq {
            return Err(ApplyError::Seq { next: payer.next_seq });
        }
        let unfunded = ApplyError::Unfunded { balance: payer.balance };
        payer.balance = payer.balance.checked_sub(transfer.amount).ok_or(unfunded)?;
        payer.next_seq = payer.next_seq.next().ok_or(unfunded)?;
        let payee = if !transfer.inside {
            None
        } else if transfer.payee == slot.payer {
            payer.balance = payer.balance.checked_add(transfer.amount).ok_or(unfunded)?;
            None
        } else {
            let mut payee = self.account(cut, &transfer.payee).unwrap_or_default();
            // Cannot overflow: all balances of the shard together fit 64 bits at the cut, and payments only move them.
            payee.balance = payee.balance.checked_add(transfer.amount).ok_or(unfunded)?;
            Some(payee)
        };
        self.overlay.insert(slot.payer, payer);
        if let Some(payee) = payee {
            self.overlay.insert(transfer.payee, payee);
        }
        self.ahead.push((slot, transfer));
        Ok(())
    }

    /// Starts again from a new cut and replays what is still ahead. `joined`: the payments of that cut, ascending by slot.
    ///
    /// Returns the payments that fell out: at slots the cut passed without them, then those funded by such. None, as long
    /// as no slot was voided and nobody signed two things. Cost: a few look-ups for each payment ahead; where some fall
    /// out, that for every round in which another one finds its funds.
    pub(crate) fn rebase(&mut self, cut: &Table<Address, Account>, joined: &[Joined]) -> Vec<PaymentId> {
        self.overlay.clear();
        let mut displaced = BTreeSet::new();
        let mut waiting = std::mem::take(&mut self.ahead);
        waiting.retain(|(slot, transfer)| {
            let stays = cut.get(&slot.payer).is_none_or(|account| slot.seq >= account.next_seq);
            if !stays && joined.binary_search_by_key(&(*slot, transfer.id), |joined| (joined.slot, joined.id)).is_err()
            {
                displaced.insert((*slot, transfer.id));
            }
            stays
        });
        // In the order they were applied in, each finds its predecessor and its funds where it found them before; only
        // what a missing payment funded has to wait for another, and the outcome depends on no order.
        let mut left = waiting.len();
        loop {
            waiting.retain(|(slot, transfer)| self.apply(cut, *slot, *transfer).is_err());
            if waiting.is_empty() || waiting.len() == left {
                break;
            }
            left = waiting.len();
        }
        waiting.sort_unstable_by_key(|(slot, _)| *slot);
        let funded_by_them = waiting.into_iter().map(|(_, transfer)| transfer.id);
        displaced.into_iter().map(|(_, id)| id).chain(funded_by_them).collect()
    }
}
