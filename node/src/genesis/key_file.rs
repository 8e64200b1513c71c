//! One replica's secrets as a file: `keys/SHARD-REPLICA.key`.
//!
//! TOML with hex seeds, for the owner's eyes alone (mode 0600; a file others may read is refused). The keys are not
//! encrypted: a replica starts without anybody at the keyboard, so a passphrase would lie beside them. The three seeds are
//! drawn apart, so that losing one key does not lose the others.

use crate::keys::{ReplicaSecrets, ReplicaSeeds};
use crate::wallet::durable;
use serde::Deserialize;
use smt_types::crypto::SecretKey;
use smt_types::message::NodeId;
use smt_types::{ReplicaIndex, ShardAddress};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Version of the format.
const VERSION: u32 = 1;

/// Longest key file, bytes.
const BYTES_MAX: usize = 4096;

/// A replica's secrets, and whose they are.
#[derive(Clone)]
pub struct KeyFile {
    /// The replica's place.
    pub node: NodeId,
    /// They follow from a known number.
    pub development: bool,
    /// Its seeds.
    pub seeds: ReplicaSeeds,
    /// The seed of its faucet account, on a development network.
    pub faucet: Option<Zeroizing<[u8; 32]>>,
}

/// Why a file holds no keys. No message holds anything of the file's content but names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("{operation} the key file {}", file.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error("the key file {0} can be read by others than its owner; make it private: chmod 600 {0}", file.display())]
    TooOpen {
        /// The file.
        file: PathBuf,
    },
    /// It is no key file.
    #[error("{} is no key file: {detail}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A later program wrote it.
    #[error("the key file {} has version {found}, this program reads version {VERSION}", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// The file's fields.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Fields {
    version: u32,
    #[serde(default)]
    development: bool,
    shard: String,
    replica: u8,
    identity: String,
    ed25519: String,
    babyjubjub: String,
    faucet: Option<String>,
}

impl KeyFile {
    /// `SHARD-REPLICA.key`
    #[must_use]
    pub fn name(node: NodeId) -> String {
        format!("{}-{}.key", node.shard, node.replica)
    }

    /// The secrets.
    #[must_use]
    pub fn secrets(&self) -> ReplicaSecrets {
        ReplicaSecrets::new(&self.seeds)
    }

    /// The faucet account's key.
    #[must_use]
    pub fn faucet_key(&self) -> Option<SecretKey> {
        self.faucet.as_ref().map(|seed| SecretKey::from_seed(**seed))
    }

    /// Writes a new file.
    ///
    /// # Errors
    /// [`KeyFileError::Io`], also if the name is taken.
    pub fn create(&self, file: &Path) -> Result<(), KeyFileError> {
        let failed = |source| KeyFileError::Io { operation: "writing", file: file.to_owned(), source };
        durable::create(file, self.text().as_bytes()).map_err(failed)
    }

    fn text(&self) -> Zeroizing<String> {
        let KeyFile { node, development, seeds, faucet } = self;
        // Room for all of it: a text that grows leaves copies of secrets behind.
        let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX));
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            text.write_fmt(line).unwrap_or_default();
            text.push('\n');
        };
        line(format_args!(
            "# Secret keys of replica {} of shard {}. Whoever has them can act as this replica.",
            node.replica, node.shard
        ));
        if *development {
            line(format_args!(
                "# INSECURE: a development network's keys. Everybody can make them from its seed, a small number."
            ));
        }
        line(format_args!("version = {VERSION}"));
        line(format_args!("development = {development}"));
        line(format_args!("shard = \"{}\"", node.shard));
        line(format_args!("replica = {}", node.replica));
        let hex = |seed: &Zeroizing<[u8; 32]>| Zeroizing::new(hex::encode(seed.as_slice()));
        line(format_args!("identity = \"{}\"", *hex(&seeds.identity)));
        line(format_args!("ed25519 = \"{}\"", *hex(&seeds.ed25519)));
        line(format_args!("babyjubjub = \"{}\"", *hex(&seeds.babyjubjub)));
        if let Some(faucet) = faucet {
            line(format_args!("faucet = \"{}\"", *hex(faucet)));
        }
        text
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read(file: &Path) -> Result<KeyFile, KeyFileError> {
        let failed = |source| KeyFileError::Io { operation: "reading", file: file.to_owned(), source };
        if durable::foreign_mode(file).map_err(failed)? != 0 {
            return Err(KeyFileError::TooOpen { file: file.to_owned() });
        }
        let bytes = Zeroizing::new(durable::read(file, BYTES_MAX).map_err(failed)?);
        let malformed = |detail: String| KeyFileError::Malformed { file: file.to_owned(), detail };
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed("it is not text".to_owned()))?;
        // Only the message: the whole error quotes the line, and with it a secret.
        let fields: Fields = toml::from_str(text).map_err(|error| malformed(error.message().to_owned()))?;
        if fields.version != VERSION {
            return Err(KeyFileError::Version { file: file.to_owned(), found: fields.version });
        }
        let seed = |name: &str, text: &str| {
            let mut bytes = Zeroizing::new([0u8; 32]);
            match hex::decode_to_slice(text, bytes.as_mut()) {
                Ok(()) => Ok(bytes),
                Err(_) => Err(malformed(format!("{name} is not 64 hex digits"))),
            }
        };
        let shard: ShardAddress = fields.shard.parse().map_err(|error| malformed(format!("shard: {error}")))?;
        Ok(KeyFile {
            node: NodeId { shard, replica: ReplicaIndex(fields.replica) },
            development: fields.development,
            seeds: ReplicaSeeds {
                identity: seed("identity", &fields.identity)?,
                ed25519: seed("ed25519", &fields.ed25519)?,
                babyjubjub: seed("babyjubjub", &fields.babyjubjub)?,
            },
            faucet: fields.faucet.as_ref().map(|text| seed("faucet", text)).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn key_file() -> KeyFile {
        let node = NodeId { shard: ShardAddress::new(2, 7).unwrap(), replica: ReplicaIndex(2) };
        let faucet = Some(Zeroizing::new([9; 32]));
        KeyFile { node, development: true, seeds: ReplicaSeeds::development(3, node), faucet }
    }

    #[test]
    fn what_is_written_reads_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let (written, file) = (key_file(), dir.path().join("2.1-2.key"));
        assert_eq!(KeyFile::name(written.node), "2.1-2.key");
        written.create(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let read = KeyFile::read(&file).unwrap();
        assert_eq!((read.node, read.development), (written.node, true));
        assert_eq!(*read.seeds.identity, *written.seeds.identity);
        assert_eq!(*read.seeds.ed25519, *written.seeds.ed25519);
        assert_eq!(*read.seeds.babyjubjub, *written.seeds.babyjubjub);
        assert_eq!(read.faucet.as_deref(), written.faucet.as_deref());
        assert!(matches!(written.create(&file), Err(KeyFileError::Io { operation: "writing", .. })));
        assert!(fs::read_to_string(&file).unwrap().contains("INSECURE"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = KeyFile::read(&file).err().unwrap();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_no_key_file_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let good = key_file().text().to_string();
        let secret = hex::encode(*key_file().seeds.ed25519);
        for (number, (from, to, word)) in [
            ("version = 1", "version = 2", "version 2"),
            ("shard = \"2.1\"", "shard = \"2.3\"", "shard"),
            ("replica = 2", "replica = 300", "300"),
            ("ed25519 = \"", "ed25519 = \"0", "ed25519 is not 64 hex digits"),
            ("ed25519 = \"", "ed25519 = ", "no key file"),
            ("identity", "identitty", "identitty"),
        ]
        .into_iter()
        .enumerate()
        {
            let file = dir.path().join(number.to_string());
            durable::create(&file, good.replacen(from, to, 1).as_bytes()).unwrap();
            let error = KeyFile::read(&file).err().unwrap().to_string();
            assert!(error.contains(word), "{word:?} is not in: {error}");
            assert!(!error.contains(&secret), "a secret is in: {error}");
        }
        assert!(KeyFile::read(&dir.path().join("none")).err().unwrap().to_string().contains("none"));
    }
}
