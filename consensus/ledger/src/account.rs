//! What a shard's state is made of, in canonical bytes.

use borsh::{BorshDeserialize, BorshSerialize};
use smt_consensus::ports::LiveAccount;
use smt_trie::Leaf;
use smt_types::credit::Channel;
use smt_types::{Amount, Canonical, Digest, Domain, Seq, ShardAddress, hash};

/// Length of an account's canonical bytes.
pub(crate) const ACCOUNT_BYTES: usize = 16;

/// Length of a link's canonical bytes.
pub(crate) const LINK_BYTES: usize = 2 * (8 + 16 + 32);

/// An account at the cut. Bytes: balance u64, next seq u64, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Base units.
    pub balance: Amount,
    /// Every slot below is in a cut or void.
    pub next_seq: Seq,
}

impl Account {
    /// The account's leaf in the trie.
    pub(crate) fn leaf(&self) -> Leaf {
        Leaf { value: self.to_bytes(), sum: self.balance.0 }
    }
}

impl From<Account> for LiveAccount {
    fn from(account: Account) -> Self {
        LiveAccount { balance: account.balance, next_seq: account.next_seq }
    }
}

/// Both directions of exchange with one other shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Link {
    /// Our outbox for it.
    pub sent: Channel,
    /// Our cursor on its outbox for us.
    pub received: Channel,
}

/// The parts S is the hash of, in this order: accounts root 32 B · supply u64 · outbox root 32 B · cursor root 32 B ·
/// history 32 B, integers little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StateParts {
    /// Root hash of the account trie.
    pub accounts: Digest,
    /// Its sum.
    pub supply: Amount,
    /// Root hash of the outbox trie.
    pub outbox: Digest,
    /// Root hash of the cursor trie.
    pub cursors: Digest,
    /// The history's commitment.
    pub history: Digest,
}

impl StateParts {
    /// S.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::State, self)
    }
}

/// Key of a shard's entry in the outbox or cursor trie (`domain` says which).
pub(crate) fn channel_key(domain: Domain, peer: &ShardAddress) -> smt_trie::Key {
    hash::hash_of(domain, peer).0
}

/// A channel's leaf: no sum, the value it carries is counted where it is held.
pub(crate) fn channel_leaf(channel: &Channel) -> Leaf {
    Leaf { value: channel.to_bytes(), sum: 0 }
}
