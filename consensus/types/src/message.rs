//! What replicas send each other. Every message authenticates itself by the signatures inside it; whom it came from
//! decides only whom to answer. All are safe to lose, repeat and reorder.

use crate::batch::Batch;
use crate::codec::Bounded;
use crate::credit::CreditBundle;
use crate::cut::{CutVote, Decision, Proposal, ViewChange};
use crate::evidence::{Evidence, SignedHeader};
use crate::header::CertifiedHeader;
use crate::payment::SignedPayment;
use crate::report::Report;
use crate::vote::{Applied, Certificate, Vote};
use crate::{BatchNumber, Digest, Epoch, PaymentId, ReplicaIndex, Seq, ShardAddress, Slot};
use borsh::{BorshDeserialize, BorshSerialize};

/// Longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// A replica's place in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct NodeId {
    /// Its shard.
    pub shard: ShardAddress,
    /// Its place in the shard's committee.
    pub replica: ReplicaIndex,
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.shard, self.replica)
    }
}

/// Why a voter left a bit at zero. Unsigned advice for the gateway.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Refusal {
    /// The payer's next seq here is lower: an earlier payment has not been applied yet.
    SeqTooHigh(Seq),
    /// The slot is passed already.
    SeqPassed(Seq),
    /// The balance here does not cover it yet.
    Unfunded,
    /// Another payment holds the slot.
    Locked(Box<SignedPayment>),
    /// The voter holds a certificate for this payment already; it follows.
    Certified,
    /// The slot is frozen until the cut is decided.
    Frozen,
    /// The batch header's clock is too far ahead: all bits are zero and the clock is not merged.
    Clock,
}

/// Something a replica lacks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Ask {
    /// The batch with this header digest, with every vote known for it. Answer: `Batch`, `Certificate`.
    Batch(Digest),
    /// A certificate for this payment at this slot. Answer: `Batch`, `Certificate`.
    Payment(Slot, PaymentId),
    /// The decided cut and header of an epoch of the asker's own shard. Answer: `Decision`, `Header`.
    Cut(Epoch),
    /// Headers of a shard from an epoch on, a bounded number. Answer: `Header`s.
    Headers(ShardAddress, Epoch),
    /// Credits of the asked shard for `destination` from number `first` on. Answer: `Credits`.
    Credits {
        /// Whose credits.
        destination: ShardAddress,
        /// The first number wanted.
        first: u64,
    },
    /// Batches with certificates that the asker lacks: beyond the highest gapless number it holds per gateway (by
    /// place). Answer: `Batch`, `Certificate`, `Applied`, a bounded number.
    Since(Bounded<BatchNumber, 27>),
    /// The newest records signed by the asker. Answer: `Records`.
    Records,
    /// Applied records of everyone for the batch with this header digest. Answer: `Applied`s.
    Applied(Digest),
}

/// The newest records a peer holds that the asker has signed, signatures included.
#[derive(Clone, Debug, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Records {
    /// The newest vote per gateway.
    pub votes: Bounded<Vote, 27>,
    /// The newest applied record.
    pub applied: Option<Applied>,
    /// The newest report.
    pub report: Option<Report>,
    /// The newest cut votes, one per phase.
    pub cut_votes: Bounded<CutVote, 2>,
    /// The newest view change.
    pub view_change: Option<ViewChange>,
    /// The newest batch (a gateway's own).
    pub batch: Option<crate::evidence::SignedBatchHeader>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Message {
    /// A gateway's batch, to be voted on.
    Batch(Box<Batch>),
    /// A vote, with advice for the zero bits: (index, why).
    Vote(Box<Vote>, Bounded<(u16, Refusal), 1024>),
    /// Votes for a batch.
    Certificate(Box<Certificate>),
    /// An applied record.
    Applied(Box<Applied>),
    /// A report.
    Report(Box<Report>),
    /// A proposal.
    Proposal(Box<Proposal>),
    /// A cut vote.
    CutVote(Box<CutVote>),
    /// A view change, with the prepared value it names.
    ViewChange(Box<ViewChange>, Option<Box<crate::CutValue>>),
    /// A decided cut.
    Decision(Box<Decision>),
    /// A replica's signature of its shard's header, with the header, so that two different ones are evidence.
    HeaderSignature(Box<SignedHeader>),
    /// A certified header.
    Header(Box<CertifiedHeader>),
    /// Credits between shards.
    Credits(Box<CreditBundle>),
    /// Two different payments of one slot.
    Contested(Box<[SignedPayment; 2]>),
    /// A conviction.
    Evidence(Box<Evidence>),
    /// A request; answers are messages of their own.
    Ask(Ask),
    /// Answer to [`Ask::Records`].
    Records(Box<Records>),
}

impl Message {
    /// Stable name of the kind, for logs and counters.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Message::Batch(_) => "batch",
            Message::Vote(..) => "vote",
            Message::Certificate(_) => "certificate",
            Message::Applied(_) => "applied",
            Message::Report(_) => "report",
            Message::Proposal(_) => "proposal",
            Message::CutVote(_) => "cut_vote",
            Message::ViewChange(..) => "view_change",
            Message::Decision(_) => "decision",
            Message::HeaderSignature(..) => "header_signature",
            Message::Header(_) => "header",
            Message::Credits(_) => "credits",
            Message::Contested(_) => "contested",
            Message::Evidence(_) => "evidence",
            Message::Ask(_) => "ask",
            Message::Records(_) => "records",
        }
    }
}
