//! One member of a network in this process: store, replica, swarm and endpoint, whichever command runs it.
//!
//! [`replica::start::open`](crate::replica::start::open) opens the store before any port is used; [`Member::start`] then
//! brings up the rest, and [`Member::stop`] takes it down in the order that loses nothing.

use crate::replica::ReplicaHandle;
use crate::replica::ingress::Answerer;
use crate::replica::start::{self, Opened, StartError, Started};
use crate::rpc::config::RpcConfig;
use crate::rpc::server::{Listener, Server};
use crate::serve::{FaucetKey, Local, NetworkView, NodeBackend, forward};
use smt_consensus::{Network, Params};
use smt_ledger::{GenesisState, LedgerError};
use smt_types::genesis::GenesisError;
use smt_types::message::NodeId;
use smt_types::{Digest, Genesis};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Full mesh up to this many replicas; above, each speaks to its committee and to its own place in every shard.
const FULL_MESH_MAX: usize = 27;

/// How long requests in progress may take when the member stops.
const LAST_REQUESTS: Duration = Duration::from_millis(500);

/// Why a genesis is no network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// It does not hold together.
    #[error("the genesis is refused")]
    Genesis(#[from] GenesisError),
    /// Its state cannot be built.
    #[error("building the genesis state")]
    State(#[from] LedgerError),
}

/// What every replica of a network computes from its genesis: the network and the genesis hash.
///
/// Cost: about a millisecond a replica, and one hash an account.
///
/// # Errors
/// [`NetworkError`].
pub fn network_of(genesis: &Genesis) -> Result<(Network, Digest), NetworkError> {
    let committees = genesis.check()?;
    let GenesisState { headers, supply, genesis_hash, .. } = GenesisState::build(genesis, &committees)?;
    let network = Network {
        id: genesis.network,
        level: genesis.level,
        committees: committees.into_iter().map(Arc::new).collect(),
        supply,
        genesis_headers: headers,
    };
    Ok((network, Digest(*genesis_hash.as_bytes())))
}

/// The core's parameters in a network with epochs of this length.
#[must_use]
pub fn params(epoch_ms: u32) -> Params {
    let epoch_us = u64::from(epoch_ms).saturating_mul(1000);
    Params { epoch_us, view_timeout_us: (epoch_us / 2).clamp(200_000, 2_000_000), ..Params::default() }
}

/// Whom a replica dials and keeps a connection to, of `all` replicas.
#[must_use]
pub fn partners(node: NodeId, all: &[NodeId]) -> Vec<NodeId> {
    let others = all.iter().copied().filter(|other| *other != node);
    if all.len() <= FULL_MESH_MAX {
        return others.collect();
    }
    // The own place in every shard keeps any shard one step away, and carries the gossip.
    others.filter(|other| other.shard == node.shard || other.replica == node.replica).collect()
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The replica does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The endpoint does not start.
    #[error("starting the endpoint on {0}")]
    Serve(SocketAddr, #[source] std::io::Error),
}

/// What a member serves clients with.
pub struct Front {
    /// The port.
    pub listener: Listener,
    /// Limits.
    pub config: RpcConfig,
    /// The account the replica may pay from.
    pub faucet: Option<FaucetKey>,
}

/// A running member.
pub struct Member {
    handle: Arc<ReplicaHandle>,
    thread: std::thread::JoinHandle<()>,
    server: Server,
}

impl Member {
    /// Starts swarm, core and endpoint of an opened replica. It knows no peers yet: the caller adds them to its swarm.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn start(opened: Opened, view: Arc<NetworkView>, front: Front) -> Result<Member, MemberError> {
        let Front { listener, config, faucet } = front;
        let rpc = listener.local_addr();
        let mut local: Option<Arc<Local>> = None;
        let Started { handle, thread } = start::start(opened, |handle| -> Answerer {
            let made = Arc::new(Local::new(handle.clone(), view, faucet));
            local = Some(made.clone());
            Arc::new(forward::answerer(made))
        })
        .await?;
        let Some(local) = local else { unreachable!("a replica that has started has been given its answerer") };
        let backend = Arc::new(NodeBackend::new(local));
        let server = listener.serve(backend, config).map_err(|error| MemberError::Serve(rpc, error))?;
        Ok(Member { handle, thread, server })
    }

    /// Its replica.
    #[must_use]
    pub fn replica(&self) -> &Arc<ReplicaHandle> {
        &self.handle
    }

    /// Where clients find it.
    #[must_use]
    pub fn rpc(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Stops endpoint, replica and swarm, in this order; the replica's last commit is synced.
    pub async fn stop(self) {
        let Member { handle, thread, server } = self;
        // Requests in progress get a moment; then the core commits and ends, then the network.
        let graceful = server.shutdown(LAST_REQUESTS).await;
        if !graceful {
            tracing::debug!(node = %handle.node(), "requests were cut off");
        }
        handle.stop();
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!(node = %handle.node(), "the replica's thread panicked");
        }
        handle.swarm().shutdown().await;
    }
}
