//! Genesis, address book and keys, checked against each other before anything is opened: a mix-up of files is said in words
//! that name both sides, and changes nothing.

use crate::genesis::book::{AddressBook, BookError, Place};
use crate::genesis::key_file::{KeyFile, KeyFileError};
use crate::join::identity::{self, Identity, IdentityError};
use crate::keys::ReplicaSecrets;
use crate::member::{NetworkError, network_of};
use crate::wallet::durable;
use smt_consensus::Network;
use smt_gossip::swarm::SpawnError;
use smt_types::crypto::SecretKey;
use smt_types::genesis::MAX_GENESIS_BYTES;
use smt_types::message::NodeId;
use smt_types::{Canonical, DecodeError, Digest, Genesis};
use std::io;
use std::path::{Path, PathBuf};

/// Why the files do not go together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PapersError {
    /// The genesis file cannot be read.
    #[error("reading the genesis file {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no genesis file.
    #[error("{} is no genesis file", file.display())]
    Decode {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// No network starts from it.
    #[error("the genesis file {}", file.display())]
    Genesis {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: NetworkError,
    },
    /// Genesis and address book are of two networks.
    #[error("{} has genesis hash {found}, {} is of the network with genesis hash {wanted}", genesis.display(), book.display())]
    OtherGenesis {
        /// The genesis file.
        genesis: PathBuf,
        /// Its hash.
        found: Digest,
        /// The address book.
        book: PathBuf,
        /// The hash it names.
        wanted: Digest,
    },
    /// The address book.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The key file.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// Keys for a place that does not exist.
    #[error("{} holds keys for replica {node}, which the genesis {} does not have", keys.display(), genesis.display())]
    NoSuchReplica {
        /// The key file.
        keys: PathBuf,
        /// Its place.
        node: NodeId,
        /// The genesis file.
        genesis: PathBuf,
    },
    /// Keys of somebody else.
    #[error("{} is not for this network: its {kind} key is {found}, the genesis has {wanted} for replica {node}", keys.display())]
    OtherKey {
        /// The key file.
        keys: PathBuf,
        /// Which of the keys.
        kind: &'static str,
        /// Its public half.
        found: String,
        /// The genesis's.
        wanted: String,
        /// The place.
        node: NodeId,
    },
    /// The identity, of the key file or of the state directory, is not the one peers expect.
    #[error("{} makes peer id {found}, {} has {wanted} for replica {node}", keys.display(), book.display())]
    OtherPeer {
        /// Where the identity comes from.
        keys: PathBuf,
        /// Its peer id.
        found: String,
        /// The address book.
        book: PathBuf,
        /// The peer id it names.
        wanted: String,
        /// The place.
        node: NodeId,
    },
    /// Keys that everybody can make, where there is something to steal.
    #[error("{} holds development keys, which everybody can make, and {} is no development network", keys.display(), genesis.display())]
    DevelopmentKeys {
        /// The key file.
        keys: PathBuf,
        /// The genesis file.
        genesis: PathBuf,
    },
    /// The identity kept in the state directory.
    #[error(transparent)]
    OwnIdentity(#[from] IdentityError),
    /// The identity key is refused.
    #[error("making the identity of replica {0}")]
    Identity(NodeId, #[source] SpawnError),
}

/// All that a replica is told by its files.
pub struct Papers {
    /// The genesis.
    pub genesis: Genesis,
    /// Its hash.
    pub genesis_hash: Digest,
    /// The network it makes.
    pub network: Network,
    /// Who is where, if there is an address book.
    pub book: Option<AddressBook>,
    /// The replica's place in the network.
    pub node: NodeId,
    /// Its place in the address book.
    pub place: Option<Place>,
    /// Its secrets.
    pub secrets: ReplicaSecrets,
    /// Its faucet account's key, if the genesis has such a faucet.
    pub faucet: Option<SecretKey>,
}

impl Papers {
    /// Reads the files and checks them against each other. The identity is the one kept in `state`, or else the key file's.
    /// Cost: see [`network_of`].
    ///
    /// # Errors
    /// [`PapersError`].
    pub fn read(
        genesis_file: &Path,
        book_file: Option<&Path>,
        key_file: &Path,
        state: &Path,
    ) -> Result<Papers, PapersError> {
        // The small files first: most mix-ups show there.
        let keys = KeyFile::read(key_file)?;
        let book = book_file.map(AddressBook::read).transpose()?;
        let identity = Identity::read(state)?;
        let genesis = read_genesis(genesis_file)?;
        let of_genesis = |source| PapersError::Genesis { file: genesis_file.to_owned(), source };
        let (network, genesis_hash) = network_of(&genesis).map_err(of_genesis)?;
        if let (Some(book), Some(book_file)) = (&book, book_file) {
            if genesis_hash != book.genesis_hash {
                return Err(PapersError::OtherGenesis {
                    genesis: genesis_file.to_owned(),
                    found: genesis_hash,
                    book: book_file.to_owned(),
                    wanted: book.genesis_hash,
                });
            }
            book.check(&genesis)?;
        }
        if keys.development && !genesis.development {
            return Err(PapersError::DevelopmentKeys { keys: key_file.to_owned(), genesis: genesis_file.to_owned() });
        }
        let (node, mut secrets) = (keys.node, keys.secrets());
        let seat = network.committee(node.shard).and_then(|committee| committee.keys(node.replica));
        let place = book.as_ref().and_then(|book| book.places.get(&node)).cloned();
        let Some(seat) = seat else {
            let (keys, genesis) = (key_file.to_owned(), genesis_file.to_owned());
            return Err(PapersError::NoSuchReplica { keys, node, genesis });
        };
        let other_key = |kind, found: String, wanted: String| {
            Err(PapersError::OtherKey { keys: key_file.to_owned(), kind, found, wanted, node })
        };
        let own = secrets.public();
        if own.ed25519 != seat.ed25519 {
            return other_key("ed25519", own.ed25519.to_string(), seat.ed25519.to_string());
        }
        if own.jub != seat.jub {
            return other_key("BabyJubJub", hex::encode(own.jub.as_bytes()), hex::encode(seat.jub.as_bytes()));
        }
        // Others would knock at our address and expect somebody else.
        let source = if identity.is_some() { state.join(identity::FILE) } else { key_file.to_owned() };
        if let Some(identity) = identity {
            secrets = secrets.with_identity(identity.seed);
        }
        let peer = secrets.peer_id().map_err(|source| PapersError::Identity(node, source))?;
        if let (Some(place), Some(book_file)) = (&place, book_file)
            && peer != place.peer
        {
            let (found, wanted) = (peer.to_string(), place.peer.to_string());
            return Err(PapersError::OtherPeer { keys: source, found, book: book_file.to_owned(), wanted, node });
        }
        let listed = |key: &SecretKey| genesis.faucets.contains(&key.public().address());
        let faucet = keys.faucet_key().filter(listed);
        Ok(Papers { genesis, genesis_hash, network, book, node, place, secrets, faucet })
    }
}

fn read_genesis(file: &Path) -> Result<Genesis, PapersError> {
    let failed = |source| PapersError::Read { file: file.to_owned(), source };
    let bytes = durable::read(file, MAX_GENESIS_BYTES).map_err(failed)?;
    Genesis::from_bytes(&bytes, MAX_GENESIS_BYTES)
        .map_err(|source| PapersError::Decode { file: file.to_owned(), source })
}
