//! Bytes on a stream of frames.
//!
//! ```text
//! sender → receiver: frame*             frame = length: u32 LE · (length: u32 LE · message)*     1 to MESSAGES_MAX messages
//! receiver → sender: acknowledgement*   how many more frames, oldest first, the application has: u32 LE, not 0
//! ```
//!
//! A length is believed only as far as bytes follow, see [`super::super::codec`].

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::AsyncRead;

use super::super::{
    codec::{Budget, CHUNK_BYTES, Reading, checked_length, invalid},
    config::REQUEST_BYTES_MAX,
};

/// Messages of a frame: bounds the bookkeeping a frame of empty messages could cause.
pub(crate) const MESSAGES_MAX: usize = 4_096;
/// Room for the length in front of a frame.
pub(crate) const PREFIX_BYTES: usize = 4;

/// Appends a length-prefixed message; the caller keeps count and size in bounds.
pub(crate) fn encode_message(out: &mut Vec<u8>, message: &[u8]) -> bool {
    let Ok(length) = u32::try_from(message.len()) else {
        return false;
    };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(message);
    true
}

/// Writes the length of a frame into the [`PREFIX_BYTES`] left for it: prefix and body are one buffer, since each write is a packet.
pub(crate) fn seal(frame: &mut [u8]) -> bool {
    let Some((prefix, body)) = frame.split_first_chunk_mut::<PREFIX_BYTES>() else {
        return false;
    };
    let Ok(length) = u32::try_from(body.len()) else {
        return false;
    };
    *prefix = length.to_le_bytes();
    body.len() <= REQUEST_BYTES_MAX
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

/// A frame that has arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) messages: Vec<Bytes>,
    /// Bytes of the frame, its prefix included.
    pub(crate) bytes: usize,
    pub(crate) budget: Budget,
}

/// Puts frames together from what has arrived so far.
#[derive(Debug)]
pub(crate) struct Reader {
    reading: Reading,
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix read.
    prefixed: usize,
    /// Length and what is there of the body, once the prefix is whole.
    length: Option<usize>,
    body: Vec<u8>,
    /// Bytes of the body read; the rest of `body` is room for the next ones.
    filled: usize,
    budget: Budget,
}

impl Reader {
    /// Large bodies draw on `reading`.
    pub(crate) fn new(reading: Reading) -> Self {
        Self {
            reading,
            prefix: [0; PREFIX_BYTES],
            prefixed: 0,
            length: None,
            body: Vec::new(),
            filled: 0,
            budget: None,
        }
    }

    /// Whether a frame has begun and is not whole.
    pub(crate) fn is_within(&self) -> bool {
        self.prefixed > 0
    }

    /// The next frame; `None` when the sender has ended the stream between two frames.
    ///
    /// # Errors
    /// The stream's own; `InvalidData` for what no honest sender writes, `OutOfMemory` when the budget is in use and `UnexpectedEof` for
    /// an end within a frame. After an error the stream is of no use.
    pub(crate) fn poll_frame<T>(&mut self, cx: &mut Context<'_>, io: &mut T) -> Poll<io::Result<Option<Arrived>>>
    where
        T: AsyncRead + Unpin,
    {
        let length = loop {
            if let Some(length) = self.length {
                break length;
            }
            let rest = self.prefix.get_mut(self.prefixed..).unwrap_or_default();
            match ready!(Pin::new(&mut *io).poll_read(cx, rest))? {
                0 if self.prefixed == 0 => return Poll::Ready(Ok(None)),
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                read => self.prefixed = self.prefixed.saturating_add(read),
            }
            if self.prefixed >= PREFIX_BYTES {
                let length = checked_length(self.prefix, REQUEST_BYTES_MAX)?;
                if length == 0 {
                    return Poll::Ready(Err(invalid("empty frame")));
                }
                self.budget = self.reading.budget(length)?;
                self.length = Some(length);
            }
        };
        while self.filled < length {
            if self.filled >= self.body.len() {
                let next = length.min(self.filled.saturating_add(CHUNK_BYTES));
                self.body.resize(next, 0);
            }
            let room = self.body.get_mut(self.filled..).unwrap_or_default();
            match ready!(Pin::new(&mut *io).poll_read(cx, room))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                read => self.filled = self.filled.saturating_add(read),
            }
        }
        let body = Bytes::from(std::mem::take(&mut self.body));
        self.length = None;
        self.prefixed = 0;
        self.filled = 0;
        let budget = self.budget.take();
        let messages = decode_messages(&body)?;
        Poll::Ready(Ok(Some(Arrived { messages, bytes: length.saturating_add(PREFIX_BYTES), budget })))
    }
}

/// Reads acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct Acknowledgements {
    bytes: [u8; 4],
    read: usize,
}

impl Acknowledgements {
    /// How many more frames have arrived; `None` at the end of the stream.
    ///
    /// # Errors
    /// The stream's own, and `InvalidData` for one of nothing, which would only cost us time.
    pub(crate) fn poll_next<T>(&mut self, cx: &mut Context<'_>, io: &mut T) -> Poll<io::Result<Option<usize>>>
    where
        T: AsyncRead + Unpin,
    {
        while self.read < self.bytes.len() {
            let rest = self.bytes.get_mut(self.read..).unwrap_or_default();
            match ready!(Pin::new(&mut *io).poll_read(cx, rest))? {
                0 => return Poll::Ready(Ok(None)),
                read => self.read = self.read.saturating_add(read),
            }
        }
        self.read = 0;
        match usize::try_from(u32::from_le_bytes(self.bytes)) {
            Ok(frames) if frames > 0 => Poll::Ready(Ok(Some(frames))),
            _ => Poll::Ready(Err(invalid("acknowledgement of nothing"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use futures::{executor::block_on, future::poll_fn, io::Cursor};

    fn body(messages: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(messages.iter().all(|m| encode_message(&mut out, m)));
        out
    }

    fn frame(messages: &[&[u8]]) -> Vec<u8> {
        let mut out = [&[0; PREFIX_BYTES][..], &body(messages)].concat();
        assert!(seal(&mut out));
        out
    }

    fn read(reader: &mut Reader, io: &mut Cursor<&[u8]>) -> io::Result<Option<Arrived>> {
        block_on(poll_fn(|cx| reader.poll_frame(cx, io)))
    }

    /// What the bytes are taken for, and the bytes held for them.
    fn refused(bytes: &[u8]) -> (io::ErrorKind, usize) {
        let mut reader = Reader::new(Reading::new(1 << 20));
        let kind = read(&mut reader, &mut Cursor::new(bytes)).unwrap_err().kind();
        (kind, reader.body.capacity())
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let big = vec![5; 300 << 10];
        let frames: [&[&[u8]]; 4] = [&[b""], &[b"a", b"", b"ccc"], &[&big, b"d"], &[b"e"]];
        let wire: Vec<u8> = frames.iter().flat_map(|messages| frame(messages)).collect();
        let (mut reader, mut io) = (Reader::new(Reading::new(1 << 20)), Cursor::new(&wire[..]));
        for messages in frames {
            let arrived = read(&mut reader, &mut io).unwrap().unwrap();
            assert_eq!(arrived.messages, messages);
            assert_eq!(arrived.bytes, frame(messages).len());
            assert_eq!(arrived.budget.is_some(), arrived.bytes > 64 << 10);
        }
        assert!(read(&mut reader, &mut io).unwrap().is_none());
    }

    #[test]
    fn hostile_frames_are_refused_and_nothing_is_allocated_for_a_promise() {
        use io::ErrorKind::{InvalidData, OutOfMemory, UnexpectedEof};
        assert_eq!(refused(&[255, 255, 255, 255, 0]), (InvalidData, 0));
        assert_eq!(refused(&[1, 0, 64, 0, 0]), (InvalidData, 0)); // 4 MiB + 1
        assert_eq!(refused(&[0, 0, 17, 0, 0]), (OutOfMemory, 0)); // above the budget of 1 MiB
        assert_eq!(refused(&[0, 0, 0, 0]), (InvalidData, 0)); // no message
        let (kind, held) = refused(&[0, 0, 15, 0, 7]);
        assert!((kind, held <= 64 << 10) == (UnexpectedEof, true), "{kind} {held}");
        assert_eq!(refused(&[4, 0, 0, 0, 1, 0, 0, 0]).0, InvalidData); // a message longer than its frame
        assert_eq!(refused(&[5, 0, 0, 0, 0, 0, 0, 0, 7]).0, InvalidData); // half a prefix behind the last message
        let empty = [b"".as_slice(); MESSAGES_MAX + 1];
        assert!(decode_messages(&body(&empty[1..]).into()).is_ok());
        assert!(decode_messages(&body(&empty).into()).is_err());
        assert!(!seal(&mut vec![0; REQUEST_BYTES_MAX + PREFIX_BYTES + 1]));
    }

    #[test]
    fn every_cut_of_a_frame_is_refused_and_gives_nothing() {
        let whole = frame(&[b"abc", b"de"]);
        for cut in 1..whole.len() {
            assert_eq!(refused(&whole[..cut]).0, io::ErrorKind::UnexpectedEof, "cut at {cut}");
        }
        let body = Bytes::from(body(&[b"abc", b"de"]));
        for cut in 0..body.len() {
            assert_eq!(decode_messages(&body.slice(..cut)).is_ok(), cut == 0 || cut == 7, "cut at {cut}");
        }
    }

    #[test]
    fn acknowledgements_are_read_one_by_one_and_those_of_nothing_refused() {
        let mut reader = Acknowledgements::default();
        let mut io = Cursor::new(&[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..]);
        let mut next = || block_on(poll_fn(|cx| reader.poll_next(cx, &mut io)));
        assert_eq!((next().unwrap(), next().unwrap()), (Some(1), Some(256)));
        assert_eq!(next().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(next().unwrap(), None);
    }
}
