//! The network a wallet pays in, known by its genesis.
//!
//! A payment names its network by a number of 32 bits, so the journal goes by that number. The first contact pins the
//! number to a genesis hash and keeps the genesis file; from then on an endpoint that names another genesis for the same
//! number is refused: it is another network (or a lie), and a payment signed for it would count in both. Receipts are
//! verified against the committees of the pinned genesis, never against what the endpoint says at the time.

use super::durable;
use super::endpoint::{CallError, Endpoint};
use crate::rpc::schema::GenesisReply;
use serde::{Deserialize, Serialize};
use smt_ledger::{GenesisState, LedgerError};
use smt_types::address::Hrp;
use smt_types::genesis::{GenesisError, MAX_GENESIS_BYTES};
use smt_types::receipt::{FinalPayment, MAX_RECEIPT_BYTES, ReceiptError};
use smt_types::{
    Address, Canonical, Committee, DecodeError, Digest, Genesis, NetworkId, RealChecker, Receipt, ShardAddress,
};
use std::io;
use std::path::{Path, PathBuf};

/// Version of the pin file.
const VERSION: u32 = 1;

/// Longest pin file, in bytes.
const PIN_BYTES_MAX: usize = 4_096;

/// A network whose genesis is known.
#[derive(Clone, Debug)]
pub struct Network {
    dir: PathBuf,
    hash: Digest,
    genesis: Genesis,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    version: u32,
    network: u32,
    genesis_hash: String,
    /// Of the kept file: cheap to check at every start, where the genesis hash would need all accounts.
    file_digest: String,
}

/// Why a network is not the one we know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The endpoint did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The endpoint names another genesis than the one pinned.
    #[error(
        "this wallet knows network {network} by genesis {pinned}, the endpoint says {found}: another network of the same \
         number, whose payments would count in both. If the old one is gone for good (a development network started \
         afresh), run: smt-node wallet forget --network-id {network}"
    )]
    OtherGenesis {
        /// The network's number.
        network: NetworkId,
        /// The hash pinned.
        pinned: Digest,
        /// The hash the endpoint names.
        found: String,
    },
    /// The file does not have the hash it should have.
    #[error("the genesis file has hash {found}, wanted {wanted}")]
    Hash {
        /// The hash of the bytes.
        found: Digest,
        /// The hash wanted.
        wanted: String,
    },
    /// The endpoint is of another network than the one asked for.
    #[error("the endpoint is of network {found}, wanted {wanted}")]
    Number {
        /// The endpoint's.
        found: NetworkId,
        /// The one wanted.
        wanted: NetworkId,
    },
    /// The endpoint keeps the genesis file to itself.
    #[error(
        "the endpoint does not send the genesis file (too long for a reply); take it from where the network publishes it: \
         smt-node wallet genesis --file FILE"
    )]
    NoFile,
    /// Nothing is known of this network yet.
    #[error("this wallet does not know {0}; fetch its genesis with: smt-node wallet genesis")]
    Unknown(String),
    /// The genesis is refused.
    #[error("the genesis is refused")]
    Genesis(#[from] GenesisError),
    /// The genesis has no state.
    #[error("the genesis is refused")]
    State(#[from] LedgerError),
    /// A file that does not hold what it should.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
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

/// Why bytes are not a receipt of this network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not the canonical form of a receipt.
    #[error("not a receipt: {0}")]
    Decode(#[from] DecodeError),
    /// A shard this network does not have.
    #[error("the receipt is of shard {0}, which this network does not have")]
    Shard(ShardAddress),
    /// The genesis has no usable committee there.
    #[error("the genesis is refused")]
    Genesis(#[from] GenesisError),
    /// It does not verify.
    #[error("the receipt does not verify: {0}")]
    Receipt(#[from] ReceiptError),
}

/// The hash a network is known by: in the endpoint's answers, in every flag and message of the wallet.
///
/// Cost: one hash per account and about 1 ms a shard and a replica.
///
/// # Errors
/// [`NetworkError::Genesis`] or [`NetworkError::State`] for a genesis that no network can start from.
pub fn genesis_hash(genesis: &Genesis) -> Result<Digest, NetworkError> {
    let committees = genesis.check()?;
    let state = GenesisState::build(genesis, &committees)?;
    Ok(Digest(*state.genesis_hash.as_bytes()))
}

/// Reads a genesis file and checks it against `wanted`, if that is given. Answers its hash too.
///
/// # Errors
/// [`NetworkError::Genesis`] for bytes that are none, [`NetworkError::Hash`] for another hash.
pub fn read_genesis(bytes: &[u8], wanted: Option<Digest>) -> Result<(Genesis, Digest), NetworkError> {
    let genesis = Genesis::from_bytes(bytes, MAX_GENESIS_BYTES).map_err(GenesisError::from)?;
    let found = genesis_hash(&genesis)?;
    match wanted {
        Some(wanted) if wanted != found => Err(NetworkError::Hash { found, wanted: wanted.to_string() }),
        _ => Ok((genesis, found)),
    }
}

/// Checks a receipt against the committee of its shard, as `genesis` names it. Offline.
///
/// # Errors
/// [`ProofError`]. Cost: the possession proofs of one committee, about 1 ms a replica, and q + 1 signatures.
pub fn verify_receipt(genesis: &Genesis, bytes: &[u8]) -> Result<(Receipt, FinalPayment), ProofError> {
    let receipt = Receipt::from_bytes(bytes, MAX_RECEIPT_BYTES)?;
    let shard = receipt.header.shard;
    let (_, keys) = ShardAddress::all(genesis.level)
        .zip(genesis.committees.iter())
        .find(|(candidate, _)| *candidate == shard)
        .ok_or(ProofError::Shard(shard))?;
    let committee =
        Committee::new(genesis.network, shard, keys.to_vec()).map_err(|error| GenesisError::Committee(shard, error))?;
    let shown = receipt.verify(&committee, &RealChecker)?;
    Ok((receipt, shown))
}

impl Network {
    /// The network of an endpoint: checked against the pin, or pinned now.
    ///
    /// `wanted`: the genesis hash the user knows from elsewhere, if any.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn contact(
        wallet_dir: &Path,
        endpoint: &dyn Endpoint,
        wanted: Option<Digest>,
    ) -> Result<Network, NetworkError> {
        let (network, dir, hash) = meet(wallet_dir, endpoint, wanted)?;
        match Network::load(&dir) {
            // The kept file can be had again: the pin says which one it has to be.
            Err(NetworkError::Damaged { .. } | NetworkError::Unknown(_)) => {
                let GenesisReply { file, .. } = endpoint.genesis()?;
                adopt(dir, network, hash, &file.ok_or(NetworkError::NoFile)?.0)
            }
            loaded => loaded,
        }
    }

    /// Like [`Network::contact`] with a genesis file from elsewhere, checked against the hash the endpoint names.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn contact_with_file(
        wallet_dir: &Path,
        endpoint: &dyn Endpoint,
        wanted: Option<Digest>,
        file: &[u8],
    ) -> Result<Network, NetworkError> {
        let (network, dir, hash) = meet(wallet_dir, endpoint, wanted)?;
        adopt(dir, network, hash, file)
    }

    /// A network contacted before, without asking anybody.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] if it never was.
    pub fn known(wallet_dir: &Path, network: NetworkId) -> Result<Network, NetworkError> {
        Network::load(&network_dir(wallet_dir, network))
    }

    /// The network contacted before whose genesis has this hash.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] if there is none.
    pub fn by_hash(wallet_dir: &Path, hash: Digest) -> Result<Network, NetworkError> {
        let unknown = || NetworkError::Unknown(format!("a network of genesis {hash}"));
        let Ok(entries) = std::fs::read_dir(wallet_dir.join("networks")) else {
            return Err(unknown());
        };
        for entry in entries.flatten() {
            if matches!(read_pin(&entry.path()), Ok(Some(pinned)) if pinned.hash == hash) {
                return Network::load(&entry.path());
            }
        }
        Err(unknown())
    }

    /// Puts all that is kept of a network out of the way, under another name; answers where it went.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] if nothing is kept of it.
    pub fn forget(wallet_dir: &Path, network: NetworkId) -> Result<PathBuf, NetworkError> {
        let dir = network_dir(wallet_dir, network);
        if !dir.exists() {
            return Err(NetworkError::Unknown(format!("network {network}")));
        }
        let mut taken: u32 = 0;
        let away = loop {
            let away = wallet_dir.join("networks").join(format!("{network}.forgotten-{taken}"));
            if !away.exists() {
                break away;
            }
            taken = taken.saturating_add(1);
        };
        std::fs::rename(&dir, &away)
            .and_then(|()| durable::sync_dir(&wallet_dir.join("networks")))
            .map_err(|source| file_error(&dir, source))?;
        Ok(away)
    }

    fn load(dir: &Path) -> Result<Network, NetworkError> {
        let Some(Pinned { hash, file }) = read_pin(dir)? else {
            return Err(NetworkError::Unknown(format!("the network of {}", dir.display())));
        };
        let path = dir.join("genesis");
        let bytes = match durable::read(&path, MAX_GENESIS_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(NetworkError::Unknown(format!("the genesis in {}", path.display())));
            }
            Err(source) => return Err(file_error(&path, source)),
        };
        let genesis = Genesis::from_bytes(&bytes, MAX_GENESIS_BYTES).map_err(|error| damaged(&path, error))?;
        genesis.check_shape()?;
        if genesis.file_digest() != file {
            return Err(damaged(&path, "it is not the file that was pinned"));
        }
        Ok(Network { dir: dir.to_owned(), hash, genesis })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> NetworkId {
        self.genesis.network
    }

    /// Its genesis hash.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Its genesis.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Where its journals are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The prefix of its addresses.
    #[must_use]
    pub fn hrp(&self) -> Hrp {
        if self.genesis.development { Hrp::Dev } else { Hrp::Main }
    }

    /// An address as this network writes it.
    #[must_use]
    pub fn show(&self, address: &Address) -> String {
        address.to_bech32(self.hrp())
    }

    /// Checks a receipt against the pinned genesis.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, receipt: &[u8]) -> Result<(Receipt, FinalPayment), ProofError> {
        verify_receipt(&self.genesis, receipt)
    }
}

/// Asks an endpoint which network it is of, and refuses it if that number is pinned to another genesis.
fn meet(
    wallet_dir: &Path,
    endpoint: &dyn Endpoint,
    wanted: Option<Digest>,
) -> Result<(NetworkId, PathBuf, Digest), NetworkError> {
    let info = endpoint.node_info()?;
    let network = NetworkId(info.network);
    let found = Digest(info.genesis_hash.0);
    if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
        return Err(NetworkError::Hash { found, wanted: wanted.to_string() });
    }
    let dir = network_dir(wallet_dir, network);
    match read_pin(&dir)? {
        Some(Pinned { hash: pinned, .. }) if pinned != found => {
            Err(NetworkError::OtherGenesis { network, pinned, found: found.to_string() })
        }
        _ => Ok((network, dir, found)),
    }
}

/// Checks that a genesis file is the one with this hash, of this network; keeps it and pins the network to it.
fn adopt(dir: PathBuf, network: NetworkId, hash: Digest, file: &[u8]) -> Result<Network, NetworkError> {
    let (genesis, _) = read_genesis(file, Some(hash))?;
    if genesis.network != network {
        return Err(NetworkError::Number { found: genesis.network, wanted: network });
    }
    genesis.check()?;
    durable::make_dir(&dir).map_err(|source| file_error(&dir, source))?;
    let path = dir.join("genesis");
    durable::replace(&path, &genesis.to_bytes()).map_err(|source| file_error(&path, source))?;
    pin(&dir, network, hash, genesis.file_digest())?;
    Ok(Network { dir, hash, genesis })
}

/// The directory of what is kept of a network.
#[must_use]
pub fn network_dir(wallet_dir: &Path, network: NetworkId) -> PathBuf {
    wallet_dir.join("networks").join(network.to_string())
}

fn pin(dir: &Path, network: NetworkId, hash: Digest, file: Digest) -> Result<(), NetworkError> {
    let path = dir.join("pin.json");
    let pin = Pin { version: VERSION, network: network.0, genesis_hash: hash.to_hex(), file_digest: file.to_hex() };
    let bytes = serde_json::to_vec(&pin).map_err(|error| damaged(&path, error))?;
    match durable::create(&path, &bytes) {
        // Another process made first contact at the same time.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match read_pin(dir)? {
            Some(pinned) if pinned.hash == hash => Ok(()),
            Some(pinned) => Err(NetworkError::OtherGenesis { network, pinned: pinned.hash, found: hash.to_string() }),
            None => Err(damaged(&path, "it vanished while it was read")),
        },
        outcome => outcome.map_err(|source| file_error(&path, source)),
    }
}

/// What a pin says.
struct Pinned {
    hash: Digest,
    file: Digest,
}

fn read_pin(dir: &Path) -> Result<Option<Pinned>, NetworkError> {
    let path = dir.join("pin.json");
    let bytes = match durable::read(&path, PIN_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(file_error(&path, source)),
    };
    let pin: Pin = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error))?;
    if pin.version != VERSION {
        return Err(damaged(&path, format!("version {}, this program reads {VERSION}", pin.version)));
    }
    match (Digest::from_hex(&pin.genesis_hash), Digest::from_hex(&pin.file_digest)) {
        (Some(hash), Some(file)) => Ok(Some(Pinned { hash, file })),
        _ => Err(damaged(&path, "its digests are not 64 hex digits each")),
    }
}

fn damaged(path: &Path, reason: impl std::fmt::Display) -> NetworkError {
    NetworkError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

fn file_error(path: &Path, source: io::Error) -> NetworkError {
    NetworkError::File { path: path.to_owned(), source }
}
