//! Building proofs from a trie.

use alloc::vec::Vec;

use crate::key_path::KeyPath;
use crate::node::{content, midstate};
use crate::nodes::{InnerNode, LeafNode, Nodes, Slot};
use crate::proof::{End, Level, OffPath, Proof};
use crate::{EMPTY_HASH, Key};

/// Levels above a leaf of a large trie.
const TYPICAL_LEVELS: usize = 24;
/// Walks that take turns: enough that the memory they wait for comes meanwhile, few enough to stay in the caches.
const WALKS: usize = 16;

/// The proof that `key` has its value and sum, or that it is absent.
///
/// Cost: one visit a level, and one compression for each where the key turns to child 2.
pub fn prove<N: Nodes>(nodes: &N, key: &Key) -> Proof {
    let mut walk = Walk::new(nodes, key);
    while walk.step(nodes) {}
    walk.proof(nodes)
}

/// What [`prove`] gives, for each of many keys.
///
/// Keys take turns, so that one's cache misses pass while others are served: where a trie is much larger than the
/// caches and fetches in [`Nodes::child`], twice as fast as one by one.
pub fn prove_each<N: Nodes>(nodes: &N, keys: &[Key]) -> Vec<Proof> {
    let mut proofs = Vec::with_capacity(keys.len());
    let mut walks = Vec::with_capacity(WALKS);
    for keys in keys.chunks(WALKS) {
        walks.extend(keys.iter().map(|key| Walk::new(nodes, key)));
        // All of them take a step before the first is asked again.
        while walks.iter_mut().filter_map(|walk| walk.step(nodes).then_some(())).count() > 0 {}
        proofs.extend(walks.drain(..).map(|walk| walk.proof(nodes)));
    }
    proofs
}

/// A key's way down a trie.
struct Walk<'a, N: Nodes> {
    key: &'a Key,
    path: KeyPath,
    at: N::At,
    levels: Vec<Level>,
    /// Where it has ended.
    end: Option<End>,
}

impl<'a, N: Nodes> Walk<'a, N> {
    fn new(nodes: &N, key: &'a Key) -> Self {
        let levels = Vec::with_capacity(TYPICAL_LEVELS);
        Self { key, path: KeyPath::new(key), at: nodes.root_slot(), levels, end: None }
    }

    /// Goes down one level; `false` at the end.
    fn step(&mut self, nodes: &N) -> bool {
        if self.end.is_none() {
            self.end = self.visit(nodes);
        }
        self.end.is_none()
    }

    fn visit(&mut self, nodes: &N) -> Option<End> {
        let inner = match nodes.open(self.at) {
            Slot::Empty => return Some(End::Empty),
            Slot::Leaf(leaf) => return Some(leaf_end(&leaf, self.key)),
            Slot::Inner(inner) => inner,
        };
        if !inner.agrees(&self.path) {
            return Some(End::Diverging { skip: inner.skip, sum: inner.sum, children: inner.children });
        }
        let turn = inner.turn(&self.path);
        let is_there = inner.child(turn) != EMPTY_HASH;
        if is_there {
            // First, so that the trie can fetch the child while this level is made.
            self.at = nodes.child(self.at, turn);
        }
        self.levels.push(level(&inner, turn));
        (!is_there).then_some(End::Empty)
    }

    /// The proof, once the end is reached.
    fn proof(self, nodes: &N) -> Proof {
        let Self { levels, end, .. } = self;
        let end = end.unwrap_or(End::Empty);
        // One encoding for "nothing is in the empty trie", whose root says no depth.
        let nothing = levels.is_empty() && end == End::Empty;
        let root_depth = if nothing { 0 } else { nodes.root_depth() };
        Proof { root_depth, levels, end }
    }
}

/// An inner node as a proof by way of child `turn` has it.
pub(crate) fn level(inner: &InnerNode, turn: u8) -> Level {
    let [a, b, c] = inner.children;
    let off_path = match turn {
        0 => OffPath::Siblings([b, c]),
        1 => OffPath::Siblings([a, c]),
        _ => OffPath::Midstate(midstate(&a, &b)),
    };
    Level { skip_len: inner.skip.len, sum: inner.sum, off_path }
}

/// What a leaf shows of `key`.
fn leaf_end(leaf: &LeafNode<'_>, key: &Key) -> End {
    let sum = leaf.sum;
    if leaf.key == key {
        return End::Present { value: leaf.value.to_vec(), sum };
    }
    End::OtherLeaf { key: *leaf.key, content: content(leaf.value), value_len: leaf.value_len(), sum }
}
