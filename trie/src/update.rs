//! Batch update: one walk over a sorted batch; every node on it is rebuilt and hashed once.
//!
//! Everything that can refuse a batch is checked before the first change, so an update happens
//! whole or not at all. Nodes are changed in place where no clone of the trie shares them and copied
//! where one does. Recursion goes one trit down at least, so it is at most 163
//! calls deep whatever the keys.

use std::sync::Arc;

use crate::Key;
use crate::hash::VALUE_BYTES_MAX;
use crate::key_path::KeyPath;
use crate::node::{InnerNode, LeafContent, LeafNode, Node, Slot, slot_hash};
use crate::trie::Leaf;

/// Why a batch was refused; the trie is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// Two items of the batch have one key; the trie will not guess which is meant.
    #[error("batch names key {} twice", blake3::Hash::from_bytes(*key).to_hex())]
    DuplicateKey {
        /// The key.
        key: Key,
    },
    /// A value is longer than the format allows.
    #[error("value of {got} bytes, at most {VALUE_BYTES_MAX} are allowed")]
    ValueTooLong {
        /// The key of the value.
        key: Key,
        /// Its length in bytes.
        got: usize,
    },
    /// A key does not share the first root-depth trits with the other keys of batch and trie.
    #[error("key {} shares {got} leading trits with the trie's keys, {want} are needed", blake3::Hash::from_bytes(*key).to_hex())]
    ForeignKey {
        /// The key.
        key: Key,
        /// Trits it shares.
        got: u8,
        /// The trie's root depth.
        want: u8,
    },
    /// The total would not fit u64.
    #[error("the sums would add up to {total}, more than u64 holds")]
    SumOverflow {
        /// What all leaves would add up to.
        total: u128,
    },
}

/// One item of a batch: a new leaf, or `None` to remove the key.
struct Change {
    key: Key,
    path: KeyPath,
    leaf: Option<LeafContent>,
}

/// Applies `batch` to a root slot, or leaves the slot as it is.
pub(crate) fn apply(
    root: &mut Slot,
    root_depth: u8,
    batch: impl IntoIterator<Item = (Key, Option<Leaf>)>,
) -> Result<(), UpdateError> {
    let mut changes = sorted(batch)?;
    check_prefix(root, root_depth, &changes)?;
    check_total(root, &changes)?;
    *root = slot_after(root.take(), root_depth, &mut changes);
    Ok(())
}

/// The batch in key order.
fn sorted(batch: impl IntoIterator<Item = (Key, Option<Leaf>)>) -> Result<Vec<Change>, UpdateError> {
    let mut changes = Vec::new();
    for (key, leaf) in batch {
        let path = KeyPath::new(&key);
        let leaf = match leaf {
            None => None,
            Some(Leaf { value, sum }) => {
                let got = value.len();
                let content = LeafContent::new(value, sum);
                Some(content.ok_or(UpdateError::ValueTooLong { key, got })?)
            }
        };
        changes.push(Change { key, path, leaf });
    }
    changes.sort_unstable_by_key(|change| change.key);
    let twice = changes.windows(2).find_map(|pair| match pair {
        [a, b] if a.key == b.key => Some(a.key),
        _ => None,
    });
    twice.map_or(Ok(changes), |key| Err(UpdateError::DuplicateKey { key }))
}

/// All keys of batch and trie share their first root-depth trits. Checking the ends of the sorted
/// batch is enough: what lies between shares what they share.
fn check_prefix(root: &Slot, root_depth: u8, changes: &[Change]) -> Result<(), UpdateError> {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
        return Ok(());
    };
    let of_trie = root.as_ref().map_or(first.path, |node| node.path());
    for change in [first, last] {
        let got = change.path.common_trits(&of_trie);
        if got < root_depth {
            return Err(UpdateError::ForeignKey { key: change.key, got, want: root_depth });
        }
    }
    Ok(())
}

/// The total after the batch fits u64; then so does every sum below the root. It is the total that
/// counts, not the way there: one leaf may give in a batch what another takes.
fn check_total(root: &Slot, changes: &[Change]) -> Result<(), UpdateError> {
    let mut total = root.as_ref().map_or(0, |node| u128::from(node.sum()));
    let mut removed = 0u128;
    for change in changes {
        let new = change.leaf.as_ref().map_or(0, |leaf| leaf.sum);
        let old = root.as_ref().and_then(|node| node.find(&change.key, &change.path));
        // Fewer than 2^64 items of less than 2^64 each: u128 holds both.
        total = total.saturating_add(u128::from(new));
        removed = removed.saturating_add(old.map_or(0, |leaf| u128::from(leaf.content.sum)));
    }
    total = total.saturating_sub(removed);
    match u64::try_from(total) {
        Ok(_) => Ok(()),
        Err(_) => Err(UpdateError::SumOverflow { total }),
    }
}

/// The slot at depth `slot` after `changes`, whose keys all belong there.
///
/// `old` holds the slot's keys before; its own depth may be smaller, where a shared skip is being
/// taken apart.
fn slot_after(old: Slot, slot: u8, changes: &mut [Change]) -> Slot {
    let Some(node) = old else {
        return slot_of_changes(slot, changes);
    };
    if changes.is_empty() {
        return Some(node.at_slot(slot));
    }
    match &*node {
        Node::Leaf(leaf) => {
            let key = leaf.key;
            slot_with_leaf(node, key, slot, changes)
        }
        Node::Inner(inner) => {
            // The trit at which changes and node part, if before the node's own branch. The changes
            // are sorted, so their ends share the least with the node.
            let branch = [changes.first(), changes.last()]
                .into_iter()
                .flatten()
                .map(|change| change.path.common_trits(&inner.path))
                .fold(inner.branch, u8::min);
            if branch == inner.branch {
                slot_with_inner(node, slot, changes)
            } else {
                let path = inner.path;
                slot_parted(node, path, branch, slot, changes)
            }
        }
    }
}

/// An empty slot after `changes`.
fn slot_of_changes(slot: u8, changes: &mut [Change]) -> Slot {
    let (first, last) = match changes {
        [] => return None,
        [only] => {
            let content = only.leaf.take()?;
            let leaf = LeafNode::new(slot, only.key, content);
            return Some(Arc::new(Node::Leaf(leaf)));
        }
        [first, .., last] => (first.path, last.path),
    };
    // Keys differ, so this is a trit of the path, at `slot` or deeper.
    let branch = first.common_trits(&last);
    let below = branch.saturating_add(1);
    let children = split(changes, branch).map(|part| slot_of_changes(below, part));
    joined(slot, branch, first, children)
}

/// A slot that holds the leaf of `key`, after `changes` (at least one).
fn slot_with_leaf(mut node: Arc<Node>, key: Key, slot: u8, changes: &mut [Change]) -> Slot {
    let place = match changes.binary_search_by_key(&key, |change| change.key) {
        Err(place) => place,
        Ok(_) => {
            let [only] = changes else {
                return slot_of_changes(slot, changes);
            };
            let leaf = Node::Leaf(LeafNode::new(slot, key, only.leaf.take()?));
            match Arc::get_mut(&mut node) {
                Some(alone) => *alone = leaf,
                None => node = Arc::new(leaf),
            }
            return Some(node);
        }
    };
    // The old leaf joins the batch as if it were put again.
    let leaf = match Arc::unwrap_or_clone(node) {
        Node::Leaf(leaf) => Some(leaf.content),
        Node::Inner(_) => unreachable!("`slot_after` comes here with leaves alone"),
    };
    let path = KeyPath::new(&key);
    let old = Change { key, path, leaf };
    let mut merged = Vec::with_capacity(changes.len().saturating_add(1));
    let taken = |change: &mut Change| Change { leaf: change.leaf.take(), ..*change };
    let (before, after) = changes.split_at_mut(place);
    merged.extend(before.iter_mut().map(taken));
    merged.push(old);
    merged.extend(after.iter_mut().map(taken));
    slot_of_changes(slot, &mut merged)
}

/// A slot that holds an inner node to whose children all `changes` (at least one) belong.
fn slot_with_inner(mut node: Arc<Node>, slot: u8, changes: &mut [Change]) -> Slot {
    let Node::Inner(inner) = Arc::make_mut(&mut node) else {
        unreachable!("`slot_after` comes here with inner nodes alone");
    };
    let below = inner.branch.saturating_add(1);
    let mut changed = false;
    for (child, part) in inner.children.iter_mut().zip(split(changes, inner.branch)) {
        if !part.is_empty() {
            let before = slot_hash(child);
            *child = slot_after(child.take(), below, part);
            changed |= slot_hash(child) != before;
        }
    }
    if inner.children.iter().flatten().count() < 2 {
        let children = std::mem::take(&mut inner.children);
        return joined(slot, inner.branch, inner.path, children);
    }
    // Equal hashes are equal content: a batch that changes nothing here costs no hash.
    if changed {
        inner.recompute();
    }
    Some(node.at_slot(slot))
}

/// A slot whose inner node, on `path`, parts from some of the `changes` at trit `branch`, above its
/// own.
fn slot_parted(node: Arc<Node>, path: KeyPath, branch: u8, slot: u8, changes: &mut [Change]) -> Slot {
    let below = branch.saturating_add(1);
    let mut children = [None, None, None];
    if let Some(child) = children.get_mut(usize::from(path.trit(branch))) {
        *child = Some(node);
    }
    for (child, part) in children.iter_mut().zip(split(changes, branch)) {
        *child = slot_after(child.take(), below, part);
    }
    joined(slot, branch, path, children)
}

/// Cuts sorted changes that agree before trit `branch` by that trit.
fn split(changes: &mut [Change], branch: u8) -> [&mut [Change]; 3] {
    let upto = |trit| changes.partition_point(|change| change.path.trit(branch) < trit);
    let (one, two) = (upto(1), upto(2));
    let (low, high) = changes.split_at_mut(two);
    let (low, middle) = low.split_at_mut(one);
    [low, middle, high]
}

/// The slot over three child slots at depth `branch + 1`: empty, or the only child moved up (a
/// node with one child would make the root depend on history), or an inner node.
fn joined(slot: u8, branch: u8, path: KeyPath, children: [Slot; 3]) -> Slot {
    if children.iter().flatten().count() < 2 {
        let only = children.into_iter().flatten().next()?;
        return Some(only.at_slot(slot));
    }
    let node = InnerNode::new(slot, branch, path, children);
    Some(Arc::new(Node::Inner(node)))
}
