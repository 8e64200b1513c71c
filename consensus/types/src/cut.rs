//! The epoch cut: the value agreed on and the votes of its two phases.

use crate::codec::Bounded;
use crate::committee::MAX_REPLICAS;
use crate::hash::{self, Digest, Domain};
use crate::report::{BatchBits, MAX_CONTESTED, MAX_CUT_BATCHES, MAX_SOURCES, Report, SourceCount, ascends};
use crate::{DenseTime, Epoch, Lamport, NetworkId, PaymentId, ReplicaIndex, ShardAddress, Signature, Slot, View};
use borsh::{BorshDeserialize, BorshSerialize};

/// What a shard agrees on each epoch. Together with the previous cut it determines the state root.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CutValue {
    /// The network.
    pub network: NetworkId,
    /// The shard.
    pub shard: ShardAddress,
    /// The epoch.
    pub epoch: Epoch,
    /// Digest of the previous epoch's value; zeros before epoch 1.
    pub base: Digest,
    /// Bits that join the cut, ascending by [`BatchBits::key`].
    pub bits: Bounded<BatchBits, MAX_CUT_BATCHES>,
    /// Slots passed without a payment, ascending.
    pub voids: Bounded<Slot, MAX_CONTESTED>,
    /// Contested slots settled by a certificate, ascending by slot: the payment that keeps each.
    pub settled: Bounded<(Slot, PaymentId), MAX_CONTESTED>,
    /// Outbox counts consumed, ascending by source; only sources that advance.
    pub consumed: Bounded<SourceCount, MAX_SOURCES>,
    /// Lamport stamp, above every report's.
    pub lamport: Lamport,
    /// Dense stamp of the first proposer of this value, above the predecessor's.
    pub dense: DenseTime,
}

impl CutValue {
    /// The digest that is voted on.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::CutValue, self)
    }

    /// Lists ascend strictly and bitmaps are not empty.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        ascends(&self.bits, BatchBits::key)
            && self.bits.iter().all(|entry| !entry.bits.is_empty())
            && ascends(&self.voids, |slot| *slot)
            && ascends(&self.settled, |(slot, _)| *slot)
            && ascends(&self.consumed, |entry| entry.source)
    }
}

/// The two phases of agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Phase {
    /// "I saw this proposal and it is valid."
    Prepare,
    /// "I saw q prepares for it."
    Commit,
}

/// One replica's vote in one phase of one view; one per (epoch, view, phase), ever.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CutVote {
    /// Digest of the committee.
    pub committee: Digest,
    /// The epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
    /// The phase.
    pub phase: Phase,
    /// Digest of the value.
    pub value: Digest,
    /// The voter.
    pub replica: ReplicaIndex,
    /// ed25519 over [`CutVote::digest`].
    pub signature: Signature,
}

impl CutVote {
    /// What the voter signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::CutVote, &(self.committee, self.epoch, self.view, self.phase, self.value, self.replica))
    }
}

/// q votes of one phase for one value, voters ascending.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PhaseCertificate {
    /// Digest of the committee.
    pub committee: Digest,
    /// The epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
    /// The phase.
    pub phase: Phase,
    /// Digest of the value.
    pub value: Digest,
    /// Voters and signatures.
    pub votes: Bounded<(ReplicaIndex, Signature), MAX_REPLICAS>,
}

impl PhaseCertificate {
    /// The votes as single records, for signature checks.
    pub fn votes(&self) -> impl Iterator<Item = CutVote> + '_ {
        self.votes.iter().map(|(replica, signature)| CutVote {
            committee: self.committee,
            epoch: self.epoch,
            view: self.view,
            phase: self.phase,
            value: self.value,
            replica: *replica,
            signature: *signature,
        })
    }

    /// At least `quorum` voters, ascending.
    #[must_use]
    pub fn is_well_formed(&self, quorum: usize) -> bool {
        self.votes.len() >= quorum && ascends(&self.votes, |(replica, _)| *replica)
    }
}

/// A replica's promise to leave all views below `view`, with the highest value it knows to be prepared.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChange {
    /// Digest of the committee.
    pub committee: Digest,
    /// The epoch.
    pub epoch: Epoch,
    /// The view entered; one view change per (epoch, view), ever.
    pub view: View,
    /// Proof that a value was prepared in a lower view, highest known.
    pub prepared: Option<PhaseCertificate>,
    /// The replica.
    pub replica: ReplicaIndex,
    /// ed25519 over [`ViewChange::digest`].
    pub signature: Signature,
}

impl ViewChange {
    /// What the replica signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::ViewChange, &(self.committee, self.epoch, self.view, &self.prepared, self.replica))
    }
}

/// A proposer's value for a view with what justifies it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// Digest of the committee.
    pub committee: Digest,
    /// The epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
    /// The value.
    pub value: CutValue,
    /// The q reports whose join the value is; empty if the value was prepared in a lower view.
    pub reports: Bounded<Report, MAX_REPLICAS>,
    /// q view changes for this view; empty in view 0.
    pub view_changes: Bounded<ViewChange, MAX_REPLICAS>,
    /// The proposer.
    pub replica: ReplicaIndex,
    /// ed25519 over [`Proposal::digest`].
    pub signature: Signature,
}

impl Proposal {
    /// What the proposer signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::Proposal, &(self.committee, self.epoch, self.view, self.value.digest(), self.replica))
    }
}

/// A decided cut: the value and q commit votes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Decision {
    /// The value.
    pub value: CutValue,
    /// q commit votes for it.
    pub commits: PhaseCertificate,
}

impl Decision {
    /// The certificate is q well-formed commit votes for this value. Signatures are checked apart.
    #[must_use]
    pub fn is_well_formed(&self, quorum: usize) -> bool {
        self.commits.phase == Phase::Commit
            && self.commits.epoch == self.value.epoch
            && self.commits.value == self.value.digest()
            && self.commits.is_well_formed(quorum)
            && self.value.is_well_formed()
    }
}
