//! Credits between shards: what a payer's shard has promised a payee's shard.

use crate::codec::Bounded;
use crate::hash::{self, Digest, Domain};
use crate::header::CertifiedHeader;
use crate::{Address, Amount, PaymentId, Seq, ShardAddress};
use borsh::{BorshDeserialize, BorshSerialize};

/// Most credits in one bundle; longer ranges travel as several bundles.
pub const MAX_BUNDLE_CREDITS: usize = 8192;

/// One outgoing credit. Numbered 0, 1, 2, … per destination, in (payer, seq) order within a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Credit {
    /// The paying account, in the issuing shard.
    pub payer: Address,
    /// The payer's payment number.
    pub seq: Seq,
    /// The payment.
    pub payment: PaymentId,
    /// The account paid, in the destination shard.
    pub payee: Address,
    /// Base units.
    pub amount: Amount,
}

/// How far a channel from one shard to another has come: an outbox at the source, a cursor at the destination.
///
/// `chain` is H(previous chain, credit), starting at zeros: because a cursor always consumes a whole prefix in number
/// order, a chain binds every credit as strongly as a tree would, in 32 bytes and one hash a credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Channel {
    /// Credits so far; the next one has this number.
    pub count: u64,
    /// Their sum. Cumulative, never reset: turnover exceeds supply, so 64 bits would overflow.
    pub sum: u128,
    /// The chain over them.
    pub chain: Digest,
}

impl Channel {
    /// The channel after one more credit; `None` if a counter would overflow.
    #[must_use]
    pub fn extend(&self, credit: &Credit) -> Option<Channel> {
        Some(Channel {
            count: self.count.checked_add(1)?,
            sum: self.sum.checked_add(u128::from(credit.amount.0))?,
            chain: hash::hash_of(Domain::OutboxChain, &(self.chain, credit)),
        })
    }
}

/// Credits of one source shard for one destination, under a certified header that changed that outbox.
///
/// The header's changed links carry the outbox's {count, sum, chain}, and nothing after that header has changed it; so
/// the credits need no path of their own: the chain over them must end at the header's.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CreditBundle {
    /// The source's newest header that changed its outbox for the destination.
    pub header: CertifiedHeader,
    /// The destination.
    pub destination: ShardAddress,
    /// Number of the first credit below.
    pub first: u64,
    /// Consecutive credits from `first`; they may end before the header's count.
    pub credits: Bounded<Credit, MAX_BUNDLE_CREDITS>,
}

impl CreditBundle {
    /// The source's outbox for the destination at the header; `None` if the header did not change it.
    #[must_use]
    pub fn outbox(&self) -> Option<Channel> {
        self.header.changes.0.iter().find(|change| change.peer == self.destination).map(|change| change.sent)
    }
}
