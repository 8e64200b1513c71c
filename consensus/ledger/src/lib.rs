//! A shard's state: accounts, payments, outbox and cursors, and how an epoch cut moves them.
//!
//! # Two states
//! The *cut* is what the newest header commits to; it moves only by [`Ledger::decide`]. The *live* state is always
//! *cut + ahead*, where ahead is the set of certified payments this replica has applied since and no cut holds yet.
//! Live balances are never stored: after each cut they are replayed from it, payments in each payer's own order and only
//! where funded. That replay has one outcome whatever its order, because a payment can only make others possible: the
//! debits of an account wait for each other alone, and everybody else's payments only add to it. So no schedule of
//! certificates, cuts and voids needs a case of its own.
//!
//! # The commitment
//! S = H([`State`](smt_types::Domain::State), [`StateParts`]):
//!
//! | part | is |
//! | --- | --- |
//! | accounts, supply | root and sum of the account trie: key = address, value = canonical [`Account`], sum = balance. Its root depth is the shard's level h, so it is the sub-trie of the one network-wide trie below the shard's word |
//! | outbox | root of a trie: key = H(OutboxKey, destination), value = canonical [`Channel`](smt_types::credit::Channel), sum 0; destinations ever paid |
//! | cursors | the same under H(CursorKey, source): sources ever consumed |
//! | history | the accumulator over all epochs' transaction tries, see [`history`] |
//!
//! # A cut
//! Input is the agreed [`CutValue`](smt_types::CutValue) with the payments its bits name and the credits it consumes.
//! 1. Payments at slots below their payer's next seq are in an earlier cut, or void: skipped. The rest counts once a slot;
//!    two payments at one slot are a fork.
//! 2. Slots of payments and voids follow each payer's next seq without gaps. A void moves the seq on and nothing else.
//! 3. Consumed are, per source named in the value, the credits from the cursor up to the count named there, in number
//!    order; **the value says how many**, so credits given twice or too many are not counted. An address never seen becomes
//!    an account with its first credit.
//! 4. All credits (from inside and from other shards) are added, then all debits are taken. Within a join of honest
//!    reports no balance is negative then: an account's debits in the join are those of the one report with the longest
//!    chain, whose own credits covered them, and joining only adds credits. In an order of their own they need not pass,
//!    which is why the order is credits first.
//! 5. Payments to other shards are numbered on per destination, in (payer, seq) order.
//!
//! Everything is computed before anything changes (`plan.rs`); a refused cut leaves no trace.
//!
//! # Invariants
//! Σ account balances = trie sum = header supply, in 64 bits · supply changes by Σ consumed − Σ sent alone · per-level sums
//! are those of the channels of their triangles · cursors and outboxes only grow · live balances are unsigned.
//!
//! # Place in the workspace
//! Depends on `smt-consensus`, for the [`Ledger`] port and its types alone. That is one arrow more than the plan of the
//! workspace draws: without it the orphan rule would ask for an adapter in the daemon and a second one in the simulator.
//! No clock, no disk, no threads, no iteration in hash order.

mod account;
mod error;
pub mod genesis;
pub mod history;
mod ledger;
mod live;
mod plan;
mod proof;
mod saved;
mod store;

pub use account::{Account, Link, StateParts};
pub use error::LedgerError;
pub use genesis::GenesisState;
pub use ledger::ShardLedger;
pub use proof::{AccountProof, AccountProofError, MAX_ACCOUNT_PROOF_BYTES, VerifiedAccount};
pub use smt_consensus::Ledger;
pub use store::accounts;
