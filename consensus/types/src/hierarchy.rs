//! The ternary Poseidon tree above the shards: what a root over one leaf per shard is, and a path in it.
//!
//! Leaves are in shard order (the word as a number), a node is Poseidon(child 0, child 1, child 2), and with h levels
//! there are 3^h leaves; with none the root is the one leaf. Used for the global root (leaves: Poseidon digests of
//! headers) and for the root over all committees.

use crate::codec::Bounded;
use crate::crypto::{Field, poseidon};
use crate::{ShardAddress, genesis::MAX_LEVEL};
use borsh::{BorshDeserialize, BorshSerialize};

/// The root over `leaves`; `None` if there are not exactly 3^`level` of them, or for more than 9 levels.
/// Cost: (3^level − 1) / 2 hashes of three elements.
#[must_use]
pub fn global_root(level: u8, leaves: &[Field]) -> Option<Field> {
    let mut row = row(level, leaves)?;
    while row.len() > 1 {
        row = parents(&row);
    }
    row.first().copied()
}

/// The way from one shard's leaf up to the root.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GlobalPath {
    /// The shard.
    pub shard: ShardAddress,
    /// Per level, leaf side first, the two siblings in order.
    pub siblings: Bounded<[Field; 2], { MAX_LEVEL as usize }>,
}

impl GlobalPath {
    /// The path of `shard` among `leaves`; `None` if there is not one leaf per shard of its level.
    #[must_use]
    pub fn of(leaves: &[Field], shard: ShardAddress) -> Option<GlobalPath> {
        let mut row = row(shard.level(), leaves)?;
        let (mut word, mut siblings) = (shard, Vec::new());
        while let Some(pair) = word.siblings() {
            let at = |sibling: &ShardAddress| row.get(usize::try_from(sibling.index()).ok()?).copied();
            let [first, second] = &pair;
            siblings.push([at(first)?, at(second)?]);
            row = parents(&row);
            word = word.parent()?;
        }
        Some(GlobalPath { shard, siblings: Bounded::truncated(siblings) })
    }

    /// The root that `leaf` has under this path; `None` if the path's length is not the shard's level.
    #[must_use]
    pub fn root(&self, leaf: Field) -> Option<Field> {
        if self.siblings.len() != usize::from(self.shard.level()) {
            return None;
        }
        let (mut word, mut node) = (self.shard, leaf);
        for [first, second] in self.siblings.iter().copied() {
            node = match word.index() % 3 {
                0 => poseidon(&[node, first, second]),
                1 => poseidon(&[first, node, second]),
                _ => poseidon(&[first, second, node]),
            };
            word = word.parent()?;
        }
        Some(node)
    }
}

fn row(level: u8, leaves: &[Field]) -> Option<Vec<Field>> {
    let fits = level <= MAX_LEVEL && u32::try_from(leaves.len()).ok()? == ShardAddress::count(level);
    fits.then(|| leaves.to_vec())
}

fn parents(row: &[Field]) -> Vec<Field> {
    row.as_chunks::<3>().0.iter().map(poseidon).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn root_is_poseidon_of_poseidons() {
        let leaf = |i: u64| Field::from_u64(i);
        assert_eq!(global_root(0, &[leaf(7)]), Some(leaf(7)));
        let nine: Vec<Field> = (0..9).map(leaf).collect();
        let node = |i: usize| poseidon(&[nine[i], nine[i + 1], nine[i + 2]]);
        assert_eq!(global_root(2, &nine), Some(poseidon(&[node(0), node(3), node(6)])));
        assert_eq!(global_root(1, &nine), None);
        assert_eq!(global_root(2, &nine[..8]), None);
        assert_eq!(global_root(10, &nine), None);
    }

    #[test]
    fn every_path_leads_to_the_root_from_its_own_leaf_only() {
        for level in 0..=3 {
            let leaves: Vec<Field> =
                (0..u64::from(ShardAddress::count(level))).map(|i| Field::from_u64(i + 5)).collect();
            let root = global_root(level, &leaves);
            for (shard, leaf) in ShardAddress::all(level).zip(&leaves) {
                let path = GlobalPath::of(&leaves, shard).unwrap();
                assert_eq!(path.root(*leaf), root);
                assert_ne!(path.root(Field::from_u64(1)), root);
                let short =
                    GlobalPath { siblings: Bounded::truncated(path.siblings.iter().copied().skip(1).collect()), shard };
                assert_eq!(short.root(*leaf).is_some(), level == 0);
                for other in ShardAddress::all(level).filter(|other| *other != shard) {
                    assert_ne!(GlobalPath { shard: other, ..path.clone() }.root(*leaf), root);
                }
            }
        }
    }
}
