//! The words every part of the network speaks: ids, amounts, addresses, clocks, the canonical codec, keys and
//! signatures, and every record that is hashed or signed.
//!
//! Knows nothing of the other crates. Pure: no clock, no I/O, no unseeded randomness.
//!
//! | module | holds |
//! | --- | --- |
//! | [`hash`] | [`Digest`] and the one table of hash domains |
//! | [`codec`] | the one canonical byte form of everything hashed or signed |
//! | [`ids`], [`amount`], [`address`], [`clock`] | newtypes for what must not be swapped |
//! | [`crypto`] | ed25519 (ZIP-215), Poseidon, EdDSA on BabyJubJub |
//! | [`committee`], [`genesis`] | who may sign for a shard, and where the network starts |
//! | [`payment`], [`batch`], [`vote`], [`receipt`] | certification |
//! | [`report`], [`cut`], [`header`], [`credit`] | epoch cut, snapshot header, payments between shards |
//! | [`evidence`] | what convicts a replica |
//! | [`message`] | what replicas send each other |

pub mod address;
pub mod amount;
pub mod batch;
pub mod bitmap;
pub mod clock;
pub mod codec;
pub mod committee;
pub mod credit;
pub mod crypto;
pub mod cut;
pub mod evidence;
pub mod genesis;
pub mod hash;
pub mod header;
pub mod hierarchy;
pub mod ids;
pub mod message;
pub mod payment;
pub mod receipt;
pub mod report;
pub mod signer;
pub mod vote;

pub use address::{Address, ShardAddress};
pub use amount::Amount;
pub use batch::{Batch, BatchHeader};
pub use bitmap::Bitmap;
pub use clock::{DenseTime, HybridClock, Lamport};
pub use codec::{Bounded, Canonical, DecodeError};
pub use committee::{Committee, ReplicaKeys};
pub use crypto::{JubPublicKey, JubSignature, PublicKey, Signature};
pub use cut::CutValue;
pub use genesis::Genesis;
pub use hash::{Digest, Domain};
pub use header::Header;
pub use ids::{BatchNumber, Epoch, NetworkId, ReplicaIndex, Seq, View};
pub use payment::{Payment, PaymentId, SignedPayment, Slot};
pub use receipt::Receipt;
pub use signer::{CachedChecker, Checker, RealChecker, Signer};
