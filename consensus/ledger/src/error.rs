//! Why a ledger cannot be built.

use smt_types::genesis::GenesisError;
use smt_types::{DecodeError, ShardAddress};

/// Why a ledger cannot be built from a genesis or from a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The genesis is inconsistent.
    #[error("genesis is refused")]
    Genesis(#[from] GenesisError),
    /// The committees are not one per shard, in shard order.
    #[error("committee {place} is not that of shard {want}")]
    Committee {
        /// Place in the list.
        place: usize,
        /// The shard whose committee belongs there.
        want: ShardAddress,
    },
    /// Accounts that do not fit one trie: foreign, repeated, or more than 2^64 − 1 base units together.
    #[error("accounts of shard {shard} do not fit its trie")]
    Accounts {
        /// The shard.
        shard: ShardAddress,
        /// What the trie says.
        #[source]
        source: smt_trie::UpdateError,
    },
    /// The store holds no cut at all.
    #[error("the store holds no ledger")]
    Empty,
    /// The store is another shard's.
    #[error("the store holds the ledger of shard {got}, not of {want}")]
    Shard {
        /// Whose it is.
        got: ShardAddress,
        /// Whose was asked for.
        want: ShardAddress,
    },
    /// A record of the store is damaged.
    #[error("damaged {kind} record in the ledger's store")]
    Record {
        /// What the record should be.
        kind: &'static str,
        /// Why it is not; `None` for a key of the wrong form.
        #[source]
        source: Option<DecodeError>,
    },
}
