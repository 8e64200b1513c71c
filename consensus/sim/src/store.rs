//! A replica's disk: an ordered log of write sets over a map.
//!
//! A crash keeps everything up to the last sync and a prefix, drawn by the seed, of the write sets after it; a write set
//! is never torn (the real store writes each as one batch).

use crate::random::Random;
use smt_consensus::ports::{Column, Reader, Write};
use std::collections::BTreeMap;

type Undo = Vec<(Column, Vec<u8>, Option<Vec<u8>>)>;

/// The disk of one replica.
#[derive(Debug, Default)]
pub struct Store {
    now: BTreeMap<Column, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Write sets after the last sync, each as what it replaced.
    unsynced: Vec<Undo>,
}

impl Store {
    /// Appends one write set.
    pub fn write(&mut self, writes: &[Write]) {
        if writes.is_empty() {
            return;
        }
        let mut undo = Vec::with_capacity(writes.len());
        for write in writes {
            let column = self.now.entry(write.column).or_default();
            let before = match &write.value {
                Some(value) => column.insert(write.key.clone(), value.clone()),
                None => column.remove(&write.key),
            };
            undo.push((write.column, write.key.clone(), before));
        }
        self.unsynced.push(undo);
    }

    /// Everything so far is durable.
    pub fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// What a crash now would certainly leave at a key.
    #[must_use]
    pub fn durable(&self, column: Column, key: &[u8]) -> Option<&[u8]> {
        // The oldest replacement of a key shows its synced value.
        match self.unsynced.iter().flatten().find(|(c, k, _)| *c == column && k == key) {
            Some((_, _, before)) => before.as_deref(),
            None => self.now.get(&column)?.get(key).map(Vec::as_slice),
        }
    }

    /// A crash: an unsynced tail is lost. Returns how many write sets.
    pub fn crash(&mut self, random: &mut Random) -> usize {
        let kept = random.index(self.unsynced.len() + 1);
        let lost = self.unsynced.split_off(kept);
        for (column, key, before) in lost.iter().rev().flat_map(|undo| undo.iter().rev()) {
            let column = self.now.entry(*column).or_default();
            match before {
                Some(value) => column.insert(key.clone(), value.clone()),
                None => column.remove(key),
            };
        }
        // What the crash left is what the next start reads, and later crashes keep it.
        self.unsynced.clear();
        lost.len()
    }

    /// Entries of a column.
    #[must_use]
    pub fn len(&self, column: Column) -> usize {
        self.now.get(&column).map_or(0, BTreeMap::len)
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.now.values().all(BTreeMap::is_empty)
    }
}

impl Reader for Store {
    fn get(&self, column: Column, key: &[u8]) -> Option<Vec<u8>> {
        self.now.get(&column)?.get(key).cloned()
    }

    fn range(&self, column: Column, prefix: &[u8], from: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(rows) = self.now.get(&column) else { return Vec::new() };
        let start = if from > prefix { from } else { prefix };
        rows.range(start.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
