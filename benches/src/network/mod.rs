//! The network a run talks to: one that the harness starts itself, or one that is there.
//!
//! | module | holds |
//! | --- | --- |
//! | [`processes`] | a network in a directory of its own: one process, or one per replica on loopback or in namespaces |
//! | [`namespaces`] | delay and loss between replicas, by `scripts/shaper` |
//! | [`child`] | one program that was started |
//! | [`target`] | what a run has to know of a network: genesis, endpoints, what the accounts hold |

mod child;
pub mod namespaces;
pub mod processes;
pub mod target;
