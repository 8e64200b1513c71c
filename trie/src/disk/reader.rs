//! Reading while the writer writes.

use super::error::Error;
use super::state::{Shared, State};
use crate::{Entry, Key, Leaf, MultiProof, Proof, Root, Trie, View, prove_many};
use std::sync::{Arc, PoisonError};

/// A state of the trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The newest durable one.
    Current,
    /// The one retained as this epoch's.
    Epoch(u64),
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current => f.write_str("the newest state"),
            Self::Epoch(epoch) => write!(f, "the state of epoch {epoch}"),
        }
    }
}

/// What a reading needs in memory, where memory is bounded.
#[derive(Clone, Copy, Debug)]
pub enum Touch<'a> {
    /// The partitions of these keys.
    Keys(&'a [Key]),
    /// One partition, by its index in key order.
    Partition(usize),
    /// Everything, whatever the bound.
    All,
}

/// Reads a [`super::Database`] from any thread.
///
/// Each call sees one state, all of it: the newest durable one or a retained epoch's. Calls run side by side and wait
/// at most for one batch and its `fdatasync`; a call that must load an evicted partition waits for other readers too,
/// and they for it. The files stay open (and a directory locked) until database and readers are dropped.
///
/// Not for use on the threads of the rayon pool that the writer's batches run on: all of them waiting here for a batch
/// that waits for them would wait forever.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The commitment of a version.
    ///
    /// # Errors
    ///
    /// Here and in all other calls: [`Error::EpochNotRetained`]; [`Error::Poisoned`] after a failed write; and where
    /// memory is bounded [`Error::Disk`].
    pub fn root(&self, version: Version) -> Result<Root, Error> {
        Ok(view(&self.shared.read()?.trie, version)?.root())
    }

    /// The retained epochs, oldest first.
    pub fn epochs(&self) -> Result<Vec<u64>, Error> {
        Ok(self.shared.read()?.retained.iter().map(|mark| mark.epoch).collect())
    }

    /// What `key` maps to.
    pub fn get(&self, version: Version, key: &Key) -> Result<Option<Leaf>, Error> {
        self.view(version, Touch::Keys(&[*key]), |view| {
            view.get(key).map(|entry| Leaf { value: entry.value.to_vec(), sum: entry.sum })
        })
    }

    /// The proof of `key`, with the root it is for.
    pub fn prove(&self, version: Version, key: &Key) -> Result<(Root, Proof), Error> {
        self.view(version, Touch::Keys(&[*key]), |view| (view.root(), view.prove(key)))
    }

    /// The proofs of many keys, with the root they are for: about twice as fast as one by one.
    pub fn prove_each(&self, version: Version, keys: &[Key]) -> Result<(Root, Vec<Proof>), Error> {
        self.view(version, Touch::Keys(keys), |view| (view.root(), view.prove_each(keys)))
    }

    /// One proof of several keys, with the root it is for. [`Error::KeyCount`] for none, or too many.
    pub fn prove_many(&self, version: Version, keys: &[Key]) -> Result<(Root, MultiProof), Error> {
        self.view(version, Touch::Keys(keys), |view| Ok((view.root(), prove_many(&view, keys)?)))?
    }

    /// Calls `look` with one version, of which what `touch` names is in memory. The writer waits meanwhile.
    ///
    /// Asking the view for anything not named panics where memory is bounded. For what is to go through a whole state
    /// (export), [`Reader::pin`] an epoch and look at it partition by partition, so that the writer can go on in
    /// between. `look` must not call a reader: with the writer waiting, both would wait forever.
    pub fn view<R>(&self, version: Version, touch: Touch<'_>, look: impl FnOnce(View<'_>) -> R) -> Result<R, Error> {
        let partitions = |trie: &Trie| match touch {
            Touch::Keys(keys) => {
                let mut partitions: Vec<usize> = keys.iter().map(|key| trie.partition_of(key)).collect();
                partitions.sort_unstable();
                partitions.dedup();
                partitions
            }
            Touch::Partition(partition) => vec![partition],
            Touch::All => (0..trie.partition_count()).collect(),
        };
        self.shared.with(partitions, |state| view(&state.trie, version).map(look))?
    }

    /// All entries of one partition, in key order. Partitions, by index, follow each other in key order.
    pub fn entries(&self, version: Version, partition: usize) -> Result<Vec<(Key, Leaf)>, Error> {
        let owned = |(key, entry): (&Key, Entry<'_>)| (*key, Leaf { value: entry.value.to_vec(), sum: entry.sum });
        let epoch = match version {
            Version::Current => None,
            Version::Epoch(epoch) => Some(epoch),
        };
        self.view(version, Touch::Partition(partition), |view| {
            view.trie.partition(partition).map_or_else(Vec::new, |held| held.iter(epoch).map(owned).collect())
        })
    }

    /// Number of partitions.
    pub fn partitions(&self) -> Result<usize, Error> {
        Ok(self.shared.read()?.trie.partition_count())
    }

    /// Keeps `epoch`, and with it all later ones, from being dropped as long as the returned value lives.
    ///
    /// Bounded: an epoch older than the newest `2 * retain_epochs` is dropped all the same, and reading it then is an
    /// error. Not durable: after a restart there are `retain_epochs`.
    pub fn pin(&self, epoch: u64) -> Result<Pin, Error> {
        let state = self.shared.read()?;
        view(&state.trie, Version::Epoch(epoch))?;
        // Still under the state's lock: the writer looks at pins under it before it drops an epoch.
        let mut pins = self.shared.pins.lock().unwrap_or_else(PoisonError::into_inner);
        let count = pins.entry(epoch).or_insert(0);
        *count = count.saturating_add(1);
        Ok(Pin { shared: self.shared.clone(), epoch })
    }
}

/// The version of a trie.
fn view(trie: &Trie, version: Version) -> Result<View<'_>, Error> {
    match version {
        Version::Current => Ok(trie.current()),
        Version::Epoch(epoch) => trie.view(epoch).ok_or(Error::EpochNotRetained { epoch }),
    }
}

/// Keeps an epoch retained; see [`Reader::pin`].
pub struct Pin {
    shared: Arc<Shared>,
    epoch: u64,
}

impl Pin {
    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.shared.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pins.get_mut(&self.epoch) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                pins.remove(&self.epoch);
            }
        }
    }
}

impl Shared {
    /// The oldest pinned epoch that is at least `from`.
    pub(super) fn oldest_pin(&self, from: u64) -> Option<u64> {
        let pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        pins.range(from..).next().map(|(epoch, _)| *epoch)
    }
}

impl State {
    /// Drops the retained epochs before `before`.
    pub(super) fn drop_epochs(&mut self, before: u64) {
        self.trie.prune(before);
        while self.retained.pop_front_if(|mark| mark.epoch < before).is_some() {}
    }
}
