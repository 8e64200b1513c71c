//! One shard's part of a statement.

use crate::StatementError;
use crate::flows::Wide;
use smt_types::clock::SierpinskiClock;
use smt_types::header::HeaderSignature;
use smt_types::signer::Checker;
use smt_types::{Committee, DenseTime, Epoch, Header, Lamport, ReplicaIndex, ShardAddress};
use std::collections::BTreeSet;

/// One shard's header in two cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// In the cut before.
    pub old: Header,
    /// In this cut.
    pub new: Header,
    /// Under the new header; `None` if it is carried over.
    pub signatures: Option<Vec<HeaderSignature>>,
}

impl Step {
    /// Epoch 0, not signed, every counter and clock 0, and nothing before it.
    pub(crate) fn is_genesis(&self) -> bool {
        let Header { epoch, lamport, dense, levels, shard, .. } = &self.new;
        let clocks = (*epoch, *lamport, *dense) == (Epoch(0), Lamport(0), DenseTime::ZERO);
        clocks && *levels == SierpinskiClock::new(shard.level()) && self.signatures.is_none() && self.old == self.new
    }

    pub(crate) fn check(
        &self,
        shard: ShardAddress,
        committee: &Committee,
        checker: &dyn Checker,
    ) -> Result<(), StatementError> {
        for header in [&self.old, &self.new] {
            if header.shard != shard
                || header.network != committee.network()
                || header.committee != committee.digest()
                || header.levels.levels.len() != usize::from(shard.level())
            {
                return Err(StatementError::Foreign(shard));
            }
        }
        match &self.signatures {
            None if self.new != self.old => return Err(StatementError::Epoch(shard)),
            Some(_) if self.new.epoch <= self.old.epoch => return Err(StatementError::Epoch(shard)),
            Some(signatures) if !self.has_quorum(committee, signatures, checker) => {
                return Err(StatementError::Quorum(shard));
            }
            _ => {}
        }
        let (old, new) = (&self.old, &self.new);
        if new.lamport < old.lamport || new.dense < old.dense || !old.levels.le(&new.levels) {
            return Err(StatementError::Lower(shard));
        }
        // New supply + sent since = old supply + received since; with what was before on the other side.
        let [mut gone, mut come] = [Wide::of(new.supply.0), Wide::of(old.supply.0)];
        for (old, new) in old.levels.levels.iter().flatten().zip(new.levels.levels.iter().flatten()) {
            gone = gone.plus(new.sent).plus(old.received);
            come = come.plus(new.received).plus(old.sent);
        }
        if gone == come { Ok(()) } else { Err(StatementError::Supply(shard)) }
    }

    fn has_quorum(&self, committee: &Committee, signatures: &[HeaderSignature], checker: &dyn Checker) -> bool {
        let message = self.new.poseidon();
        let signers: BTreeSet<ReplicaIndex> = signatures.iter().map(|signature| signature.replica).collect();
        let is_valid = |signature: &HeaderSignature| {
            let keys = committee.keys(signature.replica);
            keys.is_some_and(|keys| checker.check_jub(&keys.jub, &message, &signature.jub))
        };
        signatures.len() == committee.quorum() && signers.len() == signatures.len() && signatures.iter().all(is_valid)
    }
}
