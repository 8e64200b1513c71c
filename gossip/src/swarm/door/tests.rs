//! Hellos by hand over real sockets, and whole swarms with guests.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{future::poll_fn, io, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{
    core::{
        Endpoint, Transport as _,
        muxing::StreamMuxerExt as _,
        transport::{DialOpts, PortUse},
    },
    tcp::tokio::TcpStream,
};

use super::{super::tests::*, hello::HelloError, *};
use crate::swarm::{
    PeerAddr, SwarmConfig, SwarmEvent,
    behaviour::transport,
    frames::tests::{frame, raw::Raw},
    handle::Shared,
};

mod members;

/// A guest's configuration.
fn guest(seed: u8) -> SwarmConfig {
    SwarmConfig { admission: Arc::new(Word("")), ..config(seed, &["t"]) }
}

/// The two ends of a connection.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (TcpStream(listener.accept().await.unwrap().0), TcpStream(dialled))
}

/// Proves by repeating the challenge, and judges by comparing.
#[derive(Debug)]
struct Echo;

fn bytes_of(challenge: &Challenge) -> Vec<u8> {
    [challenge.speaker.to_bytes(), challenge.listener.to_bytes(), challenge.nonce.to_vec()].concat()
}

impl Admission for Echo {
    fn introduce(&self, challenge: &Challenge) -> Vec<u8> {
        bytes_of(challenge)
    }

    fn judge(&self, challenge: &Challenge, proof: &[u8]) -> Result<Standing, String> {
        if proof == bytes_of(challenge) {
            Ok(Standing::Member(Vec::new()))
        } else {
            Err("another challenge".to_owned())
        }
    }
}

/// What one side makes of a peer that sends `bytes` and then no more.
async fn answer_to(bytes: &[u8]) -> Result<Standing, HelloError> {
    let (mut ours, mut theirs) = sockets().await;
    theirs.write_all(bytes).await.unwrap();
    theirs.close().await.unwrap();
    let (local, peer) = (PeerId::random(), PeerId::random());
    let end = hello::exchange(&mut ours, &network(), &Word("member"), local, peer).await;
    drop(ours);
    let mut said = Vec::new();
    // A reset is an end too.
    drop(theirs.read_to_end(&mut said).await);
    assert!(said.len() <= 70 + 2 + PROOF_BYTES_MAX);
    end
}

#[tokio::test]
async fn each_side_proves_over_the_others_nonce_and_both_ids() {
    let (a, b) = (PeerId::random(), PeerId::random());
    for (says, believes, fits) in [(a, a, true), (a, PeerId::random(), false)] {
        let (mut left, mut right) = sockets().await;
        let tag = network();
        let one = hello::exchange(&mut left, &tag, &Echo, says, b);
        let two = hello::exchange(&mut right, &tag, &Echo, b, believes);
        let (one, two) = tokio::join!(one, two);
        assert_eq!(matches!(one, Ok(Standing::Member(_))) && matches!(two, Ok(Standing::Member(_))), fits);
        if !fits {
            // It proved to be another than the connection says.
            assert!(matches!(two, Err(HelloError::Refused(Refusal::Proof(_)))));
        }
    }
}

#[tokio::test]
async fn every_cut_and_every_false_part_of_a_hello_is_refused() {
    let tag = network();
    let mut good = tag.version.to_le_bytes().to_vec();
    good.extend(tag.network.to_le_bytes());
    good.extend(tag.genesis);
    good.extend([9; NONCE_BYTES]);
    let hello = good.len();
    good.extend(6u16.to_le_bytes());
    good.extend(b"member");
    assert!(matches!(answer_to(&good).await, Ok(Standing::Member(_))));
    for end in 0..good.len() {
        let error = answer_to(&good[..end]).await.unwrap_err();
        assert!(
            matches!(&error, HelloError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof),
            "{end}: {error}"
        );
    }
    for at in 0..38 {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let refusal = match answer_to(&bad).await {
            Err(HelloError::Refused(refusal)) => refusal,
            other => panic!("byte {at}: {other:?}"),
        };
        match at {
            0 | 1 => assert!(matches!(refusal, Refusal::OtherVersion { .. })),
            _ => assert!(matches!(refusal, Refusal::OtherNetwork { theirs, ours } if theirs != ours && ours == tag)),
        }
    }
    let mut long = good[..hello].to_vec();
    long.extend((PROOF_BYTES_MAX as u16 + 1).to_le_bytes());
    long.extend(vec![0; PROOF_BYTES_MAX + 1]);
    assert!(matches!(answer_to(&long).await, Err(HelloError::Refused(Refusal::Proof(_)))));
    let mut liar = good[..hello].to_vec();
    liar.extend(4u16.to_le_bytes());
    liar.extend(b"king");
    assert!(matches!(answer_to(&liar).await, Err(HelloError::Refused(Refusal::Proof(_)))));
}

#[tokio::test]
async fn who_proves_nothing_true_is_hung_up_on_and_dialled_seldom() {
    let liar = SwarmConfig { admission: Arc::new(Word("king")), ..config(2, &[]) };
    let (mut a, b) = (start(config(1, &[])).await, start(liar).await);
    a.handle.add_peer(b.entry());
    let (peer, refusal) = a.refusal().await;
    assert_eq!((peer, refusal), (b.id(), Refusal::Proof("not the word".to_owned())));
    until("hung up", || a.handle.connected().is_empty() && b.handle.connected().is_empty()).await;
    // With the shortest back-off there would be dozens.
    let before = a.handle.stats().hellos_refused;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(a.handle.stats().hellos_refused <= before + 2);
}

/// The inbox holds four events: what a stranger could put there would be in everybody's way.
#[tokio::test]
async fn guests_hold_nothing_of_the_application_whatever_they_send() {
    let mut tight = config(2, &["t"]);
    tight.limits.inbox_count_max = 4;
    let (a, mut b) = (start(config(1, &["t"])).await, start(tight).await);
    a.handle.add_peer(b.entry());
    until("gossip", || a.handle.subscribers("t") == 1 && b.handle.subscribers("t") == 1).await;
    while b.events.try_recv().is_some() {}
    let whole = frame(&[b"one", b"two"]);
    for seed in 10..20 {
        let raw = Raw::visit(seed, &b.entry()).await;
        assert_eq!(raw.write(&whole).await, None, "there is no such protocol for a guest");
        for _ in 0..20 {
            raw.leave(&whole);
        }
        let visitor = start(guest(seed + 10)).await;
        visitor.handle.add_peer(b.entry());
        until("visits", || visitor.handle.connected() == [b.id()]).await;
        visitor.handle.send(b.id(), Bytes::from_static(b"not heard")).unwrap();
        visitor.handle.publish("t", Bytes::from_static(b"not heard")).unwrap();
        let asked = visitor.handle.request(b.id(), Bytes::new(), Duration::from_secs(1)).await;
        assert!(asked.is_err(), "{asked:?}");
        if seed == 19 {
            assert_eq!(visitor.handle.subscribers("t"), 0, "it is told of no topic");
        }
    }
    assert!(b.events.try_recv().is_none(), "nothing of a guest reaches the application");
    assert_eq!(b.handle.stats().messages_received, 0);
    assert_eq!(b.handle.connected(), [a.id()]);
    // Members are heard as ever.
    a.handle.send(b.id(), Bytes::from_static(b"heard")).unwrap();
    assert_eq!(b.message().await.1, "heard");
    a.handle.publish("t", Bytes::from_static(b"gossip")).unwrap();
    while !matches!(b.events.recv().await.unwrap(), SwarmEvent::Gossip { body, .. } if body == "gossip") {}
    let asker = a.handle.clone();
    let asked = tokio::spawn(async move { asker.request(b.handle.local_peer(), Bytes::new(), LIMIT).await });
    while let Some(event) = b.events.recv().await {
        if let SwarmEvent::Request { reply, .. } = event {
            reply.send(Bytes::from_static(b"answer")).unwrap();
            break;
        }
    }
    assert_eq!(asked.await.unwrap().unwrap(), "answer");
}

#[tokio::test]
async fn the_oldest_guest_makes_room_and_members_need_none() {
    let mut small = config(2, &[]);
    small.limits.strangers_max = 2;
    let b = start(small).await;
    let mut visitors = Vec::new();
    for seed in 10..15 {
        let visitor = start(guest(seed)).await;
        visitor.handle.add_peer(b.entry());
        until("visits", || visitor.handle.connected() == [b.id()]).await;
        visitors.push(visitor);
    }
    let mut members = Vec::new();
    for seed in 20..25 {
        let member = start(config(seed, &[])).await;
        member.handle.add_peer(b.entry());
        members.push(member);
    }
    until("members are in", || b.handle.connected().len() == 5).await;
    let connections = || async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let count = move |swarm: &mut crate::swarm::handle::Swarm| {
            tell.send(swarm.network_info().connection_counters().num_established()).unwrap();
        };
        b.swarm(count).await;
        told.await.unwrap()
    };
    // Those who had to leave come back and back again, so any two of them are there.
    let start = std::time::Instant::now();
    while connections().await > 7 {
        assert!(start.elapsed() < LIMIT, "guests stay above their number");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(b.handle.connected().len(), 5);
}

/// Sockets from `host` that say nothing.
async fn silent(host: [u8; 4], to: &Multiaddr, count: usize) -> Vec<tokio::net::TcpStream> {
    let port: u16 = to.to_string().rsplit('/').next().unwrap().parse().unwrap();
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((host, 0).into()).unwrap();
        sockets.push(socket.connect(([127, 0, 0, 1], port).into()).await.unwrap());
    }
    sockets
}

/// Far more sockets than wait at the door say nothing, all from one address: the time limit is ten seconds, and they come again at once.
#[tokio::test]
async fn silent_sockets_of_one_address_keep_nobody_else_out() {
    let mut small = config(2, &[]);
    small.limits.pending_max = 40;
    small.limits.pending_per_address_max = 16;
    let b = start(small).await;
    let to = b.handle.listen_addr().clone();
    let crowd = silent([127, 0, 0, 2], &to, 100).await;
    let mut members = Vec::new();
    let begin = std::time::Instant::now();
    for seed in 20..25 {
        let member = start(config(seed, &[])).await;
        member.handle.add_peer(b.entry());
        members.push(member);
    }
    until("members are in", || b.handle.connected().len() == 5).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "before the time of the silent ones is over");
    // Those above the number were hung up on at once.
    let mut open = 0;
    for mut socket in crowd {
        let mut said = [0; 64];
        let read = tokio::io::AsyncReadExt::read(&mut socket, &mut said);
        match tokio::time::timeout(Duration::from_millis(5), read).await {
            Ok(Ok(0) | Err(_)) => {}
            _ => open += 1,
        }
    }
    assert!((1..=16).contains(&open), "{open} are waited for");
}

/// All places are taken, from as many addresses as it needs; the member's own address is in the book, though nobody answers there.
#[tokio::test]
async fn who_is_looked_for_has_a_place_at_the_door() {
    let mut small = config(2, &[]);
    small.limits.pending_max = 8;
    small.limits.pending_per_address_max = 4;
    let b = start(small).await;
    let to = b.handle.listen_addr().clone();
    let begin = std::time::Instant::now();
    let _crowd = (silent([127, 0, 0, 2], &to, 6).await, silent([127, 0, 0, 3], &to, 6).await);
    let member = start(config(3, &[])).await;
    b.handle.add_peer(PeerAddr { peer: member.id(), addr: "/ip4/127.0.0.1/tcp/1".parse().unwrap() });
    member.handle.add_peer(b.entry());
    until("the member is in", || b.handle.connected() == [member.id()]).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "before the time of the silent ones is over");
}

/// Opens 16 streams and writes a byte on each, so that nobody knows yet what for; true if it is hung up on over that.
async fn is_hung_up_on(word: &'static str, seed: u8, to: &PeerAddr) -> bool {
    let config = SwarmConfig { admission: Arc::new(Word(word)), ..config(seed, &[]) };
    let shared = Arc::new(Shared::new(config.keypair.public().to_peer_id(), Vec::new(), config.limits.clone()));
    let mut transport = transport(&config, 1_000, &shared).unwrap();
    let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let (_, mut muxer) = transport.dial(to.addr.clone(), options).unwrap().await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..16 {
        let Ok(mut stream) = poll_fn(|cx| muxer.poll_outbound_unpin(cx)).await else { return true };
        stream.write_all(&[19]).await.unwrap();
        streams.push(stream);
    }
    let end = poll_fn(|cx| {
        // Streams of the other side are let go of.
        while let Poll::Ready(stream) = muxer.poll_inbound_unpin(cx) {
            if stream.is_err() {
                return Poll::Ready(());
            }
        }
        muxer.poll_unpin(cx).map(|event| assert!(event.is_err(), "an address changed"))
    });
    tokio::time::timeout(Duration::from_secs(2), end).await.is_ok()
}

#[tokio::test]
async fn a_guest_has_four_streams_and_a_member_many() {
    let b = start(config(2, &[])).await;
    assert!(is_hung_up_on("", 9, &b.entry()).await);
    assert!(!is_hung_up_on("member", 10, &b.entry()).await);
}

/// Strangers of another network come by the dozen: the application is told of one.
#[tokio::test]
async fn refusals_of_strangers_are_told_once_a_second() {
    let mut b = start(config(2, &[])).await;
    let mut strangers = Vec::new();
    for seed in 30..60 {
        let network = NetworkTag { network: 8, ..network() };
        let stranger = start(SwarmConfig { network, ..config(seed, &[]) }).await;
        stranger.handle.add_peer(b.entry());
        strangers.push(stranger);
    }
    let begin = std::time::Instant::now();
    until("all are refused", || b.handle.stats().hellos_refused >= 30).await;
    let most = 3 + begin.elapsed().as_secs();
    let mut told = 0;
    while let Some(event) = b.events.try_recv() {
        told += u64::from(matches!(event, SwarmEvent::Refused { .. }));
    }
    assert!((1..=most).contains(&told), "{told} of {}", b.handle.stats().hellos_refused);
}
