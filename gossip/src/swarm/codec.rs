//! Bytes on a request-response stream.
//!
//! ```text
//! request  = kind: u8 (0 messages, 1 question) · length: u32 LE · body
//! response = length: u32 LE · body                (an acknowledgement is an empty body)
//! body of kind 0 = (length: u32 LE · message)*    at most MESSAGES_MAX
//! ```
//!
//! A length is believed only as far as bytes follow: buffers grow by what has arrived, so a peer has to send a megabyte to make us hold one;
//! and bodies above [`FREE_BYTES`] draw on one budget for all peers, so many peers cannot add up.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};

/// Messages of a frame: bounds the bookkeeping a frame of empty messages could cause.
pub(crate) const MESSAGES_MAX: usize = 4_096;
/// Bodies up to this size need no budget.
const FREE_BYTES: usize = 64 << 10;
/// Growth of a buffer while its body arrives.
const CHUNK_BYTES: usize = 64 << 10;

const KIND_MESSAGES: u8 = 0;
const KIND_QUESTION: u8 = 1;

/// A request as written: the body is encoded once and kept for a second sending.
#[derive(Debug, Clone)]
pub(crate) enum Outgoing {
    /// Encoded with [`encode_messages`].
    Messages(Bytes),
    Question(Bytes),
}

/// A request, read or to be written. libp2p wants one type for both directions.
#[derive(Debug)]
pub(crate) enum Request {
    Out(Outgoing),
    Messages(Vec<Bytes>, Budget),
    Question(Bytes, Budget),
}

/// Share of the reading budget, given back when dropped.
pub(crate) type Budget = Option<OwnedSemaphorePermit>;

/// Length-prefixed messages one after another; the caller keeps count and size in bounds.
pub(crate) fn encode_message(out: &mut Vec<u8>, message: &[u8]) -> bool {
    let Ok(length) = u32::try_from(message.len()) else {
        return false;
    };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(message);
    true
}

/// Splits a frame. Messages are copied out unless the frame holds a single one: a vote that is kept would otherwise keep its whole frame.
pub(crate) fn decode_messages(frame: &Bytes) -> io::Result<Vec<Bytes>> {
    let mut messages = Vec::new();
    let mut rest: &[u8] = frame;
    while let Some((prefix, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*prefix)).map_err(|_| invalid("length"))?;
        let Some((message, after)) = after.split_at_checked(length) else {
            return Err(invalid("message longer than its frame"));
        };
        if messages.len() >= MESSAGES_MAX {
            return Err(invalid("too many messages in a frame"));
        }
        messages.push(if messages.is_empty() && after.is_empty() {
            frame.slice_ref(message)
        } else {
            Bytes::copy_from_slice(message)
        });
        rest = after;
    }
    if rest.is_empty() { Ok(messages) } else { Err(invalid("bytes after the last message")) }
}

/// The codec; clones share the reading budget.
#[derive(Debug, Clone)]
pub(crate) struct Codec {
    reading: Arc<Semaphore>,
}

impl Codec {
    pub(crate) fn new(reading_bytes_max: usize) -> Self {
        Self { reading: Arc::new(Semaphore::new(reading_bytes_max.min(Semaphore::MAX_PERMITS))) }
    }

    fn budget(&self, length: usize) -> io::Result<Budget> {
        if length <= FREE_BYTES {
            return Ok(None);
        }
        let permits = u32::try_from(length).map_err(|_| invalid("length"))?;
        // Refused rather than awaited: a stream that waits holds its place, and the sender tries again anyway.
        let permit = Arc::clone(&self.reading)
            .try_acquire_many_owned(permits)
            .map_err(|_| io::Error::new(io::ErrorKind::OutOfMemory, "reading budget in use"))?;
        Ok(Some(permit))
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
        let mut head = [0; 5];
        io.read_exact(&mut head).await?;
        let [kind, length @ ..] = head;
        if kind > KIND_QUESTION {
            return Err(invalid("unknown kind of request"));
        }
        let length = checked_length(length, REQUEST_BYTES_MAX)?;
        let budget = self.budget(length)?;
        let body = read_body(io, length).await?;
        if kind == KIND_MESSAGES {
            Ok(Request::Messages(decode_messages(&body)?, budget))
        } else {
            Ok(Request::Question(body, budget))
        }
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
        let (kind, body) = match request {
            Request::Out(Outgoing::Messages(body)) => (KIND_MESSAGES, body),
            Request::Out(Outgoing::Question(body)) => (KIND_QUESTION, body),
            Request::Messages(..) | Request::Question(..) => {
                return Err(invalid("a request that was read is not written"));
            }
        };
        let length = length_of(&body, REQUEST_BYTES_MAX)?.to_le_bytes();
        let [a, b, c, d] = length;
        write_all(io, &[kind, a, b, c, d], &body).await
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

fn checked_length(prefix: [u8; 4], max: usize) -> io::Result<usize> {
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

fn invalid(what: &'static str) -> io::Error {
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
        block_on(Codec::new(1 << 20).read_request(&NAME, &mut Cursor::new(bytes)))
    }

    fn frame(messages: &[&[u8]]) -> Bytes {
        let mut out = Vec::new();
        assert!(messages.iter().all(|m| encode_message(&mut out, m)));
        Bytes::from(out)
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        for messages in [&[][..], &[b"".as_slice()], &[b"a", b"", b"ccc"]] {
            let mut wire = Cursor::new(Vec::new());
            let out = Request::Out(Outgoing::Messages(frame(messages)));
            block_on(Codec::new(0).write_request(&NAME, &mut wire, out)).unwrap();
            let Request::Messages(read, None) = read(wire.get_ref()).unwrap() else { panic!("kind changed") };
            assert_eq!(read, messages);
        }
    }

    #[test]
    fn hostile_requests_are_refused_and_nothing_is_allocated_for_a_promise() {
        let kind = |bytes: &[u8]| read(bytes).unwrap_err().kind();
        assert_eq!(kind(&[2, 0, 0, 0, 0]), io::ErrorKind::InvalidData);
        assert_eq!(kind(&[1, 1, 0, 64, 0]), io::ErrorKind::InvalidData); // 4 MiB + 1
        assert_eq!(kind(&[1, 255, 255, 0, 0]), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&[1, 0, 0, 17, 0]), io::ErrorKind::OutOfMemory); // above the budget of 1 MiB
        assert_eq!(kind(&[0, 4, 0, 0, 0, 1, 0, 0, 0]), io::ErrorKind::InvalidData);
        assert_eq!(kind(&[0, 1, 0, 0, 0, 7]), io::ErrorKind::InvalidData);
        let empty = [b"".as_slice(); MESSAGES_MAX + 1];
        assert!(decode_messages(&frame(&empty[1..])).is_ok());
        assert!(decode_messages(&frame(&empty)).is_err());
    }

    #[test]
    fn every_cut_of_a_frame_is_refused_or_whole() {
        let whole = frame(&[b"abc", b"de"]);
        for cut in 0..whole.len() {
            let read = decode_messages(&whole.slice(..cut));
            assert_eq!(read.is_ok(), cut == 0 || cut == 7, "cut at {cut}");
        }
    }
}
