//! etcd's JSON gateway over HTTP/1.1, for servers from 3.3 on.

mod connect;
pub(crate) mod decode;
mod encode;
mod interrupt;
pub(crate) mod watch;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::Response;
use ureq::typestate::WithBody;
use ureq::{Agent, RequestBuilder};

use self::connect::{Connect, NoLookUp};
use self::interrupt::Interruptible;
use super::connect::{ConnectFailed, Place};
use super::tls::{self, Tls};
use super::{Context, Transport, WatchStream};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::{Reply, Request, WatchRequest, WatchSink};
use crate::threads::Threads;
use crate::wait::lock;

/// What to do about answers that are not etcd's.
const WHAT_TO_CHECK: &str =
    "is this an etcd client URL, with --enable-grpc-gateway on? If it wants TLS, say https://";

/// Idle connections kept for later calls.
const IDLE_CONNECTIONS: usize = 32;

/// One endpoint's JSON gateway.
pub struct Json {
    /// The endpoint as its user wrote it, for messages.
    name: String,
    /// Scheme, host and port.
    base: String,
    connect: Connect,
    connect_timeout: Duration,
    agent: Agent,
    /// `/v3` or an older server's path, once the server has told its version.
    api: Mutex<Option<&'static str>>,
    /// Whether watches ask for answers in pieces: one was too long.
    in_pieces: Arc<AtomicBool>,
}

impl Json {
    /// A transport to `place`; connects when it is first used.
    pub fn new(
        name: &str,
        place: Place,
        tls: Option<Arc<Tls>>,
        connect_timeout: Duration,
        threads: &Threads,
    ) -> Self {
        // ureq need not know of TLS: that is our connector's business.
        let base = format!("http://{}", place.authority());
        let connect = Connect::new(name, place, tls, threads);
        let agent = new_agent(&connect, connect_timeout);
        let (name, api, in_pieces) = (name.to_owned(), Mutex::default(), Arc::default());
        Json { name, base, connect, connect_timeout, agent, api, in_pieces }
    }

    /// Sends a request and reads the whole answer, up to `limit` bytes.
    fn exchange(
        &self,
        path: &str,
        body: Option<Vec<u8>>,
        limit: u64,
        context: &Context,
    ) -> Result<(u16, Vec<u8>)> {
        let _interruptible = self.interruptible(context);
        let mut response = self.send(path, body, context)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        Ok((status, body.map_err(|error| self.fault(error, context))?))
    }

    fn send(&self, path: &str, body: Option<Vec<u8>>, context: &Context) -> Result<Response<ureq::Body>> {
        let url = format!("{}{path}", self.base);
        let left = context.deadline.remaining();
        if left == Some(Duration::ZERO) {
            return Err(Error::new(ErrorKind::Timeout, "no time left to send it").at(&self.name));
        }
        let connect = Some(self.time_to_connect(context));
        let sent = match body {
            None => self.agent.get(url).config().timeout_global(left).timeout_connect(connect).build().call(),
            Some(body) => {
                let request = authorized(self.agent.post(url), context).config().timeout_global(left);
                request.timeout_connect(connect).build().send(body)
            }
        };
        sent.map_err(|error| self.fault(error, context))
    }

    /// Lets the calling thread's request be ended by the context's token.
    fn interruptible<'a>(&self, context: &Context<'a>) -> Interruptible<'a> {
        let connect_by = Instant::now().checked_add(self.time_to_connect(context));
        Interruptible::by(context.cancel, connect_by, context.deadline.at())
    }

    fn time_to_connect(&self, context: &Context) -> Duration {
        context.send_by.remaining().map_or(self.connect_timeout, |left| left.min(self.connect_timeout))
    }

    /// What a failed exchange means.
    fn fault(&self, error: ureq::Error, context: &Context) -> Error {
        let unanswered = |kind, text: String| Error::new(kind, text).outcome_is(Outcome::Unknown);
        let error = match error {
            _ if context.cancel.is_triggered() => Error::closed().outcome_is(Outcome::Unknown),
            ureq::Error::Other(other) => match other.downcast::<ConnectFailed>() {
                Ok(failed) => failed.into_error(),
                Err(other) => unanswered(ErrorKind::Unavailable, other.to_string()),
            },
            ureq::Error::Timeout(ureq::Timeout::Connect) => {
                Error::new(ErrorKind::Timeout, "no connection in time")
            }
            ureq::Error::Timeout(_) => unanswered(ErrorKind::Timeout, "no answer in time".into()),
            ureq::Error::Io(io) if tls::fault_of(&io).is_some() => {
                tls::fault_of(&io).expect("just looked at")
            }
            ureq::Error::Io(io) => {
                let error = unanswered(ErrorKind::Unavailable, format!("connection lost: {io}"));
                error.os_error_is(libc::ECONNRESET)
            }
            other => unanswered(ErrorKind::BadReply, format!("not an answer of etcd: {other}")),
        };
        error.at(&self.name)
    }

    /// The path prefix that this server knows, found through its version.
    fn api(&self, context: &Context) -> Result<&'static str> {
        if let Some(api) = *lock(&self.api) {
            return Ok(api);
        }
        // Nothing of the caller's request is sent yet, whatever becomes of this one.
        let context = &Context { deadline: context.send_by, ..*context };
        let answer = self.exchange("/version", None, 1 << 20, context);
        let (status, body) = answer.map_err(|error| {
            let hung_up = error.os_error() == Some(libc::ECONNRESET) && !self.connect.is_secure();
            let error = error.outcome_is(Outcome::NotSent);
            if hung_up { error.advise("is etcd running there? If it wants TLS, say https://") } else { error }
        })?;
        let version: Option<Value> = serde_json::from_slice(&body).ok();
        let api = version.as_ref().and_then(|v| v["etcdserver"].as_str()).and_then(decode::api_of);
        let api = api.ok_or_else(|| {
            let fault = format!("/version answered HTTP {status} with no version of etcd 3.3 or later");
            Error::new(ErrorKind::BadReply, fault).advise(WHAT_TO_CHECK).at(&self.name)
        })?;
        *lock(&self.api) = Some(api);
        Ok(api)
    }

    /// Runs one method of the gateway.
    fn run(&self, method: &str, body: &Value, context: &Context) -> Result<Value> {
        let api = self.api(context)?;
        let body = body.to_string().into_bytes();
        let (status, answer) = self.exchange(&format!("{api}{method}"), Some(body), u64::MAX, context)?;
        self.parse(status, &answer)
    }

    pub(crate) fn parse(&self, status: u16, answer: &[u8]) -> Result<Value> {
        let value: Option<Value> = serde_json::from_slice(answer).ok();
        match value {
            Some(value) if status == 200 && value.get("error").is_none() => Ok(value),
            Some(value) => Err(decode::error(&value).unwrap_or_else(|| bad_reply(status)).at(&self.name)),
            None => {
                // The server may have changed under us; ask for its version again next time.
                *lock(&self.api) = None;
                Err(bad_reply(status).at(&self.name))
            }
        }
    }
}

fn bad_reply(status: u16) -> Error {
    let fault = format!("answered HTTP {status} without etcd's JSON");
    // A path that is not there did nothing; anything else may have.
    let outcome = if status == 404 { Outcome::Refused } else { Outcome::Unknown };
    Error::new(ErrorKind::BadReply, fault).outcome_is(outcome).advise(WHAT_TO_CHECK)
}

/// A request with its token. A gateway up to 3.6 takes it bare, a later one with or without "Bearer".
fn authorized(request: RequestBuilder<WithBody>, context: &Context) -> RequestBuilder<WithBody> {
    let request = request.header("content-type", "application/json");
    match context.token {
        Some(token) => request.header("authorization", token.reveal()),
        None => request,
    }
}

fn new_agent(connect: &Connect, connect_timeout: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("etcd-api/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(connect_timeout))
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .build();
    Agent::with_parts(config, connect.clone(), NoLookUp)
}

impl Transport for Json {
    fn connections(&self) -> u64 {
        self.connect.made()
    }

    fn call(&self, request: &Request, context: &Context) -> Result<Reply> {
        let (method, body) = encode::request(request);
        let answer = self.run(method, &body, context).map_err(|error| {
            // Gateways before 3.5 have no such path.
            let unknown = matches!(request, Request::HashKv { .. }) && error.outcome() == Outcome::Refused;
            let error = if unknown && error.kind() == ErrorKind::BadReply {
                Error::new(ErrorKind::Unsupported, "this server's JSON gateway has no hashes")
                    .advise("use gRPC")
            } else {
                error
            };
            error.at(&self.name)
        })?;
        decode::reply(request, &answer).ok_or_else(|| bad_reply(200).at(&self.name))
    }

    fn watch(&self, request: &WatchRequest, sink: WatchSink, context: &Context) -> Result<WatchStream> {
        watch::open(self, request, sink, context)
    }
}
