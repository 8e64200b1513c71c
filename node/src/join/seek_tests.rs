//! A search among swarms of which one answers as it likes.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use crate::clock::Clock;
use crate::dev::Shape;
use crate::join::{self, AddressRecord, Doorkeeper, Places};
use crate::keys::ReplicaSecrets;
use crate::member::network_of;
use smt_gossip::swarm::{Bytes, EventReceiver, SwarmConfig, SwarmEvent, keypair_from_seed, spawn};
use smt_types::{Digest, ReplicaIndex, ShardAddress};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::broadcast;

const LIMIT: Duration = Duration::from_secs(30);

fn node(replica: u8) -> NodeId {
    NodeId { shard: ShardAddress::ROOT, replica: ReplicaIndex(replica) }
}

fn secrets(replica: u8) -> ReplicaSecrets {
    ReplicaSecrets::development(1, node(replica))
}

fn view() -> Arc<NetworkView> {
    let shape = Shape { shards: 1, replicas: 3, seed: 1, epoch_ms: 500, accounts: 0, balance: 0 };
    let genesis = Arc::new(shape.genesis());
    let (network, genesis_hash) = network_of(&genesis).unwrap();
    let network = Arc::new(network);
    Arc::new(NetworkView {
        genesis,
        genesis_hash,
        places: Arc::new(Places::default()),
        records: Arc::new(Records::new(genesis_hash, network.clone(), true)),
        network,
        clock: Clock::start(),
    })
}

/// The swarm of a replica, which sees the network its own way.
async fn swarm(replica: u8, view: &NetworkView) -> (SwarmHandle, EventReceiver) {
    let keypair = keypair_from_seed(&mut secrets(replica).identity_seed()).unwrap();
    let (hash, network, places) = (view.genesis_hash, view.network.clone(), view.places.clone());
    let keeper = Doorkeeper::new(node(replica), Box::new(secrets(replica)), hash, network, places);
    let tag = join::tag(view.network.id, hash);
    spawn(SwarmConfig::loopback(keypair, tag, Arc::new(keeper), &[])).await.unwrap()
}

fn entry(swarm: &SwarmHandle) -> PeerAddr {
    PeerAddr { peer: swarm.local_peer(), addr: swarm.listen_addr().clone() }
}

fn place(swarm: &SwarmHandle) -> SocketAddr {
    crate::genesis::book::socket_addr(&swarm.listen_addr().to_string()).unwrap()
}

/// A record of `replica`, naming whatever peer and place.
fn record(hash: Digest, replica: u8, peer: PeerId, sequence: u64, at: SocketAddr) -> String {
    hex::encode(AddressRecord::new(node(replica), peer, sequence, &[at]).sign(hash, &secrets(replica)).to_bytes())
}

async fn until(what: &str, mut state: impl FnMut() -> bool) {
    let start = Instant::now();
    while !state() {
        assert!(start.elapsed() < LIMIT, "{what}: not reached");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A replica that searches, and one that answers from a script: the next answer each time, the last one for ever.
struct Stage {
    view: Arc<NetworkView>,
    seeker: SwarmHandle,
    liar: SwarmHandle,
    script: Arc<Mutex<Vec<Bytes>>>,
    asked: Arc<Mutex<usize>>,
    silent: Arc<AtomicBool>,
    contacts: broadcast::Sender<Contact>,
    search: tokio::task::JoinHandle<Option<String>>,
    dir: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Stage {
        let view = view();
        let (seeker, mut events) = swarm(0, &view).await;
        let contacts = broadcast::channel(16).0;
        let told = contacts.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let SwarmEvent::Connected(peer) = event {
                    told.send(Contact::Met(peer)).unwrap();
                }
            }
        });
        let (liar, mut questions) = swarm(1, &self::view()).await;
        let (script, asked) = (Arc::new(Mutex::new(Vec::<Bytes>::new())), Arc::new(Mutex::new(0)));
        let (lines, count) = (script.clone(), asked.clone());
        let silent = Arc::new(AtomicBool::new(false));
        let is_silent = silent.clone();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(event) = questions.recv().await {
                if let SwarmEvent::Request { reply, .. } = event {
                    *count.lock().unwrap() += 1;
                    if is_silent.load(Ordering::Relaxed) {
                        held.push(reply);
                        continue;
                    }
                    let mut lines = lines.lock().unwrap();
                    let line =
                        if lines.len() > 1 { lines.remove(0) } else { lines.first().cloned().unwrap_or_default() };
                    reply.send(line).unwrap();
                }
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let seek = Seek {
            node: node(0),
            swarm: seeker.clone(),
            view: view.clone(),
            dir: dir.path().to_owned(),
            partners: BTreeSet::from([node(1), node(2)]),
            fixed: vec![entry(&liar)],
            bootnodes: BTreeSet::new(),
            announce: Box::new(|| {}),
            contacts: contacts.subscribe(),
        };
        let search = tokio::spawn(seek.run());
        Stage { view, seeker, liar, script, asked, silent, contacts, search, dir }
    }

    fn answer(&self, pages: &[Vec<String>]) {
        let page =
            |page: &Vec<String>| Bytes::from(serde_json::to_vec(&serde_json::json!({ "result": page })).unwrap());
        *self.script.lock().unwrap() = pages.iter().map(page).collect();
    }

    /// Has it ask once more; waits until the questions of that are over.
    async fn ask(&self) -> usize {
        let before = *self.asked.lock().unwrap();
        self.contacts.send(Contact::Met(self.liar.local_peer())).unwrap();
        until("asked", || *self.asked.lock().unwrap() > before).await;
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = *self.asked.lock().unwrap();
            if now == last {
                return now - before;
            }
            last = now;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_peer_answers_ends_and_nothing_false_is_kept() {
    let stage = Stage::new().await;
    let (hash, liar) = (stage.view.genesis_hash, stage.liar.local_peer());
    until("met", || stage.view.places.peer(node(1)) == Some(liar)).await;
    let good = record(hash, 1, liar, 1, place(&stage.liar));
    let junk: Vec<Vec<String>> = vec![
        vec!["zz".to_owned()],
        vec![String::new()],
        vec!["00".repeat(600)],
        vec![good.replace(&good[..8], "ffffffff")],
        vec![record(Digest([9; 32]), 1, liar, 5, place(&stage.liar))],
        vec![good.clone(); PAGE_MAX + 1],
    ];
    for page in junk {
        stage.answer(std::slice::from_ref(&page));
        assert!(stage.ask().await <= 4, "{page:?}");
        assert!(stage.view.records.page(None).is_empty(), "{page:?}");
    }
    *stage.script.lock().unwrap() = vec![Bytes::from_static(b"{not json")];
    assert!(stage.ask().await <= 4);
    // A page that is always full and never goes on.
    stage.answer(&[vec![good.clone(); PAGE_MAX]]);
    assert!(stage.ask().await <= 6, "the same page again and again is the end");
    assert_eq!(stage.view.records.of(node(1)).unwrap().peer(), Some(liar));
    assert!(!stage.search.is_finished());
}

/// Replica 1 is met again and again, so often that news of others are lost, and never answers; meanwhile replica 2 comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_again_and_again_and_never_answers_holds_up_nobody() {
    let stage = Stage::new().await;
    until("met", || stage.view.places.peer(node(1)).is_some()).await;
    stage.silent.store(true, Ordering::Relaxed);
    let before = *stage.asked.lock().unwrap();
    let (honest, mut events) = swarm(2, &view()).await;
    let page = vec![record(stage.view.genesis_hash, 2, honest.local_peer(), 1, place(&honest))];
    let answer = Bytes::from(serde_json::to_vec(&serde_json::json!({ "result": page })).unwrap());
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let SwarmEvent::Request { reply, .. } = event {
                reply.send(answer.clone()).unwrap();
            }
        }
    });
    let again = || (0..300).for_each(|_| drop(stage.contacts.send(Contact::Met(stage.liar.local_peer()))));
    again();
    honest.add_peer(entry(&stage.seeker));
    until("connected", || stage.seeker.connected().contains(&honest.local_peer())).await;
    again();
    until("found", || stage.view.records.of(node(2)).is_some()).await;
    assert!(*stage.asked.lock().unwrap() <= before + 2, "one question is under way to it, and no more");
    until("kept", || stage.dir.path().join(super::super::records::FILE).exists()).await;
}

/// Replica 1 sends a full page with the record of replica 2, and not the page after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_with_a_question_that_is_not_over_is_dialled_when_another_ends() {
    let stage = Stage::new().await;
    until("met", || stage.view.places.peer(node(1)).is_some()).await;
    let (victim, _events) = swarm(2, &view()).await;
    let text = record(stage.view.genesis_hash, 2, victim.local_peer(), 1, place(&victim));
    // As that question leaves it.
    stage.view.records.learn(&hex::decode(text).unwrap()).unwrap().unwrap();
    stage.answer(&[Vec::new()]);
    stage.ask().await;
    until("connected", || stage.seeker.connected().contains(&victim.local_peer())).await;
}

/// A peer that is no replica would not answer, and the question would stay for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_who_is_no_replica() {
    let stage = Stage::new().await;
    until("met", || stage.view.places.peer(node(1)).is_some()).await;
    let liar = stage.liar.local_peer();
    assert!(stage.ask().await > 0);
    // Another has proven to be replica 1: the peer is connected still, and a replica no more.
    stage.view.places.bind(node(1), PeerId::random());
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = *stage.asked.lock().unwrap();
    assert!(stage.seeker.connected().contains(&liar));
    stage.contacts.send(Contact::Met(liar)).unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(*stage.asked.lock().unwrap(), before);
}

/// Whether a loopback address is one depends on who looks; the record after it counts all the same.
#[test]
fn a_record_that_is_of_no_use_here_does_not_hide_those_after_it() {
    let view = view();
    let hash = view.genesis_hash;
    let records = Records::new(hash, view.network.clone(), false);
    let [here, far]: [SocketAddr; 2] = ["127.0.0.1:9", "10.0.0.1:9"].map(|text| text.parse().unwrap());
    let page = [(0, here), (1, here), (2, far)].map(|(n, at)| record(hash, n, PeerId::random(), 1, at));
    let mut news = Vec::new();
    assert_eq!(take(&records, PeerId::random(), &page, &mut news), Some(node(2)), "the next page begins after it");
    assert_eq!(news, [node(2)]);
    // One that is false for everybody ends it.
    let other = record(Digest([9; 32]), 1, PeerId::random(), 1, far);
    let page = [other, record(hash, 2, PeerId::random(), 2, far)];
    assert_eq!(take(&records, PeerId::random(), &page, &mut news), None);
    assert_eq!((news.len(), records.of(node(2)).unwrap().sequence), (1, 1));
}

/// Replica 1 says that it has replica 2's peer id, at a place where nobody is, and later that it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_claim_to_anothers_peer_id_keeps_nobody_apart() {
    let stage = Stage::new().await;
    let (victim, mut events) = swarm(2, &view()).await;
    let gone = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let SwarmEvent::Disconnected(_) = event {
                return;
            }
        }
    });
    let (hash, peer) = (stage.view.genesis_hash, victim.local_peer());
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    stage.answer(&[vec![record(hash, 1, peer, 1, nowhere)]]);
    until("the claim is known", || stage.view.records.of(node(1)).is_some()).await;
    stage.answer(&[vec![record(hash, 2, peer, 1, place(&victim))]]);
    stage.ask().await;
    until("connected all the same", || stage.view.places.peer(node(2)) == Some(peer)).await;
    until("connected", || stage.seeker.connected().contains(&peer)).await;
    stage.answer(&[vec![record(hash, 1, PeerId::random(), 2, nowhere)]]);
    stage.ask().await;
    until("the claim is gone", || stage.view.records.of(node(1)).unwrap().sequence == 2).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!gone.is_finished() && stage.seeker.connected().contains(&peer));
}

/// Of two bootnodes one answers for another network, then both do.
#[tokio::test]
async fn only_when_no_bootnode_is_of_our_network_is_the_search_given_up() {
    let view = view();
    let (seeker, _events) = swarm(0, &view).await;
    let contacts = broadcast::channel(16).0;
    let bootnodes = [PeerId::random(), PeerId::random()];
    let addr: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let seek = Seek {
        node: node(0),
        swarm: seeker,
        view: view.clone(),
        dir: dir.path().to_owned(),
        partners: BTreeSet::from([node(1), node(2)]),
        fixed: bootnodes.iter().map(|peer| PeerAddr { peer: *peer, addr: addr.clone() }).collect(),
        bootnodes: BTreeSet::from(bootnodes),
        announce: Box::new(|| {}),
        contacts: contacts.subscribe(),
    };
    let search = tokio::spawn(seek.run());
    let ours = join::tag(view.network.id, view.genesis_hash);
    let foreign = Refusal::OtherNetwork { theirs: join::tag(view.network.id, Digest([7; 32])), ours };
    for (peer, refusal) in [
        (bootnodes[0], foreign.clone()),
        (PeerId::random(), foreign.clone()),
        (bootnodes[1], Refusal::Proof("bad".to_owned())),
        (bootnodes[0], foreign.clone()),
    ] {
        contacts.send(Contact::Refused(peer, refusal)).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!search.is_finished());
    }
    contacts.send(Contact::Refused(bootnodes[1], foreign)).unwrap();
    let why = tokio::time::timeout(LIMIT, search).await.unwrap().unwrap().unwrap();
    assert!(why.contains(&view.genesis_hash.to_hex()) && why.contains(&"07".repeat(32)), "{why}");
}
