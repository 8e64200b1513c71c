//! Timers that are set seldom: never for each frame.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// Off until it is set.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    set: bool,
}

impl Timer {
    pub(crate) fn is_set(&self) -> bool {
        self.set
    }

    /// Sets it, or sets it anew.
    pub(crate) fn set(&mut self, wait: Duration) {
        self.set = true;
        match &mut self.sleep {
            Some(sleep) => {
                let now = Instant::now();
                sleep.as_mut().reset(now.checked_add(wait).unwrap_or(now));
            }
            None => self.sleep = Some(Box::pin(tokio::time::sleep(wait))),
        }
    }

    /// Sets it, and has the task woken when the time is over: only a timer that has been polled wakes anybody.
    pub(crate) fn start(&mut self, cx: &mut Context<'_>, wait: Duration) {
        self.set(wait);
        if self.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Ready once when the time is over; the task is woken then.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = self.sleep.as_mut().filter(|_| self.set)
            && sleep.as_mut().poll(cx).is_ready()
        {
            self.set = false;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// Notices that a stream stands still. Its timer is not set for each frame, so that takes between once and twice the patience.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    timer: Timer,
    /// Something has moved since the timer was set.
    moved: bool,
}

impl Watchdog {
    pub(crate) fn moved(&mut self) {
        self.moved = true;
    }

    /// An error if something is `awaited` and nothing has moved for a whole run of the timer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, awaited: bool, patience: Duration) -> io::Result<()> {
        let over = self.timer.poll(cx).is_ready();
        if !awaited {
            return Ok(());
        }
        if over && !self.moved {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !self.timer.is_set() {
            self.moved = false;
            self.timer.start(cx, patience);
        }
        Ok(())
    }
}
