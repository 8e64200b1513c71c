//! Votes, certificates and applied acknowledgements.
//!
//! **Bits are counted one by one** ([`Certificate::certified`]): a payment is certified iff q distinct replicas set its
//! bit. Different vote sets of one batch may certify different payments; a certificate is evidence for its bits only.

use crate::codec::Bounded;
use crate::committee::{Committee, MAX_REPLICAS};
use crate::hash::{self, Digest, Domain};
use crate::{BatchNumber, Bitmap, Epoch, ReplicaIndex, Signature};
use borsh::{BorshDeserialize, BorshSerialize};

/// One replica's signed record about a batch: which of its payments it accepts. One per (gateway, number), ever.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Digest of the committee.
    pub committee: Digest,
    /// The batch's gateway.
    pub gateway: ReplicaIndex,
    /// The batch's number.
    pub number: BatchNumber,
    /// Digest of the batch header.
    pub header: Digest,
    /// The voter.
    pub replica: ReplicaIndex,
    /// Accepted payments.
    pub bits: Bitmap,
    /// ed25519 over [`Vote::digest`].
    pub signature: Signature,
}

impl Vote {
    /// What the voter signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::Vote, &(self.committee, self.gateway, self.number, self.header, self.replica, &self.bits))
    }
}

/// One voter's part of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VotePart {
    /// The voter.
    pub replica: ReplicaIndex,
    /// Its bits.
    pub bits: Bitmap,
    /// Its signature.
    pub signature: Signature,
}

/// Votes for one batch, voters ascending.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// Digest of the committee.
    pub committee: Digest,
    /// The batch's gateway.
    pub gateway: ReplicaIndex,
    /// The batch's number.
    pub number: BatchNumber,
    /// Digest of the batch header.
    pub header: Digest,
    /// The votes.
    pub votes: Bounded<VotePart, MAX_REPLICAS>,
}

impl Certificate {
    /// The votes as single records, for signature checks.
    pub fn votes(&self) -> impl Iterator<Item = Vote> + '_ {
        self.votes.iter().map(|part| Vote {
            committee: self.committee,
            gateway: self.gateway,
            number: self.number,
            header: self.header,
            replica: part.replica,
            bits: part.bits.clone(),
            signature: part.signature,
        })
    }

    /// Voters ascend without repetition, belong to the committee, and all bitmaps have `count` bits.
    #[must_use]
    pub fn is_well_formed(&self, committee: &Committee, count: u16) -> bool {
        self.committee == committee.digest()
            && self.votes.iter().all(|part| part.bits.count() == count && committee.has(part.replica))
            && self.votes.windows(2).all(|pair| matches!(pair, [a, b] if a.replica < b.replica))
    }

    /// The bits with at least `quorum` votes. Signatures and form must have been checked.
    #[must_use]
    pub fn certified(&self, count: u16, quorum: usize) -> Bitmap {
        Bitmap::from_fn(count, |index| self.votes.iter().filter(|part| part.bits.get(index)).count() >= quorum)
    }
}

/// A replica's signed record that it has stored and applied `bits` of a batch. A larger set may be signed later.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Applied {
    /// Digest of the committee.
    pub committee: Digest,
    /// Digest of the batch header.
    pub header: Digest,
    /// The signer.
    pub replica: ReplicaIndex,
    /// All payments of the batch the signer has applied so far.
    pub bits: Bitmap,
    /// The signer's open epoch: its report for this epoch, and every later one until a cut holds them, lists these bits.
    pub open_epoch: Epoch,
    /// ed25519 over [`Applied::digest`].
    pub signature: Signature,
}

impl Applied {
    /// What the signer signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::Applied, &(self.committee, self.header, self.replica, &self.bits, self.open_epoch))
    }
}
