//! Payments of any shard, handed in together: sorted by home shard, taken here or forwarded in one request a shard, their
//! outcomes put back in order.

use super::backend::NodeBackend;
use super::convert::rank;
use super::local::{WAIT_CREDITED, WaitCredited};
use super::submit::{after, stage_of_wait};
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::{Stage, SubmitOutcome, SubmitTransactions, Submitted, SubmittedAll, WaitFor};
use crate::rpc::wire::{Decimal, HexBytes};
use futures::future::join_all;
use smt_consensus::verify::Submission;
use smt_types::{PaymentId, ShardAddress};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Outcome of one payment.
pub(crate) type Outcome = Result<Submitted, RpcError>;

/// Payments of one forwarded request whose answer carries receipts: about 5 KiB each, and an answer has at most 8 MiB.
const WITH_RECEIPTS_MAX: usize = 256;

/// Payments of one forwarded request otherwise.
const FORWARDED_MAX: usize = crate::rpc::schema::PAYMENTS_PER_CALL_MAX;

/// One payment: its place in the request, its bytes as they came, and what they say.
struct Item {
    place: usize,
    bytes: HexBytes,
    payment: Submission,
}

impl NodeBackend {
    /// Submits payments of any shard; outcomes in the order of the request.
    pub(crate) async fn submit_all(&self, payments: Vec<HexBytes>, wait: WaitFor, patience: Duration) -> Vec<Outcome> {
        let deadline = after(patience);
        let (level, network) = (self.level(), self.local.view.genesis.network);
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(payments.len());
        let mut homes: BTreeMap<ShardAddress, Vec<Item>> = BTreeMap::new();
        // Where payments to other shards are waited for until credited: payee's shard, id.
        let mut payees: BTreeMap<usize, (ShardAddress, PaymentId)> = BTreeMap::new();
        for (place, bytes) in payments.into_iter().enumerate() {
            let read = crate::rpc::convert::signed_payment(&bytes).map(Submission::from).and_then(|payment| {
                crate::rpc::convert::check_payment(payment.payment(), &payment.slot().payer, network)?;
                Ok(payment)
            });
            outcomes.push(match read {
                Err(error) => Some(Err(error)),
                Ok(payment) => {
                    let home = payment.slot().payer.shard(level);
                    if wait == WaitFor::Credited {
                        let payee = payment.payment().payment.payee.shard(level);
                        // Within one shard a payment can be spent as soon as it is applied.
                        if payee != home {
                            payees.insert(place, (payee, payment.id()));
                        }
                    }
                    homes.entry(home).or_default().push(Item { place, bytes, payment });
                    None
                }
            });
        }
        let first = if wait == WaitFor::Credited { WaitFor::Final } else { wait };
        let routes = homes.into_iter().map(|(home, items)| self.submit_to(home, items, first, patience));
        for (place, outcome) in join_all(routes).await.into_iter().flatten() {
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = Some(outcome);
            }
        }
        let unanswered = || Err(RpcError::new(ErrorKind::Internal, "no outcome for this payment"));
        let mut outcomes: Vec<Outcome> = outcomes.into_iter().map(|o| o.unwrap_or_else(unanswered)).collect();
        if wait == WaitFor::Credited {
            self.wait_credited_all(&mut outcomes, payees, deadline).await;
        }
        outcomes
    }

    /// Payments of one shard.
    async fn submit_to(
        &self,
        home: ShardAddress,
        items: Vec<Item>,
        wait: WaitFor,
        patience: Duration,
    ) -> Vec<(usize, Outcome)> {
        let places: Vec<usize> = items.iter().map(|item| item.place).collect();
        let outcomes = if self.here(home) {
            self.local.submit_here(items.into_iter().map(|item| item.payment).collect(), wait, patience).await
        } else {
            let bytes: Vec<HexBytes> = items.into_iter().map(|item| item.bytes).collect();
            let with_receipts = rank(stage_of_wait(wait)) >= rank(Stage::Final);
            let size = if with_receipts { WITH_RECEIPTS_MAX } else { FORWARDED_MAX };
            let parts = bytes.chunks(size).map(|part| self.forward_part(home, part, wait, patience));
            join_all(parts).await.into_iter().flatten().collect()
        };
        places.into_iter().zip(outcomes).collect()
    }

    async fn forward_part(
        &self,
        home: ShardAddress,
        part: &[HexBytes],
        wait: WaitFor,
        patience: Duration,
    ) -> Vec<Outcome> {
        let params = SubmitTransactions {
            payments: part.to_vec(),
            wait: Some(wait),
            timeout_ms: Some(u32::try_from(patience.as_millis()).unwrap_or(u32::MAX)),
        };
        let reply = self.local.forward::<_, SubmittedAll>(home, "smt_submitTransactions", &params, patience).await;
        match reply {
            Ok(reply) if reply.outcomes.len() == part.len() => {
                reply.outcomes.into_iter().map(SubmitOutcome::into_result).collect()
            }
            Ok(_) => {
                let error = RpcError::new(ErrorKind::Internal, format!("strange answer of a replica of shard {home}"));
                part.iter().map(|_| Err(error.clone())).collect()
            }
            Err(error) => part.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Waits, of payments that are final, for those to other shards until they are credited there.
    async fn wait_credited_all(
        &self,
        outcomes: &mut [Outcome],
        payees: BTreeMap<usize, (ShardAddress, PaymentId)>,
        deadline: Instant,
    ) {
        let mut waits: BTreeMap<ShardAddress, Vec<(usize, PaymentId)>> = BTreeMap::new();
        for (place, outcome) in outcomes.iter_mut().enumerate() {
            let Ok(submitted) = outcome else { continue };
            match payees.get(&place) {
                Some((payee, id)) => waits.entry(*payee).or_default().push((place, *id)),
                None => submitted.stage = Stage::Credited,
            }
        }
        let asked = waits.into_iter().map(|(shard, items)| async move {
            let left = deadline.saturating_duration_since(Instant::now());
            let wish = WaitCredited {
                ids: items.iter().map(|(_, id)| (*id).into()).collect(),
                timeout_ms: u32::try_from(left.as_millis()).unwrap_or(0),
            };
            let waited: Result<Vec<Option<Decimal<u64>>>, RpcError> = if self.here(shard) {
                Ok(self.local.wait_credited(&wish).await)
            } else {
                self.local.forward(shard, WAIT_CREDITED, &wish, left).await
            };
            (items, waited)
        });
        for (items, waited) in join_all(asked).await {
            for (index, (place, _)) in items.into_iter().enumerate() {
                let Some(outcome @ Ok(_)) = outcomes.get_mut(place) else { continue };
                let credited = match &waited {
                    Ok(epochs) => epochs.get(index).copied().flatten().map(drop).ok_or_else(too_late),
                    Err(error) => Err(error.clone()),
                };
                let Ok(submitted) = outcome else { continue };
                match credited {
                    Ok(()) => submitted.stage = Stage::Credited,
                    Err(error) => *outcome = Err(error.at_stage(submitted.stage)),
                }
            }
        }
    }
}

/// The payee's shard has not credited in time.
fn too_late() -> RpcError {
    RpcError::new(ErrorKind::Timeout, "the wanted stage was not reached in time; the payment goes on")
}
