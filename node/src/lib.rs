//! The daemon: everything that touches sockets, disks, clocks and people.
//!
//! | module | holds |
//! | --- | --- |
//! | [`genesis`] | making a network: genesis file, address book, key files |
//! | [`run`] | one replica of such a network |
//! | [`dev`] | a whole local network in one process |
//! | [`join`] | who is which replica, and how a node shows that |
//! | [`member`] | what the two have in common: store, replica, swarm and endpoint as one |
//! | [`replica`] | one running replica: the core's thread and what carries its effects out |
//! | [`serve`] | who answers a client's request: the local replica or another shard's |
//! | [`rpc`] | JSON-RPC: method table, server, client, generated documents |
//! | [`store`] | RocksDB behind one small interface |
//! | [`wallet`] | keys, payments and receipts on the user's side |
//! | [`config`] | settings in layers: defaults, file, environment, flags |
//! | [`keys`], [`clock`] | a replica's secrets; the process's clock |

pub mod clock;
pub mod config;
pub mod dev;
pub mod genesis;
pub mod join;
pub mod keys;
pub mod member;
mod process;
pub mod replica;
pub mod rpc;
pub mod run;
pub mod serve;
pub mod store;
pub mod wallet;
