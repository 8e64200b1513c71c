//! Batches: the unit of work. A gateway groups payments under one signed header.

use crate::codec::Bounded;
use crate::hash::{self, Digest, Domain};
use crate::payment::SignedPayment;
use crate::{BatchNumber, DenseTime, Lamport, NetworkId, ReplicaIndex, ShardAddress, Signature};
use borsh::{BorshDeserialize, BorshSerialize};

/// Most payments in a batch.
pub const MAX_BATCH_PAYMENTS: u16 = 1024;

/// Longest Merkle path in a batch tree.
pub const MAX_BATCH_PATH: usize = 10;

/// What a gateway signs. Numbers have no gaps; two headers of one gateway with one number are evidence.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct BatchHeader {
    /// The network.
    pub network: NetworkId,
    /// The shard whose accounts pay.
    pub shard: ShardAddress,
    /// Digest of the committee that may vote.
    pub committee: Digest,
    /// The replica that made the batch.
    pub gateway: ReplicaIndex,
    /// The gateway's own number, from 0, without gaps.
    pub number: BatchNumber,
    /// Root of the batch tree over the signed payments.
    pub root: Digest,
    /// Number of payments, 1 to [`MAX_BATCH_PAYMENTS`].
    pub count: u16,
    /// Lamport stamp.
    pub lamport: Lamport,
    /// Dense stamp; item i of the batch is stamped (lamport, dense, i).
    pub dense: DenseTime,
}

impl BatchHeader {
    /// The digest that is signed and voted on.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::BatchHeader, self)
    }
}

/// A header with its gateway's signature and payments.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Batch {
    /// The header.
    pub header: BatchHeader,
    /// The gateway's ed25519 signature over the header digest.
    pub signature: Signature,
    /// The payments, in the order of the tree.
    pub payments: Bounded<SignedPayment, { MAX_BATCH_PAYMENTS as usize }>,
}

impl Batch {
    /// Count and root of the header are those of the payments.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        !self.payments.is_empty()
            && usize::from(self.header.count) == self.payments.len()
            && root(&self.payments.iter().map(SignedPayment::leaf).collect::<Vec<_>>()) == self.header.root
    }
}

/// Root of the binary tree over `leaves`: neighbours are paired level by level, an odd last one moves up unchanged.
/// The count is part of the signed header, which makes the shape unambiguous.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(parent).collect();
    }
    level.first().copied().unwrap_or(Digest::ZERO)
}

fn parent(pair: &[Digest]) -> Digest {
    match pair {
        [left, right] => node(left, right),
        [single] => *single,
        _ => Digest::ZERO,
    }
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = hash::hasher(Domain::BatchNode);
    hasher.update(&left.0);
    hasher.update(&right.0);
    Digest(*hasher.finalize().as_bytes())
}

/// A batch's tree, kept whole: many paths for the hashes of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchTree {
    /// Leaves first, the root last.
    levels: Vec<Vec<Digest>>,
}

impl BatchTree {
    /// The tree over `leaves`; `None` for more leaves than a batch has.
    #[must_use]
    pub fn of(leaves: Vec<Digest>) -> Option<BatchTree> {
        if leaves.len() > usize::from(MAX_BATCH_PAYMENTS) {
            return None;
        }
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(level.chunks(2).map(parent).collect());
        }
        Some(BatchTree { levels })
    }

    /// The path of leaf `index`; `None` beyond the end.
    #[must_use]
    pub fn path(&self, index: u16) -> Option<BatchPath> {
        let mut place = usize::from(index);
        self.levels.first()?.get(place)?;
        let mut siblings = Vec::new();
        for level in self.levels.iter().filter(|level| level.len() > 1) {
            siblings.extend(level.get(place ^ 1));
            place /= 2;
        }
        Some(BatchPath { index, siblings: Bounded::truncated(siblings) })
    }
}

/// Siblings from a leaf to the root, leaf side first; levels where the node has no sibling are left out.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BatchPath {
    /// Place of the leaf.
    pub index: u16,
    /// Sibling digests.
    pub siblings: Bounded<Digest, MAX_BATCH_PATH>,
}

impl BatchPath {
    /// The path of leaf `index`; `None` beyond the end or for more leaves than a batch has. Cost: the whole tree.
    #[must_use]
    pub fn of(leaves: &[Digest], index: u16) -> Option<BatchPath> {
        BatchTree::of(leaves.to_vec())?.path(index)
    }

    /// The root that `leaf` has under this path in a tree of `count` leaves; `None` if the path has not exactly the
    /// length the shape asks for.
    #[must_use]
    pub fn root(&self, leaf: Digest, count: u16) -> Option<Digest> {
        if self.index >= count {
            return None;
        }
        let (mut digest, mut place, mut width) = (leaf, self.index, count);
        let mut siblings = self.siblings.iter();
        while width > 1 {
            if place % 2 == 1 {
                digest = node(siblings.next()?, &digest);
            } else if place < width.saturating_sub(1) {
                digest = node(&digest, siblings.next()?);
            }
            place /= 2;
            width = width.div_ceil(2);
        }
        siblings.next().is_none().then_some(digest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_path_leads_to_the_root_and_no_other_index_does() {
        for count in 1..=33u16 {
            let leaves: Vec<Digest> = (0..count).map(|i| hash::hash(Domain::BatchLeaf, &i.to_le_bytes())).collect();
            let root = root(&leaves);
            for index in 0..count {
                let path = BatchPath::of(&leaves, index).unwrap();
                let leaf = leaves.get(usize::from(index)).copied().unwrap();
                assert_eq!(path.root(leaf, count), Some(root));
                for other in (0..count).filter(|other| *other != index) {
                    let moved = BatchPath { index: other, ..path.clone() };
                    assert_ne!(moved.root(leaf, count), Some(root), "{count} {index} {other}");
                }
            }
            assert_eq!(BatchPath::of(&leaves, count), None);
        }
    }
}
