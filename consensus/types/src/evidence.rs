//! Evidence: signed records that no honest replica can have produced. Nothing else convicts.

use crate::batch::{BatchHeader, BatchPath};
use crate::committee::Committee;
use crate::cut::CutVote;
use crate::hash::{self, Digest, Domain};
use crate::header::{Header, HeaderSignature};
use crate::payment::SignedPayment;
use crate::report::Report;
use crate::signer::Checker;
use crate::vote::{Applied, Vote};
use crate::{ReplicaIndex, Signature};
use borsh::{BorshDeserialize, BorshSerialize};

/// A batch header with its gateway's signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedBatchHeader {
    /// The header.
    pub header: BatchHeader,
    /// The gateway's signature.
    pub signature: Signature,
}

/// A vote that accepts one payment, with the payment's path.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Acceptance {
    /// The vote.
    pub vote: Vote,
    /// The batch it is for.
    pub header: BatchHeader,
    /// The payment.
    pub payment: SignedPayment,
    /// Its path in the batch.
    pub path: BatchPath,
}

/// A header with one replica's signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// The signature.
    pub signature: HeaderSignature,
}

/// Proof that a replica broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two batch headers of a gateway with one number.
    Batches(Box<[SignedBatchHeader; 2]>),
    /// Two votes of a replica for one (gateway, number).
    Votes(Box<[Vote; 2]>),
    /// Two votes accepting different payments at one slot.
    Acceptances(Box<[Acceptance; 2]>),
    /// Two different headers of a replica for one (shard, epoch).
    Headers(Box<[SignedHeader; 2]>),
    /// Two cut votes for different values in one (epoch, view, phase).
    CutVotes(Box<[CutVote; 2]>),
    /// A report that omits a payment its signer signed as applied with an open epoch not above the report's. Convicts
    /// only together with the cut the report extends: see [`Evidence::needs_cut`].
    Omission(Box<Omission>),
    /// A signed batch with an invalid payer signature.
    BadPayment(Box<BadPayment>),
}

/// See [`Evidence::Omission`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Omission {
    /// The applied record.
    pub applied: Applied,
    /// Its batch.
    pub header: BatchHeader,
    /// The payment.
    pub payment: SignedPayment,
    /// Its path.
    pub path: BatchPath,
    /// The report.
    pub report: Report,
}

/// See [`Evidence::BadPayment`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BadPayment {
    /// The signed header.
    pub batch: SignedBatchHeader,
    /// The payment whose signature does not verify.
    pub payment: SignedPayment,
    /// Its path.
    pub path: BatchPath,
}

impl Evidence {
    /// The id: equal evidence is stored once.
    #[must_use]
    pub fn id(&self) -> Digest {
        hash::hash_of(Domain::Evidence, self)
    }

    /// Stable name of the kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Evidence::Batches(_) => "two_batches",
            Evidence::Votes(_) => "two_votes",
            Evidence::Acceptances(_) => "two_acceptances",
            Evidence::Headers(_) => "two_headers",
            Evidence::CutVotes(_) => "two_cut_votes",
            Evidence::Omission(_) => "omission",
            Evidence::BadPayment(_) => "bad_payment",
        }
    }

    /// Whether the checker must also know that neither the cut the report extends nor a void passed the slot.
    #[must_use]
    pub fn needs_cut(&self) -> bool {
        matches!(self, Evidence::Omission(_))
    }

    /// The replica this convicts under `committee`, or `None` if it convicts nobody.
    #[must_use]
    pub fn convicts(&self, committee: &Committee, checker: &dyn Checker) -> Option<ReplicaIndex> {
        let by = |replica: ReplicaIndex, digest: &Digest, signature: &Signature| {
            committee.keys(replica).is_some_and(|keys| checker.check(&keys.ed25519, digest, signature))
        };
        let vote = |v: &Vote| v.committee == committee.digest() && by(v.replica, &v.digest(), &v.signature);
        match self {
            Evidence::Batches(pair) => {
                let [a, b] = pair.as_ref();
                let own = |s: &SignedBatchHeader| {
                    s.header.committee == committee.digest() && by(s.header.gateway, &s.header.digest(), &s.signature)
                };
                let same = a.header.gateway == b.header.gateway && a.header.number == b.header.number;
                (same && a.header != b.header && own(a) && own(b)).then_some(a.header.gateway)
            }
            Evidence::Votes(pair) => {
                let [a, b] = pair.as_ref();
                let same = a.replica == b.replica && a.gateway == b.gateway && a.number == b.number;
                (same && a.digest() != b.digest() && vote(a) && vote(b)).then_some(a.replica)
            }
            Evidence::Acceptances(pair) => {
                let [a, b] = pair.as_ref();
                let accepts = |s: &Acceptance| {
                    vote(&s.vote)
                        && s.vote.header == s.header.digest()
                        && s.vote.bits.get(s.path.index)
                        && s.path.root(s.payment.leaf(), s.header.count) == Some(s.header.root)
                };
                let same = a.vote.replica == b.vote.replica && a.payment.payment.slot() == b.payment.payment.slot();
                let differ = a.payment.payment.id() != b.payment.payment.id();
                (same && differ && accepts(a) && accepts(b)).then_some(a.vote.replica)
            }
            Evidence::Headers(pair) => {
                let [a, b] = pair.as_ref();
                let own = |s: &SignedHeader| {
                    s.header.committee == committee.digest()
                        && s.signature.is_valid(committee, &s.header.digest(), &s.header.poseidon(), checker)
                };
                let same = a.signature.replica == b.signature.replica && a.header.epoch == b.header.epoch;
                (same && a.header != b.header && own(a) && own(b)).then_some(a.signature.replica)
            }
            Evidence::CutVotes(pair) => {
                let [a, b] = pair.as_ref();
                let own = |v: &CutVote| v.committee == committee.digest() && by(v.replica, &v.digest(), &v.signature);
                let same = (a.replica, a.epoch, a.view, a.phase) == (b.replica, b.epoch, b.view, b.phase);
                (same && a.value != b.value && own(a) && own(b)).then_some(a.replica)
            }
            Evidence::Omission(omission) => omission.convicts(committee, &by),
            Evidence::BadPayment(bad) => {
                let header = &bad.batch.header;
                let signed = header.committee == committee.digest()
                    && by(header.gateway, &header.digest(), &bad.batch.signature);
                let inside = bad.path.root(bad.payment.leaf(), header.count) == Some(header.root);
                let payment = &bad.payment.payment;
                let invalid = !checker.check(&payment.payer, &payment.id().0, &bad.payment.signature);
                (signed && inside && invalid).then_some(header.gateway)
            }
        }
    }
}

impl Omission {
    fn convicts(
        &self,
        committee: &Committee,
        by: &dyn Fn(ReplicaIndex, &Digest, &Signature) -> bool,
    ) -> Option<ReplicaIndex> {
        let (applied, report) = (&self.applied, &self.report);
        let signed = applied.committee == committee.digest()
            && report.committee == committee.digest()
            && applied.replica == report.replica
            && by(applied.replica, &applied.digest(), &applied.signature)
            && by(report.replica, &report.digest(), &report.signature);
        let inside = applied.header == self.header.digest()
            && applied.bits.get(self.path.index)
            && self.path.root(self.payment.leaf(), self.header.count) == Some(self.header.root);
        let due = applied.open_epoch <= report.epoch;
        let listed = report.bits.iter().any(|entry| entry.header == applied.header && entry.bits.get(self.path.index));
        (signed && inside && due && !listed).then_some(report.replica)
    }
}
