//! The live state: the cut, and what this replica has applied since.

use crate::account::Account;
use crate::table::Table;
use smt_consensus::ports::{ApplyError, LiveAccount};
use smt_types::{Address, Amount, PaymentId, SignedPayment, Slot};
use std::collections::{BTreeMap, VecDeque};

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
    pub(crate) fn new(signed: &SignedPayment, inside: bool) -> Transfer {
        let payment = &signed.payment;
        Transfer { id: payment.id(), payee: payment.payee, amount: payment.amount, inside }
    }
}

/// Accounts that differ from the cut, and the payments that make the difference.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    overlay: Table<Address, LiveAccount>,
    ahead: BTreeMap<Slot, Transfer>,
}

impl Live {
    pub(crate) fn new() -> Live {
        Live { overlay: Table::new(), ahead: BTreeMap::new() }
    }

    /// The payments applied and in no cut, in (payer, seq) order.
    pub(crate) fn ahead(&self) -> impl Iterator<Item = (Slot, PaymentId)> + '_ {
        self.ahead.iter().map(|(slot, transfer)| (*slot, transfer.id))
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
        self.ahead.insert(slot, transfer);
        Ok(())
    }

    /// Starts again from a new cut and replays what is still ahead. `joined`: the payments of that cut, ascending by slot.
    ///
    /// Returns the payments that fell out: at slots the cut passed without them, or funded by such. None, as long as no
    /// slot was voided and nobody signed two things. Cost: O(log n) for each of the n payments ahead.
    pub(crate) fn rebase(&mut self, cut: &Table<Address, Account>, joined: &[(Slot, PaymentId)]) -> Vec<PaymentId> {
        self.overlay.clear();
        let mut waiting = std::mem::take(&mut self.ahead);
        let mut displaced = Vec::new();
        waiting.retain(|slot, transfer| {
            let stays = cut.get(&slot.payer).is_none_or(|account| slot.seq >= account.next_seq);
            if !stays && joined.binary_search(&(*slot, transfer.id)).is_err() {
                displaced.push(transfer.id);
            }
            stays
        });
        let mut payers: VecDeque<Address> = waiting.keys().map(|slot| slot.payer).collect();
        while let Some(payer) = payers.pop_front() {
            let seq = self.account(cut, &payer).unwrap_or_default().next_seq;
            let slot = Slot { payer, seq };
            let Some(transfer) = waiting.get(&slot).copied() else {
                continue;
            };
            if self.apply(cut, slot, transfer).is_ok() {
                waiting.remove(&slot);
                payers.push_back(payer);
                // The payee may have been waiting for this; each payment asks at most once.
                payers.push_back(transfer.payee);
            }
        }
        displaced.extend(waiting.values().map(|transfer| transfer.id));
        displaced
    }
}
