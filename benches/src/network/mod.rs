//! The network a run talks to: one that the harness starts itself, or one that is there.
//!
//! | module | holds |
//! | --- | --- |
//! | [`processes`] | one `smt-node run` per replica, on loopback, in a directory of its own |
//! | [`target`] | what a run has to know of a network: genesis, endpoints, what the accounts hold |

pub mod processes;
pub mod target;
