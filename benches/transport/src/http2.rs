//! As little HTTP/2 as gRPC over one socket can do with: what is compared with is as near to a bare socket as an
//! honest client can come. Headers are prepared once and never looked at in answers; windows, settings and pings
//! are treated as they have to be.

use std::collections::VecDeque;
use std::io::{Read, Write};

use crate::Result;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const HEAD: usize = 9;
/// Of a message, in gRPC: a flag, and its length.
const PREFIX: usize = 5;
/// What everybody allows a frame to carry.
const FRAME: usize = 16384;
const WINDOW_OF_HTTP2: i64 = 65535;
/// Large enough that only the connection's window has to be given back.
const WINDOW: u32 = 1 << 30;
const GIVE_BACK: u32 = 1 << 20;

/// A method with the headers of a call, literal and kept out of any table, so that they are the same each time.
pub struct Method(Vec<u8>);

impl Method {
    pub fn new(path: &str, secure: bool) -> Self {
        // By their place in HPACK's own table: POST, and http or https.
        let mut block = vec![0x83, if secure { 0x87 } else { 0x86 }];
        literal(&mut block, &[0x04], path);
        literal(&mut block, &[0x01], "localhost");
        literal(&mut block, &[0x0f, 0x10], "application/grpc");
        literal(&mut block, b"\x00\x02te", "trailers");
        Method(block)
    }
}

/// A header that no table remembers. All values are shorter than 127.
fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend_from_slice(name);
    block.push(value.len() as u8);
    block.extend_from_slice(value.as_bytes());
}

/// A message that came whole.
pub struct Reply {
    pub stream: u32,
    /// How long it is.
    pub length: usize,
    /// What it is, on a stream that is kept open.
    pub body: Vec<u8>,
}

/// A stream that waits for an answer.
struct Incoming {
    id: u32,
    /// It goes on after a message, and its messages are kept.
    live: bool,
    prefix: [u8; PREFIX],
    /// How much of the message has come, with its prefix.
    got: usize,
    body: Vec<u8>,
}

pub struct Http2<S> {
    stream: S,
    input: Box<[u8]>,
    /// The part of the input that came and was not looked at.
    ready: std::ops::Range<usize>,
    output: Vec<u8>,
    /// What may be sent on the connection, and on a stream of which nothing was sent.
    window: i64,
    first_window: i64,
    /// The stream whose message is being sent, and what may be sent on it.
    sending: (u32, i64),
    received: u32,
    next: u32,
    streams: Vec<Incoming>,
    replies: VecDeque<Reply>,
}

impl<S: Read + Write> Http2<S> {
    pub fn open(stream: S) -> Result<Self> {
        let mut output = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut settings = Vec::new();
        // The table of headers that we don't keep, no pushes, the window of a stream.
        for (name, value) in [(1u16, 0u32), (2, 0), (4, WINDOW)] {
            settings.extend_from_slice(&name.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        frame(&mut output, SETTINGS, 0, 0, &settings);
        frame(&mut output, WINDOW_UPDATE, 0, 0, &(WINDOW - WINDOW_OF_HTTP2 as u32).to_be_bytes());
        Ok(Http2 {
            stream,
            input: vec![0; 4 * FRAME].into(),
            ready: 0..0,
            output,
            window: WINDOW_OF_HTTP2,
            first_window: WINDOW_OF_HTTP2,
            sending: (0, 0),
            received: 0,
            next: 1,
            streams: Vec::new(),
            replies: VecDeque::new(),
        })
    }

    /// One call: how long the answer is.
    pub fn call(&mut self, method: &Method, message: &[u8]) -> Result<usize> {
        self.send(method, message)?;
        Ok(self.reply()?.length)
    }

    /// Sends a request that is one message, and has one for its answer.
    pub fn send(&mut self, method: &Method, message: &[u8]) -> Result<u32> {
        self.start(method, message, false)
    }

    /// Sends a first message on a stream that stays open.
    pub fn subscribe(&mut self, method: &Method, message: &[u8]) -> Result<u32> {
        self.start(method, message, true)
    }

    fn start(&mut self, method: &Method, message: &[u8], live: bool) -> Result<u32> {
        let id = self.next;
        self.next += 2;
        self.streams.push(Incoming { id, live, prefix: [0; PREFIX], got: 0, body: Vec::new() });
        self.sending = (id, self.first_window);
        frame(&mut self.output, HEADERS, END_HEADERS, id, &method.0);
        let mut prefix = [0; PREFIX];
        prefix[1..].copy_from_slice(&(message.len() as u32).to_be_bytes());
        if message.len() + PREFIX <= FRAME {
            // Nearly always: one frame, written without a copy in between.
            self.wait_for_window(message.len() + PREFIX)?;
            self.take_window(message.len() + PREFIX);
            let flags = if live { 0 } else { END_STREAM };
            frame_head(&mut self.output, PREFIX + message.len(), DATA, flags, id);
            self.output.extend_from_slice(&prefix);
            self.output.extend_from_slice(message);
        } else {
            self.send_in_parts(id, &[&prefix, message].concat())?;
        }
        self.flush()?;
        Ok(id)
    }

    fn send_in_parts(&mut self, id: u32, mut rest: &[u8]) -> Result<()> {
        while !rest.is_empty() {
            self.wait_for_window(1)?;
            let room = self.window.min(self.sending.1) as usize;
            let (part, later) = rest.split_at(rest.len().min(FRAME).min(room));
            frame(&mut self.output, DATA, if later.is_empty() { END_STREAM } else { 0 }, id, part);
            self.take_window(part.len());
            rest = later;
        }
        Ok(())
    }

    /// Waits until so much may be sent.
    fn wait_for_window(&mut self, size: usize) -> Result<()> {
        while self.window.min(self.sending.1) < size as i64 {
            self.flush()?;
            self.read_frame()?;
        }
        Ok(())
    }

    fn take_window(&mut self, size: usize) {
        self.window -= size as i64;
        self.sending.1 -= size as i64;
    }

    /// The next message of any stream.
    pub fn reply(&mut self) -> Result<Reply> {
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(reply);
            }
            self.read_frame()?;
        }
    }

    fn flush(&mut self) -> Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output)?;
            self.stream.flush()?;
            self.output.clear();
        }
        Ok(())
    }

    /// Has at least so many bytes ready.
    fn fill(&mut self, size: usize) -> Result<()> {
        while self.ready.len() < size {
            if self.ready.start + size > self.input.len() || self.ready.is_empty() {
                self.input.copy_within(self.ready.clone(), 0);
                self.ready = 0..self.ready.len();
            }
            // What has to be said is said before waiting.
            self.flush()?;
            match self.stream.read(&mut self.input[self.ready.end..])? {
                0 => return Err("the server closed the connection".into()),
                more => self.ready.end += more,
            }
        }
        Ok(())
    }

    fn read_frame(&mut self) -> Result<()> {
        self.fill(HEAD)?;
        let head: [u8; HEAD] = self.input[self.ready.start..][..HEAD].try_into()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        if length > FRAME {
            return Err(format!("a frame of {length} bytes").into());
        }
        self.fill(HEAD + length)?;
        let payload = self.ready.start + HEAD..self.ready.start + HEAD + length;
        self.ready.start = payload.end;
        match kind {
            DATA if flags & PADDED != 0 => return Err("padding".into()),
            DATA => self.data(id, payload, flags & END_STREAM != 0)?,
            HEADERS if flags & END_STREAM != 0 => self.end(id)?,
            // Behind an answer it only says that the rest of the request is not wanted, which there is none of.
            RESET if self.streams.iter().any(|stream| stream.id == id) => {
                return Err(format!("the server reset stream {id}").into());
            }
            GOAWAY => return Err("the server said goodbye".into()),
            SETTINGS if flags & ACK == 0 => self.settings(payload),
            PING if flags & ACK == 0 => frame(&mut self.output, PING, ACK, 0, &self.input[payload]),
            WINDOW_UPDATE => self.more_window(id, payload)?,
            _ => {}
        }
        Ok(())
    }

    fn settings(&mut self, payload: std::ops::Range<usize>) {
        for setting in self.input[payload].chunks_exact(6) {
            if setting[..2] == [0, 4] {
                let window = i64::from(u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]));
                self.sending.1 += window - self.first_window;
                self.first_window = window;
            }
        }
        frame(&mut self.output, SETTINGS, ACK, 0, &[]);
    }

    fn more_window(&mut self, id: u32, payload: std::ops::Range<usize>) -> Result<()> {
        let more = i64::from(u32::from_be_bytes(self.input[payload].try_into()?) & 0x7fff_ffff);
        if id == 0 {
            self.window += more;
        } else if id == self.sending.0 {
            self.sending.1 += more;
        }
        Ok(())
    }

    fn data(&mut self, id: u32, payload: std::ops::Range<usize>, ends: bool) -> Result<()> {
        self.received += payload.len() as u32;
        if self.received >= GIVE_BACK {
            frame(&mut self.output, WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
            self.received = 0;
        }
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            stream.take(&self.input[payload], &mut self.replies);
        }
        if ends { self.end(id) } else { Ok(()) }
    }

    /// A stream ended: its one message must be whole. A refusal comes without any.
    fn end(&mut self, id: u32) -> Result<()> {
        let Some(at) = self.streams.iter().position(|stream| stream.id == id) else { return Ok(()) };
        let stream = self.streams.swap_remove(at);
        if stream.live || stream.got < PREFIX || stream.got != PREFIX + stream.length() {
            return Err(format!("stream {id} ended without an answer").into());
        }
        self.replies.push_back(Reply { stream: id, length: stream.length(), body: Vec::new() });
        Ok(())
    }
}

impl Incoming {
    fn length(&self) -> usize {
        u32::from_be_bytes([self.prefix[1], self.prefix[2], self.prefix[3], self.prefix[4]]) as usize
    }

    fn take(&mut self, mut data: &[u8], replies: &mut VecDeque<Reply>) {
        while !data.is_empty() {
            if self.got < PREFIX {
                let (part, rest) = data.split_at(data.len().min(PREFIX - self.got));
                self.prefix[self.got..self.got + part.len()].copy_from_slice(part);
                self.got += part.len();
                data = rest;
                continue;
            }
            if !self.live {
                self.got += data.len();
                return;
            }
            let (part, rest) = data.split_at(data.len().min(PREFIX + self.length() - self.got));
            self.body.extend_from_slice(part);
            self.got += part.len();
            data = rest;
            if self.got == PREFIX + self.length() {
                let (length, body) = (self.length(), std::mem::take(&mut self.body));
                replies.push_back(Reply { stream: self.id, length, body });
                self.got = 0;
            }
        }
    }
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, id: u32, payload: &[u8]) {
    frame_head(to, payload.len(), kind, flags, id);
    to.extend_from_slice(payload);
}

fn frame_head(to: &mut Vec<u8>, length: usize, kind: u8, flags: u8, id: u32) {
    to.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&id.to_be_bytes());
}
