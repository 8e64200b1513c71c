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
        self.add(payments, std::iter::repeat_n(kind, payments));
    }

    /// Counts the outcomes of one call.
    pub(crate) fn count(&self, outcomes: &[Outcome]) {
        self.add(outcomes.len(), outcomes.iter().filter_map(|outcome| Some(outcome.as_ref().err()?.kind)));
    }

    /// Adds the payments of one call, and of those refused why.
    fn add(&self, received: usize, refused: impl Iterator<Item = ErrorKind>) {
        // Whole after any panic of a holder: only sums.
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.received = totals.received.saturating_add(u64::try_from(received).unwrap_or(u64::MAX));
        for kind in refused {
            let count = totals.refused.entry(kind).or_default();
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
