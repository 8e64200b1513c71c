//! Load generator and benchmark harness.
//!
//! | module | holds |
//! | --- | --- |
//! | [`in_memory`] | three replicas on one thread, without sockets and disk |
//! | [`load`] | payments on a schedule, read back and accounted for; the run from end to end |
//! | [`network`] | the network under load: separate processes, or one that is there |
//! | [`measure`] | what the kernel and the machine say about a run |
//! | [`result`] | one run's outcome: the JSON file |
//! | [`report`] | that outcome as a file, a page and a table |

pub mod in_memory;
pub mod load;
pub mod measure;
pub mod network;
pub mod report;
pub mod result;
