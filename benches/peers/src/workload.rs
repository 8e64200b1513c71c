//! The workload: which keys, which values, which changes. A function of its parameters and [`SEED`] alone.

use std::collections::BTreeSet;

/// A random key.
pub(crate) type Key = [u8; 32];
/// A random value.
pub(crate) type Value = [u8; 64];

/// Where the choice of keys starts.
pub(crate) const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Keys written by one call while loading.
pub(crate) const LOAD_CHUNK: u64 = 100_000;
/// Bytes of a key and its value: what any store has to hold.
pub(crate) const ENTRY_BYTES: f64 = 96.0;
/// Leaf sums lie below this.
const SUM_BOUND: u64 = 1 << 20;

/// What a key maps to. Contenders without sums leave the sum out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Value,
    pub(crate) sum: u64,
}

/// One change of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Put(Entry),
    Delete(Key),
}

/// The keys, and what was last written to each.
pub(crate) struct Workload {
    /// Per key, the number of the batch that wrote it last; the load is number 1.
    written: Vec<u16>,
    /// Keys absent just now: the next batch puts them back.
    deleted: Vec<u64>,
    deletes_per_batch: usize,
    batch: u16,
    random: SplitMix,
}

impl Workload {
    /// `keys` keys, of which every batch deletes `deletes_per_batch`.
    pub(crate) fn new(keys: u64, deletes_per_batch: usize) -> Self {
        // Written, not only reserved, so that the harness's own memory is there before the contender's is counted.
        let written = (0..keys).map(|_| 1).collect();
        Self { written, deleted: Vec::new(), deletes_per_batch, batch: 1, random: SplitMix(SEED) }
    }

    pub(crate) fn keys(&self) -> u64 {
        self.written.len() as u64
    }

    /// The initial state, [`LOAD_CHUNK`] keys at a time.
    pub(crate) fn load(&self) -> impl Iterator<Item = Vec<Change>> {
        let keys = self.keys();
        let starts = (0..keys).step_by(LOAD_CHUNK as usize);
        starts.map(move |from| (from..keys.min(from + LOAD_CHUNK)).map(|key| Change::Put(entry(key, 1))).collect())
    }

    /// The next batch: exactly `changes` changes of distinct existing keys, deletes first put back and then replaced.
    pub(crate) fn next_batch(&mut self, changes: usize) -> Vec<Change> {
        self.batch += 1;
        let mut batch = Vec::with_capacity(changes);
        for key in std::mem::take(&mut self.deleted) {
            self.written[key as usize] = self.batch;
            batch.push(Change::Put(entry(key, self.batch)));
        }
        while batch.len() < changes {
            let key = self.untouched();
            self.written[key as usize] = self.batch;
            if self.deleted.len() < self.deletes_per_batch {
                self.deleted.push(key);
                batch.push(Change::Delete(key_bytes(key)));
            } else {
                batch.push(Change::Put(entry(key, self.batch)));
            }
        }
        batch
    }

    /// `count` distinct random keys of those present, with what they map to now.
    pub(crate) fn sample(&mut self, count: usize) -> Vec<Entry> {
        let mut chosen: BTreeSet<u64> = self.deleted.iter().copied().collect();
        let mut sample = Vec::with_capacity(count);
        while sample.len() < count {
            let key = self.random.below(self.keys());
            if chosen.insert(key) {
                sample.push(entry(key, self.written[key as usize]));
            }
        }
        sample
    }

    /// A random key that this batch has not changed yet.
    fn untouched(&mut self) -> u64 {
        loop {
            let key = self.random.below(self.keys());
            if self.written[key as usize] != self.batch {
                return key;
            }
        }
    }
}

fn key_bytes(key: u64) -> Key {
    *blake3::hash(&key.to_le_bytes()).as_bytes()
}

/// What key number `key` maps to once batch number `batch` has written it.
fn entry(key: u64, batch: u16) -> Entry {
    let mut stream = [0; 72];
    blake3::Hasher::new().update(&key.to_le_bytes()).update(&batch.to_le_bytes()).finalize_xof().fill(&mut stream);
    let (value, sum) = stream.split_at(64);
    let sum = sum.iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte)) % SUM_BOUND;
    Entry { key: key_bytes(key), value: std::array::from_fn(|i| value[i]), sum }
}

/// SplitMix64: small, seeded, and good enough to choose keys by.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // The bias of a remainder is below 2^-40 for every number of keys that fits a machine.
        (x ^ (x >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_distinct_keys_and_deletes_come_back() {
        let mut workload = Workload::new(1_000, 5);
        let mut absent = BTreeSet::new();
        for _ in 0..20 {
            let batch = workload.next_batch(300);
            assert_eq!(batch.len(), 300);
            let mut seen = BTreeSet::new();
            let mut gone = BTreeSet::new();
            for change in batch {
                let key = match change {
                    Change::Put(entry) => entry.key,
                    Change::Delete(key) => key,
                };
                assert!(seen.insert(key), "key twice in one batch");
                if matches!(change, Change::Delete(_)) {
                    gone.insert(key);
                }
            }
            assert!(absent.is_subset(&seen), "a deleted key was not put back");
            assert_eq!(gone.len(), 5);
            absent = gone;
        }
        assert!(workload.sample(990).iter().all(|entry| !absent.contains(&entry.key)));
    }
}
