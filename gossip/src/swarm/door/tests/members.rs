//! Members with one key and many peer ids, and guests with a member's peer id.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::swarm::{RequestError, handle::Swarm};

/// What a swarm says of itself, in its task.
async fn of<T: Send + 'static>(node: &Node, look: impl FnOnce(&mut Swarm) -> T + Send + 'static) -> T {
    let (tell, told) = tokio::sync::oneshot::channel();
    node.swarm(move |swarm| drop(tell.send(look(swarm)))).await;
    told.await.unwrap()
}

async fn connections(node: &Node) -> u32 {
    of(node, |swarm| swarm.network_info().connection_counters().num_established()).await
}

fn with_one_key(seed: u8) -> SwarmConfig {
    SwarmConfig { admission: Arc::new(Word("one key")), ..config(seed, &[]) }
}

#[tokio::test]
async fn who_holds_a_key_is_one_peer_at_a_time() {
    let b = start(config(1, &[])).await;
    let (old, new) = (start(with_one_key(2)).await, start(with_one_key(3)).await);
    b.handle.add_peer(old.entry());
    until("the first", || b.handle.connected() == [old.id()]).await;
    new.handle.add_peer(b.entry());
    until("the second takes its place", || b.handle.connected() == [new.id()]).await;
    // It is in the address book still, so it is dialled and takes its place back.
    until("the first again", || b.handle.connected() == [old.id()]).await;
}

/// They dial at once, again and again.
#[tokio::test]
async fn thirty_peers_with_one_key_hold_a_few_connections() {
    let b = start(config(1, &[])).await;
    let honest = start(config(2, &[])).await;
    honest.handle.add_peer(b.entry());
    until("the honest one", || b.handle.connected() == [honest.id()]).await;
    let mut many = Vec::new();
    for seed in 100..130 {
        many.push(start(with_one_key(seed)).await);
    }
    for one in &many {
        one.handle.add_peer(b.entry());
    }
    until("one of them", || b.handle.connected().len() > 1).await;
    let begin = std::time::Instant::now();
    let mut seen = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        seen = seen.max(connections(&b).await);
        assert!(b.handle.connected().contains(&honest.id()));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!((2..=13).contains(&seen), "{seen} connections");
}

/// A copy of a member's identity without its key comes first, four times over.
#[tokio::test]
async fn a_stolen_identity_does_not_stand_in_the_way() {
    let mut thieves = Vec::new();
    let b = start(config(1, &[])).await;
    for _ in 0..4 {
        let thief = start(guest(2)).await;
        thief.handle.add_peer(b.entry());
        until("a thief visits", || thief.handle.connected() == [b.id()]).await;
        thieves.push(thief);
    }
    assert!(b.handle.connected().is_empty());
    let mut honest = start(config(2, &[])).await;
    // The honest one does not dial.
    b.handle.add_peer(honest.entry());
    until("the honest one is found", || honest.handle.connected() == [b.id()]).await;
    until("and connected", || b.handle.connected() == [honest.id()]).await;
    let begin = std::time::Instant::now();
    while connections(&b).await > 1 {
        assert!(begin.elapsed() < LIMIT, "thieves stay");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // They knock on, in vain.
    for turn in 0..50u8 {
        b.handle.send(honest.id(), Bytes::copy_from_slice(&[turn])).unwrap();
        assert_eq!(honest.message().await.1, [turn][..]);
        assert_eq!((b.handle.connected(), connections(&b).await), (vec![honest.id()], 1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_guest_is_not_found_by_dialling_and_not_asked() {
    let b = start(config(1, &[])).await;
    let visitor = start(guest(2)).await;
    b.handle.add_peer(visitor.entry());
    visitor.handle.add_peer(b.entry());
    until("visits", || visitor.handle.connected() == [b.id()]).await;
    for _ in 0..20 {
        let asked = b.handle.request(visitor.id(), Bytes::new(), Duration::from_secs(5)).await;
        assert!(matches!(asked, Err(RequestError::NotConnected)), "{asked:?}");
        assert!(b.handle.connected().is_empty());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = visitor.id();
    assert!(of(&b, move |swarm| swarm.is_connected(&id)).await, "as a guest it stays");
}

#[tokio::test]
async fn new_addresses_do_not_shorten_the_wait_of_a_peer_that_fails() {
    let mut slow = config(1, &[]);
    slow.limits.backoff_min = Duration::from_secs(4);
    let a = start(slow).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = |port: u16| -> Multiaddr { format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap() };
    let here = addr(listener.local_addr().unwrap().port());
    let dials = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dials);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    // With the larger id it is ours to dial it at once.
    let ids = (2..50u8).map(|seed| config(seed, &[]).keypair.public().to_peer_id());
    let peer = ids.max().filter(|peer| *peer > a.id()).unwrap();
    a.handle.set_peer(peer, vec![here.clone()]);
    until("dialled", || dials.load(Ordering::Relaxed) == 1).await;
    for port in 1..30 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        a.handle.set_peer(peer, vec![here.clone(), addr(port)]);
    }
    // One address may be news while the first dial is under way.
    let count = dials.load(Ordering::Relaxed);
    assert!(count <= 2, "{count} dials");
}
