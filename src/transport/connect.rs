//! How every transport reaches an endpoint: names, TCP or a Unix socket, with the failures that prove that nothing
//! was sent told apart from what happens later.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::tls;
use crate::error::{Error, ErrorKind, Outcome};
use crate::sys;
use crate::threads::Threads;

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
            Place::Tcp { .. } if secure => format!("https://{}", self.authority()),
            Place::Tcp { .. } => format!("http://{}", self.authority()),
            Place::Unix(path) => format!("unix://{path}"),
        }
    }

    /// Whom HTTP requests are for.
    pub fn authority(&self) -> String {
        match self {
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Unix(_) => "localhost".into(),
        }
    }
}

/// No connection was made: nothing was sent.
#[derive(Debug)]
pub struct ConnectFailed(io::Error);

impl From<io::Error> for ConnectFailed {
    fn from(error: io::Error) -> Self {
        ConnectFailed(error)
    }
}

impl ConnectFailed {
    /// What it means to the caller.
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
            io::ErrorKind::HostUnreachable if self.0.raw_os_error().is_none() => no_such_host(),
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

/// A name that the system's resolver does not know.
fn no_such_host() -> Error {
    Error::new(ErrorKind::Unavailable, "no such host").advise("is the name spelled right?")
}

/// The addresses of a host, asked for anew each time: names move.
///
/// # Errors
/// `TimedOut`; `HostUnreachable` when there is no such name.
pub fn look_up(
    host: &str,
    port: u16,
    until: Option<Instant>,
    threads: &Threads,
) -> io::Result<Vec<SocketAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    // The system's resolver knows no deadline: it gets a thread, which is left behind if it is late.
    let (answer, name) = (mpsc::sync_channel(1), host.to_owned());
    let ask = move || drop(answer.0.send((name.as_str(), port).to_socket_addrs().map(Vec::from_iter)));
    threads.spawn("etcd-resolve", || {}, ask).map_err(io::Error::other)?;
    let unknown = || io::Error::from(io::ErrorKind::HostUnreachable);
    let found = match until.map(|until| until.saturating_duration_since(Instant::now())) {
        Some(left) => match answer.1.recv_timeout(left) {
            Err(mpsc::RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
            found => found.map_err(|_| unknown())?,
        },
        None => answer.1.recv().map_err(|_| unknown())?,
    };
    found.ok().filter(|addresses| !addresses.is_empty()).ok_or_else(unknown)
}

/// Tries one address after the other, each with an equal share of the time that is left.
///
/// # Errors
/// That of the last address.
pub fn connect_tcp(addresses: &[SocketAddr], until: Option<Instant>) -> io::Result<TcpStream> {
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
