//! etcd's own protocol: gRPC over HTTP/2, for servers from 3.3 on. Calls share one connection, which the calling
//! threads drive ([`link`]); watches and keep-alives share another one, which has a thread ([`streams`]).

pub(crate) mod answer;
pub(crate) mod decode;
mod encode;
mod link;
#[allow(clippy::doc_markdown)]
pub(crate) mod proto;
mod route;
mod socket;
pub(crate) mod status;
mod streams;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};

use self::link::Link;
use self::route::Route;
use self::socket::Socket;
use self::streams::Streams;
use super::connect::Place;
use super::tls::Tls;
use super::{Abandon, Context, Taker, Transport, WatchStream};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Body, Reply, Request, WatchRequest, WatchSink};
use crate::options::Options;
use crate::threads::Threads;
use crate::wait::{Interrupted, Missed, Single};

/// One endpoint, spoken to with gRPC.
pub struct Grpc {
    route: Arc<Route>,
    /// The connection for calls.
    link: Single<Arc<Link>>,
    streams: Streams,
}

impl Grpc {
    /// A transport to `place`; connects when it is first used.
    ///
    /// # Errors
    /// `InvalidArgument` for a host that is none.
    pub fn new(
        name: &str,
        place: Place,
        tls: Option<&Arc<Tls>>,
        options: &Options,
        threads: &Threads,
    ) -> Result<Self> {
        let route = Arc::new(Route::new(name, place, tls, options, threads)?);
        Ok(Grpc { streams: Streams::new(route.clone()), link: Single::default(), route })
    }

    /// The connection for calls: the one there is, or a new one.
    fn link(&self, context: &Context) -> Result<Arc<Link>> {
        if let Some(link) = self.link.peek() {
            if link.is_usable() {
                return Ok(link);
            }
            self.link.forget(|current| Arc::ptr_eq(current, &link));
        }
        let dial = || Link::new(self.route.dial(context.send_by)?, &self.route).map(Arc::new);
        self.link.get(context.send_by, context.cancel, dial).map_err(|missed| match missed {
            Missed::Own(error) | Missed::Theirs(error) => error,
            Missed::Interrupted(Interrupted::Canceled) => Error::closed(),
            Missed::Interrupted(Interrupted::Timeout) => {
                Error::new(ErrorKind::Timeout, "no connection in time")
            }
        })
    }

    fn exchange(&self, request: &Request, context: &Context) -> Result<Reply> {
        if let Request::LeaseKeepAlive { id } = request {
            return self.streams.keep_alive(*id, context);
        }
        let (head, message) = self.written(request, context)?;
        let link = self.link(context)?;
        if !request.reads_only() {
            link.check_alive(context.send_by, context.cancel)?;
        }
        let answer = link.call(head, message, context.deadline, context.cancel)?;
        read(request, answer)
    }

    /// A request as HTTP/2 has it.
    fn written(&self, request: &Request, context: &Context) -> Result<(http::Request<()>, Bytes)> {
        let (path, message) = encode::request(request);
        if message.len() > self.route.max_request {
            let fault =
                format!("{} bytes are over max_request_bytes ({})", message.len(), self.route.max_request);
            return Err(Error::new(ErrorKind::TooLarge, fault));
        }
        let timeout = context.deadline.remaining();
        if timeout == Some(Duration::ZERO) {
            return Err(Error::new(ErrorKind::Timeout, "no time left to send it"));
        }
        Ok((self.route.head(path, context.token, timeout, needs_leader(request))?, message))
    }

    /// The connection on which this request can be sent without waiting for anything.
    fn ready_link(&self, request: &Request) -> Option<Arc<Link>> {
        let link = self.link.peek().filter(|link| link.is_usable())?;
        (request.reads_only() || link.is_alive()).then_some(link)
    }
}

fn read(request: &Request, answer: Bytes) -> Result<Reply> {
    let odd = || status::bad_reply("answered with something else than etcd's message");
    decode::reply(request, answer).ok_or_else(odd)
}

impl Grpc {
    fn is_3_3(&self, context: &Context) -> bool {
        match self.exchange(&Request::Status, context).map(|reply| reply.body) {
            Ok(Body::Status(status)) => status.version.starts_with("3.3."),
            _ => false,
        }
    }
}

/// Whether only a member that has a leader can answer: one without would let it wait in vain.
fn needs_leader(request: &Request) -> bool {
    request.is_linearizable()
        || matches!(
            request,
            Request::LeaseGrant { .. }
                | Request::LeaseRevoke { .. }
                | Request::LeaseKeepAlive { .. }
                | Request::Compact { .. }
        )
}

impl Transport for Grpc {
    fn call(&self, request: &Request, context: &Context) -> Result<Reply> {
        self.exchange(request, context).map_err(|error| error.at(&self.route.name))
    }

    fn submit(
        &self,
        request: &Arc<Request>,
        context: &Context,
        taker: Taker,
    ) -> std::result::Result<Abandon, Taker> {
        if let Request::LeaseKeepAlive { id } = **request {
            // Should there be no thread for it, dropping it has told the taker.
            let abandon = self.streams.submit_keep_alive(id, context, taker);
            return Ok(abandon.unwrap_or_else(|_| Box::new(|| {})));
        }
        let Some(link) = self.ready_link(request) else { return Err(taker) };
        // What can't be written is told by the call that comes next.
        let Ok((head, message)) = self.written(request, context) else { return Err(taker) };
        if link.expect_answer().is_err() {
            return Err(taker);
        }
        let (request, route) = (request.clone(), self.route.clone());
        let take = move |answer: Result<Bytes>| {
            let reply = answer.and_then(|answer| read(&request, answer));
            taker(reply.map_err(|error| error.at(&route.name)));
        };
        let submitted = link.submit(head, message, Box::new(take));
        Ok(Box::new(move || link.abandon(submitted)))
    }

    fn watch(&self, request: &WatchRequest, sink: WatchSink, context: &Context) -> Result<WatchStream> {
        self.streams.watch(request, sink, context).map_err(|error| {
            let ambiguous = error.kind() == ErrorKind::PermissionDenied && context.token.is_some();
            // etcd 3.3 says the same of a token that is over as of something that is not permitted.
            let error =
                if ambiguous && self.is_3_3(context) { error.also("or invalid auth token") } else { error };
            error.at(&self.route.name)
        })
    }

    fn connections(&self) -> u64 {
        self.route.connections.load(Ordering::Relaxed)
    }

    fn finds_silence(&self) -> bool {
        true
    }
}

/// How both kinds of connection are begun.
fn http2(stream_window: u32, connection_window: u32) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(stream_window)
        .initial_connection_window_size(connection_window)
        // A server's messages about errors are long at times, but no more than that.
        .max_header_list_size(64 << 10)
        // Calls that were given up, and whose answers are still to come.
        .max_concurrent_reset_streams(1024);
    builder
}

/// Begins a connection: that only writes into a buffer.
fn greet(
    handshake: impl Future<Output = std::result::Result<Http2, h2::Error>>,
) -> Result<(SendRequest<Bytes>, Connection<Socket, Bytes>)> {
    match pin!(handshake).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(greeted) => greeted.map_err(status::of_http2),
        Poll::Pending => Err(Error::new(ErrorKind::Unavailable, "the connection takes nothing")),
    }
}

type Http2 = (SendRequest<Bytes>, Connection<Socket, Bytes>);
