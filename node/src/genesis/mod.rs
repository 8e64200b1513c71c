//! Making a network of separate processes: its genesis, its address book and its replicas' keys.
//!
//! | module | holds |
//! | --- | --- |
//! | [`plan`] | from wishes to a genesis and the secrets behind it |
//! | [`accounts`] | the funded accounts of a load test, by number |
//! | [`key_file`] | one replica's secrets as a file |
//! | [`book`] | who is where: `network.toml` |
//! | [`cli`] | `smt-node genesis` |
//!
//! Everything a replica needs to run is in three files; `smt-node run` ([`crate::run`]) checks them against each other. The
//! genesis hash, which is in the address book, is what people who do not trust each other compare.

pub mod accounts;
pub mod book;
pub mod cli;
pub mod key_file;
pub mod plan;

pub(crate) use accounts::addresses as load_addresses;
pub use accounts::{load_account, load_accounts};
pub use book::AddressBook;
pub use cli::GenesisCommand;
pub use key_file::KeyFile;
pub use plan::{LOAD_ACCOUNTS_MAX, Origin, Plan};

/// File of the genesis in the directory of a new network.
pub const GENESIS_FILE: &str = "genesis.bin";
/// File of the address book.
pub const NETWORK_FILE: &str = "network.toml";
/// Directory of the key files.
pub const KEYS_DIR: &str = "keys";
