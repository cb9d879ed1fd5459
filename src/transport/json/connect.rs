//! How ureq reaches an endpoint: TCP or a Unix socket, with failures told apart from what happens later.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

use super::interrupt;
use crate::error::{Error, ErrorKind, Outcome};
use crate::sys;
use crate::transport::timed::Timed;
use crate::transport::tls::{self, Tls, TlsStream};
use crate::wait::lock;

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host (an IPv6 address in brackets) and a port.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket's path.
    Unix(String),
}

impl Place {
    /// How it is written, for people.
    pub fn url(&self, secure: bool) -> String {
        match self {
            Place::Tcp { host, port } if secure => format!("https://{host}:{port}"),
            Place::Tcp { host, port } => format!("http://{host}:{port}"),
            Place::Unix(path) => format!("unix://{path}"),
        }
    }

    /// The URL of HTTP requests to it. ureq need not know of TLS: that is our connector's business.
    pub fn base_url(&self) -> String {
        match self {
            Place::Tcp { host, port } => format!("http://{host}:{port}"),
            Place::Unix(_) => "http://localhost".into(),
        }
    }
}

/// No connection was made: nothing was sent.
#[derive(Debug)]
pub struct ConnectFailed(io::Error);

impl ConnectFailed {
    pub fn into_error(self) -> Error {
        if let Some(error) = tls::fault_of(&self.0) {
            return error.outcome_is(Outcome::NotSent);
        }
        let refused = |fault: &str| Error::new(ErrorKind::Unavailable, fault).os_error_is(libc::ECONNREFUSED);
        match self.0.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                Error::new(ErrorKind::Timeout, "no connection in time")
            }
            io::ErrorKind::ConnectionRefused => refused("connection refused"),
            // A Unix socket that is not there: the same to a program as a port where nobody listens.
            io::ErrorKind::NotFound => refused("no such socket"),
            _ => {
                let fault = format!("no connection: {}", self.0);
                Error::new(ErrorKind::Unavailable, fault).caused_by(&self.0)
            }
        }
    }
}

impl std::fmt::Display for ConnectFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ConnectFailed {}

/// Opens connections.
#[derive(Debug)]
pub struct Connect {
    place: Place,
    tls: Option<Arc<Tls>>,
}

impl Connect {
    pub fn new(place: &Place, tls: Option<Arc<Tls>>) -> Self {
        Connect { place: place.clone(), tls }
    }

    /// Opens a connection, to which `known` is told how to cut it before anything is waited for on it.
    fn open(
        &self,
        details: &ConnectionDetails,
        known: impl FnOnce(&Arc<Stream>) -> io::Result<()>,
    ) -> io::Result<Arc<Stream>> {
        let until = interrupt::connect_by().into_iter().chain(after(details.timeout)).min();
        let stream = Arc::new(match (&self.place, &self.tls) {
            (Place::Unix(path), _) => Stream::Unix(sys::connect_unix(path, until)?),
            (Place::Tcp { .. }, None) => Stream::Tcp(connect_tcp(&details.addrs, until)?),
            (Place::Tcp { host, .. }, Some(tls)) => {
                Stream::Tls(Box::new(tls.start(host, connect_tcp(&details.addrs, until)?)?))
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

/// Tries one address after the other, each with an equal share of the time that is left.
fn connect_tcp(addresses: &[SocketAddr], until: Option<Instant>) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::TimedOut);
    for (tried, address) in addresses.iter().enumerate() {
        let opened = match until {
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                let share = left / (addresses.len() - tried) as u32;
                TcpStream::connect_timeout(address, share.max(Duration::from_millis(1)))
            }
            None => TcpStream::connect(address),
        };
        match opened {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                sys::detect_dead_peer(stream.as_fd());
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
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
        let stream =
            self.open(details, known).map_err(|error| ureq::Error::Other(Box::new(ConnectFailed(error))))?;
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

/// How long an answer of the system's resolver is used: ureq asks before each request, also when it then
/// takes a connection that is open.
const NAMES_KEPT: Duration = Duration::from_secs(1);

/// Finds the addresses of one endpoint.
#[derive(Debug, Default)]
pub struct Resolve {
    last: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

impl Resolve {
    fn look_up(&self, host: &str, port: u16, timeout: NextTimeout) -> Result<Vec<SocketAddr>, ureq::Error> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        if let Some((when, addresses)) = &*lock(&self.last)
            && when.elapsed() < NAMES_KEPT
        {
            return Ok(addresses.clone());
        }
        // The system's resolver knows no deadline: it gets a thread, which is left behind if it is late.
        let (answer, name) = (mpsc::sync_channel(1), host.to_owned());
        let ask = move || answer.0.send((name.as_str(), port).to_socket_addrs().map(Vec::from_iter));
        sys::spawn("etcd-resolve", ask)?;
        let found = match timeout.not_zero() {
            Some(time) => answer.1.recv_timeout(*time).map_err(|_| ureq::Error::Timeout(timeout.reason))?,
            None => answer.1.recv().map_err(|_| ureq::Error::HostNotFound)?,
        };
        let addresses = found.map_err(|_| ureq::Error::HostNotFound)?;
        *lock(&self.last) = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

impl Resolver for Resolve {
    fn resolve(
        &self,
        uri: &Uri,
        _: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let addresses = self.look_up(host, uri.port_u16().unwrap_or(80), timeout)?;
        let mut found = ResolvedSocketAddrs::from_fn(|_| (Ipv4Addr::UNSPECIFIED, 0).into());
        // As many as ureq's list holds.
        addresses.into_iter().take(16).for_each(|address| found.push(address));
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}
