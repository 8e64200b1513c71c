//! One process as the kernel accounts for it.
//!
//! **CPU time.** `/proc/PID/stat` counts the whole process, threads that have ended included, and since the kernel scales user
//! and kernel time to the scheduler's own nanosecond count their sum is right to a tick or two (10 ms) however short the threads' turns
//! were. `/proc/PID/task/TID/schedstat` counts one living thread in nanoseconds. A thread's part that no reading saw, because
//! it ended in between, is the difference of the two and shows as [`ENDED`](super::recorder::ENDED). Kernels without `schedstat` leave ticks for threads too.
//!
//! **Written bytes** are those of `/proc/PID/io`: pages that the process made dirty in the page cache and bytes past it. The file system's
//! own journal is not among them.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// Threads of one process that are read; the time of the rest counts as that of ended ones.
const THREADS_MAX: usize = 4096;

/// What the kernel has counted for one process since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// All threads, user and kernel time.
    pub cpu: Duration,
    /// The living threads.
    pub threads: BTreeMap<ThreadKey, ThreadReading>,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Most resident memory so far in bytes.
    pub resident_max: u64,
    /// Bytes sent towards storage; `None` where the kernel does not tell (no task accounting, or another user's process).
    pub written: Option<u64>,
}

/// A thread for as long as it lives: ids are used again, an id with its start is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadKey {
    /// The kernel's id.
    pub id: u32,
    /// When it started, in ticks since boot.
    pub start: u64,
}

/// One living thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadReading {
    /// Its name, which the kernel cuts to 15 bytes.
    pub name: String,
    /// User and kernel time.
    pub cpu: Duration,
}

impl Reading {
    /// Reads process `pid`.
    ///
    /// # Errors
    /// Of kind `NotFound` if there is no such process (any more).
    pub fn of(pid: u32) -> io::Result<Reading> {
        let tick = tick();
        // Threads first: what they have by then is surely in the process's count, which is read after them.
        let threads = threads(pid, tick)?;
        let stat = Stat::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?).ok_or_else(unexpected)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Ok(Reading {
            cpu: tick.saturating_mul(u32::try_from(stat.ticks).unwrap_or(u32::MAX)),
            threads,
            resident: kib_field(&status, "VmRSS:").unwrap_or(0),
            resident_max: kib_field(&status, "VmHWM:").unwrap_or(0),
            written: field(&io, "write_bytes:"),
        })
    }

    /// CPU time by thread name between `earlier` and this reading, of the threads that live at its moment.
    #[must_use]
    pub fn threads_since(&self, earlier: &Reading) -> BTreeMap<String, Duration> {
        let mut by_name: BTreeMap<String, Duration> = BTreeMap::new();
        for (key, thread) in &self.threads {
            let before = earlier.threads.get(key).map_or(Duration::ZERO, |thread| thread.cpu);
            let sum = by_name.entry(thread.name.clone()).or_default();
            *sum = sum.saturating_add(thread.cpu.saturating_sub(before));
        }
        by_name
    }
}

/// Bytes that all interfaces of the process's network namespace have received so far. On loopback between processes of one namespace this
/// is everybody's traffic, each byte once.
///
/// # Errors
/// Of kind `NotFound` if there is no such process (any more).
pub fn network_received(pid: u32) -> io::Result<u64> {
    Ok(received(&std::fs::read_to_string(format!("/proc/{pid}/net/dev"))?))
}

/// From `/proc/net/dev`: two lines of heads, then `name: received …` per interface.
fn received(text: &str) -> u64 {
    let bytes = |line: &str| line.split_once(':')?.1.split_whitespace().next()?.parse::<u64>().ok();
    text.lines().skip(2).filter_map(bytes).fold(0, u64::saturating_add)
}

/// Length of a tick of `/proc/PID/stat`, which the kernel tells each program at its start (`AT_CLKTCK`).
pub(super) fn tick() -> Duration {
    const AT_CLKTCK: u64 = 17;
    const USUAL: u64 = 100;
    let pairs = std::fs::read("/proc/self/auxv").unwrap_or_default();
    let value = |pair: &[u8]| {
        let (key, value) = pair.split_first_chunk::<8>()?;
        (u64::from_ne_bytes(*key) == AT_CLKTCK).then(|| value.first_chunk::<8>().map(|v| u64::from_ne_bytes(*v)))?
    };
    let per_second = pairs.chunks_exact(16).find_map(value).filter(|ticks| *ticks > 0).unwrap_or(USUAL);
    Duration::from_nanos(1_000_000_000_u64.checked_div(per_second).unwrap_or(10_000_000))
}

fn threads(pid: u32, tick: Duration) -> io::Result<BTreeMap<ThreadKey, ThreadReading>> {
    let mut threads = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))?.take(THREADS_MAX) {
        let path = entry?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // A thread that ends while it is read is not there.
        let Ok(stat) = std::fs::read_to_string(path.join("stat")) else { continue };
        let Some(stat) = Stat::parse(&stat) else { continue };
        let exact = std::fs::read_to_string(path.join("schedstat")).ok();
        let exact = exact.and_then(|text| text.split_whitespace().next()?.parse().ok()).map(Duration::from_nanos);
        let cpu = exact.unwrap_or_else(|| tick.saturating_mul(u32::try_from(stat.ticks).unwrap_or(u32::MAX)));
        threads.insert(ThreadKey { id, start: stat.start }, ThreadReading { name: stat.name, cpu });
    }
    Ok(threads)
}

/// What is used of a `stat` file, of a process or of a thread.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    /// User and kernel time.
    ticks: u64,
    start: u64,
}

impl Stat {
    /// Fields are counted behind the name, which is in brackets and may itself hold brackets and blanks.
    fn parse(text: &str) -> Option<Stat> {
        const USER: usize = 11;
        const KERNEL: usize = 12;
        const START: usize = 19;
        let (head, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
        Some(Stat {
            name: head.split_once('(')?.1.to_owned(),
            ticks: number(USER)?.saturating_add(number(KERNEL)?),
            start: number(START)?,
        })
    }
}

/// The value of the line `name  N kB`, in bytes.
pub(super) fn kib_field(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.checked_mul(1024)
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's account of a process has another form")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Instant;

    fn burn(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::black_box(blake3::hash(&[0; 1024]));
        }
    }

    #[test]
    fn a_name_may_hold_anything() {
        let text = "7 (core a) b (c) S 1 2 3 4 5 6 7 8 9 10 400 30 13 14 15 16 17 18 9001 20 21\n";
        assert_eq!(Stat::parse(text), Some(Stat { name: "core a) b (c".into(), ticks: 430, start: 9001 }));
        assert_eq!(Stat::parse("7 (x) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn traffic_is_summed_over_interfaces() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes    packets|bytes\n    lo:  100 1 0 0 0 0 0 0 100 1\n  eth0: 23 1 0\n";
        assert_eq!(received(text), 123);
        assert_eq!(received(""), 0);
    }

    #[test]
    fn a_living_threads_time_is_found_under_its_name() {
        let (go, wait) = mpsc::channel::<()>();
        let (done, finished) = mpsc::channel();
        let before = Reading::of(std::process::id()).unwrap();
        let thread = std::thread::Builder::new().name("core 0/1".into()).spawn(move || {
            burn(Duration::from_millis(80));
            done.send(()).unwrap();
            wait.recv().unwrap();
        });
        finished.recv().unwrap();
        let spent = Reading::of(std::process::id()).unwrap().threads_since(&before);
        let core = spent["core 0/1"];
        assert!(core >= Duration::from_millis(5) && core <= Duration::from_secs(2), "{spent:?}");
        go.send(()).unwrap();
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn this_process_has_memory_and_a_dead_one_is_not_found() {
        let reading = Reading::of(std::process::id()).unwrap();
        assert!(reading.resident > 0 && reading.resident_max >= reading.resident);
        assert_eq!(Reading::of(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(tick() >= Duration::from_millis(1) && tick() <= Duration::from_millis(20));
    }
}
