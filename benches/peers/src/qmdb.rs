//! QMDB as the commonware project publishes it (`commonware-storage`, `qmdb::current`): an append-only log of
//! operations, a Merkle mountain range over it and a bitmap of the operations in force. Fixed-size values, BLAKE3,
//! `commit` (durable, at most a recovery away) after every batch.

use crate::contender::{Contender, Plan, load, proofs, updates, warm_up};
use crate::contenders::Name;
use crate::measure::disk_bytes;
use crate::report::{Disk, Report};
use crate::workload::{Change, Entry, Key, Workload};
use anyhow::{Context as _, Result, ensure};
use commonware_codec::EncodeSize;
use commonware_cryptography::Hasher;
use commonware_cryptography::blake3::Blake3;
use commonware_parallel::Rayon;
use commonware_runtime::buffer::paged::{CacheRef, page_size};
use commonware_runtime::{BLOB_PAGE_SIZE, Runner as _, Strategizer, tokio};
use commonware_storage::journal::contiguous::fixed::Config as LogConfig;
use commonware_storage::merkle::full::Config as MerkleConfig;
use commonware_storage::merkle::mmr::Family;
use commonware_storage::qmdb::any::value::FixedEncoding;
use commonware_storage::qmdb::current::{FixedConfig, ordered, unordered};
use commonware_storage::qmdb::floor::Proportional;
use commonware_storage::translator::EightCap;
use commonware_utils::sequence::FixedBytes;
use commonware_utils::{NZU64, NZUsize};

type K = FixedBytes<32>;
type V = FixedBytes<64>;
type Digest = <Blake3 as Hasher>::Digest;
/// Bytes of the activity bitmap in one chunk, as in the project's own benchmarks.
const CHUNK: usize = 32;
type Unordered = unordered::fixed::Db<Family, tokio::Context, K, V, Blake3, EightCap, CHUNK, Rayon>;
type Ordered = ordered::fixed::Db<Family, tokio::Context, K, V, Blake3, EightCap, CHUNK, Rayon>;
type UnorderedProof = unordered::proof::constant::KeyValueProof<Family, Digest, CHUNK>;
type OrderedProof = ordered::proof::constant::KeyValueProof<Family, K, Digest, CHUNK>;

/// The settings of the project's own benchmarks, but for two threads, 256 MiB of page cache (there: 2 MiB) and longer
/// files.
fn config(runtime: &impl Strategizer) -> FixedConfig<EightCap, Rayon> {
    let page_cache = CacheRef::new(page_size(BLOB_PAGE_SIZE), NZUsize!(65_536));
    let (items_per_blob, buffer) = (NZU64!(1_000_000), NZUsize!(2 * 1024 * 1024));
    FixedConfig {
        merkle_config: MerkleConfig {
            // Partitions must differ in more than the suffix "-metadata", which journals add to theirs.
            journal_partition: "merkle-nodes".into(),
            metadata_partition: "merkle-pinned".into(),
            items_per_blob,
            write_buffer: buffer,
            replay_buffer: buffer,
            strategy: runtime.strategy(NZUsize!(2)),
            page_cache: page_cache.clone(),
        },
        journal_config: LogConfig {
            partition: "log".into(),
            items_per_blob,
            page_cache,
            write_buffer: buffer,
            replay_buffer: buffer,
        },
        grafted_metadata_partition: "grafted".into(),
        translator: EightCap,
        init_cache: Some(NZUsize!(1 << 18)),
        init_buffer: buffer,
        init_concurrency: (),
    }
}

/// A mutation consumes the handle and gives it back if it went well: without one, the store has failed.
struct Handle<Db>(Option<Db>);

impl<Db> Handle<Db> {
    fn get(&self) -> Result<&Db> {
        self.0.as_ref().context("QMDB failed before")
    }

    fn take(&mut self) -> Result<Db> {
        self.0.take().context("QMDB failed before")
    }
}

/// The two variants have the same methods but no trait in common.
macro_rules! contender {
    ($run:ident, $name:expr, $db:ty, $proof:ty, $verify:expr) => {
        /// Does the plan.
        pub(crate) fn $run(plan: &Plan) -> Result<Report> {
            let settings = tokio::Config::new().with_storage_directory(&plan.directory).with_worker_threads(2);
            tokio::Runner::new(settings).start(|context| async move {
                let mut workload = Workload::new(plan.keys, 0);
                let config = config(&context);
                let mut qmdb = Handle(Some(<$db>::init(context, config, None).await?));
                let load = load(&mut qmdb, &workload).await?;
                warm_up(&mut qmdb, &mut workload).await?;
                let updates = updates(&mut qmdb, &mut workload, plan).await?;
                let proofs = proofs(&mut qmdb, &mut workload, plan).await?;

                let written = disk_bytes(&plan.directory)?;
                let db = qmdb.take()?;
                let boundary = db.sync_boundary();
                let db = db.prune(boundary).await?.sync().await?;
                let disk = Some(Disk { written, tidied: disk_bytes(&plan.directory)? });
                let root = db.root().to_string();
                Ok(Report { contender: $name, keys: plan.keys, root, load, updates, proofs, disk, ours: None })
            })
        }

        impl Contender for Handle<$db> {
            type Batch = Vec<(K, Option<V>)>;
            type Proof = $proof;

            fn batch(changes: &[Change]) -> Self::Batch {
                let write = |change: &Change| match change {
                    Change::Put(entry) => (K::new(entry.key), Some(V::new(entry.value))),
                    Change::Delete(key) => (K::new(*key), None),
                };
                changes.iter().map(write).collect()
            }

            async fn apply(&mut self, changes: Self::Batch) -> Result<()> {
                let db = self.take()?;
                let mut batch = db.new_batch();
                for (key, value) in changes {
                    batch = batch.write(key, value);
                }
                let batch = batch.merkleize(&db, None, &mut Proportional).await?;
                self.0 = Some(db.apply_batch(batch).await?.commit().await?);
                Ok(())
            }

            async fn prove(&mut self, keys: &[Key]) -> Result<Vec<$proof>> {
                let db = self.get()?;
                let mut proofs = Vec::with_capacity(keys.len());
                for key in keys {
                    proofs.push(db.key_value_proof(K::new(*key)).await?);
                }
                Ok(proofs)
            }

            fn verify(&self, entries: &[Entry], proofs: &[$proof]) -> Result<()> {
                let root = self.get()?.root();
                for (entry, proof) in entries.iter().zip(proofs) {
                    ensure!(
                        $verify(K::new(entry.key), V::new(entry.value), proof, &root),
                        "QMDB refuses its own proof"
                    );
                }
                Ok(())
            }

            fn proof_bytes(proof: &$proof) -> usize {
                proof.encode_size()
            }
        }
    };
}

contender!(unordered, Name::Qmdb, Unordered, UnorderedProof, Unordered::verify_key_value_proof);
contender!(ordered, Name::QmdbOrdered, Ordered, OrderedProof, |key, value, proof: &OrderedProof, root: &Digest| {
    proof.verify::<Blake3, FixedEncoding<V>>(key, value, root)
});
