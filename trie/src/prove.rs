//! Building proofs from a trie.

use crate::hash::Skip;
use crate::key_path::KeyPath;
use crate::node::{InnerLevel, Node};
use crate::proof::{End, Level, Proof};
use crate::trie::Trie;
use crate::{EMPTY_HASH, Hash, Key};

/// What the walk down a key's path has come to.
enum Step<'a> {
    Node(Option<&'a Node>),
    End(End),
}

impl Trie {
    /// The proof that `key` has its value and sum, or that it is absent.
    pub fn prove(&self, key: &Key) -> Proof {
        let path = KeyPath::new(key);
        let mut levels = Vec::new();
        let mut step = Step::Node(self.slot.as_deref());
        let end = loop {
            step = match step {
                Step::End(end) => break end,
                Step::Node(None) => Step::End(End::Empty),
                Step::Node(Some(Node::Leaf(leaf))) => {
                    let content = &leaf.content;
                    Step::End(if leaf.key == *key {
                        End::Present { value: content.value.to_vec(), sum: content.sum }
                    } else {
                        End::OtherLeaf {
                            key: leaf.key,
                            digest: content.digest,
                            value_len: content.value_len,
                            sum: content.sum,
                        }
                    })
                }
                Step::Node(Some(Node::Inner(inner))) => {
                    let end = inner.levels().iter().find_map(|level| descend(level, &path, &mut levels));
                    let below = || Step::Node(inner.child(&path).map(|node| &**node));
                    end.map_or_else(below, Step::End)
                }
            };
        };
        // One encoding for "nothing is in the empty trie", whose root says no depth.
        let root_depth = if self.is_empty() { 0 } else { self.root_depth };
        Proof { root_depth, levels, end }
    }
}

/// Goes through one inner node: either the proof ends here, or a level is added to it.
fn descend(level: &InnerLevel, path: &KeyPath, levels: &mut Vec<Level>) -> Option<End> {
    let skip_len = level.skip.len;
    if Skip::of_path(path, level.slot, skip_len) != level.skip {
        return Some(End::Diverging { skip: level.skip, sum: level.sum, children: level.children.map(present) });
    }
    let [a, b, c] = level.children;
    let (on_path, siblings) = match path.trit(level.slot.saturating_add(skip_len)) {
        0 => (a, [b, c]),
        1 => (b, [a, c]),
        _ => (c, [a, b]),
    };
    levels.push(Level { skip_len, sum: level.sum, siblings: siblings.map(present) });
    (on_path == EMPTY_HASH).then_some(End::Empty)
}

fn present(hash: Hash) -> Option<Hash> {
    (hash != EMPTY_HASH).then_some(hash)
}
