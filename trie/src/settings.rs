//! How a trie is laid out in memory; none of it shows in a root.

use smt_trie_proof::{LEADING_TRITS, ROOT_DEPTH_MAX};

/// Most trits that choose a partition.
pub const PARTITION_TRITS_MAX: u8 = 6;

/// See [`Settings::sized_for`].
const KEYS_PER_PARTITION: u64 = 30_000;

/// Layout of a [`crate::Trie`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Depth of the root slot, in trits from the network's root: 0 to [`ROOT_DEPTH_MAX`]. All keys share so many trits.
    /// This one is part of the format.
    pub root_depth: u8,
    /// The trie is kept in `3^partition_trits` partitions, at most [`PARTITION_TRITS_MAX`] trits: the unit of
    /// parallel work and, on disk, of folding and caching. A trie so deep that a partition would start below trit 40
    /// has one.
    pub partition_trits: u8,
    /// Whether batches are spread over threads.
    pub parallel: Parallel,
    /// Ask the kernel for 2 MiB pages (Linux): about a quarter faster from a million keys on.
    pub huge_pages: bool,
}

/// Whether work on partitions is spread over rayon's threads. Results are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parallel {
    /// The calling thread alone.
    Never,
    /// Batches of some thousands and more go to all threads of rayon's current pool.
    #[default]
    Auto,
}

impl Default for Settings {
    /// Root depth 0, 27 partitions, threads and huge pages where they help.
    fn default() -> Self {
        Self { root_depth: 0, partition_trits: 3, parallel: Parallel::Auto, huge_pages: true }
    }
}

impl Settings {
    /// For a trie that will hold about `keys` keys: partitions of some tens of thousands each, so that what one batch
    /// touches of a partition stays in the processor's caches.
    pub fn sized_for(keys: u64) -> Self {
        let partitions = keys.checked_div(KEYS_PER_PARTITION).unwrap_or(0).max(1);
        // Nine at least, for threads; the nearest power of three below else.
        let partition_trits = u8::try_from(partitions.ilog(3)).unwrap_or(PARTITION_TRITS_MAX);
        Self { partition_trits: partition_trits.clamp(2, PARTITION_TRITS_MAX), ..Self::default() }
    }

    /// For tries of some hundred keys: one partition, no threads.
    pub fn small(root_depth: u8) -> Self {
        Self { root_depth, partition_trits: 0, parallel: Parallel::Never, huge_pages: false }
    }

    /// # Panics
    ///
    /// If the root depth or the partitions are out of range. They are constants of a program, never input.
    pub(crate) fn checked(mut self) -> Self {
        let Self { root_depth, partition_trits, .. } = self;
        assert!(root_depth <= ROOT_DEPTH_MAX, "root depth {root_depth} leaves no trit for keys to differ in");
        assert!(partition_trits <= PARTITION_TRITS_MAX, "at most {PARTITION_TRITS_MAX} trits choose a partition");
        if root_depth.saturating_add(partition_trits) > LEADING_TRITS {
            self.partition_trits = 0;
        }
        self
    }

    /// Depth of the partitions' slots.
    pub(crate) fn partition_slot(&self) -> u8 {
        self.root_depth.saturating_add(self.partition_trits)
    }
}
