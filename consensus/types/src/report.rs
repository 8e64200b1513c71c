//! Reports: what a replica has applied that no cut holds yet.

use crate::batch::MAX_BATCH_PAYMENTS;
use crate::codec::Bounded;
use crate::committee::MAX_REPLICAS;
use crate::hash::{self, Digest, Domain};
use crate::{
    BatchNumber, Bitmap, DenseTime, Epoch, Lamport, NetworkId, PaymentId, ReplicaIndex, ShardAddress, Signature, Slot,
    View,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Most batches a report or cut lists. Gateways and voters hold back before a shard has more of them in no cut, so that no
/// report and no join is ever cut short: a report that left something out would break its signer's word.
pub const MAX_CUT_BATCHES: usize = 2048;

/// Most contested slots a report lists; the rest travel on to the next epoch.
pub const MAX_CONTESTED: usize = 1024;

/// Most source shards a report or cut names.
pub const MAX_SOURCES: usize = 19_683;

/// Bits of one batch, listed in order of (gateway, number, header).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct BatchBits {
    /// The batch's gateway.
    pub gateway: ReplicaIndex,
    /// The batch's number.
    pub number: BatchNumber,
    /// Digest of its header.
    pub header: Digest,
    /// The payments meant.
    pub bits: Bitmap,
}

impl BatchBits {
    /// What entries are ordered and joined by.
    #[must_use]
    pub fn key(&self) -> (ReplicaIndex, BatchNumber, Digest) {
        (self.gateway, self.number, self.header)
    }
}

/// A slot for which two different signed payments are known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct ContestedSlot {
    /// The slot.
    pub slot: Slot,
    /// The two payments, ascending.
    pub payments: [PaymentId; 2],
    /// Certificates held for either: (payment, batch header digest, index in the batch).
    pub certified: Bounded<(PaymentId, Digest, u16), 2>,
}

/// The newest certified header of a source shard whose credits the reporter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct SourceCount {
    /// The source.
    pub source: ShardAddress,
    /// Its outbox count for us at that header.
    pub count: u64,
    /// The header's epoch.
    pub epoch: Epoch,
    /// The header's digest.
    pub header: Digest,
}

/// A replica's signed report for an epoch. Signing the first one closes the epoch for this replica.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Report {
    /// The network.
    pub network: NetworkId,
    /// The shard.
    pub shard: ShardAddress,
    /// Digest of the committee.
    pub committee: Digest,
    /// The epoch to be cut.
    pub epoch: Epoch,
    /// The view it is made for; one report per (epoch, view).
    pub view: View,
    /// The reporter.
    pub replica: ReplicaIndex,
    /// Digest of the value of cut `epoch` − 1, which this extends.
    pub base: Digest,
    /// Applied bits that the base does not hold, ascending by [`BatchBits::key`].
    pub bits: Bounded<BatchBits, MAX_CUT_BATCHES>,
    /// Contested slots, ascending.
    pub contested: Bounded<ContestedSlot, MAX_CONTESTED>,
    /// Newest source headers held, ascending by source; only those above the base's cursors.
    pub sources: Bounded<SourceCount, MAX_SOURCES>,
    /// The reporter's Lamport clock.
    pub lamport: Lamport,
    /// The reporter's newest dense time.
    pub dense: DenseTime,
    /// ed25519 over [`Report::digest`].
    pub signature: Signature,
}

impl Report {
    /// What the reporter signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(
            Domain::Report,
            &(
                (self.network, self.shard, self.committee, self.epoch, self.view, self.replica, self.base),
                (&self.bits, &self.contested, &self.sources, self.lamport, self.dense),
            ),
        )
    }

    /// Lists ascend strictly, bitmaps are not empty, and no index exceeds a batch.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        ascends(&self.bits, BatchBits::key)
            && self.bits.iter().all(|entry| !entry.bits.is_empty())
            && ascends(&self.contested, |entry| entry.slot)
            && self.contested.iter().all(|entry| {
                let [a, b] = entry.payments;
                a < b
                    && entry
                        .certified
                        .iter()
                        .all(|(id, _, index)| (*id == a || *id == b) && *index < MAX_BATCH_PAYMENTS)
            })
            && ascends(&self.sources, |entry| entry.source)
            && usize::from(self.replica.0) < MAX_REPLICAS
    }
}

/// Whether `items` ascend strictly by `key`.
#[must_use]
pub fn ascends<T, K: Ord>(items: &[T], key: impl Fn(&T) -> K) -> bool {
    items.windows(2).all(|pair| matches!(pair, [a, b] if key(a) < key(b)))
}
