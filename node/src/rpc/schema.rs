//! Requests and replies of every method: the JSON interface as Rust types.
//!
//! Field prose here is the prose of `RPC.md` and of `rpc.discover`. Requests refuse unknown fields, replies ignore them.
//! 64-bit numbers are decimal strings ([`Decimal`]), bytes are hex ([`HexBytes`], [`Hex32`]).

mod bulk;

pub use bulk::{
    ByIds, Counters, IDS_PER_CALL_MAX, RefusedCount, STAGES_FOLLOWED, StagesEvent, StagesText, Transactions,
};

use super::describe::{Describe, Types, dto, words};
use super::error::RpcError;
use super::wire::{AddressText, Decimal, Hex32, HexBytes, ShardWord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

words! {
    /// How far a payment has come. `received` → `certified` → `final` → `snapshotted` → `proven` on the payer's side;
    /// `incoming` → `credited` on the payee's side; `rejected`, `void` and `expired` are ends.
    Stage {
        /// Taken by one replica, in memory only.
        Received = "received",
        /// A quorum of votes accepts it: irrevocable unless its payer signed a second payment at the same seq.
        Certified = "certified",
        /// A quorum of replicas applied it durably: irrevocable. Call a payment paid from here on.
        Final = "final",
        /// Part of a decided epoch cut of the payer's shard.
        Snapshotted = "snapshotted",
        /// Covered by a proof of the global state.
        Proven = "proven",
        /// Payee's side: final at the payer's shard, not yet spendable at the payee's.
        Incoming = "incoming",
        /// Payee's side: in the payee's balance.
        Credited = "credited",
        /// Refused for a reason that will not go away; the payment was never certified.
        Rejected = "rejected",
        /// Its slot was voided by a cut, because the payer signed two payments at that seq. It will never be applied.
        Void = "void",
        /// This node gave up on it. The payment itself is not dead: send the same bytes again, never another payment at
        /// that seq.
        Expired = "expired",
    }
}

words! {
    /// What a submit call waits for.
    WaitFor {
        /// Answer as soon as the payment is taken.
        Received = "received",
        /// Wait for a quorum of votes.
        Certified = "certified",
        /// Wait until it is irrevocable.
        Final = "final",
        /// Wait for the payer's shard to decide the epoch cut that contains it.
        Snapshotted = "snapshotted",
        /// Wait until the payee can spend it.
        Credited = "credited",
    }
}

words! {
    /// Which side of a payment an account is on.
    Direction {
        /// The account paid.
        Out = "out",
        /// The account was paid.
        In = "in",
    }
}

words! {
    /// What to subscribe to.
    Topic {
        /// Every decided epoch cut of every shard.
        Epochs = "epochs",
        /// Every stage that one payment reaches; needs `id`.
        Transaction = "transaction",
        /// Every change of one account; needs `address`.
        Account = "account",
        /// Every payment of the node's shard that reaches one of `stages` at this node, many in one event; `credited`:
        /// payments from other shards to accounts of this one.
        Stages = "stages",
    }
}

words! {
    /// Whether the node does its work.
    Readiness {
        /// Takes payments and queries.
        Ready = "ready",
        /// Catching up after a start; answers queries from what it has.
        CatchingUp = "catching_up",
        /// Too few replicas of its shard answer.
        NoQuorum = "no_quorum",
        /// Two payments at one slot were found in a join: the shard stopped its cuts.
        Forked = "forked",
        /// The store failed or the state root differs; the replica does not sign.
        Stopped = "stopped",
        /// Shutting down.
        Stopping = "stopping",
    }
}

// ---- payments -------------------------------------------------------------------------------------------------------

/// Default of `timeout_ms`, milliseconds.
pub const TIMEOUT_MS_DEFAULT: u32 = 5_000;
/// Largest `timeout_ms`, milliseconds.
pub const TIMEOUT_MS_MAX: u32 = 60_000;
/// Most payments in one `smt_submitTransactions`.
pub const PAYMENTS_PER_CALL_MAX: usize = 1_024;
/// Most entries of one page of history; also the default.
pub const HISTORY_LIMIT_MAX: u32 = 100;

dto! {
    /// Request of `smt_submitTransaction`.
    params SubmitTransaction {
        /// The canonical bytes of the signed payment.
        payment: HexBytes,
    } optional {
        /// The stage to wait for. Default `final`.
        wait: WaitFor,
        /// How long to wait, milliseconds, at most 60000. Default 5000. When it passes, the error is `timeout` and says
        /// the stage reached; the payment goes on.
        timeout_ms: u32,
    }
}

dto! {
    /// A payment that was taken.
    reply Submitted {
        /// Id of the payment.
        id: Hex32,
        /// The stage it has reached.
        stage: Stage,
        /// Home shard of the payer.
        shard: ShardWord,
    } optional {
        /// The epoch it is final in; from `final` on.
        epoch: Decimal<u64>,
        /// Canonical receipt; from `final` on.
        receipt: HexBytes,
    }
}

dto! {
    /// Request of `smt_submitTransactions`.
    params SubmitTransactions {
        /// Canonical bytes of signed payments, 1 to 1024. Payments of one payer go in seq order.
        payments: Vec<HexBytes>,
    } optional {
        /// The stage to wait for, each payment. Default `final`.
        wait: WaitFor,
        /// How long to wait for all together, milliseconds, at most 60000. Default 5000.
        timeout_ms: u32,
    }
}

dto! {
    /// Outcome of one payment of `smt_submitTransactions`: exactly one of the two fields is present.
    reply SubmitOutcome {
    } optional {
        /// Set when the payment reached the wanted stage.
        result: Submitted,
        /// Set when it did not.
        error: RpcError,
    }
}

impl From<Result<Submitted, RpcError>> for SubmitOutcome {
    fn from(outcome: Result<Submitted, RpcError>) -> Self {
        match outcome {
            Ok(result) => SubmitOutcome { result: Some(result), error: None },
            Err(error) => SubmitOutcome { result: None, error: Some(error) },
        }
    }
}

impl SubmitOutcome {
    /// The outcome itself; one that is neither is the sender's fault.
    ///
    /// # Errors
    /// Why the payment did not reach the wanted stage.
    pub fn into_result(self) -> Result<Submitted, RpcError> {
        let neither = || RpcError::new(super::error::ErrorKind::Internal, "an outcome that is neither result nor error");
        self.result.ok_or_else(|| self.error.unwrap_or_else(neither))
    }
}

dto! {
    /// Reply of `smt_submitTransactions`.
    reply SubmittedAll {
        /// One outcome per payment, in the order of the request.
        outcomes: Vec<SubmitOutcome>,
    }
}

dto! {
    /// Request of `smt_faucet`.
    params Faucet {
        /// Who is paid.
        address: AddressText,
    } optional {
        /// Base units. Default and largest value are the node's settings, shown by `smt_nodeInfo`.
        amount: Decimal<u64>,
        /// The stage to wait for. Default `final`.
        wait: WaitFor,
        /// How long to wait, milliseconds, at most 60000. Default 5000.
        timeout_ms: u32,
    }
}

dto! {
    /// A request that names one payment.
    params ById {
        /// Id of the payment.
        id: Hex32,
    }
}

dto! {
    /// A payment, decoded.
    reply PaymentFields {
        /// Network number.
        network: u32,
        /// Address of the payer.
        payer: AddressText,
        /// Public key of the payer.
        payer_key: Hex32,
        /// The payer's own payment number, from 0.
        seq: Decimal<u64>,
        /// Address of the payee.
        payee: AddressText,
        /// Base units.
        amount: Decimal<u64>,
        /// Bytes of the memo, may be empty.
        memo: HexBytes,
        /// Largest Lamport value the wallet had seen; advisory.
        after: Decimal<u64>,
        /// The payer's signature, 64 bytes.
        signature: HexBytes,
    }
}

dto! {
    /// Where a payment stands in a batch.
    reply BatchPosition {
        /// Digest of the batch header.
        header: Hex32,
        /// Replica of the payer's shard that made the batch.
        gateway: u8,
        /// The gateway's own batch number.
        number: Decimal<u64>,
        /// Place in the batch, from 0.
        index: u32,
    }
}

dto! {
    /// Reply of `smt_getTransaction`.
    reply Transaction {
        /// Id of the payment.
        id: Hex32,
        /// What was signed.
        payment: PaymentFields,
        /// The stage it has reached, as far as this node knows.
        stage: Stage,
        /// Home shard of the payer.
        shard: ShardWord,
        /// Home shard of the payee.
        payee_shard: ShardWord,
    } optional {
        /// Why it is held, rejected, void or expired, as an error kind.
        reason: String,
        /// Batch it was last seen in.
        batch: BatchPosition,
        /// The epoch it is final in.
        epoch: Decimal<u64>,
        /// Epoch of the payee's shard whose cut credited it.
        credited_epoch: Decimal<u64>,
    }
}

dto! {
    /// Reply of `smt_getReceipt`.
    reply ReceiptReply {
        /// Canonical receipt.
        receipt: HexBytes,
    }
}

// ---- accounts -------------------------------------------------------------------------------------------------------

dto! {
    /// A request that names one account.
    params ByAddress {
        /// Address of the account.
        address: AddressText,
    }
}

dto! {
    /// A payment that is final at its payer's shard and not yet spendable here.
    reply IncomingPayment {
        /// Id of the payment.
        id: Hex32,
        /// Address of the payer.
        payer: AddressText,
        /// Home shard of the payer.
        shard: ShardWord,
        /// Base units.
        amount: Decimal<u64>,
    } optional {
        /// The epoch of the payer's shard it is final in.
        epoch: Decimal<u64>,
    }
}

dto! {
    /// An account as the newest decided cut of its shard has it.
    reply AccountSnapshot {
        /// Epoch of the cut.
        epoch: Decimal<u64>,
        /// Base units; 0 for an account the cut does not have.
        balance: Decimal<u64>,
        /// Next seq in the cut.
        next_seq: Decimal<u64>,
    }
}

dto! {
    /// Reply of `smt_getAccount`.
    reply Account {
        /// Address of the account.
        address: AddressText,
        /// Home shard.
        shard: ShardWord,
        /// Spendable now, base units.
        balance: Decimal<u64>,
        /// The seq its next payment has to carry.
        next_seq: Decimal<u64>,
        /// Payments on their way to it, at most 100, oldest first.
        incoming: Vec<IncomingPayment>,
        /// The account at the newest cut.
        snapshot: AccountSnapshot,
        /// Largest Lamport value of the answering replica; a wallet puts it into `after`.
        lamport: Decimal<u64>,
    }
}

dto! {
    /// Request of `smt_getAccountHistory`.
    params AccountHistory {
        /// Address of the account.
        address: AddressText,
    } optional {
        /// The `next` of the page before; absent for the newest page.
        before: String,
        /// Entries wanted, 1 to 100. Default 100.
        limit: u32,
    }
}

dto! {
    /// One payment of an account.
    reply HistoryEntry {
        /// Id of the payment.
        id: Hex32,
        /// Which side the account is on.
        direction: Direction,
        /// The other side.
        counterparty: AddressText,
        /// Base units.
        amount: Decimal<u64>,
        /// The payer's seq.
        seq: Decimal<u64>,
        /// The stage reached on the account's side.
        stage: Stage,
        /// Bytes of the memo.
        memo: HexBytes,
    } optional {
        /// Epoch of the account's shard that has it.
        epoch: Decimal<u64>,
    }
}

dto! {
    /// Reply of `smt_getAccountHistory`.
    reply History {
        /// Newest first.
        entries: Vec<HistoryEntry>,
    } optional {
        /// Cursor of the next older page; absent at the end.
        next: String,
    }
}

// ---- snapshots, proofs, cuts ----------------------------------------------------------------------------------------

dto! {
    /// One replica's signature under a header; it counts only if both parts verify.
    reply HeaderSignature {
        /// Index of the replica in its committee.
        replica: u8,
        /// ed25519 signature, 64 bytes.
        ed25519: HexBytes,
        /// EdDSA-Poseidon signature on BabyJubJub, 64 bytes.
        jub: HexBytes,
    }
}

dto! {
    /// Reply of `smt_getProof`: the account in the state root of a certified header.
    reply Proof {
        /// Address of the account.
        address: AddressText,
        /// Home shard.
        shard: ShardWord,
        /// Epoch of the header.
        epoch: Decimal<u64>,
        /// Canonical header.
        header: HexBytes,
        /// A quorum of signatures under it; empty at epoch 0, which genesis fixes.
        signatures: Vec<HeaderSignature>,
        /// Canonical trie path of the account from the header's state root: presence or absence.
        proof: HexBytes,
    }
}

dto! {
    /// Request of `smt_getSnapshot`.
    params SnapshotQuery {
        /// The shard.
        shard: ShardWord,
    } optional {
        /// The epoch; absent for the newest.
        epoch: Decimal<u64>,
    }
}

dto! {
    /// Reply of `smt_getSnapshot`: a header with its signatures, decoded and canonical.
    reply Snapshot {
        /// The shard.
        shard: ShardWord,
        /// The epoch.
        epoch: Decimal<u64>,
        /// BLAKE3 digest of the header.
        digest: Hex32,
        /// Digest of the header of the epoch before.
        predecessor: Hex32,
        /// State root S.
        state_root: Hex32,
        /// Σ balances of the shard, base units.
        supply: Decimal<u128>,
        /// Digest of the vector clock V.
        vector_digest: Hex32,
        /// Lamport clock L.
        lamport: Decimal<u64>,
        /// Dense timestamp D, canonical bytes.
        time: HexBytes,
        /// Hash of the committee that signs.
        committee: Hex32,
        /// Canonical header.
        header: HexBytes,
        /// Signatures held, at least a quorum; empty at epoch 0.
        signatures: Vec<HeaderSignature>,
    }
}

dto! {
    /// One shard's header in a global cut.
    reply CutHeader {
        /// The shard.
        shard: ShardWord,
        /// Its epoch in the cut.
        epoch: Decimal<u64>,
        /// Digest of the header.
        digest: Hex32,
        /// Σ balances of the shard, base units.
        supply: Decimal<u128>,
    }
}

dto! {
    /// Reply of `smt_getGlobalCut`: the newest valid cut this node knows.
    reply GlobalCut {
        /// Root over the headers: the name of the cut.
        root: Hex32,
        /// Smallest shard epoch in it.
        epoch: Decimal<u64>,
        /// Σ balances of all shards, base units. Together with `in_flight` it is the genesis supply.
        supply: Decimal<u128>,
        /// Sent and not yet credited, base units.
        in_flight: Decimal<u128>,
        /// One header per shard, in shard order.
        headers: Vec<CutHeader>,
    }
}

// ---- the network and the node ---------------------------------------------------------------------------------------

dto! {
    /// One proof that a replica signed what no honest replica signs.
    reply EvidenceRecord {
        /// Id of the record.
        id: Hex32,
        /// What was done, one word.
        kind: String,
        /// Shard of the offender.
        shard: ShardWord,
        /// Index of the offender in its committee.
        replica: u8,
        /// Canonical evidence: the conflicting signed records.
        record: HexBytes,
    }
}

dto! {
    /// Reply of `smt_getEvidence`.
    reply Evidence {
        /// What this node holds, at most 1000, newest first.
        records: Vec<EvidenceRecord>,
    }
}

dto! {
    /// One peer.
    reply Peer {
        /// libp2p peer id.
        peer_id: String,
        /// Whether a connection is open.
        connected: bool,
    } optional {
        /// Multiaddress it was last reached at.
        multiaddr: String,
        /// Its shard, if it is a replica.
        shard: ShardWord,
        /// Its index in the committee, if it is a replica.
        replica: u8,
        /// Newest epoch heard from it.
        epoch: Decimal<u64>,
    }
}

dto! {
    /// Reply of `smt_getPeers`.
    reply Peers {
        /// Peers known, own replica left out.
        peers: Vec<Peer>,
    }
}

dto! {
    /// What the faucet gives.
    reply FaucetInfo {
        /// Address it pays from.
        address: AddressText,
        /// Base units per call when `amount` is absent.
        amount_default: Decimal<u64>,
        /// Largest `amount`.
        amount_max: Decimal<u64>,
    }
}

dto! {
    /// Reply of `smt_nodeInfo`.
    reply NodeInfo {
        /// Network number, part of every payment.
        network: u32,
        /// Prefix of addresses.
        address_prefix: String,
        /// The genesis hash.
        genesis_hash: Hex32,
        /// Version of the software.
        version: String,
        /// Version of this interface; changes when a method or a field changes meaning.
        api_version: String,
        /// Shard this node keeps.
        shard: ShardWord,
        /// Its index in the committee.
        replica: u8,
        /// Levels of the network: 3^level shards.
        level: u8,
        /// Replicas per shard.
        committee_size: u8,
        /// Signatures that make a quorum.
        quorum: u8,
        /// Newest decided epoch of its shard.
        epoch: Decimal<u64>,
        /// Length of an epoch, milliseconds.
        epoch_ms: u32,
        /// Whether it takes payments.
        readiness: Readiness,
        /// Why it is not ready; empty when it is.
        readiness_reasons: Vec<String>,
        /// Since the start of the process, milliseconds.
        uptime_ms: Decimal<u64>,
        /// Largest Lamport value of this replica.
        lamport: Decimal<u64>,
    } optional {
        /// Present on networks with a faucet.
        faucet: FaucetInfo,
    }
}

dto! {
    /// One replica of a committee.
    reply GenesisReplica {
        /// Index in the committee.
        index: u8,
        /// ed25519 public key.
        ed25519: Hex32,
        /// BabyJubJub public key, canonical bytes.
        jub: HexBytes,
        /// Both keys with their proofs of possession, as the committee digest hashes them: 192 bytes.
        record: HexBytes,
    }
}

dto! {
    /// One shard's committee.
    reply GenesisShard {
        /// The shard.
        shard: ShardWord,
        /// Hash of the committee.
        committee: Hex32,
        /// Signatures that make a quorum.
        quorum: u8,
        /// In index order.
        replicas: Vec<GenesisReplica>,
    }
}

dto! {
    /// Reply of `smt_getGenesis`: what a verifier of receipts and headers needs to know.
    reply GenesisReply {
        /// The genesis hash.
        hash: Hex32,
        /// Network number.
        network: u32,
        /// Prefix of addresses.
        address_prefix: String,
        /// Levels of the network: 3^level shards.
        level: u8,
        /// Base units that exist.
        supply: Decimal<u128>,
        /// Committees in shard order.
        shards: Vec<GenesisShard>,
        /// Digest of the genesis file, domain `GenesisFile`.
        file_digest: Hex32,
    } optional {
        /// The canonical genesis file, where it fits a reply. A client that does not trust the node hashes it and compares
        /// with a digest it knows from elsewhere.
        file: HexBytes,
    }
}

dto! {
    /// A request without parameters.
    params Empty {
    }
}

// ---- subscriptions --------------------------------------------------------------------------------------------------

dto! {
    /// Request of `smt_subscribe`.
    params Subscribe {
        /// What to subscribe to.
        topic: Topic,
    } optional {
        /// The payment, for topic `transaction`.
        id: Hex32,
        /// The account, for topic `account`.
        address: AddressText,
        /// The stages, for topic `stages`: one or more of `certified`, `final`, `snapshotted`, `credited`.
        stages: Vec<Stage>,
    }
}

dto! {
    /// Reply of `smt_subscribe`.
    reply Subscribed {
        /// Id of the subscription, unique in its connection.
        subscription: String,
    }
}

dto! {
    /// Request of `smt_unsubscribe`.
    params Unsubscribe {
        /// Id of the subscription.
        subscription: String,
    }
}

dto! {
    /// Reply of `smt_unsubscribe`.
    reply Unsubscribed {
        /// Whether there was such a subscription.
        removed: bool,
    }
}

dto! {
    /// Event of topic `epochs`: a shard decided a cut.
    reply EpochEvent {
        /// The shard.
        shard: ShardWord,
        /// The epoch.
        epoch: Decimal<u64>,
        /// Digest of its header.
        digest: Hex32,
        /// Σ balances of the shard, base units.
        supply: Decimal<u128>,
    }
}

dto! {
    /// Event of topic `transaction`: a payment reached a stage.
    reply TransactionEvent {
        /// Id of the payment.
        id: Hex32,
        /// The stage.
        stage: Stage,
    } optional {
        /// Why it is held, rejected, void or expired, as an error kind.
        reason: String,
        /// The epoch it is final in.
        epoch: Decimal<u64>,
        /// Epoch of the payee's shard whose cut credited it.
        credited_epoch: Decimal<u64>,
    }
}

dto! {
    /// Event of topic `account`: an account changed.
    reply AccountEvent {
        /// Address of the account.
        address: AddressText,
        /// Spendable now, base units.
        balance: Decimal<u64>,
        /// The seq its next payment has to carry.
        next_seq: Decimal<u64>,
    }
}

/// What a subscription delivers: exactly one of these, by its topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// Topic `transaction`.
    Transaction(TransactionEvent),
    /// Topic `account`.
    Account(AccountEvent),
    /// Topic `epochs`.
    Epoch(EpochEvent),
    /// Topic `stages`.
    Stages(StagesText),
}

impl Event {
    /// Bytes it keeps while it waits for its reader, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Event::Stages(text) => text.bytes(),
            _ => 256,
        }
    }
}

impl Describe for Event {
    fn label() -> String {
        "EpochEvent, TransactionEvent, AccountEvent or StagesEvent".into()
    }
    fn schema() -> Value {
        json!({ "oneOf": [
            EpochEvent::schema(), TransactionEvent::schema(), AccountEvent::schema(), StagesEvent::schema(),
        ] })
    }
    fn example() -> Value {
        EpochEvent::example()
    }
    fn collect(into: &mut Types) {
        EpochEvent::collect(into);
        TransactionEvent::collect(into);
        AccountEvent::collect(into);
        StagesEvent::collect(into);
    }
}

dto! {
    /// Parameters of a `smt_subscription` notification: an event, or the end of the subscription.
    reply Notification {
        /// Id of the subscription.
        subscription: String,
        /// Its topic.
        topic: Topic,
    } optional {
        /// What happened.
        event: Event,
        /// Why the server ended the subscription: `slow_reader` (events were dropped: subscribe again and read the state
        /// anew), `finished` (nothing more can happen) or `stopping`.
        closed: String,
    }
}
