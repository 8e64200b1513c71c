//! The history accumulator: which payments were kept, in which epoch, for ever.
//!
//! Per epoch the entries of the cut, ascending by slot (payer, seq), are the leaves of a binary tree with the shape of
//! batch trees: neighbours are paired level by level, an odd last one moves up unchanged; no entry gives zeros.
//! Leaf = H(HistoryLeaf, entry), node = H(HistoryNode, left ‖ right). Credits from other shards are no entries: the
//! cursors bind them.
//!
//! The chain is h₀ = zeros, hₑ = H(History, hₑ₋₁ ‖ epoch u64 ‖ tree root ‖ count u32). The count makes the tree's shape
//! unambiguous. Epochs without entries extend it too.

use borsh::{BorshDeserialize, BorshSerialize};
use smt_types::{Digest, Domain, Epoch, PaymentId, Slot, hash};

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Entry {
    /// A payment took it. Tag 0.
    Payment(Slot, PaymentId),
    /// It was passed without a payment. Tag 1.
    Void(Slot),
}

/// Root of an epoch's tree.
#[must_use]
pub fn tree_root(entries: &[Entry]) -> Digest {
    let mut level: Vec<Digest> = entries.iter().map(|entry| hash::hash_of(Domain::HistoryLeaf, entry)).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(parent).collect();
    }
    level.first().copied().unwrap_or(Digest::ZERO)
}

fn parent(pair: &[Digest]) -> Digest {
    match pair {
        [left, right] => hash::hash_of(Domain::HistoryNode, &(left, right)),
        [single] => *single,
        _ => Digest::ZERO,
    }
}

/// The chain after one more epoch. `None` for more than 2^32 − 1 entries.
#[must_use]
pub fn extend(previous: &Digest, epoch: Epoch, entries: &[Entry]) -> Option<Digest> {
    let count = u32::try_from(entries.len()).ok()?;
    Some(hash::hash_of(Domain::History, &(previous, epoch, tree_root(entries), count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use smt_types::{Address, Seq};

    #[test]
    fn every_list_has_a_chain_of_its_own() {
        let slot = |seq| Slot { payer: Address([7; 32]), seq: Seq(seq) };
        let paid = |seq| Entry::Payment(slot(seq), PaymentId(Digest([1; 32])));
        let lists: [&[Entry]; 6] = [
            &[],
            &[paid(0)],
            &[Entry::Void(slot(0))],
            &[paid(0), paid(1)],
            &[paid(1), paid(0)],
            &[paid(0), paid(1), paid(1)],
        ];
        let chains: std::collections::BTreeSet<_> =
            lists.iter().map(|list| extend(&Digest::ZERO, Epoch(1), list)).collect();
        assert_eq!(chains.len(), lists.len());
        assert!(!chains.contains(&extend(&Digest::ZERO, Epoch(2), &[])));
    }

    #[test]
    fn tree_pairs_neighbours_and_moves_the_odd_one_up() {
        let entry = |seq| Entry::Void(Slot { payer: Address([3; 32]), seq: Seq(seq) });
        let leaf = |seq| hash::hash_of(Domain::HistoryLeaf, &entry(seq));
        let node = |a: Digest, b: Digest| {
            let mut hasher = hash::hasher(Domain::HistoryNode);
            hasher.update(&a.0);
            hasher.update(&b.0);
            Digest(*hasher.finalize().as_bytes())
        };
        assert_eq!(tree_root(&[entry(0), entry(1), entry(2)]), node(node(leaf(0), leaf(1)), leaf(2)));
    }
}
