//! The node behind the JSON interface.
//!
//! Every endpoint answers for every shard: [`backend`] decides where a request belongs and either answers it from the local
//! replica ([`local`]) or forwards it, as the same JSON, to a replica of the right shard over libp2p ([`forward`]). A
//! forwarded request is only ever answered locally there, so nothing travels in circles.
//!
//! Payments go through [`bulk`] (which shard they belong to) and [`submit`] (at home), one by one or a thousand at a time;
//! [`lookup`] and [`receipts`] read them back.

pub mod backend;
pub mod bulk;
pub mod convert;
pub mod counters;
pub mod forward;
pub mod local;
pub mod lookup;
pub mod receipts;
pub mod submit;

pub use backend::NodeBackend;
pub use local::{FaucetKey, Local, NetworkView};
