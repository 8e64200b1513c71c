//! An account shown against a snapshot header.

use crate::account::{ACCOUNT_BYTES, Account, StateParts};
use borsh::{BorshDeserialize, BorshSerialize};
use smt_trie::{PROOF_BYTES_MAX, Proof, Root};
use smt_types::codec::Bounded;
use smt_types::{Address, Amount, Canonical, Digest, Header, ShardAddress};

/// Longest canonical account proof, in bytes.
pub const MAX_ACCOUNT_PROOF_BYTES: usize = 32 + 8 + 32 + 32 + 32 + 4 + PROOF_BYTES_MAX;

/// The parts of S with a trie proof of one account, or of its absence.
///
/// Decode foreign bytes with [`MAX_ACCOUNT_PROOF_BYTES`]. It answers nothing by itself: [`AccountProof::verify`] does.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccountProof {
    /// What S is the hash of.
    pub parts: StateParts,
    /// The trie's proof, in its one encoding.
    pub trie: Bounded<u8, PROOF_BYTES_MAX>,
}

/// Why an account proof is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountProofError {
    /// The account lives in another shard, so its absence in this one says nothing.
    #[error("account belongs to another shard than the header's, {0}")]
    Shard(ShardAddress),
    /// The parts are not those of the header.
    #[error("the proof's parts hash to {got}, the header's state is {want}")]
    State {
        /// Hash of the parts.
        got: Digest,
        /// The header's S.
        want: Digest,
    },
    /// The account trie's sum is not the header's supply.
    #[error("the account trie holds {got}, the header says {want}")]
    Supply {
        /// The trie's sum.
        got: Amount,
        /// The header's supply.
        want: Amount,
    },
    /// The trie proof is no proof.
    #[error("malformed trie proof")]
    Decode(#[from] smt_trie::DecodeError),
    /// The trie proof does not lead to the account root.
    #[error("trie proof is refused")]
    Trie(#[from] smt_trie::ProofError),
    /// The leaf is not an account with its balance as sum.
    #[error("the leaf is not an account")]
    Leaf,
}

/// What a proof has shown: the account's state at the header's epoch. The header itself is checked apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifiedAccount {
    address: Address,
    account: Option<Account>,
}

impl VerifiedAccount {
    /// Whose account.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The account, or `None` if the address had never been paid.
    pub fn account(&self) -> Option<Account> {
        self.account
    }
}

impl AccountProof {
    pub(crate) fn new(parts: StateParts, proof: &Proof) -> AccountProof {
        // An encoding is at most PROOF_BYTES_MAX long, so nothing is cut off.
        AccountProof { parts, trie: Bounded::truncated(proof.encode()) }
    }

    /// Checks the proof for `address` against a header the caller trusts. Cost: one hash a trie level.
    ///
    /// # Errors
    /// [`AccountProofError`] naming the first fault.
    pub fn verify(&self, header: &Header, address: &Address) -> Result<VerifiedAccount, AccountProofError> {
        if !header.shard.contains(address) {
            return Err(AccountProofError::Shard(header.shard));
        }
        let (got, want) = (self.parts.digest(), header.state);
        if got != want {
            return Err(AccountProofError::State { got, want });
        }
        let (got, want) = (self.parts.supply, header.supply);
        if got != want {
            return Err(AccountProofError::Supply { got, want });
        }
        let root = Root { hash: self.parts.accounts.0, sum: self.parts.supply.0 };
        let shown = Proof::decode(&self.trie)?.verify(&root, &address.0)?;
        let account = match (shown.value(), shown.sum()) {
            (Some(value), Some(sum)) => {
                let account = Account::from_bytes(value, ACCOUNT_BYTES).map_err(|_| AccountProofError::Leaf)?;
                if account.balance != Amount(sum) {
                    return Err(AccountProofError::Leaf);
                }
                Some(account)
            }
            _ => None,
        };
        Ok(VerifiedAccount { address: *address, account })
    }
}
