//! What goes over the sockets: calls written and answers read without a JSON value per payment.
//!
//! Calls are put together as text, since hex and digits need no escaping. Notifications of stages are the bulk of what comes back (several
//! ids a payment), so their ids are read straight out of the text; all else goes through serde, into types that keep nothing.

use serde::Deserialize;
use serde::de::IgnoredAny;
use smt_node::rpc::error::ErrorKind;

use super::ids::Prefix;

/// Most payments in one call, as the node allows.
pub const CALL_MAX: usize = smt_node::rpc::schema::PAYMENTS_PER_CALL_MAX;

const HEX: &[u8; 16] = b"0123456789abcdef";
const HEAD: &[u8] = br#"{"jsonrpc":"2.0","method":"smt_submitTransactions","params":{"wait":"received","timeout_ms":10000,"payments":["#;

/// One `smt_submitTransactions`, written as payments are added.
#[derive(Debug)]
pub struct CallText(Vec<u8>);

impl CallText {
    /// A call that will carry about `payments` payments.
    pub fn new(payments: usize) -> CallText {
        let mut text = Vec::with_capacity(payments.saturating_mul(330).saturating_add(160));
        text.extend_from_slice(HEAD);
        CallText(text)
    }

    /// Adds a payment's canonical bytes.
    pub fn push(&mut self, payment: &[u8]) {
        if self.0.last() != Some(&b'[') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        for byte in payment {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            self.0.extend_from_slice(&[digit(byte >> 4), digit(byte & 0x0f)]);
        }
        self.0.push(b'"');
    }

    /// The call under its number.
    pub fn finish(mut self, id: u64) -> String {
        self.0.extend_from_slice(format!(r#"]}},"id":{id}}}"#).as_bytes());
        String::from_utf8(self.0).unwrap_or_default()
    }
}

/// The subscription to stages.
pub fn subscribe(stages: &[Stage], id: u64) -> String {
    let names: Vec<_> = stages.iter().map(|stage| format!("\"{}\"", stage.name())).collect();
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"smt_subscribe","params":{{"topic":"stages","stages":[{}]}}}}"#,
        names.join(",")
    )
}

/// A stage that is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A certificate exists.
    Certified,
    /// A quorum has applied it.
    Final,
    /// In an epoch's header.
    Snapshotted,
    /// The payee has it.
    Credited,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Stage; 4] = [Stage::Certified, Stage::Final, Stage::Snapshotted, Stage::Credited];

    /// The node's word.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Certified => "certified",
            Stage::Final => "final",
            Stage::Snapshotted => "snapshotted",
            Stage::Credited => "credited",
        }
    }

    /// One bit per stage.
    pub fn bit(self) -> u8 {
        match self {
            Stage::Certified => 1,
            Stage::Final => 2,
            Stage::Snapshotted => 4,
            Stage::Credited => 8,
        }
    }

    /// Of the node's word.
    pub fn named(word: &[u8]) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.name().as_bytes() == word)
    }
}

/// Why a payment or a whole call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error's kind.
    pub kind: &'static str,
    /// Whether the same bytes may be sent again.
    pub retryable: bool,
}

/// What a submission socket delivers.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// One outcome per payment: `None` is taken.
    Outcomes(Vec<Option<Refused>>),
    /// The call as a whole was refused.
    Refused(Refused),
}

#[derive(Deserialize)]
struct Reply {
    id: Option<u64>,
    result: Option<Outcomes>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    result: Option<IgnoredAny>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    data: Option<WireData>,
}

#[derive(Deserialize)]
struct WireData {
    kind: String,
    retryable: bool,
}

impl WireError {
    fn refused(self) -> Refused {
        match self.data {
            Some(data) => Refused { kind: known(&data.kind), retryable: data.retryable },
            None => Refused { kind: "no_data", retryable: false },
        }
    }
}

fn known(kind: &str) -> &'static str {
    ErrorKind::from_word(kind).map_or("unknown_kind", ErrorKind::word)
}

/// Reads the answer to a call, with the call's number; `None` for anything else.
pub fn answer(text: &str) -> Option<(u64, Answer)> {
    let reply: Reply = serde_json::from_str(text).ok()?;
    let id = reply.id?;
    match (reply.result, reply.error) {
        (Some(result), None) => {
            let refused = |outcome: Outcome| match (outcome.result, outcome.error) {
                (Some(_), _) => None,
                (None, Some(error)) => Some(error.refused()),
                (None, None) => Some(Refused { kind: "no_outcome", retryable: true }),
            };
            Some((id, Answer::Outcomes(result.outcomes.into_iter().map(refused).collect())))
        }
        (_, Some(error)) => Some((id, Answer::Refused(error.refused()))),
        (None, None) => None,
    }
}

/// What a subscription delivers.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// Payments reached a stage.
    Stages(Stage, Vec<Prefix>),
    /// The node ended the subscription.
    Closed(String),
    /// The answer to the subscribe call: done, or refused with this text.
    Subscribed(Result<(), String>),
    /// Nothing that concerns us.
    Other,
}

/// Reads a notification. The ids are taken from between the quotes of the list after `"ids"`; whatever the order of fields, their names
/// cannot occur inside the values here (hex, digits, words).
pub fn notice(text: &str) -> Notice {
    let bytes = text.as_bytes();
    let word = |name: &str| {
        let rest = after(bytes, name.as_bytes())?;
        let rest = rest.strip_prefix(b"\"")?;
        rest.get(..rest.iter().position(|byte| *byte == b'"')?)
    };
    if let Some(list) = after(bytes, br#""ids":"#)
        && let Some(stage) = word(r#""stage":"#).and_then(Stage::named)
    {
        return Notice::Stages(stage, id_list(list));
    }
    if let Some(reason) = word(r#""closed":"#) {
        return Notice::Closed(String::from_utf8_lossy(reason).into_owned());
    }
    if after(bytes, br#""method":"#).is_none() {
        if after(bytes, br#""result":"#).is_some() {
            return Notice::Subscribed(Ok(()));
        }
        if after(bytes, br#""error":"#).is_some() {
            return Notice::Subscribed(Err(text.chars().take(300).collect()));
        }
    }
    Notice::Other
}

fn after<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // The names asked for all begin with a quote, which ids have on both ends only: 66 bytes apart.
    let place = text.windows(name.len()).position(|window| window == name)?;
    text.get(place.saturating_add(name.len())..).map(<[u8]>::trim_ascii_start)
}

fn id_list(list: &[u8]) -> Vec<Prefix> {
    let mut ids = Vec::with_capacity(list.len() / 67);
    let mut rest = list.strip_prefix(b"[").unwrap_or_default();
    loop {
        rest = rest.trim_ascii_start();
        let Some(text) = rest.strip_prefix(b"\"") else { return ids };
        let (Some(id), Some((_, after))) = (Prefix::from_hex(text), text.split_at_checked(65)) else { return ids };
        ids.push(id);
        rest = after.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn calls_are_json_with_the_payments_in_order() {
        let mut call = CallText::new(2);
        call.push(&[0x00, 0xff]);
        call.push(&[0x1a]);
        let value: serde_json::Value = serde_json::from_str(&call.finish(9)).unwrap();
        assert_eq!(value["id"], 9);
        assert_eq!(value["params"]["payments"], serde_json::json!(["00ff", "1a"]));
        let params = value["params"].clone();
        let decoded: smt_node::rpc::schema::SubmitTransactions = serde_json::from_value(params).unwrap();
        assert_eq!(decoded.wait, Some(smt_node::rpc::schema::WaitFor::Received));
        let empty: serde_json::Value = serde_json::from_str(&CallText::new(0).finish(1)).unwrap();
        assert_eq!(empty["params"]["payments"], serde_json::json!([]));
    }

    #[test]
    fn answers_tell_taken_from_refused() {
        let text = r#"{"jsonrpc":"2.0","id":3,"result":{"outcomes":[{"result":{"id":"00","stage":"received","shard":"root"}},
            {"error":{"code":-32005,"message":"full \"now\"","data":{"kind":"overloaded","retryable":true}}},
            {"error":{"code":-32003,"message":"","data":{"kind":"seq_used","retryable":false,"details":{"a":"b"}}}},{}]}}"#;
        let refused = |kind, retryable| Some(Refused { kind, retryable });
        let outcomes = vec![None, refused("overloaded", true), refused("seq_used", false), refused("no_outcome", true)];
        assert_eq!(answer(text), Some((3, Answer::Outcomes(outcomes))));
        let text =
            r#"{"jsonrpc":"2.0","id":4,"error":{"code":-32005,"message":"","data":{"kind":"novel","retryable":true}}}"#;
        assert_eq!(answer(text), Some((4, Answer::Refused(Refused { kind: "unknown_kind", retryable: true }))));
        assert_eq!(answer("{}"), None);
        assert_eq!(answer("no json"), None);
    }

    #[test]
    fn notices_are_read_in_any_order_of_fields() {
        let (a, b) = ("ab".repeat(32), "01".repeat(32));
        let want = Notice::Stages(
            Stage::Final,
            vec![Prefix::from_hex(a.as_bytes()).unwrap(), Prefix::from_hex(b.as_bytes()).unwrap()],
        );
        let first = format!(
            r#"{{"jsonrpc":"2.0","method":"smt_subscription","params":{{"event":{{"epoch":"12","ids":["{a}","{b}"],"stage":"final"}},"subscription":"1","topic":"stages"}}}}"#
        );
        let second = format!(
            r#"{{"jsonrpc":"2.0","method":"smt_subscription","params":{{"subscription":"1","topic":"stages","event":{{"stage":"final","epoch":null,"ids":[ "{a}", "{b}" ]}}}}}}"#
        );
        assert_eq!(notice(&first), want);
        assert_eq!(notice(&second), want);
        let closed = r#"{"method":"smt_subscription","params":{"closed":"slow_reader","subscription":"1"}}"#;
        assert_eq!(notice(closed), Notice::Closed("slow_reader".into()));
        assert_eq!(notice(r#"{"jsonrpc":"2.0","id":1,"result":{"subscription":"1"}}"#), Notice::Subscribed(Ok(())));
        assert!(matches!(notice(r#"{"id":1,"error":{"code":1}}"#), Notice::Subscribed(Err(_))));
    }

    #[test]
    fn damaged_lists_end_early_and_never_panic() {
        for list in ["[", "[\"", "[\"00\"]", "", "[\"zz", "{}"] {
            let text = format!(r#"{{"stage":"final","ids":{list}"#);
            assert_eq!(notice(&text), Notice::Stages(Stage::Final, Vec::new()), "{list}");
        }
    }
}
