//! Load: payments that are due on a schedule, sent, read back and accounted for.
//!
//! | module | holds |
//! | --- | --- |
//! | [`options`] | the command line of `tps` |
//! | [`schedule`] | when payments are due |
//! | [`accounts`] | who pays whom, signatures made in advance, what balances must be |
//! | [`flight`], [`books`] | every payment of the run and what became of it; no I/O |
//! | [`figures`] | what is written down: latencies, seconds, the generator's delay |
//! | [`wire`], [`ids`] | calls as text, ids out of text |
//! | [`sockets`] | WebSockets to gateways and readers |
//! | [`engine`] | one step of load: the generator's thread |
//! | [`session`] | steps one after another: signing, marks, progress |
//! | [`meter`] | processes, syncs and counters at the ends of a window |
//! | [`steps`] | the search for the maximum; what an overloaded or long run says |
//! | [`checks`] | what must hold after the run |
//! | [`progress`] | the terminal while it runs |
//! | [`report`] | from what was measured to an [`Outcome`](crate::result::Outcome) |
//! | [`tps`] | the whole run |
//!
//! Two threads do the work: `generator` ([`engine`], plain blocking code) and `sockets` (a tokio worker). The books are the generator's
//! alone; sockets hand it what they read through a channel.

pub mod accounts;
pub mod books;
pub mod checks;
pub mod engine;
pub mod figures;
pub mod flight;
pub mod ids;
pub mod meter;
pub mod options;
pub mod progress;
pub mod report;
pub mod schedule;
pub mod session;
pub mod sockets;
pub mod steps;
pub mod tps;
pub mod wire;
