//! The history of a shard: which payments were kept, in which epoch, for ever.
//!
//! The *transaction trie* of an epoch maps H(TransactionKey, slot) to what became of the slot: `0 ‖ payment id`, or `1`
//! where it was passed without a payment; sums are 0, the root depth is 0. Credits from other shards are no entries: the
//! cursors bind them.
//!
//! One entry per epoch, H(EpochTransactions, epoch u64 ‖ root hash ‖ count u32), is appended to the shard's
//! [`History`], the accumulator of `smt-trie`; epochs without transactions append one too, so its size is the
//! epoch. The state commits to H(History, size u64 ‖ hash).

use borsh::{BorshDeserialize, BorshSerialize};
use smt_trie::{History, Leaf, Settings, Trie};
use smt_types::{Canonical, Digest, Domain, Epoch, PaymentId, Slot, hash};

/// Number of transactions from which building their trie is worth partitions and threads.
const LARGE_EPOCH: usize = 4096;

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The slot.
    pub slot: Slot,
    /// What took it.
    pub fate: Fate,
}

/// What took a slot. Canonical bytes are the value in the transaction trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Fate {
    /// A payment. Tag 0.
    Payment(PaymentId),
    /// Nothing: it was passed without a payment. Tag 1.
    Void,
}

/// The transaction trie of an epoch; no slot comes twice. `None` if one does.
#[must_use]
pub fn transactions(entries: &[Entry]) -> Option<Trie> {
    let settings = if entries.len() < LARGE_EPOCH { Settings::small(0) } else { Settings::default() };
    let leaf = |entry: &Entry| {
        let key = hash::hash_of(Domain::TransactionKey, &entry.slot).0;
        (key, Leaf { value: entry.fate.to_bytes(), sum: 0 })
    };
    Trie::build(settings, entries.iter().map(leaf)).ok()
}

/// The history after one more epoch. `None` if a slot comes twice, and past 2^32 − 1 entries or 2^48 epochs.
#[must_use]
pub fn extend(history: &History, epoch: Epoch, entries: &[Entry]) -> Option<History> {
    let count = u32::try_from(entries.len()).ok()?;
    let root = transactions(entries)?.root();
    let entry = hash::hash_of(Domain::EpochTransactions, &(epoch, root.hash, count));
    let mut next = history.clone();
    next.append(&entry.0).ok()?;
    Some(next)
}

/// What the state holds of a history.
#[must_use]
pub fn commitment(history: &History) -> Digest {
    hash::hash_of(Domain::History, &history.root())
}

#[cfg(test)]
mod tests {
    use super::*;
    use smt_types::{Address, Seq};

    fn slot(seq: u64) -> Slot {
        Slot { payer: Address([7; 32]), seq: Seq(seq) }
    }

    fn paid(seq: u64) -> Entry {
        Entry { slot: slot(seq), fate: Fate::Payment(PaymentId(Digest([1; 32]))) }
    }

    #[test]
    fn every_list_has_a_history_of_its_own() {
        let lists: [&[Entry]; 4] = [&[], &[paid(0)], &[Entry { slot: slot(0), fate: Fate::Void }], &[paid(0), paid(1)]];
        let start = History::new();
        let after = |epoch, list| commitment(&extend(&start, Epoch(epoch), list).unwrap());
        let all: std::collections::BTreeSet<_> = lists.iter().map(|list| after(1, list)).collect();
        assert_eq!(all.len(), lists.len());
        assert!(!all.contains(&after(2, &[])));
        assert!(!all.contains(&commitment(&start)));
        // The order of the list is not told apart: slots are.
        assert_eq!(after(1, &[paid(1), paid(0)]), after(1, &[paid(0), paid(1)]));
        assert_eq!(extend(&start, Epoch(1), &[paid(0), paid(0)]), None);
    }

    #[test]
    fn an_epochs_transactions_are_provable() {
        let trie = transactions(&[paid(0), paid(3)]).unwrap();
        let key = |seq| hash::hash_of(Domain::TransactionKey, &slot(seq)).0;
        let shown = trie.prove(&key(3)).verify(&trie.root(), &key(3)).unwrap();
        assert_eq!(shown.value().map(<[u8]>::len), Some(33));
        assert!(trie.prove(&key(1)).verify(&trie.root(), &key(1)).unwrap().is_absent());
    }
}
