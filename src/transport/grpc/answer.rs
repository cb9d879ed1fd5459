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
    /// The server has ended it in order.
    End,
}

impl Answer {
    pub fn new(head: ResponseFuture, limit: usize) -> Self {
        Answer { stage: Stage::Head(head), messages: Messages::new(limit) }
    }

    /// The next message, or the end. An error is the end, too.
    pub fn poll_next(&mut self, context: &mut Context) -> Poll<Result<Said>> {
        let said = ready!(self.poll_stage(context));
        if !matches!(said, Ok(Said::Message(_))) {
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
            if let Some(message) = self.messages.next()? {
                return Poll::Ready(Ok(Said::Message(message)));
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
                Said::Message(_) => return Poll::Ready(Err(status::bad_reply("answered twice"))),
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
    /// What came last, as long as no message goes on from before.
    rest: Bytes,
    /// A message that is not whole yet.
    partial: BytesMut,
}

/// Not compressed or compressed, and the length.
const PREFIX: usize = 5;
/// A length is believed so far: beyond that, memory is taken as bytes come.
const BELIEVED: usize = 1 << 20;

impl Messages {
    pub fn new(limit: usize) -> Self {
        Messages { limit, rest: Bytes::new(), partial: BytesMut::new() }
    }

    pub fn push(&mut self, data: Bytes) {
        if self.partial.is_empty() && self.rest.is_empty() {
            self.rest = data;
        } else {
            self.partial.extend_from_slice(&data);
        }
    }

    pub fn next(&mut self) -> Result<Option<Bytes>> {
        if !self.partial.is_empty() {
            let Some(length) = self.length_of(&self.partial)? else { return Ok(None) };
            if self.partial.len() < PREFIX + length {
                return Ok(None);
            }
            return Ok(Some(self.partial.split_to(PREFIX + length).freeze().slice(PREFIX..)));
        }
        let length = self.length_of(&self.rest)?;
        if let Some(length) = length.filter(|length| self.rest.len() >= PREFIX + length) {
            return Ok(Some(self.rest.split_to(PREFIX + length).slice(PREFIX..)));
        }
        if !self.rest.is_empty() {
            self.partial.reserve(PREFIX + length.unwrap_or(0).min(BELIEVED));
            self.partial.extend_from_slice(&std::mem::take(&mut self.rest));
        }
        Ok(None)
    }

    /// That of the message that begins here, when that much of it is there.
    fn length_of(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let [compressed, length @ ..] = bytes else { return Ok(None) };
        let Some(length) = length.first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        match compressed {
            0 if length <= self.limit => Ok(Some(length)),
            0 => Err(status::too_large(length, self.limit)),
            _ => Err(compression()),
        }
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

    #[test]
    fn messages_come_whole_however_their_bytes_come() {
        for size in 1..=BYTES.len() {
            let mut messages = Messages::new(3);
            let mut found = Vec::new();
            for chunk in BYTES.chunks(size) {
                messages.push(Bytes::copy_from_slice(chunk));
                while let Some(message) = messages.next().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, [&b"abc"[..], b"", b"de"], "{size} bytes at a time");
        }
    }

    #[test]
    fn what_is_too_long_or_compressed_is_refused_before_it_has_come() {
        for (bytes, kind) in [
            (&b"\0\xff\xff\xff\xff"[..], ErrorKind::TooLarge),
            (b"\0\0\0\0\x04", ErrorKind::TooLarge),
            (b"\x01\0\0\0\x01", ErrorKind::BadReply),
        ] {
            let mut messages = Messages::new(3);
            messages.push(Bytes::from_static(bytes));
            assert_eq!(messages.next().unwrap_err().kind(), kind);
        }
    }
}
