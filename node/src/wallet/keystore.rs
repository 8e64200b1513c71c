//! Keys at rest: one encrypted file a key.
//!
//! A file is JSON in exactly one byte form: version, address, Argon2id cost and salt, XChaCha20-Poly1305 nonce and the
//! 48 bytes of the encrypted seed with its tag, then a BLAKE3 checksum of all of it. The encryption key is
//! Argon2id(passphrase, salt); version, address and cost are associated data. The checksum tells a damaged file from a
//! wrong passphrase; it protects nothing else. The name of a key is the name of its file.
//!
//! Files are made with mode 0600 in a directory of mode 0700, and a file others can read is refused.

use super::durable;
use super::secret::{Passphrase, SecretError, Seed};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use smt_types::Address;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The version written and the only one read.
pub const VERSION: u32 = 1;

/// Longest key file, in bytes.
const FILE_BYTES_MAX: usize = 4_096;

/// Most keys listed.
pub const KEYS_MAX: usize = 10_000;

/// BLAKE3 context of the checksum.
const CHECKSUM_CONTEXT: &str = "smt 2026-11-20 wallet key file checksum";

/// What one guess at a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// Of new keys: 64 MiB, three passes, one lane, the second recommendation of RFC 9106 but for its lanes: a few
    /// tenths of a second.
    pub const DEFAULT: Cost = Cost { memory_kib: 64 * 1_024, passes: 3, lanes: 1 };

    /// The most a file may ask for: a file from elsewhere must not be able to take all memory or an hour.
    pub const MAX: Cost = Cost { memory_kib: 1_024 * 1_024, passes: 32, lanes: 16 };

    fn is_bounded(self) -> bool {
        self.memory_kib <= Cost::MAX.memory_kib && self.passes <= Cost::MAX.passes && self.lanes <= Cost::MAX.lanes
    }
}

/// The name of a key: 1 to 64 of `a–z 0–9 - _`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for KeyName {
    type Err = KeystoreError;

    fn from_str(text: &str) -> Result<Self, KeystoreError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = text.bytes().all(|byte| letter(byte) || byte == b'-' || byte == b'_');
        match text.as_bytes() {
            [first, ..] if fits && letter(*first) && text.len() <= 64 => Ok(KeyName(text.to_owned())),
            _ => Err(KeystoreError::Name(text.chars().take(80).collect())),
        }
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a key without its passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its name.
    pub name: KeyName,
    /// The account it owns.
    pub address: Address,
}

/// Why a key cannot be had or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// Not a name.
    #[error("{0:?} is not a key name: 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit")]
    Name(String),
    /// No such key.
    #[error("no key {name} in {}", dir.display())]
    Unknown {
        /// The name asked for.
        name: KeyName,
        /// Where the keys are.
        dir: PathBuf,
    },
    /// The name is taken.
    #[error("there is already a key {0}; a key is never written over")]
    Taken(KeyName),
    /// The key is here under another name.
    #[error("this key is already here, as {0}")]
    Held(KeyName),
    /// Others could read it.
    #[error("{} is open to others (mode {mode:o}); run: chmod {want:o} {}", path.display(), path.display())]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its mode bits for others.
        mode: u32,
        /// The mode it should have.
        want: u32,
    },
    /// Not a key file of this version, or damaged.
    #[error("{} is not an intact key file: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Written by a newer version.
    #[error("{} has version {got}, this program reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        got: u32,
    },
    /// The passphrase does not open the file.
    #[error("wrong passphrase for key {0}")]
    Passphrase(KeyName),
    /// The seed is not of a usable key, or not of the address in the file.
    #[error("key {0} does not belong to the address in its file")]
    Foreign(KeyName),
    /// Argon2 refuses, for example for want of memory.
    #[error("cannot derive the encryption key: {0}")]
    Derive(String),
    /// More keys than are listed.
    #[error("more than {KEYS_MAX} keys in {}", .0.display())]
    TooMany(PathBuf),
    /// No random bytes.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The file system refuses.
    #[error("{}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// The part of a file that the checksum covers; the order of the fields is the file's.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    version: u32,
    address: String,
    kdf: String,
    cost: Cost,
    salt: String,
    cipher: String,
    nonce: String,
    seed: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    key: Sealed,
    checksum: String,
}

const KDF: &str = "argon2id";
const CIPHER: &str = "xchacha20-poly1305";

impl Sealed {
    fn checksum(&self) -> Result<String, serde_json::Error> {
        Ok(hex::encode(blake3::derive_key(CHECKSUM_CONTEXT, &serde_json::to_vec(self)?)))
    }

    /// What the tag binds beside the seed.
    fn associated(&self) -> Vec<u8> {
        let cost = self.cost;
        format!("{} {} {KDF} {} {} {} {CIPHER}", self.version, self.address, cost.memory_kib, cost.passes, cost.lanes)
            .into_bytes()
    }
}

fn file_bytes(key: Sealed) -> Result<Vec<u8>, serde_json::Error> {
    let checksum = key.checksum()?;
    let mut bytes = serde_json::to_vec_pretty(&KeyFile { key, checksum })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The directory of key files.
#[derive(Clone, Debug)]
pub struct Keystore {
    dir: PathBuf,
}

impl Keystore {
    /// The keys under `wallet_dir`; makes the directory if it is missing.
    ///
    /// # Errors
    /// [`KeystoreError::TooOpen`] if others can enter it, [`KeystoreError::File`] if it cannot be made.
    pub fn open(wallet_dir: &Path) -> Result<Keystore, KeystoreError> {
        let dir = wallet_dir.join("keys");
        durable::make_dir(&dir).map_err(|source| KeystoreError::File { path: dir.clone(), source })?;
        refuse_open(&dir, 0o700)?;
        Ok(Keystore { dir })
    }

    /// Encrypts `seed` into a new file.
    ///
    /// # Errors
    /// [`KeystoreError::Taken`] and [`KeystoreError::Held`] if the name or the key is here already; nothing is ever
    /// written over.
    pub fn create(
        &self,
        name: &KeyName,
        seed: &Seed,
        passphrase: &Passphrase,
        cost: Cost,
    ) -> Result<KeyEntry, KeystoreError> {
        let path = self.path(name);
        let address = super::address_of(seed);
        if path.exists() {
            return Err(KeystoreError::Taken(name.clone()));
        }
        if let Some(held) = self.list()?.into_iter().find(|entry| entry.address == address) {
            return Err(KeystoreError::Held(held.name));
        }
        let sealed = seal(&path, seed, address, passphrase, cost)?;
        let bytes = file_bytes(sealed).map_err(|error| damaged(&path, error))?;
        durable::create(&path, &bytes).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeystoreError::Taken(name.clone()),
            _ => KeystoreError::File { path, source },
        })?;
        Ok(KeyEntry { name: name.clone(), address })
    }

    /// All keys by name. Needs no passphrase.
    ///
    /// # Errors
    /// [`KeystoreError`] naming the first file that is damaged or too open.
    pub fn list(&self) -> Result<Vec<KeyEntry>, KeystoreError> {
        let fault = |source| KeystoreError::File { path: self.dir.clone(), source };
        let mut entries = Vec::new();
        for file in std::fs::read_dir(&self.dir).map_err(fault)? {
            let path = file.map_err(fault)?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let named = path.extension().is_some_and(|extension| extension == "json");
            let Some(name) = stem.parse::<KeyName>().ok().filter(|_| named) else {
                continue;
            };
            if entries.len() >= KEYS_MAX {
                return Err(KeystoreError::TooMany(self.dir.clone()));
            }
            let (_, address) = read(&path)?;
            entries.push(KeyEntry { name, address });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The key called `name`, without its passphrase.
    ///
    /// # Errors
    /// [`KeystoreError::Unknown`] if there is none.
    pub fn find(&self, name: &KeyName) -> Result<KeyEntry, KeystoreError> {
        let path = self.path(name);
        if !path.exists() {
            return Err(KeystoreError::Unknown { name: name.clone(), dir: self.dir.clone() });
        }
        Ok(KeyEntry { name: name.clone(), address: read(&path)?.1 })
    }

    /// Decrypts a key. Cost: one Argon2id at the file's cost.
    ///
    /// # Errors
    /// [`KeystoreError::Passphrase`] if it does not open the file.
    pub fn unlock(&self, name: &KeyName, passphrase: &Passphrase) -> Result<Seed, KeystoreError> {
        let path = self.path(name);
        if !path.exists() {
            return Err(KeystoreError::Unknown { name: name.clone(), dir: self.dir.clone() });
        }
        let (sealed, address) = read(&path)?;
        let nonce = unhex::<24>(&path, "nonce", &sealed.nonce)?;
        let hidden = unhex::<48>(&path, "seed", &sealed.seed)?;
        let salt = unhex::<16>(&path, "salt", &sealed.salt)?;
        let cipher = cipher(passphrase, &salt, sealed.cost)?;
        let payload = Payload { msg: &hidden, aad: &sealed.associated() };
        let opened = cipher
            .decrypt(&XNonce::from(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| KeystoreError::Passphrase(name.clone()))?;
        let mut bytes = Zeroizing::new([0u8; 32]);
        if opened.len() != bytes.len() {
            return Err(KeystoreError::Foreign(name.clone()));
        }
        bytes.copy_from_slice(&opened);
        let seed = Seed::new(*bytes);
        if super::address_of(&seed) != address {
            return Err(KeystoreError::Foreign(name.clone()));
        }
        Ok(seed)
    }

    /// The file of a key, whether it exists or not.
    #[must_use]
    pub fn path(&self, name: &KeyName) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }
}

fn refuse_open(path: &Path, want: u32) -> Result<(), KeystoreError> {
    let mode = durable::foreign_mode(path).map_err(|source| KeystoreError::File { path: path.to_owned(), source })?;
    if mode != 0 {
        return Err(KeystoreError::TooOpen { path: path.to_owned(), mode, want });
    }
    Ok(())
}

fn damaged(path: &Path, reason: impl std::fmt::Display) -> KeystoreError {
    KeystoreError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

fn unhex<const N: usize>(path: &Path, field: &str, text: &str) -> Result<[u8; N], KeystoreError> {
    let mut bytes = [0u8; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|error| damaged(path, format!("{field}: {error}")))?;
    Ok(bytes)
}

/// Reads and checks all that can be checked without the passphrase.
fn read(path: &Path) -> Result<(Sealed, Address), KeystoreError> {
    refuse_open(path, 0o600)?;
    let bytes =
        durable::read(path, FILE_BYTES_MAX).map_err(|source| KeystoreError::File { path: path.to_owned(), source })?;
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<(Sealed, Address), KeystoreError> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| damaged(path, error))?;
    let version = value.pointer("/key/version").and_then(serde_json::Value::as_u64);
    let file: KeyFile = match serde_json::from_value(value) {
        Ok(file) => file,
        // A newer version may have other fields: say so rather than call it damaged.
        Err(error) => {
            return Err(match version.and_then(|version| u32::try_from(version).ok()) {
                Some(got) if got > VERSION => KeystoreError::Version { path: path.to_owned(), got },
                _ => damaged(path, error),
            });
        }
    };
    let key = file.key;
    if key.checksum().map_err(|error| damaged(path, error))? != file.checksum {
        return Err(damaged(path, "the checksum differs"));
    }
    if key.version != VERSION {
        return Err(KeystoreError::Version { path: path.to_owned(), got: key.version });
    }
    if file_bytes(key.clone()).map_err(|error| damaged(path, error))? != bytes {
        return Err(damaged(path, "not in the one byte form of a key file"));
    }
    if key.kdf != KDF || key.cipher != CIPHER {
        return Err(damaged(path, format!("unknown algorithms {} and {}", key.kdf, key.cipher)));
    }
    if !key.cost.is_bounded() {
        return Err(damaged(path, format!("cost {:?} is above {:?}", key.cost, Cost::MAX)));
    }
    let address = Address(unhex(path, "address", &key.address)?);
    Ok((key, address))
}

fn seal(
    path: &Path,
    seed: &Seed,
    address: Address,
    passphrase: &Passphrase,
    cost: Cost,
) -> Result<Sealed, KeystoreError> {
    let mut salt = [0u8; 16];
    let mut nonce = [0u8; 24];
    for bytes in [&mut salt[..], &mut nonce[..]] {
        getrandom::fill(bytes).map_err(|error| SecretError::Random(error.to_string()))?;
    }
    let mut sealed = Sealed {
        version: VERSION,
        address: hex::encode(address.0),
        kdf: KDF.into(),
        cost,
        salt: hex::encode(salt),
        cipher: CIPHER.into(),
        nonce: hex::encode(nonce),
        seed: String::new(),
    };
    let payload = Payload { msg: seed.as_bytes(), aad: &sealed.associated() };
    let hidden = cipher(passphrase, &salt, cost)?
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| damaged(path, "encryption failed"))?;
    sealed.seed = hex::encode(hidden);
    Ok(sealed)
}

fn cipher(passphrase: &Passphrase, salt: &[u8], cost: Cost) -> Result<XChaCha20Poly1305, KeystoreError> {
    let fault = |error: argon2::Error| KeystoreError::Derive(error.to_string());
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(fault)?;
    let mut key = Zeroizing::new([0u8; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, key.as_mut())
        .map_err(fault)?;
    Ok(XChaCha20Poly1305::new((&*key).into()))
}

#[cfg(test)]
#[path = "keystore_tests.rs"]
mod tests;
