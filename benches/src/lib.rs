//! Load generator and benchmark harness.

pub mod load;
pub mod result;
