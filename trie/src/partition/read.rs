//! Reads of a partition, as it is now or as a version sees it.

#![allow(clippy::indexing_slicing, reason = "turns are 0 to 2")]

use super::{Apex, Partition, PartitionRoot, turn};
use crate::cell::{LeafCell, Named, NodeCell, Ref};
use crate::past::{Moment, Moments};
use crate::trie::Entry;
use smt_trie_proof::{Key, KeyPath, LEADING_TRITS};

impl Partition {
    /// When the version `epoch` was retained; `None` is now.
    pub(crate) fn moments(&self, epoch: Option<u64>) -> Moments {
        let Some(epoch) = epoch else { return Moments::NOW };
        let found = self.versions.binary_search_by_key(&epoch, |version| version.epoch).ok();
        found.and_then(|found| self.versions.get(found)).expect("a partition has the versions of its trie").moments
    }

    /// A node as it was at a moment.
    #[inline]
    pub(crate) fn node_at(&self, number: u32, moment: Moment) -> &NodeCell {
        let mut node = self.nodes.get(number);
        while moment.is_before(node.stamp) {
            node = self.nodes.get(self.past_nodes.get(node.stamp));
        }
        node
    }

    /// A leaf as it was at a moment.
    #[inline]
    pub(crate) fn leaf_at(&self, number: u32, moment: Moment) -> &LeafCell {
        let mut leaf = self.leaves.get(number);
        while moment.is_before(leaf.stamp) {
            leaf = self.leaves.get(self.past_leaves.get(leaf.stamp));
        }
        leaf
    }

    /// The content of a retained version.
    pub(crate) fn root_at(&self, epoch: u64) -> Option<&PartitionRoot> {
        let found = self.versions.binary_search_by_key(&epoch, |version| version.epoch).ok()?;
        self.versions.get(found).map(|version| &version.root)
    }

    /// The retained versions, oldest first.
    pub(crate) fn version_roots(&self) -> impl Iterator<Item = (u64, &PartitionRoot)> {
        self.versions.iter().map(|version| (version.epoch, &version.root))
    }

    /// The value of a leaf.
    pub(crate) fn value<'a>(&'a self, leaf: &'a LeafCell) -> &'a [u8] {
        leaf.short_value().unwrap_or_else(|| self.long.get(leaf.long))
    }

    /// The path of some key below a node, as it was at a moment. Cost: a walk down; needed only for prefixes of more than
    /// 40 trits.
    pub(crate) fn path_below(&self, node: &NodeCell, moments: Moments) -> KeyPath {
        let mut node = node;
        loop {
            let turn = node.turns().next().expect("inner nodes have children");
            match node.children[turn].named() {
                Named::Leaf(leaf) => return KeyPath::new(&self.leaf_at(leaf, moments.leaves).key),
                Named::Node(below) => node = self.node_at(below, moments.nodes),
                Named::Nothing => unreachable!("`turns` names children that are there"),
            }
        }
    }

    /// The leaf of `key` below `at`, as it was at a moment.
    pub(crate) fn find(&self, mut at: Ref, key: &Key, head: u64, moments: Moments) -> Option<&LeafCell> {
        // Skips need no look: a leaf carries its key. Each step goes down at least one trit.
        loop {
            match at.named() {
                Named::Nothing => return None,
                Named::Leaf(leaf) => return Some(self.leaf_at(leaf, moments.leaves)).filter(|leaf| leaf.key == *key),
                Named::Node(node) => {
                    let node = self.node_at(node, moments.nodes);
                    at = node.children[turn(key, head, node.branch)];
                }
            }
        }
    }

    /// All leaves below `at`, in key order, as they were at a moment.
    pub(crate) fn leaves_below(&self, at: Ref, moments: Moments) -> impl Iterator<Item = (&Key, Entry<'_>)> {
        let mut stack = vec![at];
        std::iter::from_fn(move || {
            loop {
                match stack.pop()?.named() {
                    Named::Nothing => {}
                    Named::Node(node) => stack.extend(self.node_at(node, moments.nodes).children.iter().rev()),
                    Named::Leaf(leaf) => {
                        let leaf = self.leaf_at(leaf, moments.leaves);
                        return Some((&leaf.key, Entry { value: self.value(leaf), sum: leaf.sum }));
                    }
                }
            }
        })
    }

    /// All leaves of the current content, or of a retained version; none for a version that is not retained.
    pub(crate) fn iter(&self, epoch: Option<u64>) -> impl Iterator<Item = (&Key, Entry<'_>)> {
        let root = match epoch {
            None => Some(&self.root),
            Some(epoch) => self.root_at(epoch),
        };
        let moments = if root.is_some() { self.moments(epoch) } else { Moments::NOW };
        self.leaves_below(root.map_or(Ref::NOTHING, |root| root.at), moments)
    }

    /// The topmost cell by value, to go with a root.
    pub(crate) fn apex(&self, at: Ref) -> Apex {
        match at.named() {
            Named::Nothing => Apex::Empty,
            Named::Leaf(leaf) => Apex::Leaf(*self.leaves.get(leaf)),
            Named::Node(node) => {
                let node = self.nodes.get(node);
                let path = || self.path_below(node, Moments::NOW);
                Apex::Node(*node, (node.branch > LEADING_TRITS).then(path))
            }
        }
    }
}
