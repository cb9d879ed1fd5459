//! What comes back on one HTTP/2 stream: messages, then how it ended.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::ResponseFuture;

use super::status;
use crate::error::{Error, Result};

/// The answer to one call, or the answers on one stream.
pub struct Answer {
    stage: Stage,
    messages: Messages,
}

enum Stage {
    Head(ResponseFuture),
    Body(RecvStream),
    Ended,
}

/// What an answer has to say next.
pub enum Said {
    Message(Bytes),
    /// Whole fields of a message; more of it follows.
    Part(Bytes),
    /// The server has ended it in order.
    End,
}

impl Answer {
    pub fn new(head: ResponseFuture, messages: Messages) -> Self {
        Answer { stage: Stage::Head(head), messages }
    }

    /// The next message, or the end. An error is the end, too.
    pub fn poll_next(&mut self, context: &mut Context) -> Poll<Result<Said>> {
        let said = ready!(self.poll_stage(context));
        if matches!(said, Ok(Said::End) | Err(_)) {
            self.stage = Stage::Ended;
        }
        Poll::Ready(said)
    }

    fn poll_stage(&mut self, context: &mut Context) -> Poll<Result<Said>> {
        if let Stage::Head(head) = &mut self.stage {
            let response = ready!(Pin::new(head).poll(context)).map_err(status::of_http2)?;
            let (head, body) = response.into_parts();
            if let Some(error) = status::of_head(&head) {
                return Poll::Ready(Err(error));
            }
            self.stage = Stage::Body(body);
        }
        let Stage::Body(body) = &mut self.stage else { return Poll::Ready(Ok(Said::End)) };
        loop {
            if let Some(said) = self.messages.next()? {
                return Poll::Ready(Ok(said));
            }
            match ready!(body.poll_data(context)) {
                Some(Ok(data)) => {
                    let _ = body.flow_control().release_capacity(data.len());
                    self.messages.push(data);
                }
                Some(Err(error)) => return Poll::Ready(Err(status::of_http2(error))),
                None => break,
            }
        }
        let trailers = ready!(body.poll_trailers(context)).map_err(status::of_http2)?;
        let ended = trailers.as_ref().and_then(status::of_trailers);
        let ended = ended.unwrap_or_else(|| Err(status::bad_reply("ended an answer without gRPC's status")));
        Poll::Ready(ended.map(|()| Said::End))
    }

    /// The one message of a call that has one, once all of it is there.
    pub fn poll_only(&mut self, only: &mut Option<Bytes>, context: &mut Context) -> Poll<Result<Bytes>> {
        loop {
            match ready!(self.poll_next(context))? {
                Said::Message(message) if only.is_none() => *only = Some(message),
                Said::Message(_) | Said::Part(_) => {
                    return Poll::Ready(Err(status::bad_reply("answered twice")));
                }
                Said::End => {
                    let message = only.take();
                    return Poll::Ready(message.ok_or_else(|| status::bad_reply("answered with nothing")));
                }
            }
        }
    }
}

/// Cuts a stream of bytes into gRPC's messages.
pub struct Messages {
    limit: usize,
    /// From which length on a message comes in parts, if any does.
    part: Option<usize>,
    /// How much of the current message is still to come, once its length is known.
    left: Option<usize>,
    /// What came last, as long as nothing goes on from before.
    rest: Bytes,
    /// A message, or the rest of one, that is not whole yet.
    partial: BytesMut,
}

/// Not compressed or compressed, and the length.
const PREFIX: usize = 5;
/// A length is believed so far: beyond that, memory is taken as bytes come.
const BELIEVED: usize = 1 << 20;

/// No etcd sends a longer message, in parts or not.
const LONGEST: usize = i32::MAX as usize;

impl Messages {
    /// Messages of at most this length.
    pub fn new(limit: usize) -> Self {
        let (left, rest, partial) = Default::default();
        Messages { limit, part: None, left, rest, partial }
    }

    /// Messages of any length that etcd sends, the long ones in parts of about this length: as many whole fields as are there. The
    /// limit holds for a field.
    pub fn in_parts(limit: usize, part: usize) -> Self {
        Messages { part: Some(part.min(limit)), ..Messages::new(limit) }
    }

    pub fn push(&mut self, data: Bytes) {
        if self.partial.is_empty() && self.rest.is_empty() {
            self.rest = data;
        } else {
            self.partial.extend_from_slice(&data);
        }
    }

    /// The next message or part that is there; never the end.
    pub fn next(&mut self) -> Result<Option<Said>> {
        if self.left.is_none() {
            let Some(length) = self.length()? else {
                self.keep(PREFIX);
                return Ok(None);
            };
            self.take(PREFIX);
            self.left = Some(length);
        }
        let left = self.left.expect("known by now");
        if self.there().len() >= left {
            self.left = None;
            return Ok(Some(Said::Message(self.take(left))));
        }
        if self.part.is_some_and(|part| self.there().len() >= part) {
            let whole = fields(self.there(), self.limit)?;
            if whole > 0 {
                self.left = Some(left - whole);
                return Ok(Some(Said::Part(self.take(whole))));
            }
        }
        self.keep(left);
        Ok(None)
    }

    fn there(&self) -> &[u8] {
        if self.partial.is_empty() { &self.rest } else { &self.partial }
    }

    fn take(&mut self, length: usize) -> Bytes {
        match self.partial.is_empty() {
            true => self.rest.split_to(length),
            false => self.partial.split_to(length).freeze(),
        }
    }

    /// Makes room for what is to come of something of this length.
    fn keep(&mut self, length: usize) {
        if !self.rest.is_empty() {
            self.partial.reserve(length.min(BELIEVED));
            self.partial.extend_from_slice(&std::mem::take(&mut self.rest));
        }
    }

    /// That of the message that begins here, when that much of it is there.
    fn length(&self) -> Result<Option<usize>> {
        let [compressed, length @ ..] = self.there() else { return Ok(None) };
        let Some(length) = length.first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        match compressed {
            0 if length <= self.limit || self.part.is_some() && length <= LONGEST => Ok(Some(length)),
            0 => Err(status::too_large(length, self.limit)),
            _ => Err(compression()),
        }
    }
}

/// How many of these bytes are whole fields of a message.
fn fields(bytes: &[u8], limit: usize) -> Result<usize> {
    let mut rest = bytes;
    let mut whole = 0;
    while let Some(length) = field(rest)? {
        if length > limit {
            return Err(status::too_large(length, limit));
        }
        let Some(after) = rest.get(length..) else { break };
        rest = after;
        whole = bytes.len() - rest.len();
    }
    Ok(whole)
}

/// The length of the field that begins here, when that much of it is there.
fn field(bytes: &[u8]) -> Result<Option<usize>> {
    let Some((key, key_length)) = varint(bytes)? else { return Ok(None) };
    let bytes = &bytes[key_length..];
    let length = match key & 7 {
        0 => varint(bytes)?.map(|(_, length)| length),
        1 => Some(8),
        2 => varint(bytes)?.map(|(value, length)| length.saturating_add(value as usize)),
        5 => Some(4),
        _ => return Err(status::bad_reply("answered with something else than etcd's message")),
    };
    Ok(length.map(|length| length.saturating_add(key_length)))
}

/// A number and how many bytes it takes, when all of them are there.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    match bytes.len() {
        0..10 => Ok(None),
        _ => Err(status::bad_reply("answered with a number that has no end")),
    }
}

fn compression() -> Error {
    status::bad_reply("answered with compression, which was not asked for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// Two messages, an empty one between them.
    const BYTES: &[u8] = b"\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x02de";

    fn all(mut messages: Messages, bytes: &[u8], size: usize) -> Result<Vec<(Bytes, bool)>> {
        let mut found = Vec::new();
        for chunk in bytes.chunks(size) {
            messages.push(Bytes::copy_from_slice(chunk));
            while let Some(said) = messages.next()? {
                match said {
                    Said::Message(bytes) => found.push((bytes, true)),
                    Said::Part(bytes) => found.push((bytes, false)),
                    Said::End => unreachable!("messages do not know of it"),
                }
            }
        }
        Ok(found)
    }

    #[test]
    fn messages_come_whole_however_their_bytes_come() {
        for size in 1..=BYTES.len() {
            let found = all(Messages::new(3), BYTES, size).unwrap();
            assert_eq!(
                found,
                [(&b"abc"[..], true), (b"", true), (b"de", true)].map(|(b, end)| (b.into(), end))
            );
        }
    }

    #[test]
    fn long_messages_come_in_parts_of_whole_fields() {
        // A number, four bytes, eight, and three texts; then a short message.
        let long = b"\x08\x96\x01\x15abcd\x19abcdefgh\x22\x05hello\x22\x00\x2a\x03abc";
        let mut bytes = [&[0, 0, 0, 0, long.len() as u8], &long[..]].concat();
        bytes.extend_from_slice(b"\0\0\0\0\x02\x08\x01");
        for size in 1..=bytes.len() {
            for part in 1..=long.len() {
                let found = all(Messages::in_parts(20, part), &bytes, size).unwrap();
                let ends: Vec<usize> = (0..found.len()).filter(|at| found[*at].1).collect();
                assert_eq!(
                    (ends.len(), ends[1]),
                    (2, ends[0] + 1),
                    "{size} bytes at a time, parts of {part}"
                );
                let joined: Vec<u8> =
                    found[..=ends[0]].iter().flat_map(|(bytes, _)| bytes.to_vec()).collect();
                assert_eq!((&joined[..], &found[ends[1]].0[..]), (&long[..], &b"\x08\x01"[..]));
                for (bytes, _) in &found {
                    assert_eq!(fields(bytes, 20).unwrap(), bytes.len(), "cut within a field");
                }
                let is_cut = found.len() > 2;
                assert!(size > 1 || part > 10 || is_cut, "{size} bytes at a time, parts of {part}");
                assert!(size < bytes.len() || !is_cut, "what has come at once need not be cut");
            }
        }
    }

    #[test]
    fn what_is_too_long_or_compressed_is_refused_before_it_has_come() {
        for (bytes, kind) in [
            (&b"\0\xff\xff\xff\xff"[..], ErrorKind::TooLarge),
            (b"\0\0\0\0\x04", ErrorKind::TooLarge),
            (b"\x01\0\0\0\x01", ErrorKind::BadReply),
        ] {
            assert_eq!(all(Messages::new(3), bytes, bytes.len()).unwrap_err().kind(), kind);
        }
        let error = all(Messages::in_parts(3, 3), b"\0\xff\xff\xff\xff", 5).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        for (field, kind) in [
            (&b"\x0a\x05abc"[..], ErrorKind::TooLarge),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", ErrorKind::TooLarge),
            (b"\x0b\0\0\0", ErrorKind::BadReply),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", ErrorKind::BadReply),
        ] {
            let bytes = [b"\0\0\0\x01\0", field].concat();
            let error = all(Messages::in_parts(6, 3), &bytes, bytes.len()).unwrap_err();
            assert_eq!(error.kind(), kind, "{field:?}");
        }
    }
}
