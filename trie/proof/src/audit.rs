//! A node with its children, opened so that anyone can redo the addition.

use alloc::vec::Vec;

use crate::key_path::KeyPath;
use crate::node::{Block, TAG_INNER, TAG_LEAF, block_fields, block_hash};
use crate::nodes::{InnerNode, Nodes, Slot};
use crate::{EMPTY_HASH, Hash, Key};

/// The preimages of an inner node and of its non-empty children.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct SumOpening {
    /// Preimage of the node.
    pub node: Block,
    /// Preimages of its children; `None` where the child is empty.
    pub children: [Option<Block>; 3],
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

/// Openings of all inner nodes on the way to `key` or to where it would be, root side first.
///
/// The first opens the root's hash (none if the trie has fewer than two keys), each further one a child of
/// the one before it.
pub fn open_sums<N: Nodes>(nodes: &N, key: &Key) -> Vec<SumOpening> {
    let path = KeyPath::new(key);
    let mut openings = Vec::new();
    let mut at = Some(nodes.root_slot());
    while let Some(Slot::Inner(inner)) = at.map(|at| nodes.open(at)) {
        let below = at.map(|at| child_slots(nodes, at, &inner)).unwrap_or_default();
        let children = below.map(|child| child.and_then(|child| nodes.open(child).block()));
        openings.push(SumOpening { node: inner.block(), children });
        at = below.into_iter().nth(usize::from(inner.turn(&path))).flatten();
    }
    openings
}

/// The slots of an inner node's non-empty children.
fn child_slots<N: Nodes>(nodes: &N, at: N::At, inner: &InnerNode) -> [Option<N::At>; 3] {
    let mut turn = 0..;
    inner.children.map(|hash| turn.next().filter(|_| hash != EMPTY_HASH).map(|turn| nodes.child(at, turn)))
}
