//! A program that the harness has started: its process, its log, and what it prints.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for a program to end by itself.
const STOP: Duration = Duration::from_secs(6);

/// A running program. [`Running::stop`] ends it; so does dropping it, with SIGKILL.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) name: String,
    child: Child,
    /// Where its standard error goes.
    log: PathBuf,
    /// Its standard output, line by line; closed when it ends.
    lines: Receiver<String>,
}

impl Running {
    /// Starts the command line `words`.
    ///
    /// # Errors
    /// A program that cannot be started, a log that cannot be written.
    pub(super) fn spawn(name: &str, words: &[OsString], log: PathBuf) -> Result<Running> {
        let (program, arguments) = words.split_first().context("an empty command line")?;
        let stderr = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let stdout = child.stdout.take();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                // Nobody may wait any more; the pipe is still to be kept empty.
                sender.send(line).ok();
            }
        });
        Ok(Running { name: name.to_owned(), child, log, lines })
    }

    /// Waits for the first line that `parse` takes.
    ///
    /// # Errors
    /// None came until `deadline`, or the program ended; with the end of its log.
    pub(super) fn wait_for<T>(&self, deadline: Instant, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        loop {
            let why = match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match parse(&line) {
                    Some(found) => return Ok(found),
                    None => continue,
                },
                Err(RecvTimeoutError::Timeout) => "was not ready in time",
                Err(RecvTimeoutError::Disconnected) => "ended before it was ready",
            };
            bail!("{} {why}; its log ends with:\n{}", self.name, tail(&self.log));
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Why the program is not there any more, if so.
    pub(super) fn failure(&mut self) -> Option<String> {
        let status: ExitStatus = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended ({status}); its log ends with:\n{}", self.name, tail(&self.log)))
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended already.
            kill_process(pid, Signal::TERM).ok();
        }
    }

    /// Asks it to end, waits for that, and kills it if it takes too long; answers with what it printed and nobody has read.
    pub(super) fn stop(mut self) -> Vec<String> {
        self.terminate();
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > STOP {
                self.child.kill().ok();
                self.child.wait().ok();
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let until = Instant::now().checked_add(Duration::from_secs(1));
        std::iter::from_fn(|| {
            let left = until?.saturating_duration_since(Instant::now());
            self.lines.recv_timeout(left).ok()
        })
        .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `stop` both do nothing.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn shell(script: &str, dir: &Path) -> Running {
        let words = ["sh", "-c", script].map(OsString::from);
        Running::spawn("a script", &words, dir.join("log")).unwrap()
    }

    #[test]
    fn a_program_is_waited_for_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut running =
            shell("trap 'echo counts; exit' TERM; echo noise; echo ready 7; while :; do sleep 0.05; done", dir.path());
        let deadline = Instant::now() + Duration::from_secs(20);
        let found = running.wait_for(deadline, |line| line.strip_prefix("ready ")?.parse::<u32>().ok()).unwrap();
        assert_eq!((found, running.failure()), (7, None));
        assert_eq!(running.stop(), ["counts"]);
    }

    #[test]
    fn one_that_ends_or_says_nothing_is_told_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let running = shell("echo no place left >&2; exit 3", dir.path());
        let error = running.wait_for(deadline, |_| Some(())).unwrap_err().to_string();
        assert!(error.contains("a script ended before it was ready") && error.contains("no place left"), "{error}");
        let running = shell("sleep 60", dir.path());
        let error = running.wait_for(Instant::now(), |_| Some(())).unwrap_err().to_string();
        assert!(error.contains("was not ready in time"), "{error}");
    }
}
