//! The ledger's durable form, and the way back.
//!
//! | column | key | value |
//! | --- | --- | --- |
//! | `Account`, `AccountDelta` | see `saved.rs` | all accounts, and the changes of each cut |
//! | `Link` | peer: level u8, index u32 big endian | [`Link`] |
//! | `Outbox` | destination as above, number u64 big endian | [`Credit`] |
//! | `LedgerMeta` | `cut` | shard, epoch, history accumulator, per-level sums |
//!
//! All values are canonical bytes. Outbox credits are written once and not read back here: the state commits to their
//! chain, and who serves them to their destination reads them from the store.

use crate::account::{Account, LINK_BYTES, Link};
use crate::error::LedgerError;
use crate::ledger::{CutParts, ShardLedger};
use crate::saved::Saved;
use borsh::{BorshDeserialize, BorshSerialize};
use smt_consensus::archive;
use smt_consensus::ports::{Column, Reader, Write};
use smt_trie::History;
use smt_types::clock::SierpinskiClock;
use smt_types::credit::Credit;
use smt_types::{Address, Canonical, Epoch, ShardAddress};
use std::collections::BTreeMap;

/// Key of the one record in the meta column.
const META_KEY: &[u8] = b"cut";

/// Longest meta record: shard 5 B, epoch 8 B, history 8 B and at most 48 hashes, at most 9 levels of two entries of
/// 40 B, and their count; what is saved of the accounts, 20 B.
const META_BYTES_MAX: usize = 5 + 8 + 8 + 48 * 32 + 4 + 9 * 2 * 40 + 20;

#[derive(BorshSerialize, BorshDeserialize)]
struct Meta {
    shard: ShardAddress,
    epoch: Epoch,
    history: History,
    levels: SierpinskiClock,
    saved: Saved,
}

pub(crate) fn put(column: Column, key: Vec<u8>, value: Vec<u8>) -> Write {
    Write { column, key, value: Some(value) }
}

fn peer_key(peer: ShardAddress) -> Vec<u8> {
    let mut key = vec![peer.level()];
    key.extend(peer.index().to_be_bytes());
    key
}

pub(crate) fn link_write(peer: ShardAddress, link: &Link) -> Write {
    put(Column::Link, peer_key(peer), link.to_bytes())
}

pub(crate) fn outbox_write(peer: ShardAddress, number: u64, credit: &Credit) -> Write {
    let mut key = peer_key(peer);
    key.extend(number.to_be_bytes());
    put(Column::Outbox, key, credit.to_bytes())
}

pub(crate) fn meta_write(ledger: &ShardLedger, saved: Saved) -> Write {
    let (history, levels) = (ledger.history.clone(), ledger.levels.clone());
    let meta = Meta { shard: ledger.shard, epoch: ledger.epoch, history, levels, saved };
    put(Column::LedgerMeta, META_KEY.to_vec(), meta.to_bytes())
}

/// The stored accounts of `shard`, ascending by address: what [`ShardLedger::open`] builds its trie of.
///
/// # Errors
/// [`LedgerError`] for an empty store, another shard's, and damaged records.
pub fn accounts(shard: ShardAddress, reader: &dyn Reader) -> Result<Vec<(Address, Account)>, LedgerError> {
    let meta = read_meta(shard, reader)?;
    meta.saved.load(meta.epoch, reader)
}

fn read_meta(shard: ShardAddress, reader: &dyn Reader) -> Result<Meta, LedgerError> {
    let meta = reader.get(Column::LedgerMeta, META_KEY).ok_or(LedgerError::Empty)?;
    let meta: Meta = read("meta", &meta, META_BYTES_MAX)?;
    if meta.shard != shard {
        return Err(LedgerError::Shard { got: meta.shard, want: shard });
    }
    Ok(meta)
}

impl ShardLedger {
    /// Everything [`ShardLedger::open`] reads: accounts ascending by address, links, meta. For the genesis state and for
    /// exports, into an empty store; a cut hands out its changes alone.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        Saved::pages(&self.trie, &mut writes);
        writes.extend(self.links.iter().map(|(peer, link)| link_write(*peer, link)));
        writes.push(meta_write(self, Saved::whole(self.epoch, self.trie.len())));
        writes
    }

    /// Reads the ledger of `shard` back, live = cut. The caller compares [`ShardLedger::state_root`] with the header of
    /// [`epoch`](crate::Ledger::epoch): records are checked for their form alone.
    /// Cost: one hash of 128 bytes a trie node, some microseconds an account.
    ///
    /// # Errors
    /// [`LedgerError`] for an empty store, another shard's, and damaged records.
    pub fn open(shard: ShardAddress, reader: &dyn Reader) -> Result<ShardLedger, LedgerError> {
        let meta = read_meta(shard, reader)?;
        if meta.levels.levels.len() != usize::from(shard.level()) {
            return Err(LedgerError::Record { kind: "meta", source: None });
        }
        if meta.history.size() != meta.epoch.0 {
            return Err(LedgerError::Record { kind: "meta", source: None });
        }
        let accounts = meta.saved.load(meta.epoch, reader)?;
        let mut links = BTreeMap::new();
        for (key, value) in archive::rows(reader, Column::Link, &[], &[]) {
            let peer = read_peer(&key).filter(|peer| peer.level() == shard.level() && *peer != shard);
            let link: Link = read("link", &value, LINK_BYTES)?;
            links.insert(peer.ok_or_else(|| wrong_key("link"))?, link);
        }
        let parts = CutParts { epoch: meta.epoch, links, history: meta.history, levels: meta.levels };
        let mut ledger = ShardLedger::from_parts(shard, accounts, parts)?;
        ledger.saved = meta.saved;
        Ok(ledger)
    }
}

pub(crate) fn wrong_key(kind: &'static str) -> LedgerError {
    LedgerError::Record { kind, source: None }
}

pub(crate) fn read<T: Canonical>(kind: &'static str, bytes: &[u8], max: usize) -> Result<T, LedgerError> {
    T::from_bytes(bytes, max).map_err(|source| LedgerError::Record { kind, source: Some(source) })
}

fn read_peer(key: &[u8]) -> Option<ShardAddress> {
    let (level, index) = key.split_first()?;
    ShardAddress::new(*level, u32::from_be_bytes(index.try_into().ok()?))
}
