//! `smt-node dev`: a whole local network in one process, every replica with its own libp2p swarm, store and endpoint.

pub mod cli;
pub mod network;
pub mod settings;
pub mod shape;
pub mod state;

pub use cli::DevCommand;
pub use network::{DevNetwork, DevOptions};
pub use settings::DevSettings;
pub use shape::Shape;
