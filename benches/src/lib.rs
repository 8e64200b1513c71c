//! Load generator and benchmark harness.

pub mod result;
