//! Opening a store into a running replica.

use super::core::{Core, header_topic};
use super::disk::Disk;
use super::handle::{ReplicaHandle, Status};
use super::hub::Hub;
use super::ingress::{self, Answerer};
use super::verifier::{Replies, Verifier};
use crate::clock::Clock;
use crate::join::{self, Doorkeeper, Places};
use crate::keys::ReplicaSecrets;
use crate::store::{Durability, Store, StoreContext, StoreError};
use smt_consensus::replica::Voting;
use smt_consensus::verify::Gate;
use smt_consensus::{Config, Network, Params, Replica, archive};
use smt_gossip::swarm::{Multiaddr, SpawnError, SwarmConfig, keypair_from_seed};
use smt_ledger::ShardLedger;
use smt_types::message::NodeId;
use smt_types::{CachedChecker, Digest, Genesis};
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Inputs that may wait for the core.
const JOBS_MAX: usize = 1024;

/// News of the door that wait for a reader.
const CONTACTS_MAX: usize = 256;

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store does not open.
    #[error("opening the store of replica {node}")]
    Store {
        /// The replica.
        node: NodeId,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The stored state is not what the stored header commits to.
    #[error("store {dir} is corrupt: the state of replica {node} has root {got}, its header of epoch {epoch} commits to {want}", dir = dir.display())]
    Root {
        /// The replica.
        node: NodeId,
        /// Its directory.
        dir: PathBuf,
        /// The epoch.
        epoch: u64,
        /// Root of the stored accounts.
        got: Digest,
        /// Root in the header.
        want: Digest,
    },
    /// The ledger's records are damaged.
    #[error("the ledger of replica {node} in {dir}", dir = dir.display())]
    Ledger {
        /// The replica.
        node: NodeId,
        /// Its directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: smt_ledger::LedgerError,
    },
    /// The genesis has no such replica.
    #[error("the genesis has no replica {0}")]
    NoSuchReplica(NodeId),
    /// The swarm does not start.
    #[error("starting the network of replica {node}")]
    Swarm {
        /// The replica.
        node: NodeId,
        /// Why.
        #[source]
        source: SpawnError,
    },
    /// A thread does not start.
    #[error("starting a thread for replica {node}")]
    Thread {
        /// The replica.
        node: NodeId,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Clients' requests under way to one other replica; more wait their turn.
const FORWARDED_PER_PEER_MAX: usize = 64;

/// Longest forwarded request: the longest a client may wait, and a margin.
const FORWARDED_PATIENCE: Duration = Duration::from_secs(70);

/// What a replica is started from.
pub struct StartReplica {
    /// Its place.
    pub node: NodeId,
    /// Its secrets.
    pub secrets: ReplicaSecrets,
    /// Where its store is.
    pub dir: PathBuf,
    /// Its network.
    pub network: Arc<Network>,
    /// The genesis file.
    pub genesis: Arc<Genesis>,
    /// The genesis hash: the store's identity.
    pub genesis_hash: Digest,
    /// Parameters of the core.
    pub params: Params,
    /// Where to listen for peers.
    pub listen: Multiaddr,
    /// Peers may sit on this machine's loopback address.
    pub loopback: bool,
    /// Which peer is which replica, as far as it is known.
    pub places: Arc<Places>,
    /// The process's clock.
    pub clock: Clock,
}

/// Everything that is opened before anything is sent: store and core.
pub struct Opened {
    from: StartReplica,
    store: Arc<Store>,
    replica: Replica<ShardLedger>,
}

/// Opens the store and rebuilds the core from it. Blocks; costs one hash per account.
///
/// # Errors
/// [`StartError`].
pub fn open(from: StartReplica, context: &StoreContext) -> Result<Opened, StartError> {
    let node = from.node;
    let mut identity = from.genesis_hash.0.to_vec();
    identity.extend(borsh::to_vec(&node).unwrap_or_default());
    let store_error = |source| StartError::Store { node, source };
    let store = Arc::new(Store::open(&from.dir, context, &identity).map_err(store_error)?);
    let mut disk = Disk::new(store.clone());
    let ledger_error = |source| StartError::Ledger { node, dir: from.dir.clone(), source };
    // A record that cannot be read looks like none, so the disk is asked before anything is made of what was read.
    let readable = |disk: &Disk| disk.failure().map_or(Ok(()), |source| Err(store_error(source)));
    let opened = ShardLedger::open(node.shard, &disk);
    readable(&disk)?;
    let ledger = match opened {
        Ok(ledger) => ledger,
        Err(smt_ledger::LedgerError::Empty) => {
            let (ledger, _) = ShardLedger::genesis(&from.genesis, node.shard).map_err(ledger_error)?;
            disk.push(ledger.writes());
            disk.commit(Durability::Synced).map_err(store_error)?;
            ledger
        }
        Err(source) => return Err(ledger_error(source)),
    };
    let checked = check_root(&from, &ledger, &disk);
    readable(&disk)?;
    checked?;
    let config = Config { node, network: from.network.clone(), params: from.params.clone() };
    let replica = Replica::recover(config, Box::new(from.secrets.clone()), ledger, &disk, from.clock.now())
        .ok_or(StartError::NoSuchReplica(node))?;
    readable(&disk)?;
    Ok(Opened { from, store, replica })
}

fn check_root(from: &StartReplica, ledger: &ShardLedger, disk: &Disk) -> Result<(), StartError> {
    use smt_consensus::Ledger as _;
    let (node, epoch, got) = (from.node, ledger.epoch(), ledger.state_root());
    let header = if epoch.0 == 0 {
        usize::try_from(node.shard.index()).ok().and_then(|i| from.network.genesis_headers.get(i)).map(|h| h.state)
    } else {
        archive::own_header(disk, epoch).map(|stored| stored.header.state)
    };
    let want = header.unwrap_or(Digest::ZERO);
    if got == want { Ok(()) } else { Err(StartError::Root { node, dir: from.dir.clone(), epoch: epoch.0, got, want }) }
}

/// A replica whose thread runs.
pub struct Started {
    /// How to talk to it.
    pub handle: Arc<ReplicaHandle>,
    /// Its thread.
    pub thread: JoinHandle<()>,
}

/// Starts the swarm and the core's thread. `answer` gets requests that other replicas forward.
///
/// # Errors
/// [`StartError`].
pub async fn start(
    opened: Opened,
    answer: impl FnOnce(&Arc<ReplicaHandle>) -> Answerer,
) -> Result<Started, StartError> {
    let Opened { from, store, replica } = opened;
    let node = from.node;
    let keypair =
        keypair_from_seed(&mut from.secrets.identity_seed()).map_err(|source| StartError::Swarm { node, source })?;
    let doorkeeper = Doorkeeper::new(
        node,
        Box::new(from.secrets.clone()),
        from.genesis_hash,
        from.network.clone(),
        from.places.clone(),
    );
    let network = join::tag(from.network.id, from.genesis_hash);
    let topics: Vec<String> = (0..=from.network.level).map(header_topic).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut config = SwarmConfig::loopback(keypair, network, Arc::new(doorkeeper), &topics);
    config.listen = from.listen.clone();
    config.loopback = from.loopback;
    // Forwarded submissions wait for a stage, as long as a client may: many at a time, and longer than any of them.
    config.limits.requests_per_peer_max = FORWARDED_PER_PEER_MAX;
    config.limits.stream_timeout = FORWARDED_PATIENCE;
    let (swarm, events) =
        smt_gossip::swarm::spawn(config).await.map_err(|source| StartError::Swarm { node, source })?;
    let gate = Gate::new(node, from.network.clone(), Arc::new(CachedChecker::default()))
        .ok_or(StartError::NoSuchReplica(node))?;
    let committee = from.network.committee(node.shard).cloned().ok_or(StartError::NoSuchReplica(node))?;
    let (jobs, queue) = sync_channel(JOBS_MAX);
    let hub = Arc::new(Hub::default());
    // A replica that has retired says so from the start, not only when it happens.
    let not_voting = match replica.voting() {
        Voting::No(reason) => {
            tracing::error!(%node, %reason, "does not vote");
            Some(reason.clone())
        }
        _ => None,
    };
    let status = Arc::new(Mutex::new(Status { epoch: replica.decided().0, not_voting, ..Status::default() }));
    let verifier = Verifier::start(node, gate.clone(), jobs.clone(), from.params.hold_max)
        .map_err(|source| StartError::Thread { node, source })?;
    let handle = Arc::new(ReplicaHandle {
        node,
        jobs,
        swarm: swarm.clone(),
        store: store.clone(),
        gate,
        verifier,
        hub: hub.clone(),
        status: status.clone(),
        contacts: tokio::sync::broadcast::channel(CONTACTS_MAX).0,
    });
    let core = Core {
        replica,
        disk: Disk::new(store),
        jobs: queue,
        swarm,
        places: from.places.clone(),
        committee,
        hub,
        clock: from.clock,
        status,
        replies: Replies::default(),
        room: handle.verifier.room(),
        questions: Vec::new(),
    };
    let thread = std::thread::Builder::new()
        .name(format!("core {node}"))
        .spawn(move || core.run())
        .map_err(|source| StartError::Thread { node, source })?;
    let answerer = answer(&handle);
    tokio::spawn(ingress::run(handle.clone(), events, from.places, answerer));
    Ok(Started { handle, thread })
}
