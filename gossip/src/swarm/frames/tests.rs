//! Frames between whole swarms, and with a peer that writes whatever it likes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{
    collections::BTreeSet,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId, StreamProtocol,
    swarm::dial_opts::{DialOpts, PeerCondition},
};
use tokio::sync::oneshot;

use super::{
    super::{
        codec::Reading,
        config::Limits,
        event::SwarmEvent,
        handle::Shared,
        inbox::Delivery,
        tests::{Node, config, pair, start, until},
    },
    Parts,
    inbound::Inbound,
    lane::WINDOW_BYTES,
    wire::{MESSAGES_MAX, PREFIX_BYTES, encode_message, seal},
};

pub(in super::super) mod raw;

use raw::{Raw, Receive};

/// A message of `size` bytes that begins with its number.
fn numbered(n: u32, size: usize) -> Bytes {
    let mut body = vec![0; size.max(4)];
    body[..4].copy_from_slice(&n.to_le_bytes());
    Bytes::from(body)
}

fn number(body: &[u8]) -> u32 {
    u32::from_le_bytes(body[..4].try_into().unwrap())
}

pub(in super::super) fn frame(messages: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0; PREFIX_BYTES];
    assert!(messages.iter().all(|message| encode_message(&mut out, message)));
    assert!(seal(&mut out));
    out
}

/// What a receiver saw must be all of `0..count`, each for the first time in its order.
fn assert_whole_and_in_order(seen: &[u32], count: u32) {
    let mut known = BTreeSet::new();
    let first: Vec<u32> = seen.iter().copied().filter(|n| known.insert(*n)).collect();
    assert!(first.is_sorted(), "out of order");
    assert_eq!(first.len(), count as usize, "lost");
}

#[tokio::test]
async fn peer_that_restarts_within_a_window_loses_nothing() {
    let mut small = config(2, &[]);
    small.limits.inbox_count_max = 16;
    let (a, mut b) = (start(config(1, &[])).await, start(small).await);
    a.handle.add_peer(b.entry());
    until("connected", || a.handle.connected() == [b.id()]).await;
    let mut seen = Vec::new();
    for n in 0..5_000 {
        a.handle.send(b.id(), numbered(n, 1 << 10)).unwrap();
        if n % 100 == 0 {
            seen.push(number(&b.message().await.1));
        }
    }
    let waiting = a.handle.peers()[0].waiting;
    assert!(waiting > 0, "the window is full and more waits");
    assert!(waiting < 4_900, "a window is on its way");
    // What it had acknowledged is in its application's hands, the rest is not.
    b.handle.shutdown().await;
    while let Some(event) = b.events.recv().await {
        if let SwarmEvent::Message { body, .. } = event {
            seen.push(number(&body));
        }
    }
    let acknowledged = a.handle.stats().messages_sent;
    assert!(acknowledged <= seen.len() as u64);
    assert!(seen.len() < 4_000);
    let mut again = config(2, &[]);
    again.listen = b.handle.listen_addr().clone();
    let mut b = start(again).await;
    while seen.last() != Some(&4_999) {
        seen.push(number(&b.message().await.1));
    }
    assert_whole_and_in_order(&seen, 5_000);
    assert!(a.handle.stats().frames_retried > 0);
    until("acknowledged", || a.handle.stats().messages_sent == 5_000).await;
}

#[tokio::test]
async fn receiver_that_stops_reading_makes_messages_expire_and_no_more() {
    let mut slow = config(2, &[]);
    slow.limits.inbox_count_max = 16;
    let mut hasty = config(1, &[]);
    hasty.limits.stream_timeout = Duration::from_millis(100);
    hasty.limits.frame_age_max = Duration::from_millis(300);
    hasty.limits.message_age_max = Duration::from_millis(300);
    hasty.limits.outbox_bytes_max = 1 << 20;
    hasty.limits.backoff_max = Duration::from_millis(50);
    let (a, mut b) = (start(hasty).await, start(slow).await);
    a.handle.add_peer(b.entry());
    until("connected", || a.handle.connected() == [b.id()]).await;
    let mut n = 0;
    until("frames were sent again, then given up", || {
        for _ in 0..50 {
            a.handle.send(b.id(), numbered(n, 1 << 10)).unwrap();
            n += 1;
        }
        assert!(a.handle.peers()[0].waiting <= 1 << 10);
        let stats = a.handle.stats();
        stats.frames_retried > 0 && stats.messages_expired > 0 && stats.messages_overflowed > 0
    })
    .await;
    // It holds a frame at most, whatever came again on new streams: not one was read while the first waited.
    let received = b.handle.stats().messages_received;
    assert!(received as usize <= WINDOW_BYTES >> 10, "{received}");
    assert!(a.handle.connected() == [b.id()], "no reason to hang up");
    a.handle.send(b.id(), Bytes::from_static(b"fresh")).unwrap();
    while b.message().await.1 != "fresh" {}
    until("the outbox is empty", || a.handle.peers()[0].waiting == 0).await;
}

/// Its streams are given up again and again while it holds a frame of one that is gone.
/// A stream with all its bytes there and then its end; keeps what is written.
struct Scripted {
    input: futures::io::Cursor<Vec<u8>>,
    output: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Scripted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_read(cx, buf)
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.output.lock().unwrap().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn frame_of_a_stream_that_is_gone_counts_for_nothing_on_the_next() {
    let limits = Limits { inbox_count_max: 1, ..Limits::default() };
    let (delivery, mut events) = Delivery::new(&limits);
    let shared = Arc::new(Shared::new(PeerId::random(), Vec::new(), limits));
    let parts = Parts { protocol: StreamProtocol::new("/test"), shared, delivery, reading: Reading::new(1 << 20) };
    let mut inbound = Inbound::new(PeerId::random());
    let mut cx = Context::from_waker(Waker::noop());
    let mut outputs = Vec::new();
    for _ in 0..2 {
        let output = Arc::default();
        outputs.push(Arc::clone(&output));
        let input = futures::io::Cursor::new(frame(&[b"1", b"2"]));
        inbound.accept(&parts, Scripted { input, output });
        // The first message fits; the second is held, and keeps the next stream from being read.
        inbound.poll(&mut cx, &parts);
    }
    for expected in ["1", "2", "1", "2"] {
        let Some(SwarmEvent::Message { body, .. }) = events.try_recv() else { panic!("{expected} did not come") };
        assert_eq!(body, expected);
        inbound.poll(&mut cx, &parts);
    }
    let written = |n: usize| outputs[n].lock().unwrap().clone();
    assert_eq!((written(0), written(1)), (Vec::new(), vec![1, 0, 0, 0]));
}

#[tokio::test]
async fn slow_receiver_has_everything_in_the_end() {
    let mut slow = config(2, &[]);
    slow.limits.inbox_count_max = 16;
    let mut hasty = config(1, &[]);
    hasty.limits.stream_timeout = Duration::from_millis(20);
    hasty.limits.backoff_min = Duration::from_millis(1);
    hasty.limits.backoff_max = Duration::from_millis(5);
    let (a, mut b) = (start(hasty).await, start(slow).await);
    a.handle.add_peer(b.entry());
    until("connected", || a.handle.connected() == [b.id()]).await;
    let mut seen = Vec::new();
    for n in 0..3_000 {
        a.handle.send(b.id(), numbered(n, 20)).unwrap();
        if n % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            seen.push(number(&b.message().await.1));
        }
    }
    while seen.last() != Some(&2_999) {
        seen.push(number(&b.message().await.1));
    }
    assert_whole_and_in_order(&seen, 3_000);
    assert!(a.handle.stats().frames_retried > 5);
    assert!(seen.len() > 3_000, "some came twice");
}

#[tokio::test]
async fn second_connection_takes_over_and_two_do_not_mix() {
    let (a, mut b) = pair().await;
    let (peer, addr) = (b.id(), b.handle.listen_addr().clone());
    a.swarm(move |swarm| {
        let options = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![addr]);
        swarm.dial(options.allocate_new_port().build()).unwrap();
    })
    .await;
    while connections(&a).await < 2 || connections(&b).await < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut seen = Vec::new();
    let lane = a.handle.shared.lane(peer);
    for n in 0..4_000 {
        a.handle.send(peer, numbered(n, 100)).unwrap();
        b.handle.send(a.id(), numbered(n, 100)).unwrap();
        if n % 500 == 250 {
            seen.push(number(&b.message().await.1));
        }
        if n == 2_001 {
            let carrier = lane.carrier().expect("messages are under way");
            a.swarm(move |swarm| assert!(swarm.close_connection(carrier))).await;
            until("the other one carries", || lane.carrier().is_some_and(|now| now != carrier)).await;
        }
    }
    while seen.last() != Some(&3_999) {
        match b.events.recv().await.unwrap() {
            SwarmEvent::Message { body, .. } => seen.push(number(&body)),
            SwarmEvent::Disconnected(_) => panic!("one connection was left"),
            _ => {}
        }
    }
    assert_whole_and_in_order(&seen, 4_000);
    let mut a = a;
    let mut seen = Vec::new();
    while seen.last() != Some(&3_999) {
        seen.push(number(&a.message().await.1));
    }
    assert_whole_and_in_order(&seen, 4_000);
    assert_eq!(connections(&a).await, 1);
}

async fn connections(node: &Node) -> u32 {
    let (tell, told) = oneshot::channel();
    node.swarm(move |swarm| tell.send(swarm.network_info().connection_counters().num_established()).unwrap()).await;
    told.await.unwrap()
}

#[tokio::test]
async fn streams_of_a_hostile_stranger_are_cut_and_harm_nobody() {
    let (a, mut b) = pair().await;
    let raw = Raw::dial(3, &b.entry()).await;
    let crowd = frame(&vec![&b""[..]; MESSAGES_MAX + 1]);
    let half = &frame(&[b"one", b"two"])[..9];
    let hostile: [&[u8]; 7] = [
        &crowd,
        &[255; 64],                   // a prefix above all bounds
        &[1, 0, 64, 0, 1, 2],         // just above
        &[0, 0, 0, 0],                // no message
        &[2, 0, 0, 0, 7, 7],          // no room for a message's length
        &[5, 0, 0, 0, 9, 0, 0, 0, 1], // a message longer than its frame
        half,                         // cut, and the end of the stream
    ];
    for bytes in hostile {
        assert_eq!(raw.write(bytes).await, None, "{bytes:?}");
    }
    assert_eq!(b.handle.stats().messages_received, 0);
    // Half a frame each on streams that stay open: the last one is kept and nothing else.
    for _ in 0..300 {
        raw.leave(half);
    }
    // The connection may have ended over it, which is the stranger's loss; a whole frame on the next one is heard.
    let raw = Raw::dial(4, &b.entry()).await;
    let whole = frame(&[b"one", b"two"]);
    assert_eq!(raw.write(&[&whole[..], &whole].concat()).await, Some(2));
    for expected in ["one", "two", "one", "two"] {
        assert_eq!(b.message().await, (raw.id, Bytes::from(expected)));
    }
    a.handle.send(b.id(), Bytes::from_static(b"unharmed")).unwrap();
    assert_eq!(b.message().await.1, "unharmed");
    assert_eq!((b.handle.stats().restarts, b.handle.stats().messages_received), (0, 5));
}

#[tokio::test]
async fn stranger_that_never_ends_a_frame_does_not_keep_the_budget() {
    let mut tight = config(2, &[]);
    tight.limits.reading_bytes_max = 1 << 20;
    tight.limits.stream_timeout = Duration::from_millis(300);
    let (a, mut b) = (start(config(1, &[])).await, start(tight).await);
    a.handle.add_peer(b.entry());
    until("connected", || a.handle.connected() == [b.id()]).await;
    let raw = Raw::dial(3, &b.entry()).await;
    // A megabyte announced and a little of it sent.
    raw.leave(&[&(1u32 << 20).to_le_bytes()[..], &[7; 100]].concat());
    assert_eq!(raw.write(&frame(&[b"ended"])).await, Some(1), "the next stream takes the place of the one before it");
    assert_eq!(b.message().await.1, "ended");
    raw.leave(&[&(1u32 << 20).to_le_bytes()[..], &[7; 100]].concat());
    tokio::time::sleep(Duration::from_millis(100)).await;
    a.handle.send(b.id(), Bytes::from(vec![1; 500 << 10])).unwrap();
    assert_eq!(b.message().await.1.len(), 500 << 10);
    assert!(a.handle.stats().frames_retried > 0, "it was refused while the stranger had the budget");
}

/// Streams end under load in every way a receiver can end them, one after the other and over again.
#[tokio::test]
async fn streams_that_the_receiver_ends_lose_nothing() {
    let mut sender = config(1, &[]);
    sender.limits.backoff_min = Duration::from_millis(2);
    sender.limits.backoff_max = Duration::from_millis(20);
    let a = start(sender).await;
    let mut raw = Raw::listen(3).await;
    a.handle.add_peer(raw.entry.clone());
    let mut seen: Vec<u32> = Vec::new();
    for n in 0..3_000 {
        a.handle.send(raw.id, numbered(n, 200)).unwrap();
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut ways = BTreeSet::new();
    while seen.last() != Some(&2_999) {
        let (way, messages) = raw.frame().await;
        ways.insert(way);
        seen.extend(messages.iter().map(|body| number(body)));
    }
    assert_eq!(ways, BTreeSet::from([Receive::Nothing, Receive::Lie, Receive::Break, Receive::Acknowledge]));
    assert_whole_and_in_order(&seen, 3_000);
    let stats = a.handle.stats();
    assert!(stats.frames_retried > 0);
    assert!(stats.messages_sent < 3_000, "an acknowledgement of what was not sent counts for nothing");
}
