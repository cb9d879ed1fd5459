//! The socket under an HTTP/2 connection, as h2 wants it, without a runtime: it never waits. Whoever drives the
//! connection waits for the socket itself, with [`Shared`].

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Error;
use crate::sys;
use crate::transport::tls;
use crate::wait::lock;

/// A connected socket.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(socket) => socket.as_fd(),
            Stream::Unix(socket) => socket.as_fd(),
        }
    }
}

/// What the driver of a connection knows of its socket, and tells it.
pub struct Shared {
    pub stream: Stream,
    /// How many bytes the driver lets it read: whoever only sends leaves the answers to the one who waits for
    /// them, and whoever waits looks at the time now and then, also when a server sends without an end.
    may_read: AtomicUsize,
    /// Until when, in microseconds since `opened`.
    read_until: AtomicU64,
    /// Something could not be written: it can go on once the socket can be written to.
    pub wants_write: AtomicBool,
    /// When something was last read, in microseconds since `opened`; 0: never.
    heard: AtomicU64,
    opened: Instant,
    fault: Mutex<Option<Error>>,
}

impl Shared {
    /// How long nothing was heard; `None`: nothing was heard ever.
    pub fn silence(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Relaxed);
        (heard > 0).then(|| self.opened.elapsed().saturating_sub(Duration::from_micros(heard)))
    }

    /// Lets the next poll of the connection read so much, but not for long: much can be made of a few bytes.
    pub fn let_read(&self, bytes: usize) {
        let until = if bytes > 0 { self.now() + LONGEST_READ.as_micros() as u64 } else { 0 };
        self.read_until.store(until, Ordering::Relaxed);
        self.may_read.store(bytes, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.opened.elapsed().as_micros() as u64
    }

    fn may_read(&self) -> bool {
        self.may_read.load(Ordering::Relaxed) > 0
    }

    /// What TLS has failed with. (h2 keeps only the text of errors.)
    pub fn fault(&self) -> Option<Error> {
        lock(&self.fault).clone()
    }

    fn failed(&self, error: io::Error) -> io::Error {
        *lock(&self.fault) = tls::fault_of(&error);
        error
    }
}

/// For h2. Writes are gathered, and sent when h2 flushes.
pub struct Socket {
    pub shared: Arc<Shared>,
    tls: Option<Box<ClientConnection>>,
    /// Not sent yet, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    pongs: Pongs,
}

/// How long a poll of the connection may go on reading.
const LONGEST_READ: Duration = Duration::from_millis(20);

/// More than this is sent at once.
const GATHERED: usize = 64 << 10;

impl Socket {
    /// Over a socket that is connected, and greeted if it is for TLS.
    pub fn new(stream: Stream, tls: Option<Box<ClientConnection>>, delay_pongs: bool) -> Self {
        let shared = Arc::new(Shared {
            stream,
            may_read: AtomicUsize::new(0),
            read_until: AtomicU64::new(0),
            wants_write: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            opened: Instant::now(),
            fault: Mutex::default(),
        });
        let pongs = Pongs { delay: delay_pongs, kept: Vec::new(), since: None };
        Socket { shared, tls, out: Vec::new(), sent: 0, pongs }
    }

    fn receive(&self, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        let size = sys::receive(self.shared.stream.as_fd(), buffer)?;
        // The end of the stream is no word.
        let now = self.shared.now();
        if size > 0 {
            self.shared.heard.store(now.max(1), Ordering::Relaxed);
        }
        // When that was all, asking once more would only tell so.
        let left = self.shared.may_read.load(Ordering::Relaxed).saturating_sub(size);
        let goes_on = size == buffer.len() && now < self.shared.read_until.load(Ordering::Relaxed);
        self.shared.may_read.store(if goes_on { left } else { 0 }, Ordering::Relaxed);
        Ok(size)
    }

    fn read(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let Some(mut tls) = self.tls.take() else {
            // SAFETY: nothing is taken out of the buffer, and what was received is initialised.
            unsafe {
                let size = self.receive(buffer.unfilled_mut())?;
                buffer.assume_init(size);
                buffer.advance(size);
            }
            return Ok(());
        };
        let result = self.read_tls(&mut tls, buffer);
        self.tls = Some(tls);
        result
    }

    fn read_tls(&mut self, tls: &mut ClientConnection, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        loop {
            match tls.reader().read(buffer.initialize_unfilled()) {
                Ok(size) => {
                    buffer.advance(size);
                    return Ok(());
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(error) if !self.shared.may_read() => return Err(error),
                Err(_) => {}
            }
            if tls.read_tls(&mut Raw(self))? == 0 {
                return Ok(());
            }
            tls.process_new_packets().map_err(|error| self.shared.failed(io::Error::other(error)))?;
        }
    }

    /// Sends all that was gathered, as far as the system takes it.
    fn send_all(&mut self) -> io::Result<()> {
        let Some(mut tls) = self.tls.take() else { return self.send_raw() };
        let result = self.send_tls(&mut tls);
        self.tls = Some(tls);
        result
    }

    fn send_raw(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            self.sent += sys::send(self.shared.stream.as_fd(), &self.out[self.sent..])?;
        }
        self.out.clear();
        self.sent = 0;
        // A large request leaves no large buffer behind.
        self.out.shrink_to(GATHERED);
        Ok(())
    }

    fn send_tls(&mut self, tls: &mut ClientConnection) -> io::Result<()> {
        while self.sent < self.out.len() || tls.wants_write() {
            self.sent += tls.writer().write(&self.out[self.sent..])?;
            while tls.wants_write() {
                tls.write_tls(&mut Raw(self))?;
            }
        }
        self.out.clear();
        self.sent = 0;
        self.out.shrink_to(GATHERED);
        Ok(())
    }

    fn pending<T>(&self, result: io::Result<T>) -> Poll<io::Result<T>> {
        let blocked = matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.shared.wants_write.store(blocked, Ordering::Relaxed);
        if blocked { Poll::Pending } else { Poll::Ready(result) }
    }
}

/// The socket below TLS.
struct Raw<'a>(&'a Socket);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: initialised bytes may be written over, and stay initialised.
        let buffer = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
        self.0.receive(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sys::send(self.0.shared.stream.as_fd(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if socket.tls.is_none() && !socket.shared.may_read() {
            return Poll::Pending;
        }
        match socket.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.shared.let_read(0);
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        if socket.pongs.keep(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        if socket.out.len() >= GATHERED {
            let sent = socket.send_all();
            std::task::ready!(socket.pending(sent))?;
        }
        socket.out.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        socket.pongs.release(&mut socket.out);
        let sent = socket.send_all();
        socket.pending(sent)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

/// Answers to the server's pings, kept back for a moment. etcd's servers ping with every request, to measure, and
/// as long as a ping is not answered they don't send another one: an answer at once would cost both sides a
/// packet more for each call.
struct Pongs {
    delay: bool,
    kept: Vec<u8>,
    since: Option<Instant>,
}

/// How long an answer is kept back while there is other traffic.
const KEPT_FOR: Duration = Duration::from_millis(50);
/// With so much to send, the server had better know how fast we are.
const BULK: usize = 16 << 10;

impl Pongs {
    /// Whether these bytes are an answer to a ping, and kept.
    fn keep(&mut self, bytes: &[u8]) -> bool {
        const FRAME: usize = 17;
        let is_pong = bytes.len() == FRAME && bytes[3] == 6 && bytes[4] & 1 == 1;
        let keep = is_pong && self.delay && self.kept.len() < 8 * FRAME;
        if keep {
            self.kept.extend_from_slice(bytes);
            self.since.get_or_insert_with(Instant::now);
        }
        keep
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        let due = |since: &Instant| out.len() > BULK || since.elapsed() > KEPT_FOR;
        if self.since.as_ref().is_some_and(due) {
            out.append(&mut self.kept);
            self.since = None;
        }
    }
}
