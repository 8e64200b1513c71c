//! Our trie: in memory and on disk, with sums, deletes and retained epochs.

use crate::contender::{BATCH_CHANGES, Contender, PROVED_KEYS, Plan, load, proofs, updates, warm_up};
use crate::contenders::Name;
use crate::measure::{Rate, Stopwatch, disk_bytes};
use crate::report::{Disk, Nodes, OurProofs, Ours, Report};
use crate::workload::{Change, Entry, Key, Value, Workload};
use anyhow::{Context, Result, ensure};
use smt_trie::disk::{Database, Directory, Options};
use smt_trie::{Leaf, MultiProof, Parallel, Proof, Root, Settings, Stats, Trie, verify_batch};
use std::num::NonZeroU32;

/// Epochs that can be read beside the current state.
const RETAINED_EPOCHS: NonZeroU32 = NonZeroU32::new(3).unwrap();
/// One change in a hundred deletes a key.
const DELETES_PER_BATCH: usize = BATCH_CHANGES / 100;

type Batch = Vec<(Key, Option<Leaf<Value>>)>;

/// What the trie in memory and the trie on disk have in common.
trait Store {
    fn update(&mut self, batch: &Batch) -> Result<()>;
    /// Retains the current state, drops what is older than the retained epochs.
    fn end_epoch(&mut self, epoch: u64) -> Result<()>;
    fn root(&self) -> Result<Root>;
    /// `None` if the store does not say.
    fn stats(&self) -> Option<Stats>;
    fn prove(&self, key: &Key) -> Result<Proof>;
    fn prove_each(&self, keys: &[Key]) -> Result<Vec<Proof>>;
    fn prove_many(&self, keys: &[Key]) -> Result<MultiProof>;
}

struct OurTrie<S>(S);

/// The plan in memory; `name` says with how many threads.
pub(crate) async fn memory(name: Name, plan: &Plan) -> Result<Report> {
    let parallel = if name == Name::OursMemoryThreads { Parallel::Auto } else { Parallel::Never };
    let trie = Trie::with_settings(Settings { parallel, ..Settings::sized_for(plan.keys) });
    run(name, plan, &mut OurTrie(trie)).await
}

/// The plan on disk.
pub(crate) async fn disk(plan: &Plan) -> Result<Report> {
    let options =
        Options { trie: Settings::sized_for(plan.keys), retain_epochs: RETAINED_EPOCHS, ..Options::default() };
    let mut database = OurTrie(Database::open(Directory::open(&plan.directory)?, options)?);
    let mut report = run(Name::OursDisk, plan, &mut database).await?;
    let written = disk_bytes(&plan.directory)?;
    database.0.fold()?;
    report.disk = Some(Disk { written, tidied: disk_bytes(&plan.directory)? });
    Ok(report)
}

/// The stages that both go through.
async fn run<S: Store>(name: Name, plan: &Plan, trie: &mut OurTrie<S>) -> Result<Report> {
    let mut workload = Workload::new(plan.keys, DELETES_PER_BATCH);
    let load = load(trie, &workload).await?;
    warm_up(trie, &mut workload).await?;
    let before = trie.0.stats();
    let updates = updates(trie, &mut workload, plan).await?;
    let after = trie.0.stats();
    let proofs = proofs(trie, &mut workload, plan).await?;
    let changes = plan.batches * BATCH_CHANGES as u64;
    let nodes = before.zip(after).map(|(before, after)| Nodes {
        compressions: (after.compressions - before.compressions) as f64 / changes as f64,
        leaves: after.leaves as u64,
        inner: after.nodes as u64,
        bytes: after.resident_bytes as u64,
    });
    let ours = Ours { nodes, proofs: many(&trie.0, &mut workload, plan)? };
    let root = blake3::Hash::from_bytes(trie.0.root()?.hash).to_hex().to_string();
    Ok(Report { contender: name, keys: plan.keys, root, load, updates, proofs, disk: None, ours: Some(ours) })
}

impl<S: Store> Contender for OurTrie<S> {
    type Batch = Batch;
    type Proof = Proof;

    fn batch(changes: &[Change]) -> Batch {
        let write = |change: &Change| match change {
            Change::Put(entry) => (entry.key, Some(Leaf { value: entry.value, sum: entry.sum })),
            Change::Delete(key) => (*key, None),
        };
        changes.iter().map(write).collect()
    }

    async fn apply(&mut self, batch: Batch) -> Result<()> {
        self.0.update(&batch)
    }

    async fn end_epoch(&mut self, epoch: u64) -> Result<()> {
        self.0.end_epoch(epoch)
    }

    async fn prove(&mut self, keys: &[Key]) -> Result<Vec<Proof>> {
        keys.iter().map(|key| self.0.prove(key)).collect()
    }

    fn verify(&self, entries: &[Entry], proofs: &[Proof]) -> Result<()> {
        let root = self.0.root()?;
        for (entry, proof) in entries.iter().zip(proofs) {
            let shown = proof.verify(&root, &entry.key)?;
            ensure!(shown.value() == Some(&entry.value) && shown.sum() == Some(entry.sum), "proof of another entry");
        }
        Ok(())
    }

    fn proof_bytes(proof: &Proof) -> usize {
        proof.encode().len() - size_of::<Value>()
    }
}

/// Proofs in numbers: many single ones verified in one call, and multi-proofs. `None` if the plan has no proof rounds.
fn many<S: Store>(store: &S, workload: &mut Workload, plan: &Plan) -> Result<Option<OurProofs>> {
    if plan.proof_rounds == 0 {
        return Ok(None);
    }
    let root = store.root()?;
    let (mut each, mut batch, mut prove, mut verify) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut sum_bytes, mut multi_bytes, mut single_bytes) = (0, 0, 0);
    for _ in 0..plan.proof_rounds {
        let entries = workload.sample(PROVED_KEYS);
        let keys: Vec<Key> = entries.iter().map(|entry| entry.key).collect();
        // The multi-proof first: its keys are as cold as those of the single proofs elsewhere.
        let watch = Stopwatch::start();
        let multi = store.prove_many(&keys)?;
        prove.push(watch.stop());

        let watch = Stopwatch::start();
        let shown = multi.verify(&root, &keys)?;
        verify.push(watch.stop());
        for entry in &entries {
            let found = shown.get(&entry.key).context("the multi-proof leaves a key out")?;
            ensure!(found.value() == Some(&entry.value), "multi-proof of another entry");
        }

        // Again other keys, for the same reason.
        let entries = workload.sample(PROVED_KEYS);
        let keys: Vec<Key> = entries.iter().map(|entry| entry.key).collect();
        let watch = Stopwatch::start();
        let singles = store.prove_each(&keys)?;
        each.push(watch.stop());
        let claims: Vec<_> = keys.iter().zip(&singles).map(|(key, proof)| (&root, key, proof)).collect();
        let watch = Stopwatch::start();
        let results = verify_batch(&claims);
        batch.push(watch.stop());
        for (entry, result) in entries.iter().zip(results) {
            ensure!(result?.value() == Some(&entry.value), "proof of another entry");
        }

        let values = PROVED_KEYS * size_of::<Value>();
        multi_bytes += multi.encode().len() - values;
        single_bytes += singles.iter().map(|proof| proof.encode().len()).sum::<usize>() - values;
        sum_bytes += singles.iter().map(sums_of).sum::<usize>();
    }
    let count = PROVED_KEYS as u64;
    let rounds = plan.proof_rounds as f64;
    Ok(Some(OurProofs {
        sum_bytes: sum_bytes as f64 / rounds / PROVED_KEYS as f64,
        prove_each: Rate::median(count, &each),
        verify_batch: Rate::median(count, &batch),
        prove_many: Rate::median(count, &prove),
        verify_many: Rate::median(count, &verify),
        multi_bytes: multi_bytes as f64 / rounds,
        single_bytes: single_bytes as f64 / rounds,
    }))
}

/// Bytes of the sums in a proof of inclusion: one for every level, whose number is byte 1 of the encoding, and the leaf's.
fn sums_of(proof: &Proof) -> usize {
    let levels = proof.encode().get(1).copied().map_or(0, usize::from);
    (levels + 1) * size_of::<u64>()
}

impl Store for Trie {
    fn update(&mut self, batch: &Batch) -> Result<()> {
        Trie::update(self, batch)?;
        Ok(())
    }

    fn end_epoch(&mut self, epoch: u64) -> Result<()> {
        self.retain(epoch);
        self.prune((epoch + 1).saturating_sub(u64::from(RETAINED_EPOCHS.get())));
        Ok(())
    }

    fn root(&self) -> Result<Root> {
        Ok(Trie::root(self))
    }

    fn stats(&self) -> Option<Stats> {
        Some(Trie::stats(self))
    }

    fn prove(&self, key: &Key) -> Result<Proof> {
        Ok(Trie::prove(self, key))
    }

    fn prove_each(&self, keys: &[Key]) -> Result<Vec<Proof>> {
        Ok(Trie::prove_each(self, keys))
    }

    fn prove_many(&self, keys: &[Key]) -> Result<MultiProof> {
        Ok(Trie::prove_many(self, keys)?)
    }
}

impl Store for Database {
    fn update(&mut self, batch: &Batch) -> Result<()> {
        Database::update(self, batch)?;
        Ok(())
    }

    fn end_epoch(&mut self, epoch: u64) -> Result<()> {
        self.commit_epoch(epoch)?;
        Ok(())
    }

    fn root(&self) -> Result<Root> {
        Ok(Database::root(self)?)
    }

    fn stats(&self) -> Option<Stats> {
        None
    }

    fn prove(&self, key: &Key) -> Result<Proof> {
        Ok(Database::prove(self, key)?)
    }

    fn prove_each(&self, keys: &[Key]) -> Result<Vec<Proof>> {
        Ok(Database::prove_each(self, keys)?)
    }

    fn prove_many(&self, keys: &[Key]) -> Result<MultiProof> {
        Ok(Database::prove_many(self, keys)?)
    }
}
