//! NOMT: a binary Merkle trie in pages on an SSD, with a write-ahead log and its own page cache.

use crate::contender::{Contender, Plan, load, proofs, updates, warm_up};
use crate::contenders::Name;
use crate::measure::disk_bytes;
use crate::report::{Disk, Report};
use crate::workload::{Change, Entry, Key, Workload};
use anyhow::{Result, ensure};
use bitvec::order::Msb0;
use bitvec::view::BitView;
use nomt::hasher::{Blake3Hasher, ValueHasher};
use nomt::proof::PathProof;
use nomt::trie::LeafData;
use nomt::{KeyReadWrite, Options, Session, SessionParams};

/// Threads for commits and for input and output, as the other contenders on disk have them.
const WORKERS: usize = 2;
/// Each of NOMT's two caches: at the sizes measured here everything fits.
const CACHE_MIB: usize = 1024;
/// A page covers six levels and about this many keys; NOMT's table of pages has a fixed size.
const KEYS_PER_BUCKET: u64 = 8;
const BUCKETS_MIN: u64 = 64_000;

struct Nomt {
    db: nomt::Nomt<Blake3Hasher>,
    /// Open from the first proof after a batch to the next batch.
    session: Option<Session<Blake3Hasher>>,
}

/// Does the plan.
pub(crate) async fn run(plan: &Plan) -> Result<Report> {
    let mut workload = Workload::new(plan.keys, 0);
    let mut options = Options::new();
    options.path(&plan.directory);
    options.commit_concurrency(WORKERS);
    options.io_workers(WORKERS);
    options.hashtable_buckets(u32::try_from((plan.keys / KEYS_PER_BUCKET).max(BUCKETS_MIN))?);
    options.page_cache_size(CACHE_MIB);
    options.leaf_cache_size(CACHE_MIB);
    let mut nomt = Nomt { db: nomt::Nomt::open(options)?, session: None };

    let load = load(&mut nomt, &workload).await?;
    warm_up(&mut nomt, &mut workload).await?;
    let updates = updates(&mut nomt, &mut workload, plan).await?;
    let proofs = proofs(&mut nomt, &mut workload, plan).await?;
    let written = disk_bytes(&plan.directory)?;
    let root = blake3::Hash::from_bytes(nomt.db.root().into_inner()).to_hex().to_string();
    let disk = Some(Disk { written, tidied: written });
    Ok(Report { contender: Name::Nomt, keys: plan.keys, root, load, updates, proofs, disk, ours: None })
}

impl Contender for Nomt {
    type Batch = Vec<(Key, KeyReadWrite)>;
    type Proof = PathProof;

    fn batch(changes: &[Change]) -> Self::Batch {
        let write = |change: &Change| match change {
            Change::Put(entry) => (entry.key, KeyReadWrite::Write(Some(entry.value.to_vec()))),
            Change::Delete(key) => (*key, KeyReadWrite::Write(None)),
        };
        changes.iter().map(write).collect()
    }

    async fn apply(&mut self, mut batch: Self::Batch) -> Result<()> {
        // A session holds a lock that a commit needs.
        self.session = None;
        let session = self.db.begin_session(SessionParams::default());
        batch.sort_unstable_by_key(|(key, _)| *key);
        for (key, _) in &batch {
            session.warm_up(*key);
        }
        session.finish(batch)?.commit(&self.db)
    }

    async fn prove(&mut self, keys: &[Key]) -> Result<Vec<PathProof>> {
        let session = self.session.get_or_insert_with(|| self.db.begin_session(SessionParams::default()));
        keys.iter().map(|key| session.prove(*key)).collect()
    }

    fn verify(&self, entries: &[Entry], proofs: &[PathProof]) -> Result<()> {
        let root = self.db.root().into_inner();
        for (entry, proof) in entries.iter().zip(proofs) {
            let path = proof.verify::<Blake3Hasher>(entry.key.view_bits::<Msb0>(), root);
            let path = path.map_err(|error| anyhow::anyhow!("NOMT refuses its own proof: {error:?}"))?;
            let leaf = LeafData { key_path: entry.key, value_hash: Blake3Hasher::hash_value(&entry.value) };
            ensure!(path.confirm_value(&leaf).is_ok_and(|same| same), "NOMT's proof is for another value");
        }
        Ok(())
    }

    /// Siblings alone, not the terminal node: a verifier builds that from key and value.
    fn proof_bytes(proof: &PathProof) -> usize {
        proof.siblings.len() * 32
    }
}
