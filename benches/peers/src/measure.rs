//! Clocks, medians, and what the kernel says about this process.

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time spent: by the clock on the wall, and by all threads of the process in user and kernel mode.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// Starts with [`Stopwatch::start`], ends with [`Stopwatch::stop`].
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    pub(crate) fn stop(&self) -> Spent {
        let cpu = cpu() - self.cpu;
        Spent { wall: self.wall.elapsed(), cpu }
    }
}

/// CPU time of this process so far, all threads, user and kernel.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// Seconds since 1970: the clock that strace stamps calls with.
pub(crate) fn unix_time() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Operations per second, by both clocks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) per_cpu_second: f64,
    pub(crate) per_second: f64,
}

impl Rate {
    /// Of `operations` that together took `spent`.
    pub(crate) fn of(operations: u64, spent: Spent) -> Self {
        let rate = |time: Duration| operations as f64 / time.as_secs_f64();
        Self { per_cpu_second: rate(spent.cpu), per_second: rate(spent.wall) }
    }

    /// The median over rounds of `operations` each, for each clock by itself.
    pub(crate) fn median(operations: u64, rounds: &[Spent]) -> Self {
        let wall = median(rounds.iter().map(|spent| spent.wall));
        let cpu = median(rounds.iter().map(|spent| spent.cpu));
        Self::of(operations, Spent { wall, cpu })
    }
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Memory of this process in bytes, as the kernel counts it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// The most that was resident at any time.
    pub(crate) peak: u64,
    /// Resident now.
    pub(crate) resident: u64,
    /// Of it in huge pages.
    pub(crate) huge: u64,
}

impl Memory {
    pub(crate) fn now() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").context("reading this process's status")?;
        // A kernel without the summary has no figure for huge pages: nothing else depends on it.
        let summary = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        let field = |text: &str, name: &str| kib_field(text, name).with_context(|| format!("no field {name}"));
        Ok(Self {
            peak: field(&status, "VmHWM:")?,
            resident: field(&status, "VmRSS:")?,
            huge: kib_field(&summary, "AnonHugePages:").unwrap_or(0),
        })
    }
}

/// The value of the line `name  N kB`, in bytes.
pub(crate) fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Bytes that the file system has allocated to everything below `directory`.
pub(crate) fn disk_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for item in std::fs::read_dir(directory).context("listing the scratch directory")? {
        let item = item?;
        let metadata = item.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&item.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
