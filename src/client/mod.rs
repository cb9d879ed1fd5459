//! The client core: endpoints, failover and retries, leases, watches that resume.

mod endpoints;
mod lease;
pub mod retry;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use self::endpoints::{Endpoint, Endpoints};
pub use self::lease::Lease;
use self::retry::Next;
pub use self::watch::Watcher;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::options::Options;
use crate::sys;
use crate::transport::{Context, WatchStream};
use crate::wait::{self, Cancel, Deadline};

/// A client of one cluster. Clones are the same client; any thread may use it.
///
/// ```
/// use etcd::{Client, Options};
/// let mut options = Options::new();
/// options.set("endpoints", "mem://")?;
/// let client = Client::open(options)?;
/// client.put("greeting", "hello", 0)?;
/// assert_eq!(client.get("greeting")?.unwrap().value, b"hello");
/// # Ok::<(), etcd::Error>(())
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    options: Options,
    endpoints: Endpoints,
    closed: Cancel,
}

impl Client {
    /// Reads the options. Nothing is contacted yet.
    ///
    /// # Errors
    /// `InvalidArgument` or `Unsupported` when the endpoint list can't be right.
    pub fn open(options: Options) -> Result<Self> {
        let endpoints = Endpoints::open(&options)?;
        Ok(Client(Arc::new(Inner { options, endpoints, closed: Cancel::new() })))
    }

    /// Ends all waits on this client, in all threads, and all later calls. Does not wait.
    pub fn close(&self) {
        self.0.closed.trigger();
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Triggered when the client is closed.
    pub fn closed(&self) -> &Cancel {
        &self.0.closed
    }

    /// The context of an ordinary call: the option's timeout, ended by closing the client.
    pub fn context(&self) -> Context {
        self.context_for(Deadline::NEVER, self.closed())
    }

    /// The context of a call that puts things in order: as long as an ordinary one, also on a closed client.
    pub fn parting_context(&self) -> Context {
        self.context_for(Deadline::NEVER, &Cancel::new())
    }

    /// The option's timeout or `deadline`, whichever comes first, and a token of the caller's.
    pub fn context_for(&self, deadline: Deadline, cancel: &Cancel) -> Context {
        let deadline = deadline.or_after(self.0.options.request_timeout);
        Context { deadline, send_by: deadline, cancel: cancel.clone() }
    }

    /// Runs a request, within the option's timeout.
    ///
    /// # Errors
    /// See [`Error::outcome`] for whether a failed write may have had its effect.
    pub fn call(&self, request: &Request) -> Result<Reply> {
        self.call_in(&self.context(), request, request.repeat())
    }

    /// Runs a request within `context`. `repeat` may say of a write that doing it twice is harmless.
    pub fn call_in(&self, context: &Context, request: &Request, repeat: Repeat) -> Result<Reply> {
        let call = |endpoint: &Endpoint, context: &Context| endpoint.transport.call(request, context);
        let result = self.attempt(context, repeat, call).map(|(reply, _)| reply);
        result.map_err(|error| {
            let unknown = error.outcome() == Outcome::Unknown;
            // A read has no effect that could be unknown.
            let error = if unknown && request.repeat() == Repeat::Harmless && !request.is_lease_change() {
                error.outcome_is(Outcome::NotSent)
            } else {
                error
            };
            error.during(request.describe())
        })
    }

    /// Opens one watch on one endpoint, which is told too; there is no resuming.
    pub(crate) fn open_watch(
        &self,
        context: &Context,
        request: &WatchRequest,
        sink: impl Fn() -> WatchSink,
    ) -> Result<(WatchStream, usize)> {
        let open =
            |endpoint: &Endpoint, context: &Context| endpoint.transport.watch(request, sink(), context);
        self.attempt(context, Repeat::Harmless, open)
            .map_err(|error| error.outcome_is(Outcome::NotSent))
            .map_err(|error| error.during(format!("watch {}", quote(&request.range.start))))
    }

    /// Runs `attempt` on one endpoint after the other, as the retry policy says, until it succeeds.
    fn attempt<T>(
        &self,
        context: &Context,
        repeat: Repeat,
        attempt: impl Fn(&Endpoint, &Context) -> Result<T>,
    ) -> Result<(T, usize)> {
        let endpoints = &self.0.endpoints;
        if endpoints.len() == 0 {
            return Err(Error::invalid("the list of servers is empty"));
        }
        let (first, mut pauses) = (endpoints.first(), 0);
        let mut faults = Faults { last: Vec::new(), outcome: Outcome::NotSent };
        for number in 0.. {
            if context.cancel.is_triggered() {
                return Err(Error::closed().outcome_is(faults.outcome));
            }
            let (position, endpoint) = endpoints.at(first, number);
            let limited = self.share(context, repeat, number);
            let error = match attempt(endpoint, &limited) {
                Ok(value) => {
                    endpoints.prefer(position);
                    return Ok((value, position));
                }
                Err(error) => error.at(&endpoint.name),
            };
            let next = retry::after(&error, repeat);
            let round_over = (number + 1) % endpoints.len() == 0;
            let tired = next == Next::Elsewhere && number + 1 >= endpoints.len() * retry::ROUNDS;
            if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::BadReply) {
                self.avoid(position);
            }
            faults.note(error);
            if next == Next::GiveUp || tired || context.deadline.passed() {
                break;
            }
            if next == Next::Later || round_over {
                let pause = retry::backoff(pauses, sys::random_id() as u64);
                pauses += 1;
                if context.deadline.remaining().is_some_and(|left| left <= pause) {
                    break;
                }
                wait::sleep(pause, &context.cancel);
            }
        }
        Err(faults.into_error())
    }

    /// How long one attempt may take: so long that there is time for the endpoints not tried yet. What must
    /// not be repeated gets all the time once it is sent.
    fn share(&self, context: &Context, repeat: Repeat, number: usize) -> Context {
        let untried = self.0.endpoints.len().saturating_sub(number).max(1) as u32;
        let left = context.deadline.remaining().unwrap_or(self.0.options.request_timeout);
        let send_by = context.deadline.or_after(left / untried);
        let deadline = if repeat == Repeat::Harmless { send_by } else { context.deadline };
        Context { deadline, send_by, cancel: context.cancel.clone() }
    }

    /// Whether an endpoint (by position) answers a small read, be it with a refusal.
    pub(crate) fn answers(&self, position: usize, key: &[u8]) -> bool {
        let (_, endpoint) = self.0.endpoints.at(position, 0);
        let read = RangeRequest { keys_only: true, limit: 1, ..RangeRequest::new(KeyRange::key(key)) };
        let context = self.context_for(Deadline::after(SIGN_OF_LIFE), self.closed());
        let answer = endpoint.transport.call(&Request::Range(read), &context);
        answer.map_or_else(|error| retry::after(&error, Repeat::Harmless) != Next::Elsewhere, |_| true)
    }

    /// Lets the next call start at the endpoint behind this one.
    pub(crate) fn avoid(&self, position: usize) {
        let endpoints = &self.0.endpoints;
        if endpoints.first() == position {
            endpoints.prefer((position + 1) % endpoints.len());
        }
    }

    /// Reads one key; `None` when there is no such key.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn get(&self, key: impl Into<Vec<u8>>) -> Result<Option<KeyValue>> {
        Ok(self.range(RangeRequest::new(KeyRange::key(key)))?.1.kvs.pop())
    }

    /// Reads keys, and tells at which revision.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn range(&self, request: RangeRequest) -> Result<(i64, RangeReply)> {
        self.range_in(&self.context(), request)
    }

    pub(crate) fn range_in(&self, context: &Context, request: RangeRequest) -> Result<(i64, RangeReply)> {
        let reply = self.call_in(context, &Request::Range(request), Repeat::Harmless)?;
        match reply.body {
            Body::Range(found) => Ok((reply.revision, found)),
            other => Err(mismatch(&other)),
        }
    }

    /// Writes one key, attached to a lease or to none (0). Returns the new revision.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn put(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>, lease: i64) -> Result<i64> {
        let put = PutRequest { key: key.into(), value: value.into(), lease };
        Ok(self.call(&Request::Put(put))?.revision)
    }

    /// Deletes keys. Returns how many there were.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn delete(&self, range: KeyRange) -> Result<i64> {
        match self.call(&Request::Delete(DeleteRequest { range }))?.body {
            Body::Delete { deleted } => Ok(deleted),
            other => Err(mismatch(&other)),
        }
    }

    /// Runs a transaction, and tells at which revision.
    ///
    /// # Errors
    /// As [`Client::call`]. Conditions that do not hold are no error.
    pub fn txn(&self, txn: TxnRequest) -> Result<(i64, TxnReply)> {
        let request = Request::Txn(txn);
        self.txn_in(&self.context(), &request, request.repeat())
    }

    pub(crate) fn txn_in(
        &self,
        context: &Context,
        request: &Request,
        repeat: Repeat,
    ) -> Result<(i64, TxnReply)> {
        let reply = self.call_in(context, request, repeat)?;
        match reply.body {
            Body::Txn(txn) => Ok((reply.revision, txn)),
            other => Err(mismatch(&other)),
        }
    }

    /// The name of the cluster's leader (its id when it has no name); `None` while there is none.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn leader(&self) -> Result<Option<String>> {
        match self.call(&Request::Leader)?.body {
            Body::Leader(name) => Ok(name),
            other => Err(mismatch(&other)),
        }
    }

    /// Watches keys from a revision on; 0: from now on.
    pub fn watch(&self, range: KeyRange, start_revision: i64) -> Watcher {
        Watcher::new(self.clone(), WatchRequest { range, start_revision })
    }
}

impl Request {
    fn is_lease_change(&self) -> bool {
        matches!(
            self,
            Request::LeaseGrant { .. } | Request::LeaseRevoke { .. } | Request::LeaseKeepAlive { .. }
        )
    }
}

fn mismatch(body: &Body) -> Error {
    Error::new(ErrorKind::BadReply, format!("a reply of another kind: {body:?}"))
}

/// The faults of one call.
struct Faults {
    /// The last one of each endpoint.
    last: Vec<Error>,
    /// Unknown if any attempt's was: a later one that was not even sent does not undo it.
    outcome: Outcome,
}

impl Faults {
    fn note(&mut self, error: Error) {
        if self.outcome != Outcome::Unknown {
            self.outcome = error.outcome();
        }
        self.last.retain(|earlier| earlier.endpoint() != error.endpoint());
        self.last.push(error);
    }

    /// The last fault, with those of the other endpoints in its text.
    fn into_error(mut self) -> Error {
        let Some(last) = self.last.pop() else { return Error::closed() };
        let last = last.outcome_is(self.outcome);
        let others: Vec<String> = self
            .last
            .iter()
            .map(|error| format!("{} ({})", error.endpoint().unwrap_or_default(), error.fault()))
            .collect();
        if others.is_empty() { last } else { last.also(&format!("tried before: {}", others.join(", "))) }
    }
}

/// How long a wait may last at most before it is looked whether the server is still there.
pub(crate) const LOOK_AROUND: Duration = Duration::from_secs(5);

/// How long a server that said nothing for a while may take to answer a small read.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
