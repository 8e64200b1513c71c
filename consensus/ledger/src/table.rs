//! A hash map without iteration: lookups on the hot path, and no order that could differ between runs.

#![expect(clippy::disallowed_types, reason = "wrapped here so that nobody can iterate it")]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Keys to values, by lookup alone.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V>(HashMap<K, V>);

impl<K: Eq + Hash, V> Table<K, V> {
    pub(crate) fn new() -> Self {
        Table(HashMap::new())
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
