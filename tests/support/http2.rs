//! A server that speaks HTTP/2 and gRPC by hand, frame by frame: it can say what no real one would.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use loona_hpack::Decoder;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// Of settings and pings.
pub const ACK: u8 = 1;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields, written out in full: names and values of less than 127 bytes.
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let field = |(name, value): &(&str, &str)| {
        let part = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        [vec![0], part(name), part(value)].concat()
    };
    fields.iter().flat_map(field).collect()
}

/// What an answer of gRPC begins with.
pub fn head(stream: u32) -> Vec<u8> {
    let block = fields(&[(":status", "200"), ("content-type", "application/grpc")]);
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// What it ends with.
pub fn trailers(stream: u32, status: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(status))
}

pub fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

/// In gRPC's frame.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// What many of etcd's answers are in the simplest case: a header, which tells a revision and of no cluster. Others
/// begin with it.
pub fn header(revision: u8) -> Vec<u8> {
    vec![0x0a, 2, 0x18, revision]
}

/// The answer that a watch was created.
pub fn created(revision: u8) -> Vec<u8> {
    [header(revision), vec![0x18, 1]].concat()
}

/// A whole answer to a call.
pub fn answer(stream: u32, bytes: &[u8]) -> Vec<u8> {
    [head(stream), data(stream, &message(bytes)), trailers(stream, &[("grpc-status", "0")])].concat()
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub fn go_away(last_stream: u32, code: u32, text: &str) -> Vec<u8> {
    let payload = [&last_stream.to_be_bytes(), &code.to_be_bytes(), text.as_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
}

/// One message that a client has sent.
#[derive(Debug, Clone)]
pub struct Asked {
    pub stream: u32,
    pub path: String,
    pub message: Vec<u8>,
}

/// What clients have done.
#[derive(Default)]
struct Seen {
    connections: usize,
    asked: Vec<Asked>,
    pings: usize,
}

/// A server on loopback. It goes on until the test's process ends.
pub struct Fake {
    address: String,
    seen: Arc<Mutex<Seen>>,
}

impl Fake {
    /// Each connection, once its client has spoken, is treated like this until that fails or is over.
    pub fn start(behave: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let seen = Arc::<Mutex<Seen>>::default();
        let (behave, of_all) = (Arc::new(behave), seen.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                lock(&of_all).connections += 1;
                let (behave, seen) = (behave.clone(), of_all.clone());
                std::thread::spawn(move || {
                    Peer::greeted(socket, seen).and_then(|mut peer| behave(&mut peer))
                });
            }
        });
        Fake { address, seen }
    }

    /// Each message is answered like this; pings and settings are, too.
    pub fn answering(answer: impl Fn(&mut Peer, &Asked) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start(move |peer| {
            peer.send(&frame(SETTINGS, 0, 0, &[]))?;
            loop {
                let asked = peer.asked()?;
                answer(peer, &asked)?;
            }
        })
    }

    pub fn servers(&self) -> String {
        self.address.clone()
    }

    pub fn connections(&self) -> usize {
        lock(&self.seen).connections
    }

    /// How many messages have come for methods whose path contains this.
    pub fn requests(&self, path: &str) -> usize {
        lock(&self.seen).asked.iter().filter(|asked| asked.path.contains(path)).count()
    }

    pub fn pings(&self) -> usize {
        lock(&self.seen).pings
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("no thread panics with the lock")
}

/// The client at the other end of a connection.
pub struct Peer {
    pub socket: TcpStream,
    decoder: Decoder<'static>,
    /// The paths of its streams, and what of their messages was not looked at yet.
    streams: HashMap<u32, (String, Vec<u8>)>,
    seen: Arc<Mutex<Seen>>,
}

impl Peer {
    /// One that has said that it speaks HTTP/2.
    fn greeted(mut socket: TcpStream, seen: Arc<Mutex<Seen>>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let mut preface = [0; 24];
        socket.read_exact(&mut preface)?;
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        Ok(Peer { socket, decoder: Decoder::new(), streams: HashMap::new(), seen })
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// The next message, on whichever stream it comes.
    pub fn asked(&mut self) -> io::Result<Asked> {
        loop {
            let (kind, flags, stream, payload) = self.frame()?;
            if let Some(asked) = self.take(kind, flags, stream, &payload)? {
                return Ok(asked);
            }
        }
    }

    /// The next frame, whatever it is: its kind, flags, stream and content. Nothing answers it.
    pub fn frame(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head)?;
        let [long, len, gth, kind, flags, st, re, a, m] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, long, len, gth]) as usize];
        self.socket.read_exact(&mut payload)?;
        Ok((kind, flags, u32::from_be_bytes([st, re, a, m]), payload))
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<Option<Asked>> {
        match kind {
            SETTINGS if flags & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => {
                lock(&self.seen).pings += 1;
                self.send(&frame(PING, ACK, 0, payload))?;
            }
            HEADERS => {
                let mut path = String::new();
                let note = |name: std::borrow::Cow<[u8]>, value: std::borrow::Cow<[u8]>| {
                    if *name == *b":path" {
                        path = String::from_utf8_lossy(&value).into_owned();
                    }
                };
                let block = self.decoder.decode_with_cb(payload, note);
                block.map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
                self.streams.insert(stream, (path, Vec::new()));
            }
            DATA => {
                let Some((path, body)) = self.streams.get_mut(&stream) else { return Ok(None) };
                body.extend_from_slice(payload);
                let Some(&[0, a, b, c, d]) = body.first_chunk() else { return Ok(None) };
                let size = 5 + u32::from_be_bytes([a, b, c, d]) as usize;
                if body.len() >= size {
                    let message = body.drain(..size).skip(5).collect();
                    let asked = Asked { stream, path: path.clone(), message };
                    lock(&self.seen).asked.push(asked.clone());
                    return Ok(Some(asked));
                }
            }
            _ => {}
        }
        Ok(None)
    }
}
