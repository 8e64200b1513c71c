//! Many payments at a time: records by id, the stream of stages, and the node's counters.

use super::{Stage, Transaction};
use crate::rpc::describe::{Describe, Types, dto};
use crate::rpc::wire::{Decimal, Hex32};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// Most ids in one `smt_getTransactions`.
pub const IDS_PER_CALL_MAX: usize = 1_024;

/// Stages that topic `stages` tells of.
pub const STAGES_FOLLOWED: [Stage; 4] = [Stage::Certified, Stage::Final, Stage::Snapshotted, Stage::Credited];

dto! {
    /// Request of `smt_getTransactions`.
    params ByIds {
        /// Ids of payments, 1 to 1024.
        ids: Vec<Hex32>,
    }
}

dto! {
    /// Reply of `smt_getTransactions`.
    reply Transactions {
        /// One record per id, in the order of the request; null for a payment that this replica's shard does not know as
        /// its payer's.
        transactions: Vec<Option<Transaction>>,
    }
}

dto! {
    /// Payments refused for one reason.
    reply RefusedCount {
        /// The error kind.
        kind: String,
        /// How many, since the start.
        count: Decimal<u64>,
    }
}

dto! {
    /// Reply of `smt_getCounters`: this replica alone. Totals count from the start of the process.
    reply Counters {
        /// Writes to the store that returned after a sync.
        synced_commits: Decimal<u64>,
        /// Writes to the store that returned without one.
        buffered_commits: Decimal<u64>,
        /// Bytes handed to the store's log.
        bytes_written: Decimal<u64>,
        /// Payments in the queue of this replica as a gateway, now.
        pool: Decimal<u64>,
        /// Batches of the shard in the live window, now.
        live_batches: Decimal<u64>,
        /// Payments in them.
        live_payments: Decimal<u64>,
        /// Slots at which two payments are known, now.
        contested_slots: Decimal<u64>,
        /// Payments of this shard handed in at this replica, forwarded ones included.
        payments_received: Decimal<u64>,
        /// Of these, those answered with an error, by its kind; kinds that did not occur are left out.
        payments_refused: Vec<RefusedCount>,
        /// Payments handed in and not answered by the core, now. At most 16384.
        waiting: Decimal<u64>,
        /// Of these, those whose signatures are not checked yet.
        unchecked: Decimal<u64>,
    }
}

dto! {
    /// Event of topic `stages`: payments that reached a stage at this replica.
    reply StagesEvent {
        /// The stage.
        stage: Stage,
        /// The epoch that goes with it: of the cut for `snapshotted` and `credited`, the epoch it is final in for `final`;
        /// null for `certified`.
        epoch: Option<Decimal<u64>>,
        /// Ids of the payments, at most 1024.
        ids: Vec<Hex32>,
    }
}

/// A [`StagesEvent`] as JSON text: written once, sent to every subscriber.
#[derive(Clone, Debug)]
pub struct StagesText(Arc<RawValue>);

impl StagesText {
    /// Writes an event.
    #[must_use]
    pub fn new(event: &StagesEvent) -> StagesText {
        let text = to_raw_value(event).unwrap_or_else(|_| RawValue::NULL.to_owned());
        StagesText(Arc::from(text))
    }

    /// Reads it back.
    ///
    /// # Errors
    /// The text is no event.
    pub fn read(&self) -> Result<StagesEvent, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }

    /// Length of the text.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.get().len()
    }
}

impl PartialEq for StagesText {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}
impl Eq for StagesText {}

impl Serialize for StagesText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StagesText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(StagesText::new(&StagesEvent::deserialize(deserializer)?))
    }
}

impl Describe for StagesText {
    fn label() -> String {
        StagesEvent::label()
    }
    fn schema() -> Value {
        StagesEvent::schema()
    }
    fn example() -> Value {
        StagesEvent::example()
    }
    fn collect(into: &mut Types) {
        StagesEvent::collect(into);
    }
}
