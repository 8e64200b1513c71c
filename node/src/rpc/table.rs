//! The one method table. Everything that lists methods is derived from `for_each_method!`.

use super::check::Check;
use super::describe::{Describe, Types};
use super::error::ErrorKind::{self, *};
use super::schema;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Who may call a method. Both are open to everybody the endpoint serves; the word tells a proxy in front of a public
/// endpoint what to let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Changes nothing.
    Read,
    /// Submits payments.
    Write,
}

impl Permission {
    /// The word in the documents.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::Write => "write",
        }
    }
}

/// One method as a type: what the typed client calls and what the back end implements.
pub trait MethodDef {
    /// Name on the wire.
    const NAME: &'static str;
    /// Request.
    type Params: Describe + Check + Serialize + DeserializeOwned + Send;
    /// Reply.
    type Reply: Describe + Serialize + DeserializeOwned + Send;
}

/// One row of the table, as the documents and the rate limit see it.
#[derive(Clone, Copy, Debug)]
pub struct MethodRow {
    /// Name on the wire.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Who may call it.
    pub permission: Permission,
    /// What a call costs, in units of the rate limit.
    pub cost: u32,
    /// An array parameter each item of which costs `cost` again.
    pub cost_per_item: Option<&'static str>,
    /// Whether it needs a WebSocket.
    pub websocket_only: bool,
    /// Errors of its own, beside [`COMMON_ERRORS`].
    pub errors: &'static [ErrorKind],
    /// The request type.
    pub params: TypeRow,
    /// The reply type.
    pub reply: TypeRow,
}

/// A type as a row holds it.
#[derive(Clone, Copy, Debug)]
pub struct TypeRow {
    /// Name for readers.
    pub label: fn() -> String,
    /// JSON schema.
    pub schema: fn() -> Value,
    /// A value of it.
    pub example: fn() -> Value,
    /// Fields.
    pub fields: fn() -> Vec<super::describe::FieldDoc>,
    /// Adds the named types it reaches.
    pub collect: fn(&mut Types),
    /// Whether a JSON value decodes as it (for tests of the examples).
    pub decodes: fn(Value) -> Result<(), String>,
}

impl TypeRow {
    const fn of<T: Describe + DeserializeOwned>() -> TypeRow {
        TypeRow {
            label: T::label,
            schema: T::schema,
            example: T::example,
            fields: T::fields,
            collect: T::collect,
            decodes: |value| serde_json::from_value::<T>(value).map(drop).map_err(|error| error.to_string()),
        }
    }
}

/// Errors that every method can answer with.
pub const COMMON_ERRORS: &[ErrorKind] = &[
    MalformedJson,
    InvalidRequest,
    Forbidden,
    UnknownMethod,
    InvalidParams,
    BodyTooLarge,
    ResponseTooLarge,
    BatchTooLarge,
    RateLimited,
    TooManyConnections,
    BadEncoding,
    Overloaded,
    Timeout,
    Internal,
];

/// Errors of a submitted payment.
const PAYMENT_ERRORS: &[ErrorKind] = &[
    WrongNetwork,
    BadSignature,
    WeakKey,
    SeqUsed,
    SeqTooLow,
    SeqConflict,
    SeqTooHigh,
    AmountZero,
    InsufficientFunds,
    SelfPayment,
    MemoTooLong,
    UnknownAccount,
    ShardUnavailable,
    Expired,
    SlotVoid,
];

/// Errors of a query for an account.
const ACCOUNT_ERRORS: &[ErrorKind] = &[BadAddress, WrongPrefix, UnknownAccount, ShardUnavailable];

/// Hands the rows to a macro: first those the back end answers, then those the server answers itself.
macro_rules! for_each_method {
    ($callback:path) => {
        $callback! {
            backend {
                "smt_submitTransaction", SubmitTransaction, submit_transaction,
                    schema::SubmitTransaction => schema::Submitted,
                    Write, 10, None, PAYMENT_ERRORS,
                    "Takes a signed payment and answers when it has reached the wanted stage. Any endpoint takes payments \
                     of every shard. The same bytes again are always safe: the answer is the stage the payment has reached.";
                "smt_submitTransactions", SubmitTransactions, submit_transactions,
                    schema::SubmitTransactions => schema::SubmittedAll,
                    Write, 10, Some("payments"), PAYMENT_ERRORS,
                    "Takes many signed payments at once and answers with one outcome for each.";
                "smt_getAccount", GetAccount, get_account,
                    schema::ByAddress => schema::Account,
                    Read, 1, None, ACCOUNT_ERRORS,
                    "An account: what it can spend, its next seq, what is on its way to it, and what the newest cut says.";
                "smt_getAccountHistory", GetAccountHistory, get_account_history,
                    schema::AccountHistory => schema::History,
                    Read, 5, None, ACCOUNT_ERRORS,
                    "Payments of an account, newest first, by pages.";
                "smt_getTransaction", GetTransaction, get_transaction,
                    schema::ById => schema::Transaction,
                    Read, 1, None, &[UnknownTransaction, ShardUnavailable],
                    "A payment and how far it has come.";
                "smt_getTransactions", GetTransactions, get_transactions,
                    schema::ByIds => schema::Transactions,
                    Read, 1, Some("ids"), &[ShardUnavailable],
                    "Many payments and how far they have come, as far as the shard of the node asked knows: nothing is asked \
                     of other shards, so ask a replica of the payers' shard.";
                "smt_getReceipt", GetReceipt, get_receipt,
                    schema::ById => schema::ReceiptReply,
                    Read, 2, None, &[UnknownTransaction, NotYet, SlotVoid, ShardUnavailable],
                    "The receipt of a final payment. It verifies offline against the genesis committee.";
                "smt_getProof", GetProof, get_proof,
                    schema::ByAddress => schema::Proof,
                    Read, 5, None, &[BadAddress, WrongPrefix, NotYet, ShardUnavailable],
                    "The path of an account to the newest certified header of its shard: presence, or absence for an \
                     address never paid.";
                "smt_getSnapshot", GetSnapshot, get_snapshot,
                    schema::SnapshotQuery => schema::Snapshot,
                    Read, 2, None, &[UnknownShard, NotYet, NotAvailable, ShardUnavailable],
                    "A shard's certified header of one epoch.";
                "smt_getGlobalCut", GetGlobalCut, get_global_cut,
                    schema::Empty => schema::GlobalCut,
                    Read, 5, None, &[NotYet],
                    "The newest valid global cut: its root, its headers, and that no money appeared or vanished.";
                "smt_getEvidence", GetEvidence, get_evidence,
                    schema::Empty => schema::Evidence,
                    Read, 5, None, &[],
                    "Proofs of misbehaviour this node holds.";
                "smt_getPeers", GetPeers, get_peers,
                    schema::Empty => schema::Peers,
                    Read, 1, None, &[],
                    "Peers of this node.";
                "smt_faucet", CallFaucet, faucet,
                    schema::Faucet => schema::Submitted,
                    Write, 50, None, &[BadAddress, WrongPrefix, FaucetLimit, NotAvailable, AmountZero, InsufficientFunds,
                                       SelfPayment, ShardUnavailable, Expired],
                    "Pays an address from a funded genesis account; never mints.";
                "smt_nodeInfo", GetNodeInfo, node_info,
                    schema::Empty => schema::NodeInfo,
                    Read, 1, None, &[],
                    "The network, this node's place in it, and whether it is ready.";
                "smt_getCounters", GetCounters, get_counters,
                    schema::Empty => schema::Counters,
                    Read, 1, None, &[ShardUnavailable],
                    "Totals and gauges of this node, for load tests and monitoring.";
                "smt_getGenesis", GetGenesis, get_genesis,
                    schema::Empty => schema::GenesisReply,
                    Read, 5, None, &[],
                    "What the network started from: committees with their keys, supply, and the genesis file.";
            }
            server {
                "smt_subscribe", CallSubscribe,
                    schema::Subscribe => schema::Subscribed,
                    Read, 5, true, &[NotAvailable, TooManySubscriptions, BadAddress, WrongPrefix, UnknownAccount,
                                     UnknownTransaction],
                    "Starts a stream of `smt_subscription` notifications. WebSocket only.";
                "smt_unsubscribe", CallUnsubscribe,
                    schema::Unsubscribe => schema::Unsubscribed,
                    Read, 1, true, &[NotAvailable],
                    "Ends a stream.";
                "rpc.discover", Discover,
                    schema::Empty => super::openrpc::Document,
                    Read, 10, false, &[],
                    "This interface as an OpenRPC document; also at `GET /openrpc.json`.";
            }
        }
    };
}
pub(crate) use for_each_method;

macro_rules! define {
    (
        backend {
            $($name:literal, $def:ident, $call:ident, $params:ty => $reply:ty,
              $permission:ident, $cost:literal, $per_item:expr, $errors:expr, $summary:literal;)*
        }
        server {
            $($sname:literal, $sdef:ident, $sparams:ty => $sreply:ty,
              $spermission:ident, $scost:literal, $websocket:literal, $serrors:expr, $ssummary:literal;)*
        }
    ) => {
        $(
            #[doc = concat!("`", $name, "`")]
            #[derive(Clone, Copy, Debug)]
            pub struct $def;
            impl MethodDef for $def {
                const NAME: &'static str = $name;
                type Params = $params;
                type Reply = $reply;
            }
        )*
        $(
            #[doc = concat!("`", $sname, "`")]
            #[derive(Clone, Copy, Debug)]
            pub struct $sdef;
            impl MethodDef for $sdef {
                const NAME: &'static str = $sname;
                type Params = $sparams;
                type Reply = $sreply;
            }
        )*

        /// The table, in the order of the documents.
        pub static METHODS: &[MethodRow] = &[
            $(MethodRow {
                name: $name,
                summary: $summary,
                permission: Permission::$permission,
                cost: $cost,
                cost_per_item: $per_item,
                websocket_only: false,
                errors: $errors,
                params: TypeRow::of::<$params>(),
                reply: TypeRow::of::<$reply>(),
            },)*
            $(MethodRow {
                name: $sname,
                summary: $ssummary,
                permission: Permission::$spermission,
                cost: $scost,
                cost_per_item: None,
                websocket_only: $websocket,
                errors: $serrors,
                params: TypeRow::of::<$sparams>(),
                reply: TypeRow::of::<$sreply>(),
            },)*
        ];
    };
}
for_each_method!(define);

/// The row of a method name.
#[must_use]
pub fn find(name: &str) -> Option<&'static MethodRow> {
    METHODS.iter().find(|row| row.name == name)
}

impl MethodRow {
    /// What a call with these parameters, JSON text, costs.
    #[must_use]
    pub fn cost_of(&self, params: &str) -> u32 {
        let items = self.cost_per_item.map_or(1, |field| items(params, field));
        self.cost.saturating_mul(items.max(1))
    }
}

/// Items of the array `field` of the object `params`; 0 where there is none.
fn items(params: &str, field: &str) -> u32 {
    struct Count(u32);
    impl<'de> Deserialize<'de> for Count {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Counting;
            impl<'de> Visitor<'de> for Counting {
                type Value = Count;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an array")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
                    let mut count = 0u32;
                    while items.next_element::<IgnoredAny>()?.is_some() {
                        count = count.saturating_add(1);
                    }
                    Ok(Count(count))
                }
            }
            deserializer.deserialize_seq(Counting)
        }
    }
    let fields = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(params).unwrap_or_default();
    let list = fields.get(field).and_then(|list| serde_json::from_str::<Count>(list.get()).ok());
    list.map_or(0, |count| count.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_found() {
        let names: BTreeSet<_> = METHODS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), METHODS.len());
        for row in METHODS {
            assert_eq!(find(row.name).unwrap().summary, row.summary);
        }
        assert!(find("smt_nothing").is_none());
    }

    #[test]
    fn every_example_decodes_as_its_type() {
        for row in METHODS {
            (row.params.decodes)((row.params.example)()).unwrap();
            (row.reply.decodes)((row.reply.example)()).unwrap();
        }
    }

    #[test]
    fn every_error_kind_is_reachable_from_some_method() {
        let mut seen: BTreeSet<_> = COMMON_ERRORS.iter().copied().collect();
        seen.extend(METHODS.iter().flat_map(|row| row.errors.iter().copied()));
        let all: BTreeSet<_> = ErrorKind::ALL.iter().copied().collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn many_payments_cost_as_many_calls() {
        let row = find("smt_submitTransactions").unwrap();
        assert_eq!(row.cost_of(r#"{"payments": ["00", "01", "02"]}"#), 30);
        assert_eq!(row.cost_of(r#"{"payments": "x"}"#), 10);
        assert_eq!(row.cost_of("[]"), 10);
    }
}
