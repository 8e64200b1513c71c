//! Load generator and benchmark harness.

pub mod measure;
pub mod report;
pub mod result;
