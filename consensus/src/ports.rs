//! What the core asks of the world behind it: a [`Ledger`] for balances and cuts, a [`Reader`] for what is durable.

use smt_types::clock::SierpinskiClock;
use smt_types::credit::{Channel, Credit};
use smt_types::header::LinkChanges;
use smt_types::{Address, Amount, CutValue, Digest, Epoch, Payment, PaymentId, Seq, ShardAddress, SignedPayment, Slot};

/// Where a durable record belongs. One byte each on disk; numbers are part of the store's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Column {
    /// header digest → (batch, own vote if any).
    Batch = 1,
    /// (gateway, number) big endian → header digest.
    Number = 2,
    /// header digest → (): batches not forgotten yet.
    Live = 3,
    /// header digest → certificate: all votes known.
    Certificate = 4,
    /// (header digest, replica) → applied record, the largest known.
    Applied = 5,
    /// (epoch, view) big endian → own report.
    Report = 6,
    /// (epoch, view, phase) big endian → own cut vote.
    CutVote = 7,
    /// (epoch, view) big endian → own view change.
    ViewChange = 8,
    /// epoch big endian → (value, prepare certificate), the highest known.
    Prepared = 9,
    /// epoch big endian → decision.
    Cut = 10,
    /// epoch big endian → own signed header.
    OwnHeader = 11,
    /// (shard level, shard index, epoch) big endian → certified header.
    Header = 12,
    /// (source shard, number) big endian → credit received and not consumed yet, or kept for peers.
    Inbox = 13,
    /// source shard → (tip channel, newest bundle header).
    InboxTip = 14,
    /// evidence id → (evidence, convicted replica).
    Evidence = 15,
    /// peer shard → epoch of our newest certified header that changed our outbox for it.
    LastChange = 16,
    /// empty key → shard epochs of the newest global cut.
    GlobalCut = 17,
    /// empty key → the newest own proposal.
    Proposal = 18,
    /// empty key → why this replica has stopped voting for good.
    Retired = 19,
    /// The ledger: page → all accounts at an earlier cut.
    Account = 32,
    /// The ledger: (destination, number) big endian → credit.
    Outbox = 33,
    /// The ledger: peer shard → (outbox, cursor) channels at the newest cut.
    Link = 34,
    /// The ledger: fixed keys → history root and other scalars of the newest cut.
    LedgerMeta = 35,
    /// payment id → (header digest, index, epoch of its cut).
    Payment = 36,
    /// (address, epoch, side, number) → where the payment is kept: account history.
    History = 37,
    /// credited payment id → (source, credit number, epoch of the consuming cut).
    Credited = 38,
    /// The ledger: epoch big endian → the accounts a cut has changed.
    AccountDelta = 39,
    /// epoch big endian → the payments of its cut whose rows in the three columns above are not all written.
    Unindexed = 40,
}

/// One durable change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub column: Column,
    /// Key inside the column.
    pub key: Vec<u8>,
    /// The new value, or `None` to delete.
    pub value: Option<Vec<u8>>,
}

/// Read access to what the store holds, the writes of all earlier steps included.
pub trait Reader {
    /// The value at a key.
    fn get(&self, column: Column, key: &[u8]) -> Option<Vec<u8>>;
    /// Up to `limit` entries whose keys start with `prefix`, at or after `from`, in ascending key order.
    fn range(&self, column: Column, prefix: &[u8], from: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)>;
}

/// A payment whose hashes have been computed: its id, and its payer's address in the slot.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The slot.
    pub slot: Slot,
    /// The id.
    pub id: PaymentId,
    /// The payment.
    pub payment: &'a Payment,
}

impl<'a> From<&'a SignedPayment> for Known<'a> {
    /// Cost: two hashes.
    fn from(signed: &'a SignedPayment) -> Self {
        Known { slot: signed.payment.slot(), id: signed.payment.id(), payment: &signed.payment }
    }
}

/// A live account: the newest cut plus everything this replica has applied since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LiveAccount {
    /// Spendable here and now.
    pub balance: Amount,
    /// Seq of the next payment that can be applied.
    pub next_seq: Seq,
}

/// A payment that joined with a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Joined {
    /// Its slot.
    pub slot: Slot,
    /// Its id.
    pub id: PaymentId,
    /// Its place among the payments that the cut was given; of several, the first.
    pub place: u32,
}

/// A shard's state at a cut, as its header commits to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// S.
    pub state: Digest,
    /// Sum of all balances.
    pub supply: Amount,
    /// Per-level sums.
    pub levels: SierpinskiClock,
    /// Changed links.
    pub changes: LinkChanges,
    /// Payments that joined with this cut, in (payer, seq) order.
    pub joined: Vec<Joined>,
    /// Credits consumed with this cut: (source, number of the credit, credit).
    pub credited: Vec<(ShardAddress, u64, Credit)>,
}

/// Why a payment cannot be applied now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// Its seq is not the payer's next.
    Seq {
        /// The payer's next.
        next: Seq,
    },
    /// The balance does not cover it.
    Unfunded {
        /// The balance.
        balance: Amount,
    },
}

/// Why a decided value cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// Two different payments at one slot: the shard is forked.
    #[error("two payments at seq {} of {:?}: {first} and {second}", slot.seq, slot.payer)]
    TwoAtSlot {
        /// The slot.
        slot: Slot,
        /// One payment.
        first: PaymentId,
        /// The other.
        second: PaymentId,
    },
    /// A payment whose predecessor is in no cut.
    #[error("seq {} of {:?} joins before seq {next}", slot.seq, slot.payer)]
    Gap {
        /// The slot.
        slot: Slot,
        /// The payer's next seq.
        next: Seq,
    },
    /// Debits exceed what the account holds, credits of the same cut included.
    #[error("account {0:?} would be negative")]
    Negative(Address),
    /// A counter or sum does not fit.
    #[error("a counter of the ledger overflows")]
    Overflow,
    /// A credit that is not for an account of this shard, or not from its source.
    #[error("credit {number} of shard {source_shard} names an account of another shard")]
    ForeignCredit {
        /// The source.
        source_shard: ShardAddress,
        /// The credit's number.
        number: u64,
    },
}

/// A shard's balances: live ones that run ahead in memory, and those of the newest cut in the trie.
pub trait Ledger {
    /// The live account, or `None` if the address has never been paid.
    fn account(&self, address: &Address) -> Option<LiveAccount>;

    /// Applies a certified payment to the live state: debits the payer, and credits the payee if it lives here.
    ///
    /// # Errors
    /// [`ApplyError`] if it is not the payer's next or not funded; nothing is changed then.
    fn apply(&mut self, payment: Known<'_>) -> Result<(), ApplyError>;

    /// Next seq of the payer at the newest cut: every slot below is in a cut or void.
    fn cut_seq(&self, payer: &Address) -> Seq;

    /// Checks whether `payments` could join the newest cut together with `credits`, changing nothing. What is worked out
    /// may be kept for [`Ledger::decide`]: a cut is checked when it is proposed and prepared, and is the same when decided.
    ///
    /// # Errors
    /// [`CutError`] naming the first fault.
    fn check_cut(
        &self,
        value: &CutValue,
        payments: &[Known<'_>],
        credits: &[(ShardAddress, Vec<Credit>)],
    ) -> Result<(), CutError>;

    /// Moves the cut: `payments` (any order, repetitions and already joined ones allowed) and the consumed `credits`
    /// (per source, in number order from the cursor) join. Payments that the live state lacks are applied to it too, credits
    /// first. Durable changes go to `writes`.
    ///
    /// # Errors
    /// [`CutError`]; nothing is changed then.
    fn decide(
        &mut self,
        value: &CutValue,
        payments: &[Known<'_>],
        credits: &[(ShardAddress, Vec<Credit>)],
        writes: &mut Vec<Write>,
    ) -> Result<Snapshot, CutError>;

    /// Our outbox for `peer` at the newest cut.
    fn outbox(&self, peer: ShardAddress) -> Channel;

    /// Our cursor on `peer`'s outbox at the newest cut.
    fn cursor(&self, peer: ShardAddress) -> Channel;

    /// The newest cut's epoch.
    fn epoch(&self) -> Epoch;
}
