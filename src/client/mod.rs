//! The client core: endpoints, failover and retries, users, leases, watches that resume.

mod auth;
mod call;
mod clock;
mod counters;
pub(crate) mod endpoints;
mod identity;
pub(crate) mod lease;
mod namespace;
mod operation;
mod pages;
pub(crate) mod patrol;
mod pool;
mod pushed;
pub mod queue;
mod recovery;
pub mod retry;
pub(crate) mod session;
mod submit;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::auth::Auth;
use self::clock::Clock;
pub use self::counters::Counted;
use self::counters::Counters;
use self::endpoints::Endpoints;
use self::identity::Identity;
pub use self::lease::Lease;
use self::namespace::Namespace;
pub use self::operation::{Answer, Operation, Steps, Told};
pub use self::pages::Pages;
use self::patrol::Patrol;
use self::pool::Pool;
use self::pushed::Openings;
pub use self::pushed::{News, PushedWatch, Reader, WatchMode};
use self::recovery::Recovery;
use self::retry::Budget;
use self::session::Sessions;
use self::submit::Ops;
pub use self::submit::{Done, Submitted};
pub use self::watch::Watcher;
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::options::Options;
use crate::sys;
use crate::threads::Threads;
use crate::transport::Context;
use crate::wait::{Cancel, Deadline};

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
    namespace: Namespace,
    auth: Auth,
    identity: Identity,
    budget: Budget,
    recovery: Recovery,
    /// The boot time, in milliseconds, at which the list of members is due.
    next_sync: AtomicU64,
    closed: Cancel,
    ops: Ops,
    openings: Openings,
    sessions: Sessions,
    patrol: Patrol,
    pool: Pool,
    clock: Clock,
    threads: Threads,
    counters: Counters,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.clock.stop();
        self.pool.stop();
    }
}

/// How long a wait may last at most before it is looked whether the server is still there.
pub(crate) const LOOK_AROUND: Duration = Duration::from_secs(5);

/// How long a server that said nothing for a while may take to answer a small read.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

impl Client {
    /// Reads the options, and the files that they name. Nothing is contacted yet.
    ///
    /// # Errors
    /// `InvalidArgument` or `Unsupported` when the endpoint list or another option can't be right.
    pub fn open(options: Options) -> Result<Self> {
        let threads = Threads::default();
        Ok(Client(Arc::new(Inner {
            endpoints: Endpoints::open(&options, &threads)?,
            namespace: Namespace::new(&options.namespace),
            auth: Auth::open(&options)?,
            identity: Identity::default(),
            budget: Budget::new(options.retry_budget),
            recovery: Recovery::default(),
            next_sync: AtomicU64::new(0),
            closed: Cancel::new(),
            ops: Ops::default(),
            openings: Openings::default(),
            sessions: Sessions::default(),
            patrol: Patrol::default(),
            counters: Counters::default(),
            pool: Pool::new(threads.clone()),
            clock: Clock::new(threads.clone()),
            threads,
            options,
        })))
    }

    /// Whether this is a clone of the other one.
    pub fn is_same(&self, other: &Client) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Ends all calls and waits, in all threads, now and later, that are not told to go by another cancel token
    /// than [`Client::closed`]. Does not wait.
    pub fn close(&self) {
        self.0.closed.trigger();
        self.0.ops.close();
        self.0.openings.close();
        self.0.sessions.close();
        // An alarm that is set would keep the client, and its threads, until it goes off.
        self.0.pool.stop();
        self.0.clock.stop();
    }

    /// The same, but what was submitted may end first, and all threads of the client are waited for, except for one
    /// that calls this.
    ///
    /// # Errors
    /// `Timeout` when something had to be cut off, or a thread is not gone yet.
    pub fn shut_down(&self, deadline: Deadline) -> Result<()> {
        self.0.sessions.revoke();
        let in_time = self.0.ops.wait(deadline);
        self.close();
        if self.end_threads(deadline) && in_time {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Timeout, "not all that was under way ended in time")
            .during("close the client")
            .advise("it is closed all the same")
            .for_good())
    }

    /// Waits for the threads of a client that was closed. `false`: not all have ended in time.
    pub fn end_threads(&self, deadline: Deadline) -> bool {
        self.0.threads.end(deadline)
    }

    /// Lets a thread of the pool do something that may wait, or must not be done where it turned up.
    pub(crate) fn defer(&self, job: impl FnOnce() + Send + 'static) {
        // Without a thread, or after the end, there is nothing to be done any more.
        let _ = self.0.pool.run(Box::new(job));
    }

    /// Does something later, unless it is taken back.
    pub(crate) fn later(&self, time: Duration, job: impl FnOnce() + Send + 'static) -> Option<Alarmed> {
        let set = self.0.clock.set(Instant::now() + time, Box::new(job)).ok()?;
        Some(Alarmed { client: self.clone(), set })
    }

    /// Whether it has a store of this process instead of servers.
    pub fn is_embedded(&self) -> bool {
        self.0.endpoints.are_embedded()
    }

    /// One hold more was lost.
    pub(crate) fn count_lost_hold(&self) {
        self.0.counters.holds_lost.add();
    }

    /// What the client has been through, as a number.
    pub fn counter(&self, counted: Counted) -> u64 {
        let counters = &self.0.counters;
        match counted {
            Counted::Connections => self.0.endpoints.connections(),
            Counted::Retries => counters.retries.get(),
            Counted::WatchesResumed => counters.watches_resumed.get(),
            Counted::WatchesParked => counters.watches_parked.get(),
            Counted::HoldsLost => counters.holds_lost.get(),
            Counted::Open => (self.0.ops.len() + self.0.openings.len()) as u64,
        }
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Triggered when the client is closed.
    pub fn closed(&self) -> &Cancel {
        &self.0.closed
    }

    /// The context of an ordinary call: the option's timeout, ended by closing the client. An embedded store
    /// answers at once: should it fail to, the time runs from then on.
    pub fn context(&self) -> Context<'_> {
        self.context_until(Deadline::NEVER, self.closed())
    }

    /// The same until a deadline of the caller's, and with a token of the caller's.
    fn context_until<'a>(&self, deadline: Deadline, cancel: &'a Cancel) -> Context<'a> {
        let deadline = match deadline {
            Deadline::NEVER if !self.0.endpoints.are_embedded() => {
                Deadline::after(self.0.options.request_timeout)
            }
            deadline => deadline,
        };
        let retry_limit = self.0.options.retry_limit;
        Context { deadline, send_by: deadline, cancel, token: None, retry_limit }
    }

    /// The context of a call that puts things in order: as long as an ordinary one, also on a closed client.
    pub fn parting_context(&self) -> Context<'static> {
        self.context_for(Deadline::NEVER, Cancel::NEVER)
    }

    /// The option's timeout or `deadline`, whichever comes first, and a token of the caller's.
    pub fn context_for<'a>(&self, deadline: Deadline, cancel: &'a Cancel) -> Context<'a> {
        self.context_until(deadline.or_after(self.0.options.request_timeout), cancel)
    }

    /// Whether an endpoint (by position) answers a small read, be it with a refusal. A wait that is over or
    /// cancelled before says nothing against it.
    pub(crate) fn answers(&self, position: usize, deadline: Deadline, cancel: &Cancel) -> bool {
        let context = self.context_for(deadline.or_after(SIGN_OF_LIFE), cancel);
        let answer = self.call_at(position, &context, &Request::Range(smallest_read()));
        let answers = answer.map_or_else(|error| !retry::is_endpoints_fault(&error), |_| true);
        answers || deadline.passed() || cancel.is_triggered()
    }

    /// Lets other endpoints than this one come first for a while.
    pub(crate) fn avoid(&self, position: usize) {
        self.0.endpoints.failed(position);
    }

    /// The same when a stream from this endpoint broke, if that speaks against it.
    fn avoid_broken(&self, position: usize, error: &Error) {
        if retry::is_endpoints_fault(error) {
            self.0.endpoints.broke(position);
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
    /// As [`Client::call`]. `Compacted` and `FutureRevision` when there is no such revision to read at.
    pub fn range(&self, request: RangeRequest) -> Result<(i64, RangeReply)> {
        self.range_in(&self.context(), request)
    }

    pub(crate) fn range_in(&self, context: &Context, request: RangeRequest) -> Result<(i64, RangeReply)> {
        found(self.call_in(context, &Request::Range(request), Repeat::Harmless)?)
    }

    /// The same, for the client's own purposes.
    fn range_for_itself(&self, context: &Context, request: RangeRequest) -> Result<(i64, RangeReply)> {
        found(self.look_in(context, &Request::Range(request), Repeat::Harmless)?)
    }

    /// Writes one key, attached to a lease or to none (0). Returns the new revision.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn put(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>, lease: i64) -> Result<i64> {
        let put = PutRequest { lease, ..PutRequest::new(key, value) };
        Ok(self.call(&Request::Put(put))?.header.revision)
    }

    /// Deletes keys. Returns how many there were.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn delete(&self, range: KeyRange) -> Result<i64> {
        Ok(self.delete_range(DeleteRequest::new(range))?.1.deleted)
    }

    /// Deletes keys, and tells at which revision.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn delete_range(&self, request: DeleteRequest) -> Result<(i64, DeleteReply)> {
        let reply = self.call(&Request::Delete(request))?;
        match reply.body {
            Body::Delete(deleted) => Ok((reply.header.revision, deleted)),
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
            Body::Txn(txn) => Ok((reply.header.revision, txn)),
            other => Err(mismatch(&other)),
        }
    }

    /// Forgets all history before `revision`: it can't be read or watched any more.
    ///
    /// # Errors
    /// As [`Client::call`]. `Compacted` when that was done before, `FutureRevision`.
    pub fn compact(&self, revision: i64) -> Result<()> {
        self.call(&Request::Compact { revision, physical: false }).map(|_| ())
    }

    /// The members of the cluster.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn members(&self) -> Result<Vec<Member>> {
        self.members_in(&self.context())
    }

    /// Makes the members of the cluster, as they advertise themselves to clients, the list of endpoints, and tells
    /// it. Learners and members that have not started are left out.
    ///
    /// # Errors
    /// As [`Client::call`]. `Unavailable` when no member can be used; the list is as before then.
    pub fn sync_members(&self) -> Result<Vec<String>> {
        self.sync_members_in(&self.context())
    }

    fn sync_members_in(&self, context: &Context) -> Result<Vec<String>> {
        if self.0.endpoints.are_embedded() {
            return Ok(self.endpoints());
        }
        let members = self.members_in(context)?;
        let voters = members.into_iter().filter(|member| !member.is_learner);
        let urls: Vec<String> = voters.flat_map(|member| member.client_urls).collect();
        let listed = match urls.is_empty() {
            true => Err(Error::new(ErrorKind::Unavailable, "no member tells where clients reach it")),
            false => self.0.endpoints.relist(&urls, &self.0.options),
        };
        listed.map_err(|error| error.during("list the members"))?;
        Ok(self.endpoints())
    }

    /// Does that if the option says that it is time. Failing, all stays as it is until the next time.
    fn sync_if_due(&self) {
        if self.sync_is_due() {
            let _ = self.sync_members();
        }
    }

    /// Whether it is time; then the caller is the one to do it.
    fn sync_is_due(&self) -> bool {
        let interval = self.0.options.sync_interval;
        if interval.is_zero() {
            return false;
        }
        let (now, due) = (sys::boot_time(), self.0.next_sync.load(Ordering::Relaxed));
        let next = (now + interval).as_millis() as u64;
        now.as_millis() as u64 >= due
            && self.0.next_sync.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The endpoints that are asked, in the order of the list.
    pub fn endpoints(&self) -> Vec<String> {
        self.0.endpoints.listed().map(|(_, endpoint)| endpoint.name.clone()).collect()
    }

    fn members_in(&self, context: &Context) -> Result<Vec<Member>> {
        match self.call_in(context, &Request::Members, Repeat::Harmless)?.body {
            Body::Members(members) => Ok(members),
            other => Err(mismatch(&other)),
        }
    }

    /// How each endpoint of the list is, in its order; each is given the request timeout.
    pub fn status(&self) -> Vec<(String, Result<(Header, Status)>)> {
        let listed = self.0.endpoints.listed();
        listed
            .map(|(position, endpoint)| (endpoint.name.clone(), self.status_at(position, &self.context())))
            .collect()
    }

    fn status_at(&self, position: usize, context: &Context) -> Result<(Header, Status)> {
        let reply = self.call_at(position, context, &Request::Status)?;
        match reply.body {
            Body::Status(status) => Ok((reply.header, status)),
            other => Err(mismatch(&other)),
        }
    }

    /// The same within `context`: each endpoint gets its share of the time that is left.
    fn statuses(&self, context: &Context) -> Vec<(String, Result<(Header, Status)>)> {
        let listed = self.0.endpoints.listed().enumerate();
        let ask = |(asked, (position, endpoint)): (usize, (usize, &endpoints::Endpoint))| {
            let share = self.share(context, Repeat::Harmless, asked);
            (endpoint.name.clone(), self.status_at(position, &share))
        };
        listed.map(ask).collect()
    }

    /// The alarms that are raised.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn alarms(&self) -> Result<Vec<Alarm>> {
        self.alarm(AlarmAction::Get, Alarm { member: 0, kind: AlarmKind::Any })
    }

    /// Takes back all alarms, and tells which there were. One whose reason is still there comes back.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn disarm(&self) -> Result<Vec<Alarm>> {
        let raised = self.alarms()?;
        raised.iter().try_for_each(|&alarm| self.alarm(AlarmAction::Deactivate, alarm).map(|_| ()))?;
        Ok(raised)
    }

    fn alarm(&self, action: AlarmAction, alarm: Alarm) -> Result<Vec<Alarm>> {
        match self.call(&Request::Alarm { action, alarm })?.body {
            Body::Alarms(alarms) => Ok(alarms),
            other => Err(mismatch(&other)),
        }
    }

    /// The name of the cluster's leader (its id when it has no name); `None` while there is none.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn leader(&self) -> Result<Option<String>> {
        let context = self.context();
        let status = match self.call_in(&context, &Request::Status, Repeat::Harmless)?.body {
            Body::Status(status) => status,
            other => return Err(mismatch(&other)),
        };
        if status.leader == 0 {
            return Ok(None);
        }
        let members = self.members_in(&context)?;
        let leader = members.into_iter().find(|member| member.id == status.leader);
        let name = leader.map(|member| member.name).filter(|name| !name.is_empty());
        Ok(Some(name.unwrap_or_else(|| format!("{:x}", status.leader))))
    }

    /// Watches keys.
    pub fn watch(&self, request: WatchRequest) -> Watcher {
        Watcher::new(self.clone(), request)
    }
}

/// Something that will be done. Dropping this takes it back.
pub(crate) struct Alarmed {
    client: Client,
    set: clock::Time,
}

impl Drop for Alarmed {
    fn drop(&mut self) {
        self.client.0.clock.unset(self.set);
    }
}

/// A read of one key that all clients may ask for alike.
fn smallest_read() -> RangeRequest {
    RangeRequest { count_only: true, ..RangeRequest::new(KeyRange::key([0])) }
}

fn found(reply: Reply) -> Result<(i64, RangeReply)> {
    match reply.body {
        Body::Range(found) => Ok((reply.header.revision, found)),
        other => Err(mismatch(&other)),
    }
}

fn mismatch(body: &Body) -> Error {
    Error::new(ErrorKind::BadReply, format!("a reply of another kind: {body:?}"))
}

#[cfg(test)]
mod tests;
