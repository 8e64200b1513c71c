//! A hash map without iteration: look-ups on the hot path, and no order that could differ between runs.

#![expect(clippy::disallowed_types, reason = "wrapped here so that nobody can iterate it")]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Keys to values, by look-up alone. Seeded per process: whoever chooses keys cannot make them collide, and since
/// nothing can see the order, runs stay equal.
#[derive(Clone, Debug)]
pub struct Table<K, V>(HashMap<K, V, foldhash::fast::RandomState>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table(HashMap::default())
    }
}

impl<K: Eq + Hash, V> Table<K, V> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value at `key`.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    /// The value at `key`, to change.
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    /// Whether there is a value at `key`.
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// The place of `key`, with or without a value.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        self.0.entry(key)
    }

    /// Sets the value at `key` and answers what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Takes the value at `key` out.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key)
    }

    /// Removes everything; keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Makes room for `more` values.
    pub fn reserve(&mut self, more: usize) {
        self.0.reserve(more);
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Visits all values in an order that differs from run to run: only for what does not depend on it.
    pub fn for_each(&self, visit: impl FnMut(&V)) {
        self.0.values().for_each(visit);
    }
}
