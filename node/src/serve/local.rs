//! Answers from the local replica: its core, its store, nothing else.

use super::convert;
use super::counters::Tally;
use super::forward::{ADDRESSES, Call};
use super::receipts::Wanted;
use crate::clock::Clock;
use crate::join::seek::Ask;
use crate::join::{Places, Records};
use crate::replica::ReplicaHandle;
use crate::replica::disk::Committed;
use crate::replica::handle::Refusal;
use crate::replica::history::{HistoryEntry, HistoryReader};
use crate::rpc::check::Check as _;
use crate::rpc::convert::address_text;
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::{self, Direction, Stage, WaitFor};
use crate::rpc::wire::{Decimal, Hex32, HexBytes};
use crate::store::{Column, KeyRange, Order};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use smt_consensus::verify::Submission;
use smt_consensus::{Ledger as _, Network, archive};
use smt_types::address::Hrp;
use smt_types::crypto::SecretKey;
use smt_types::evidence::Evidence;
use smt_types::header::CertifiedHeader;
use smt_types::{
    Address, Amount, Bounded, Canonical, Digest, Epoch, Genesis, Lamport, Payment, PaymentId, ReplicaIndex, Seq,
    SignedPayment, Slot,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What every replica of a process knows of its network.
pub struct NetworkView {
    /// The genesis file.
    pub genesis: Arc<Genesis>,
    /// The genesis hash.
    pub genesis_hash: Digest,
    /// Committees and shape.
    pub network: Arc<Network>,
    /// Which peer is which replica.
    pub places: Arc<Places>,
    /// Where replicas say they are.
    pub records: Arc<Records>,
    /// The process's clock.
    pub clock: Clock,
}

impl NetworkView {
    /// The address prefix.
    #[must_use]
    pub fn hrp(&self) -> Hrp {
        if self.genesis.development { Hrp::Dev } else { Hrp::Main }
    }
}

/// A pre-funded account a replica may pay from.
pub struct FaucetKey {
    /// Its key.
    pub key: SecretKey,
    /// Base units when no amount is asked for.
    pub amount_default: u64,
    /// Largest amount.
    pub amount_max: u64,
}

/// The local replica as a source of answers.
pub struct Local {
    pub(crate) handle: Arc<ReplicaHandle>,
    pub(crate) view: Arc<NetworkView>,
    faucet: Option<FaucetKey>,
    /// One faucet payment at a time: the next seq is known only when the one before is certified.
    faucet_turn: tokio::sync::Mutex<()>,
    pub(crate) tally: Tally,
}

/// Forwarded: wait for credits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WaitCredited {
    pub(crate) ids: Vec<Hex32>,
    pub(crate) timeout_ms: u32,
}

/// Forwarded: has this payment been credited?
pub(crate) const CREDITED: &str = "credited";
/// Forwarded: wait until these payments are credited; the epochs, in order, null for what was not in time.
pub(crate) const WAIT_CREDITED: &str = "wait_credited";

/// Forwarded within a shard: receipts, from this replica's own records only; null where it has none.
pub(crate) const RECEIPTS: &str = "receipts";

/// Rows looked through for the payment at an old slot.
const OLD_SLOT_ROWS_MAX: usize = 4096;

/// Most incoming payments shown.
const INCOMING_MAX: usize = 100;

impl Local {
    /// Answers from `handle`.
    #[must_use]
    pub fn new(handle: Arc<ReplicaHandle>, view: Arc<NetworkView>, faucet: Option<FaucetKey>) -> Local {
        Local { handle, view, faucet, faucet_turn: tokio::sync::Mutex::new(()), tally: Tally::default() }
    }

    pub(crate) fn committed(&self) -> Committed<'_> {
        Committed(self.handle.store())
    }

    pub(crate) fn quorum(&self) -> usize {
        self.view.network.committee(self.handle.node().shard).map_or(usize::MAX, |committee| committee.quorum())
    }

    /// Replicas of the own committee that are connected, this one included.
    pub(crate) fn reachable(&self) -> usize {
        let me = self.handle.node();
        let connected = self.handle.swarm().connected();
        let peers = self.view.places.all();
        let peers = peers.iter().filter(|(place, _)| place.shard == me.shard && *place != me);
        peers.filter(|(_, peer)| connected.contains(peer)).count().saturating_add(1)
    }

    /// Answers a forwarded call.
    pub(crate) async fn dispatch(&self, call: Call) -> Result<Box<RawValue>, RpcError> {
        fn params<P: DeserializeOwned>(text: &RawValue) -> Result<P, RpcError> {
            serde_json::from_str(text.get()).map_err(|error| RpcError::new(ErrorKind::InvalidParams, error.to_string()))
        }
        fn reply<R: Serialize>(reply: &R) -> Result<Box<RawValue>, RpcError> {
            to_raw_value(reply).map_err(|error| RpcError::new(ErrorKind::Internal, error.to_string()))
        }
        match call.method.as_str() {
            "smt_submitTransactions" => reply(&self.submit_forwarded(params(&call.params)?).await?),
            "smt_getAccount" => reply(&self.account(params(&call.params)?).await?),
            "smt_getAccountHistory" => reply(&self.account_history(&params(&call.params)?).await?),
            "smt_getTransaction" => reply(&self.transaction(&params::<schema::ById>(&call.params)?.id.into()).await?),
            "smt_getReceipt" => reply(&self.receipt(&params::<schema::ById>(&call.params)?.id.into()).await?),
            "smt_getProof" => reply(&self.proof(params(&call.params)?).await?),
            "smt_getSnapshot" => reply(&self.snapshot(&params(&call.params)?)?),
            "smt_faucet" => reply(&self.faucet(params(&call.params)?).await?),
            ADDRESSES => {
                let refused = |text| RpcError::new(ErrorKind::InvalidParams, text);
                reply(&params::<Ask>(&call.params)?.answer(&self.view.records).map_err(refused)?)
            }
            CREDITED => {
                let id: PaymentId = params::<Hex32>(&call.params)?.into();
                reply(&self.credited_epoch(&id).await.map(|epoch| epoch.0))
            }
            RECEIPTS => {
                let asked = params::<schema::ByIds>(&call.params)?;
                asked.check().map_err(|text| RpcError::new(ErrorKind::InvalidParams, text))?;
                let wanted: Vec<_> = asked.ids.into_iter().map(|id| Wanted { id: id.into(), slot: None }).collect();
                let receipts = self.receipts(&wanted).await.into_iter();
                let bytes = receipts.map(|receipt| receipt.ok().map(|receipt| HexBytes(receipt.to_bytes())));
                reply(&bytes.collect::<Vec<_>>())
            }
            WAIT_CREDITED => {
                let wish = params::<WaitCredited>(&call.params)?;
                if wish.ids.len() > schema::IDS_PER_CALL_MAX {
                    return Err(RpcError::new(ErrorKind::InvalidParams, "too many ids"));
                }
                reply(&self.wait_credited(&wish).await)
            }
            other => {
                Err(RpcError::new(ErrorKind::UnknownMethod, format!("{other} is not answered for other replicas")))
            }
        }
    }

    /// Refuses payments of this shard as a whole when none of them would be taken: what is refused must cost less than what is
    /// taken, or an overloaded replica does little else.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`].
    pub(crate) fn check_room(&self, payments: usize) -> Result<(), RpcError> {
        if self.handle.verifier().is_full() {
            self.tally.refused(ErrorKind::Overloaded, payments);
            return Err(convert::refusal(&Refusal::Busy));
        }
        Ok(())
    }

    /// Payments of this shard that another replica was handed.
    async fn submit_forwarded(&self, params: schema::SubmitTransactions) -> Result<schema::SubmittedAll, RpcError> {
        self.check_room(params.payments.len())?;
        params.check().map_err(|text| RpcError::new(ErrorKind::InvalidParams, text))?;
        let (wait, patience) = (params.wait_for(), params.timeout());
        let read: Vec<_> = params.payments.iter().map(crate::rpc::convert::signed_payment).collect();
        let good = read.iter().flatten().cloned().map(Submission::from).collect();
        let mut outcomes = self.submit_here(good, wait, patience).await.into_iter();
        let none = || Err(RpcError::new(ErrorKind::Internal, "no outcome for this payment"));
        let each = read.into_iter().map(|read| read.and_then(|_| outcomes.next().unwrap_or_else(none)));
        Ok(schema::SubmittedAll { outcomes: each.map(Into::into).collect() })
    }

    fn address(&self, text: &crate::rpc::wire::AddressText) -> Result<Address, RpcError> {
        crate::rpc::convert::address(text, self.view.hrp())
    }

    pub(crate) async fn account(&self, params: schema::ByAddress) -> Result<schema::Account, RpcError> {
        let address = self.address(&params.address)?;
        let hrp = self.view.hrp();
        let found = self.handle.ask(move |replica, _| {
            let live = replica.ledger().account(&address);
            let cut = replica.ledger().cut_account(&address);
            let incoming: Vec<_> = replica.incoming(&address).take(INCOMING_MAX).copied().collect();
            (live, cut, incoming, replica.decided(), replica.lamport())
        });
        let (live, cut, incoming, epoch, lamport) = found.await?;
        let live = match live {
            Some(live) => live,
            None if !incoming.is_empty() => smt_consensus::ports::LiveAccount::default(),
            None => {
                let text = format!("nobody ever paid {}", address.to_bech32(hrp));
                return Err(RpcError::new(ErrorKind::UnknownAccount, text));
            }
        };
        let level = self.view.genesis.level;
        let cut = cut.map_or((Amount::ZERO, Seq(0)), |account| (account.balance, account.next_seq));
        Ok(schema::Account {
            address: params.address,
            shard: address.shard(level).into(),
            balance: Decimal(live.balance.0),
            next_seq: Decimal(live.next_seq.0),
            incoming: incoming
                .iter()
                .map(|credit| schema::IncomingPayment {
                    id: credit.payment.into(),
                    payer: address_text(&credit.payer, hrp),
                    shard: credit.payer.shard(level).into(),
                    amount: Decimal(credit.amount.0),
                    epoch: None,
                })
                .collect(),
            snapshot: schema::AccountSnapshot {
                epoch: Decimal(epoch.0),
                balance: Decimal(cut.0.0),
                next_seq: Decimal(cut.1.0),
            },
            lamport: Decimal(lamport.0),
        })
    }

    pub(crate) async fn account_history(&self, params: &schema::AccountHistory) -> Result<schema::History, RpcError> {
        let address = self.address(&params.address)?;
        self.until_indexed().await?;
        let limit = usize::try_from(params.page_size()).unwrap_or(100);
        let mut range = KeyRange::prefix(&address.0);
        if let Some(before) = &params.before {
            let cursor = hex::decode(before).ok().filter(|cursor| cursor.starts_with(&address.0));
            let wrong = || {
                RpcError::new(ErrorKind::InvalidParams, "`before` is not the `next` of an earlier page of this account")
            };
            range = range.before(&cursor.ok_or_else(wrong)?);
        }
        let column = smt_consensus::Column::History.into();
        let rows = self.handle.store().scan(column, &range, Order::Descending, limit).map_err(store_error)?;
        let next = (rows.len() == limit).then(|| rows.last().map(|(key, _)| hex::encode(key))).flatten();
        let hrp = self.view.hrp();
        let committed = self.committed();
        let mut reader = HistoryReader::new(&committed);
        let entries = rows.iter().filter_map(|(key, value)| reader.entry(key, value));
        let entries = entries.map(|row| schema::HistoryEntry {
            id: row.id.into(),
            direction: if row.out { Direction::Out } else { Direction::In },
            counterparty: address_text(&row.counterparty, hrp),
            amount: Decimal(row.amount.0),
            seq: Decimal(row.seq.0),
            stage: if row.out { Stage::Snapshotted } else { Stage::Credited },
            memo: HexBytes(row.memo),
            epoch: Some(Decimal(row.epoch.0)),
        });
        Ok(schema::History { entries: entries.collect(), next })
    }

    /// The history row of the payment at an old slot, if it is among the newest of its payer.
    pub(crate) fn payer_row(&self, slot: &Slot) -> Option<HistoryEntry> {
        let column = smt_consensus::Column::History.into();
        let rows =
            self.handle.store().scan(column, &KeyRange::prefix(&slot.payer.0), Order::Descending, OLD_SLOT_ROWS_MAX);
        let rows = rows.unwrap_or_default();
        let (key, value) = rows.iter().find(|(key, _)| {
            archive::read_history_key(key).is_some_and(|(_, out, number)| out && number == slot.seq.0)
        })?;
        HistoryReader::new(&self.committed()).entry(key, value)
    }

    /// Waits until all cuts decided so far can be found in histories: a fraction of a second at most.
    async fn until_indexed(&self) -> Result<(), RpcError> {
        let ask = || self.handle.ask(|replica, _| (replica.decided(), replica.indexed()));
        let (decided, mut indexed) = ask().await?;
        while indexed < decided {
            tokio::time::sleep(Duration::from_millis(10)).await;
            (_, indexed) = ask().await?;
        }
        Ok(())
    }

    /// The epoch whose cut credited a payment from another shard, if one has.
    pub(crate) async fn credited_epoch(&self, id: &PaymentId) -> Option<Epoch> {
        self.credited_epochs(BTreeSet::from([*id])).await.remove(id)
    }

    /// The epochs whose cuts credited payments from other shards; without those that no cut has.
    pub(crate) async fn credited_epochs(&self, ids: BTreeSet<PaymentId>) -> BTreeMap<PaymentId, Epoch> {
        // The core first: what it has indexed by then is in the store.
        let asked = self.handle.ask(move |replica, _| {
            let found: BTreeMap<_, _> =
                ids.iter().filter_map(|id| Some((*id, replica.credited_unindexed(id)?))).collect();
            (ids, found)
        });
        let Ok((ids, mut found)) = asked.await else { return BTreeMap::new() };
        let reader = self.committed();
        for id in ids {
            if !found.contains_key(&id)
                && let Some((_, _, epoch)) = archive::credited(&reader, &id)
            {
                found.insert(id, epoch);
            }
        }
        found
    }

    pub(crate) async fn receipt(&self, id: &PaymentId) -> Result<schema::ReceiptReply, RpcError> {
        Ok(schema::ReceiptReply { receipt: HexBytes(self.receipt_of(id).await?.to_bytes()) })
    }

    /// An account in the newest cut whose header is certified. Waits a moment for a header that is being signed.
    pub(crate) async fn proof(&self, params: schema::ByAddress) -> Result<schema::Proof, RpcError> {
        let address = self.address(&params.address)?;
        for _ in 0..100 {
            let asked =
                self.handle.ask(move |replica, _| (replica.decided(), replica.ledger().account_proof(&address)));
            let (epoch, proof) = asked.await?;
            if let Some(certified) = self.certified(epoch) {
                return Ok(schema::Proof {
                    address: params.address,
                    shard: self.handle.node().shard.into(),
                    epoch: Decimal(epoch.0),
                    header: HexBytes(certified.header.to_bytes()),
                    signatures: convert::signatures(&certified),
                    proof: HexBytes(proof.to_bytes()),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(RpcError::new(ErrorKind::NotYet, "the newest cut's header has no quorum of signatures yet"))
    }

    /// A certified header of this shard; genesis is one by itself.
    fn certified(&self, epoch: Epoch) -> Option<CertifiedHeader> {
        if epoch.0 > 0 {
            return archive::header(&self.committed(), self.handle.node().shard, epoch);
        }
        let place = usize::try_from(self.handle.node().shard.index()).ok()?;
        let header = self.view.network.genesis_headers.get(place)?.clone();
        Some(CertifiedHeader {
            header,
            changes: smt_types::header::LinkChanges::default(),
            signatures: Bounded::default(),
        })
    }

    pub(crate) fn snapshot(&self, params: &schema::SnapshotQuery) -> Result<schema::Snapshot, RpcError> {
        let certified = match &params.epoch {
            Some(epoch) => self.certified(Epoch(epoch.0)),
            None => {
                let newest = self.handle.status().epoch;
                (newest.saturating_sub(8)..=newest).rev().find_map(|epoch| self.certified(Epoch(epoch)))
            }
        };
        let certified =
            certified.ok_or_else(|| RpcError::new(ErrorKind::NotYet, "no certified header of that epoch is here"))?;
        Ok(convert::snapshot(&certified))
    }

    pub(crate) fn evidence(&self) -> Result<schema::Evidence, RpcError> {
        let column: Column = smt_consensus::Column::Evidence.into();
        let rows = self.handle.store().scan(column, &KeyRange::all(), Order::Descending, 1000).map_err(store_error)?;
        let records = rows.iter().filter_map(|(key, value)| {
            let (evidence, replica) =
                <(Evidence, ReplicaIndex)>::from_bytes(value, smt_types::message::MAX_MESSAGE_BYTES).ok()?;
            Some(schema::EvidenceRecord {
                id: Digest(<[u8; 32]>::try_from(key.as_slice()).ok()?).into(),
                kind: evidence.kind().to_owned(),
                shard: self.handle.node().shard.into(),
                replica: replica.0,
                record: HexBytes(evidence.to_bytes()),
            })
        });
        Ok(schema::Evidence { records: records.collect() })
    }

    pub(crate) fn faucet_info(&self) -> Option<schema::FaucetInfo> {
        self.faucet.as_ref().map(|faucet| schema::FaucetInfo {
            address: address_text(&faucet.key.public().address(), self.view.hrp()),
            amount_default: Decimal(faucet.amount_default),
            amount_max: Decimal(faucet.amount_max),
        })
    }

    /// Pays from this replica's own faucet account. The account is used by this replica alone, and the batch that carries
    /// the payment is durable before it leaves, so no second payment is ever signed at one seq.
    pub(crate) async fn faucet(&self, params: schema::Faucet) -> Result<schema::Submitted, RpcError> {
        let Some(faucet) = &self.faucet else {
            return Err(RpcError::new(ErrorKind::NotAvailable, "this network has no faucet"));
        };
        let payee = self.address(&params.address)?;
        let amount = params.amount.map_or(faucet.amount_default, |amount| amount.0);
        if amount > faucet.amount_max {
            let text = format!("the faucet gives at most {} at a time", faucet.amount_max);
            return Err(RpcError::new(ErrorKind::FaucetLimit, text).with("max", faucet.amount_max));
        }
        let patience = params.timeout();
        let payer = faucet.key.public();
        let signed = {
            let _turn = self.faucet_turn.lock().await;
            let account = self.handle.ask(move |replica, _| replica.ledger().account(&payer.address())).await?;
            let payment = Payment {
                network: self.view.genesis.network,
                payer,
                seq: account.unwrap_or_default().next_seq,
                payee,
                amount: Amount(amount),
                memo: Bounded::default(),
                after: Lamport(0),
            };
            let signed: SignedPayment = payment.sign(&faucet.key);
            crate::rpc::convert::check_payment(&signed, &payer.address(), self.view.genesis.network)?;
            self.submit_one(signed.clone(), WaitFor::Final, patience).await?;
            signed
        };
        self.submit_one(signed, params.wait_for(), patience).await
    }
}

/// A store that does not answer.
pub(crate) fn store_error(error: crate::store::StoreError) -> RpcError {
    RpcError::new(ErrorKind::Internal, format!("reading the store: {error}"))
}
