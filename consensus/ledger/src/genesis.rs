//! The genesis state of a whole network: epoch-0 headers, the two roots over all shards, and the genesis hash.

use crate::error::LedgerError;
use crate::ledger::ShardLedger;
use smt_types::crypto::{Field, poseidon, poseidon_many};
use smt_types::header::LinkChanges;
use smt_types::hierarchy::global_root;
use smt_types::{Address, Amount, Committee, DenseTime, Digest, Epoch, Genesis, Header, Lamport, ShardAddress};

/// Where a network starts, as proofs and handshakes name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisState {
    /// The unsigned headers of epoch 0, in shard order.
    pub headers: Vec<Header>,
    /// Root over their Poseidon digests.
    pub global_root: Field,
    /// Root over the committees, see [`committee_leaf`].
    pub committee_root: Field,
    /// Sum of all balances.
    pub supply: Amount,
    /// Poseidon(network, file digest as two halves, global root, committee root, supply, hash of the verifying key).
    pub genesis_hash: Field,
}

impl GenesisState {
    /// Builds all of it, with 0 as hash of the verifying key: the form for networks whose shape has no circuit.
    ///
    /// `committees`: one per shard in shard order, as [`Genesis::check`] returns them.
    /// Cost: one hash a trie node, and about 1 ms of Poseidon a shard.
    ///
    /// # Errors
    /// [`LedgerError`] for a genesis of wrong shape and for committees that are not its shards'.
    pub fn build(genesis: &Genesis, committees: &[Committee]) -> Result<GenesisState, LedgerError> {
        genesis.check_shape()?;
        let mut headers = Vec::with_capacity(committees.len());
        // Accounts ascend by address, and so by shard: one pass cuts them.
        let mut accounts = genesis.accounts.iter().copied().peekable();
        for (place, shard) in ShardAddress::all(genesis.level).enumerate() {
            let committee = committees.get(place).filter(|committee| committee.shard() == shard);
            let committee = committee.ok_or(LedgerError::Committee { place, want: shard })?;
            let own = |(address, _): &(Address, Amount)| shard.contains(address);
            let balances = std::iter::from_fn(|| accounts.next_if(own));
            let (_, snapshot) = ShardLedger::with_balances(shard, balances)?;
            headers.push(Header {
                network: genesis.network,
                shard,
                epoch: Epoch(0),
                predecessor: Digest::ZERO,
                state: snapshot.state,
                supply: snapshot.supply,
                vector: Digest::ZERO,
                lamport: Lamport(0),
                dense: DenseTime::ZERO,
                committee: committee.digest(),
                levels: snapshot.levels,
                links: LinkChanges::default().digest(),
            });
        }
        let level = genesis.level;
        // One leaf a shard by the loop above (and by `check_shape` no deeper than trees go).
        let wrong = || LedgerError::Committee { place: committees.len(), want: ShardAddress::ROOT };
        let leaves: Vec<Field> = headers.iter().map(Header::poseidon).collect();
        let global_root = global_root(level, &leaves).ok_or_else(wrong)?;
        let committee_root = committee_root(level, committees).ok_or_else(wrong)?;
        let supply = genesis.supply()?;
        let mut state = GenesisState { headers, global_root, committee_root, supply, genesis_hash: Field::ZERO };
        state.genesis_hash = state.hash_with(genesis, &Field::ZERO);
        Ok(state)
    }

    /// The genesis hash of a network proven under the verifying key of this hash.
    #[must_use]
    pub fn hash_with(&self, genesis: &Genesis, vk_hash: &Field) -> Field {
        let (high, low) = Field::from_digest_halves(&genesis.file_digest());
        poseidon(&[
            Field::from_u64(u64::from(genesis.network.0)),
            high,
            low,
            self.global_root,
            self.committee_root,
            Field::from_u64(self.supply.0),
            *vk_hash,
        ])
    }
}

/// The root over all committees, in shard order; `None` if there is not one per shard.
#[must_use]
pub fn committee_root(level: u8, committees: &[Committee]) -> Option<Field> {
    let leaves: Vec<Field> = committees.iter().map(committee_leaf).collect();
    global_root(level, &leaves)
}

/// A committee as a circuit reads it: Poseidon over the list digest (two halves), then x and y of every replica's
/// BabyJubJub key in committee order. The list's length, which stands first in [`poseidon_many`], gives the size.
///
/// Coordinates rather than packed keys: they are what a signature check in the circuit takes. A key that is no point of
/// the curve enters as (0, 0), which is none either, so nothing can be signed under it; genesis refuses such keys.
#[must_use]
pub fn committee_leaf(committee: &Committee) -> Field {
    let (high, low) = Field::from_digest_halves(&committee.digest());
    let mut fields = vec![high, low];
    for keys in committee.indices().filter_map(|place| committee.keys(place)) {
        let (x, y) = keys.jub.coordinates().unwrap_or_default();
        fields.extend([x, y]);
    }
    poseidon_many(&fields)
}
