//! What `smt-node dev` can be set to.

use super::Shape;
use crate::config::{Broken, Settings};
use crate::genesis::LOAD_ACCOUNTS_MAX;
use crate::rpc::RpcConfig;
use serde::{Deserialize, Serialize};
use smt_types::genesis::MAX_GENESIS_ACCOUNTS;
use std::path::PathBuf;

/// Everything `smt-node dev` can be set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevSettings {
    /// Number of shards: 1, 3 or 9.
    pub shards: u16,
    /// Replicas per shard: 3 or 9.
    pub replicas: u8,
    /// What all keys are derived from.
    pub seed: u64,
    /// Where state is kept, relative to the working directory; temporary without it.
    pub state: Option<PathBuf>,
    /// Length of an epoch, milliseconds.
    pub epoch_ms: u32,
    /// Load accounts per shard.
    pub accounts: u32,
    /// Base units of each.
    pub balance: u64,
    /// First port of the endpoints; 0 lets the system choose.
    pub rpc_port: u16,
    /// Refuse a busy port instead of taking the next free one.
    pub exact_ports: bool,
    /// What is logged.
    pub log: String,
    /// Limits of the endpoints.
    pub rpc: RpcConfig,
}

impl Default for DevSettings {
    fn default() -> DevSettings {
        DevSettings {
            shards: 3,
            replicas: 3,
            seed: 1,
            state: None,
            epoch_ms: 1000,
            accounts: 0,
            balance: 1_000_000_000,
            rpc_port: 9100,
            exact_ports: false,
            log: "warn".to_owned(),
            rpc: RpcConfig::default(),
        }
    }
}

impl Settings for DevSettings {
    fn check(&self) -> Result<(), Broken> {
        check_size(self.shards, self.replicas, self.epoch_ms)?;
        // The faucets' and the printed accounts have their places too.
        let in_all = u64::from(self.accounts).saturating_add(100).saturating_mul(u64::from(self.shards));
        if self.accounts > LOAD_ACCOUNTS_MAX || in_all > u64::try_from(MAX_GENESIS_ACCOUNTS).unwrap_or(u64::MAX) {
            let rule = format!("at most {LOAD_ACCOUNTS_MAX} a shard, and some {MAX_GENESIS_ACCOUNTS} in all");
            return Err(Broken::new("accounts", self.accounts, rule));
        }
        Ok(())
    }
}

/// The sizes a network is made in.
///
/// # Errors
/// The first rule that is broken.
pub(crate) fn check_size(shards: u16, replicas: u8, epoch_ms: u32) -> Result<(), Broken> {
    if !Shape::SHARDS.contains(&shards) {
        return Err(Broken::new("shards", shards, "allowed are 1, 3 and 9"));
    }
    if !Shape::REPLICAS.contains(&replicas) {
        return Err(Broken::new("replicas", replicas, "allowed are 3 and 9"));
    }
    if !Shape::EPOCH_MS.contains(&epoch_ms) {
        let rule = format!("allowed are {} to {} milliseconds", Shape::EPOCH_MS.start(), Shape::EPOCH_MS.end());
        return Err(Broken::new("epoch_ms", epoch_ms, rule));
    }
    Ok(())
}
