//! Requests that travel between replicas: the interface's own JSON over libp2p request-response.

use super::local::Local;
use crate::rpc::error::{ErrorKind, RpcError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use smt_gossip::swarm::{Bytes, ReplySlot, RequestError};
use smt_types::message::NodeId;
use smt_types::{ReplicaIndex, ShardAddress};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::debug;

/// A request of a client that another replica could not answer itself.
pub struct Forwarded {
    /// [`Call`] as JSON.
    pub body: Bytes,
    /// Where the answer goes.
    pub reply: ReplySlot,
}

/// A forwarded call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) params: Box<RawValue>,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Result(Box<RawValue>),
    Error(RpcError),
}

/// What replicas alone ask each other: a page of address records.
pub(crate) const ADDRESSES: &str = "addresses";

/// How long the way there and back may take beyond the call's own time.
const MARGIN: Duration = Duration::from_secs(2);

/// How long a request that found no turn waits for the next try.
const TURN: Duration = Duration::from_millis(5);

/// Requests answered for other replicas at one time; more are refused as overloaded.
const ANSWERS_MAX: usize = 4096;

impl Local {
    /// Asks the replicas of `shard`, one after another, until one answers.
    pub(crate) async fn forward<P: Serialize, R: DeserializeOwned>(
        &self,
        shard: ShardAddress,
        method: &str,
        params: &P,
        patience: Duration,
    ) -> Result<R, RpcError> {
        let body = encode(method, params)?;
        let Some(committee) = self.view.network.committee(shard) else {
            return Err(RpcError::new(ErrorKind::UnknownShard, format!("there is no shard {shard}")));
        };
        let size = u8::try_from(committee.size()).unwrap_or(u8::MAX);
        let connected = self.handle.swarm().connected();
        let mut last = None;
        let started = Instant::now();
        for turn in 0..size {
            let replica = ReplicaIndex(self.handle.node().replica.0.wrapping_add(turn).checked_rem(size).unwrap_or(0));
            let Some(peer) = self.view.places.peer(NodeId { shard, replica }) else { continue };
            if !connected.contains(&peer) {
                continue;
            }
            loop {
                match self.handle.swarm().request(peer, body.clone(), patience.saturating_add(MARGIN)).await {
                    Ok(answer) => return decode(&answer),
                    // Many clients at one endpoint: wait for a turn, as long as the client would.
                    Err(RequestError::Busy) if started.elapsed() < patience => tokio::time::sleep(TURN).await,
                    Err(RequestError::Busy) => {
                        let text = format!("too many requests under way to shard {shard}");
                        return Err(RpcError::new(ErrorKind::Overloaded, text));
                    }
                    Err(error) => {
                        last = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        let why = last.unwrap_or_else(|| "none is connected".to_owned());
        Err(RpcError::new(ErrorKind::ShardUnavailable, format!("no replica of shard {shard} answers: {why}")))
    }
}

impl Local {
    /// Asks one other replica, if it is connected.
    pub(crate) async fn ask_replica<P: Serialize, R: DeserializeOwned>(
        &self,
        place: NodeId,
        method: &str,
        params: &P,
        patience: Duration,
    ) -> Result<R, RpcError> {
        let unavailable = |why: String| RpcError::new(ErrorKind::ShardUnavailable, format!("replica {place}: {why}"));
        let peer = self.view.places.peer(place).filter(|peer| self.handle.swarm().connected().contains(peer));
        let peer = peer.ok_or_else(|| unavailable("not connected".to_owned()))?;
        let body = encode(method, params)?;
        let answer = self.handle.swarm().request(peer, body, patience).await;
        decode(&answer.map_err(|error| unavailable(error.to_string()))?)
    }
}

/// A call as it travels.
pub(crate) fn encode<P: Serialize>(method: &str, params: &P) -> Result<Bytes, RpcError> {
    let strange = |error: serde_json::Error| RpcError::new(ErrorKind::Internal, format!("encoding a call: {error}"));
    let call = Call { method: method.to_owned(), params: to_raw_value(params).map_err(strange)? };
    Ok(Bytes::from(serde_json::to_vec(&call).map_err(strange)?))
}

/// What an answer says.
pub(crate) fn decode<R: DeserializeOwned>(answer: &[u8]) -> Result<R, RpcError> {
    let strange =
        |error: serde_json::Error| RpcError::new(ErrorKind::Internal, format!("strange answer of a replica: {error}"));
    match serde_json::from_slice::<Answer>(answer).map_err(strange)? {
        Answer::Result(value) => serde_json::from_str(value.get()).map_err(strange),
        Answer::Error(error) => Err(error),
    }
}

/// Answers forwarded calls from the local replica alone.
pub(crate) fn answerer(local: Arc<Local>) -> impl Fn(Forwarded) + Send + Sync {
    let permits = Arc::new(tokio::sync::Semaphore::new(ANSWERS_MAX));
    move |forwarded: Forwarded| {
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            // Dropping the slot tells the asker at once.
            return;
        };
        let local = local.clone();
        tokio::spawn(async move {
            let answer = match serde_json::from_slice::<Call>(&forwarded.body) {
                Ok(call) => match local.dispatch(call).await {
                    Ok(value) => Answer::Result(value),
                    Err(error) => Answer::Error(error),
                },
                Err(error) => Answer::Error(RpcError::new(ErrorKind::InvalidRequest, error.to_string())),
            };
            let body = serde_json::to_vec(&answer).unwrap_or_default();
            if let Err(error) = forwarded.reply.send(Bytes::from(body)) {
                debug!(%error, "answer not sent");
            }
            drop(permit);
        });
    }
}
