//! What a load test or a monitor asks of one replica: totals since the start and gauges of its queues.

use super::bulk::Outcome;
use super::local::Local;
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::{Counters, RefusedCount};
use crate::rpc::wire::Decimal;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Payments handed in at this replica, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Totals>);

#[derive(Debug, Default)]
struct Totals {
    received: u64,
    refused: BTreeMap<ErrorKind, u64>,
}

impl Tally {
    /// Counts payments of a call that was refused as a whole.
    pub(crate) fn refused(&self, kind: ErrorKind, payments: usize) {
        let payments = u64::try_from(payments).unwrap_or(u64::MAX);
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.received = totals.received.saturating_add(payments);
        let count = totals.refused.entry(kind).or_default();
        *count = count.saturating_add(payments);
    }

    /// Counts the outcomes of one call.
    pub(crate) fn count(&self, outcomes: &[Outcome]) {
        // Whole after any panic of a holder: only sums.
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.received = totals.received.saturating_add(u64::try_from(outcomes.len()).unwrap_or(u64::MAX));
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            let count = totals.refused.entry(error.kind).or_default();
            *count = count.saturating_add(1);
        }
    }
}

impl Local {
    /// Totals and gauges.
    pub(crate) async fn counters(&self) -> Result<Counters, RpcError> {
        let asked = self.handle.ask(|replica, _| (replica.queued(), replica.live(), replica.contested()));
        let (pool, (live_batches, live_payments), contested) = asked.await?;
        let store = self.handle.store().counters();
        let verifier = self.handle.verifier();
        let (received, refused) = {
            let totals = self.tally.0.lock().unwrap_or_else(PoisonError::into_inner);
            (totals.received, totals.refused.clone())
        };
        let gauge = |count: usize| Decimal(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(Counters {
            synced_commits: Decimal(store.synced_commits),
            buffered_commits: Decimal(store.buffered_commits),
            bytes_written: Decimal(store.bytes_written),
            pool: gauge(pool),
            live_batches: gauge(live_batches),
            live_payments: gauge(live_payments),
            contested_slots: gauge(contested),
            payments_received: Decimal(received),
            payments_refused: refused
                .into_iter()
                .map(|(kind, count)| RefusedCount { kind: kind.word().to_owned(), count: Decimal(count) })
                .collect(),
            waiting: gauge(verifier.waiting()),
            unchecked: gauge(verifier.unchecked()),
        })
    }
}
