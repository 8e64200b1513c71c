//! The one writer of a durable trie.

use super::bytes::wide;
use super::error::{Error, Fault};
use super::fold::allowance;
use super::log::Log;
use super::manifest::Mark;
use super::reader::{Reader, Version};
use super::record::{BODY_BYTES_MAX, Encoder, body_bytes};
use super::run::Buffers;
use super::state::{Shared, State};
use crate::{Key, Leaf, MultiProof, Proof, Root, Settings};
use std::num::NonZeroU32;
use std::sync::{Arc, RwLockWriteGuard};

/// How a [`Database`] is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The trie. Root depth and partitions are fixed when the files are created.
    pub trie: Settings,
    /// How many epochs stay readable, and back how far runs may lie.
    pub retain_epochs: NonZeroU32,
    /// Bytes of partitions to hold in memory between operations; `None` holds all. One operation may need more.
    pub cache_bytes: Option<u64>,
    /// Length in bytes from which on a log segment is followed by another. Unit in which the log is deleted, and what
    /// is written again at each open. At most 1 GiB.
    pub segment_bytes: u64,
}

impl Default for Options {
    /// Default settings, 8 epochs, all in memory, segments of 8 MiB.
    fn default() -> Self {
        Self {
            trie: Settings::default(),
            retain_epochs: NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN),
            cache_bytes: None,
            segment_bytes: 8 << 20,
        }
    }
}

/// A trie that outlives the process and a loss of power.
///
/// What a call of [`Database::update`] or [`Database::commit_epoch`] has returned is durable. After an error that
/// leaves open what is on disk, every call, of readers too, fails with [`Error::Poisoned`]; dropping the handle and
/// opening the files again is the way on, and gives the state before or after the call that failed.
pub struct Database {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Log,
    pub(super) options: Options,
    encoder: Encoder,
    /// Memory that folding uses again and again.
    pub(super) buffers: Buffers,
}

impl Database {
    pub(super) fn new(shared: Shared, log: Log, options: Options) -> Self {
        let shared = Arc::new(shared);
        Self { shared, log, options, encoder: Encoder::default(), buffers: Buffers::default() }
    }

    /// Puts (`Some`) and removes (`None`) keys, all or nothing, durably, and returns the new root.
    ///
    /// An empty batch writes nothing. Readers wait until the batch is durable, so that they see nothing that a loss
    /// of power takes back. Cost beyond the trie's: one write and one `fdatasync`; 42 bytes and the value for each
    /// item, and 200 to 400 bytes for the record.
    ///
    /// # Errors
    ///
    /// [`Error::Update`] and [`Error::BatchTooLarge`] for the batch, [`Error::Disk`] for an evicted partition that
    /// cannot be read: nothing has changed. [`Error::Disk`] also if the batch could not be written: the handle is
    /// poisoned then.
    pub fn update<V: AsRef<[u8]> + Sync>(&mut self, batch: &[(Key, Option<Leaf<V>>)]) -> Result<Root, Error> {
        let got = body_bytes(batch);
        if got > BODY_BYTES_MAX {
            return Err(Error::BatchTooLarge { got, max: BODY_BYTES_MAX });
        }
        let Self { shared, log, encoder, .. } = self;
        let mut guard = shared.write()?;
        let state = &mut *guard;
        if batch.is_empty() {
            return Ok(state.trie.root());
        }
        encoder.group(batch, state.trie.partition_count(), |key| state.trie.partition_of(key));
        if state.cache.is_bounded() {
            let needed: Vec<usize> = encoder.touched().collect();
            state.make_resident(&*shared.files, &needed)?;
        }
        let root = state.trie.update(batch)?;
        // Memory is ahead of the disk until the record is durable.
        let (record, link, parts) = encoder.batch(log.tail, root, batch);
        let place = durable(&mut guard, log.append(&*shared.files, record, link))?;
        if guard.cache.is_bounded() {
            guard.cache.note(link.sequence, place, wide(record.len()).saturating_sub(got), parts);
            guard.evict();
        }
        Ok(root)
    }

    /// Makes the current state that of `epoch`, durably, and returns its root.
    ///
    /// The state is retained: [`Reader`]s can ask for it until `retain_epochs` newer ones are there. Older epochs
    /// than that are dropped, unless [pinned](Reader::pin), and some partitions are folded, by a rule that spreads
    /// the work evenly (see the module's header). Readers go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::EpochOrder`]: nothing has changed. Otherwise the handle is poisoned, and the epoch may be durable or
    /// not.
    pub fn commit_epoch(&mut self, epoch: u64) -> Result<Root, Error> {
        let Self { shared, log, encoder, options, .. } = self;
        let mut state = shared.write()?;
        if let Some(newest) = state.retained.back().filter(|mark| mark.epoch >= epoch) {
            return Err(Error::EpochOrder { got: epoch, newest: newest.epoch });
        }
        let root = state.trie.root();
        let (record, link) = encoder.mark(log.tail, epoch, root);
        durable(&mut state, log.append(&*shared.files, record, link))?;
        state.trie.retain(epoch);
        state.retained.push_back(Mark { epoch, sequence: link.sequence, position: link.position, root });
        let keep = usize::try_from(options.retain_epochs.get()).unwrap_or(usize::MAX);
        let newest = |count: usize| {
            let first = state.retained.len().saturating_sub(count);
            state.retained.get(first).map_or(epoch, |mark| mark.epoch)
        };
        let (wanted, at_least) = (newest(keep), newest(keep.saturating_mul(2)));
        let before = shared.oldest_pin(at_least).map_or(wanted, |pinned| pinned.min(wanted));
        state.drop_epochs(before);
        let allowance = allowance(&state.runs, options.segment_bytes);
        drop(state);
        self.fold_or_poison(allowance, false)?;
        Ok(root)
    }

    /// Drops the retained epochs before `before`, durably: also after a restart they are gone. The newest one stays,
    /// and so does any from the oldest [pinned](Reader::pin) one on. Then folds by the rule of
    /// [`Database::commit_epoch`].
    ///
    /// # Errors
    ///
    /// [`Error::Disk`]: the handle is poisoned, and the epochs may be dropped or not.
    pub fn prune(&mut self, before: u64) -> Result<(), Error> {
        let mut state = self.shared.write()?;
        let Some(newest) = state.retained.back().map(|mark| mark.epoch) else { return Ok(()) };
        let before = before.min(newest).min(self.shared.oldest_pin(0).unwrap_or(u64::MAX));
        state.drop_epochs(before);
        let allowance = allowance(&state.runs, self.options.segment_bytes);
        drop(state);
        self.fold_or_poison(allowance, true)
    }

    /// Folds every partition up to the oldest retained epoch, so that the log holds no more than what came after.
    /// Without a retained epoch it does nothing. Cost: all partitions that have changed are written.
    ///
    /// # Errors
    ///
    /// [`Error::Disk`]: the handle is poisoned; the state is not affected.
    pub fn fold(&mut self) -> Result<(), Error> {
        self.fold_or_poison(0, false)
    }

    fn fold_or_poison(&mut self, allowance: u64, write_anyway: bool) -> Result<(), Error> {
        let folded = self.fold_within(allowance, write_anyway);
        if folded.is_err() {
            self.shared.poison();
        }
        folded
    }

    /// A handle to read with, from any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    /// The commitment to all keys, values and sums.
    pub fn root(&self) -> Result<Root, Error> {
        Ok(self.shared.read()?.trie.root())
    }

    /// Number of keys.
    pub fn len(&self) -> Result<usize, Error> {
        Ok(self.shared.read()?.trie.len())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.shared.read()?.trie.is_empty())
    }

    /// What `key` maps to.
    pub fn get(&self, key: &Key) -> Result<Option<Leaf>, Error> {
        self.reader().get(Version::Current, key)
    }

    /// The proof of `key` under the current root.
    pub fn prove(&self, key: &Key) -> Result<Proof, Error> {
        self.reader().prove(Version::Current, key).map(|(_, proof)| proof)
    }

    /// The proofs of many keys under the current root: about twice as fast as one by one.
    pub fn prove_each(&self, keys: &[Key]) -> Result<Vec<Proof>, Error> {
        self.reader().prove_each(Version::Current, keys).map(|(_, proofs)| proofs)
    }

    /// One proof of several keys under the current root.
    pub fn prove_many(&self, keys: &[Key]) -> Result<MultiProof, Error> {
        self.reader().prove_many(Version::Current, keys).map(|(_, proof)| proof)
    }

    /// How many records were ever written: batches that were not empty, and epochs. After a restart it tells which of
    /// them the state has.
    pub fn sequence(&self) -> u64 {
        self.log.tail.sequence
    }

    /// Bytes of memory held by the partitions that are in it.
    pub fn resident_bytes(&self) -> Result<u64, Error> {
        Ok(self.shared.read()?.resident_bytes())
    }

    /// Bytes of the log that are on disk, and of all runs.
    pub fn disk_bytes(&self) -> Result<(u64, u64), Error> {
        let state = self.shared.read()?;
        Ok((self.log.bytes(), state.runs.iter().fold(0, |sum, run| sum.saturating_add(run.bytes))))
    }
}

/// Poisons the state if a write failed.
fn durable<T>(state: &mut RwLockWriteGuard<'_, State>, written: Result<T, Fault>) -> Result<T, Error> {
    if written.is_err() {
        state.poisoned = true;
    }
    Ok(written?)
}
