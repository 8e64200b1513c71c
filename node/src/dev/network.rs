//! A running development network.

use super::shape::{FAUCET_DEFAULT, FAUCET_MAX, Shape};
use super::state::StateDir;
use crate::clock::Clock;
use crate::join::{Places, Records};
use crate::keys::ReplicaSecrets;
use crate::member::{Front, Member, MemberError, NetworkError, network_of, params, partners};
use crate::replica::ReplicaHandle;
use crate::replica::start::{self, Opened, StartError, StartReplica};
use crate::rpc::config::RpcConfig;
use crate::rpc::server::{self, BindError, Listener};
use crate::serve::{FaucetKey, NetworkView};
use crate::store::{StoreContext, StoreError};
use smt_gossip::swarm::{Multiaddr, PeerAddr};
use smt_types::message::NodeId;
use smt_types::{Digest, Genesis};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a replica's store may take to be released after its stop: more than a forwarded request lasts.
const RELEASE: Duration = Duration::from_secs(10);

/// Block cache of all stores together, bytes.
const CACHE_BYTES: usize = 64 << 20;
/// Write buffers of all stores together, bytes.
const WRITE_BUFFER_BYTES: usize = 32 << 20;

/// Ports tried one after another when the wanted one is busy.
const PORTS_TRIED: u16 = 1000;

/// What a development network is started with.
#[derive(Clone, Debug)]
pub struct DevOptions {
    /// Its shape.
    pub shape: Shape,
    /// First port of the endpoints; 0 lets the system choose all.
    pub rpc_port: u16,
    /// Take the next free port when one is busy, rather than refuse.
    pub next_port: bool,
    /// Settings of the endpoints.
    pub rpc: RpcConfig,
}

/// Why a development network does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// A store does not open.
    #[error(transparent)]
    Open(#[from] StartError),
    /// A replica or its endpoint does not start.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The genesis is no network.
    #[error(transparent)]
    Genesis(#[from] NetworkError),
    /// An endpoint's port is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A key is refused by libp2p.
    #[error("making the identity of replica {0}")]
    Identity(NodeId, #[source] smt_gossip::swarm::SpawnError),
    /// A thread ended in a panic.
    #[error("a thread that opened a store panicked")]
    Panicked,
    /// The network did not become ready.
    #[error("the network does not become ready ({0:?} at most): {1}")]
    NotReady(Duration, String),
}

/// A replica's place in the network; its addresses stay when it stops.
struct Place {
    listen: Multiaddr,
    rpc: SocketAddr,
    running: Option<Member>,
}

/// A development network in this process.
pub struct DevNetwork {
    shape: Shape,
    view: Arc<NetworkView>,
    context: StoreContext,
    state: StateDir,
    rpc: RpcConfig,
    members: BTreeMap<NodeId, Place>,
}

impl DevNetwork {
    /// Opens every store, starts every replica, connects them and serves their endpoints.
    ///
    /// # Errors
    /// [`DevError`]; replicas that were started already end with the process.
    pub async fn start(options: DevOptions, state: StateDir) -> Result<DevNetwork, DevError> {
        let clock = Clock::start();
        let shape = options.shape;
        let genesis = Arc::new(shape.genesis());
        let (network, genesis_hash) = network_of(&genesis)?;
        let network = Arc::new(network);
        let mut peers = BTreeMap::new();
        for node in shape.nodes() {
            let secrets = ReplicaSecrets::development(shape.seed, node);
            peers.insert(node, secrets.peer_id().map_err(|source| DevError::Identity(node, source))?);
        }
        let places = Arc::new(Places::new(peers));
        // Replicas of one process are told where the others are.
        let records = Arc::new(Records::new(genesis_hash, network.clone(), true));
        let view = Arc::new(NetworkView { genesis, genesis_hash, network, places, records, clock });
        let mut dev = DevNetwork {
            shape,
            view,
            context: StoreContext::new(CACHE_BYTES, WRITE_BUFFER_BYTES),
            state,
            rpc: options.rpc.clone(),
            members: BTreeMap::new(),
        };
        // Ports first: a busy one should be said before any store is created.
        let listeners = dev.bind_all(options.rpc_port, options.next_port)?;
        let opened = dev.open_all()?;
        for ((node, opened), listener) in opened.into_iter().zip(listeners) {
            dev.launch(node, opened, listener).await?;
        }
        dev.connect_all();
        Ok(dev)
    }

    fn bind_all(&self, first: u16, next: bool) -> Result<Vec<Listener>, DevError> {
        let mut port = first;
        let mut listeners = Vec::new();
        for _ in self.shape.nodes() {
            let mut tried = 0u16;
            let listener = loop {
                let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
                match server::bind(address) {
                    Ok(listener) => break listener,
                    Err(BindError::PortInUse { .. }) if next && first != 0 && tried < PORTS_TRIED => {
                        tried = tried.saturating_add(1);
                        port = port.saturating_add(1);
                    }
                    Err(error) => return Err(error.into()),
                }
            };
            listeners.push(listener);
            if first != 0 {
                port = port.saturating_add(1);
            }
        }
        Ok(listeners)
    }

    fn plan(&self, node: NodeId, listen: Multiaddr) -> StartReplica {
        StartReplica {
            node,
            secrets: ReplicaSecrets::development(self.shape.seed, node),
            dir: self.state.replica(node),
            network: self.view.network.clone(),
            genesis: self.view.genesis.clone(),
            genesis_hash: self.view.genesis_hash,
            params: params(self.shape.epoch_ms),
            listen,
            loopback: true,
            places: self.view.places.clone(),
            clock: self.view.clock,
        }
    }

    /// Opens all stores side by side: creating one costs a dozen syncs, and they wait for the disk, not for the CPU.
    fn open_all(&self) -> Result<Vec<(NodeId, Opened)>, DevError> {
        let nodes = self.shape.nodes();
        std::thread::scope(|scope| {
            let threads: Vec<_> = nodes
                .iter()
                .map(|node| {
                    let (plan, context) = (self.plan(*node, any_port()), &self.context);
                    (*node, scope.spawn(move || start::open(plan, context)))
                })
                .collect();
            let joined = threads.into_iter().map(|(node, thread)| match thread.join() {
                Ok(opened) => Ok((node, opened?)),
                Err(_) => Err(DevError::Panicked),
            });
            joined.collect()
        })
    }

    async fn launch(&mut self, node: NodeId, opened: Opened, listener: Listener) -> Result<(), DevError> {
        let faucet =
            FaucetKey { key: self.shape.faucet(node).key, amount_default: FAUCET_DEFAULT, amount_max: FAUCET_MAX };
        let front = Front { listener, config: self.rpc.clone(), faucet: Some(faucet) };
        let member = Member::start(opened, self.view.clone(), front).await?;
        let listen = member.replica().swarm().listen_addr().clone();
        self.members.insert(node, Place { listen, rpc: member.rpc(), running: Some(member) });
        Ok(())
    }

    /// Whom a replica dials.
    fn partners(&self, node: NodeId) -> Vec<NodeId> {
        let all: Vec<NodeId> = self.members.keys().copied().collect();
        partners(node, &all)
    }

    fn connect(&self, node: NodeId) {
        let Some(running) = self.members.get(&node).and_then(|member| member.running.as_ref()) else { return };
        for other in self.partners(node) {
            let (Some(peer), Some(member)) = (self.view.places.peer(other), self.members.get(&other)) else { continue };
            running.replica().swarm().add_peer(PeerAddr { peer, addr: member.listen.clone() });
        }
    }

    fn connect_all(&self) {
        for node in self.members.keys() {
            self.connect(*node);
        }
    }

    /// Waits until every running replica that may vote votes and sees its whole running committee and gossip partners. A
    /// replica that has stopped voting for good is a follower: its shard takes payments while a quorum of the others votes.
    ///
    /// # Errors
    /// [`DevError::NotReady`] after `patience`, or at once when a shard has too few replicas left that may vote.
    pub async fn wait_ready(&self, patience: Duration) -> Result<(), DevError> {
        let deadline = after(patience);
        loop {
            if let Some(reason) = self.hopeless() {
                return Err(DevError::NotReady(patience, reason));
            }
            let waiting = self.members.iter().find_map(|(node, member)| {
                let running = member.running.as_ref()?;
                let status = running.replica().status();
                if let Some(reason) = status.stopped {
                    return Some(format!("replica {node}: {reason}"));
                }
                let connected = running.replica().swarm().connected().len();
                let wanted = self.partners(*node).iter().filter(|other| self.is_running(**other)).count();
                let ready = (status.voting || status.not_voting.is_some()) && connected >= wanted;
                (!ready).then(|| {
                    format!("replica {node} has {connected} of {wanted} connections, votes: {}", status.voting)
                })
            });
            match waiting {
                None => return Ok(()),
                Some(reason) if Instant::now() >= deadline => return Err(DevError::NotReady(patience, reason)),
                Some(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Why a shard can never have a quorum again: too many of its replicas have stopped voting for good.
    fn hopeless(&self) -> Option<String> {
        self.view.network.committees.iter().find_map(|committee| {
            let own = self.members.iter().filter(|(node, _)| node.shard == committee.shard());
            let retired: Vec<String> = own
                .filter_map(|(node, member)| {
                    let reason = member.running.as_ref()?.replica().status().not_voting?;
                    Some(format!("replica {node} does not vote: {reason}"))
                })
                .collect();
            (committee.size().saturating_sub(retired.len()) < committee.quorum()).then(|| retired.join("; "))
        })
    }

    fn is_running(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|member| member.running.is_some())
    }

    /// Stops one replica: its thread, its network and its endpoint. The others go on.
    pub async fn stop_replica(&mut self, node: NodeId) {
        let Some(running) = self.members.get_mut(&node).and_then(|member| member.running.take()) else { return };
        running.stop().await;
    }

    /// Starts a stopped replica again, from its store, at its old addresses.
    ///
    /// # Errors
    /// [`DevError`].
    pub async fn start_replica(&mut self, node: NodeId) -> Result<(), DevError> {
        let Some(member) = self.members.get(&node).filter(|member| member.running.is_none()) else { return Ok(()) };
        let (listen, rpc) = (member.listen.clone(), member.rpc);
        let context = self.context.clone();
        let started = Instant::now();
        let opened = loop {
            let plan = self.plan(node, listen.clone());
            match tokio::task::block_in_place(|| start::open(plan, &context)) {
                // A request that the stop cut off may hold the store until it notices.
                Err(StartError::Store { source: StoreError::Locked { pid, .. }, .. })
                    if pid == Some(std::process::id()) && started.elapsed() < RELEASE =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                result => break result?,
            }
        };
        let listener = server::bind(rpc)?;
        self.launch(node, opened, listener).await?;
        self.connect(node);
        Ok(())
    }

    /// Stops everything; at most a few seconds.
    pub async fn stop(mut self) {
        let running: Vec<Member> = self.members.values_mut().filter_map(|member| member.running.take()).collect();
        futures::future::join_all(running.into_iter().map(Member::stop)).await;
        self.state.clean();
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The genesis hash.
    #[must_use]
    pub fn genesis_hash(&self) -> Digest {
        self.view.genesis_hash
    }

    /// The genesis file.
    #[must_use]
    pub fn genesis(&self) -> &Arc<Genesis> {
        &self.view.genesis
    }

    /// Where the state is kept.
    #[must_use]
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// Endpoint of every replica, in shard and replica order.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(NodeId, SocketAddr)> {
        self.members.iter().map(|(node, member)| (*node, member.rpc)).collect()
    }

    /// A running replica.
    #[must_use]
    pub fn replica(&self, node: NodeId) -> Option<&Arc<ReplicaHandle>> {
        self.members.get(&node)?.running.as_ref().map(Member::replica)
    }

    /// The first replica that has stopped by itself, and why.
    #[must_use]
    pub fn failure(&self) -> Option<(NodeId, String)> {
        self.members.iter().find_map(|(node, member)| {
            let stopped = member.running.as_ref()?.replica().status().stopped?;
            Some((*node, stopped))
        })
    }
}

/// The instant in `wait` from now.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    // Only a wait of centuries does not fit.
    now.checked_add(wait).unwrap_or(now)
}

fn any_port() -> Multiaddr {
    static ANY: OnceLock<Multiaddr> = OnceLock::new();
    ANY.get_or_init(|| "/ip4/127.0.0.1/tcp/0".parse().unwrap_or_else(|_| Multiaddr::empty())).clone()
}
