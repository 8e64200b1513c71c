//! What the machine does at best with the primitives that bind a replica, measured in the same run, before and after the load.
//!
//! Rates are per CPU-second of one thread, so that they can be set against CPU seconds of replicas; a busy neighbour changes them by cache
//! and clock frequency alone. Syncs are in wall time, since waiting is what they cost.

use crate::result::{Calibration, Primitives};
use anyhow::{Context, Result, ensure};
use smt_types::Digest;
use smt_types::crypto::{PublicKey, SecretKey, Signature, verify_batch};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Signatures in a batch: as many as a batch of payments has at most.
const BATCH: usize = 1024;
/// CPU time each rate is measured for.
const LONG_ENOUGH: Duration = Duration::from_millis(500);
/// Rounds each rate is measured for at least; the median counts.
const ROUNDS_MIN: usize = 5;
/// Appends that are synced.
const SYNCS: usize = 256;
const APPEND: [u8; 4096] = [0x5a; 4096];

/// Measures, syncing in `directory`, which should be where the replicas' state lies. Cost: about 1.3 s of CPU and 256 syncs.
///
/// # Errors
/// If nothing can be written and synced in `directory`.
pub fn primitives(directory: &Path) -> Result<Primitives> {
    let (fdatasync_p50_ms, fdatasync_p99_ms) = syncs(directory)?;
    Ok(Primitives {
        ed25519_batch_per_cpu_second: signatures()?,
        blake3_gb_per_second: blake3()?,
        fdatasync_p50_ms,
        fdatasync_p99_ms,
    })
}

/// Sets the run against the signature limit of `replicas` replicas: each checks each payer's signature once and does nothing else.
///
/// Of two calibrations the faster one is taken: the ratio is then not flattered by a neighbour who was busy during one of them.
#[must_use]
pub fn against_limit(
    before: Primitives,
    after: Option<Primitives>,
    replicas: u32,
    replica_cpu_us_per_payment: Option<f64>,
) -> Calibration {
    let rate = |primitives: &Primitives| primitives.ed25519_batch_per_cpu_second;
    let best = after.iter().map(rate).fold(rate(&before), f64::max);
    let limit = best / f64::from(replicas.max(1));
    let reached = replica_cpu_us_per_payment.filter(|cpu| *cpu > 0.0).map(|cpu| 1e6 / cpu);
    Calibration {
        before,
        after,
        signature_limit_per_cpu_second: limit,
        ratio_to_signature_limit: reached.filter(|_| limit > 0.0).map(|reached| reached / limit),
    }
}

/// ed25519 checks per CPU-second by the node's own batch check.
fn signatures() -> Result<f64> {
    let items = signed();
    let time = median_cpu(|| verify_batch(std::hint::black_box(&items)))?;
    Ok(BATCH as f64 / time.as_secs_f64())
}

/// Signatures by as many keys: a batch check joins the terms of equal keys, which payments of different payers do not allow.
fn signed() -> Vec<(PublicKey, Digest, Signature)> {
    let item = |i: usize| {
        let digest = blake3::hash(&i.to_le_bytes());
        let key = SecretKey::from_seed(*digest.as_bytes());
        (key.public(), Digest(*digest.as_bytes()), key.sign(digest.as_bytes()))
    };
    (0..BATCH).map(item).collect()
}

/// GB per CPU-second over 1 MiB, one thread.
fn blake3() -> Result<f64> {
    const HASHES: u32 = 32;
    let bytes = vec![0x5a_u8; 1 << 20];
    let hash = || (0..HASHES).fold(true, |_, _| *blake3::hash(std::hint::black_box(&bytes)).as_bytes() != [0; 32]);
    Ok(f64::from(HASHES) * bytes.len() as f64 / median_cpu(hash)?.as_secs_f64() / 1e9)
}

/// CPU time of `work` for this thread: the median over half a second of it. `work` says whether it came out right.
fn median_cpu(work: impl Fn() -> bool) -> Result<Duration> {
    ensure!(work(), "a primitive of the calibration gives a wrong result");
    let (mut rounds, mut all) = (Vec::new(), Duration::ZERO);
    while rounds.len() < ROUNDS_MIN || all < LONG_ENOUGH {
        let start = cpu()?;
        work();
        let spent = cpu()?.saturating_sub(start);
        rounds.push(spent);
        all = all.saturating_add(spent);
    }
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().filter(|time| !time.is_zero()).context("the clock of CPU time stands still")
}

/// CPU time of this thread so far.
pub(crate) fn cpu() -> Result<Duration> {
    // The scheduler brings its count up to date when a thread gives way; else it may be a tick (1 to 10 ms) behind.
    std::thread::yield_now();
    let count =
        std::fs::read_to_string("/proc/thread-self/schedstat").context("this kernel keeps no CPU time of threads")?;
    let nanoseconds = count.split_whitespace().next().and_then(|count| count.parse().ok());
    Ok(Duration::from_nanos(nanoseconds.context("the kernel's count of CPU time has another form")?))
}

/// Median and 99th percentile of `fdatasync` after an append of 4 KiB, in milliseconds.
fn syncs(directory: &Path) -> Result<(f64, f64)> {
    let path = directory.join("calibration");
    let times = synced_appends(&path);
    // What cannot be removed is in the way of nobody.
    std::fs::remove_file(&path).ok();
    let mut times = times.context("syncing in the state directory")?;
    times.sort_by(f64::total_cmp);
    // The smallest time that at least this share of all syncs take at most.
    let percentile =
        |share: usize| times.get(times.len().saturating_mul(share).div_ceil(100).saturating_sub(1)).copied();
    percentile(50).zip(percentile(99)).context("nothing was synced")
}

fn synced_appends(path: &Path) -> std::io::Result<Vec<f64>> {
    let mut file = File::create(path)?;
    let mut append = || {
        file.write_all(&APPEND)?;
        let start = Instant::now();
        file.sync_data()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    (0..SYNCS).map(|_| append()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_measured_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let primitives = primitives(directory.path()).unwrap();
        // Bounds of plausibility: a signature takes between 1 µs and 10 ms, a byte between 0.01 ns and 1 µs.
        assert!((100.0..1e6).contains(&primitives.ed25519_batch_per_cpu_second), "{primitives:?}");
        assert!((0.001..100.0).contains(&primitives.blake3_gb_per_second), "{primitives:?}");
        assert!(primitives.fdatasync_p50_ms <= primitives.fdatasync_p99_ms, "{primitives:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(syncs(&directory.path().join("missing")).is_err());
    }

    #[test]
    fn the_limit_is_of_the_faster_calibration() {
        let of = |rate| Primitives { ed25519_batch_per_cpu_second: rate, ..Primitives::default() };
        let calibration = against_limit(of(60_000.0), Some(of(66_000.0)), 3, Some(100.0));
        assert_eq!(calibration.signature_limit_per_cpu_second, 22_000.0);
        assert_eq!(calibration.ratio_to_signature_limit, Some(10_000.0 / 22_000.0));
        assert_eq!(against_limit(of(60_000.0), None, 3, None).ratio_to_signature_limit, None);
        assert_eq!(against_limit(of(0.0), None, 3, Some(1.0)).ratio_to_signature_limit, None);
    }
}
