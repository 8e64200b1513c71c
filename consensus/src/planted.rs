//! Planted bugs: the simulator must catch every one of them.
//!
//! Without the feature `planted` the functions here are constant `false` and the compiler removes the branches; the node
//! is never built with it. With it, one bug at a time is switched on per thread.

/// A known mistake, each taken from a schedule that breaks a naive version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A vote leaves before its record is synced.
    SkipVoteSync,
    /// `applied` leaves before its record is synced.
    SkipAppliedSync,
    /// After a restart a vote is computed again instead of repeated.
    RecomputeVote,
    /// A batch's votes are combined with AND instead of counted per bit.
    AndInsteadOfCount,
    /// Votes are counted per batch: q votes certify every payment that anyone accepted.
    CountVotesPerBatch,
    /// The cut joins batch numbers instead of bits: every replica takes what it holds as certified up to the highest number.
    JoinByCounts,
    /// A certified debit is applied before its funding.
    NegativeIntermediates,
    /// A voter ignores the lock that another payment holds on a slot.
    IgnoreLock,
    /// Reports leave out bits of batches that an earlier cut has already listed.
    ForgetLateBits,
    /// A new proposer ignores the value that view changes say was prepared.
    IgnorePrepared,
    /// A cut takes as many credits as it consumes from the lowest one held, not from the cursor on.
    CreditTwice,
    /// The open epoch is not raised when a report is signed.
    KeepEpochOpen,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 12] = [
        Bug::SkipVoteSync,
        Bug::SkipAppliedSync,
        Bug::RecomputeVote,
        Bug::AndInsteadOfCount,
        Bug::CountVotesPerBatch,
        Bug::JoinByCounts,
        Bug::NegativeIntermediates,
        Bug::IgnoreLock,
        Bug::ForgetLateBits,
        Bug::IgnorePrepared,
        Bug::CreditTwice,
        Bug::KeepEpochOpen,
    ];
}

#[cfg(feature = "planted")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

    /// Switches one bug on for this thread, or all off.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.with(|cell| cell.set(bug));
    }

    /// Whether `bug` is on.
    #[must_use]
    pub fn planted(bug: Bug) -> bool {
        PLANTED.with(Cell::get) == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub use switch::{plant, planted};

/// Whether `bug` is on: never, in a build without the feature.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn planted(_bug: Bug) -> bool {
    false
}
