//! A trie at one moment: now, or at an epoch that is retained.

use crate::cell::{Named, NodeCell, Ref};
use crate::levels::{Levels, short_skip};
use crate::partition::Partition;
use crate::past::Moments;
use crate::top::Top;
use crate::trie::{Entry, Trie};
use smt_trie_proof::{
    InnerNode, Key, KeyCountError, KeyPath, LeafNode, MultiProof, Nodes, Proof, Root, SKIP_TRITS_MAX, Slot, SumOpening,
    leading_trits,
};

/// A trie as it is now or was at a retained epoch. Reads see that state and no other.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) trie: &'a Trie,
    pub(crate) top: &'a Top,
    /// `None` is now.
    pub(crate) epoch: Option<u64>,
}

impl<'a> View<'a> {
    /// The commitment to all keys, values and sums. Cost: none, it is kept.
    pub fn root(&self) -> Root {
        self.top.root
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        usize::try_from(self.top.len).unwrap_or(usize::MAX)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.top.len == 0
    }

    /// What `key` maps to.
    pub fn get(&self, key: &Key) -> Option<Entry<'a>> {
        let head = leading_trits(key);
        let part = self.trie.partition_of_head(head);
        let root = self.top.parts.get(part)?;
        if root.len == 0 {
            return None;
        }
        let partition = self.trie.resident(part);
        let leaf = partition.find(root.at, key, head, partition.moments(self.epoch))?;
        Some(Entry { value: partition.value(leaf), sum: leaf.sum })
    }

    /// All keys in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a Key, Entry<'a>)> + use<'a> {
        let Self { trie, epoch, .. } = *self;
        let filled = self.top.parts.iter().enumerate().filter(|(_, root)| root.len > 0);
        filled.flat_map(move |(part, root)| {
            let partition = trie.resident(part);
            partition.leaves_below(root.at, partition.moments(epoch))
        })
    }

    /// The proof that `key` has its value and sum, or that it is absent.
    pub fn prove(&self, key: &Key) -> Proof {
        smt_trie_proof::prove(self, key)
    }

    /// What [`View::prove`] gives, for each of many keys: about twice as fast as one by one.
    pub fn prove_each(&self, keys: &[Key]) -> Vec<Proof> {
        smt_trie_proof::prove_each(self, keys)
    }

    /// One proof for many keys: smaller than theirs together. Order and repetitions do not matter.
    ///
    /// # Errors
    ///
    /// [`KeyCountError`] for no key, or more than [`smt_trie_proof::MULTI_PROOF_KEYS_MAX`].
    pub fn prove_many(&self, keys: &[Key]) -> Result<MultiProof, KeyCountError> {
        smt_trie_proof::prove_many(self, keys)
    }

    /// Openings of all inner nodes on the path of `key`, root side first.
    ///
    /// The first opens the root's hash (none if the trie has fewer than two keys), each further one a child of the one
    /// before it.
    pub fn open_sums(&self, key: &Key) -> Vec<SumOpening> {
        smt_trie_proof::open_sums(self, key)
    }

    /// The cell of an inner node and, where it is not above the partitions, its partition.
    fn cell(&self, at: At, number: u32) -> Option<(&'a NodeCell, Option<&'a Partition>)> {
        match at.part {
            None => Some((self.top.nodes.get(usize::try_from(number).ok()?)?, None)),
            Some(part) => {
                let partition = self.trie.resident(part);
                Some((partition.node_at(number, at.moments.nodes), Some(partition)))
            }
        }
    }

    /// A slot above the partitions, or that of a partition.
    fn enter(&self, at: Ref, slot: u8) -> At {
        let above = At { part: None, at, slot, lower: false, moments: Moments::NOW };
        let Named::Leaf(number) = at.named() else { return above };
        let Ok(part) = usize::try_from(number) else { return above };
        let at = self.top.parts.get(part).map_or(Ref::NOTHING, |root| root.at);
        // One that is evicted may be passed by, though not opened.
        let moments = self.trie.partition(part).map_or(Moments::NOW, |partition| partition.moments(self.epoch));
        At { part: Some(part), at, moments, ..above }
    }
}

/// Names a slot of a [`View`].
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// `None` above the partitions.
    part: Option<usize>,
    at: Ref,
    slot: u8,
    /// The second node of a long skip.
    lower: bool,
    /// When what stands there is to be seen, for its partition.
    moments: Moments,
}

impl At {
    fn has_chain(&self, cell: &NodeCell) -> bool {
        cell.branch.saturating_sub(self.slot) > SKIP_TRITS_MAX
    }
}

/// The prefix of a node's keys, from whose cell it cannot be read.
fn path(at: At, cell: &NodeCell, partition: Option<&Partition>) -> KeyPath {
    partition.expect("prefixes above partitions have at most 40 trits").path_below(cell, at.moments)
}

impl Nodes for View<'_> {
    type At = At;

    fn root_depth(&self) -> u8 {
        self.trie.settings().root_depth
    }

    fn root_slot(&self) -> At {
        self.enter(self.top.at, self.root_depth())
    }

    #[inline]
    fn open(&self, at: At) -> Slot<'_> {
        match at.at.named() {
            Named::Nothing => Slot::Empty,
            Named::Leaf(number) => {
                let Some(part) = at.part else { return Slot::Empty };
                let partition = self.trie.resident(part);
                let leaf = partition.leaf_at(number, at.moments.leaves);
                let value = partition.value(leaf);
                Slot::Leaf(LeafNode { slot: at.slot, key: &leaf.key, value, sum: leaf.sum })
            }
            Named::Node(number) => {
                let Some((cell, partition)) = self.cell(at, number) else { return Slot::Empty };
                Slot::Inner(match short_skip(cell, cell.branch.saturating_sub(at.slot)) {
                    Some(skip) => InnerNode { slot: at.slot, skip, sum: cell.sum, children: cell.hashes },
                    None => {
                        let levels = Levels::new(cell, at.slot, || path(at, cell, partition));
                        if at.lower { levels.last } else { *levels.top() }
                    }
                })
            }
        }
    }

    #[inline]
    fn child(&self, at: At, turn: u8) -> At {
        let nothing = At { at: Ref::NOTHING, ..at };
        let Named::Node(number) = at.at.named() else { return nothing };
        let Some((cell, partition)) = self.cell(at, number) else { return nothing };
        if at.has_chain(cell) && !at.lower {
            let on = path(at, cell, partition).trit(at.slot.saturating_add(SKIP_TRITS_MAX));
            return if on == turn { At { lower: true, ..at } } else { nothing };
        }
        let child = cell.children.get(usize::from(turn)).copied().unwrap_or(Ref::NOTHING);
        let slot = cell.branch.saturating_add(1);
        match partition {
            Some(partition) => {
                partition.prefetch(child);
                At { at: child, slot, lower: false, ..at }
            }
            None => self.enter(child, slot),
        }
    }
}
