//! A naive trie by the crate header's text: built at once from all keys, hashed eagerly, one node at a time.
//!
//! It shares no code with the crate but the types of [`Nodes`]: trits come from tripling the key, preimages are
//! put together byte by byte.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "test code, of which every test uses a part"
)]

use std::collections::BTreeMap;

use smt_trie_proof::{Hash, InnerNode, Key, KeyPath, LeafNode, Nodes, Root, Skip, Slot};

/// Value and sum.
pub type Content = (Vec<u8>, u64);

/// A trie that does not change.
pub struct Reference {
    root_depth: u8,
    /// The root's slot last.
    nodes: Vec<Node>,
    leaves: BTreeMap<Key, Content>,
}

struct Node {
    slot: u8,
    sum: u64,
    hash: Hash,
    kind: Kind,
}

enum Kind {
    Empty,
    Leaf(Key),
    Inner { skip: Skip, children: [usize; 3] },
}

impl Reference {
    pub fn new(root_depth: u8, leaves: impl IntoIterator<Item = (Key, Content)>) -> Self {
        let mut trie = Self { root_depth, nodes: Vec::new(), leaves: leaves.into_iter().collect() };
        let paths: Vec<(Vec<u8>, Key)> = trie.leaves.keys().map(|key| (trits(key), *key)).collect();
        trie.add(root_depth, &paths);
        trie
    }

    pub fn root(&self) -> Root {
        let root = &self.nodes[self.root_slot()];
        Root { hash: root.hash, sum: root.sum }
    }

    pub fn get(&self, key: &Key) -> Option<&Content> {
        self.leaves.get(key)
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.leaves.keys()
    }

    pub fn leaves(&self) -> &BTreeMap<Key, Content> {
        &self.leaves
    }

    /// Adds the slot at depth `slot` with these keys, and all below it; answers where it is.
    fn add(&mut self, slot: u8, keys: &[(Vec<u8>, Key)]) -> usize {
        let node = match keys {
            [] => Node { slot, sum: 0, hash: [0; 32], kind: Kind::Empty },
            [(_, key)] => self.leaf(slot, key),
            [(first, key), .., (last, _)] => {
                let from = usize::from(slot);
                let shared = first[from..].iter().zip(&last[from..]).take_while(|(a, b)| a == b).count();
                let skip = shared.min(105);
                let branch = from + skip;
                let children = [0, 1, 2].map(|turn| {
                    let below: Vec<_> = keys.iter().filter(|(path, _)| path[branch] == turn).cloned().collect();
                    self.add(branch as u8 + 1, &below)
                });
                self.inner(slot, key, &first[from..branch], children)
            }
        };
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn leaf(&self, slot: u8, key: &Key) -> Node {
        let (value, sum) = &self.leaves[key];
        let mut block = key.to_vec();
        if value.len() <= 64 {
            block.extend(value);
        } else {
            block.extend(blake3::keyed_hash(b"smt-trie leaf value BLAKE3 key 1", value).as_bytes());
        }
        block.resize(96, 0);
        block.extend([2, slot, 0]);
        block.extend(sum.to_le_bytes());
        block.extend((value.len() as u16).to_le_bytes());
        Node { slot, sum: *sum, hash: hash(block), kind: Kind::Leaf(*key) }
    }

    fn inner(&self, slot: u8, key: &Key, skipped: &[u8], children: [usize; 3]) -> Node {
        let below = children.map(|child| &self.nodes[child]);
        let sum = below.iter().map(|child| child.sum).sum::<u64>();
        let mut block: Vec<u8> = below.iter().flat_map(|child| child.hash).collect();
        block.extend([1, slot, skipped.len() as u8]);
        block.extend(sum.to_le_bytes());
        for five in skipped.chunks(5) {
            let trit = |i: usize| five.get(i).copied().unwrap_or(0);
            block.push(81 * trit(0) + 27 * trit(1) + 9 * trit(2) + 3 * trit(3) + trit(4));
        }
        let skip = Skip::of_path(&KeyPath::new(key), slot, skipped.len() as u8);
        Node { slot, sum, hash: hash(block), kind: Kind::Inner { skip, children } }
    }
}

fn hash(mut block: Vec<u8>) -> Hash {
    block.resize(128, 0);
    *blake3::hash(&block).as_bytes()
}

/// The key's path by the definition: tripling the fraction gives one trit after another.
pub fn trits(key: &Key) -> Vec<u8> {
    let mut rest = *key;
    let mut trit = || {
        let mut carry = 0;
        for byte in rest.iter_mut().rev() {
            let tripled = u16::from(*byte) * 3 + carry;
            *byte = tripled as u8;
            carry = tripled >> 8;
        }
        carry as u8
    };
    (0..162).map(|_| trit()).collect()
}

impl Nodes for Reference {
    type At = usize;

    fn root_depth(&self) -> u8 {
        self.root_depth
    }

    fn root_slot(&self) -> usize {
        self.nodes.len() - 1
    }

    fn open(&self, at: usize) -> Slot<'_> {
        let node = &self.nodes[at];
        let (slot, sum) = (node.slot, node.sum);
        match &node.kind {
            Kind::Empty => Slot::Empty,
            Kind::Leaf(key) => Slot::Leaf(LeafNode { slot, key, value: &self.leaves[key].0, sum }),
            Kind::Inner { skip, children } => {
                let children = children.map(|child| self.nodes[child].hash);
                Slot::Inner(InnerNode { slot, skip: *skip, sum, children })
            }
        }
    }

    fn child(&self, at: usize, turn: u8) -> usize {
        match self.nodes[at].kind {
            Kind::Inner { children, .. } if self.nodes[children[usize::from(turn)]].hash != [0; 32] => {
                children[usize::from(turn)]
            }
            _ => panic!("slot {at} has no child {turn}"),
        }
    }
}

/// A key like any other.
pub fn random_key(seed: u32) -> Key {
    *blake3::hash(&seed.to_le_bytes()).as_bytes()
}

/// `key` with bit `bit` (0 the lowest) flipped: the lower, the more trits stay shared.
pub fn flipped(key: &Key, bit: usize) -> Key {
    let mut other = *key;
    other[31 - bit / 8] ^= 1 << (bit % 8);
    other
}

/// Values of many lengths, short and long ones, and sums, all functions of the key.
pub fn trie_of(keys: impl IntoIterator<Item = Key>, root_depth: u8) -> Reference {
    let content = |key: Key| {
        let len = [0, 1, 31, 32, 33, 63, 64, 65, 200, 1024][usize::from(key[0] % 10)];
        let value = key.iter().copied().cycle().take(len).collect();
        (key, (value, u64::from(key[1]) << 8))
    };
    Reference::new(root_depth, keys.into_iter().map(content))
}

/// Tries with all shapes of nodes, long chains included, and keys to ask of each.
pub fn cases() -> Vec<(Reference, Vec<Key>)> {
    let centre = random_key(0);
    let mut keys: Vec<Key> = (0..30).map(random_key).collect();
    keys.extend([0, 3, 90, 97, 120, 200].map(|bit| flipped(&centre, bit)));
    let mut asked = vec![[0; 32], [255; 32], random_key(1), random_key(2), random_key(100), random_key(101), centre];
    asked.extend([0, 1, 40, 90, 91, 96, 150, 230, 255].map(|bit| flipped(&centre, bit)));
    // Pairs that part after 100 to 161 trits, on each side of what one skip holds, and keys that leave in between.
    let mut cases = vec![
        (trie_of([], 0), vec![[0; 32], centre]),
        (trie_of([], 5), vec![centre]),
        (trie_of([centre], 0), vec![centre, random_key(1)]),
        (trie_of([centre], 9), vec![centre, flipped(&centre, 3)]),
        (trie_of([centre, flipped(&centre, 0)], 9), asked.clone()),
        (trie_of(keys, 0), asked),
        (trie_of([[1; 32], [100; 32]], 0), vec![[255; 32], [200; 32], [180; 32], [1; 32]]),
    ];
    for bit in [0, 2, 20, 45, 86, 87, 88, 89, 90, 97] {
        for seed in 0..3 {
            let key = random_key(seed);
            let near = [0, 1, 46, 88, 89, 90, 91, 98, 200].map(|bit| flipped(&key, bit));
            let asked = [key, flipped(&key, bit)].into_iter().chain(near).collect();
            cases.push((trie_of([key, flipped(&key, bit)], 0), asked));
        }
    }
    cases
}
