//! What the core reads: the store, below the writes of the present burst that are not committed yet.

use crate::store::{Durability, KeyRange, Order, Store, StoreError, WriteSet};
use smt_consensus::{Column, Reader, Write};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
type Points = HashMap<Vec<u8>, Option<Vec<u8>>, foldhash::fast::RandomState>;

/// Writes of the present burst, by how the core may read them again.
#[derive(Debug, Default)]
struct Pending {
    /// By key and by range.
    ordered: BTreeMap<Column, Rows>,
    /// By key alone: one row or more a payment, so order would cost more than everything else here.
    points: BTreeMap<Column, Points>,
    /// Not at all: what the core writes for queries and for the next start.
    blind: Vec<Write>,
    any: bool,
}

impl Pending {
    fn push(&mut self, write: Write) {
        self.any = true;
        match write.column {
            Column::History | Column::Account | Column::AccountDelta => self.blind.push(write),
            Column::Payment | Column::Credited => {
                self.points.entry(write.column).or_default().insert(write.key, write.value);
            }
            column => {
                self.ordered.entry(column).or_default().insert(write.key, write.value);
            }
        }
    }

    fn get(&self, column: Column, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        let ordered = self.ordered.get(&column).and_then(|rows| rows.get(key));
        ordered.or_else(|| self.points.get(&column).and_then(|rows| rows.get(key)))
    }

    /// Everything, as one write set.
    fn into_set(self) -> WriteSet {
        let mut set = WriteSet::new();
        let ordered =
            self.ordered.into_iter().flat_map(|(column, rows)| rows.into_iter().map(move |row| (column, row)));
        let points = self.points.into_iter().flat_map(|(column, rows)| {
            let mut rows: Vec<_> = rows.into_iter().collect();
            rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            rows.into_iter().map(move |row| (column, row))
        });
        let mut blind: Vec<Write> = self.blind;
        blind.sort_by(|a, b| (a.column, &a.key).cmp(&(b.column, &b.key)));
        let blind = blind.into_iter().map(|write| (write.column, (write.key, write.value)));
        for (column, (key, value)) in ordered.chain(points).chain(blind) {
            match value {
                Some(value) => set.put(column.into(), &key, value),
                None => set.delete(column.into(), &key),
            }
        }
        set
    }
}

/// A [`Reader`] that sees earlier steps of the same burst. A failed read answers nothing and is remembered: the burst must
/// then be thrown away, because "no record" may be wrong.
#[derive(Debug)]
pub struct Disk {
    store: Arc<Store>,
    pending: Pending,
    failed: RefCell<Option<StoreError>>,
}

impl Disk {
    /// A reader over `store`.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Disk {
        Disk { store, pending: Pending::default(), failed: RefCell::new(None) }
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Takes the writes of a step.
    pub fn push(&mut self, writes: impl IntoIterator<Item = Write>) {
        for write in writes {
            self.pending.push(write);
        }
    }

    /// The first failed read since the start, if any.
    pub fn failure(&self) -> Option<StoreError> {
        self.failed.borrow_mut().take()
    }

    /// Commits everything pushed, as one atomic set.
    ///
    /// # Errors
    /// [`StoreError`]; the store takes no further commit then.
    pub fn commit(&mut self, durability: Durability) -> Result<(), StoreError> {
        if !self.pending.any && matches!(durability, Durability::Buffered) {
            return Ok(());
        }
        // After a failed commit the store takes no other, so nothing needs what is pending any more.
        self.store.commit(std::mem::take(&mut self.pending).into_set(), durability)
    }

    fn remember(&self, error: StoreError) {
        self.failed.borrow_mut().get_or_insert(error);
    }
}

impl Reader for Disk {
    fn get(&self, column: Column, key: &[u8]) -> Option<Vec<u8>> {
        if let Some(value) = self.pending.get(column, key) {
            return value.clone();
        }
        self.store.get(column.into(), key).unwrap_or_else(|error| {
            self.remember(error);
            None
        })
    }

    fn range(&self, column: Column, prefix: &[u8], from: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let lower = if from < prefix { prefix } else { from };
        let fresh: Vec<(&Vec<u8>, &Option<Vec<u8>>)> = self
            .pending
            .ordered
            .get(&column)
            .into_iter()
            .flat_map(|rows| rows.range(lower.to_vec()..))
            .take_while(|(key, _)| key.starts_with(prefix))
            .collect();
        let range = KeyRange::prefix(prefix).from(lower);
        // Every pending deletion may hide one stored row.
        let wanted = limit.saturating_add(fresh.len());
        let stored = self.store.scan(column.into(), &range, Order::Ascending, wanted).unwrap_or_else(|error| {
            self.remember(error);
            Vec::new()
        });
        if fresh.is_empty() {
            return stored;
        }
        let mut merged: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            stored.into_iter().map(|(key, value)| (key, Some(value))).collect();
        for (key, value) in fresh {
            merged.insert(key.clone(), value.clone());
        }
        merged.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).take(limit).collect()
    }
}

/// A [`Reader`] of committed records only, for queries outside the core's thread.
pub struct Committed<'a>(pub &'a Store);

impl Reader for Committed<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(column.into(), key).ok().flatten()
    }

    fn range(&self, column: Column, prefix: &[u8], from: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let lower = if from < prefix { prefix } else { from };
        let range = KeyRange::prefix(prefix).from(lower);
        self.0.scan(column.into(), &range, Order::Ascending, limit).unwrap_or_default()
    }
}
