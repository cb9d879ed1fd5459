//! How ureq reaches an endpoint: our connections as it wants them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

use super::interrupt;
use crate::log;
use crate::sys;
use crate::threads::Threads;
use crate::transport::connect::{ConnectFailed, Place, connect_tcp, look_up};
use crate::transport::timed::Timed;
use crate::transport::tls::{Tls, TlsStream};

/// Opens connections.
#[derive(Debug, Clone)]
pub struct Connect {
    /// As the endpoint is called in messages.
    name: String,
    place: Place,
    tls: Option<Arc<Tls>>,
    made: Arc<AtomicU64>,
    /// Those of the client.
    pub threads: Threads,
}

impl Connect {
    pub fn new(name: &str, place: Place, tls: Option<Arc<Tls>>, threads: &Threads) -> Self {
        Connect { name: name.to_owned(), place, tls, made: Arc::default(), threads: threads.clone() }
    }

    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// How many connections it and its clones have made.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Opens a connection, to which `known` is told how to cut it before anything is waited for on it.
    fn open(
        &self,
        details: &ConnectionDetails,
        known: impl FnOnce(&Arc<Stream>) -> io::Result<()>,
    ) -> io::Result<Arc<Stream>> {
        let until = interrupt::connect_by().into_iter().chain(after(details.timeout)).min();
        let stream = Arc::new(match &self.place {
            Place::Unix(path) => Stream::Unix(sys::connect_unix(path, until)?),
            Place::Tcp { host, port } => {
                let socket = connect_tcp(&look_up(host, *port, until, &self.threads)?, until)?;
                match &self.tls {
                    None => Stream::Tcp(socket),
                    Some(tls) => Stream::Tls(Box::new(tls.start(host, socket)?)),
                }
            }
        });
        known(&stream)?;
        if let Stream::Tls(stream) = &*stream {
            stream.shake_hands(until)?;
        }
        Ok(stream)
    }
}

/// The moment at which a time that begins now is over, or this thread's request.
fn after(timeout: NextTimeout) -> Option<Instant> {
    let over = timeout.not_zero().and_then(|time| Instant::now().checked_add(*time));
    over.into_iter().chain(interrupt::end_by()).min()
}

impl Connector<()> for Connect {
    type Out = Socket;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        let known = |stream: &Arc<Stream>| {
            let handle: Arc<dyn ShutdownHandle> = stream.clone();
            let told = (details.register_shutdown)(Arc::downgrade(&handle));
            told.map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
            interrupt::uses(&handle)
        };
        let stream = self.open(details, known).map_err(|error| {
            log::warning!("connect {}: {error}", self.name);
            ureq::Error::Other(Box::new(ConnectFailed::from(error)))
        })?;
        log::info!("connected to {}", self.name);
        self.made.fetch_add(1, Ordering::Relaxed);
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Socket { stream, buffers }))
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    fn tcp(&self) -> std::result::Result<&TcpStream, &UnixStream> {
        match self {
            Stream::Tcp(stream) => Ok(stream),
            Stream::Tls(stream) => Ok(stream.socket()),
            Stream::Unix(stream) => Err(stream),
        }
    }

    fn read(&self, buffer: &mut [u8], until: Option<Instant>) -> io::Result<usize> {
        match self {
            Stream::Tcp(socket) => Timed { socket, until }.read(buffer),
            Stream::Unix(socket) => Timed { socket, until }.read(buffer),
            Stream::Tls(stream) => stream.read(buffer, until),
        }
    }

    /// Whether it is quiet: an idle connection has nothing to read; anything else, the end included, makes it
    /// unfit.
    fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Stream::Tcp(socket) => without_waiting(socket, TcpStream::set_nonblocking, &mut byte),
            Stream::Unix(socket) => without_waiting(socket, UnixStream::set_nonblocking, &mut byte),
            Stream::Tls(stream) => stream.read_now(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn write_all(&self, bytes: &[u8], until: Option<Instant>) -> io::Result<()> {
        match self {
            Stream::Tcp(socket) => Timed { socket, until }.write_all(bytes),
            Stream::Unix(socket) => Timed { socket, until }.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes, until),
        }
    }
}

fn without_waiting<S>(
    socket: &S,
    set_nonblocking: fn(&S, bool) -> io::Result<()>,
    buffer: &mut [u8],
) -> io::Result<usize>
where
    for<'a> &'a S: Read,
{
    set_nonblocking(socket, true)?;
    let read = (&mut &*socket).read(buffer);
    set_nonblocking(socket, false)?;
    read
}

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        // An error means that it is closed already.
        let both = Shutdown::Both;
        let _ = self.tcp().map_or_else(|unix| unix.shutdown(both), |tcp| tcp.shutdown(both));
    }
}

/// A connection as ureq wants it, which tells the request that uses it how to cut it.
pub struct Socket {
    stream: Arc<Stream>,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Socket")
    }
}

impl Socket {
    fn used_by_current_request(&self) -> io::Result<()> {
        let handle: Arc<dyn ShutdownHandle> = self.stream.clone();
        interrupt::uses(&handle)
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.used_by_current_request()?;
        let written = self.stream.write_all(&self.buffers.output()[..amount], after(timeout));
        written.map_err(|error| timed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.used_by_current_request()?;
        let read = self.stream.read(self.buffers.input_append_buf(), after(timeout));
        let amount = read.map_err(|error| timed(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_quiet()
    }
}

fn timed(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

/// Finds no address: ureq asks before each request, also when it then takes a connection that is open. [`Connect`]
/// asks when it opens one.
#[derive(Debug)]
pub struct NoLookUp;

impl Resolver for NoLookUp {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}
