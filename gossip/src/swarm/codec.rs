//! Bytes on a request-response stream: questions and their answers.
//!
//! ```text
//! question = answer = length: u32 LE · body
//! ```
//!
//! A length is believed only as far as bytes follow: buffers grow by what has arrived, so a peer has to send a megabyte to make us hold one;
//! and bodies above [`FREE_BYTES`] draw on one budget for all peers and for frames too, so many peers cannot add up.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};

/// Bodies up to this size need no budget.
const FREE_BYTES: usize = 64 << 10;
/// Growth of a buffer while its body arrives.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// A question, read or to be written. libp2p wants one type for both directions.
#[derive(Debug)]
pub(crate) enum Request {
    Out(Bytes),
    Question(Bytes, Budget),
}

/// Share of the reading budget, given back when dropped.
pub(crate) type Budget = Option<OwnedSemaphorePermit>;

/// Bytes of large bodies being read at one time; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Reading(Arc<Semaphore>);

impl Reading {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS))))
    }

    /// # Errors
    /// `OutOfMemory` if other bodies take it all. Refused rather than awaited: a stream that waits holds its place, and the sender tries
    /// again anyway.
    pub(crate) fn budget(&self, length: usize) -> io::Result<Budget> {
        if length <= FREE_BYTES {
            return Ok(None);
        }
        let permits = u32::try_from(length).map_err(|_| invalid("length"))?;
        let permit = Arc::clone(&self.0)
            .try_acquire_many_owned(permits)
            .map_err(|_| io::Error::new(io::ErrorKind::OutOfMemory, "reading budget in use"))?;
        Ok(Some(permit))
    }
}

/// The codec; clones share the reading budget.
#[derive(Debug, Clone)]
pub(crate) struct Codec {
    reading: Reading,
}

impl Codec {
    pub(crate) fn new(reading: Reading) -> Self {
        Self { reading }
    }
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Bytes;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut length = [0; 4];
        io.read_exact(&mut length).await?;
        let length = checked_length(length, REQUEST_BYTES_MAX)?;
        let budget = self.reading.budget(length)?;
        Ok(Request::Question(read_body(io, length).await?, budget))
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut length = [0; 4];
        io.read_exact(&mut length).await?;
        // No budget: we asked for it, and what we ask is bounded.
        read_body(io, checked_length(length, RESPONSE_BYTES_MAX)?).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Request::Out(body) = request else {
            return Err(invalid("a question that was read is not written"));
        };
        let length = length_of(&body, REQUEST_BYTES_MAX)?.to_le_bytes();
        write_all(io, &length, &body).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Bytes) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let length = length_of(&response, RESPONSE_BYTES_MAX)?.to_le_bytes();
        write_all(io, &length, &response).await
    }
}

/// Head and body in one write where the body is small: each write is a packet of its own.
async fn write_all<T: AsyncWrite + Unpin>(io: &mut T, head: &[u8], body: &[u8]) -> io::Result<()> {
    if body.len() <= CHUNK_BYTES {
        io.write_all(&[head, body].concat()).await?;
    } else {
        io.write_all(head).await?;
        io.write_all(body).await?;
    }
    io.flush().await
}

async fn read_body<T: AsyncRead + Unpin>(io: &mut T, length: usize) -> io::Result<Bytes> {
    let mut body = Vec::new();
    while body.len() < length {
        let have = body.len();
        let next = length.min(have.saturating_add(CHUNK_BYTES));
        body.resize(next, 0);
        let fresh = body.get_mut(have..).unwrap_or_default();
        io.read_exact(fresh).await?;
    }
    Ok(Bytes::from(body))
}

pub(crate) fn checked_length(prefix: [u8; 4], max: usize) -> io::Result<usize> {
    match usize::try_from(u32::from_le_bytes(prefix)) {
        Ok(length) if length <= max => Ok(length),
        _ => Err(invalid("body above the limit")),
    }
}

fn length_of(body: &[u8], max: usize) -> io::Result<u32> {
    match u32::try_from(body.len()) {
        Ok(length) if body.len() <= max => Ok(length),
        _ => Err(invalid("body above the limit")),
    }
}

pub(crate) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use futures::{executor::block_on, io::Cursor};
    use request_response::Codec as _;

    const NAME: StreamProtocol = StreamProtocol::new("/test");

    fn read(bytes: &[u8]) -> io::Result<Request> {
        block_on(Codec::new(Reading::new(1 << 20)).read_request(&NAME, &mut Cursor::new(bytes)))
    }

    #[test]
    fn questions_come_out_as_they_went_in() {
        for question in [&b""[..], b"a", &[7; 1_000]] {
            let mut wire = Cursor::new(Vec::new());
            let out = Request::Out(Bytes::copy_from_slice(question));
            block_on(Codec::new(Reading::new(0)).write_request(&NAME, &mut wire, out)).unwrap();
            let Request::Question(read, None) = read(wire.get_ref()).unwrap() else { panic!("kind changed") };
            assert_eq!(read, question);
        }
    }

    #[test]
    fn hostile_requests_are_refused_and_nothing_is_allocated_for_a_promise() {
        let kind = |bytes: &[u8]| read(bytes).unwrap_err().kind();
        assert_eq!(kind(&[1, 0, 64, 0]), io::ErrorKind::InvalidData); // 4 MiB + 1
        assert_eq!(kind(&[255, 255, 0, 0]), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&[0, 0, 17, 0]), io::ErrorKind::OutOfMemory); // above the budget of 1 MiB
    }
}
