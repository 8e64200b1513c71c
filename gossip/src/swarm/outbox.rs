//! One-way messages waiting for one peer. No I/O and no clock: time comes in.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::frames::wire::{MESSAGES_MAX, PREFIX_BYTES, encode_message, seal};

/// A frame takes messages until it holds this many bytes: larger frames only delay the acknowledgement. A larger message travels alone.
const FRAME_BYTES: usize = 256 << 10;

/// Bounded by count and bytes; the oldest message makes room for the newest, since what is newest is what the peer can still use.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    count_max: usize,
    bytes_max: usize,
}

/// Messages on their way, encoded.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Prefix and body, see [`super::frames::wire`].
    pub(crate) bytes: Bytes,
    pub(crate) count: u64,
    /// When it was first sent: bounds how long it is sent again.
    pub(crate) first_sent: Instant,
    pub(crate) attempts: u32,
}

impl Outbox {
    pub(crate) fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, count_max, bytes_max }
    }

    /// Takes a message; returns how many older ones were dropped for it.
    pub(crate) fn push(&mut self, now: Instant, message: Bytes) -> u64 {
        let mut dropped = 0u64;
        self.bytes = self.bytes.saturating_add(message.len());
        self.waiting.push_back((now, message));
        while (self.waiting.len() > self.count_max || self.bytes > self.bytes_max) && self.pop().is_some() {
            dropped = dropped.saturating_add(1);
        }
        dropped
    }

    /// The next frame, oldest message first, and how many messages were dropped for their age.
    pub(crate) fn frame(&mut self, now: Instant, age_max: Duration) -> (Option<Frame>, u64) {
        let mut stale = 0u64;
        while let Some((since, _)) = self.waiting.front() {
            if now.saturating_duration_since(*since) <= age_max {
                break;
            }
            self.pop();
            stale = stale.saturating_add(1);
        }
        let size = self.bytes.saturating_add(self.waiting.len().saturating_mul(4)).saturating_add(PREFIX_BYTES);
        let mut bytes = Vec::with_capacity(size.min(FRAME_BYTES));
        bytes.extend_from_slice(&[0; PREFIX_BYTES]);
        let mut count = 0usize;
        while let Some((_, message)) = self.waiting.front() {
            let grown = bytes.len().saturating_add(message.len()).saturating_add(4);
            if count > 0 && (grown > FRAME_BYTES || count >= MESSAGES_MAX) {
                break;
            }
            let encoded = encode_message(&mut bytes, message);
            debug_assert!(encoded, "send refuses what does not fit a frame");
            self.pop();
            count = count.saturating_add(1);
        }
        let sealed = seal(&mut bytes);
        debug_assert!(sealed, "send refuses what does not fit a frame");
        let frame = (count > 0).then(|| Frame {
            bytes: Bytes::from(bytes),
            count: u64::try_from(count).unwrap_or(u64::MAX),
            first_sent: now,
            attempts: 0,
        });
        (frame, stale)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn pop(&mut self) -> Option<Bytes> {
        let (_, message) = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(message.len());
        if self.waiting.is_empty() && self.waiting.capacity() > 1_024 {
            // A burst is over: 81 swarms in one process must not each keep their largest queue for ever.
            self.waiting = VecDeque::new();
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use crate::swarm::frames::wire::decode_messages;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn oldest_is_dropped_when_count_or_bytes_run_out() {
        let now = Instant::now();
        let mut by_count = Outbox::new(2, 100);
        assert_eq!(by_count.push(now, Bytes::from_static(b"a")), 0);
        assert_eq!(by_count.push(now, Bytes::from_static(b"b")), 0);
        assert_eq!(by_count.push(now, Bytes::from_static(b"c")), 1);
        let frame = by_count.frame(now, LONG).0.unwrap();
        assert_eq!(decode_messages(&frame.bytes.slice(PREFIX_BYTES..)).unwrap(), ["b", "c"]);

        let mut by_bytes = Outbox::new(10, 5);
        by_bytes.push(now, Bytes::from_static(b"xxx"));
        by_bytes.push(now, Bytes::from_static(b"y"));
        assert_eq!(by_bytes.push(now, Bytes::from_static(b"zzzzz")), 2);
        assert_eq!((by_bytes.len(), by_bytes.bytes), (1, 5));
    }

    #[test]
    fn frames_are_cut_by_bytes_and_count_and_keep_order() {
        let now = Instant::now();
        let mut outbox = Outbox::new(usize::MAX, usize::MAX);
        let big = Bytes::from(vec![1; FRAME_BYTES + 1]);
        for message in [Bytes::from_static(b"1"), big.clone(), Bytes::from_static(b"2")] {
            outbox.push(now, message);
        }
        let counts: Vec<u64> = std::iter::from_fn(|| outbox.frame(now, LONG).0.map(|frame| frame.count)).collect();
        assert_eq!(counts, [1, 1, 1]);
        for _ in 0..=MESSAGES_MAX {
            outbox.push(now, Bytes::new());
        }
        assert_eq!(outbox.frame(now, LONG).0.unwrap().count, 4_096);
        assert_eq!(outbox.frame(now, LONG).0.unwrap().count, 1);
        assert!(outbox.frame(now, LONG).0.is_none());
    }

    #[test]
    fn what_waited_too_long_is_not_sent() {
        let start = Instant::now();
        let mut outbox = Outbox::new(10, 100);
        outbox.push(start, Bytes::from_static(b"old"));
        outbox.push(start + LONG, Bytes::from_static(b"new"));
        let (frame, stale) = outbox.frame(start + LONG + Duration::from_secs(1), LONG);
        assert_eq!((frame.unwrap().count, stale), (1, 1));
    }
}
