//! What is said at the door.
//!
//! ```text
//! hello = version: u16 LE · network: u32 LE · genesis: 32 bytes · nonce: 32 bytes
//! proof = length: u16 LE, at most PROOF_BYTES_MAX · what Admission makes and judges
//! ```
//!
//! Each side writes its hello, reads the other's, compares, writes its proof over the other's nonce, reads the other's and judges it: one and
//! a half round trips, once a connection. A side that refuses has read all that was sent so far, so that its end does not take its own hello
//! back (a socket closed on unread bytes is reset): both sides of a mix-up read both hashes.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::PeerId;

use super::{Admission, Challenge, NONCE_BYTES, NetworkTag, PROOF_BYTES_MAX, Refusal, Standing};

/// Bytes of a hello.
const HELLO_BYTES: usize = 2 + 4 + 32 + NONCE_BYTES;

/// Why a hello has come to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the hello broke off")]
    Io(#[from] io::Error),
}

fn encode(tag: &NetworkTag, nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HELLO_BYTES);
    bytes.extend_from_slice(&tag.version.to_le_bytes());
    bytes.extend_from_slice(&tag.network.to_le_bytes());
    bytes.extend_from_slice(&tag.genesis);
    bytes.extend_from_slice(nonce);
    bytes
}

fn decode(bytes: &[u8; HELLO_BYTES]) -> (NetworkTag, [u8; NONCE_BYTES]) {
    // Fixed sizes that add up: each part is there.
    fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
        bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
    let tag = NetworkTag {
        version: u16::from_le_bytes(part(bytes, 0)),
        network: u32::from_le_bytes(part(bytes, 2)),
        genesis: part(bytes, 6),
    };
    (tag, part(bytes, 38))
}

/// Says hello on `io` from `local` to `peer`, and hears what the peer is.
pub(crate) async fn exchange<T: AsyncRead + AsyncWrite + Unpin>(
    io: &mut T,
    ours: &NetworkTag,
    admission: &dyn Admission,
    local: PeerId,
    peer: PeerId,
) -> Result<Standing, HelloError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
    io.write_all(&encode(ours, &nonce)).await?;
    io.flush().await?;
    let mut bytes = [0; HELLO_BYTES];
    io.read_exact(&mut bytes).await?;
    let (theirs, their_nonce) = decode(&bytes);
    let ours = *ours;
    if (theirs.network, theirs.genesis) != (ours.network, ours.genesis) {
        return Err(Refusal::OtherNetwork { theirs, ours }.into());
    }
    if theirs.version != ours.version {
        return Err(Refusal::OtherVersion { theirs, ours }.into());
    }
    let proof = admission.introduce(&Challenge { speaker: local, listener: peer, nonce: their_nonce });
    let length = u16::try_from(proof.len()).ok().filter(|_| proof.len() <= PROOF_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("our own proof is too long"))?;
    io.write_all(&[&length.to_le_bytes()[..], &proof].concat()).await?;
    io.flush().await?;
    let mut length = [0; 2];
    io.read_exact(&mut length).await?;
    let length = usize::from(u16::from_le_bytes(length));
    if length > PROOF_BYTES_MAX {
        return Err(Refusal::Proof(format!("it has {length} bytes, at most {PROOF_BYTES_MAX} are read")).into());
    }
    let mut proof = vec![0; length];
    io.read_exact(&mut proof).await?;
    let challenge = Challenge { speaker: peer, listener: local, nonce };
    Ok(admission.judge(&challenge, &proof).map_err(Refusal::Proof)?)
}
