//! The statement of a proof, natively: what `circuits/lib/statement.circom` shows, item by item.
//!
//! 1. State n follows from state n − 1: numbers are consecutive; genesis hash, committee root, supply and the verifying
//!    key's hash are the same. Without a state before it, the number is 0, every header is genesis' own with all counters
//!    0, and the global root is that of genesis. The genesis hash is opened at every number.
//! 2. The previous headers hash to the previous global root. The new header of shard i names shard i and the committee at
//!    leaf i; it is the previous one, or has a higher epoch and q different signatures of that committee. No counter or
//!    clock in it is lower.
//! 3. The new headers hash to the new global root; the state's epoch is their smallest, its time their newest.
//! 4. A shard's supply has changed by what it received and sent. In every triangle received ≤ sent for each ordered pair of
//!    children. All supplies and all in flight are the supply of genesis.
//!
//! Only BabyJubJub signatures are asked for: a circuit sees no others. A node takes a header only with both.
//!
//! Not shown: that state n − 1 was proven (who reads a chain of such proofs compares hashes), that a payer signed anything,
//! that no newer cut or no other cut exists, and cursor ≤ outbox for single pairs of shards in different triangles.

use crate::flows;
use crate::state::{Origin, PublicState};
use crate::step::Step;
use smt_types::crypto::Field;
use smt_types::header::CertifiedHeader;
use smt_types::hierarchy::global_root;
use smt_types::signer::Checker;
use smt_types::{Committee, Epoch, Header, ShardAddress};

/// Shapes with a circuit: level of the shards, replicas of each committee.
pub const SHAPES: [(u8, usize); 4] = [(1, 3), (2, 3), (3, 3), (1, 9)];

/// A claim about two states, and everything that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What both states go back to.
    pub origin: Origin,
    /// State n − 1; `None` for number 0.
    pub previous: Option<PublicState>,
    /// State n.
    pub current: PublicState,
    /// In shard order.
    pub steps: Vec<Step>,
}

/// Why a statement is false.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Committees or headers of a number that no hierarchy has.
    #[error("{0} committees or headers do not make a hierarchy")]
    Shards(usize),
    /// A network that no circuit is for.
    #[error("no circuit is for level {level} and committees of {replicas}")]
    Shape {
        /// Of the shards.
        level: u8,
        /// Of the first committee, or of one that has another number.
        replicas: usize,
    },
    /// State n is not one of this genesis.
    #[error("the state's {0} is not that of its genesis")]
    Origin(&'static str),
    /// State n does not continue state n − 1.
    #[error("the state's {0} does not follow from the state before it")]
    Link(&'static str),
    /// State n does not describe its cut.
    #[error("the state's {0} is not that of its headers")]
    Summary(&'static str),
    /// A header of another network, shard or committee, or with another number of levels.
    #[error("a header in the place of shard {0} names another network, shard or committee")]
    Foreign(ShardAddress),
    /// A header that is neither the previous one nor certified above it.
    #[error("the header of shard {0} is neither carried over nor newer")]
    Epoch(ShardAddress),
    /// Not q signatures of different replicas.
    #[error("the header of shard {0} lacks the signatures of a quorum")]
    Quorum(ShardAddress),
    /// A counter or clock went back.
    #[error("a counter or clock of shard {0} is lower than before")]
    Lower(ShardAddress),
    /// Money came or went.
    #[error("the supply of shard {0} did not change by what it received and sent")]
    Supply(ShardAddress),
    /// More received than sent.
    #[error("triangle {to} received more of {from} than that sent")]
    Flow {
        /// The sender.
        from: ShardAddress,
        /// The receiver.
        to: ShardAddress,
    },
    /// The total is another.
    #[error("supplies and money in flight do not add up to the network's supply")]
    Total,
}

impl Statement {
    /// Number 0: the state of genesis. `headers`: those of epoch 0, in shard order.
    ///
    /// # Errors
    /// [`StatementError`], as of [`Statement::check`].
    pub fn genesis(origin: Origin, headers: Vec<Header>, checker: &dyn Checker) -> Result<Statement, StatementError> {
        let steps = headers.into_iter().map(|new| Step { old: new.clone(), new, signatures: None }).collect();
        Statement::make(origin, None, steps, checker)
    }

    /// The statement after `previous`, whose headers are `old`; `news`: certified headers that replace theirs. Of several
    /// of one shard the last counts.
    ///
    /// # Errors
    /// [`StatementError`], as of [`Statement::check`].
    pub fn next(
        origin: Origin,
        previous: PublicState,
        old: Vec<Header>,
        news: &[CertifiedHeader],
        checker: &dyn Checker,
    ) -> Result<Statement, StatementError> {
        let step = |old: Header| match news.iter().rev().find(|news| news.header.shard == old.shard) {
            Some(news) => Step { old, new: news.header.clone(), signatures: Some(news.signatures.to_vec()) },
            None => Step { new: old.clone(), old, signatures: None },
        };
        Statement::make(origin, Some(previous), old.into_iter().map(step).collect(), checker)
    }

    fn make(
        origin: Origin,
        previous: Option<PublicState>,
        steps: Vec<Step>,
        checker: &dyn Checker,
    ) -> Result<Statement, StatementError> {
        let committee_root = origin.committee_root()?;
        let number = match &previous {
            None => 0,
            Some(state) => state.number.checked_add(1).ok_or(StatementError::Link("number"))?,
        };
        let current = PublicState {
            vk_hash: origin.vk_hash,
            number,
            genesis: origin.hash(committee_root),
            global_root: root(origin.level()?, steps.iter().map(|step| &step.new))?,
            committee_root,
            supply: origin.supply,
            epoch: least_epoch(&steps),
            time_us: newest_time(&steps),
        };
        let statement = Statement { origin, previous, current, steps };
        statement.check(checker)?;
        Ok(statement)
    }

    /// The two public inputs: the hash of state n, and that of state n − 1, or 0 where there is none.
    #[must_use]
    pub fn public(&self) -> [Field; 2] {
        [self.current.hash(), self.previous.as_ref().map_or(Field::ZERO, PublicState::hash)]
    }

    /// Level and committee size, if there is a circuit for them.
    ///
    /// # Errors
    /// [`StatementError::Shape`], [`StatementError::Shards`].
    pub fn shape(&self) -> Result<(u8, usize), StatementError> {
        let level = self.origin.level()?;
        let replicas = self.origin.committees.first().map_or(0, Committee::size);
        let other = self.origin.committees.iter().map(Committee::size).find(|size| *size != replicas);
        match other {
            None if SHAPES.contains(&(level, replicas)) => Ok((level, replicas)),
            other => Err(StatementError::Shape { level, replicas: other.unwrap_or(replicas) }),
        }
    }

    /// Whether the statement is true, as the circuit decides it.
    ///
    /// # Errors
    /// [`StatementError`] naming the first fault. Cost: q BabyJubJub verifications and two header digests a shard.
    pub fn check(&self, checker: &dyn Checker) -> Result<(), StatementError> {
        let level = self.origin.level()?;
        if self.steps.len() != self.origin.committees.len() {
            return Err(StatementError::Shards(self.steps.len()));
        }
        self.check_states(level)?;
        for ((shard, step), committee) in ShardAddress::all(level).zip(&self.steps).zip(&self.origin.committees) {
            step.check(shard, committee, checker)?;
        }
        flows::check(level, &self.steps, self.origin.supply)
    }

    fn check_states(&self, level: u8) -> Result<(), StatementError> {
        let (current, origin) = (&self.current, &self.origin);
        let committee_root = origin.committee_root()?;
        for (name, agrees) in [
            ("verifying key", current.vk_hash == origin.vk_hash),
            ("committees", current.committee_root == committee_root),
            ("supply", current.supply == origin.supply),
            ("genesis hash", current.genesis == origin.hash(committee_root)),
        ] {
            if !agrees {
                return Err(StatementError::Origin(name));
            }
        }
        let new = root(level, self.steps.iter().map(|step| &step.new))?;
        for (name, agrees) in [
            ("global root", current.global_root == new),
            ("epoch", current.epoch == least_epoch(&self.steps)),
            ("time", current.time_us == newest_time(&self.steps)),
        ] {
            if !agrees {
                return Err(StatementError::Summary(name));
            }
        }
        let links = match &self.previous {
            Some(previous) => vec![
                ("number", previous.number.checked_add(1) == Some(current.number)),
                ("genesis hash", previous.genesis == current.genesis),
                ("verifying key", previous.vk_hash == current.vk_hash),
                ("committees", previous.committee_root == current.committee_root),
                ("supply", previous.supply == current.supply),
                ("headers", previous.global_root == root(level, self.steps.iter().map(|step| &step.old))?),
            ],
            None => vec![
                ("number", current.number == 0),
                ("global root", new == origin.global_root),
                ("headers", self.steps.iter().all(Step::is_genesis)),
            ],
        };
        match links.into_iter().find(|(_, agrees)| !agrees) {
            Some((name, _)) => Err(StatementError::Link(name)),
            None => Ok(()),
        }
    }
}

fn root<'a>(level: u8, headers: impl Iterator<Item = &'a Header>) -> Result<Field, StatementError> {
    let leaves: Vec<Field> = headers.map(Header::poseidon).collect();
    global_root(level, &leaves).ok_or(StatementError::Shards(leaves.len()))
}

fn least_epoch(steps: &[Step]) -> Epoch {
    steps.iter().map(|step| step.new.epoch).min().unwrap_or_default()
}

fn newest_time(steps: &[Step]) -> u64 {
    steps.iter().map(|step| step.new.dense.time_us).max().unwrap_or_default()
}
