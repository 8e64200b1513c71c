//! What goes into a step and what comes out of it.
//!
//! **The one rule of the driver**: the writes of a step are done first, in one atomic batch, synced if `sync` says so; only
//! then may anything in `out` leave. Several steps may share one batch (group commit) if everything they send waits for it.

use crate::ports::Write;
use crate::verify::{Submission, Verified};
use smt_types::evidence::Evidence;
use smt_types::header::CertifiedHeader;
use smt_types::message::{Message, NodeId};
use smt_types::{Address, Amount, Digest, Epoch, PaymentId, ReplicaIndex, Seq, ShardAddress};

/// What a client's request is answered under. Chosen by the driver.
pub type Token = u64;

/// What drives a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client's payment; its signature has been checked.
    Submit(Token, Verified<Submission>),
    /// A message from a replica; everything signed in it has been checked.
    Message(NodeId, Verified<Message>),
    /// Time has passed.
    Tick,
}

/// How far a payment has come. The order is that of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// In this replica's queue; volatile.
    Received,
    /// q votes.
    Certified,
    /// q applied records: irrevocable.
    Final,
    /// In a cut with a certified header.
    Snapshotted,
    /// Its slot was passed without it.
    Void,
}

/// Why a payment is refused or given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// Signed for another network.
    #[error("payment is for network {got}, this is network {want}")]
    WrongNetwork {
        /// The payment's.
        got: u32,
        /// Ours.
        want: u32,
    },
    /// The payer lives in another shard.
    #[error("payer lives in shard {home}, this is shard {here}")]
    WrongShard {
        /// The payer's shard.
        home: ShardAddress,
        /// Ours.
        here: ShardAddress,
    },
    /// Nothing to pay.
    #[error("amount is zero")]
    AmountZero,
    /// Payer and payee are one account.
    #[error("payer and payee are the same account")]
    SelfPayment,
    /// The payer has never been paid.
    #[error("account has never been paid")]
    UnknownAccount,
    /// The slot is passed: by another payment, or by one this replica no longer holds.
    #[error("seq {got} is used, the next is {next}")]
    SeqTooLow {
        /// The payment's.
        got: Seq,
        /// The payer's next.
        next: Seq,
    },
    /// Another payment of the payer takes this slot.
    #[error("another payment {other} is under way at seq {seq}")]
    SeqConflict {
        /// The slot's seq.
        seq: Seq,
        /// The other payment.
        other: PaymentId,
    },
    /// Too far ahead to hold.
    #[error("seq {got} is more than {ahead} ahead of the next, {next}")]
    SeqTooHigh {
        /// The payment's.
        got: Seq,
        /// The payer's next.
        next: Seq,
        /// How far ahead may be held.
        ahead: u64,
    },
    /// Held for funds that did not come in time.
    #[error("balance {balance} does not cover {amount}")]
    InsufficientFunds {
        /// The balance now.
        balance: Amount,
        /// The payment's amount.
        amount: Amount,
    },
    /// Held too long, or no quorum in time. Ends this node's effort, not the payment.
    #[error("not certified in time: {waiting_for}")]
    Expired {
        /// What it waited for.
        waiting_for: &'static str,
    },
    /// The queue is full.
    #[error("queue is full ({held} payments)")]
    Overloaded {
        /// Payments held.
        held: usize,
    },
    /// This replica may not vote (see its readiness) and takes no payments.
    #[error("this replica does not vote: {0}")]
    NotVoting(String),
}

/// What a waiting client or an index wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Payments of one batch reached a stage.
    Stages {
        /// The stage.
        stage: Stage,
        /// Header digest of the batch they came by.
        batch: Digest,
        /// The epoch: of their cut from `Snapshotted` on, the largest open epoch of their receipts at `Final`.
        epoch: Epoch,
        /// The payments, with their places in the batch.
        payments: Vec<(PaymentId, u16)>,
    },
    /// This replica has given up a payment it took from a client.
    GaveUp {
        /// The payment.
        id: PaymentId,
        /// Why.
        reject: Reject,
    },
    /// A credit from another shard has entered a balance.
    Credited {
        /// The payment.
        id: PaymentId,
        /// The payee.
        payee: Address,
        /// Base units.
        amount: Amount,
        /// Our epoch that consumed it.
        epoch: Epoch,
    },
    /// A payment of another shard to one of our accounts is on its way under a certified header.
    Incoming {
        /// The payment.
        id: PaymentId,
        /// The payee.
        payee: Address,
        /// Base units.
        amount: Amount,
    },
    /// A cut was decided and carried out.
    Decided(Epoch),
    /// A header has its quorum.
    Header(Box<CertifiedHeader>),
    /// A new global cut.
    GlobalCut(Box<crate::global::GlobalCut>),
    /// Supply plus money in flight differs from the genesis supply on a global cut: an alarm.
    SupplyMismatch {
        /// Root of the cut.
        root: Digest,
        /// Supply and in flight on it.
        got: u128,
        /// The genesis supply.
        want: u128,
    },
    /// New evidence.
    Evidence(Box<Evidence>, ReplicaIndex),
    /// This replica votes from now on.
    Voting,
    /// This replica has stopped voting for good.
    NotVoting(String),
    /// The shard's cuts have stopped: two payments at one slot are certified.
    Forked(String),
}

/// What is to be done, in this order: writes, then the rest.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send to one replica.
    Send(NodeId, Message),
    /// Send to every other replica of the own committee.
    Broadcast(Message),
    /// Gossip up the hierarchy.
    Publish(Box<CertifiedHeader>),
    /// Answer a client: how far the payment has come, or why not.
    Reply(Token, PaymentId, Result<Stage, Reject>),
    /// Tell whoever listens.
    Event(Event),
}

/// The outcome of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Durable changes, in order.
    pub writes: Vec<Write>,
    /// Whether they must be synced before anything in `out` leaves.
    pub sync: bool,
    /// What follows.
    pub out: Vec<Effect>,
}
