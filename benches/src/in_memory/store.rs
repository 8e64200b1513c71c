//! Records in memory, for runs without a disk.

use smt_consensus::{Column, Reader, Write};
use std::collections::BTreeMap;

/// One replica's records.
#[derive(Debug, Default)]
pub(super) struct Store(BTreeMap<Column, BTreeMap<Vec<u8>, Vec<u8>>>);

impl Store {
    pub(super) fn write(&mut self, writes: Vec<Write>) {
        for Write { column, key, value } in writes {
            let rows = self.0.entry(column).or_default();
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
    }
}

impl Reader for Store {
    fn get(&self, column: Column, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(&column)?.get(key).cloned()
    }

    fn range(&self, column: Column, prefix: &[u8], from: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(rows) = self.0.get(&column) else { return Vec::new() };
        let found = rows.range(from.max(prefix).to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        found.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}
