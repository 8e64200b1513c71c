//! Where a network starts: its shape, its committees and its money.

use crate::codec::{Bounded, DecodeError};
use crate::committee::{Committee, CommitteeError, MAX_REPLICAS};
use crate::hash::{self, Digest, Domain};
use crate::{Address, Amount, Canonical, NetworkId, ReplicaKeys, ShardAddress};
use borsh::{BorshDeserialize, BorshSerialize};

/// Deepest hierarchy: 3^9 = 19,683 shards.
pub const MAX_LEVEL: u8 = 9;

/// Most accounts a genesis file names.
pub const MAX_GENESIS_ACCOUNTS: usize = 1 << 22;

/// Longest genesis file, in bytes.
pub const MAX_GENESIS_BYTES: usize = 512 << 20;

/// The genesis file's content; the file is its canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// The network's number.
    pub network: NetworkId,
    /// Whether this is a development network (address prefix, faucet, printed keys).
    pub development: bool,
    /// h: there are 3^h shards.
    pub level: u8,
    /// Length of an epoch, milliseconds.
    pub epoch_ms: u32,
    /// One committee per shard, in shard order.
    pub committees: Bounded<Bounded<ReplicaKeys, MAX_REPLICAS>, 19_683>,
    /// Accounts and their balances, ascending by address.
    pub accounts: Bounded<(Address, Amount), MAX_GENESIS_ACCOUNTS>,
    /// The pre-funded account the faucet pays from, one per shard; empty on a network without one.
    pub faucets: Bounded<Address, 19_683>,
}

/// Why a genesis is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// The bytes are not a genesis file.
    #[error("not a genesis file: {0}")]
    Decode(#[from] DecodeError),
    /// A hierarchy deeper than [`MAX_LEVEL`].
    #[error("hierarchy of {0} levels, at most {MAX_LEVEL} are allowed")]
    Level(u8),
    /// The number of committees is not 3^h.
    #[error("{got} committees for {want} shards")]
    Committees {
        /// Committees given.
        got: usize,
        /// Shards.
        want: usize,
    },
    /// A committee is refused.
    #[error("committee of shard {0}")]
    Committee(ShardAddress, #[source] CommitteeError),
    /// Accounts do not ascend by address.
    #[error("accounts are not in strictly ascending order at place {0}")]
    Order(usize),
    /// The supply does not fit 64 bits.
    #[error("the sum of all balances exceeds 2^64 − 1")]
    Supply,
    /// An epoch of zero milliseconds.
    #[error("an epoch of {0} ms is outside 20 ms to 1 h")]
    Epoch(u32),
}

impl Genesis {
    /// Reads a genesis file.
    ///
    /// # Errors
    /// [`GenesisError`] for anything but a whole, consistent genesis. Possession of all keys is checked, about 1 ms each.
    pub fn read(bytes: &[u8]) -> Result<(Genesis, Vec<Committee>), GenesisError> {
        let genesis = Genesis::from_bytes(bytes, MAX_GENESIS_BYTES)?;
        let committees = genesis.check()?;
        Ok((genesis, committees))
    }

    /// Checks consistency and builds the committees, in shard order.
    ///
    /// # Errors
    /// [`GenesisError`] naming the first fault.
    pub fn check(&self) -> Result<Vec<Committee>, GenesisError> {
        self.check_shape()?;
        ShardAddress::all(self.level)
            .zip(self.committees.iter())
            .map(|(shard, keys)| {
                Committee::new(self.network, shard, keys.to_vec()).map_err(|e| GenesisError::Committee(shard, e))
            })
            .collect()
    }

    /// Everything but the keys: shape, order, supply.
    ///
    /// # Errors
    /// [`GenesisError`] naming the first fault.
    pub fn check_shape(&self) -> Result<(), GenesisError> {
        if self.level > MAX_LEVEL {
            return Err(GenesisError::Level(self.level));
        }
        if !(20..=3_600_000).contains(&self.epoch_ms) {
            return Err(GenesisError::Epoch(self.epoch_ms));
        }
        let want = 3usize.checked_pow(u32::from(self.level)).ok_or(GenesisError::Level(self.level))?;
        if self.committees.len() != want {
            return Err(GenesisError::Committees { got: self.committees.len(), want });
        }
        if let Some(place) = self.accounts.windows(2).position(|pair| matches!(pair, [(a, _), (b, _)] if a >= b)) {
            return Err(GenesisError::Order(place));
        }
        self.supply().map(|_| ())
    }

    /// Sum of all balances.
    ///
    /// # Errors
    /// [`GenesisError::Supply`] if it does not fit 64 bits.
    pub fn supply(&self) -> Result<Amount, GenesisError> {
        self.accounts
            .iter()
            .try_fold(Amount::ZERO, |sum, (_, amount)| sum.checked_add(*amount))
            .ok_or(GenesisError::Supply)
    }

    /// BLAKE3 of the file's bytes.
    #[must_use]
    pub fn file_digest(&self) -> Digest {
        hash::hash_of(Domain::GenesisFile, self)
    }

    /// The accounts of one shard.
    pub fn accounts_of(&self, shard: ShardAddress) -> impl Iterator<Item = (Address, Amount)> + '_ {
        self.accounts.iter().copied().filter(move |(address, _)| address.shard(shard.level()) == shard)
    }
}
