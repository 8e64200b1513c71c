//! One running replica: the pure core on a thread of its own, and what carries its effects out.
//!
//! | module | does |
//! | --- | --- |
//! | [`core`] | the thread: steps, one durable write set per burst, then the messages |
//! | [`disk`] | what the core reads: the store below the writes that are not committed yet |
//! | [`ingress`] | from swarm events to verified inputs |
//! | [`history`] | the account history, written with the cut it belongs to |
//! | [`hub`] | who waits for which payment, who follows stages and epochs |
//! | [`verifier`] | clients' payments: a bounded queue, checked in batches |
//! | [`handle`] | how the rest of the process talks to it |
//! | [`start`] | opening a store into a replica |
//!
//! Queues: inputs of the core (bounded; the swarm is not read while it is full), client payments (on their way to the core and
//! in the core's own queue; both answer `overloaded`), outgoing messages (bounded per peer by the swarm).

pub mod core;
pub mod disk;
pub mod handle;
pub mod history;
pub mod hub;
pub mod ingress;
pub mod start;
pub mod verifier;

pub use handle::{ReplicaHandle, Status};
pub use start::{StartError, StartReplica, start};
