//! A node reached over JSON-RPC.

use super::endpoint::{CallError, Endpoint};
use crate::rpc::schema::{
    Account, AccountHistory, ByAddress, ById, Empty, GenesisReply, History, NodeInfo, SubmitTransaction, Submitted,
    TIMEOUT_MS_MAX, WaitFor,
};
use crate::rpc::table::{self, MethodDef};
use crate::rpc::wire::{Hex32, HexBytes};
use crate::rpc::{Client, ClientError};
use smt_types::{Canonical, PaymentId, SignedPayment};
use std::time::Duration;

/// A node reached over JSON-RPC.
#[derive(Clone, Debug)]
pub struct Remote {
    client: Client,
}

impl Remote {
    /// The node at `url`. Connects at the first call.
    #[must_use]
    pub fn new(url: &str) -> Remote {
        Remote { client: Client::new(url) }
    }

    fn call<M: MethodDef>(&self, params: &M::Params) -> Result<M::Reply, CallError> {
        self.client.call::<M>(params).map_err(|error| match error {
            ClientError::Rpc(error) => CallError::Rpc(error),
            ClientError::Transport { url, source } => CallError::Transport(format!("no answer from {url}: {source}")),
            other => CallError::Protocol(other.to_string()),
        })
    }
}

impl Endpoint for Remote {
    fn node_info(&self) -> Result<NodeInfo, CallError> {
        self.call::<table::GetNodeInfo>(&Empty {})
    }

    fn genesis(&self) -> Result<GenesisReply, CallError> {
        self.call::<table::GetGenesis>(&Empty {})
    }

    fn account(&self, address: &str) -> Result<Account, CallError> {
        self.call::<table::GetAccount>(&ByAddress { address: address.into() })
    }

    fn history(&self, address: &str, before: Option<String>, limit: u32) -> Result<History, CallError> {
        self.call::<table::GetAccountHistory>(&AccountHistory { address: address.into(), before, limit: Some(limit) })
    }

    fn submit(&self, payment: &SignedPayment, wait: WaitFor, timeout: Duration) -> Result<Submitted, CallError> {
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(TIMEOUT_MS_MAX).clamp(1, TIMEOUT_MS_MAX);
        self.call::<table::SubmitTransaction>(&SubmitTransaction {
            payment: HexBytes(payment.to_bytes()),
            wait: Some(wait),
            timeout_ms: Some(timeout_ms),
        })
    }

    fn receipt(&self, id: PaymentId) -> Result<Vec<u8>, CallError> {
        self.call::<table::GetReceipt>(&ById { id: Hex32(id.0.0) }).map(|reply| reply.receipt.0)
    }
}
