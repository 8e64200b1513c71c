//! What the kernel and the machine say about a run: nothing here asks the measured program about itself.
//!
//! | module | measures |
//! | --- | --- |
//! | [`procfs`] | CPU time, memory and written bytes of other processes, thread by thread |
//! | [`recorder`] | the same once a second, and over a window of the run |
//! | [`stages`] | which stage of a replica a thread belongs to |
//! | [`syncs`] | calls that ask for durability, traced |
//! | [`machine`] | processor, memory, kernel, file system: in words |
//! | [`calibrate`] | what the machine does at best, before and after the load |

pub mod calibrate;
pub mod machine;
pub mod procfs;
pub mod recorder;
pub mod stages;
pub mod syncs;
