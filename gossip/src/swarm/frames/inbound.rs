//! The receiving half: frames from the peer's stream to the application, and acknowledgements back.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;

use super::super::{
    codec::Budget,
    event::SwarmEvent,
    handle::count,
    inbox::{Holding, Waiting},
};
use super::{
    Parts,
    lane::{WINDOW_BYTES, WINDOW_FRAMES},
    timer::{Timer, Watchdog},
    wire::Reader,
};

/// Frames after which the sender hears of them at once: it must not stand still for want of an acknowledgement.
const OWED_FRAMES_MAX: usize = WINDOW_FRAMES / 2;
/// Bytes after which it does.
const OWED_BYTES_MAX: usize = WINDOW_BYTES / 2;
/// Longest that fewer frames go without an acknowledgement. The sender waits for nothing meanwhile; a connection that breaks has so much more
/// to be sent again.
const OWED_TIME_MAX: Duration = Duration::from_millis(50);
/// Frames handed over in one go, after which the connection's other business has its turn.
const FRAMES_PER_POLL: usize = 16;

/// A frame that the application has not taken whole.
struct Held {
    messages: VecDeque<Bytes>,
    bytes: usize,
    _budget: Budget,
    /// There is no room for the next message. The frame's messages count as held meanwhile.
    wait: Option<(Waiting, Holding)>,
}

struct Open<S> {
    stream: S,
    reader: Reader,
    /// Frames and bytes handed over and not acknowledged.
    owed_frames: usize,
    owed_bytes: usize,
    /// An acknowledgement being written.
    writing: [u8; 4],
    unwritten: usize,
    /// The sender has no more to say.
    ended: bool,
    /// For a frame that does not become whole: what is there of it takes memory and a share of the reading budget, which others want.
    watchdog: Watchdog,
}

/// At most one stream and one frame at a time.
pub(super) struct Inbound<S> {
    from: PeerId,
    open: Option<Open<S>>,
    /// It may come from a stream that is gone by now: then nobody hears that the application has it.
    held: Option<(Held, bool)>,
    acknowledge: Timer,
}

impl<S> fmt::Debug for Inbound<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("from", &self.from).field("open", &self.open.is_some()).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inbound<S> {
    pub(super) fn new(from: PeerId) -> Self {
        Self { from, open: None, held: None, acknowledge: Timer::default() }
    }

    /// The peer has opened a stream: the one before it is over, and what came on it without an acknowledgement will come again.
    pub(super) fn accept(&mut self, parts: &Parts, stream: S) {
        if let Some((_, owed)) = &mut self.held {
            *owed = false;
        }
        self.open = Some(Open {
            stream,
            reader: Reader::new(parts.reading.clone()),
            owed_frames: 0,
            owed_bytes: 0,
            writing: [0; 4],
            unwritten: 0,
            ended: false,
            watchdog: Watchdog::default(),
        });
    }

    /// Reads, hands over and acknowledges as far as it goes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, parts: &Parts) {
        if let Err(error) = self.receive(cx, parts) {
            tracing::debug!(peer = %self.from, %error, "stream of frames refused or broken");
            self.open = None;
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>, parts: &Parts) -> io::Result<()> {
        let mut frames = 0usize;
        while self.hand_over(cx, parts).is_ready() {
            if frames >= FRAMES_PER_POLL {
                cx.waker().wake_by_ref();
                break;
            }
            let Some(open) = self.open.as_mut().filter(|open| !open.ended) else {
                break;
            };
            let arrived = match open.reader.poll_frame(cx, &mut open.stream)? {
                Poll::Pending => break,
                Poll::Ready(Some(arrived)) => arrived,
                Poll::Ready(None) => {
                    open.ended = true;
                    break;
                }
            };
            frames = frames.saturating_add(1);
            open.watchdog.moved();
            let received = u64::try_from(arrived.messages.len()).unwrap_or(u64::MAX);
            count(&parts.shared.counters.messages_received, received);
            let messages = VecDeque::from(arrived.messages);
            let held = Held { messages, bytes: arrived.bytes, _budget: arrived.budget, wait: None };
            self.held = Some((held, true));
        }
        if let Some(open) = &mut self.open {
            open.watchdog.poll(cx, open.reader.is_within(), parts.shared.limits.stream_timeout)?;
        }
        self.acknowledge(cx)
    }

    /// Moves the held frame to the application; ready when nothing is left of it.
    fn hand_over(&mut self, cx: &mut Context<'_>, parts: &Parts) -> Poll<()> {
        let Some((held, owed)) = &mut self.held else {
            return Poll::Ready(());
        };
        let from = self.from;
        if let Some((waiting, _)) = &mut held.wait {
            let place = ready!(Pin::new(waiting).poll(cx));
            held.wait = None;
            if let Some(body) = held.messages.pop_front() {
                place.fill(SwarmEvent::Message { from, body });
            }
        }
        while let Some(body) = held.messages.pop_front() {
            let Some(event) = parts.delivery.offer(SwarmEvent::Message { from, body }) else {
                continue;
            };
            let mut waiting = parts.delivery.place(&event);
            if let Poll::Ready(place) = Pin::new(&mut waiting).poll(cx) {
                place.fill(event);
                continue;
            }
            if let SwarmEvent::Message { body, .. } = event {
                held.messages.push_front(body);
            }
            held.wait = Some((waiting, parts.delivery.hold(held.messages.len(), held.bytes)));
            return Poll::Pending;
        }
        if let Some(open) = self.open.as_mut().filter(|_| *owed) {
            open.owed_frames = open.owed_frames.saturating_add(1);
            open.owed_bytes = open.owed_bytes.saturating_add(held.bytes);
        }
        self.held = None;
        Poll::Ready(())
    }

    /// Acknowledges what is owed, if it is much or the oldest of it has waited long enough.
    fn acknowledge(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let overdue = self.acknowledge.poll(cx).is_ready();
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let due = overdue || open.ended || open.owed_frames >= OWED_FRAMES_MAX || open.owed_bytes >= OWED_BYTES_MAX;
        if due && open.unwritten == 0 && open.owed_frames > 0 {
            open.writing = u32::try_from(open.owed_frames).unwrap_or(u32::MAX).to_le_bytes();
            open.unwritten = open.writing.len();
            open.owed_frames = 0;
            open.owed_bytes = 0;
        }
        let wrote = open.unwritten > 0;
        while open.unwritten > 0 {
            let at = open.writing.len().saturating_sub(open.unwritten);
            let rest = open.writing.get(at..).unwrap_or_default();
            match Pin::new(&mut open.stream).poll_write(cx, rest)? {
                Poll::Pending => break,
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => open.unwritten = open.unwritten.saturating_sub(written),
            }
        }
        if open.ended && open.unwritten == 0 {
            self.open = None;
            return Ok(());
        }
        if wrote {
            // What cannot be flushed now goes with the next acknowledgement.
            let (Poll::Ready(()) | Poll::Pending) = Pin::new(&mut open.stream).poll_flush(cx)?;
        }
        if open.owed_frames > 0 && !self.acknowledge.is_set() {
            self.acknowledge.start(cx, OWED_TIME_MAX);
        }
        Ok(())
    }
}
