//! How ureq reaches an endpoint: TCP or a Unix socket, with failures told apart from what happens later.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, TcpConnector, Transport,
};

use super::interrupt::{Cuttable, Handle};
use crate::error::{Error, ErrorKind};
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
    /// The URL of HTTP requests to it.
    pub fn base_url(&self) -> String {
        match self {
            Place::Tcp { host, port } => format!("http://{host}:{port}"),
            Place::Unix(_) => "http://localhost".into(),
        }
    }
}

/// No connection was made: nothing was sent.
#[derive(Debug)]
pub struct ConnectFailed(ureq::Error);

impl ConnectFailed {
    pub fn into_error(self) -> Error {
        match self.0 {
            ureq::Error::Timeout(_) => Error::new(ErrorKind::Timeout, "no connection in time"),
            ureq::Error::Io(io) => match io.kind() {
                io::ErrorKind::ConnectionRefused => refused("connection refused"),
                // A Unix socket that is not there: the same to a program as a port where nobody listens.
                io::ErrorKind::NotFound => refused("no such socket"),
                _ => Error::new(ErrorKind::Unavailable, format!("no connection: {io}")).caused_by(&io),
            },
            other => Error::new(ErrorKind::Unavailable, format!("no connection: {other}")),
        }
    }
}

fn refused(fault: &str) -> Error {
    Error::new(ErrorKind::Unavailable, fault).os_error_is(libc::ECONNREFUSED)
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
    unix: Option<String>,
    tcp: TcpConnector,
}

impl Connect {
    pub fn new(place: &Place) -> Self {
        let unix = match place {
            Place::Unix(path) => Some(path.clone()),
            Place::Tcp { .. } => None,
        };
        Connect { unix, tcp: TcpConnector::default() }
    }
}

impl Connector<()> for Connect {
    type Out = Cuttable;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        let handle = Arc::new(Mutex::new(None));
        let (seen, register) = (handle.clone(), details.register_shutdown.clone());
        let details = ConnectionDetails {
            register_shutdown: Arc::new(move |handle| {
                *lock(&seen) = Some(handle.clone());
                register(handle)
            }),
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
        };
        let opened =
            self.open(&details).map_err(|error| ureq::Error::Other(Box::new(ConnectFailed(error))))?;
        let handle = Handle(lock(&handle).take());
        Ok(opened.map(|inner| Cuttable { inner, handle }))
    }
}

impl Connect {
    fn open(&self, details: &ConnectionDetails) -> Result<Option<Box<dyn Transport>>, ureq::Error> {
        let Some(path) = &self.unix else {
            let tcp = Connector::<()>::connect(&self.tcp, details, None)?;
            return Ok(tcp.map(|transport| Box::new(transport) as _));
        };
        let socket = UnixSocket::open(path, details)?;
        (details.register_shutdown)(Arc::downgrade(&socket.stream) as _)?;
        Ok(Some(Box::new(socket)))
    }
}

/// A Unix socket as ureq wants it. Connecting to one never waits: it is there or not.
struct UnixSocket {
    stream: Arc<Stream>,
    buffers: LazyBuffers,
}

struct Stream(UnixStream);

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl UnixSocket {
    fn open(path: &str, details: &ConnectionDetails) -> io::Result<Self> {
        let stream = Arc::new(Stream(UnixStream::connect(path)?));
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(UnixSocket { stream, buffers })
    }
}

impl std::fmt::Debug for UnixSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnixSocket")
    }
}

impl Transport for UnixSocket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let mut stream = &self.stream.0;
        stream.set_write_timeout(timeout.not_zero().map(|time| *time))?;
        let output = &self.buffers.output()[..amount];
        stream.write_all(output).map_err(|error| timed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let mut stream = &self.stream.0;
        stream.set_read_timeout(timeout.not_zero().map(|time| *time))?;
        let amount = loop {
            match stream.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => break result.map_err(|error| timed(error, timeout))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // An idle connection has nothing to read; anything else, the end included, makes it unfit.
        let mut stream = &self.stream.0;
        let quiet = stream.set_nonblocking(true).is_ok()
            && matches!(stream.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        stream.set_nonblocking(false).is_ok() && quiet
    }
}

fn timed(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

/// Finds addresses: literal ones at once (ureq's own resolver takes a thread for each), names by the system.
#[derive(Debug)]
pub struct Resolve;

impl Resolver for Resolve {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(80);
        match host.parse::<IpAddr>() {
            Ok(address) => {
                let mut found = ResolvedSocketAddrs::from_fn(|_| (Ipv4Addr::UNSPECIFIED, 0).into());
                found.push(SocketAddr::new(address, port));
                Ok(found)
            }
            Err(_) => DefaultResolver::default().resolve(uri, config, timeout).map_err(|error| match error {
                // Looking a name up fails before anything is sent, whatever the system says.
                ureq::Error::Io(_) => ureq::Error::HostNotFound,
                other => other,
            }),
        }
    }
}
