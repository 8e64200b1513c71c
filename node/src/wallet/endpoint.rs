//! What the wallet asks of a node, as a trait: the typed RPC client in the program, a script in the tests.

use crate::rpc::error::RpcError;
use crate::rpc::schema::{Account, GenesisReply, History, NodeInfo, Submitted, WaitFor};
use smt_types::{PaymentId, SignedPayment};
use std::time::Duration;

/// Why a call gave no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No answer: nothing is known of what the call did.
    #[error("{0}")]
    Transport(String),
    /// Something that is no answer: whatever listens there, it is no node of ours.
    #[error("{0}")]
    Protocol(String),
    /// The node's own answer.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

impl CallError {
    /// Whether the same call can succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            CallError::Transport(_) => true,
            CallError::Protocol(_) => false,
            CallError::Rpc(error) => error.retryable,
        }
    }

    /// The stable word for it: the node's own kind, `unreachable` or `not_a_node`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            CallError::Transport(_) => "unreachable",
            CallError::Protocol(_) => "not_a_node",
            CallError::Rpc(error) => error.details.get("kind").map_or(error.kind.word(), String::as_str),
        }
    }
}

/// A node that takes payments and queries. Nothing it says is believed where money is at stake: receipts are verified,
/// and a seq is never given out twice whatever it answers. Every call fails with [`CallError`].
pub trait Endpoint {
    /// `smt_nodeInfo`.
    fn node_info(&self) -> Result<NodeInfo, CallError>;
    /// `smt_getGenesis`.
    fn genesis(&self) -> Result<GenesisReply, CallError>;
    /// `smt_getAccount`; `address` in bech32m.
    fn account(&self, address: &str) -> Result<Account, CallError>;
    /// `smt_getAccountHistory`: at most `limit` entries of the newest page, or of the one at the cursor `before`.
    fn history(&self, address: &str, before: Option<String>, limit: u32) -> Result<History, CallError>;
    /// `smt_submitTransaction`.
    fn submit(&self, payment: &SignedPayment, wait: WaitFor, timeout: Duration) -> Result<Submitted, CallError>;
    /// `smt_getReceipt`: canonical bytes, not yet verified.
    fn receipt(&self, id: PaymentId) -> Result<Vec<u8>, CallError>;
}
