//! The interface's back end: which shard a request is for, and who answers it.

use super::convert::rank;
use super::local::{CREDITED, Local};
use crate::rpc::backend::{Backend, EventSink, Health};
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::{self, Event, Readiness, Stage, Topic};
use crate::rpc::wire::{Decimal, Hex32, HexBytes};
use smt_types::committee::ReplicaKeys;
use smt_types::{Address, Canonical, PaymentId, ShardAddress};
use std::sync::Arc;
use std::time::Duration;

/// How long a question that waits for nothing may take at another replica.
const QUESTION: Duration = Duration::from_secs(3);

/// How often a followed payment or account is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Version of the interface.
const API_VERSION: &str = "1";

/// The node behind one endpoint.
pub struct NodeBackend {
    pub(crate) local: Arc<Local>,
}

impl NodeBackend {
    /// Answers from `local` and, for other shards, through it.
    #[must_use]
    pub fn new(local: Arc<Local>) -> NodeBackend {
        NodeBackend { local }
    }

    pub(crate) fn level(&self) -> u8 {
        self.local.view.genesis.level
    }

    pub(crate) fn here(&self, shard: ShardAddress) -> bool {
        shard == self.local.handle.node().shard
    }

    fn address(&self, text: &crate::rpc::wire::AddressText) -> Result<Address, RpcError> {
        crate::rpc::convert::address(text, self.local.view.hrp())
    }

    /// A payment's record from whichever shard knows it.
    async fn find(&self, id: &PaymentId) -> Result<schema::Transaction, RpcError> {
        let mut unavailable = None;
        match self.local.transaction(id).await {
            Err(error) if error.kind == ErrorKind::UnknownTransaction => {}
            answer => return answer,
        }
        for shard in ShardAddress::all(self.level()).filter(|shard| !self.here(*shard)) {
            let params = schema::ById { id: (*id).into() };
            match self.local.forward(shard, "smt_getTransaction", &params, QUESTION).await {
                Ok(found) => return Ok(found),
                Err(error) if error.kind == ErrorKind::UnknownTransaction => {}
                Err(error) => unavailable = Some(error),
            }
        }
        // A shard that does not answer may be the one that knows it.
        Err(unavailable.unwrap_or_else(|| {
            RpcError::new(ErrorKind::UnknownTransaction, format!("no payment {id} is known to any shard"))
        }))
    }

    async fn credited(&self, shard: ShardAddress, id: &PaymentId) -> Result<Option<u64>, RpcError> {
        if self.here(shard) {
            return Ok(self.local.credited_epoch(id).await.map(|epoch| epoch.0));
        }
        self.local.forward(shard, CREDITED, &Hex32::from(*id), QUESTION).await
    }

    /// A payment's record with what the payee's shard knows added.
    async fn whole(&self, id: &PaymentId) -> Result<schema::Transaction, RpcError> {
        let mut found = self.find(id).await?;
        if found.credited_epoch.is_none() && rank(found.stage) >= rank(Stage::Final) {
            let payee_shard = crate::rpc::convert::shard(&found.payee_shard, self.level())?;
            // The payer's side is known whatever the payee's shard says or fails to say.
            if let Ok(Some(epoch)) = self.credited(payee_shard, id).await {
                found.credited_epoch = Some(Decimal(epoch));
            }
        }
        if found.credited_epoch.is_some() {
            found.stage = Stage::Credited;
        }
        Ok(found)
    }
}

impl Backend for NodeBackend {
    async fn submit_transaction(&self, params: schema::SubmitTransaction) -> Result<schema::Submitted, RpcError> {
        let (wait, patience) = (params.wait_for(), params.timeout());
        let outcomes = self.submit_all(vec![params.payment], wait, patience).await;
        let none = || Err(RpcError::new(ErrorKind::Internal, "no outcome for this payment"));
        outcomes.into_iter().next().unwrap_or_else(none)
    }

    async fn submit_transactions(&self, params: schema::SubmitTransactions) -> Result<schema::SubmittedAll, RpcError> {
        if self.level() == 0 {
            // All of them are of this shard; in other networks some may be for a shard that has room.
            self.local.check_room(params.payments.len())?;
        }
        let (wait, patience) = (params.wait_for(), params.timeout());
        let outcomes = self.submit_all(params.payments, wait, patience).await;
        Ok(schema::SubmittedAll { outcomes: outcomes.into_iter().map(Into::into).collect() })
    }

    async fn get_account(&self, params: schema::ByAddress) -> Result<schema::Account, RpcError> {
        let shard = self.address(&params.address)?.shard(self.level());
        if self.here(shard) {
            return self.local.account(params).await;
        }
        self.local.forward(shard, "smt_getAccount", &params, QUESTION).await
    }

    async fn get_account_history(&self, params: schema::AccountHistory) -> Result<schema::History, RpcError> {
        let shard = self.address(&params.address)?.shard(self.level());
        if self.here(shard) {
            return self.local.account_history(&params).await;
        }
        self.local.forward(shard, "smt_getAccountHistory", &params, QUESTION).await
    }

    async fn get_transaction(&self, params: schema::ById) -> Result<schema::Transaction, RpcError> {
        self.whole(&params.id.into()).await
    }

    async fn get_transactions(&self, params: schema::ByIds) -> Result<schema::Transactions, RpcError> {
        let ids: Vec<PaymentId> = params.ids.into_iter().map(PaymentId::from).collect();
        Ok(schema::Transactions { transactions: self.local.transactions(&ids).await? })
    }

    async fn get_counters(&self, _: schema::Empty) -> Result<schema::Counters, RpcError> {
        self.local.counters().await
    }

    async fn get_receipt(&self, params: schema::ById) -> Result<schema::ReceiptReply, RpcError> {
        let id: PaymentId = params.id.into();
        let home = crate::rpc::convert::shard(&self.find(&id).await?.shard, self.level())?;
        if self.here(home) {
            return self.local.receipt(&id).await;
        }
        self.local.forward(home, "smt_getReceipt", &params, QUESTION).await
    }

    async fn get_proof(&self, params: schema::ByAddress) -> Result<schema::Proof, RpcError> {
        let shard = self.address(&params.address)?.shard(self.level());
        if self.here(shard) {
            return self.local.proof(params).await;
        }
        self.local.forward(shard, "smt_getProof", &params, QUESTION).await
    }

    async fn get_snapshot(&self, params: schema::SnapshotQuery) -> Result<schema::Snapshot, RpcError> {
        let shard = crate::rpc::convert::shard(&params.shard, self.level())?;
        if self.here(shard) {
            return self.local.snapshot(&params);
        }
        self.local.forward(shard, "smt_getSnapshot", &params, QUESTION).await
    }

    async fn get_global_cut(&self, _: schema::Empty) -> Result<schema::GlobalCut, RpcError> {
        let cut = self.local.handle.ask(|replica, _| replica.global_cut().clone()).await?;
        Ok(schema::GlobalCut {
            root: cut.root.into(),
            epoch: Decimal(cut.epoch.0),
            supply: Decimal(cut.supply),
            in_flight: Decimal(cut.in_flight),
            headers: cut
                .headers
                .iter()
                .map(|header| schema::CutHeader {
                    shard: header.shard.into(),
                    epoch: Decimal(header.epoch.0),
                    digest: header.digest().into(),
                    supply: Decimal(u128::from(header.supply.0)),
                })
                .collect(),
        })
    }

    async fn get_evidence(&self, _: schema::Empty) -> Result<schema::Evidence, RpcError> {
        self.local.evidence()
    }

    async fn get_peers(&self, _: schema::Empty) -> Result<schema::Peers, RpcError> {
        let view = &self.local.view;
        let status = self.local.handle.swarm().peers();
        let peers = status.iter().map(|peer| {
            let place = view.places.node(&peer.peer);
            schema::Peer {
                peer_id: peer.peer.to_string(),
                connected: peer.connected,
                multiaddr: peer.addr.as_ref().map(ToString::to_string),
                shard: place.map(|place| place.shard.into()),
                replica: place.map(|place| place.replica.0),
                epoch: None,
            }
        });
        Ok(schema::Peers { peers: peers.collect() })
    }

    async fn faucet(&self, params: schema::Faucet) -> Result<schema::Submitted, RpcError> {
        if self.local.faucet_info().is_none() {
            return Err(RpcError::new(ErrorKind::NotAvailable, "this network has no faucet"));
        }
        let shard = self.address(&params.address)?.shard(self.level());
        if self.here(shard) {
            return self.local.faucet(params).await;
        }
        // The payee's own shard pays, so that the money can be spent at once.
        let patience = params.timeout();
        self.local.forward(shard, "smt_faucet", &params, patience).await
    }

    async fn node_info(&self, _: schema::Empty) -> Result<schema::NodeInfo, RpcError> {
        let (view, node) = (&self.local.view, self.local.handle.node());
        let lamport = self.local.handle.ask(|replica, _| replica.lamport()).await.unwrap_or_default();
        let health = self.health();
        let committee = view.network.committee(node.shard);
        Ok(schema::NodeInfo {
            network: view.genesis.network.0,
            address_prefix: view.hrp().as_str().to_owned(),
            genesis_hash: view.genesis_hash.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: API_VERSION.to_owned(),
            shard: node.shard.into(),
            replica: node.replica.0,
            level: view.genesis.level,
            committee_size: committee.and_then(|c| u8::try_from(c.size()).ok()).unwrap_or(0),
            quorum: committee.and_then(|c| u8::try_from(c.quorum()).ok()).unwrap_or(0),
            epoch: Decimal(self.local.handle.status().epoch),
            epoch_ms: view.genesis.epoch_ms,
            readiness: health.readiness,
            readiness_reasons: health.reasons,
            uptime_ms: Decimal(view.clock.uptime_ms()),
            lamport: Decimal(lamport.0),
            faucet: self.local.faucet_info(),
        })
    }

    async fn get_genesis(&self, _: schema::Empty) -> Result<schema::GenesisReply, RpcError> {
        /// Files above this are not put into a reply: hex doubles them.
        const FILE_BYTES_MAX: usize = 2 << 20;
        let view = &self.local.view;
        let file = view.genesis.to_bytes();
        let replica = |index: smt_types::ReplicaIndex, keys: &ReplicaKeys| schema::GenesisReplica {
            index: index.0,
            ed25519: smt_types::Digest(*keys.ed25519.as_bytes()).into(),
            jub: HexBytes(keys.jub.as_bytes().to_vec()),
            record: HexBytes(keys.to_bytes()),
        };
        let shards = view.network.committees.iter().map(|committee| schema::GenesisShard {
            shard: committee.shard().into(),
            committee: committee.digest().into(),
            quorum: u8::try_from(committee.quorum()).unwrap_or(u8::MAX),
            replicas: committee
                .indices()
                .filter_map(|index| committee.keys(index).map(|keys| replica(index, keys)))
                .collect(),
        });
        Ok(schema::GenesisReply {
            hash: view.genesis_hash.into(),
            network: view.genesis.network.0,
            address_prefix: view.hrp().as_str().to_owned(),
            level: view.genesis.level,
            supply: Decimal(u128::from(view.network.supply.0)),
            shards: shards.collect(),
            file_digest: view.genesis.file_digest().into(),
            file: (file.len() <= FILE_BYTES_MAX).then_some(HexBytes(file)),
        })
    }

    async fn subscribe(&self, request: schema::Subscribe, sink: EventSink) -> Result<(), RpcError> {
        let backend = NodeBackend::new(self.local.clone());
        match request.topic {
            Topic::Epochs => {
                let mut epochs = self.local.handle.hub.epochs();
                tokio::spawn(async move {
                    while let Ok(event) = epochs.recv().await {
                        if !sink.send(Event::Epoch(event)) {
                            return;
                        }
                    }
                });
            }
            Topic::Stages => self.local.handle.hub.follow(request.stages.unwrap_or_default(), sink),
            Topic::Transaction => {
                let id = request
                    .id
                    .ok_or_else(|| RpcError::new(ErrorKind::InvalidParams, "topic transaction needs `id`"))?;
                tokio::spawn(async move { backend.follow_payment(id.into(), &sink).await });
            }
            Topic::Account => {
                let missing = || RpcError::new(ErrorKind::InvalidParams, "topic account needs `address`");
                let address = request.address.ok_or_else(missing)?;
                self.address(&address)?;
                tokio::spawn(async move { backend.follow_account(address, &sink).await });
            }
        }
        Ok(())
    }

    fn health(&self) -> Health {
        let status = self.local.handle.status();
        let ready = |readiness, reason: String| Health { readiness, reasons: vec![reason] };
        if let Some(reason) = status.stopped {
            ready(Readiness::Stopped, reason)
        } else if let Some(reason) = status.forked {
            ready(Readiness::Forked, reason)
        } else if let Some(reason) = status.not_voting {
            ready(Readiness::Stopped, reason)
        } else if !self.local.has_quorum() {
            let text = format!("{} of {} replicas needed are reachable", self.local.reachable(), self.local.quorum());
            ready(Readiness::NoQuorum, text)
        } else if !status.voting {
            ready(Readiness::CatchingUp, "peers have not said yet which records of this replica they hold".to_owned())
        } else {
            Health { readiness: Readiness::Ready, reasons: Vec::new() }
        }
    }
}

impl NodeBackend {
    /// Every stage of a payment until nothing more can happen to it.
    async fn follow_payment(&self, id: PaymentId, sink: &EventSink) {
        let mut told: Option<Stage> = None;
        while !sink.is_closed() {
            if let Ok(found) = self.whole(&id).await
                && told != Some(found.stage)
            {
                told = Some(found.stage);
                let event = schema::TransactionEvent {
                    id: id.into(),
                    stage: found.stage,
                    reason: found.reason,
                    epoch: found.epoch,
                    credited_epoch: found.credited_epoch,
                };
                if !sink.send(Event::Transaction(event)) || rank(found.stage) >= rank(Stage::Credited) {
                    return;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// An account whenever its balance or next seq differs from what was told last.
    async fn follow_account(&self, address: crate::rpc::wire::AddressText, sink: &EventSink) {
        let mut told = None;
        while !sink.is_closed() {
            let params = schema::ByAddress { address: address.clone() };
            if let Ok(account) = self.get_account(params).await
                && told != Some((account.balance, account.next_seq))
            {
                told = Some((account.balance, account.next_seq));
                let event = schema::AccountEvent {
                    address: address.clone(),
                    balance: account.balance,
                    next_seq: account.next_seq,
                };
                if !sink.send(Event::Account(event)) {
                    return;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
