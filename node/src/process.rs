//! What every command that serves until it is told to stop does alike: open files, signals, the way out.

use anyhow::Context;
use std::future::Future;
use std::time::Duration;

/// Open files asked for; the system's hard limit may be lower.
const OPEN_FILES_WANTED: u64 = 65_536;
/// Longest graceful stop.
const STOP: Duration = Duration::from_secs(5);
/// What the process may take beyond that to end.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// Runs `serve` on a new runtime and leaves what is not finished behind.
///
/// # Errors
/// Those of `serve`, or a runtime that does not start.
pub(crate) fn block_on<T>(serve: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let result = runtime.block_on(serve);
    // Tasks that still wait for a peer or a client have nothing to save.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// A replica's store and connections hold some 25 files; the usual soft limit of 1,024 ends at 40 replicas or a few
/// hundred clients.
pub(crate) fn raise_open_files() {
    if let Err(error) = rlimit::increase_nofile_limit(OPEN_FILES_WANTED) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

/// Runs `stop` within the promised time; a second interrupt aborts at once, which is as safe as a power cut.
pub(crate) async fn end(stop: impl Future<Output = ()>, interrupts: &mut Interrupts) {
    // Should anything block the way out itself, the process ends all the same.
    std::thread::spawn(|| {
        std::thread::sleep(STOP.saturating_add(LAST_RESORT));
        eprintln!("not everything stopped in time; what was promised is on disk");
        std::process::abort();
    });
    tokio::select! {
        () = stop => {}
        () = tokio::time::sleep(STOP) => tracing::warn!("not everything stopped in time; what was promised is on disk"),
        () = interrupts.next() => {
            eprintln!("aborted");
            std::process::abort();
        }
    }
}

/// Ctrl-C and the request to terminate. Listened to all the time: one that comes while nobody waits is not lost.
pub(crate) struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    #[cfg(unix)]
    pub(crate) fn new() -> anyhow::Result<Interrupts> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Interrupts { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    pub(crate) fn new() -> anyhow::Result<Interrupts> {
        Ok(Interrupts {})
    }

    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        drop(tokio::signal::ctrl_c().await);
    }
}
