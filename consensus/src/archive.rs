//! Keys and values of durable records, and reading them back.

use crate::ports::{Column, Reader, Write};
use smt_types::batch::Batch;
use smt_types::credit::Credit;
use smt_types::cut::{CutVote, Decision, Phase, PhaseCertificate, Proposal, ViewChange};
use smt_types::evidence::SignedHeader;
use smt_types::header::CertifiedHeader;
use smt_types::message::MAX_MESSAGE_BYTES;
use smt_types::report::Report;
use smt_types::vote::{Applied, Certificate, Vote};
use smt_types::{
    Address, BatchNumber, Canonical, CutValue, Digest, Epoch, PaymentId, ReplicaIndex, Seq, ShardAddress, View,
};

/// Longest row of [`Column::Unindexed`]: the payments and credits of the largest cut.
pub(crate) const MAX_DEBT_BYTES: usize = 64 << 20;

/// Longest row of [`Column::Inbox`].
pub(crate) const MAX_CREDIT_BYTES: usize = 512;

/// Key of an epoch: big endian, so that key order is epoch order.
#[must_use]
pub fn epoch_key(epoch: Epoch) -> Vec<u8> {
    epoch.0.to_be_bytes().to_vec()
}

/// Key of (epoch, view).
#[must_use]
pub fn view_key(epoch: Epoch, view: View) -> Vec<u8> {
    let mut key = epoch_key(epoch);
    key.extend(view.0.to_be_bytes());
    key
}

/// Key of (epoch, view, phase).
#[must_use]
pub fn phase_key(epoch: Epoch, view: View, phase: Phase) -> Vec<u8> {
    let mut key = view_key(epoch, view);
    key.push(match phase {
        Phase::Prepare => 0,
        Phase::Commit => 1,
    });
    key
}

/// Key of (gateway, number).
#[must_use]
pub fn number_key(gateway: ReplicaIndex, number: BatchNumber) -> Vec<u8> {
    let mut key = vec![gateway.0];
    key.extend(number.0.to_be_bytes());
    key
}

/// Key of (header digest, replica).
#[must_use]
pub fn applied_key(header: &Digest, replica: ReplicaIndex) -> Vec<u8> {
    let mut key = header.0.to_vec();
    key.push(replica.0);
    key
}

/// Key of a shard.
#[must_use]
pub fn shard_key(shard: ShardAddress) -> Vec<u8> {
    let mut key = vec![shard.level()];
    key.extend(shard.index().to_be_bytes());
    key
}

/// Key of (shard, number or epoch).
#[must_use]
pub fn shard_number_key(shard: ShardAddress, number: u64) -> Vec<u8> {
    let mut key = shard_key(shard);
    key.extend(number.to_be_bytes());
    key
}

/// Where a row of an account's history leads: the payment itself is kept once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub enum HistoryRow {
    /// A payment of this shard: batch header digest and index. Tag 0.
    Payment(Digest, u16),
    /// A credit from another shard: source and number. Tag 1.
    Credit(ShardAddress, u64),
}

/// Key of a payment an account made: address ‖ epoch ‖ 0 ‖ seq, numbers big endian, so that key order is time order.
#[must_use]
pub fn paid_key(payer: &Address, epoch: Epoch, seq: Seq) -> Vec<u8> {
    history_key(payer, epoch, 0, seq.0)
}

/// Key of a payment an account got: address ‖ epoch ‖ 1 ‖ place within the cut.
#[must_use]
pub fn received_key(payee: &Address, epoch: Epoch, place: u64) -> Vec<u8> {
    history_key(payee, epoch, 1, place)
}

fn history_key(address: &Address, epoch: Epoch, side: u8, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(49);
    key.extend(address.0);
    key.extend(epoch.0.to_be_bytes());
    key.push(side);
    key.extend(number.to_be_bytes());
    key
}

/// What a history key says: epoch, whether the account paid, and seq or place.
#[must_use]
pub fn read_history_key(key: &[u8]) -> Option<(Epoch, bool, u64)> {
    let (_, rest) = key.split_at_checked(32)?;
    let (epoch, rest) = rest.split_first_chunk::<8>()?;
    let (side, number) = rest.split_first()?;
    let number = <[u8; 8]>::try_from(number).ok()?;
    (*side <= 1).then(|| (Epoch(u64::from_be_bytes(*epoch)), *side == 0, u64::from_be_bytes(number)))
}

/// A write of a canonical value.
#[must_use]
pub fn put<T: borsh::BorshSerialize>(column: Column, key: Vec<u8>, value: &T) -> Write {
    Write { column, key, value: Some(smt_types::codec::to_bytes(value)) }
}

/// A deletion.
#[must_use]
pub fn delete(column: Column, key: Vec<u8>) -> Write {
    Write { column, key, value: None }
}

/// A batch as it is stored: with the vote this replica gave it.
pub type StoredBatch = (Batch, Option<Vote>);

fn get<T: Canonical>(reader: &dyn Reader, column: Column, key: &[u8]) -> Option<T> {
    T::from_bytes(&reader.get(column, key)?, MAX_MESSAGE_BYTES).ok()
}

fn scan<T: Canonical>(reader: &dyn Reader, column: Column, prefix: &[u8], from: &[u8], limit: usize) -> Vec<T> {
    let rows = reader.range(column, prefix, from, limit);
    rows.iter().filter_map(|(_, value)| T::from_bytes(value, MAX_MESSAGE_BYTES).ok()).collect()
}

/// Rows that [`rows`] reads at once: some are megabytes long.
const PAGE_ROWS: usize = 256;

/// All rows whose keys start with `prefix`, at or after `from`, in key order, read a page at a time.
pub fn rows<'a>(
    reader: &'a dyn Reader,
    column: Column,
    prefix: &'a [u8],
    from: &[u8],
) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + use<'a> {
    let mut next = Some(from.to_vec());
    let pages = std::iter::from_fn(move || {
        let page = reader.range(column, prefix, &next.take()?, PAGE_ROWS);
        // The first key after the last one; none where the page is short.
        next = page.last().filter(|_| page.len() >= PAGE_ROWS).map(|(last, _)| [last.as_slice(), &[0]].concat());
        Some(page)
    });
    pages.flatten()
}

/// A stored batch.
#[must_use]
pub fn batch(reader: &dyn Reader, header: &Digest) -> Option<StoredBatch> {
    get(reader, Column::Batch, &header.0)
}

/// The header digest of (gateway, number).
#[must_use]
pub fn number(reader: &dyn Reader, gateway: ReplicaIndex, number: BatchNumber) -> Option<Digest> {
    get(reader, Column::Number, &number_key(gateway, number))
}

/// The highest batch number known of a gateway. Numbers have no gaps at a gateway itself; elsewhere the answer may be lower
/// than the highest one stored.
#[must_use]
pub fn newest_number(reader: &dyn Reader, gateway: ReplicaIndex) -> Option<BatchNumber> {
    let has = |number: u64| self::number(reader, gateway, BatchNumber(number)).is_some();
    if !has(0) {
        return None;
    }
    let (mut low, mut high) = (0u64, 1u64);
    while has(high) {
        low = high;
        high = high.saturating_mul(2);
    }
    while high.saturating_sub(low) > 1 {
        let middle = low.saturating_add(high.saturating_sub(low) / 2);
        if has(middle) { low = middle } else { high = middle }
    }
    Some(BatchNumber(low))
}

/// Why this replica does not vote any more.
#[must_use]
pub fn retired(reader: &dyn Reader) -> Option<String> {
    get(reader, Column::Retired, &[])
}

/// All votes known for a batch.
#[must_use]
pub fn certificate(reader: &dyn Reader, header: &Digest) -> Option<Certificate> {
    get(reader, Column::Certificate, &header.0)
}

/// The applied records for a batch.
#[must_use]
pub fn applied(reader: &dyn Reader, header: &Digest) -> Vec<Applied> {
    scan(reader, Column::Applied, &header.0, &header.0, smt_types::committee::MAX_REPLICAS)
}

/// One replica's applied record for a batch.
#[must_use]
pub fn applied_by(reader: &dyn Reader, header: &Digest, replica: ReplicaIndex) -> Option<Applied> {
    get(reader, Column::Applied, &applied_key(header, replica))
}

/// The own report of (epoch, view).
#[must_use]
pub fn report(reader: &dyn Reader, epoch: Epoch, view: View) -> Option<Report> {
    get(reader, Column::Report, &view_key(epoch, view))
}

/// All own reports of an epoch, by view.
#[must_use]
pub fn reports(reader: &dyn Reader, epoch: Epoch) -> Vec<Report> {
    scan(reader, Column::Report, &epoch_key(epoch), &epoch_key(epoch), 1024)
}

/// The own cut vote of (epoch, view, phase).
#[must_use]
pub fn cut_vote(reader: &dyn Reader, epoch: Epoch, view: View, phase: Phase) -> Option<CutVote> {
    get(reader, Column::CutVote, &phase_key(epoch, view, phase))
}

/// All own cut votes of an epoch.
#[must_use]
pub fn cut_votes(reader: &dyn Reader, epoch: Epoch) -> Vec<CutVote> {
    scan(reader, Column::CutVote, &epoch_key(epoch), &epoch_key(epoch), 1024)
}

/// All own view changes of an epoch, by view.
#[must_use]
pub fn view_changes(reader: &dyn Reader, epoch: Epoch) -> Vec<ViewChange> {
    scan(reader, Column::ViewChange, &epoch_key(epoch), &epoch_key(epoch), 1024)
}

/// The highest prepared value of an epoch.
#[must_use]
pub fn prepared(reader: &dyn Reader, epoch: Epoch) -> Option<(CutValue, PhaseCertificate)> {
    get(reader, Column::Prepared, &epoch_key(epoch))
}

/// The newest own proposal.
#[must_use]
pub fn proposal(reader: &dyn Reader) -> Option<Proposal> {
    get(reader, Column::Proposal, &[])
}

/// A decided cut.
#[must_use]
pub fn decision(reader: &dyn Reader, epoch: Epoch) -> Option<Decision> {
    get(reader, Column::Cut, &epoch_key(epoch))
}

/// The own signed header of an epoch.
#[must_use]
pub fn own_header(reader: &dyn Reader, epoch: Epoch) -> Option<StoredHeader> {
    get(reader, Column::OwnHeader, &epoch_key(epoch))
}

/// An own header as it is stored: with its changed links, and the signature if this replica gave one.
#[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct StoredHeader {
    /// The header.
    pub header: smt_types::Header,
    /// Its changed links.
    pub changes: smt_types::header::LinkChanges,
    /// The own signature.
    pub signed: Option<SignedHeader>,
}

/// A certified header.
#[must_use]
pub fn header(reader: &dyn Reader, shard: ShardAddress, epoch: Epoch) -> Option<CertifiedHeader> {
    get(reader, Column::Header, &shard_number_key(shard, epoch.0))
}

/// Certified headers of a shard from `epoch` on.
#[must_use]
pub fn headers(reader: &dyn Reader, shard: ShardAddress, epoch: Epoch, limit: usize) -> Vec<CertifiedHeader> {
    scan(reader, Column::Header, &shard_key(shard), &shard_number_key(shard, epoch.0), limit)
}

/// Where a payment that is in a cut came by: (header digest, index, epoch of its cut).
#[must_use]
pub fn payment(reader: &dyn Reader, id: &PaymentId) -> Option<(Digest, u16, Epoch)> {
    get(reader, Column::Payment, &id.0.0)
}

/// A credit received from another shard: kept for good, since histories point to it.
#[must_use]
pub fn credit(reader: &dyn Reader, source: ShardAddress, number: u64) -> Option<Credit> {
    let stored = reader.get(Column::Inbox, &shard_number_key(source, number))?;
    Credit::from_bytes(&stored, MAX_CREDIT_BYTES).ok()
}

/// Where a credited payment came from: (source, number of its credit, epoch of the consuming cut).
#[must_use]
pub fn credited(reader: &dyn Reader, id: &PaymentId) -> Option<(ShardAddress, u64, Epoch)> {
    get(reader, Column::Credited, &id.0.0)
}
