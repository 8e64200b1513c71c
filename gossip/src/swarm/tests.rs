//! Whole swarms on the loopback address. Every wait is for a state; the time limits only end a test that has failed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    behaviour::Behaviour,
    handle::{Command, Deed},
    *,
};

/// The network of all these swarms.
pub(super) fn network() -> NetworkTag {
    NetworkTag { version: 1, network: 7, genesis: [0xab; 32] }
}

/// Says what it was told to say, and takes who says `member` for one of its own, who says `one key` for one and the same, and who says
/// nothing for a guest.
#[derive(Debug)]
pub(super) struct Word(pub(super) &'static str);

impl Admission for Word {
    fn introduce(&self, _: &Challenge) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    fn judge(&self, challenge: &Challenge, proof: &[u8]) -> Result<Standing, String> {
        match proof {
            b"" => Ok(Standing::Guest),
            b"member" => Ok(Standing::Member(challenge.speaker.to_bytes())),
            b"one key" => Ok(Standing::Member(proof.to_vec())),
            _ => Err("not the word".to_owned()),
        }
    }
}

pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Node {
    pub(super) handle: SwarmHandle,
    pub(super) events: EventReceiver,
}

pub(super) fn config(seed: u8, topics: &[&str]) -> SwarmConfig {
    let keypair = keypair_from_seed(&mut [seed; 32]).unwrap();
    SwarmConfig::loopback(keypair, network(), Arc::new(Word("member")), topics)
}

pub(super) async fn start(config: SwarmConfig) -> Node {
    let (handle, events) = spawn(config).await.unwrap();
    Node { handle, events }
}

impl Node {
    pub(super) fn id(&self) -> PeerId {
        self.handle.local_peer()
    }

    pub(super) fn entry(&self) -> PeerAddr {
        PeerAddr { peer: self.id(), addr: self.handle.listen_addr().clone() }
    }

    /// The first event that `pick` takes; what comes before it is dropped.
    async fn next<T>(&mut self, what: &str, mut pick: impl FnMut(SwarmEvent) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the swarm runs");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("{what} did not come"))
    }

    pub(super) async fn message(&mut self) -> (PeerId, Bytes) {
        self.next("message", |event| match event {
            SwarmEvent::Message { from, body } => Some((from, body)),
            _ => None,
        })
        .await
    }

    /// Does something to the swarm itself, within its task.
    pub(super) async fn swarm(&self, deed: impl FnOnce(&mut libp2p::Swarm<Behaviour>) + Send + 'static) {
        self.handle.commands.send(Command::Do(Deed(Box::new(deed)))).await.unwrap();
    }

    pub(super) async fn refusal(&mut self) -> (PeerId, Refusal) {
        self.next("refusal", |event| match event {
            SwarmEvent::Refused { peer, refusal } => Some((peer, refusal)),
            _ => None,
        })
        .await
    }

    async fn gossip(&mut self) -> (String, GossipId, Bytes) {
        self.next("gossip", |event| match event {
            SwarmEvent::Gossip { topic, id, body, .. } => Some((topic, id, body)),
            _ => None,
        })
        .await
    }
}

pub(super) async fn until(what: &str, mut state: impl FnMut() -> bool) {
    let start = Instant::now();
    while !state() {
        assert!(start.elapsed() < LIMIT, "{what}: not reached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Two connected swarms.
pub(super) async fn pair() -> (Node, Node) {
    let (a, b) = (start(config(1, &["t"])).await, start(config(2, &["t"])).await);
    a.handle.add_peer(b.entry());
    b.handle.add_peer(a.entry());
    until("connected", || a.handle.connected() == [b.id()] && b.handle.connected() == [a.id()]).await;
    (a, b)
}

#[tokio::test]
async fn ten_thousand_messages_arrive_once_and_in_order() {
    let (a, mut b) = pair().await;
    for n in 0..10_000u32 {
        a.handle.send(b.id(), Bytes::copy_from_slice(&n.to_le_bytes())).unwrap();
    }
    for n in 0..10_000u32 {
        let (from, body) = b.message().await;
        assert_eq!((from, &body[..]), (a.id(), &n.to_le_bytes()[..]));
    }
    until("acknowledged", || a.handle.stats().messages_sent == 10_000).await;
    assert_eq!(a.handle.stats().messages_overflowed, 0);
    assert_eq!(b.handle.stats().messages_received, 10_000);
}

#[tokio::test]
async fn reader_that_stands_still_costs_bounded_memory_and_the_oldest_messages() {
    let mut small = config(2, &[]);
    small.limits.inbox_count_max = 16;
    small.limits.inbox_bytes_max = 64 << 10;
    let mut sender = config(1, &[]);
    sender.limits.outbox_bytes_max = 1 << 20;
    let (a, mut b) = (start(sender).await, start(small).await);
    a.handle.add_peer(b.entry());
    until("connected", || a.handle.connected() == [b.id()]).await;
    let mut body = vec![0; 1 << 10];
    for n in 0..50_000u32 {
        body[..4].copy_from_slice(&n.to_le_bytes());
        a.handle.send(b.id(), Bytes::copy_from_slice(&body)).unwrap();
        if n % 1_000 == 0 {
            tokio::task::yield_now().await;
        }
        assert!(a.handle.peers()[0].waiting <= 1 << 10);
    }
    until("a frame arrived", || b.handle.stats().messages_received > 0).await;
    assert!(a.handle.stats().messages_overflowed > 40_000);
    // A question finds no room either, and the asker is told at once.
    let asked = a.handle.request(b.id(), Bytes::new(), LIMIT).await;
    assert_eq!(asked, Err(RequestError::NoAnswer));
    assert!(b.handle.stats().inbound_refused > 0);
    let mut last = None;
    while last != Some(49_999) {
        let (_, body) = b.message().await;
        let n = u32::from_le_bytes(body[..4].try_into().unwrap());
        assert!(last < Some(n), "{n} after {last:?}");
        last = Some(n);
    }
}

#[tokio::test]
async fn questions_are_answered_refused_or_time_out() {
    let (a, mut b) = pair().await;
    let (asker, peer) = (a.handle.clone(), b.id());
    let ask = move |body: Bytes, timeout| {
        let asker = asker.clone();
        tokio::spawn(async move { asker.request(peer, body, timeout).await })
    };
    let slot = |event| match event {
        SwarmEvent::Request { from, body, reply } => Some((from, body, reply)),
        _ => None,
    };
    for (question, answer) in [(0, 0), (5, 7), (REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX)] {
        let asked = ask(Bytes::from(vec![1; question]), LIMIT);
        let (from, body, reply) = b.next("question", slot).await;
        assert_eq!((from, body.len()), (a.id(), question));
        reply.send(Bytes::from(vec![2; answer])).unwrap();
        assert_eq!(asked.await.unwrap().unwrap(), vec![2; answer]);
    }
    // Not answered, answered too large.
    let asked = ask(Bytes::new(), LIMIT);
    drop(b.next("question", slot).await);
    assert_eq!(asked.await.unwrap(), Err(RequestError::NoAnswer));
    let asked = ask(Bytes::new(), LIMIT);
    let (_, _, reply) = b.next("question", slot).await;
    let (got, max) = (RESPONSE_BYTES_MAX + 1, RESPONSE_BYTES_MAX);
    assert_eq!(reply.send(Bytes::from(vec![0; got])), Err(ReplyError { got, max }));
    assert_eq!(asked.await.unwrap(), Err(RequestError::NoAnswer));
    // More than allowed at one time; nobody there.
    let waiting: Vec<_> = (0..8).map(|_| ask(Bytes::new(), LIMIT)).collect();
    let mut slots = Vec::new();
    while slots.len() < 8 {
        slots.push(b.next("question", slot).await);
    }
    assert_eq!(ask(Bytes::new(), LIMIT).await.unwrap(), Err(RequestError::Busy));
    for (_, _, reply) in slots {
        reply.send(Bytes::from_static(b"ok")).unwrap();
    }
    for asked in waiting {
        assert_eq!(asked.await.unwrap().unwrap(), "ok");
    }
    // Answered too late.
    let asked = ask(Bytes::new(), Duration::from_millis(20));
    let (_, _, reply) = b.next("question", slot).await;
    assert_eq!(asked.await.unwrap(), Err(RequestError::Timeout));
    reply.send(Bytes::new()).unwrap();
    let stranger = PeerId::random();
    let asked = a.handle.request(stranger, Bytes::new(), LIMIT).await;
    assert_eq!(asked, Err(RequestError::NotConnected));
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_queued() {
    let (a, mut b) = pair().await;
    let body = |size: usize| Bytes::from(vec![7; size]);
    let (got, max) = (MESSAGE_BYTES_MAX + 1, MESSAGE_BYTES_MAX);
    let refused = a.handle.send(b.id(), body(got));
    assert_eq!(refused, Err(SendError::TooLarge { got, max }));
    let (got, max) = (REQUEST_BYTES_MAX + 1, REQUEST_BYTES_MAX);
    let refused = a.handle.request(b.id(), body(got), LIMIT).await;
    assert_eq!(refused, Err(RequestError::TooLarge { got, max }));
    let (got, max) = (GOSSIP_BODY_BYTES_MAX + 1, GOSSIP_BODY_BYTES_MAX);
    let refused = a.handle.publish("t", body(got));
    assert_eq!(refused, Err(PublishError::TooLarge { got, max }));
    assert_eq!(a.handle.publish("x", body(1)), Err(PublishError::UnknownTopic));
    let stranger = PeerId::random();
    assert_eq!(a.handle.send(stranger, body(1)), Err(SendError::UnknownPeer(stranger)));
    // The largest that are allowed do arrive.
    a.handle.send(b.id(), body(MESSAGE_BYTES_MAX)).unwrap();
    assert_eq!(b.message().await.1.len(), MESSAGE_BYTES_MAX);
    until("subscribed", || a.handle.subscribers("t") == 1).await;
    a.handle.publish("t", body(GOSSIP_BODY_BYTES_MAX)).unwrap();
    assert_eq!(b.gossip().await.2.len(), GOSSIP_BODY_BYTES_MAX);
}

/// Sixteen on one address: with the default score everybody would be below the graylist threshold and no message would arrive.
#[tokio::test]
async fn gossip_reaches_sixteen_swarms_on_one_address() {
    let mut nodes = Vec::new();
    for seed in 1..=16 {
        nodes.push(start(config(seed, &["a", "b"])).await);
    }
    let book: Vec<PeerAddr> = nodes.iter().map(Node::entry).collect();
    for node in &nodes {
        for entry in &book {
            node.handle.add_peer(entry.clone());
        }
    }
    until("everybody subscribed", || {
        nodes.iter().all(|node| node.handle.subscribers("a") == 15 && node.handle.subscribers("b") == 15)
    })
    .await;
    for (n, node) in nodes.iter().enumerate() {
        // Equal bytes on two topics are two messages.
        node.handle.publish("a", Bytes::from(vec![n as u8; 200])).unwrap();
        node.handle.publish("b", Bytes::from(vec![n as u8; 200])).unwrap();
    }
    for (n, node) in nodes.iter_mut().enumerate() {
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 30 {
            let (topic, id, body) = node.gossip().await;
            node.handle.report(id, Verdict::Accept);
            assert!(seen.insert((topic, body[0])), "delivered twice");
        }
        assert!(!seen.iter().any(|(_, from)| usize::from(*from) == n));
    }
}

#[tokio::test]
async fn only_accepted_gossip_is_passed_on() {
    // A line: a — b — c.
    let (a, mut b) = pair().await;
    let mut c = start(config(3, &["t"])).await;
    b.handle.add_peer(c.entry());
    until("line", || a.handle.subscribers("t") == 1 && b.handle.subscribers("t") == 2).await;
    for (body, verdict) in [("bad", Verdict::Reject), ("late", Verdict::Ignore), ("good", Verdict::Accept)] {
        a.handle.publish("t", Bytes::from(body)).unwrap();
        let (_, id, got) = b.gossip().await;
        assert_eq!(got, body);
        b.handle.report(id, verdict);
    }
    let (topic, _, got) = c.gossip().await;
    assert_eq!((topic.as_str(), &got[..]), ("t", &b"good"[..]));
    assert!(!c.handle.connected().contains(&a.id()));
}

#[tokio::test]
async fn peer_that_comes_back_on_its_port_gets_what_waited() {
    let (mut a, b) = pair().await;
    let entry = b.entry();
    b.handle.shutdown().await;
    let gone = |event| matches!(event, SwarmEvent::Disconnected(peer) if peer == entry.peer).then_some(());
    a.next("disconnect", gone).await;
    a.handle.send(entry.peer, Bytes::from_static(b"while away")).unwrap();
    let mut again = config(2, &["t"]);
    again.listen = entry.addr.clone();
    // The new one does not know us: we come back to it.
    let mut b = start(again).await;
    assert_eq!(b.handle.listen_addr(), &entry.addr);
    assert_eq!(b.message().await, (a.id(), Bytes::from_static(b"while away")));
    let back = |event| matches!(event, SwarmEvent::Connected(peer) if peer == entry.peer).then_some(());
    a.next("connect", back).await;
}

#[tokio::test]
async fn busy_port_is_a_typed_error() {
    let a = start(config(1, &[])).await;
    let mut other = config(2, &[]);
    other.listen = a.handle.listen_addr().clone();
    let error = spawn(other).await.unwrap_err();
    assert!(matches!(&error, SpawnError::PortInUse { addr } if addr == a.handle.listen_addr()), "{error}");
    let mut nowhere = config(2, &[]);
    nowhere.listen = "/dns4/example.org/tcp/1".parse::<Multiaddr>().unwrap();
    assert!(matches!(spawn(nowhere).await.unwrap_err(), SpawnError::Config { .. }));
    let topics: Vec<String> = (0..=TOPICS_MAX).map(|n| n.to_string()).collect();
    let mut many = config(2, &[]);
    many.topics = topics;
    assert!(matches!(spawn(many).await.unwrap_err(), SpawnError::TooManyTopics { got: 101, .. }));
}

#[tokio::test]
async fn peer_of_another_network_is_hung_up_on() {
    let foreign = NetworkTag { genesis: [0xcd; 32], ..network() };
    let newer = NetworkTag { version: 2, ..network() };
    for (theirs, words) in [(foreign, ["abababab", "cdcdcdcd"]), (newer, ["protocol", "abababab"])] {
        let mut other = config(2, &[]);
        other.network = theirs;
        let (mut a, mut b) = (start(config(1, &[])).await, start(other).await);
        a.handle.add_peer(b.entry());
        a.handle.send(b.id(), Bytes::from_static(b"not for you")).unwrap();
        // Both are told, and what they are told names both.
        let ids = [a.id(), b.id()];
        for (node, other) in [(&mut a, ids[1]), (&mut b, ids[0])] {
            let (peer, refusal) = node.refusal().await;
            let text = refusal.to_string();
            assert!(peer == other && words.iter().all(|word| text.contains(word)), "{text}");
        }
        assert!(a.handle.stats().hellos_refused > 0 && b.handle.stats().hellos_refused > 0);
        assert!(a.handle.connected().is_empty() && b.handle.connected().is_empty());
        assert_eq!(b.handle.stats().messages_received, 0);
    }
}

#[tokio::test]
async fn noise_on_the_port_is_hung_up_on_and_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (a, mut b) = pair().await;
    let port = b.handle.listen_addr().to_string().rsplit('/').next().unwrap().parse().unwrap();
    for filling in [0x00, 0x13, 0xff] {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        // Either end may find the other one gone first.
        drop(socket.write_all(&[filling; 4_096]).await);
        let mut answer = Vec::new();
        drop(tokio::time::timeout(LIMIT, socket.read_to_end(&mut answer)).await.expect("hung up"));
    }
    a.handle.send(b.id(), Bytes::from_static(b"unharmed")).unwrap();
    assert_eq!(b.message().await.1, "unharmed");
    assert_eq!(b.handle.stats().restarts, 0);
}

#[tokio::test]
async fn panic_costs_the_connections_and_not_the_swarm() {
    let (a, mut b) = pair().await;
    let port = b.handle.listen_addr().clone();
    a.swarm(|_| panic!("asked to by a test")).await;
    until("built again", || a.handle.stats().restarts == 1).await;
    b.swarm(|_| panic!("asked to by a test")).await;
    until("built again", || b.handle.stats().restarts == 1).await;
    a.handle.send(b.id(), Bytes::from_static(b"still here")).unwrap();
    assert_eq!(b.message().await.1, "still here");
    assert_eq!(b.handle.listen_addr(), &port);
}

#[tokio::test]
async fn swarm_stops_with_its_last_handle_or_its_receiver() {
    let (a, b) = pair().await;
    let mut done = a.handle.done.clone();
    let id = a.id();
    drop(a.handle);
    assert!(tokio::time::timeout(LIMIT, done.changed()).await.unwrap().is_err());
    until("noticed", || b.handle.connected().is_empty()).await;
    let mut done = b.handle.done.clone();
    drop(b.events);
    assert!(tokio::time::timeout(LIMIT, done.changed()).await.unwrap().is_err());
    let asked = b.handle.request(id, Bytes::new(), LIMIT).await;
    assert_eq!(asked, Err(RequestError::Stopped));
}

#[test]
fn address_book_entries_are_read_as_they_are_written() {
    let text = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
    assert_eq!(text.parse::<PeerAddr>().unwrap().to_string(), text);
    let no_peer = "/ip4/127.0.0.1/tcp/4001".parse::<PeerAddr>();
    assert!(matches!(no_peer, Err(PeerAddrError::NoPeer { .. })));
    assert!(matches!("localhost".parse::<PeerAddr>(), Err(PeerAddrError::Multiaddr { .. })));
}

/// Prints the round trip of one message each way and the CPU time of nine swarms that publish once a second.
/// Run with `cargo test --release -p smt-gossip -- --ignored --nocapture costs`.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of some 25 seconds"]
async fn costs() {
    let cpu_ms = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
    };
    let rss_kib = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    {
        let (mut a, mut b) = pair().await;
        let mut times = Vec::new();
        for _ in 0..2_000 {
            let start = Instant::now();
            a.handle.send(b.id(), Bytes::from_static(b"ping")).unwrap();
            b.message().await;
            b.handle.send(a.id(), Bytes::from_static(b"pong")).unwrap();
            a.message().await;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        println!("round trip of two messages: p50 {:?} p99 {:?}", times[1_000], times[1_980]);
        let (start, cpu) = (Instant::now(), cpu_ms());
        for _ in 0..20 {
            for _ in 0..10_000 {
                a.handle.send(b.id(), Bytes::from_static(&[0; 200])).unwrap();
            }
            for _ in 0..10_000 {
                b.message().await;
            }
        }
        println!("200,000 messages of 200 bytes: {:?}, {} ms of CPU", start.elapsed(), cpu_ms() - cpu);
    }
    let before = rss_kib();
    let mut nodes = Vec::new();
    for seed in 1..=9 {
        nodes.push(start(config(seed, &["a"])).await);
    }
    let book: Vec<PeerAddr> = nodes.iter().map(Node::entry).collect();
    for (node, entry) in nodes.iter().flat_map(|node| book.iter().map(move |entry| (node, entry))) {
        node.handle.add_peer(entry.clone());
    }
    until("subscribed", || nodes.iter().all(|node| node.handle.subscribers("a") == 8)).await;
    let cpu = cpu_ms();
    for second in 0..20u8 {
        for (n, node) in nodes.iter().enumerate() {
            node.handle.publish("a", Bytes::from(vec![second, n as u8, 0])).unwrap();
        }
        for node in &mut nodes {
            for _ in 0..8 {
                let (_, id, _) = node.gossip().await;
                node.handle.report(id, Verdict::Accept);
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!(
        "nine swarms, 20 s, one message a second each: {} ms of CPU, {} KiB more memory",
        cpu_ms() - cpu,
        rss_kib() - before
    );
}
