//! One running replica: the pure core on a thread of its own, and what carries its effects out.
//!
//! | module | does |
//! | --- | --- |
//! | [`core`] | the thread: steps, one durable write set per burst, then the messages |
//! | [`disk`] | what the core reads: the store below the writes that are not committed yet |
//! | [`ingress`] | from swarm events to verified inputs |
//! | [`history`] | the account history, written with the cut it belongs to |
//! | [`hub`] | who waits for which payment |
//! | [`handle`] | how the rest of the process talks to it |
//! | [`start`] | opening a store into a replica |
//!
//! Queues: inputs of the core (bounded; the swarm is not read while it is full), client payments (the core's own queue, which
//! answers `overloaded`), outgoing messages (bounded per peer by the swarm).

pub mod core;
pub mod disk;
pub mod handle;
pub mod history;
pub mod hub;
pub mod ingress;
pub mod start;

pub use handle::{ReplicaHandle, Status};
pub use start::{StartError, StartReplica, start};
