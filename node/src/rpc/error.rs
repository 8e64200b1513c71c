//! Errors of the JSON interface: a JSON-RPC code, a message with values, and the two fields programs act on:
//! `data.kind`, a word that never changes its meaning, and `data.retryable`.
//!
//! Codes are those of JSON-RPC 2.0 where it has one, and of EIP-1474 in the server range: −32000 bad input, −32001 not
//! found, −32002 unavailable, −32003 rejected, −32004 not supported, −32005 limit.

use super::describe::{Describe, TypeDoc, Types, join_doc, reference};
use super::schema::Stage;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $word:literal, $code:literal, $retryable:literal;)*) => {
        /// What went wrong, as a stable word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[doc = $doc])* $variant,)* }

        impl ErrorKind {
            /// All kinds, in table order.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$variant,)*];

            /// The word in `data.kind`.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(ErrorKind::$variant => $word,)* }
            }

            /// The JSON-RPC error code.
            #[must_use]
            pub const fn code(self) -> i32 {
                match self { $(ErrorKind::$variant => $code,)* }
            }

            /// Whether the same request can succeed later without anybody changing it.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(ErrorKind::$variant => $retryable,)* }
            }

            /// What it means and what to do.
            #[must_use]
            pub fn meaning(self) -> String {
                match self { $(ErrorKind::$variant => join_doc(&[$($doc),*]),)* }
            }

            /// The kind of a word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<ErrorKind> {
                match word { $($word => Some(ErrorKind::$variant),)* _ => None }
            }
        }
    };
}

kinds! {
    /// The body is not JSON (or nests deeper than 128 levels).
    MalformedJson = "malformed_json", -32700, false;
    /// JSON, but not a JSON-RPC 2.0 request.
    InvalidRequest = "invalid_request", -32600, false;
    /// The `Host` or `Origin` header is not one this endpoint serves.
    Forbidden = "forbidden", -32600, false;
    /// No such method; `rpc.discover` lists them.
    UnknownMethod = "unknown_method", -32601, false;
    /// A parameter is missing, unknown, of another type or out of range.
    InvalidParams = "invalid_params", -32602, false;
    /// The request is longer than the endpoint takes.
    BodyTooLarge = "body_too_large", -32005, false;
    /// The reply would be longer than the endpoint sends: ask for less.
    ResponseTooLarge = "response_too_large", -32005, false;
    /// More calls in one batch than the endpoint takes.
    BatchTooLarge = "batch_too_large", -32005, false;
    /// Too many calls from this address in too short a time.
    RateLimited = "rate_limited", -32005, true;
    /// The endpoint has as many connections as it takes.
    TooManyConnections = "too_many_connections", -32005, true;
    /// The connection has as many subscriptions as it takes.
    TooManySubscriptions = "too_many_subscriptions", -32005, false;
    /// The payment was signed for another network.
    WrongNetwork = "wrong_network", -32000, false;
    /// Not an address: mistyped (the checksum fails) or of the wrong length.
    BadAddress = "bad_address", -32000, false;
    /// An address of another network: the prefix differs.
    WrongPrefix = "wrong_prefix", -32000, false;
    /// Not hex, or bytes that are not the canonical form of what they should be.
    BadEncoding = "bad_encoding", -32000, false;
    /// The payer's signature does not verify.
    BadSignature = "bad_signature", -32000, false;
    /// The payer's key has small order: anyone could sign for it.
    WeakKey = "weak_key", -32000, false;
    /// Another payment of this payer was applied at this seq; the message names it. (The same payment again is not an
    /// error: the answer is its stage.)
    SeqUsed = "seq_used", -32003, false;
    /// The seq is below the payer's next one and this node no longer knows which payment used it.
    SeqTooLow = "seq_too_low", -32003, false;
    /// Another payment of this payer is locked at this seq and not yet applied; the message names it. Send that one
    /// again, never a second payment at one seq.
    SeqConflict = "seq_conflict", -32003, false;
    /// The seq is further ahead of the payer's next one than the node holds payments for.
    SeqTooHigh = "seq_too_high", -32003, true;
    /// A payment of nothing.
    AmountZero = "amount_zero", -32000, false;
    /// The balance does not cover the amount and did not while the node held the payment. The same bytes may be sent
    /// again once the account is funded.
    InsufficientFunds = "insufficient_funds", -32003, true;
    /// Payer and payee are one account.
    SelfPayment = "self_payment", -32000, false;
    /// The memo is longer than 64 bytes.
    MemoTooLong = "memo_too_long", -32000, false;
    /// Nobody ever paid this address.
    UnknownAccount = "unknown_account", -32001, false;
    /// This node knows no such payment.
    UnknownTransaction = "unknown_transaction", -32001, false;
    /// No such shard in this network.
    UnknownShard = "unknown_shard", -32001, false;
    /// It does not exist yet: a receipt of a payment that is not final, the cut of a future epoch.
    NotYet = "not_yet", -32002, true;
    /// Too few replicas of the shard answer to make a quorum. The payment is kept for a while; sending the same bytes
    /// again is safe.
    ShardUnavailable = "shard_unavailable", -32002, true;
    /// The node has as much waiting work as it takes; the message names the limit.
    Overloaded = "overloaded", -32005, true;
    /// The node gave up on the payment before it was certified. Send the same bytes again.
    Expired = "expired", -32003, true;
    /// The wanted stage was not reached in time; `data.stage` says which was. The payment goes on.
    Timeout = "timeout", -32002, true;
    /// The slot of the payment was voided because its payer signed two payments at that seq.
    SlotVoid = "void", -32003, false;
    /// The faucet does not give that much, or not that often.
    FaucetLimit = "faucet_limit", -32005, true;
    /// This node does not offer that: no faucet here, or a subscription over plain HTTP.
    NotAvailable = "not_available", -32004, false;
    /// A fault of the node. Its log says more under the same words.
    Internal = "internal", -32603, true;
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An error as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({kind})")]
pub struct RpcError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// For people, with the values that matter.
    pub message: String,
    /// Whether the same request can succeed later; the kind's own answer unless the place knows better.
    pub retryable: bool,
    /// The stage a payment has reached, where that is known.
    pub stage: Option<Stage>,
    /// Values for programs, by name.
    pub details: BTreeMap<String, String>,
}

impl RpcError {
    /// An error of `kind`.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> RpcError {
        RpcError { kind, message: message.into(), retryable: kind.retryable(), stage: None, details: BTreeMap::new() }
    }

    /// The same with the stage reached.
    #[must_use]
    pub fn at_stage(mut self, stage: Stage) -> RpcError {
        self.stage = Some(stage);
        self
    }

    /// The same with one more value for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> RpcError {
        self.details.insert(name.to_owned(), value.to_string());
        self
    }

    /// The same with another answer to "may it be retried".
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> RpcError {
        self.retryable = retryable;
        self
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    code: i32,
    message: String,
    data: Option<WireData>,
}

#[derive(Serialize, Deserialize)]
struct WireData {
    kind: String,
    retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<String, String>,
}

impl Serialize for RpcError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire {
            code: self.kind.code(),
            message: self.message.clone(),
            data: Some(WireData {
                kind: self.kind.word().to_owned(),
                retryable: self.retryable,
                stage: self.stage,
                details: self.details.clone(),
            }),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RpcError {
    /// A kind that this version does not know reads as `internal` with the word in `details.kind`; `retryable` and the
    /// message are kept.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let data = wire.data.ok_or_else(|| D::Error::custom(format_args!("error {} has no data", wire.code)))?;
        let known = ErrorKind::from_word(&data.kind);
        let mut details = data.details;
        if known.is_none() {
            details.insert("kind".to_owned(), data.kind);
        }
        Ok(RpcError {
            kind: known.unwrap_or(ErrorKind::Internal),
            message: wire.message,
            retryable: data.retryable,
            stage: data.stage,
            details,
        })
    }
}

impl Describe for RpcError {
    fn label() -> String {
        "Error".into()
    }
    fn schema() -> Value {
        reference("Error")
    }
    fn example() -> Value {
        json!({
            "code": ErrorKind::NotYet.code(),
            "message": "the payment is certified, not yet final",
            "data": { "kind": ErrorKind::NotYet.word(), "retryable": true, "stage": Stage::Certified.word() },
        })
    }
    fn collect(into: &mut Types) {
        let words: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.word()).collect();
        into.entry("Error").or_insert_with(|| TypeDoc {
            doc: "An error object, as in the `error` of a JSON-RPC reply.".into(),
            fields: Vec::new(),
            words: Vec::new(),
            schema: json!({
                "type": "object",
                "description": "An error object, as in the `error` of a JSON-RPC reply.",
                "properties": {
                    "code": { "type": "integer" },
                    "message": { "type": "string", "description": "For people, with the values that matter." },
                    "data": {
                        "type": "object",
                        "properties": {
                            "kind": { "type": "string", "enum": words },
                            "retryable": { "type": "boolean" },
                            "stage": Stage::schema(),
                            "details": { "type": "object", "additionalProperties": { "type": "string" } },
                        },
                        "required": ["kind", "retryable"],
                    },
                },
                "required": ["code", "message", "data"],
            }),
        });
        Stage::collect(into);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn kinds_are_unique_words_with_codes_of_their_range() {
        let words: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), ErrorKind::ALL.len());
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_word(kind.word()), Some(*kind));
            assert!((-32700..=-32000).contains(&kind.code()), "{kind}");
            assert!(!kind.meaning().is_empty());
        }
    }

    #[test]
    fn wire_form_is_stable_and_reads_back() {
        let error =
            RpcError::new(ErrorKind::Timeout, "waited 5000 ms for final").at_stage(Stage::Certified).with("id", 7);
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(
            json,
            json!({"code": -32002, "message": "waited 5000 ms for final",
                   "data": {"kind": "timeout", "retryable": true, "stage": "certified", "details": {"id": "7"}}})
        );
        assert_eq!(serde_json::from_value::<RpcError>(json).unwrap(), error);
    }

    #[test]
    fn kind_of_a_newer_server_keeps_its_word() {
        let json = json!({"code": -32000, "message": "m", "data": {"kind": "novel", "retryable": false}});
        let error: RpcError = serde_json::from_value(json).unwrap();
        assert_eq!((error.kind, error.retryable), (ErrorKind::Internal, false));
        assert_eq!(error.details.get("kind").map(String::as_str), Some("novel"));
    }
}
