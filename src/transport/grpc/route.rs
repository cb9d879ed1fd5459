//! The way to one endpoint, and what is known of it beyond one connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use rustls::ClientConnection;

use super::socket::Stream;
use crate::error::Error;
use crate::log;
use crate::options::{Options, Secret};
use crate::sys;
use crate::threads::Threads;
use crate::transport::connect::{ConnectFailed, Place, connect_tcp, look_up};
use crate::transport::tls::{HTTP_2, Tls};
use crate::wait::Deadline;

pub struct Route {
    /// The endpoint as its user wrote it, for messages.
    pub name: String,
    place: Place,
    tls: Option<Tls>,
    authority: Authority,
    connect_timeout: Duration,
    /// Those of the client.
    pub threads: Threads,
    /// How long a message may be, each way.
    pub max_request: usize,
    pub max_reply: usize,
    /// After how many milliseconds of silence streams are pinged: more, once a server had enough of it.
    ping_after: AtomicU64,
    /// How many connections were made.
    pub connections: AtomicU64,
}

/// A connection on which nothing was said yet, but for TLS.
pub struct Dialed {
    pub stream: Stream,
    pub tls: Option<Box<ClientConnection>>,
}

/// etcd takes a ping every five seconds, and no more.
const PING_AFTER_MS: u64 = 10_000;
const LONGEST_PING_AFTER_MS: u64 = 300_000;

impl Route {
    /// The way to `place`.
    ///
    /// # Errors
    /// `InvalidArgument` for a host that is none.
    pub fn new(
        name: &str,
        place: Place,
        tls: Option<&Arc<Tls>>,
        options: &Options,
        threads: &Threads,
    ) -> Result<Self, Error> {
        let authority = Authority::try_from(place.authority())
            .map_err(|_| Error::invalid(format!("endpoint {name:?}: this can't be a host")))?;
        Ok(Route {
            name: name.to_owned(),
            place,
            tls: tls.map(|tls| tls.for_http2()),
            authority,
            connect_timeout: options.connect_timeout,
            threads: threads.clone(),
            max_request: options.max_request_bytes,
            max_reply: options.max_reply_bytes,
            ping_after: AtomicU64::new(PING_AFTER_MS),
            connections: AtomicU64::new(0),
        })
    }

    /// Connects, within the option's time or until `send_by`.
    ///
    /// # Errors
    /// Why there is no connection. Nothing was sent.
    pub fn dial(&self, send_by: Deadline) -> Result<Dialed, Error> {
        let until = send_by.or_after(self.connect_timeout).at();
        let dialed = self.connect(until).map_err(|error| {
            let error = ConnectFailed::from(error).into_error().at(&self.name);
            log::warning!("connect {error}");
            error
        })?;
        log::info!("connected to {}", self.name);
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(dialed)
    }

    fn connect(&self, until: Option<Instant>) -> io::Result<Dialed> {
        let (host, port) = match &self.place {
            Place::Unix(path) => {
                let stream = Stream::Unix(sys::connect_unix(path, until)?);
                return Ok(Dialed { stream, tls: None });
            }
            Place::Tcp { host, port } => (host, *port),
        };
        let socket = connect_tcp(&look_up(host, port, until, &self.threads)?, until)?;
        let Some(tls) = &self.tls else { return Ok(Dialed { stream: Stream::Tcp(socket), tls: None }) };
        let stream = tls.start(host, socket)?;
        stream.shake_hands(until)?;
        let (socket, session) = stream.into_parts();
        if session.alpn_protocol() != Some(HTTP_2) {
            let fault = "the server speaks TLS, but not HTTP/2; try json+https://".into();
            return Err(io::Error::other(rustls::Error::General(fault)));
        }
        Ok(Dialed { stream: Stream::Tcp(socket), tls: Some(Box::new(session)) })
    }

    /// The head of a call or stream. `timeout`: how long the server need work on it. `needs_leader`: a member that
    /// has none is to refuse it at once.
    pub fn head(
        &self,
        path: &'static str,
        token: Option<&Secret>,
        timeout: Option<Duration>,
        needs_leader: bool,
    ) -> Result<http::Request<()>, Error> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::from_static(path));
        let mut request = http::Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_parts(parts).expect("it has all parts");
        let headers = request.headers_mut();
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if needs_leader {
            headers.insert("hasleader", HeaderValue::from_static("true"));
        }
        if let Some(timeout) = timeout {
            headers.insert("grpc-timeout", whole_seconds(timeout));
        }
        if let Some(token) = token {
            add_token(headers, token)?;
        }
        Ok(request)
    }

    /// After how much silence a stream's connection is pinged.
    pub fn ping_after(&self) -> Duration {
        Duration::from_millis(self.ping_after.load(Ordering::Relaxed))
    }

    /// The server had enough of pings.
    pub fn ping_less(&self) {
        let less = |ms: u64| Some((ms * 2).min(LONGEST_PING_AFTER_MS));
        let _ = self.ping_after.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

const USER_AGENT: &str = concat!("etcd-api/", env!("CARGO_PKG_VERSION"));

/// Rounded up, so that the server never gives up first, and that most calls have the same header.
fn whole_seconds(timeout: Duration) -> HeaderValue {
    let seconds = timeout.as_millis().div_ceil(1000).clamp(1, 99_999_999);
    HeaderValue::try_from(format!("{seconds}S")).expect("digits and a letter")
}

fn add_token(headers: &mut HeaderMap, token: &Secret) -> Result<(), Error> {
    let value = HeaderValue::try_from(token.reveal());
    let mut value = value.map_err(|_| Error::invalid("the token has characters that no token has"))?;
    // Shown nowhere, and kept out of the tables of header compression.
    value.set_sensitive(true);
    headers.insert("token", value);
    Ok(())
}
