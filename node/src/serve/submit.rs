//! Taking payments at their home shard and following them: one way in, one watch and one reading of receipts a call, however
//! many payments it has.

use super::bulk::Outcome;
use super::convert::{core_stage, rank, refusal, reject};
use super::local::{Local, WaitCredited};
use super::receipts::Wanted;
use crate::replica::handle::{Admitted, Refusal};
use crate::replica::hub::{Progress, Watch};
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::{Stage, Submitted, WaitFor};
use crate::rpc::wire::{Decimal, HexBytes};
use smt_consensus::Reject;
use smt_consensus::verify::Submission;
use smt_types::{Canonical, Epoch, PaymentId, SignedPayment, Slot};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait for receipts of payments that a cut already holds, and how often they are looked for.
const RECEIPT_WAIT: Duration = Duration::from_secs(1);
const RECEIPT_LOOK: Duration = Duration::from_millis(50);

/// Payments of one call whose slot's old payment is looked for in the history: each look may read thousands of rows.
const HISTORY_LOOKS_MAX: usize = 8;

pub(crate) use super::convert::stage_of as stage_of_wait;

/// How far a payment has come.
#[derive(Clone, Copy, Debug)]
struct Reached {
    stage: Stage,
    epoch: Option<Epoch>,
}

impl Local {
    /// Submits one payment whose home is this shard.
    pub(crate) async fn submit_one(&self, signed: SignedPayment, wait: WaitFor, patience: Duration) -> Outcome {
        let outcomes = self.submit_here(vec![signed.into()], wait, patience).await;
        let none = || Err(RpcError::new(ErrorKind::Internal, "no outcome for this payment"));
        outcomes.into_iter().next().unwrap_or_else(none)
    }

    /// Submits payments whose home is this shard, in order, and waits for a stage of the payer's side (`credited` is the
    /// caller's).
    pub(crate) async fn submit_here(
        &self,
        payments: Vec<Submission>,
        wait: WaitFor,
        patience: Duration,
    ) -> Vec<Outcome> {
        let deadline = after(patience);
        let named: Vec<(PaymentId, Slot)> = payments.iter().map(|p| (p.id(), p.slot())).collect();
        let wanted = rank(stage_of_wait(wait)).min(rank(Stage::Snapshotted));
        // Watching begins before the payments go in, so that no stage is missed.
        let watch =
            (wanted > rank(Stage::Received)).then(|| self.handle.hub.watch(named.iter().map(|(id, _)| *id).collect()));
        let mut reached = match self.handle.submit(payments).await {
            Ok(admitted) => self.explain(&named, admitted).await,
            Err(stopped) => named.iter().map(|_| Err(stopped.into())).collect(),
        };
        if let Some(watch) = watch {
            self.follow(watch, &named, &mut reached, wanted, deadline).await;
        }
        // A call that does not wait for `final` gets no receipts either, also of payments that were final before: they are read.
        let outcomes = self.submitted(&named, reached, wanted >= rank(Stage::Final), deadline).await;
        self.tally.count(&outcomes);
        outcomes
    }

    /// Reads progress until every payment that was taken has come as far as `wanted`, or the deadline.
    async fn follow(
        &self,
        mut watch: Watch,
        named: &[(PaymentId, Slot)],
        reached: &mut [Result<Reached, RpcError>],
        wanted: u8,
        deadline: Instant,
    ) {
        let mut open: HashMap<PaymentId, Vec<usize>> = HashMap::new();
        for (place, ((id, _), reached)) in named.iter().zip(reached.iter()).enumerate() {
            if reached.as_ref().is_ok_and(|reached| rank(reached.stage) < wanted) {
                open.entry(*id).or_default().push(place);
            }
        }
        while !open.is_empty() {
            let (id, progress) = match timeout_at(deadline, watch.recv()).await {
                Ok(Some(step)) => step,
                Ok(None) => {
                    let stopped = RpcError::new(ErrorKind::ShardUnavailable, "the replica has stopped");
                    return end(&open, reached, &stopped);
                }
                Err(_) => return end(&open, reached, &self.too_late()),
            };
            let Some(places) = open.get(&id) else { continue };
            let mut done = false;
            for place in places {
                let Some(entry @ Ok(_)) = reached.get_mut(*place) else { continue };
                let Ok(before) = entry else { continue };
                match &progress {
                    Progress::Reached { stage, epoch } if rank(*stage) > rank(before.stage) => {
                        *before = Reached { stage: *stage, epoch: epoch.or(before.epoch) };
                        done = rank(*stage) >= wanted;
                    }
                    Progress::Reached { .. } => {}
                    Progress::GaveUp(refused) => {
                        *entry = Err(self.gave_up(refused).at_stage(before.stage));
                        done = true;
                    }
                }
            }
            if done {
                open.remove(&id);
            }
        }
    }

    fn gave_up(&self, refused: &Reject) -> RpcError {
        if matches!(refused, Reject::Expired { .. }) && !self.has_quorum() {
            return self.no_quorum();
        }
        reject(refused)
    }

    fn too_late(&self) -> RpcError {
        if !self.has_quorum() {
            return self.no_quorum();
        }
        RpcError::new(ErrorKind::Timeout, "the wanted stage was not reached in time; the payment goes on")
    }

    /// Whether enough replicas of the shard are connected to make a quorum with this one.
    pub(crate) fn has_quorum(&self) -> bool {
        self.reachable() >= self.quorum()
    }

    fn no_quorum(&self) -> RpcError {
        let (have, want) = (self.reachable(), self.quorum());
        let shard = self.handle.node().shard;
        let text = format!(
            "{have} of the {want} replicas of shard {shard} that make a quorum are reachable; the same bytes may be sent again"
        );
        RpcError::new(ErrorKind::ShardUnavailable, text)
    }

    /// The core's answers in the interface's words. A refusal for a used slot names the payment that used it, where that is
    /// known.
    async fn explain(&self, named: &[(PaymentId, Slot)], admitted: Vec<Admitted>) -> Vec<Result<Reached, RpcError>> {
        let is_used = |outcome: &Admitted| matches!(outcome, Err(Refusal::Core(Reject::SeqTooLow { .. })));
        let pairs = named.iter().zip(&admitted);
        let slots: Vec<Slot> = pairs.filter(|(_, o)| is_used(o)).map(|((_, slot), _)| *slot).collect();
        let mut holders = Vec::new();
        if !slots.is_empty() {
            let asked = self.handle.ask(move |replica, _| slots.iter().map(|slot| replica.holder(slot)).collect());
            holders = asked.await.unwrap_or_default();
        }
        let (mut holders, mut looks) = (holders.into_iter(), 0..HISTORY_LOOKS_MAX);
        let each = named.iter().zip(admitted).map(|((id, slot), outcome)| match outcome {
            Ok(stage) => Ok(Reached { stage: core_stage(stage), epoch: None }),
            Err(Refusal::Core(refused @ Reject::SeqTooLow { next, .. })) => {
                let held: Option<PaymentId> = holders.next().flatten();
                let used = held.or_else(|| {
                    looks.next()?;
                    self.payer_row(slot).map(|row| row.id)
                });
                Err(match used.filter(|used| used != id) {
                    Some(used) => {
                        let text = format!("seq {} was used by payment {used}; the next is {next}", slot.seq);
                        RpcError::new(ErrorKind::SeqUsed, text).with("used_by", used).with("next_seq", next)
                    }
                    None => reject(&refused),
                })
            }
            Err(refused) => Err(refusal(&refused)),
        });
        each.collect()
    }

    /// Replies, with the receipts of payments that are final if `shown`.
    async fn submitted(
        &self,
        named: &[(PaymentId, Slot)],
        reached: Vec<Result<Reached, RpcError>>,
        shown: bool,
        deadline: Instant,
    ) -> Vec<Outcome> {
        let is_final = |reached: &Result<Reached, RpcError>| {
            shown && reached.as_ref().is_ok_and(|reached| rank(reached.stage) >= rank(Stage::Final))
        };
        let pairs = named.iter().zip(&reached).filter(|(_, reached)| is_final(reached));
        let wanted: Vec<Wanted> = pairs.map(|((id, slot), _)| Wanted { id: *id, slot: Some(*slot) }).collect();
        // A cut can be decided before the last signature of a receipt is here.
        let enough = deadline.min(after(RECEIPT_WAIT));
        let mut receipts = HashMap::new();
        let mut lacking = wanted;
        while !lacking.is_empty() {
            let found = self.receipts_here_or_near(&lacking).await;
            let mut left = Vec::new();
            for (wish, receipt) in lacking.into_iter().zip(found) {
                match receipt {
                    Ok(receipt) => drop(receipts.insert(wish.id, receipt)),
                    Err(error) if error.kind == ErrorKind::NotYet => left.push(wish),
                    Err(_) => {}
                }
            }
            lacking = left;
            if Instant::now() >= enough {
                break;
            }
            if !lacking.is_empty() {
                tokio::time::sleep(RECEIPT_LOOK).await;
            }
        }
        let level = self.view.genesis.level;
        let each = named.iter().zip(reached).map(|((id, slot), reached)| {
            let Reached { stage, epoch } = reached?;
            let mut reply = Submitted {
                id: (*id).into(),
                stage,
                shard: slot.payer.shard(level).into(),
                epoch: epoch.map(|epoch| Decimal(epoch.0)),
                receipt: None,
            };
            if let Some(receipt) = receipts.get(id) {
                let final_epoch = receipt.applied.iter().map(|part| part.open_epoch).max();
                reply.epoch = reply.epoch.or(final_epoch.map(|epoch| Decimal(epoch.0)));
                reply.receipt = Some(HexBytes(receipt.to_bytes()));
            }
            Ok(reply)
        });
        each.collect()
    }

    /// Waits until payments to accounts of this shard are credited: the epochs that did it; none for what was not in time.
    pub(crate) async fn wait_credited(&self, wish: &WaitCredited) -> Vec<Option<Decimal<u64>>> {
        let ids: Vec<PaymentId> = wish.ids.iter().map(|id| (*id).into()).collect();
        let deadline = after(Duration::from_millis(u64::from(wish.timeout_ms)));
        let mut watch = self.handle.hub.watch(ids.clone());
        let mut epochs: Vec<Option<Decimal<u64>>> = vec![None; ids.len()];
        loop {
            let open: BTreeSet<PaymentId> =
                ids.iter().zip(&epochs).filter(|(_, epoch)| epoch.is_none()).map(|(id, _)| *id).collect();
            let found = self.credited_epochs(open).await;
            for (id, epoch) in ids.iter().zip(&mut epochs).filter(|(_, epoch)| epoch.is_none()) {
                *epoch = found.get(id).map(|epoch| Decimal(epoch.0));
            }
            // Looked at again at times, because a credit may be consumed by a cut caught up on rather than announced.
            let again = after(Duration::from_millis(250));
            if again > deadline || epochs.iter().all(Option::is_some) {
                return epochs;
            }
            // Many are credited by one cut: what else it announced is taken with the first.
            if timeout_at(again, watch.recv()).await.is_ok() {
                while watch.try_recv().is_some() {}
            }
        }
    }
}

/// Ends the wait for what is open.
fn end(open: &HashMap<PaymentId, Vec<usize>>, reached: &mut [Result<Reached, RpcError>], error: &RpcError) {
    for place in open.values().flatten() {
        if let Some(entry @ Ok(_)) = reached.get_mut(*place)
            && let Ok(before) = entry
        {
            *entry = Err(error.clone().at_stage(before.stage));
        }
    }
}

/// The instant in `wait` from now.
pub(crate) fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    // Only a wait of centuries does not fit.
    now.checked_add(wait).unwrap_or(now)
}
