//! The sending half: frames from the peer's lane to a stream of ours, and its acknowledgements.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use libp2p::{PeerId, swarm::ConnectionId};

use super::super::{codec::invalid, config::Limits, handle::count};
use super::{
    Parts,
    lane::Lane,
    timer::{Timer, Watchdog},
    wire::Acknowledgements,
};

enum State<S> {
    /// No stream: nothing to send so far, or another connection carries.
    Idle,
    Opening,
    Open(Open<S>),
    /// The last stream failed: none until the timer has run.
    Resting,
}

struct Open<S> {
    stream: S,
    acknowledgements: Acknowledgements,
    /// Frames written or being written, and not acknowledged.
    unacknowledged: usize,
    /// The frame being written and how much of it is.
    writing: Option<(Bytes, usize)>,
    flushed: bool,
    /// For frames that are not acknowledged.
    watchdog: Watchdog,
}

/// At most one stream at a time.
pub(super) struct Outbound<S> {
    connection: ConnectionId,
    to: PeerId,
    lane: Arc<Lane>,
    state: State<S>,
    /// Failures since the last acknowledgement.
    failures: u32,
    rest: Timer,
}

impl<S> fmt::Debug for Outbound<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("connection", &self.connection).field("to", &self.to).finish_non_exhaustive()
    }
}

impl<S> Outbound<S> {
    pub(super) fn new(connection: ConnectionId, to: PeerId, lane: Arc<Lane>) -> Self {
        let state = State::Idle;
        Self { connection, to, lane, state, failures: 0, rest: Timer::default() }
    }

    /// The stream asked for is there. It was asked for by the carrier, and a carrier only ceases to be one by [`Self::failed`].
    pub(super) fn opened(&mut self, stream: S) {
        self.state = State::Open(Open {
            stream,
            acknowledgements: Acknowledgements::default(),
            unacknowledged: 0,
            writing: None,
            flushed: true,
            watchdog: Watchdog::default(),
        });
    }

    /// There is no stream, or it is of no use: another connection may carry, and this one rests before it tries again, longer each time.
    pub(super) fn failed(&mut self, limits: &Limits, error: &dyn fmt::Display) {
        tracing::debug!(peer = %self.to, %error, "stream of frames failed");
        let doubled = 1u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.rest.set(limits.backoff_min.saturating_mul(doubled).min(limits.backoff_max));
        self.state = State::Resting;
        self.lane.release(self.connection);
    }

    /// The connection ends.
    pub(super) fn leave(&mut self) {
        self.state = State::Resting;
        self.lane.leave(self.connection);
    }
}

impl<S> Drop for Outbound<S> {
    fn drop(&mut self) {
        self.lane.leave(self.connection);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Outbound<S> {
    /// Reads acknowledgements and writes frames as far as it goes; true if a stream is to be opened.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, parts: &Parts) -> bool {
        if let Err(error) = self.exchange(cx, parts) {
            self.failed(&parts.shared.limits, &error);
        }
        if matches!(self.state, State::Resting) && self.rest.poll(cx).is_ready() {
            self.state = State::Idle;
        }
        let wanted = matches!(self.state, State::Idle) && self.lane.claim(self.connection, cx.waker());
        if wanted {
            self.state = State::Opening;
        }
        wanted
    }

    fn exchange(&mut self, cx: &mut Context<'_>, parts: &Parts) -> io::Result<()> {
        let State::Open(open) = &mut self.state else {
            return Ok(());
        };
        let counters = &parts.shared.counters;
        while let Poll::Ready(more) = open.acknowledgements.poll_next(cx, &mut open.stream)? {
            let frames = more.ok_or(io::ErrorKind::UnexpectedEof)?;
            // One that is still being written cannot have arrived.
            let whole = open.unacknowledged.saturating_sub(usize::from(open.writing.is_some()));
            let known = (frames <= whole).then(|| self.lane.acknowledged(self.connection, frames)).flatten();
            let messages = known.ok_or_else(|| invalid("acknowledgement of what was not sent"))?;
            count(&counters.messages_sent, messages);
            open.unacknowledged = open.unacknowledged.saturating_sub(frames);
            open.watchdog.moved();
            self.failures = 0;
        }
        if !self.lane.claim(self.connection, cx.waker()) {
            return Ok(());
        }
        loop {
            while let Some((frame, written)) = &mut open.writing {
                let rest = frame.get(*written..).unwrap_or_default();
                if rest.is_empty() {
                    open.writing = None;
                    open.flushed = false;
                    break;
                }
                match Pin::new(&mut open.stream).poll_write(cx, rest)? {
                    Poll::Pending => break,
                    Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(more) => *written = written.saturating_add(more),
                }
            }
            if open.writing.is_some() {
                break;
            }
            let next = self.lane.next(self.connection, Instant::now(), &parts.shared.limits);
            count(&counters.messages_expired, next.expired);
            count(&counters.frames_retried, u64::from(next.again));
            let Some(frame) = next.frame else {
                break;
            };
            open.unacknowledged = open.unacknowledged.saturating_add(1);
            open.writing = Some((frame, 0));
        }
        if !open.flushed {
            open.flushed = Pin::new(&mut open.stream).poll_flush(cx)?.is_ready();
        }
        open.watchdog.poll(cx, open.unacknowledged > 0, parts.shared.limits.stream_timeout)
    }
}
