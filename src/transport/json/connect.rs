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

    fn open(&self, details: &ConnectionDetails) -> io::Result<Stream> {
        let start = Instant::now();
        let (host, tcp) = match &self.place {
            // Waits only while the server's backlog is full.
            Place::Unix(path) => return UnixStream::connect(path).map(Stream::Unix),
            Place::Tcp { host, .. } => (host, connect_tcp(&details.addrs, details.timeout)?),
        };
        match &self.tls {
            None => Ok(Stream::Tcp(tcp)),
            Some(tls) => {
                let left = details.timeout.not_zero().map(|all| all.saturating_sub(start.elapsed()));
                Ok(Stream::Tls(Box::new(tls.connect(host, tcp, left)?)))
            }
        }
    }
}

/// Tries one address after the other, each with an equal share of the time that is left.
fn connect_tcp(addresses: &[SocketAddr], timeout: NextTimeout) -> io::Result<TcpStream> {
    let start = Instant::now();
    let mut failed = io::Error::from(io::ErrorKind::TimedOut);
    for (tried, address) in addresses.iter().enumerate() {
        let share = timeout.not_zero().map(|all| {
            let untried = (addresses.len() - tried) as u32;
            (all.saturating_sub(start.elapsed()) / untried).max(Duration::from_millis(1))
        });
        let opened = match share {
            Some(share) => TcpStream::connect_timeout(address, share),
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
        let stream =
            self.open(details).map_err(|error| ureq::Error::Other(Box::new(ConnectFailed(error))))?;
        let stream = Arc::new(stream);
        (details.register_shutdown)(Arc::downgrade(&stream) as _)?;
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

    fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.tcp().map_or_else(|unix| unix.set_read_timeout(time), |tcp| tcp.set_read_timeout(time))
    }

    fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.tcp().map_or_else(|unix| unix.set_write_timeout(time), |tcp| tcp.set_write_timeout(time))
    }

    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.tcp().map_or_else(|unix| unix.set_nonblocking(on), |tcp| tcp.set_nonblocking(on))
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Stream::Tcp(stream) => (&*stream).read(buffer),
                Stream::Unix(stream) => (&*stream).read(buffer),
                Stream::Tls(stream) => stream.read(buffer),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return result,
            }
        }
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => (&*stream).write_all(bytes),
            Stream::Unix(stream) => (&*stream).write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes),
        }
    }
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
        self.stream.set_write_timeout(timeout.not_zero().map(|time| *time))?;
        self.stream.write_all(&self.buffers.output()[..amount]).map_err(|error| timed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.used_by_current_request()?;
        self.stream.set_read_timeout(timeout.not_zero().map(|time| *time))?;
        let read = self.stream.read(self.buffers.input_append_buf());
        let amount = read.map_err(|error| timed(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // An idle connection has nothing to read; anything else, the end included, makes it unfit.
        let quiet = self.stream.set_nonblocking(true).is_ok()
            && matches!(self.stream.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).is_ok() && quiet
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
