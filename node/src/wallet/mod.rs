//! The wallet: keys, payments and receipts on the user's side of the interface.
//!
//! | module | holds |
//! | --- | --- |
//! | [`secret`], [`keystore`] | where secrets come from and how keys rest, encrypted |
//! | [`journal`] | every payment ever signed, on disk before it is sent; which seq comes next |
//! | [`network`] | the pinned genesis; receipts verified offline |
//! | [`endpoint`], [`remote`] | what the wallet asks of a node |
//! | [`send`] | paying and going on after a crash |
//! | [`cli`], [`commands`], [`output`] | the command line |
//! | [`durable`] | whole files or none |
//!
//! Invariants: a secret is never on the command line, in the environment, in a message or in an unencrypted file made by
//! us. A payment is on disk before it leaves the process, goes out as the same bytes every time, and no second payment
//! is ever signed at its seq. A payment is called paid only when its receipt has verified against the pinned genesis.
//!
//! Layout of the wallet's directory: `keys/<name>.json`, `networks/<number>/{pin.json, genesis}`,
//! `networks/<number>/<address>/…` (see [`journal`]). Directories have mode 0700, files 0600.

pub mod cli;
pub mod commands;
pub mod durable;
pub mod endpoint;
pub mod journal;
pub mod keystore;
pub mod network;
pub mod output;
pub mod remote;
pub mod secret;
pub mod send;

pub use cli::{ReceiptCommand, WalletCommand};

use secret::Seed;
use smt_types::Address;
use smt_types::crypto::SecretKey;

/// The account a seed owns.
#[must_use]
pub fn address_of(seed: &Seed) -> Address {
    SecretKey::from_seed(*seed.as_bytes()).public().address()
}
