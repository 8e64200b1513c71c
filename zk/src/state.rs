//! What a proof is about in public: the state of a network, and the genesis it goes back to.

use crate::StatementError;
use borsh::{BorshDeserialize, BorshSerialize};
use smt_ledger::GenesisState;
use smt_ledger::genesis::committee_root;
use smt_types::crypto::{Field, poseidon};
use smt_types::{Amount, Committee, Digest, Epoch, Genesis, NetworkId, ShardAddress};

/// Stands before the fields of a [`PublicState`], where lists have their length.
const TAG: &[u8; 16] = b"smt public state";

/// The state behind a proof: 160 bytes in canonical form, the same for every number and every size of network.
///
/// The order of the fields is that of the hash; widths are those of the types, a [`Field`] 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PublicState {
    /// Hash of the verifying key; zero for a network that is not proven.
    pub vk_hash: Field,
    /// Number of the proof; consecutive, 0 for genesis.
    pub number: u64,
    /// The genesis hash.
    pub genesis: Field,
    /// Root over the headers of the cut.
    pub global_root: Field,
    /// Root over the committees.
    pub committee_root: Field,
    /// The network's supply, base units, money in flight included.
    pub supply: Amount,
    /// The smallest shard epoch of the cut.
    pub epoch: Epoch,
    /// Time of the newest D of the cut, microseconds since the Unix epoch; 0 at genesis.
    pub time_us: u64,
}

impl PublicState {
    /// The fields as the circuit hashes them.
    #[must_use]
    pub fn fields(&self) -> [Field; 8] {
        [
            self.vk_hash,
            Field::from_u64(self.number),
            self.genesis,
            self.global_root,
            self.committee_root,
            Field::from_u64(self.supply.0),
            Field::from_u64(self.epoch.0),
            Field::from_u64(self.time_us),
        ]
    }

    /// The public input: Poseidon of the tag and the fields.
    #[must_use]
    pub fn hash(&self) -> Field {
        let [vk, number, genesis, root, committees, supply, epoch, time] = self.fields();
        let tag = Field::from_u128(u128::from_be_bytes(*TAG));
        poseidon(&[tag, vk, number, genesis, root, committees, supply, epoch, time])
    }
}

/// What genesis fixes: the genesis hash opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The network.
    pub network: NetworkId,
    /// BLAKE3 of the genesis file.
    pub file: Digest,
    /// Root over the headers of epoch 0.
    pub global_root: Field,
    /// One committee a shard, in shard order.
    pub committees: Vec<Committee>,
    /// Sum of all balances.
    pub supply: Amount,
    /// Hash of the key that proofs are verified under.
    pub vk_hash: Field,
}

impl Origin {
    /// Of a genesis and what was built from it; `committees` as [`Genesis::check`] returns them.
    #[must_use]
    pub fn new(genesis: &Genesis, state: &GenesisState, committees: Vec<Committee>, vk_hash: Field) -> Origin {
        Origin {
            network: genesis.network,
            file: genesis.file_digest(),
            global_root: state.global_root,
            committees,
            supply: state.supply,
            vk_hash,
        }
    }

    /// The level of the shards.
    ///
    /// # Errors
    /// [`StatementError::Shards`] if there are not 3^h committees.
    pub fn level(&self) -> Result<u8, StatementError> {
        let shards = self.committees.len();
        let fits = |level: &u8| u32::try_from(shards).is_ok_and(|count| ShardAddress::count(*level) == count);
        (0..=ShardAddress::MAX_LEVEL).find(fits).ok_or(StatementError::Shards(shards))
    }

    /// Root over the committees. Cost: about a millisecond of Poseidon a committee.
    ///
    /// # Errors
    /// [`StatementError::Shards`].
    pub fn committee_root(&self) -> Result<Field, StatementError> {
        let shards = self.committees.len();
        committee_root(self.level()?, &self.committees).ok_or(StatementError::Shards(shards))
    }

    /// The genesis hash, equal to [`GenesisState::hash_with`] for this key's hash.
    #[must_use]
    pub fn hash(&self, committee_root: Field) -> Field {
        let (high, low) = Field::from_digest_halves(&self.file);
        poseidon(&[
            Field::from_u64(u64::from(self.network.0)),
            high,
            low,
            self.global_root,
            committee_root,
            Field::from_u64(self.supply.0),
            self.vk_hash,
        ])
    }
}
