//! The one clock of a process: wall time that never goes back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time at the start plus monotonic time since: microseconds since 1970. A step of the system clock while the process
/// runs is not followed; the protocol tolerates a wrong clock, a jumping one would only cost view changes.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_us: u64,
    started: Instant,
}

impl Clock {
    /// Reads the wall clock once.
    #[must_use]
    pub fn start() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX / 2), started: Instant::now() }
    }

    /// Now, in microseconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.wall_us.saturating_add(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
