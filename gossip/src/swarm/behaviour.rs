//! libp2p put together, with the reason for every setting that differs from the default.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    core::{Transport as _, muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    gossipsub,
    multiaddr::Protocol,
    noise, ping, request_response,
    swarm::{self, Executor, NetworkBehaviour},
    tcp, yamux,
};
use tokio::sync::Notify;

use super::{
    codec::{Codec, Reading},
    config::{SpawnError, SwarmConfig, TOPICS_MAX},
    door::{
        gate::Gated,
        upgrade::{Door, Hello},
    },
    frames::{self, Parts},
    handle::Shared,
    inbox::Delivery,
};

type TopicFilter = gossipsub::MaxCountSubscriptionFilter<gossipsub::WhitelistSubscriptionFilter>;
type Gossip = gossipsub::Behaviour<gossipsub::IdentityTransform, TopicFilter>;

/// Streams that the other end has finished with and we have not.
const STREAMS_SPARE: usize = 4;
/// Streams of a guest, of which only pings need two: each may hold 256 KiB that nobody reads.
const GUEST_STREAMS_MAX: usize = 4;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(1);

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) ping: ping::Behaviour,
    /// Last: see the documentation of [`frames::Behaviour`].
    pub(crate) talk: Gated<Talk>,
}

/// What members alone may say.
#[derive(NetworkBehaviour)]
pub(crate) struct Talk {
    pub(crate) exchange: request_response::Behaviour<Codec>,
    pub(crate) gossip: Gossip,
    pub(crate) frames: frames::Behaviour,
}

/// Runs connection tasks on the ambient runtime and tells when one has panicked: libp2p itself would keep such a connection as established
/// for ever, since the task that should report its end is gone.
struct Watched(Arc<Notify>);

impl Executor for Watched {
    fn exec(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let panicked = Arc::clone(&self.0);
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                panicked.notify_one();
            }
        });
    }
}

/// A swarm that listens nowhere yet. `panicked` is notified when a connection task dies; messages come from `shared` and go to `delivery`.
pub(crate) fn build(
    config: &SwarmConfig,
    panicked: Arc<Notify>,
    shared: &Arc<Shared>,
    delivery: &Delivery,
) -> Result<Swarm<Behaviour>, SpawnError> {
    let streams = streams_max(config);
    let settings = swarm::Config::with_executor(Watched(panicked))
        // Default 10 s: peers of a quiet network would hang up and dial again without end.
        .with_idle_connection_timeout(Duration::from_secs(24 * 3_600))
        // Default 128, each with buffers of its own, and only strangers who never say which protocol they want need that many.
        .with_max_negotiating_inbound_streams(32)
        // A stream that offers one protocol names it with its first bytes and does not wait for the answer: one round trip less per question.
        .with_substream_upgrade_protocol_override(Version::V1Lazy);
    let peer = config.keypair.public().to_peer_id();
    let transport = transport(config, streams, shared)?;
    Ok(Swarm::new(transport, behaviour(config, streams, shared, delivery)?, peer, settings))
}

/// TCP, Noise, the door, Yamux.
pub(crate) fn transport(
    config: &SwarmConfig,
    streams: usize,
    shared: &Arc<Shared>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, SpawnError> {
    let noise =
        noise::Config::new(&config.keypair).map_err(|e| SpawnError::Config { reason: format!("noise: {e}") })?;
    let mut mux = yamux::Config::default();
    // Default 512: a peer may fill a window of 256 KiB on each of its streams before we read a byte of it.
    mux.set_max_num_streams(streams.saturating_mul(2).saturating_add(16));
    let mut mux_guest = yamux::Config::default();
    mux_guest.set_max_num_streams(GUEST_STREAMS_MAX);
    let door = Arc::new(Door {
        tag: config.network,
        admission: Arc::clone(&config.admission),
        shared: Arc::clone(shared),
        mux,
        mux_guest,
    });
    // Nagle's algorithm would hold a vote back for the acknowledgement of the one before it, up to 40 ms.
    Ok(tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex_ext(move |peer, point| Hello::new(Arc::clone(&door), peer, point))
        .timeout(HANDSHAKE_TIMEOUT)
        .boxed())
}

/// Streams of questions per connection, both directions together.
fn streams_max(config: &SwarmConfig) -> usize {
    let ours = config.limits.requests_per_peer_max;
    ours.saturating_mul(2).saturating_add(STREAMS_SPARE)
}

fn behaviour(
    config: &SwarmConfig,
    streams: usize,
    shared: &Arc<Shared>,
    delivery: &Delivery,
) -> Result<Behaviour, SpawnError> {
    let reading = Reading::new(config.limits.reading_bytes_max);
    let name = |suffix: &str| {
        StreamProtocol::try_from_owned(format!("{}/{suffix}", config.network.prefix()))
            .map_err(|e| SpawnError::Config { reason: format!("protocol `{suffix}`: {e}") })
    };
    let exchange = request_response::Behaviour::with_codec(
        Codec::new(reading.clone()),
        [(name("exchange")?, request_response::ProtocolSupport::Full)],
        request_response::Config::default()
            .with_request_timeout(config.limits.stream_timeout)
            .with_max_concurrent_streams(streams),
    );
    let ping = ping::Config::new()
        .with_interval(Duration::from_secs(15))
        // Longer than a machine busy proving leaves a task waiting: a false alarm costs a connection.
        .with_timeout(Duration::from_secs(20));
    let frames = frames::Behaviour::new(Parts {
        protocol: name("frames")?,
        shared: Arc::clone(shared),
        delivery: delivery.clone(),
        reading,
    });
    let talk = Talk { exchange, gossip: gossip(config)?, frames };
    let guests_max = usize::try_from(config.limits.strangers_max).unwrap_or(usize::MAX);
    let talk = Gated::new(talk, Arc::clone(shared), Arc::clone(&config.admission), guests_max);
    Ok(Behaviour { ping: ping::Behaviour::new(ping), talk })
}

fn gossip(config: &SwarmConfig) -> Result<Gossip, SpawnError> {
    if config.topics.len() > TOPICS_MAX {
        return Err(SpawnError::TooManyTopics { got: config.topics.len(), max: TOPICS_MAX });
    }
    let refused = |reason: String| SpawnError::Config { reason: format!("gossip: {reason}") };
    let settings = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("{}/gossip", config.network.prefix()))
        // Default 5 s: no mesh, and so no forwarding, in the first five seconds of a development network that should be up by then.
        .heartbeat_initial_delay(if config.loopback { Duration::from_millis(150) } else { HEARTBEAT })
        .heartbeat_interval(HEARTBEAT)
        // A message can be accepted as long as it is in the history: 15 s for the application to judge it, default 5.
        .history_length(15)
        .history_gossip(3)
        // Payloads authenticate themselves; a signature of the publisher would cost a check per hop and say nothing.
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        // Off by default: bytes would be passed on before anyone has judged them.
        .validate_messages()
        // Default is source and sequence number, so the same header from two replicas would travel twice. The topic is part of it, since
        // equal bytes on two topics are two messages.
        .message_id_fn(message_id)
        .max_transmit_size(64 << 10)
        // Default 6 (5 to 12): meant for thousands of strangers. Among 27 known peers four carry every message for 40 % less CPU, and what a
        // mesh misses is fetched by the lazy gossip around it. Publishing to all neighbours (flood, the default) stays on: with it off, 27 swarms
        // right after their start missed messages.
        .mesh_n(4)
        .mesh_n_low(3)
        .mesh_n_high(8)
        .mesh_outbound_min(1)
        // Default 5,000 per connection: with 64 KiB messages a stopped peer could hold 320 MB.
        .connection_handler_queue_len(256)
        .build()
        .map_err(|e| refused(e.to_string()))?;
    let topics: Vec<gossipsub::IdentTopic> = config.topics.iter().map(gossipsub::IdentTopic::new).collect();
    // Subscriptions to topics that are not ours are not even noted, so peers cannot fill our tables with them.
    let filter = gossipsub::MaxCountSubscriptionFilter {
        filter: gossipsub::WhitelistSubscriptionFilter(topics.iter().map(|t| t.hash()).collect()),
        max_subscribed_topics: TOPICS_MAX,
        max_subscriptions_per_request: TOPICS_MAX,
    };
    let mut gossip = Gossip::new_with_subscription_filter(gossipsub::MessageAuthenticity::Anonymous, settings, filter)
        .map_err(|e| refused(e.to_owned()))?;
    gossip.with_peer_score(scores(&topics), gossipsub::PeerScoreThresholds::default()).map_err(refused)?;
    for topic in &topics {
        gossip.subscribe(topic).map_err(|e| refused(format!("topic {topic}: {e}")))?;
    }
    Ok(gossip)
}

/// Scoring for few messages from known peers: only what an honest peer never does costs.
fn scores(topics: &[gossipsub::IdentTopic]) -> gossipsub::PeerScoreParams {
    let topic = gossipsub::TopicScoreParams {
        topic_weight: 1.0,
        // Up to 3 points after five minutes, 20 for bringing news first: never enough to outweigh two invalid messages.
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 300.0,
        first_message_deliveries_weight: 0.5,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 40.0,
        // The mesh delivery penalties expect a steady flow. On a topic with one message an epoch they would punish every honest peer.
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // Grows with the square: the second rejected message within a minute makes the peer unheard for a while.
        invalid_message_deliveries_weight: -30.0,
        invalid_message_deliveries_decay: 0.97,
        ..gossipsub::TopicScoreParams::default()
    };
    gossipsub::PeerScoreParams {
        topics: topics.iter().map(|name| (name.hash(), topic.clone())).collect::<HashMap<_, _>>(),
        topic_score_cap: 50.0,
        // Default −5 · surplus² for more than 10 peers on one address: meant against one attacker with many names, which the door keeps out.
        // With 15 replicas on one machine everybody would be below the graylist threshold.
        ip_colocation_factor_weight: 0.0,
        // Broken promises happen to honest peers on a busy machine; only a habit counts.
        behaviour_penalty_threshold: 6.0,
        ..gossipsub::PeerScoreParams::default()
    }
}

fn message_id(message: &gossipsub::Message) -> gossipsub::MessageId {
    let mut hasher = blake3::Hasher::new_derive_key("smt-node 2026 gossip message id v1");
    let topic = message.topic.as_str().as_bytes();
    // Length first, or the end of a topic could pass for the beginning of a body.
    hasher.update(&u64::try_from(topic.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(topic);
    hasher.update(&message.data);
    gossipsub::MessageId::from(hasher.finalize().as_bytes().to_vec())
}

/// Refuses a port that somebody listens on already. libp2p sets SO_REUSEPORT on its listeners, so two nodes with one configuration would both
/// start, share the port, and each get a random half of the connections; a plain socket is told the truth.
pub(crate) fn check_port_free(addr: &Multiaddr) -> Result<(), SpawnError> {
    let mut parts = addr.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    let Some(Protocol::Tcp(port @ 1..)) = parts.next() else {
        return Ok(());
    };
    match TcpListener::bind(SocketAddr::new(ip, port)) {
        Ok(_) => Ok(()),
        Err(source) => Err(listen_error(addr, source)),
    }
}

/// The typed error for a failed listen.
pub(crate) fn listen_error(addr: &Multiaddr, source: std::io::Error) -> SpawnError {
    let addr = addr.clone();
    if source.kind() == std::io::ErrorKind::AddrInUse {
        SpawnError::PortInUse { addr }
    } else {
        SpawnError::Listen { addr, source }
    }
}
