//! What a contender's process hands to the parent, as one line of JSON.

use crate::contenders::Name;
use crate::measure::{Memory, Rate};
use serde::{Deserialize, Serialize};

/// Everything measured of one contender.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) contender: Name,
    pub(crate) keys: u64,
    /// The final root in hexadecimal.
    pub(crate) root: String,
    pub(crate) load: Rate,
    pub(crate) updates: Updates,
    pub(crate) proofs: Option<Proofs>,
    pub(crate) disk: Option<Disk>,
    pub(crate) ours: Option<Ours>,
}

/// The update batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Updates {
    pub(crate) batches: u64,
    /// Changes per second, the median over batches.
    pub(crate) median: Rate,
    /// Changes per second over all batches, ends of epochs with their full weight.
    pub(crate) mean: Rate,
    /// CPU milliseconds of every batch, the end of an epoch in those that end one.
    pub(crate) batch_cpu_ms: Vec<f64>,
    pub(crate) windows: Vec<Window>,
    /// After the last batch.
    pub(crate) memory: Memory,
    /// Cache flushes of the block device while the batches ran, whoever asked for them.
    pub(crate) device_flushes: Option<u64>,
}

/// When a batch was worked on, in seconds since 1970.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) start: f64,
    /// The batch is in; what is left is the end of an epoch, if it is one.
    pub(crate) applied: f64,
    pub(crate) end: f64,
}

/// Single proofs of random keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Proofs {
    /// Keys not asked for before.
    pub(crate) prove: Rate,
    /// The same keys once more, now in the caches.
    pub(crate) prove_again: Rate,
    /// One by one.
    pub(crate) verify: Rate,
    /// Mean size, without key and value.
    pub(crate) bytes: f64,
}

/// Bytes allocated on disk.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Disk {
    /// After the last batch.
    pub(crate) written: u64,
    /// After what the contender offers to tidy up: folding, pruning.
    pub(crate) tidied: u64,
}

/// What only our trie is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ours {
    /// `None` on disk, where the trie does not say.
    pub(crate) nodes: Option<Nodes>,
    /// `None` if the plan has no proofs.
    pub(crate) proofs: Option<OurProofs>,
}

/// Nodes of the current state and of the retained epochs together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Nodes {
    /// BLAKE3 compressions per change, ends of epochs included.
    pub(crate) compressions: f64,
    pub(crate) leaves: u64,
    pub(crate) inner: u64,
    /// Bytes the trie itself counts as its own, in use or set aside.
    pub(crate) bytes: u64,
}

/// Proofs in numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OurProofs {
    /// Mean bytes of a single proof that state sums.
    pub(crate) sum_bytes: f64,
    /// Single proofs per second, many made in one call.
    pub(crate) prove_each: Rate,
    /// Proofs per second, many verified in one call.
    pub(crate) verify_batch: Rate,
    /// Keys per second, proved by one multi-proof.
    pub(crate) prove_many: Rate,
    /// Keys per second, verified by one multi-proof.
    pub(crate) verify_many: Rate,
    /// Mean bytes of a multi-proof, without keys and values.
    pub(crate) multi_bytes: f64,
    /// Mean bytes of the single proofs of the same keys, without keys and values.
    pub(crate) single_bytes: f64,
}
