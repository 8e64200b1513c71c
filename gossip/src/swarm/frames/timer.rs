//! A timer that is set seldom: never for each frame.

use std::{
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
