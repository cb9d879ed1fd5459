//! As much of HTTP/2 (RFC 9113) and of gRPC on it as it takes to tell requests and answers apart.

use std::collections::HashMap;

use loona_hpack::{Decoder, Encoder};

/// What a client begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// The first bytes of a frame.
#[derive(Clone, Copy, Default)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    const SIZE: usize = 9;

    fn read(bytes: &[u8]) -> Option<Self> {
        let &[long, len, gth, kind, flags, st, re, a, m] = bytes.first_chunk()?;
        let length = u32::from_be_bytes([0, long, len, gth]) as usize;
        Some(Head { length, kind, flags, stream: u32::from_be_bytes([st & 0x7f, re, a, m]) })
    }

    fn write(self) -> Vec<u8> {
        let length = &(self.length as u32).to_be_bytes()[1..];
        [length, &[self.kind, self.flags], &self.stream.to_be_bytes()].concat()
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether the header block goes on in the next frame.
    fn goes_on(self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION) && !self.has(END_HEADERS)
    }

    /// What a payload is without padding and priority; nothing, if it is too short for them.
    fn content(self, payload: &[u8]) -> &[u8] {
        let padded = matches!(self.kind, DATA | HEADERS) && self.has(PADDED);
        let padding = if padded { payload.first().map_or(0, |&size| size as usize) } else { 0 };
        let priority = if self.kind == HEADERS && self.has(PRIORITY) { 5 } else { 0 };
        let end = payload.len().saturating_sub(padding);
        payload.get(padded as usize + priority..end).unwrap_or_default()
    }
}

/// One frame, or a header block with all its continuations.
pub(crate) struct Frame {
    head: Head,
    /// What it carries, if that is not header fields.
    content: Vec<u8>,
    fields: Fields,
    /// As it came.
    bytes: Vec<u8>,
}

impl Frame {
    /// The stream that it is a piece of an answer on, if it is that.
    pub fn answers(&self) -> Option<u32> {
        matches!(self.head.kind, DATA | HEADERS | RST_STREAM).then_some(self.head.stream)
    }

    fn path(&self) -> Option<&Vec<u8>> {
        self.fields.iter().find(|(name, _)| name == b":path").map(|(_, path)| path)
    }
}

/// The bytes of one direction that are no whole frame yet.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    decoder: Decoder<'static>,
}

impl Frames {
    fn next(&mut self) -> Option<Frame> {
        let first = Head::read(&self.bytes)?;
        let (mut content, mut size) = (Vec::new(), 0);
        loop {
            let head = Head::read(&self.bytes[size..])?;
            let begin = size + Head::SIZE;
            size = begin + head.length;
            content.extend_from_slice(head.content(self.bytes.get(begin..size)?));
            if !head.goes_on() {
                break;
            }
        }
        let fields = if first.kind == HEADERS { self.decode(&content) } else { Fields::new() };
        Some(Frame { head: first, content, fields, bytes: self.bytes.drain(..size).collect() })
    }

    /// The fields of a header block, up to the first that is broken: the peer will complain of it.
    fn decode(&mut self, block: &[u8]) -> Fields {
        let mut fields = Fields::new();
        let _ = self
            .decoder
            .decode_with_cb(block, |name, value| fields.push((name.into_owned(), value.into_owned())));
        fields
    }
}

/// What a client has done.
pub(crate) enum Event {
    /// It has begun a stream.
    Opened { stream: u32, path: Vec<u8> },
    /// It has sent a whole gRPC message, or ended a stream without one.
    Asked { stream: u32, message: Vec<u8> },
}

/// What has come of the messages of a stream.
#[derive(Default)]
struct Body {
    /// How many were whole.
    messages: usize,
    rest: Vec<u8>,
}

impl Body {
    fn next(&mut self) -> Option<Vec<u8>> {
        // Whether it is compressed, and the length.
        let &[0 | 1, a, b, c, d] = self.rest.first_chunk()? else { return None };
        let size = 5 + u32::from_be_bytes([a, b, c, d]) as usize;
        if self.rest.len() < size {
            return None;
        }
        self.messages += 1;
        Some(self.rest.drain(..size).collect())
    }
}

/// What the client of one connection sends, without the preface.
#[derive(Default)]
pub(crate) struct Client {
    frames: Frames,
    bodies: HashMap<u32, Body>,
}

impl Client {
    pub fn sent(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.frames.bytes.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(frame) = self.frames.next() {
            if let Some(path) = frame.path() {
                events.push(Event::Opened { stream: frame.head.stream, path: path.clone() });
            }
            if matches!(frame.head.kind, DATA | HEADERS) {
                self.read_body(&frame, &mut events);
            }
        }
        events
    }

    fn read_body(&mut self, frame: &Frame, events: &mut Vec<Event>) {
        let stream = frame.head.stream;
        let body = self.bodies.entry(stream).or_default();
        if frame.head.kind == DATA {
            body.rest.extend_from_slice(&frame.content);
        }
        while let Some(message) = body.next() {
            events.push(Event::Asked { stream, message });
        }
        if frame.head.has(END_STREAM) {
            let body = self.bodies.remove(&stream).unwrap_or_default();
            if body.messages == 0 {
                events.push(Event::Asked { stream, message: body.rest });
            }
        }
    }
}

/// What the server of one connection sends.
pub(crate) struct Server {
    frames: Frames,
    encoder: Encoder<'static>,
    /// Whether it speaks HTTP/2, once it has said enough to tell.
    speaks: Option<bool>,
    /// How many of the next bytes the client has already.
    passed: usize,
    /// Whether the client lacks header fields that the server may refer back to.
    behind: bool,
}

impl Default for Server {
    fn default() -> Self {
        let mut encoder = Encoder::new();
        // It refers back to nothing: whatever the client's table holds, it understands that.
        encoder.set_max_table_size(0);
        Server { frames: Frames::default(), encoder, speaks: None, passed: 0, behind: false }
    }
}

impl Server {
    pub fn sent(&mut self, bytes: &[u8]) {
        self.frames.bytes.extend_from_slice(bytes);
    }

    /// Like `sent`, of bytes that were passed on before it was clear that this is HTTP/2.
    pub fn greeted(&mut self, bytes: &[u8]) {
        self.sent(bytes);
        self.passed += bytes.len();
    }

    /// The next frame, if there is a whole one; to be kept or lost.
    pub fn next(&mut self) -> Option<Frame> {
        if self.speaks.is_none() {
            self.speaks = Some(*self.frames.bytes.get(3)? == SETTINGS);
        }
        let mut frame = if self.speaks == Some(true) { self.frames.next()? } else { self.other()? };
        let passed = self.passed.min(frame.bytes.len());
        frame.bytes.drain(..passed);
        self.passed -= passed;
        Some(frame)
    }

    /// All there is, if that is no HTTP/2 but, say, an alert of TLS: no stream's business.
    fn other(&mut self) -> Option<Frame> {
        let bytes = std::mem::take(&mut self.frames.bytes);
        let head = Head { kind: u8::MAX, ..Head::default() };
        let frame = Frame { head, content: Vec::new(), fields: Fields::new(), bytes };
        (!frame.bytes.is_empty()).then_some(frame)
    }

    /// The bytes of a frame for the client.
    pub fn keep(&mut self, frame: Frame) -> Vec<u8> {
        if frame.head.kind != HEADERS || !self.behind {
            return frame.bytes;
        }
        let block = self.encoder.encode(frame.fields.iter().map(|(name, value)| (&name[..], &value[..])));
        let flags = frame.head.flags & END_STREAM | END_HEADERS;
        [Head { length: block.len(), flags, ..frame.head }.write(), block].concat()
    }

    /// The client will not get this frame.
    pub fn lose(&mut self, frame: &Frame) {
        self.behind |= frame.head.kind == HEADERS;
    }
}
