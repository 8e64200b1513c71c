//! Invariant 2 for live states, invariant 7, and the plain ledger against the real ones.

use crate::hold;
use crate::random::Random;
use crate::store::Store;
use crate::watch::{Check, Watch};
use smt_consensus::Ledger;
use smt_ledger::ShardLedger;
use smt_trie::{Leaf, Trie};
use smt_types::message::NodeId;
use smt_types::{Address, Amount, Canonical, Digest, Epoch, PaymentId, Slot};

impl Watch {
    /// Replicas of one shard that stand at the same cut and have applied the same payments since show the same balances.
    pub fn live_states(&self, ledgers: &[(NodeId, &ShardLedger)]) -> Check {
        type Seen<'a> = ((Epoch, Vec<(Slot, PaymentId)>), NodeId, &'a ShardLedger);
        let mut seen: Vec<Seen<'_>> = Vec::new();
        for (node, ledger) in ledgers {
            let set = (ledger.epoch(), ledger.ahead().collect::<Vec<_>>());
            let same = seen.iter().find(|(other, place, _)| place.shard == node.shard && *other == set);
            if let Some((_, place, other)) = same {
                for (address, _) in self.model.accounts_of(node.shard) {
                    let (a, b) = (ledger.account(address), other.account(address));
                    hold!(
                        "2 confluence",
                        a == b,
                        "{node} shows {a:?} for {address:?}, {place} {b:?}, same set applied"
                    );
                }
            } else {
                seen.push((set, *node, ledger));
            }
        }
        Ok(())
    }

    /// The trie built anew from the stored accounts, in any order, has the ledger's root; the store opens to the same state.
    pub fn trie(&self, node: NodeId, ledger: &ShardLedger, store: &Store, random: &mut Random) -> Check {
        const NAME: &str = "7 trie root independent of order";
        let refused = |error: smt_ledger::LedgerError| (NAME, format!("{node}: {error}"));
        let mut rows = smt_ledger::accounts(node.shard, store).map_err(refused)?;
        random.shuffle(&mut rows);
        let mut trie = Trie::new(self.shape.level);
        let half = rows.len() / 2;
        for part in [&rows[..half], &rows[half..]] {
            let leaves = part.iter().map(|(address, account)| {
                (address.0, Some(Leaf { value: account.to_bytes(), sum: account.balance.0 }))
            });
            if let Err(error) = trie.update(&leaves.collect::<Vec<_>>()) {
                return Err((NAME, format!("{node}: {error}")));
            }
        }
        let (root, want) = (Digest(trie.root().hash), ledger.parts().accounts);
        hold!(NAME, root == want, "{node}: {root} rebuilt, {want} kept");
        let opened = ShardLedger::open(node.shard, store).map_err(refused)?;
        hold!(NAME, opened.state_root() == ledger.state_root(), "{node}: the store opens to another state");
        Ok(())
    }

    /// A ledger at the newest agreed cut holds what the plain one holds.
    pub fn ledger(&self, node: NodeId, ledger: &ShardLedger) -> Check {
        if ledger.epoch() != self.model.epoch(node.shard) {
            return Ok(());
        }
        for (address, account) in self.model.accounts_of(node.shard) {
            let got = ledger.cut_account(address).unwrap_or_default();
            let same = i128::from(got.balance.0) == account.balance && got.next_seq.0 == account.next;
            hold!("3 conservation", same, "{node} keeps {got:?} for {address:?}, the plain ledger {account:?}");
        }
        let supply: i128 = self.model.accounts_of(node.shard).map(|(_, account)| account.balance).sum();
        hold!("3 conservation", i128::from(ledger.supply().0) == supply, "{node}: supply {:?}", ledger.supply());
        Ok(())
    }

    /// An account's address and cut state, for progress.
    #[must_use]
    pub fn spendable(&self, address: &Address) -> (u64, Amount) {
        let account = self.model.account(address);
        (account.next, Amount(u64::try_from(account.balance).unwrap_or(0)))
    }
}
