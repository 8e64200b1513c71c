//! The protocol: certification, epoch cut, global cut, evidence. Pure state machines.
//!
//! Everything here is `(state, now, input) → effects`: no clock, no sockets, no disk, no unseeded randomness, no
//! iteration order that differs between runs. The daemon and the simulator drive the same [`Replica`].
//!
//! | module | holds |
//! | --- | --- |
//! | [`ports`] | what the core asks of a ledger and of a store |
//! | [`effect`] | what comes out of a step, and the order it must be done in |
//! | [`config`] | a replica's place, its network, its parameters |
//! | [`verify`] | signature checks that turn a foreign [`smt_types::message::Message`] into a [`verify::Verified`] one |
//! | [`replica`] | the composition: one replica, one `step` |
//! | `queries`, `questions`, `standing`, `restore` | what the driver asks, what replicas ask each other, may we vote, restart |
//! | [`certify`] | gateway, voter, certificates, applied, final |
//! | [`epoch`] | reports, join, two phases, view change, headers |
//! | [`links`] | credits from other shards |
//! | [`global`] | the global cut |

pub mod archive;
pub mod certify;
pub mod config;
pub mod effect;
pub mod epoch;
pub mod global;
mod index;
pub mod links;
pub mod planted;
pub mod ports;
mod queries;
mod questions;
pub mod replica;
mod restore;
mod standing;
pub mod table;
pub mod verify;

pub use config::{Config, Network, Params};
pub use effect::{Effect, Effects, Event, Input, Reject, Stage};
pub use ports::{Column, Ledger, Reader, Snapshot, Write};
pub use queries::Found;
pub use replica::Replica;
pub use verify::Verified;
