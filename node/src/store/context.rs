//! What all stores of a process share, and the RocksDB options.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options, WriteBufferManager};

const MIB: usize = 1024 * 1024;

/// Largest write buffer of one store, in bytes: a quarter of the budget, and not above this.
const WRITE_BUFFER_BYTES_MAX: usize = 32 * MIB;

/// Write buffers' worth of log after which the oldest data is flushed, so that a restart replays a bounded log; level 1 is
/// as large, each further level ten times as large.
const LOG_BUFFERS: u64 = 4;

/// Shared by all stores of a process: one block cache and one budget for write buffers, the latter charged to the former, so that
/// `cache_bytes` bounds both together. The background threads are shared too: RocksDB keeps one pool per process.
#[derive(Clone)]
pub struct StoreContext {
    cache: Cache,
    write_buffers: WriteBufferManager,
    write_buffer_bytes: usize,
}

impl StoreContext {
    /// `cache_bytes`: read cache and write buffers together. `write_buffer_bytes`: the part of it that unflushed writes of all stores may
    /// take; above it, the store that writes flushes first.
    #[must_use]
    pub fn new(cache_bytes: usize, write_buffer_bytes: usize) -> Self {
        let cache = Cache::new_lru_cache(cache_bytes);
        let write_buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(write_buffer_bytes, false, cache.clone());
        Self { cache, write_buffers, write_buffer_bytes }
    }

    /// Bytes of cache in use, write buffers included.
    #[must_use]
    pub fn cache_bytes_used(&self) -> usize {
        self.cache.get_usage()
    }

    /// Bytes of unflushed writes held by all stores.
    #[must_use]
    pub fn write_buffer_bytes_used(&self) -> usize {
        self.write_buffers.get_usage()
    }

    pub(super) fn options(&self, create: bool) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        // Index and filter blocks live in the shared cache: memory stays bounded however many tables the stores have.
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_bloom_filter(10.0, false);
        table.set_optimize_filters_for_memory(true);

        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_manager(&self.write_buffers);
        options.create_if_missing(create);
        options.set_error_if_exists(create);

        // Safety. The recovery mode is argued for in the module header. Closed logs are listed in the manifest, so that a missing or short
        // one is noticed.
        options.set_paranoid_checks(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);

        // Memory and descriptors, for up to a hundred stores in a process.
        let write_buffer = (self.write_buffer_bytes / 4).clamp(64 * 1024, WRITE_BUFFER_BYTES_MAX);
        let table_bytes = u64::try_from(write_buffer).unwrap_or(u64::MAX);
        let log_bytes = table_bytes.saturating_mul(LOG_BUFFERS);
        options.set_write_buffer_size(write_buffer);
        options.set_max_write_buffer_number(2);
        options.set_arena_block_size(64 * 1024);
        options.set_max_total_wal_size(log_bytes);
        options.set_target_file_size_base(table_bytes);
        options.set_max_bytes_for_level_base(log_bytes);
        options.set_max_open_files(32);
        options.set_table_cache_num_shard_bits(1);
        options.set_max_background_jobs(2);
        options.set_skip_stats_update_on_db_open(true);
        // Most of what is new is hashes, keys and signatures, and soon written again: compressed once it has settled.
        let none = DBCompressionType::None;
        let settled = DBCompressionType::Lz4;
        options.set_compression_per_level(&[none, none, settled, settled, settled, settled, settled]);

        // Files beside the data. Without a limit the manifest grows to 1 GiB.
        options.set_max_manifest_file_size(4 * MIB);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(MIB);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }
}

impl std::fmt::Debug for StoreContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreContext").field("write_buffer_bytes", &self.write_buffer_bytes).finish_non_exhaustive()
    }
}
