//! Accounts in durable form: a *base* of all of them in pages, and what each cut since then has changed.
//!
//! A row per account would be written again with every payment of its owner, and rows in the order of addresses meet
//! nothing but cold places in the store. Here a cut writes one row, whatever it changes, and all accounts are written
//! again, in order, once the changes since the base are twice as many: so a changed account costs at most 1.5 × 48 bytes
//! written in the long run, and opening reads at most three times the state.
//!
//! | column | key | value |
//! | --- | --- | --- |
//! | `Account` | page, u32 big endian | accounts ascending by address, 1,024 in each page but the last |
//! | `AccountDelta` | epoch, u64 big endian | the accounts a cut changed, as they are after it, ascending |
//!
//! Base, page count and epoch stand in the meta record, which is part of the same write set.

use crate::account::Account;
use crate::error::LedgerError;
use crate::store::{put, read, wrong_key};
use borsh::{BorshDeserialize, BorshSerialize};
use smt_consensus::archive::{self, epoch_key};
use smt_consensus::ports::{Column, Reader, Write};
use smt_trie::Trie;
use smt_types::{Address, Canonical, Epoch};
use std::collections::BTreeMap;

/// Accounts of a page.
const PAGE_ACCOUNTS: usize = 1024;

/// Bytes of an account with its address.
const ENTRY_BYTES: usize = 48;

/// Changes are folded into a new base when they are this many times the accounts.
const FOLD_FACTOR: usize = 2;

/// A state smaller than this counts as this large: a handful of accounts is not folded with every cut.
const FOLD_ACCOUNTS_MIN: usize = 16;

/// Epochs after which changes are folded however few they are: bounds the rows that opening reads.
const FOLD_EPOCHS: u64 = 4096;

/// Longest row of changes: every account of a large shard at once.
const DELTA_BYTES_MAX: usize = 1 << 30;

/// What is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct Saved {
    /// Epoch of the base.
    base: Epoch,
    /// Its pages.
    pages: u32,
    /// Accounts in the changes since.
    changes: u64,
}

impl Saved {
    /// A base of that many accounts, and no changes.
    pub(crate) fn whole(epoch: Epoch, accounts: usize) -> Saved {
        let pages = u32::try_from(accounts.div_ceil(PAGE_ACCOUNTS)).unwrap_or(u32::MAX);
        Saved { base: epoch, pages, changes: 0 }
    }

    /// Writes all accounts of `trie` as pages.
    pub(crate) fn pages(trie: &Trie, writes: &mut Vec<Write>) {
        let mut page: Vec<(Address, Account)> = Vec::with_capacity(PAGE_ACCOUNTS);
        let mut accounts = trie.iter();
        for number in 0u32.. {
            page.extend(accounts.by_ref().take(PAGE_ACCOUNTS).map(|(key, entry)| {
                // The trie holds what `Account::leaf` has made.
                (Address(*key), Account::from_bytes(entry.value, entry.value.len()).unwrap_or_default())
            }));
            if page.is_empty() {
                return;
            }
            writes.push(put(Column::Account, number.to_be_bytes().to_vec(), page.to_bytes()));
            page.clear();
        }
    }

    /// Writes all of `trie` as the base of `epoch`, and forgets the changes before.
    fn fold(&mut self, epoch: Epoch, trie: &Trie, writes: &mut Vec<Write>) {
        // Accounts are never removed, so a new base has at least the pages of the old one.
        Saved::pages(trie, writes);
        let old = self.base.0.saturating_add(1)..epoch.0;
        writes.extend(old.map(|epoch| Write {
            column: Column::AccountDelta,
            key: epoch_key(Epoch(epoch)),
            value: None,
        }));
        *self = Saved::whole(epoch, trie.len());
    }

    /// Writes what the cut of `epoch` has changed; `trie` is the state after it.
    pub(crate) fn save(
        &mut self,
        epoch: Epoch,
        changed: &Vec<(Address, Account)>,
        trie: &Trie,
        writes: &mut Vec<Write>,
    ) {
        let count = u64::try_from(changed.len()).unwrap_or(u64::MAX);
        let changes = self.changes.saturating_add(count);
        let many = trie.len().max(FOLD_ACCOUNTS_MIN).saturating_mul(FOLD_FACTOR);
        let late = epoch.0.saturating_sub(self.base.0) >= FOLD_EPOCHS;
        if usize::try_from(changes).unwrap_or(usize::MAX) > many || late {
            self.fold(epoch, trie, writes);
        } else {
            self.changes = changes;
            if !changed.is_empty() {
                writes.push(put(Column::AccountDelta, epoch_key(epoch), changed.to_bytes()));
            }
        }
    }

    /// Reads all accounts at `epoch` back, ascending by address.
    pub(crate) fn load(&self, epoch: Epoch, reader: &dyn Reader) -> Result<Vec<(Address, Account)>, LedgerError> {
        let mut base: Vec<(Address, Account)> = Vec::new();
        let mut expected = 0u32;
        for (key, value) in archive::rows(reader, Column::Account, &[], &[]) {
            if key != expected.to_be_bytes() {
                return Err(wrong_key("account page"));
            }
            expected = expected.saturating_add(1);
            let max = PAGE_ACCOUNTS.saturating_mul(ENTRY_BYTES).saturating_add(4);
            base.append(&mut read("account page", &value, max)?);
        }
        if expected != self.pages || !base.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b)) {
            return Err(wrong_key("account page"));
        }
        let mut later: BTreeMap<Address, Account> = BTreeMap::new();
        let mut changes = 0usize;
        for (key, value) in archive::rows(reader, Column::AccountDelta, &[], &[]) {
            let written = <[u8; 8]>::try_from(key.as_slice())
                .map(u64::from_be_bytes)
                .map_err(|_| wrong_key("account changes"))?;
            if written <= self.base.0 || written > epoch.0 {
                return Err(wrong_key("account changes"));
            }
            let changed: Vec<(Address, Account)> = read("account changes", &value, DELTA_BYTES_MAX)?;
            changes = changes.saturating_add(changed.len());
            later.extend(changed);
        }
        if u64::try_from(changes) != Ok(self.changes) {
            return Err(wrong_key("account changes"));
        }
        for (address, account) in &mut base {
            if let Some(newer) = later.remove(address) {
                *account = newer;
            }
        }
        base.extend(later);
        base.sort_unstable_by_key(|(address, _)| *address);
        Ok(base)
    }
}
