//! Columns and key ranges.

/// What a record is. The discriminant is the first byte of its key on disk: it never changes and is never used again for something
/// else. 0 and 255 stay free, so that every column has a key before and behind it. The protocol's columns carry the numbers of
/// [`smt_consensus::Column`], where their contents are described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Column {
    /// header digest → (batch, own vote if any).
    Batch = 1,
    /// (gateway, number) big endian → header digest.
    Number = 2,
    /// header digest → (): batches not forgotten yet.
    Live = 3,
    /// header digest → certificate: all votes known.
    Certificate = 4,
    /// (header digest, replica) → applied record, the largest known.
    Applied = 5,
    /// (epoch, view) big endian → own report.
    Report = 6,
    /// (epoch, view, phase) big endian → own cut vote.
    CutVote = 7,
    /// (epoch, view) big endian → own view change.
    ViewChange = 8,
    /// epoch big endian → (value, prepare certificate), the highest known.
    Prepared = 9,
    /// epoch big endian → decision.
    Cut = 10,
    /// epoch big endian → own signed header.
    OwnHeader = 11,
    /// (shard level, shard index, epoch) big endian → certified header.
    Header = 12,
    /// (source shard, number) big endian → credit received and not consumed yet, or kept for peers.
    Inbox = 13,
    /// source shard → (tip channel, newest bundle header).
    InboxTip = 14,
    /// evidence id → (evidence, convicted replica).
    Evidence = 15,
    /// peer shard → epoch of our newest certified header that changed our outbox for it.
    LastChange = 16,
    /// empty key → shard epochs of the newest global cut.
    GlobalCut = 17,
    /// empty key → the newest own proposal.
    Proposal = 18,
    /// empty key → why this replica has stopped voting for good.
    Retired = 19,
    /// The ledger: page → all accounts at an earlier cut.
    Account = 32,
    /// The ledger: (destination, number) big endian → credit.
    Outbox = 33,
    /// The ledger: peer shard → (outbox, cursor) channels at the newest cut.
    Link = 34,
    /// The ledger: fixed keys → history root and other scalars of the newest cut.
    LedgerMeta = 35,
    /// payment id → (header digest, index, epoch of its cut). Written after the cut.
    Payment = 36,
    /// (address, epoch, side, number) → where the payment or credit is kept: account history. Written after the cut.
    History = 37,
    /// credited payment id → (source, credit number, epoch of the consuming cut).
    Credited = 38,
    /// The ledger: epoch big endian → the accounts a cut has changed.
    AccountDelta = 39,
    /// epoch big endian → payments of its cut that are not in the three columns before yet.
    Unindexed = 40,
    /// Single values of the daemon: what the data directory is for.
    Meta = 64,
    /// State of other parts of the daemon.
    Node = 65,
}

impl From<smt_consensus::Column> for Column {
    fn from(column: smt_consensus::Column) -> Column {
        use smt_consensus::Column as Protocol;
        match column {
            Protocol::Batch => Column::Batch,
            Protocol::Number => Column::Number,
            Protocol::Live => Column::Live,
            Protocol::Certificate => Column::Certificate,
            Protocol::Applied => Column::Applied,
            Protocol::Report => Column::Report,
            Protocol::CutVote => Column::CutVote,
            Protocol::ViewChange => Column::ViewChange,
            Protocol::Prepared => Column::Prepared,
            Protocol::Cut => Column::Cut,
            Protocol::OwnHeader => Column::OwnHeader,
            Protocol::Header => Column::Header,
            Protocol::Inbox => Column::Inbox,
            Protocol::InboxTip => Column::InboxTip,
            Protocol::Evidence => Column::Evidence,
            Protocol::LastChange => Column::LastChange,
            Protocol::GlobalCut => Column::GlobalCut,
            Protocol::Proposal => Column::Proposal,
            Protocol::Retired => Column::Retired,
            Protocol::Account => Column::Account,
            Protocol::Outbox => Column::Outbox,
            Protocol::Link => Column::Link,
            Protocol::LedgerMeta => Column::LedgerMeta,
            Protocol::Payment => Column::Payment,
            Protocol::History => Column::History,
            Protocol::Credited => Column::Credited,
            Protocol::AccountDelta => Column::AccountDelta,
            Protocol::Unindexed => Column::Unindexed,
        }
    }
}

impl Column {
    /// Every column, in key order.
    pub const ALL: [Column; 30] = [
        Column::Batch,
        Column::Number,
        Column::Live,
        Column::Certificate,
        Column::Applied,
        Column::Report,
        Column::CutVote,
        Column::ViewChange,
        Column::Prepared,
        Column::Cut,
        Column::OwnHeader,
        Column::Header,
        Column::Inbox,
        Column::InboxTip,
        Column::Evidence,
        Column::LastChange,
        Column::GlobalCut,
        Column::Proposal,
        Column::Retired,
        Column::Account,
        Column::Outbox,
        Column::Link,
        Column::LedgerMeta,
        Column::Payment,
        Column::History,
        Column::Credited,
        Column::AccountDelta,
        Column::Unindexed,
        Column::Meta,
        Column::Node,
    ];

    pub(super) fn key(self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(key.len().saturating_add(1));
        bytes.push(self as u8);
        bytes.extend_from_slice(key);
        bytes
    }
}

/// Order of a scan, by key bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// A range of keys within a column, compared bytewise: `lower ≤ key < upper`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    lower: Vec<u8>,
    /// `None`: up to the end of the column.
    upper: Option<Vec<u8>>,
}

impl KeyRange {
    /// The whole column.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The keys that start with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { lower: prefix.to_vec(), upper: successor(prefix) }
    }

    /// This range without the keys below `key`.
    #[must_use]
    pub fn from(mut self, key: &[u8]) -> Self {
        if self.lower.as_slice() < key {
            self.lower = key.to_vec();
        }
        self
    }

    /// This range without `key` and the keys below it.
    #[must_use]
    pub fn after(self, key: &[u8]) -> Self {
        // The smallest key above `key` is `key` with a zero byte behind it.
        let mut next = key.to_vec();
        next.push(0);
        self.from(&next)
    }

    /// This range without `key` and the keys above it.
    #[must_use]
    pub fn before(mut self, key: &[u8]) -> Self {
        if self.upper.as_deref().is_none_or(|upper| key < upper) {
            self.upper = Some(key.to_vec());
        }
        self
    }

    /// Both bounds as keys on disk.
    pub(super) fn bounds(&self, column: Column) -> (Vec<u8>, Vec<u8>) {
        let upper = match &self.upper {
            Some(upper) => column.key(upper),
            // No tag is 255, so there is always a next one.
            None => vec![(column as u8).saturating_add(1)],
        };
        (column.key(&self.lower), upper)
    }
}

/// The smallest key above every key that starts with `prefix`; `None` if there is none (empty, or 255 throughout).
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = prefix.to_vec();
    while let Some(last) = bytes.pop() {
        if let Some(next) = last.checked_add(1) {
            bytes.push(next);
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;

    #[test]
    fn tags_are_unique_and_ascending() {
        assert!(Column::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Column::ALL.iter().all(|column| (1..255).contains(&(*column as u8))));
    }

    #[test]
    fn prefix_bounds_hold_exactly_the_prefix() {
        for prefix in [&b""[..], b"a", b"a\xff", b"\xff", b"\xff\xff", b"ab\x00"] {
            let (lower, upper) = KeyRange::prefix(prefix).bounds(Column::Cut);
            for tail in [&b""[..], b"\x00", b"\xff", b"\xff\xff\xff"] {
                let key = Column::Cut.key(&[prefix, tail].concat());
                assert!(lower <= key && key < upper, "{prefix:?} {tail:?}");
            }
            assert!(Column::OwnHeader.key(b"") >= upper);
            assert!(Column::Prepared.key(b"\xff\xff\xff\xff") < lower);
        }
    }
}
