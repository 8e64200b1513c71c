//! The snapshot header: what a shard's committee signs at every epoch cut.

use crate::clock::SierpinskiClock;
use crate::codec::Bounded;
use crate::committee::{Committee, MAX_REPLICAS};
use crate::credit::Channel;
use crate::crypto::{Field, poseidon_many};
use crate::hash::{self, Digest, Domain};
use crate::report::{MAX_SOURCES, ascends};
use crate::signer::{Checker, Signer};
use crate::{Amount, DenseTime, Epoch, JubSignature, Lamport, NetworkId, ReplicaIndex, ShardAddress, Signature};
use borsh::{BorshDeserialize, BorshSerialize};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Poseidon digests of headers remembered per thread.
const POSEIDON_KEPT: usize = 256;

/// {S, V, D} of one shard at one epoch. Epoch 0 is the genesis state and is not signed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// The network.
    pub network: NetworkId,
    /// The shard.
    pub shard: ShardAddress,
    /// The epoch.
    pub epoch: Epoch,
    /// Digest of the previous epoch's header; zeros at epoch 0.
    pub predecessor: Digest,
    /// S: commits to accounts, outbox, cursors and history.
    pub state: Digest,
    /// Sum of all balances of the shard.
    pub supply: Amount,
    /// V: chain over the cut values, which name every batch and bit.
    pub vector: Digest,
    /// Lamport stamp.
    pub lamport: Lamport,
    /// D: dense time stamp.
    pub dense: DenseTime,
    /// Digest of the committee.
    pub committee: Digest,
    /// Per ancestor level and sibling triangle: value sent, received, newest epoch consumed.
    pub levels: SierpinskiClock,
    /// Digest of the [`LinkChange`]s of this epoch.
    pub links: Digest,
}

impl Header {
    /// BLAKE3 digest: what ed25519 signs and what names a header.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::Header, self)
    }

    /// Poseidon digest over the fields in declaration order: what BabyJubJub signs and what the global root is made of.
    ///
    /// Field elements, in order: network, shard level, shard index, epoch, predecessor (two halves), state (two halves),
    /// supply, vector (two halves), Lamport, dense (time, shard, replica, counter), committee (two halves), then per
    /// level and sibling (sent, received, epoch), links (two halves).
    ///
    /// Cost: half a millisecond for a header this thread has not hashed lately, else one BLAKE3 hash: a header passes through
    /// many hands (its signatures, its certificate, every copy by gossip, every bundle of credits under it).
    #[must_use]
    pub fn poseidon(&self) -> Field {
        thread_local!(static LATELY: RefCell<VecDeque<(Digest, Field)>> = const { RefCell::new(VecDeque::new()) });
        let digest = self.digest();
        LATELY.with_borrow_mut(|lately| {
            if let Some((_, field)) = lately.iter().rev().find(|(known, _)| *known == digest) {
                return *field;
            }
            let field = self.poseidon_of_fields();
            if lately.len() >= POSEIDON_KEPT {
                lately.pop_front();
            }
            lately.push_back((digest, field));
            field
        })
    }

    fn poseidon_of_fields(&self) -> Field {
        let mut fields = vec![
            Field::from_u64(u64::from(self.network.0)),
            Field::from_u64(u64::from(self.shard.level())),
            Field::from_u64(u64::from(self.shard.index())),
            Field::from_u64(self.epoch.0),
        ];
        push_halves(&mut fields, &self.predecessor);
        push_halves(&mut fields, &self.state);
        fields.push(Field::from_u64(self.supply.0));
        push_halves(&mut fields, &self.vector);
        fields.push(Field::from_u64(self.lamport.0));
        fields.push(Field::from_u64(self.dense.time_us));
        fields.push(Field::from_u64(u64::from(self.dense.shard)));
        fields.push(Field::from_u64(u64::from(self.dense.replica)));
        fields.push(Field::from_u64(u64::from(self.dense.counter)));
        push_halves(&mut fields, &self.committee);
        for entry in self.levels.levels.iter().flatten() {
            fields.push(Field::from_u128(entry.sent));
            fields.push(Field::from_u128(entry.received));
            fields.push(Field::from_u64(entry.epoch));
        }
        push_halves(&mut fields, &self.links);
        poseidon_many(&fields)
    }

    /// Signs as `replica` with both keys.
    #[must_use]
    pub fn sign(&self, replica: ReplicaIndex, signer: &dyn Signer) -> HeaderSignature {
        HeaderSignature { replica, ed25519: signer.sign(&self.digest()), jub: signer.sign_jub(&self.poseidon()) }
    }
}

fn push_halves(fields: &mut Vec<Field>, digest: &Digest) {
    let (high, low) = Field::from_digest_halves(digest);
    fields.push(high);
    fields.push(low);
}

/// One replica's double signature of a header. It counts only if both verify: otherwise a Byzantine replica could make
/// headers that are certified and never provable.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeaderSignature {
    /// The signer.
    pub replica: ReplicaIndex,
    /// Over the BLAKE3 digest.
    pub ed25519: Signature,
    /// Over the Poseidon digest.
    pub jub: JubSignature,
}

impl HeaderSignature {
    /// Both signatures verify for the digests given.
    #[must_use]
    pub fn is_valid(&self, committee: &Committee, digest: &Digest, poseidon: &Field, checker: &dyn Checker) -> bool {
        committee.keys(self.replica).is_some_and(|keys| {
            checker.check(&keys.ed25519, digest, &self.ed25519) && checker.check_jub(&keys.jub, poseidon, &self.jub)
        })
    }
}

/// A cursor or outbox that an epoch changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LinkChange {
    /// The other shard.
    pub peer: ShardAddress,
    /// Our outbox for it.
    pub sent: Channel,
    /// Our cursor on its outbox for us.
    pub received: Channel,
}

/// The changed links of an epoch, ascending by peer. Travel beside the header, which commits to their digest.
#[derive(Clone, Debug, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct LinkChanges(pub Bounded<LinkChange, MAX_SOURCES>);

impl LinkChanges {
    /// What the header commits to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        hash::hash_of(Domain::Links, self)
    }

    /// Peers ascend strictly.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        ascends(&self.0, |change| change.peer)
    }
}

/// A header with exactly q double signatures, signers ascending.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertifiedHeader {
    /// The header.
    pub header: Header,
    /// Its changed links.
    pub changes: LinkChanges,
    /// q signatures.
    pub signatures: Bounded<HeaderSignature, MAX_REPLICAS>,
}

/// Why a certified header is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Another network, shard or committee.
    #[error("header of shard {0} names another network or committee")]
    Foreign(ShardAddress),
    /// Not exactly q distinct signers, ascending.
    #[error("header carries {got} signatures, {want} distinct ones in ascending order are needed")]
    Signers {
        /// Signatures given.
        got: usize,
        /// Signatures needed.
        want: usize,
    },
    /// A signature does not verify.
    #[error("signature of replica {0} does not verify under both its keys")]
    Signature(ReplicaIndex),
    /// A header of epoch 0: genesis fixes those, nobody signs them, and so nobody may send one.
    #[error("header of shard {0} is of epoch 0, which genesis fixes and nobody sends")]
    Genesis(ShardAddress),
    /// The changed links are not those the header commits to.
    #[error("changed links differ from the header's digest of them")]
    Links,
}

impl CertifiedHeader {
    /// Checks form, changed links, and q double signatures of `committee`. A header of epoch 0 is always refused.
    ///
    /// # Errors
    /// [`HeaderError`]. Cost: q ed25519 and q BabyJubJub verifications.
    pub fn verify(&self, committee: &Committee, checker: &dyn Checker) -> Result<(), HeaderError> {
        let header = &self.header;
        if header.network != committee.network()
            || header.shard != committee.shard()
            || header.committee != committee.digest()
            || header.levels.levels.len() != usize::from(header.shard.level())
        {
            return Err(HeaderError::Foreign(header.shard));
        }
        if !self.changes.is_well_formed() || self.changes.digest() != header.links {
            return Err(HeaderError::Links);
        }
        if header.epoch == Epoch(0) {
            return Err(HeaderError::Genesis(header.shard));
        }
        let want = committee.quorum();
        if self.signatures.len() != want || !ascends(&self.signatures, |s| s.replica) {
            return Err(HeaderError::Signers { got: self.signatures.len(), want });
        }
        let (digest, poseidon) = (header.digest(), header.poseidon());
        match self.signatures.iter().find(|s| !s.is_valid(committee, &digest, &poseidon, checker)) {
            Some(bad) => Err(HeaderError::Signature(bad.replica)),
            None => Ok(()),
        }
    }
}
