//! The way down of an update: all structure is made here. See `update.rs`.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "arithmetic kernel: turns are 0 to 2, depths at most 162, and a batch has fewer than 2^32 items"
)]

use crate::cell::{Named, NodeCell, Ref, common_head, span, trit_of_head};
use crate::partition::{Partition, turn};
use crate::past::Moments;
use crate::update::{Batch, Change, Item};
use smt_trie_proof::{Key, KeyPath, LEADING_TRITS, leading_trits};

/// How the changes of a slot part among the children of its node.
struct Fork {
    children: [Ref; 3],
    /// Trit at which they part.
    branch: u8,
    /// Where the changes for child 1 and for child 2 begin.
    parts: [usize; 2],
}

impl Partition {
    /// Makes the structure of one slot and hands its changes down to `next`.
    #[inline]
    pub(crate) fn descend<B: Batch + ?Sized>(
        &mut self,
        item: &mut Item,
        index: u32,
        changes: &mut [Change],
        batch: &B,
        next: &mut Vec<Item>,
    ) {
        let here = &changes[item.range()];
        let (Some(first), Some(last)) = (here.first(), here.last()) else {
            // Only moved to another depth.
            return;
        };
        match item.at.named() {
            Named::Node(number) => {
                let node = self.nodes.get(number);
                if node.is_shallow() && first.head >= node.head && last.head - node.head < span(node.branch) {
                    let number = self.own_node(number);
                    item.at = Ref::node(number);
                    let node = self.nodes.get(number);
                    let parts = cut(here, node.head, node.branch);
                    let fork = Fork { children: node.children, branch: node.branch, parts };
                    self.hand_down(item, index, &fork, next);
                    return;
                }
            }
            Named::Leaf(number) => {
                if here.len() == 1 && *batch.key(first.position) == self.leaves.get(number).key {
                    self.change_leaf(item, number, batch.leaf(first.position));
                    return;
                }
            }
            Named::Nothing => {}
        }
        self.reshape(item, index, changes, batch, next);
    }

    /// Adds a child slot to `next` for each part of an item's changes that is not empty.
    fn hand_down(&self, item: &Item, index: u32, fork: &Fork, next: &mut Vec<Item>) {
        let &Fork { children, branch, parts } = fork;
        let bounds = [item.from, item.from + parts[0] as u32, item.from + parts[1] as u32, item.to];
        for turn in 0..3 {
            let (from, to) = (bounds[turn], bounds[turn + 1]);
            if from < to {
                let at = children[turn];
                next.push(Item { at, parent: index, turn: turn as u8, slot: branch + 1, from, to, delta: 0 });
            }
        }
    }

    /// Puts or removes the one leaf of a slot.
    fn change_leaf(&mut self, item: &mut Item, number: u32, leaf: Option<(&[u8], u64)>) {
        match leaf {
            Some((value, sum)) => {
                let (number, before) = self.set_leaf(number, value, sum);
                item.at = Ref::leaf(number);
                item.delta = sum.wrapping_sub(before);
            }
            None => {
                item.delta = 0u64.wrapping_sub(self.leaves.get(number).sum);
                item.at = Ref::NOTHING;
                self.root.len -= 1;
                self.drop_leaf(number);
            }
        }
    }

    /// The general case: empty slots, leaves among other keys, skips that changes part from, deep nodes.
    fn reshape<B: Batch + ?Sized>(
        &mut self,
        item: &mut Item,
        index: u32,
        changes: &mut [Change],
        batch: &B,
        next: &mut Vec<Item>,
    ) {
        // Removals of what cannot be here fall away first, so that they copy and shape nothing.
        let here = &mut changes[item.range()];
        let kept = keep(here, |change| {
            batch.leaf(change.position).is_some() || self.may_hold(item.at, change, batch.key(change.position))
        });
        let here = &here[..kept];
        item.to = item.from + kept as u32;
        let [first, ends @ ..] = here else { return };
        let last = ends.last().unwrap_or(first);
        let shared = |change: &Change| self.shared(item.at, change, batch.key(change.position));
        let (branch, pending) = match item.at.named() {
            Named::Nothing => {
                if here.len() == 1 {
                    if let Some((value, sum)) = batch.leaf(first.position) {
                        item.at = Ref::leaf(self.new_leaf(batch.key(first.position), value, sum));
                        item.delta = sum;
                        self.root.len += 1;
                    }
                    return;
                }
                (common(first, last, batch), 0)
            }
            Named::Leaf(number) => {
                if here.len() == 1 && *batch.key(first.position) == self.leaves.get(number).key {
                    return self.change_leaf(item, number, batch.leaf(first.position));
                }
                (shared(first).min(shared(last)), self.leaves.get(number).sum)
            }
            Named::Node(number) => {
                let node = self.nodes.get(number);
                let branch = shared(first).min(shared(last));
                if branch >= node.branch {
                    let number = self.own_node(number);
                    item.at = Ref::node(number);
                    let node = self.nodes.get(number);
                    let parts = cut_any(here, node.head, node.branch, batch);
                    let fork = Fork { children: node.children, branch: node.branch, parts };
                    return self.hand_down(item, index, &fork, next);
                }
                (branch, node.sum)
            }
        };
        // Keys part above what stood here: it becomes one of the children of a new node.
        let old = item.at;
        let node = NodeCell::new(branch, first.head, pending);
        let parts = cut_any(here, node.head, branch, batch);
        let mut children = [Ref::NOTHING; 3];
        if let Some(turn) = self.turn_of(old, branch) {
            children[turn] = old;
            let empty = [0, parts[0], parts[1], kept];
            if empty[turn] == empty[turn + 1] {
                let at = item.from + empty[turn] as u32;
                let moved =
                    Item { at: old, parent: index, turn: turn as u8, slot: branch + 1, from: at, to: at, delta: 0 };
                next.push(moved);
            }
        }
        self.hand_down(item, index, &Fork { children, branch, parts }, next);
        item.at = Ref::node(self.new_node(node));
    }

    /// Whether a key may be in a slot where `at` stands.
    fn may_hold(&self, at: Ref, change: &Change, key: &Key) -> bool {
        match at.named() {
            Named::Nothing => false,
            Named::Leaf(leaf) => self.leaves.get(leaf).key == *key,
            Named::Node(node) => self.shared(at, change, key) >= self.nodes.get(node).branch,
        }
    }

    /// How many leading trits a change shares with all keys below `at`, up to the branch of a node.
    fn shared(&self, at: Ref, change: &Change, key: &Key) -> u8 {
        let (head, branch) = match at.named() {
            Named::Nothing => return 0,
            Named::Leaf(leaf) => (leading_trits(&self.leaves.get(leaf).key), smt_trie_proof::PATH_TRITS),
            Named::Node(node) => (self.nodes.get(node).head, self.nodes.get(node).branch),
        };
        let shared = common_head(head, change.head);
        if shared < LEADING_TRITS || branch <= LEADING_TRITS {
            return shared.min(branch);
        }
        let path = match at.named() {
            Named::Leaf(leaf) => KeyPath::new(&self.leaves.get(leaf).key),
            Named::Node(node) => self.path_below(self.nodes.get(node), Moments::NOW),
            Named::Nothing => return 0,
        };
        path.common_trits(&KeyPath::new(key)).min(branch)
    }

    /// Which child of a new node that branches at `branch` what stands at `at` becomes.
    fn turn_of(&self, at: Ref, branch: u8) -> Option<usize> {
        match at.named() {
            Named::Nothing => None,
            Named::Leaf(leaf) => {
                let key = &self.leaves.get(leaf).key;
                Some(turn(key, leading_trits(key), branch))
            }
            Named::Node(node) => {
                let node = self.nodes.get(node);
                if branch < LEADING_TRITS {
                    Some(trit_of_head(node.head, branch))
                } else {
                    Some(usize::from(self.path_below(node, Moments::NOW).trit(branch)))
                }
            }
        }
    }
}

/// Moves the changes to keep to the front, in order, and returns how many they are.
fn keep(changes: &mut [Change], mut wanted: impl FnMut(&Change) -> bool) -> usize {
    let mut kept = 0;
    for index in 0..changes.len() {
        if wanted(&changes[index]) {
            changes.swap(kept, index);
            kept += 1;
        }
    }
    kept
}

/// Leading trits two different keys share.
fn common<B: Batch + ?Sized>(a: &Change, b: &Change, batch: &B) -> u8 {
    if a.head != b.head {
        return common_head(a.head, b.head);
    }
    KeyPath::new(batch.key(a.position)).common_trits(&KeyPath::new(batch.key(b.position)))
}

/// Where changes that all start with the `branch` trits of `head` part at trit `branch`, below 40.
#[inline]
fn cut(changes: &[Change], head: u64, branch: u8) -> [usize; 2] {
    let third = span(branch + 1);
    if let [only] = changes {
        let offset = only.head - head;
        return [usize::from(offset < third), usize::from(offset < 2 * third)];
    }
    let one = changes.partition_point(|change| change.head < head + third);
    let two = one + changes[one..].partition_point(|change| change.head < head + 2 * third);
    [one, two]
}

/// As [`cut`], for any branch.
fn cut_any<B: Batch + ?Sized>(changes: &[Change], head: u64, branch: u8, batch: &B) -> [usize; 2] {
    if branch < LEADING_TRITS {
        return cut(changes, head, branch);
    }
    let upto = |trit| changes.partition_point(|change| KeyPath::new(batch.key(change.position)).trit(branch) < trit);
    [upto(1), upto(2)]
}
