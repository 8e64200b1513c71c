//! `smt-node run`: one replica of a network of separate processes.
//!
//! | module | does |
//! | --- | --- |
//! | [`settings`] | what it can be set to |
//! | [`papers`] | genesis, address book and keys, checked against each other before anything is opened |
//! | [`cli`] | the command: start, ready line, stop |
//!
//! Peers come from an address book, or from any running replica and the address records that replicas sign and ask each other for
//! ([`crate::join`]); they are dialled for ever, with back-off, and the order in which the processes of a network start does not matter. *Ready* means that the endpoint answers and peers are being dialled: a replica votes only
//! once q − 1 of its committee have told it what they hold of it, which readiness in `smt_getNodeInfo` shows.

pub mod cli;
pub mod papers;
pub mod settings;

pub use cli::RunCommand;
pub use papers::{Papers, PapersError};
pub use settings::RunSettings;
