//! Processes of a run, read once a second by a thread of its own, and at any moment that the run asks for.
//!
//! Between two [`Snapshot`]s lies a window; [`Snapshot::usage_since`] says what each process used in it. Reading once a second
//! costs the machine about 30 µs a thread and keeps time under the name of threads that end within the window; what they did after their last
//! reading shows as [`ENDED`].

use super::procfs::{Reading, tick};
use super::stages;
use crate::result::{Process, Second, StageCpu, ThreadCpu};
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The name under which time of threads shows that ended unread.
pub const ENDED: &str = "(ended)";

/// Time between readings.
const PERIOD: Duration = Duration::from_secs(1);
/// Thread names shown per process; the rest is summed up.
const NAMES_MAX: usize = 16;

/// A process to be read.
#[derive(Clone, Debug)]
pub struct Watched {
    /// How reports call it: "replica 0-1", "generator".
    pub name: String,
    /// The kernel's id.
    pub pid: u32,
    /// Whether its CPU time is the network's; the generator's is not.
    pub replica: bool,
}

/// Reads processes until it is stopped or dropped.
#[derive(Debug)]
pub struct Recorder {
    state: Arc<Mutex<State>>,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Debug)]
struct State {
    processes: Vec<Account>,
    series: Vec<Moment>,
}

/// One process so far.
#[derive(Debug)]
struct Account {
    watched: Watched,
    last: Reading,
    /// CPU time by thread name since the recorder began.
    threads: BTreeMap<String, Duration>,
    /// The process is gone: its last reading stands.
    gone: bool,
}

/// All replicas at one moment of the series.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    cpu: Duration,
    resident: u64,
}

/// All processes at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    at: Instant,
    processes: Vec<(Watched, Reading, BTreeMap<String, Duration>)>,
}

/// What was used in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Every process, in the order in which they were named.
    pub processes: Vec<Process>,
    /// CPU of all replicas by stage, the largest first.
    pub stages: Vec<StageCpu>,
    /// CPU seconds of all replicas.
    pub replica_cpu_s: f64,
    /// CPU seconds of all other processes.
    pub other_cpu_s: f64,
    /// Bytes that the replicas handed to the file system, all together; `None` if the kernel keeps it to itself for one of them.
    pub replica_bytes_written: Option<u64>,
}

impl Recorder {
    /// Starts to read `watched`.
    ///
    /// # Errors
    /// If one of them cannot be read, or no thread be started.
    pub fn start(watched: Vec<Watched>) -> io::Result<Recorder> {
        let account = |watched: Watched| {
            let last = Reading::of(watched.pid)?;
            Ok(Account { watched, last, threads: BTreeMap::new(), gone: false })
        };
        let processes = watched.into_iter().map(account).collect::<io::Result<Vec<_>>>()?;
        let mut state = State { processes, series: Vec::new() };
        state.read();
        let state = Arc::new(Mutex::new(state));
        let (stop, stopped) = channel();
        let shared = Arc::clone(&state);
        let thread =
            std::thread::Builder::new().name("recorder".into()).spawn(move || every_period(&shared, &stopped))?;
        Ok(Recorder { state, thread: Some((stop, thread)) })
    }

    /// Reads everything now. Cost: as a reading, 1 to 5 ms.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut state = lock(&self.state);
        let at = state.read();
        let copy = |account: &Account| (account.watched.clone(), account.last.clone(), account.threads.clone());
        Snapshot { at, processes: state.processes.iter().map(copy).collect() }
    }

    /// Puts the replicas' CPU and memory into `seconds`, whose `at_s` count from `origin`.
    pub fn fill(&self, seconds: &mut [Second], origin: Instant) {
        let state = lock(&self.state);
        let mut series = state.series.as_slice();
        for second in seconds {
            // The last moment at or before the second's start, and the first at or after its end.
            let start = series.partition_point(|moment| since(origin, moment.at) <= second.at_s as f64);
            series = series.get(start.saturating_sub(1)..).unwrap_or_default();
            let end = second.at_s.saturating_add(1) as f64;
            let to = series.iter().find(|moment| since(origin, moment.at) >= end).or(series.last());
            let (Some(from), Some(to)) = (series.first(), to) else { return };
            let wall = to.at.saturating_duration_since(from.at).as_secs_f64();
            if start > 0 && wall > 0.0 {
                second.replica_cores = Some(to.cpu.saturating_sub(from.cpu).as_secs_f64() / wall);
                second.replica_rss_bytes = Some(to.resident);
            }
        }
    }

    /// Reads no more. What was read stays.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            // A reader that panicked has nothing to add.
            thread.join().ok();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop();
    }
}

fn every_period(state: &Mutex<State>, stopped: &Receiver<()>) {
    let mut next = Instant::now();
    loop {
        // On a schedule, so that readings do not drift against the run's seconds; one that comes late is not made up for.
        next = next.checked_add(PERIOD).map_or(next, |next| next.max(Instant::now()));
        match stopped.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => drop(lock(state).read()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl State {
    fn read(&mut self) -> Instant {
        let at = Instant::now();
        for account in self.processes.iter_mut().filter(|account| !account.gone) {
            match Reading::of(account.watched.pid) {
                Ok(reading) => account.take(reading),
                Err(_) => account.gone = true,
            }
        }
        let replicas = || self.processes.iter().filter(|account| account.watched.replica);
        let moment = Moment {
            at,
            cpu: replicas().fold(Duration::ZERO, |sum, account| sum.saturating_add(account.last.cpu)),
            resident: replicas().fold(0, |sum, account| sum.saturating_add(account.last.resident)),
        };
        self.series.push(moment);
        at
    }
}

impl Account {
    fn take(&mut self, reading: Reading) {
        add(&mut self.threads, reading.threads_since(&self.last));
        self.last = reading;
    }
}

impl Snapshot {
    /// When it was taken.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// What was used between `earlier` and this snapshot of the same recorder.
    #[must_use]
    pub fn usage_since(&self, earlier: &Snapshot) -> Usage {
        let wall = self.at.saturating_duration_since(earlier.at).as_secs_f64();
        let mut usage = Usage { replica_bytes_written: Some(0), ..Usage::default() };
        let mut stages: BTreeMap<String, Duration> = BTreeMap::new();
        for ((watched, after, threads), (_, before, threads_before)) in self.processes.iter().zip(&earlier.processes) {
            let cpu = after.cpu.saturating_sub(before.cpu);
            let threads = difference(threads, threads_before, cpu);
            let written = after.written.zip(before.written).map(|(after, before)| after.saturating_sub(before));
            if watched.replica {
                usage.replica_cpu_s += cpu.as_secs_f64();
                usage.replica_bytes_written =
                    usage.replica_bytes_written.zip(written).and_then(|(a, b)| a.checked_add(b));
                add(&mut stages, stages::by_stage(&threads));
            } else {
                usage.other_cpu_s += cpu.as_secs_f64();
            }
            usage.processes.push(Process {
                name: watched.name.clone(),
                cpu_s: cpu.as_secs_f64(),
                cores: if wall > 0.0 { cpu.as_secs_f64() / wall } else { 0.0 },
                rss_start_bytes: before.resident,
                rss_end_bytes: after.resident,
                bytes_written: written,
                fsyncs: None,
                threads: busiest(threads),
            });
        }
        usage.stages = shares(&stages);
        usage
    }
}

/// By thread name; what the process spent beyond its named threads is [`ENDED`] from two ticks on, rounding below.
fn difference(
    after: &BTreeMap<String, Duration>,
    before: &BTreeMap<String, Duration>,
    process: Duration,
) -> BTreeMap<String, Duration> {
    let earlier = |name: &String| before.get(name).copied().unwrap_or_default();
    let mut threads: BTreeMap<String, Duration> =
        after.iter().map(|(name, cpu)| (name.clone(), cpu.saturating_sub(earlier(name)))).collect();
    let named = threads.values().fold(Duration::ZERO, |sum, cpu| sum.saturating_add(*cpu));
    let ended = process.saturating_sub(named);
    if ended >= tick().saturating_mul(2) {
        threads.insert(ENDED.to_owned(), ended);
    }
    threads
}

/// The busiest names first, the others as one.
fn busiest(threads: BTreeMap<String, Duration>) -> Vec<ThreadCpu> {
    let used = threads.into_iter().filter(|(_, cpu)| !cpu.is_zero());
    let mut threads: Vec<ThreadCpu> = used.map(|(name, cpu)| ThreadCpu { name, cpu_s: cpu.as_secs_f64() }).collect();
    threads.sort_by(|a, b| b.cpu_s.total_cmp(&a.cpu_s));
    if threads.len() > NAMES_MAX {
        let rest = threads.split_off(NAMES_MAX);
        let cpu_s = rest.iter().map(|thread| thread.cpu_s).sum();
        threads.push(ThreadCpu { name: format!("({} more)", rest.len()), cpu_s });
    }
    threads
}

fn shares(stages: &BTreeMap<String, Duration>) -> Vec<StageCpu> {
    let all: f64 = stages.values().map(Duration::as_secs_f64).sum();
    let share = |cpu: f64| if all > 0.0 { cpu / all } else { 0.0 };
    let stage = |(name, cpu): (&String, &Duration)| {
        let cpu_s = cpu.as_secs_f64();
        StageCpu { name: name.clone(), cpu_s, share: share(cpu_s) }
    };
    let mut stages: Vec<StageCpu> = stages.iter().filter(|(_, cpu)| !cpu.is_zero()).map(stage).collect();
    stages.sort_by(|a, b| b.cpu_s.total_cmp(&a.cpu_s));
    stages
}

fn add(sums: &mut BTreeMap<String, Duration>, more: BTreeMap<String, Duration>) {
    for (name, cpu) in more {
        let sum = sums.entry(name).or_default();
        *sum = sum.saturating_add(cpu);
    }
}

/// Seconds from `origin` to `moment`, negative before it.
fn since(origin: Instant, moment: Instant) -> f64 {
    match moment.checked_duration_since(origin) {
        Some(after) => after.as_secs_f64(),
        None => -origin.saturating_duration_since(moment).as_secs_f64(),
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Readings replace readings: one that panicked halfway left older ones.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::black_box(blake3::hash(&[0; 1024]));
        }
    }

    fn watch(replica: bool) -> Watched {
        Watched { name: "replica 0-0".into(), pid: std::process::id(), replica }
    }

    #[test]
    fn a_window_has_what_was_spent_in_it() {
        let recorder = Recorder::start(vec![watch(true)]).unwrap();
        let start = recorder.snapshot();
        std::thread::Builder::new()
            .name("verify 1".into())
            .spawn(|| burn(Duration::from_millis(300)))
            .unwrap()
            .join()
            .unwrap();
        let end = recorder.snapshot();
        let usage = end.usage_since(&start);
        let process = &usage.processes[0];
        assert!(usage.replica_cpu_s > 0.05, "{usage:?}");
        assert_eq!(usage.replica_cpu_s, process.cpu_s);
        assert_eq!(usage.other_cpu_s, 0.0);
        // Tests beside this one end threads too; all time of the process is under some name, to ticks.
        let named: f64 = process.threads.iter().map(|thread| thread.cpu_s).sum();
        assert!(named > process.cpu_s - 0.03, "{usage:?}");
        let shares: f64 = usage.stages.iter().map(|stage| stage.share).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{usage:?}");
        assert!(process.rss_end_bytes > 0);
    }

    #[test]
    fn seconds_get_cores_and_memory() {
        let origin = Instant::now();
        let recorder = Recorder::start(vec![watch(true)]).unwrap();
        burn(Duration::from_millis(1100));
        drop(recorder.snapshot());
        let mut seconds = vec![
            Second { at_s: -3, ..Second::default() },
            Second { at_s: 0, ..Second::default() },
            Second { at_s: 7, ..Second::default() },
        ];
        recorder.fill(&mut seconds, origin.checked_add(Duration::from_millis(1)).unwrap());
        assert_eq!(seconds[0].replica_cores, None);
        assert!(seconds[1].replica_cores.unwrap() > 0.05, "{seconds:?}");
        assert!(seconds[1].replica_rss_bytes.unwrap() > 0);
        assert_eq!(seconds[2].replica_cores, None);
    }

    #[test]
    fn others_are_apart_and_a_dead_process_keeps_its_time() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let sleeper = Watched { name: "replica 0-1".into(), pid: child.id(), replica: true };
        let recorder = Recorder::start(vec![watch(false), sleeper]).unwrap();
        let start = recorder.snapshot();
        child.kill().unwrap();
        child.wait().unwrap();
        let usage = recorder.snapshot().usage_since(&start);
        assert_eq!(usage.replica_cpu_s, 0.0);
        assert_eq!(usage.processes.len(), 2);
        assert!(Recorder::start(vec![Watched { name: "none".into(), pid: u32::MAX, replica: true }]).is_err());
    }

    #[test]
    fn many_names_become_a_few() {
        let threads = (0..40_u64).map(|i| (format!("t{i:02}"), Duration::from_millis(i))).collect();
        let threads = busiest(threads);
        assert_eq!(threads.len(), NAMES_MAX + 1);
        assert_eq!(threads[0].name, "t39");
        assert_eq!(threads[NAMES_MAX].name, "(23 more)");
    }
}
