//! [`Digest`] and the table of hash domains.
//!
//! Every hash outside the trie is BLAKE3 in derive-key mode with a context of its own, so that no byte string means
//! two things. The trie hashes fixed 128-byte nodes with tags of its own (see `smt-trie`).

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// A 32-byte BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Thirty-two zero bytes: the predecessor of what has none.
    pub const ZERO: Digest = Digest([0; 32]);

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Lower-case hex, 64 characters.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads 64 hex characters; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Digest> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Digest(bytes))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident = $context:literal;)*) => {
        /// What a hashed byte string is. The context strings are part of the protocol: changing one changes the network.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Domain { $($(#[$doc])* $name,)* }

        impl Domain {
            /// All domains, in table order.
            pub const ALL: &'static [Domain] = &[$(Domain::$name,)*];

            /// The BLAKE3 derive-key context.
            #[must_use]
            pub const fn context(self) -> &'static str {
                match self { $(Domain::$name => $context,)* }
            }
        }
    };
}

domains! {
    /// An owner's ed25519 key, to an account address.
    Address = "smt 2026-11-20 account address";
    /// A payment without its signature: its id, and what the payer signs.
    Payment = "smt 2026-11-20 payment";
    /// A signed payment as a leaf of a batch tree.
    BatchLeaf = "smt 2026-11-20 batch leaf";
    /// Two children of a batch tree.
    BatchNode = "smt 2026-11-20 batch node";
    /// A batch header: what the gateway signs.
    BatchHeader = "smt 2026-11-20 batch header";
    /// A vote.
    Vote = "smt 2026-11-20 vote";
    /// An applied acknowledgement.
    Applied = "smt 2026-11-20 applied";
    /// A report for an epoch.
    Report = "smt 2026-11-20 report";
    /// The value an epoch cut agrees on.
    CutValue = "smt 2026-11-20 cut value";
    /// A vote of one phase for a cut value.
    CutVote = "smt 2026-11-20 cut vote";
    /// A proposal of a cut value.
    Proposal = "smt 2026-11-20 cut proposal";
    /// A change to a higher view.
    ViewChange = "smt 2026-11-20 view change";
    /// A snapshot header.
    Header = "smt 2026-11-20 snapshot header";
    /// A shard's state root over its parts.
    State = "smt 2026-11-20 shard state";
    /// The list of cursors and outboxes a header changed.
    Links = "smt 2026-11-20 link changes";
    /// The chain over a shard's vector clocks.
    Vector = "smt 2026-11-20 vector clock";
    /// The chain over the outgoing credits to one destination.
    OutboxChain = "smt 2026-11-20 outbox chain";
    /// The key of a destination's entry in the outbox trie.
    OutboxKey = "smt 2026-11-20 outbox key";
    /// The key of a source's entry in the cursor trie.
    CursorKey = "smt 2026-11-20 cursor key";
    /// The key of a slot in its epoch's transaction trie.
    TransactionKey = "smt 2026-11-20 transaction key";
    /// An epoch's transaction trie as an entry of the history.
    EpochTransactions = "smt 2026-11-20 epoch transactions";
    /// The history accumulator's root as part of the state.
    History = "smt 2026-11-20 history root";
    /// What a replica has worked out a cut for; never leaves it.
    CutPlan = "smt 2026-11-20 cut plan";
    /// A committee.
    Committee = "smt 2026-11-20 committee";
    /// Possession of a replica's two keys.
    Possession = "smt 2026-11-20 key possession";
    /// The bytes of a genesis file.
    GenesisFile = "smt 2026-11-20 genesis file";
    /// A secret derived from a development seed.
    DevelopmentSeed = "smt 2026-11-20 insecure development seed";
    /// A gossiped message's id.
    GossipId = "smt 2026-11-20 gossip id";
    /// An evidence record's id.
    Evidence = "smt 2026-11-20 evidence";
    /// What a replica proves at the door of a connection.
    Handshake = "smt 2026-11-20 handshake";
    /// Where a replica says it is found.
    AddressRecord = "smt 2026-11-20 address record";
}

/// Hashes `bytes` in `domain`. Cost: one BLAKE3 derive-key hash; the context key is derived each time from cache.
#[must_use]
pub fn hash(domain: Domain, bytes: &[u8]) -> Digest {
    let mut hasher = hasher(domain);
    hasher.update(bytes);
    Digest(*hasher.finalize().as_bytes())
}

/// A hasher in `domain`, for input in pieces.
#[must_use]
pub fn hasher(domain: Domain) -> blake3::Hasher {
    use std::sync::OnceLock;
    // Deriving a context key costs two compressions; a payment path hashes many small strings in few domains.
    static KEYED: OnceLock<Vec<blake3::Hasher>> = OnceLock::new();
    let table = KEYED.get_or_init(|| Domain::ALL.iter().map(|d| blake3::Hasher::new_derive_key(d.context())).collect());
    match table.get(domain as usize) {
        Some(hasher) => hasher.clone(),
        None => blake3::Hasher::new_derive_key(domain.context()),
    }
}

/// Hashes the canonical form of `value` in `domain`.
#[must_use]
pub fn hash_of<T: BorshSerialize + ?Sized>(domain: Domain, value: &T) -> Digest {
    hash(domain, &crate::codec::to_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn contexts_are_unique() {
        let contexts: BTreeSet<_> = Domain::ALL.iter().map(|d| d.context()).collect();
        assert_eq!(contexts.len(), Domain::ALL.len());
    }

    #[test]
    fn table_order_is_enum_order() {
        for (index, domain) in Domain::ALL.iter().enumerate() {
            assert_eq!(index, *domain as usize);
            assert_eq!(hash(*domain, b"x").0, blake3::derive_key(domain.context(), b"x"));
        }
    }
}
