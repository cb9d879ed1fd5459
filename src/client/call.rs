//! One call: attempts on one endpoint after the other, as the retry policy says, until one succeeds.

use std::time::Duration;

use super::Client;
use super::auth::Token;
use super::endpoints::Endpoint;
use super::identity::Seen;
use super::retry::{self, Attempts, Next};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::log;
use crate::model::*;
use crate::sys;
use crate::transport::{Context, WatchStream};
use crate::wait::{self, Deadline, Mailbox};

impl Client {
    /// Runs a request, within the option's timeout.
    ///
    /// # Errors
    /// See [`Error::outcome`] for whether a failed write may have had its effect.
    pub fn call(&self, request: &Request) -> Result<Reply> {
        self.sync_if_due();
        self.call_in(&self.context(), request, request.repeat())
    }

    /// Runs a request within `context`. `repeat` may say of a write that doing it twice is harmless.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_in(&self, context: &Context, request: &Request, repeat: Repeat) -> Result<Reply> {
        if request.is_about_keys() {
            self.0.identity.tell().map_err(|error| error.during(request.describe()))?;
        }
        self.look_in(context, request, repeat).inspect_err(|error| self.0.identity.told(error))
    }

    /// The same, for the client's own purposes.
    pub(crate) fn look_in(&self, context: &Context, request: &Request, repeat: Repeat) -> Result<Reply> {
        let namespace = &self.0.namespace;
        let result = if namespace.is_none() {
            self.call_as_is(context, request, repeat)
        } else {
            let reply = self.call_as_is(context, &namespace.enter(request), repeat);
            reply.map(|mut reply| {
                namespace.leave(&mut reply);
                reply
            })
        };
        result.map_err(|error| self.told(request, error))
    }

    /// What the caller of a request is told when it failed.
    pub(super) fn told(&self, request: &Request, error: Error) -> Error {
        // A read has no effect that could be unknown.
        let unknown = error.outcome() == Outcome::Unknown;
        let error = if unknown && request.reads_only() { error.outcome_is(Outcome::NotSent) } else { error };
        let error = match (request, error.kind()) {
            (Request::Compact { .. }, ErrorKind::Compacted) => error.advise("that history is gone already"),
            _ => error,
        };
        error.during(request.describe())
    }

    fn call_as_is(&self, context: &Context, request: &Request, repeat: Repeat) -> Result<Reply> {
        self.call_on(Course::default(), context, request, repeat)
    }

    /// Runs a request as servers see it, after what was tried before.
    pub(super) fn call_on(
        &self,
        course: Course,
        context: &Context,
        request: &Request,
        repeat: Repeat,
    ) -> Result<Reply> {
        let seen = self.0.identity.seen();
        let call = |endpoint: &Endpoint, context: &Context| {
            if !request.reads_only() {
                self.recognise(endpoint, context)?;
            }
            endpoint.transport.call(request, context)
        };
        let (reply, position) = self.attempt(course, context, repeat, shows_touch(request), call)?;
        self.check_identity(position, &reply.header, seen, request.is_linearizable())?;
        Ok(reply)
    }

    /// Asks one endpoint (by position), and no other one.
    pub(super) fn call_at(&self, position: usize, context: &Context, request: &Request) -> Result<Reply> {
        let endpoint = self.0.endpoints.at(position);
        let entered = self.0.namespace.enter(request);
        let call = |endpoint: &Endpoint, context: &Context| endpoint.transport.call(&entered, context);
        let mut reply = self.try_once(endpoint, context, &call);
        if let Err(Failed { error, token: Some(token), .. }) = &reply
            && retry::is_about_token(error)
        {
            self.0.auth.forget(token);
            reply = self.try_once(endpoint, context, &call);
        }
        let mut reply = reply.map_err(|failed| failed.error.at(&endpoint.name).during(request.describe()))?;
        self.0.namespace.leave(&mut reply);
        Ok(reply)
    }

    /// Opens one watch on one endpoint, which is told too; there is no resuming.
    pub(crate) fn open_watch(
        &self,
        context: &Context,
        request: &WatchRequest,
        sink: impl Fn() -> WatchSink,
    ) -> Result<(WatchStream, usize)> {
        self.open_watch_if(context, request, sink, |_, _, _, _| Ok(()))
    }

    /// The same, if its start is still there: etcd confirms a watch first, and looks for its start later. `Compacted` has
    /// the oldest revision that is kept.
    pub(super) fn open_kept_watch(
        &self,
        context: &Context,
        request: &WatchRequest,
        sink: impl Fn() -> WatchSink,
    ) -> Result<(WatchStream, usize)> {
        let opened = self.open_watch_if(context, request, sink, check_kept);
        opened.map_err(|error| self.told_oldest(context, &request.range, error))
    }

    fn open_watch_if(
        &self,
        context: &Context,
        request: &WatchRequest,
        sink: impl Fn() -> WatchSink,
        check: impl Fn(&Endpoint, &Context, &WatchRequest, &Header) -> Result<()>,
    ) -> Result<(WatchStream, usize)> {
        let request = self.0.namespace.enter_watch(request);
        let seen = self.0.identity.seen();
        let open = |endpoint: &Endpoint, context: &Context| {
            let sink = self.outside_namespace(sink());
            let stream = endpoint.transport.watch(&request, sink, context)?;
            check(endpoint, context, &request, &stream.header)?;
            Ok(stream)
        };
        let (stream, position) = self
            .attempt(Course::default(), context, Repeat::Harmless, false, open)
            .map_err(|error| error.outcome_is(Outcome::NotSent))?;
        self.0.endpoints.confirmed(position);
        self.check_identity(position, &stream.header, seen, false)?;
        Ok((stream, position))
    }

    /// A sink that sees changes as the caller does.
    fn outside_namespace(&self, mut sink: WatchSink) -> WatchSink {
        if self.0.namespace.is_none() {
            return sink;
        }
        let client = self.clone();
        Box::new(move |item| {
            sink(item.map(|mut batch| {
                client.0.namespace.leave_batch(&mut batch);
                batch
            }))
        })
    }

    /// Refuses an answer of another cluster, or of a history that went back.
    pub(super) fn check_identity(
        &self,
        position: usize,
        header: &Header,
        seen: Seen,
        linearizable: bool,
    ) -> Result<()> {
        let endpoint = self.0.endpoints.at(position);
        let ours = self.0.identity.check_cluster(header.cluster_id);
        endpoint.set_foreign(ours.is_err());
        let same = ours.and_then(|()| self.0.identity.check_history(header.revision, seen, linearizable));
        same.map_err(|error| {
            self.0.endpoints.failed(position);
            error.at(&endpoint.name)
        })
    }

    /// Before anything is changed on an endpoint that was of another cluster: whether it still is.
    fn recognise(&self, endpoint: &Endpoint, context: &Context) -> Result<()> {
        if !endpoint.is_foreign() {
            return Ok(());
        }
        let status = endpoint.transport.call(&Request::Status, context);
        let ours = status.and_then(|reply| self.0.identity.check_cluster(reply.header.cluster_id));
        ours.map_err(|error| error.outcome_is(Outcome::NotSent))?;
        endpoint.set_foreign(false);
        Ok(())
    }

    /// Which of the cluster's histories this is, counted.
    pub(crate) fn history(&self) -> u64 {
        self.0.identity.seen().history
    }

    /// Refuses what began in an earlier history.
    pub(crate) fn check_same_history(&self, history: u64) -> Result<()> {
        self.0.identity.check_same(history).map_err(|error| error.outcome_is(Outcome::NotSent))
    }

    /// Whether an endpoint (by position) still has the history that went up to `seen`: asks it for what the
    /// cluster as a whole has, about a key that the user may read.
    pub(super) fn check_history(
        &self,
        position: usize,
        context: &Context,
        range: &KeyRange,
        seen: Seen,
    ) -> Result<()> {
        let read = RangeRequest { count_only: true, ..RangeRequest::new(key_of(range)) };
        let reply = self.call_at(position, context, &Request::Range(read)).inspect_err(|error| {
            // One that is not in touch with the others: they come first now.
            if retry::is_endpoints_fault(error) {
                self.avoid(position);
            }
        })?;
        self.check_identity(position, &reply.header, seen, true)
    }

    /// What was compacted, with the oldest revision that is kept, which etcd tells watches alone; other errors as they
    /// are.
    pub(super) fn told_oldest(&self, context: &Context, range: &KeyRange, error: Error) -> Error {
        if error.kind() != ErrorKind::Compacted || error.compact_revision().is_some() {
            return error;
        }
        let told = Mailbox::default();
        let sink = || -> WatchSink {
            let told = told.clone();
            Box::new(move |item| {
                told.push(item);
                true
            })
        };
        let ended = match self.open_watch(context, &WatchRequest::new(key_of(range), 1), sink) {
            Ok(_stream) => told.recv(context.deadline, context.cancel).ok().and_then(Result::err),
            Err(ended) => Some(ended),
        };
        ended.filter(|ended| ended.compact_revision().is_some()).unwrap_or(error)
    }

    /// Runs `attempt` on one endpoint after the other, as the retry policy says, until it succeeds. Tells where.
    /// `in_touch`: a success shows that the endpoint is in touch with the others, so that it comes first now.
    fn attempt<T>(
        &self,
        mut course: Course,
        context: &Context,
        repeat: Repeat,
        in_touch: bool,
        attempt: impl Fn(&Endpoint, &Context) -> Result<T>,
    ) -> Result<(T, usize)> {
        let endpoints = &self.0.endpoints;
        if endpoints.len() == 0 {
            return Err(Error::invalid("the list of servers is empty"));
        }
        let mut context = *context;
        loop {
            if context.cancel.is_triggered() {
                return Err(Error::closed().outcome_is(course.outcome()));
            }
            let position = course.again.take().unwrap_or_else(|| endpoints.next(&course.asked));
            let endpoint = endpoints.at(position);
            let limited = self.share(&context, repeat, course.asked.len());
            match self.try_once(endpoint, &limited, &attempt) {
                Ok(value) => {
                    self.succeeded(position, in_touch);
                    return Ok((value, position));
                }
                Err(failed) => {
                    if context.deadline == Deadline::NEVER {
                        let retry_limit = context.retry_limit;
                        context =
                            Context { retry_limit, ..self.context_for(Deadline::NEVER, context.cancel) };
                    }
                    if !self.goes_on(&mut course, &context, repeat, position, failed) {
                        return Err(course.into_error());
                    }
                }
            }
        }
    }

    /// An endpoint has answered.
    pub(super) fn succeeded(&self, position: usize, in_touch: bool) {
        if in_touch {
            self.0.endpoints.answered(position);
        }
        self.0.budget.earn();
    }

    /// Logs in if need be, then tries. Nothing is sent before the login is done: so long, there is time only to
    /// ask another endpoint.
    fn try_once<T>(
        &self,
        endpoint: &Endpoint,
        context: &Context,
        attempt: &impl Fn(&Endpoint, &Context) -> Result<T>,
    ) -> std::result::Result<T, Failed> {
        if !self.0.auth.has_user() {
            let context = Context { token: self.0.auth.given(), ..*context };
            return attempt(endpoint, &context).map_err(|error| Failed {
                error,
                token: None,
                elsewhere: false,
            });
        }
        let login = Context { deadline: context.send_by, ..*context };
        let token = self.0.auth.token(endpoint, &login)?;
        let context = Context { token: token.secret(), ..*context };
        attempt(endpoint, &context).map_err(|error| Failed {
            error,
            token: Some(token.clone()),
            elsewhere: false,
        })
    }

    /// Notes a failed attempt, and waits where the policy says so. Tells whether there is to be another one.
    pub(super) fn goes_on(
        &self,
        course: &mut Course,
        context: &Context,
        repeat: Repeat,
        position: usize,
        failed: Failed,
    ) -> bool {
        let error = failed.error.at(&self.0.endpoints.at(position).name);
        let own_fault = retry::is_endpoints_fault(&error) && !failed.elsewhere;
        if own_fault && !context.cancel.is_triggered() {
            self.0.endpoints.failed(position);
        }
        log::debug!("attempt {} failed: {error}", course.asked.len() + 1);
        course.asked.push(position);
        let attempts = Attempts {
            made: course.asked.len(),
            endpoints: self.0.endpoints.len(),
            limit: context.retry_limit as usize,
            budget: self.0.budget.has_some(),
            can_log_in: failed.token.is_some() && !course.logged_in,
        };
        let next = retry::after(&error, repeat, &attempts);
        course.note(error);
        if next == Next::GiveUp || context.deadline.passed() {
            return false;
        }
        self.0.counters.retries.add();
        if next == Next::LogIn {
            course.logged_in = true;
            course.again = course.asked.pop();
            failed.token.iter().for_each(|token| self.0.auth.forget(token));
            return true;
        }
        if attempts.made >= attempts.endpoints {
            self.0.budget.spend();
        }
        next == Next::Elsewhere || course.pause(context)
    }

    /// How long one attempt may take: so long that there is time for the endpoints not tried yet. What must
    /// not be repeated gets all the time once it is sent.
    pub(super) fn share<'a>(&self, context: &Context<'a>, repeat: Repeat, tried: usize) -> Context<'a> {
        let untried = self.0.endpoints.len().saturating_sub(tried);
        if untried <= 1 {
            return *context;
        }
        let left = context.deadline.remaining().unwrap_or(self.0.options.request_timeout);
        let send_by = context.deadline.or_after(left / untried as u32);
        let deadline = if repeat == Repeat::Harmless { send_by } else { context.deadline };
        Context { deadline, send_by, ..*context }
    }
}

/// Whether the start of a watch that an endpoint has confirmed is still there.
fn check_kept(
    endpoint: &Endpoint,
    context: &Context,
    watch: &WatchRequest,
    confirmed: &Header,
) -> Result<()> {
    let is_past = (1..=confirmed.revision).contains(&watch.start_revision);
    if !is_past {
        return Ok(());
    }
    let read = Request::Range(RangeRequest {
        revision: watch.start_revision,
        count_only: true,
        serializable: true,
        ..RangeRequest::new(key_of(&watch.range))
    });
    match endpoint.transport.call(&read, context) {
        // Another member that lags behind, where there is one address for several.
        Err(error) if error.kind() == ErrorKind::FutureRevision => Ok(()),
        reply => reply.map(drop),
    }
}

/// A key of a range: who may read the range may read it.
fn key_of(range: &KeyRange) -> KeyRange {
    KeyRange::key(if range.start.is_empty() { &[0] } else { &range.start[..] })
}

/// Whether an answer shows that the member is in touch with the others, not just what it has.
pub(super) fn shows_touch(request: &Request) -> bool {
    request.is_linearizable() || !request.reads_only()
}

/// A failed attempt.
pub(super) struct Failed {
    pub error: Error,
    /// What was sent with it.
    pub token: Option<Token>,
    /// It says nothing against the endpoint: a login that another call was busy with failed.
    pub elsewhere: bool,
}

/// How one call went so far.
#[derive(Default)]
pub(super) struct Course {
    /// The positions asked, in order.
    asked: Vec<usize>,
    /// The one to ask again, after logging in.
    again: Option<usize>,
    logged_in: bool,
    pauses: u32,
    /// The last fault of each endpoint.
    faults: Vec<Error>,
    /// An attempt's outcome is unknown: a later one that was not even sent does not undo it.
    unknown: bool,
}

impl Course {
    fn outcome(&self) -> Outcome {
        match self.faults.last() {
            _ if self.unknown => Outcome::Unknown,
            Some(last) => last.outcome(),
            None => Outcome::NotSent,
        }
    }

    fn note(&mut self, error: Error) {
        self.unknown |= error.outcome() == Outcome::Unknown;
        self.faults.retain(|earlier| earlier.endpoint() != error.endpoint());
        self.faults.push(error);
    }

    /// Waits a little; `false` when there is no time for it.
    fn pause(&mut self, context: &Context) -> bool {
        let pause = retry::backoff(self.pauses, sys::random_id() as u64);
        self.pauses += 1;
        let in_time = context.deadline.remaining().is_none_or(|left: Duration| left > pause);
        if in_time {
            wait::sleep(pause, context.cancel);
        }
        in_time
    }

    /// The last fault, with those of the other endpoints in its text.
    pub fn into_error(mut self) -> Error {
        let outcome = self.outcome();
        let Some(last) = self.faults.pop() else { return Error::closed() };
        let last = last.outcome_is(outcome);
        let other = |error: &Error| format!("{} ({})", error.endpoint().unwrap_or_default(), error.fault());
        let others: Vec<String> = self.faults.iter().map(other).collect();
        if others.is_empty() { last } else { last.also(&format!("tried before: {}", others.join(", "))) }
    }
}
