//! What clients have sent, and which answers to swallow for it. The one place that decides what a request is.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::After;
use crate::http2::{self, Event, PREFACE};

#[derive(Default)]
enum Protocol {
    /// The client has sent nothing yet but what may become the preface of HTTP/2.
    #[default]
    Unknown,
    Http2(http2::Client),
    /// HTTP/1.1, TLS or anything else.
    Other,
}

/// All that the client of one connection has sent.
#[derive(Default)]
pub(crate) struct Requests {
    protocol: Protocol,
    /// What there was while the protocol was unknown.
    early: Vec<u8>,
    all: Vec<Request>,
    /// Whether the server has said something since the last one; of no interest in HTTP/2.
    answered: bool,
}

#[derive(Default)]
struct Request {
    /// Where the answer comes; where there are no streams, each request is one.
    stream: u32,
    /// In HTTP/2.
    path: Vec<u8>,
    bytes: Vec<u8>,
    /// Whether the bytes of a request of HTTP/2 are there.
    asked: bool,
}

impl Request {
    /// Whether the path contains a pattern, or the bytes do in a place that includes some of the `new` last ones.
    fn contains(&self, pattern: &[u8], new: usize) -> bool {
        // The pattern may have begun in bytes that came before.
        let fresh = self.bytes.len().saturating_sub(new.saturating_add(pattern.len().saturating_sub(1)));
        pattern.is_empty()
            || occurrences(&self.path, pattern) > 0
            || occurrences(&self.bytes[fresh..], pattern) > 0
    }
}

fn occurrences(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes.windows(pattern.len()).filter(|window| *window == pattern).count()
}

/// A request that has grown.
pub(crate) struct Grown {
    request: usize,
    /// By how many bytes.
    new: usize,
    pub stream: u32,
}

impl Requests {
    /// The requests that these bytes belong to; in HTTP/2, those that they make whole.
    pub fn sent(&mut self, bytes: &[u8]) -> Vec<Grown> {
        match &mut self.protocol {
            Protocol::Unknown => self.sent_early(bytes),
            Protocol::Http2(client) => {
                let events = client.sent(bytes);
                events.into_iter().filter_map(|event| self.happened(event)).collect()
            }
            Protocol::Other => vec![self.sent_plainly(bytes)],
        }
    }

    fn sent_early(&mut self, bytes: &[u8]) -> Vec<Grown> {
        self.early.extend_from_slice(bytes);
        if self.early.len() < PREFACE.len() && PREFACE.starts_with(&self.early) {
            return Vec::new();
        }
        let early = std::mem::take(&mut self.early);
        if let Some(frames) = early.strip_prefix(PREFACE) {
            self.protocol = Protocol::Http2(http2::Client::default());
            return self.sent(frames);
        }
        self.protocol = Protocol::Other;
        self.sent(&early)
    }

    fn sent_plainly(&mut self, bytes: &[u8]) -> Grown {
        if self.all.is_empty() || self.answered {
            self.all.push(Request { stream: self.all.len() as u32, ..Request::default() });
            self.answered = false;
        }
        let request = self.all.len() - 1;
        self.all[request].bytes.extend_from_slice(bytes);
        Grown { request, new: bytes.len(), stream: self.all[request].stream }
    }

    fn happened(&mut self, event: Event) -> Option<Grown> {
        match event {
            Event::Opened { stream, path } => {
                self.all.push(Request { stream, path, ..Request::default() });
                None
            }
            Event::Asked { stream, message } => {
                let mut request = self.all.iter().rposition(|request| request.stream == stream)?;
                if self.all[request].asked {
                    let path = self.all[request].path.clone();
                    self.all.push(Request { stream, path, ..Request::default() });
                    request = self.all.len() - 1;
                }
                let new = message.len();
                self.all[request].bytes = message;
                self.all[request].asked = true;
                Some(Grown { request, new, stream })
            }
        }
    }

    pub fn answered(&mut self) {
        self.answered = true;
    }

    pub fn count(&self, pattern: &[u8]) -> usize {
        match self.protocol {
            Protocol::Other if !pattern.is_empty() => {
                self.all.iter().map(|request| occurrences(&request.bytes, pattern)).sum()
            }
            _ => self.all.iter().filter(|request| request.contains(pattern, usize::MAX)).count(),
        }
    }
}

/// To swallow the answer to one request to come.
pub(crate) struct Plan {
    pattern: Vec<u8>,
    nth: usize,
    pub then: After,
    /// The requests that contained the pattern, by connection and number: one may contain it twice.
    matched: HashSet<(usize, usize)>,
}

impl Plan {
    pub fn new(pattern: &[u8], nth: usize, then: After) -> Self {
        Plan { pattern: pattern.into(), nth, then, matched: HashSet::new() }
    }

    /// Whether what is new of a connection's request makes it the one.
    pub fn met(&mut self, connection: usize, requests: &Requests, grown: &Grown) -> bool {
        let found = requests.all[grown.request].contains(&self.pattern, grown.new);
        found && self.matched.insert((connection, grown.request)) && self.matched.len() == self.nth
    }
}

/// Which answers the client of one connection does not get.
#[derive(Default)]
pub(crate) struct Answers {
    /// Those to come, by stream: what to do after, and since when they are.
    awaited: HashMap<u32, (After, Instant)>,
    /// Streams whose answers were swallowed while the connection went on.
    lost: HashSet<u32>,
    server: http2::Server,
}

/// What is left of bytes of the server.
#[derive(Default)]
pub(crate) struct Screened {
    /// For the client.
    pub bytes: Vec<u8>,
    /// How many answers begin in what is not.
    pub swallowed: usize,
    /// What then happens to the connection, if anything does.
    pub then: Option<After>,
}

impl Answers {
    /// Whatever the server says next on this stream is the answer to swallow.
    pub fn swallow(&mut self, stream: u32, then: After) {
        self.awaited.insert(stream, (then, Instant::now()));
    }

    pub fn awaited(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// How long the patience with the server lasts, where it is needed.
    pub fn left(&self, patience: Duration) -> Option<Duration> {
        self.awaited.values().map(|(_, since)| patience.saturating_sub(since.elapsed())).min()
    }

    /// Goes on without the answers that the patience did not last for.
    pub fn give_up(&mut self, patience: Duration) -> Option<After> {
        let over: Vec<_> = self.awaited.extract_if(|_, (_, since)| since.elapsed() >= patience).collect();
        over.into_iter().filter_map(|(stream, (then, _))| self.after(stream, then)).last()
    }

    /// What happens to the connection after the answer on a stream.
    fn after(&mut self, stream: u32, then: After) -> Option<After> {
        if then == After::Continue {
            self.lost.insert(stream);
            return None;
        }
        Some(then)
    }

    /// Takes out of the server's bytes what the client is not to get.
    pub fn screen(&mut self, requests: &Requests, bytes: &[u8]) -> Screened {
        let mut screened = Screened::default();
        match requests.protocol {
            Protocol::Unknown => {
                self.server.greeted(bytes);
                screened.bytes.extend_from_slice(bytes);
            }
            Protocol::Http2(_) => self.screen_frames(bytes, &mut screened),
            Protocol::Other => {
                let present = requests.all.last().map_or(0, |request| request.stream);
                if self.passes(present, &mut screened) {
                    screened.bytes.extend_from_slice(bytes);
                }
            }
        }
        screened
    }

    fn screen_frames(&mut self, bytes: &[u8], screened: &mut Screened) {
        self.server.sent(bytes);
        while let Some(frame) = self.server.next().filter(|_| screened.then.is_none()) {
            if frame.answers().is_none_or(|stream| self.passes(stream, screened)) {
                screened.bytes.extend(self.server.keep(frame));
            } else {
                self.server.lose(&frame);
            }
        }
    }

    /// Whether a piece of the answer on a stream is for the client.
    fn passes(&mut self, stream: u32, screened: &mut Screened) -> bool {
        let Some((then, _)) = self.awaited.remove(&stream) else { return !self.lost.contains(&stream) };
        screened.swallowed += 1;
        screened.then = self.after(stream, then);
        false
    }
}
