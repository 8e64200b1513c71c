//! A node's own identity in its state directory: `STATE/identity.key`, made by `smt-node init`.
//!
//! The identity is who a node is on the wire and no more; votes are signed by the consensus key, which is in the key file. A node that has
//! such a file takes its identity from there and not from the key file, so that the two secrets can be kept, lost and replaced apart. TOML
//! with a hex seed, for the owner's eyes alone (mode 0600; a file others may read is refused).

use crate::wallet::durable;
use clap::Args;
use serde::Deserialize;
use smt_gossip::swarm::{PeerId, SpawnError, keypair_from_seed};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Name of the file in the state directory.
pub const FILE: &str = "identity.key";
const VERSION: u32 = 1;
const BYTES_MAX: usize = 1024;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file or its directory.
    #[error("{operation} {}", file.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is one already.
    #[error("{} exists; nothing is written over", .0.display())]
    Exists(PathBuf),
    /// Others may read it.
    #[error("{0} can be read by others than its owner; make it private: chmod 600 {0}", file.display())]
    TooOpen {
        /// The file.
        file: PathBuf,
    },
    /// It is no identity.
    #[error("{} is no identity file: {detail}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong; nothing of the content.
        detail: String,
    },
    /// libp2p refuses the key.
    #[error("making an identity")]
    Key(#[source] SpawnError),
    /// The system gives no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Fields {
    version: u32,
    identity: String,
}

/// A node's identity.
#[derive(Clone)]
pub struct Identity {
    /// What the key is made from.
    pub seed: Zeroizing<[u8; 32]>,
    /// Who it is.
    pub peer: PeerId,
}

impl Identity {
    fn new(seed: Zeroizing<[u8; 32]>) -> Result<Identity, IdentityError> {
        let mut copy = Zeroizing::new(*seed);
        let peer = keypair_from_seed(&mut copy).map_err(IdentityError::Key)?.public().to_peer_id();
        Ok(Identity { seed, peer })
    }

    /// Draws an identity and keeps it in `dir`, which is made if need be.
    ///
    /// # Errors
    /// [`IdentityError`]; one that is there already stays.
    pub fn create(dir: &Path) -> Result<Identity, IdentityError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(seed.as_mut()).map_err(IdentityError::Random)?;
        let identity = Identity::new(seed)?;
        let failed = |operation, file: &Path, source| IdentityError::Io { operation, file: file.to_owned(), source };
        durable::make_dir(dir).map_err(|source| failed("making", dir, source))?;
        let file = dir.join(FILE);
        let hex = Zeroizing::new(hex::encode(identity.seed.as_slice()));
        let text = Zeroizing::new(format!(
            "# The secret key of peer {}. Whoever has it can pass for this node on the wire, but cannot vote.\nversion = {VERSION}\nidentity = \"{}\"\n",
            identity.peer, *hex
        ));
        match durable::create(&file, text.as_bytes()) {
            Ok(()) => Ok(identity),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(IdentityError::Exists(file)),
            Err(source) => Err(failed("writing", &file, source)),
        }
    }

    /// The identity kept in `dir`; `None` if there is none.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn read(dir: &Path) -> Result<Option<Identity>, IdentityError> {
        let file = dir.join(FILE);
        let failed = |source| IdentityError::Io { operation: "reading", file: file.clone(), source };
        match durable::foreign_mode(&file) {
            Ok(0) => {}
            Ok(_) => return Err(IdentityError::TooOpen { file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        }
        let bytes = Zeroizing::new(durable::read(&file, BYTES_MAX).map_err(failed)?);
        let malformed = |detail: &str| IdentityError::Malformed { file: file.clone(), detail: detail.to_owned() };
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed("it is not text"))?;
        // Only the message: the whole error quotes the line, and with it the secret.
        let fields: Fields = toml::from_str(text).map_err(|error| malformed(error.message()))?;
        if fields.version != VERSION {
            return Err(malformed(&format!("it has version {}, this program reads version {VERSION}", fields.version)));
        }
        let mut seed = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(&fields.identity, seed.as_mut())
            .map_err(|_| malformed("identity is not 64 hex digits"))?;
        Identity::new(seed).map(Some)
    }
}

/// Make a state directory with an identity of its own for `smt-node run`.
///
/// The identity key is drawn from the operating system and kept in identity.key (mode 0600). It is who the node is on the
/// wire, and apart from the consensus keys: `smt-node run` takes it instead of the one in the key file. The peer id is
/// printed. Nothing that exists is ever written over.
#[derive(Debug, Args)]
pub struct InitCommand {
    /// The state directory of the node.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

impl InitCommand {
    /// Makes it.
    ///
    /// # Errors
    /// [`IdentityError`], or that nothing can be printed.
    pub fn run(&self) -> anyhow::Result<()> {
        let identity = Identity::create(&self.state)?;
        let mut out = io::stdout().lock();
        writeln!(out, "peer {}\nkept in {}", identity.peer, self.state.join(FILE).display())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_identity_is_private_read_back_and_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        assert!(Identity::read(&state).unwrap().is_none());
        let made = Identity::create(&state).unwrap();
        let file = state.join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Identity::read(&state).unwrap().unwrap().peer, made.peer);
        assert!(matches!(Identity::create(&state), Err(IdentityError::Exists(_))));
        assert_eq!(Identity::read(&state).unwrap().unwrap().peer, made.peer);
        assert_ne!(Identity::create(&dir.path().join("c")).unwrap().peer, made.peer);
        let good = fs::read_to_string(&file).unwrap();
        let secret = hex::encode(*made.seed);
        for (from, to, word) in [
            ("version = 1", "version = 2", "version 2"),
            ("identity = \"", "identity = \"0", "64 hex"),
            ("identity = \"", "identity = ", "no identity file"),
            ("identity =", "identitty =", "identitty"),
        ] {
            fs::write(&file, good.replacen(from, to, 1)).unwrap();
            let error = Identity::read(&state).err().unwrap().to_string();
            assert!(error.contains(word) && !error.contains(&secret), "{word:?}: {error}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Identity::read(&state).err().unwrap().to_string().contains("chmod 600"));
    }
}
