//! The ledger's durable form, and the way back.
//!
//! | column | key | value |
//! | --- | --- | --- |
//! | `Account` | address, 32 B | [`Account`] |
//! | `Link` | peer: level u8, index u32 big endian | [`Link`] |
//! | `Outbox` | destination as above, number u64 big endian | [`Credit`] |
//! | `LedgerMeta` | `cut` | shard, epoch, history accumulator, per-level sums |
//!
//! All values are canonical bytes. Outbox credits are written once and not read back here: the state commits to their
//! chain, and who serves them to their destination reads them from the store.

use crate::account::{ACCOUNT_BYTES, Account, LINK_BYTES, Link};
use crate::error::LedgerError;
use crate::ledger::{CutParts, ShardLedger};
use borsh::{BorshDeserialize, BorshSerialize};
use smt_consensus::ports::{Column, Reader, Write};
use smt_trie::History;
use smt_types::clock::SierpinskiClock;
use smt_types::credit::Credit;
use smt_types::{Address, Canonical, Epoch, ShardAddress};
use std::collections::BTreeMap;

/// Entries read at once.
const PAGE: usize = 4096;

/// Key of the one record in the meta column.
const META_KEY: &[u8] = b"cut";

/// Longest meta record: shard 5 B, epoch 8 B, history 8 B and at most 48 hashes, at most 9 levels of two entries of
/// 40 B, and their count.
const META_BYTES_MAX: usize = 5 + 8 + 8 + 48 * 32 + 4 + 9 * 2 * 40;

#[derive(BorshSerialize, BorshDeserialize)]
struct Meta {
    shard: ShardAddress,
    epoch: Epoch,
    history: History,
    levels: SierpinskiClock,
}

fn put(column: Column, key: Vec<u8>, value: Vec<u8>) -> Write {
    Write { column, key, value: Some(value) }
}

fn peer_key(peer: ShardAddress) -> Vec<u8> {
    let mut key = vec![peer.level()];
    key.extend(peer.index().to_be_bytes());
    key
}

pub(crate) fn account_write(address: &Address, account: &Account) -> Write {
    put(Column::Account, address.0.to_vec(), account.to_bytes())
}

pub(crate) fn link_write(peer: ShardAddress, link: &Link) -> Write {
    put(Column::Link, peer_key(peer), link.to_bytes())
}

pub(crate) fn outbox_write(peer: ShardAddress, number: u64, credit: &Credit) -> Write {
    let mut key = peer_key(peer);
    key.extend(number.to_be_bytes());
    put(Column::Outbox, key, credit.to_bytes())
}

pub(crate) fn meta_write(ledger: &ShardLedger) -> Write {
    let (history, levels) = (ledger.history.clone(), ledger.levels.clone());
    let meta = Meta { shard: ledger.shard, epoch: ledger.epoch, history, levels };
    put(Column::LedgerMeta, META_KEY.to_vec(), meta.to_bytes())
}

impl ShardLedger {
    /// Everything [`ShardLedger::open`] reads: accounts ascending by address, links, meta. For the genesis state and for
    /// exports; a cut hands out its changes alone.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        let account = |(key, entry): (&smt_trie::Key, smt_trie::Entry<'_>)| {
            put(Column::Account, key.to_vec(), entry.value.to_vec())
        };
        let mut writes: Vec<Write> = self.trie.iter().map(account).collect();
        writes.extend(self.links.iter().map(|(peer, link)| link_write(*peer, link)));
        writes.push(meta_write(self));
        writes
    }

    /// Reads the ledger of `shard` back, live = cut. The caller compares [`ShardLedger::state_root`] with the header of
    /// [`epoch`](crate::Ledger::epoch): records are checked for their form alone.
    /// Cost: one hash of 128 bytes a trie node, some microseconds an account.
    ///
    /// # Errors
    /// [`LedgerError`] for an empty store, another shard's, and damaged records.
    pub fn open(shard: ShardAddress, reader: &dyn Reader) -> Result<ShardLedger, LedgerError> {
        let meta = reader.get(Column::LedgerMeta, META_KEY).ok_or(LedgerError::Empty)?;
        let meta: Meta = read("meta", &meta, META_BYTES_MAX)?;
        if meta.shard != shard {
            return Err(LedgerError::Shard { got: meta.shard, want: shard });
        }
        if meta.levels.levels.len() != usize::from(shard.level()) {
            return Err(LedgerError::Record { kind: "meta", source: None });
        }
        if meta.history.size() != meta.epoch.0 {
            return Err(LedgerError::Record { kind: "meta", source: None });
        }
        let mut accounts = Vec::new();
        for_each(reader, Column::Account, |key, value| {
            let address = <[u8; 32]>::try_from(key).map_err(|_| wrong_key("account"))?;
            accounts.push((Address(address), read("account", value, ACCOUNT_BYTES)?));
            Ok(())
        })?;
        let mut links = BTreeMap::new();
        for_each(reader, Column::Link, |key, value| {
            let peer = read_peer(key).filter(|peer| peer.level() == shard.level() && *peer != shard);
            let link: Link = read("link", value, LINK_BYTES)?;
            links.insert(peer.ok_or_else(|| wrong_key("link"))?, link);
            Ok(())
        })?;
        let parts = CutParts { epoch: meta.epoch, links, history: meta.history, levels: meta.levels };
        ShardLedger::from_parts(shard, accounts, parts)
    }
}

fn wrong_key(kind: &'static str) -> LedgerError {
    LedgerError::Record { kind, source: None }
}

fn read<T: Canonical>(kind: &'static str, bytes: &[u8], max: usize) -> Result<T, LedgerError> {
    T::from_bytes(bytes, max).map_err(|source| LedgerError::Record { kind, source: Some(source) })
}

fn read_peer(key: &[u8]) -> Option<ShardAddress> {
    let (level, index) = key.split_first()?;
    ShardAddress::new(*level, u32::from_be_bytes(index.try_into().ok()?))
}

/// Visits a whole column, a page at a time.
fn for_each(
    reader: &dyn Reader,
    column: Column,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let mut from = Vec::new();
    loop {
        let page = reader.range(column, &[], &from, PAGE);
        for (key, value) in &page {
            visit(key, value)?;
        }
        let Some((last, _)) = page.last().filter(|_| page.len() >= PAGE) else {
            return Ok(());
        };
        from.clone_from(last);
        // The first key after `last`.
        from.push(0);
    }
}
