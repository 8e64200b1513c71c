//! A node with its children, opened so that anyone can redo the addition.

use crate::hash::{Block, TAG_INNER, TAG_LEAF, block_fields, block_hash};
use crate::key_path::KeyPath;
use crate::node::Node;
use crate::trie::Trie;
use crate::{EMPTY_HASH, Hash, Key, NODE_BYTES};

/// The preimages of an inner node and of its non-empty children.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct SumOpening {
    /// Preimage of the node.
    pub node: [u8; NODE_BYTES],
    /// Preimages of its children; `None` where the child is empty.
    pub children: [Option<[u8; NODE_BYTES]>; 3],
}

/// The sums an opened node and its children state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct NodeSums {
    /// The node's own sum.
    pub stated: u64,
    /// Its children's sums; 0 where empty.
    pub children: [u64; 3],
}

impl NodeSums {
    /// Whether the node's sum is its children's; `false` convicts whoever vouched for the hash.
    pub fn add_up(&self) -> bool {
        let total: u128 = self.children.iter().map(|&sum| u128::from(sum)).sum();
        total == u128::from(self.stated)
    }
}

/// Why an opening says nothing about a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The node's preimage does not hash to the value asked about.
    #[error("the opened node has another hash")]
    NodeHash,
    /// The node's preimage is not an inner node's.
    #[error("the opened node has tag {0}, an inner node has {TAG_INNER}")]
    NotInner(u8),
    /// A child's preimage is missing, superfluous or of another hash.
    #[error("child {0} is not what the node names")]
    Child(u8),
    /// A child's preimage has a tag no node has.
    #[error("child {child} has tag {tag}")]
    ChildTag {
        /// Which child.
        child: u8,
        /// Its tag.
        tag: u8,
    },
}

impl SumOpening {
    /// The sums stated by the inner node of this hash and by its children.
    ///
    /// # Errors
    ///
    /// [`AuditError`] if the preimages are not those of the node and all its children.
    pub fn check(&self, node_hash: &Hash) -> Result<NodeSums, AuditError> {
        if block_hash(&self.node) != *node_hash {
            return Err(AuditError::NodeHash);
        }
        let (tag, hashes, stated) = block_fields(&self.node);
        if tag != TAG_INNER {
            return Err(AuditError::NotInner(tag));
        }
        let mut sums = [0; 3];
        for (((child, sum), hash), index) in self.children.iter().zip(&mut sums).zip(hashes).zip(0..) {
            let opened = child.as_ref().map_or(EMPTY_HASH, block_hash);
            if opened != hash {
                return Err(AuditError::Child(index));
            }
            if let Some(block) = child {
                let (tag, _, child_sum) = block_fields(block);
                if tag != TAG_INNER && tag != TAG_LEAF {
                    return Err(AuditError::ChildTag { child: index, tag });
                }
                *sum = child_sum;
            }
        }
        Ok(NodeSums { stated, children: sums })
    }
}

impl Trie {
    /// Openings of all inner nodes on the path of `key`, root side first.
    ///
    /// The first opens the root's hash (none if the trie has fewer than two keys), each further one
    /// a child of the one before it.
    pub fn open_sums(&self, key: &Key) -> Vec<SumOpening> {
        let path = KeyPath::new(key);
        let mut openings = Vec::new();
        let mut slot = self.slot.as_deref();
        while let Some(Node::Inner(inner)) = slot {
            let below = inner.children.each_ref().map(|child| child.as_deref().map(block));
            let levels = inner.levels();
            // A chain node's only child is the node below it.
            openings.extend(levels.chain.map(|chain| SumOpening {
                node: chain.block(),
                children: chain.children.map(|hash| (hash != EMPTY_HASH).then(|| levels.last.block())),
            }));
            openings.push(SumOpening { node: levels.last.block(), children: below });
            slot = inner.child(&path).map(|node| &**node);
        }
        openings
    }
}

/// The preimage of a node's hash.
fn block(node: &Node) -> Block {
    match node {
        Node::Leaf(leaf) => leaf.block(),
        Node::Inner(inner) => inner.levels().top().block(),
    }
}
