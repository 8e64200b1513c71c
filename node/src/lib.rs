//! The daemon: everything that touches sockets, disks, clocks and people.
//!
//! | module | holds |
//! | --- | --- |
//! | [`dev`] | a whole local network in one process |
//! | [`member`] | one member of a network: store, replica, swarm and endpoint as one |
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
pub mod keys;
pub mod member;
mod process;
pub mod replica;
pub mod rpc;
pub mod serve;
pub mod store;
pub mod wallet;
