//! What a contender can do, and the stages that every one goes through in a process of its own.

use crate::machine::device_flushes;
use crate::measure::{Memory, Rate, Spent, Stopwatch, unix_time};
use crate::report::{Proofs, Updates, Window};
use crate::workload::{Change, Entry, Key, Workload};
use anyhow::Result;
use std::path::PathBuf;

/// Changes in an update batch.
pub(crate) const BATCH_CHANGES: usize = 10_000;
/// Batches in an epoch.
pub(crate) const EPOCH_BATCHES: u64 = 5;
/// Batches before those that are timed: as many epochs as ours retains.
pub(crate) const WARM_UP_BATCHES: u64 = 3 * EPOCH_BATCHES;
/// Keys proved in a round.
pub(crate) const PROVED_KEYS: usize = 1_000;

/// How much of the workload to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) keys: u64,
    /// Update batches: whole epochs of them where the mean matters.
    pub(crate) batches: u64,
    pub(crate) proof_rounds: usize,
    /// An empty directory for what is written to disk.
    pub(crate) directory: PathBuf,
}

/// An authenticated map under test.
pub(crate) trait Contender {
    /// A batch in the form the contender takes it, so that building that form is not part of its time.
    type Batch;
    /// What it proves a key with.
    type Proof;

    fn batch(changes: &[Change]) -> Self::Batch;

    /// Applies a batch and computes the root. A contender on disk returns once both are durable.
    async fn apply(&mut self, batch: Self::Batch) -> Result<()>;

    /// Ends an epoch; only contenders that keep epochs have anything to do.
    async fn end_epoch(&mut self, _epoch: u64) -> Result<()> {
        Ok(())
    }

    async fn prove(&mut self, keys: &[Key]) -> Result<Vec<Self::Proof>>;

    /// Verifies one proof after the other against the current root, values compared.
    fn verify(&self, entries: &[Entry], proofs: &[Self::Proof]) -> Result<()>;

    /// Bytes that have to be sent to a verifier who has the root, the key and the value.
    fn proof_bytes(proof: &Self::Proof) -> usize;
}

/// Loads all keys; their rate.
pub(crate) async fn load<C: Contender>(contender: &mut C, workload: &Workload) -> Result<Rate> {
    let mut spent = Spent::default();
    for changes in workload.load() {
        let batch = C::batch(&changes);
        let watch = Stopwatch::start();
        contender.apply(batch).await?;
        spent += watch.stop();
    }
    Ok(Rate::of(workload.keys(), spent))
}

/// Applies batches that nobody times, until every retained epoch of ours is there and what it cost to load is written off.
pub(crate) async fn warm_up<C: Contender>(contender: &mut C, workload: &mut Workload) -> Result<()> {
    for number in 1..=WARM_UP_BATCHES {
        update(contender, workload, number).await?;
    }
    Ok(())
}

/// Applies the plan's update batches, after the warm-up.
pub(crate) async fn updates<C: Contender>(contender: &mut C, workload: &mut Workload, plan: &Plan) -> Result<Updates> {
    let flushes = device_flushes(&plan.directory);
    let (mut rounds, mut windows, mut total) = (Vec::new(), Vec::new(), Spent::default());
    for number in 1..=plan.batches {
        let (spent, window) = update(contender, workload, WARM_UP_BATCHES + number).await?;
        rounds.push(spent);
        windows.push(window);
        total += spent;
    }
    let changes = BATCH_CHANGES as u64;
    Ok(Updates {
        batches: plan.batches,
        median: Rate::median(changes, &rounds),
        mean: Rate::of(changes * plan.batches, total),
        batch_cpu_ms: rounds.iter().map(|spent| spent.cpu.as_secs_f64() * 1e3).collect(),
        windows,
        memory: Memory::now()?,
        device_flushes: device_flushes(&plan.directory).zip(flushes).map(|(after, before)| after - before),
    })
}

/// Applies the batch of this number, counted from 1. The end of an epoch is part of its last batch.
async fn update<C: Contender>(contender: &mut C, workload: &mut Workload, number: u64) -> Result<(Spent, Window)> {
    let batch = C::batch(&workload.next_batch(BATCH_CHANGES));
    let start = unix_time()?;
    let watch = Stopwatch::start();
    contender.apply(batch).await?;
    let applied = unix_time()?;
    if number.is_multiple_of(EPOCH_BATCHES) {
        contender.end_epoch(number / EPOCH_BATCHES).await?;
    }
    Ok((watch.stop(), Window { start, applied, end: unix_time()? }))
}

/// Proves and verifies random keys, others in every round. `None` if the plan has no such rounds.
pub(crate) async fn proofs<C: Contender>(
    contender: &mut C,
    workload: &mut Workload,
    plan: &Plan,
) -> Result<Option<Proofs>> {
    if plan.proof_rounds == 0 {
        return Ok(None);
    }
    let (mut prove, mut again, mut verify) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..plan.proof_rounds {
        let entries = workload.sample(PROVED_KEYS);
        let keys: Vec<Key> = entries.iter().map(|entry| entry.key).collect();
        let watch = Stopwatch::start();
        let proofs = contender.prove(&keys).await?;
        prove.push(watch.stop());

        let watch = Stopwatch::start();
        drop(contender.prove(&keys).await?);
        again.push(watch.stop());

        let watch = Stopwatch::start();
        contender.verify(&entries, &proofs)?;
        verify.push(watch.stop());
        bytes += proofs.iter().map(C::proof_bytes).sum::<usize>();
    }
    let count = PROVED_KEYS as u64;
    Ok(Some(Proofs {
        prove: Rate::median(count, &prove),
        prove_again: Rate::median(count, &again),
        verify: Rate::median(count, &verify),
        bytes: bytes as f64 / (PROVED_KEYS * plan.proof_rounds) as f64,
    }))
}
