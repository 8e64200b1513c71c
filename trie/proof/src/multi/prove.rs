//! Building multi-proofs from a trie.

use alloc::vec::Vec;
use core::ops::Range;

use super::codec::{EMPTY, Part};
use super::keys::AskedKeys;
use super::{KeyCountError, MultiProof};
use crate::node::{content, midstate};
use crate::proof::OffPath;
use crate::{EMPTY_HASH, InnerNode, Key, LeafNode, Nodes, Slot};

/// The proof that each of the keys has its value and sum, or is absent. Any order; duplicates count once.
///
/// Cost: one visit of each node on some key's path, and one compression for each that all its keys leave by child 2.
///
/// # Errors
///
/// [`KeyCountError`] for no key or more than [`super::MULTI_PROOF_KEYS_MAX`].
pub fn prove_many<N: Nodes>(nodes: &N, keys: &[Key]) -> Result<MultiProof, KeyCountError> {
    let asked = AskedKeys::new(keys, nodes.root_depth())?;
    let (mut codes, mut bodies) = (Vec::new(), Vec::new());
    let root = nodes.root_slot();
    // Slots still to be written, the next one last; where one is empty, only that is known.
    let mut stack = Vec::from([(root, nodes.open(root), asked.all())]);
    while let Some((at, slot, range)) = stack.pop() {
        let inner = match slot {
            Slot::Empty => {
                codes.push(EMPTY);
                continue;
            }
            Slot::Leaf(leaf) => {
                codes.push(leaf_part(&leaf, &asked, &range).write(&mut bodies));
                continue;
            }
            Slot::Inner(inner) => inner,
        };
        let agreeing = asked.agreeing(&range, inner.slot, &inner.skip);
        if agreeing.is_empty() {
            let InnerNode { skip, sum, children, .. } = inner;
            codes.push(Part::Diverging { skip, sum, children }.write(&mut bodies));
            continue;
        }
        let turns = asked.turns(&agreeing, inner.slot.saturating_add(inner.skip.len));
        let mut rest = inner.sum;
        for ((turn, range), hash) in [0, 1, 2].into_iter().zip(&turns).zip(&inner.children).rev() {
            if range.is_empty() {
                continue;
            }
            let (below, slot) = if *hash == EMPTY_HASH {
                (at, Slot::Empty)
            } else {
                let below = nodes.child(at, turn);
                (below, nodes.open(below))
            };
            // A trie's sums add up.
            rest = rest.saturating_sub(slot.sum());
            stack.push((below, slot, range.clone()));
        }
        let all_share = asked.share(&range, inner.slot, inner.skip.len);
        let part = Part::Inner {
            skip_len: inner.skip.len,
            skip: (!all_share).then_some(inner.skip),
            rest,
            off_path: off_path(&inner, &turns),
        };
        codes.push(part.write(&mut bodies));
    }
    // One encoding for "nothing is in the empty trie", whose root says no depth.
    let root_depth = if codes == [EMPTY] { 0 } else { nodes.root_depth() };
    Ok(MultiProof { root_depth, codes, bodies })
}

impl Slot<'_> {
    fn sum(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Leaf(leaf) => leaf.sum,
            Self::Inner(inner) => inner.sum,
        }
    }
}

/// What a leaf shows of the keys of its slot.
fn leaf_part<'a>(leaf: &LeafNode<'a>, asked: &AskedKeys, range: &Range<usize>) -> Part<'a> {
    let keys = asked.get(range);
    let (value, sum) = (leaf.value, leaf.sum);
    match keys.iter().position(|asked| asked.key == *leaf.key) {
        Some(index) => Part::Own { index: (keys.len() > 1).then(|| index_number(index)), value, sum },
        None => Part::Other { key: *leaf.key, content: content(value), value_len: leaf.value_len(), sum },
    }
}

/// An index below 2^16.
fn index_number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

/// The children off the path, where some keys take each of the turns that are not empty.
fn off_path(inner: &InnerNode, turns: &[Range<usize>; 3]) -> OffPath {
    let [a, b, _] = &inner.children;
    if super::keys::only_last(turns) {
        return OffPath::Midstate(midstate(a, b));
    }
    let mut siblings = [EMPTY_HASH; 2];
    let off = inner.children.iter().zip(turns).filter(|(_, range)| range.is_empty());
    siblings.iter_mut().zip(off).for_each(|(sibling, (hash, _))| *sibling = *hash);
    OffPath::Siblings(siblings)
}
