//! How often replicas ask the kernel to make data durable, as the kernel sees it and not as the store says.
//!
//! strace follows a replica from its start. A filter in the kernel (`--seccomp-bpf`) stops the process at the counted calls alone:
//! measured, about 40 ns for every other system call and up to 60 µs of the replica's CPU for a counted one, so at a hundred syncs a second
//! some 0.6 % of a core. The tracer is a process of its own, whose CPU time is not the replica's. Each call has its time, so that
//! a window of the run can be counted.
//!
//! Rejected: `perf trace` needs tracefs mounted; the flush counters of the block device see the device and not the process, and none
//! where the file system has no device.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The calls that are counted.
pub const CALLS: [&str; 6] = ["fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync"];

/// Why nothing is counted, in words for a report.
pub type WhyNot = String;

/// A tracer that works on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracer {
    program: OsString,
}

impl Tracer {
    /// Looks for strace and tries it: it may be missing, too old for the filter, or forbidden to trace (containers).
    ///
    /// # Errors
    /// Why not.
    pub fn find() -> Result<Tracer, WhyNot> {
        Tracer::try_program(OsStr::new("strace"))
    }

    fn try_program(program: &OsStr) -> Result<Tracer, WhyNot> {
        let tracer = Tracer { program: program.to_owned() };
        let mut words = tracer.words(Path::new("/dev/null"), &["true".into()]).into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        let output = command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
        match output {
            Ok(output) if output.status.success() && output.stderr.is_empty() => Ok(tracer),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                Err(format!("strace does not work here: {}", text.lines().next().unwrap_or("no reason given")))
            }
            Err(error) => Err(format!("strace does not start: {error}")),
        }
    }

    /// The command line that runs `command` with its calls going to `log`.
    ///
    /// The process it starts *is* the command: the tracer is its grandchild (`-DD`, in a process group of its own so that the
    /// terminal's Ctrl-C does not reach it) and ends with it. So process id, signals, output and exit code are the command's.
    #[must_use]
    pub fn words(&self, log: &Path, command: &[OsString]) -> Vec<OsString> {
        let trace = format!("trace={}", CALLS.join(","));
        let flags = ["-DD", "-f", "--seccomp-bpf", "-qq", "-ttt", "-e", "signal=none", "-e", &trace, "-o"];
        let mut words = vec![self.program.clone()];
        words.extend(flags.map(OsString::from));
        words.push(log.into());
        words.extend(command.iter().cloned());
        words
    }
}

/// Calls of one traced process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncLog {
    /// When each call began, since 1970, and its name.
    calls: Vec<(Duration, &'static str)>,
}

impl SyncLog {
    /// Reads what the tracer has written so far; it writes each call at once.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn read(log: &Path) -> std::io::Result<SyncLog> {
        Ok(SyncLog::parse(&std::fs::read_to_string(log)?))
    }

    /// From lines such as `123 1700000000.123456 fdatasync(5 <unfinished ...>`; that it resumes later is a line without the call's
    /// name in that place.
    fn parse(text: &str) -> SyncLog {
        let call = |line: &str| {
            let mut fields = line.split_whitespace();
            let (seconds, micros) = fields.nth(1)?.split_once('.')?;
            let (name, _) = fields.next()?.split_once('(')?;
            let name = *CALLS.iter().find(|call| **call == name)?;
            let micros = Duration::from_micros(micros.parse().ok()?);
            Some((Duration::from_secs(seconds.parse().ok()?).checked_add(micros)?, name))
        };
        SyncLog { calls: text.lines().filter_map(call).collect() }
    }

    /// Calls from `from` until before `to`, by name.
    #[must_use]
    pub fn by_call(&self, from: SystemTime, to: SystemTime) -> BTreeMap<&'static str, u64> {
        let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (from, to) = (since_1970(from), since_1970(to));
        let mut counts = BTreeMap::new();
        for (_, name) in self.calls.iter().filter(|(time, _)| from <= *time && *time < to) {
            let count: &mut u64 = counts.entry(*name).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    /// Calls from `from` until before `to`, whichever.
    #[must_use]
    pub fn count(&self, from: SystemTime, to: SystemTime) -> u64 {
        self.by_call(from, to).values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "7 100.000100 fdatasync(5) = 0\n\
        8 100.200000 fsync(6 <unfinished ...>\n\
        7 100.300000 fdatasync(5) = 0\n\
        8 100.400000 <... fsync resumed>) = 0\n\
        7 102.500000 msync(0x7f, 4096, MS_SYNC) = 0\n\
        7 103.000000 +++ exited with 0 +++\n\
        7 104.0000";

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap()
    }

    #[test]
    fn calls_count_where_they_begin() {
        let log = SyncLog::parse(LOG);
        assert_eq!(log.calls.len(), 4);
        assert_eq!(log.count(at(0), at(200_000)), 4);
        assert_eq!(log.count(at(100_200), at(102_500)), 2);
        assert_eq!(log.by_call(at(100_000), at(101_000)), [("fdatasync", 2), ("fsync", 1)].into());
        assert_eq!(SyncLog::parse("").count(at(0), at(1)), 0);
    }

    #[test]
    fn a_missing_tracer_is_said_and_no_error() {
        let why = Tracer::try_program(OsStr::new("no-such-tracer")).unwrap_err();
        assert!(why.contains("does not start"), "{why}");
        let why = Tracer::try_program(OsStr::new("false")).unwrap_err();
        assert!(why.contains("does not work"), "{why}");
    }

    /// The real thing, where there is one: the process is the command itself, and its sync is counted.
    #[test]
    fn a_traced_command_keeps_its_process_and_its_sync_is_counted() {
        let Ok(tracer) = Tracer::find() else { return };
        let directory = tempfile::tempdir().unwrap();
        let (log, file) = (directory.path().join("log"), directory.path().join("file"));
        let script = format!("echo $$; echo x > {0}; sync -d {0}; exit 3", file.display());
        let words = tracer.words(&log, &["sh".into(), "-c".into(), script.into()]);
        let child = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), pid.to_string());
        let log = SyncLog::read(&log).unwrap();
        assert_eq!(log.by_call(UNIX_EPOCH, at(u64::from(u32::MAX) * 1000)), [("fdatasync", 1)].into());
    }
}
