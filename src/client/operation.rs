//! What a program asks for: a request as it is, or one that takes more than a request. An operation is a value: it can
//! be run, by a thread that waits, or started, and then somebody is told how it ended.

use std::sync::Arc;

use super::submit::Submitted;
use super::{Client, mismatch};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::sys;
use crate::transport::Context;
use crate::wait::{Cancel, Deadline};

/// What a recipe does with a client, as long as it takes.
pub type Steps = Arc<dyn Fn(&Client, &Context) -> Result<Answer> + Send + Sync>;

/// Something to do that has one answer.
#[derive(Clone)]
pub enum Operation {
    /// What servers know themselves.
    Request(Arc<Request>),
    /// A put or a deletion, if its conditions hold.
    Conditional(Arc<Request>),
    /// A put under a new lease, in seconds, of its own.
    PutFor(PutRequest, Vec<Compare>, i64),
    /// How each endpoint of the list is.
    StatusOfAll,
    /// Makes the members of the cluster the list of endpoints.
    SyncMembers,
    /// What a recipe does.
    Recipe(Steps),
    /// What a recipe finds; it changes nothing.
    Look(Steps),
    /// Takes back all alarms of a member (0: of any) and a kind (or any): servers know only one at a time.
    Disarm(Alarm),
}

/// How it went.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The server's reply.
    Reply(Reply),
    /// The reply to a put under a new lease, and that lease.
    PutFor(Reply, i64),
    /// The endpoints, and how each is.
    Statuses(Vec<(String, Result<(Header, Status)>)>),
    /// The endpoints that are asked from now on.
    Endpoints(Vec<String>),
    /// Places in a queue with the seconds that their leases last, and the revision at which that was so.
    Places(i64, Vec<(KeyValue, i64)>),
    /// It is done.
    Done,
}

/// Told how an operation ended: once, on any thread, without a lock held. It never blocks.
pub type Told = Box<dyn FnOnce(Result<Answer>) + Send>;

impl Operation {
    /// Whether it changes nothing on servers.
    pub fn reads_only(&self) -> bool {
        match self {
            Operation::Request(request) => request.reads_only(),
            Operation::StatusOfAll | Operation::SyncMembers | Operation::Look(_) => true,
            Operation::Conditional(_)
            | Operation::PutFor(..)
            | Operation::Recipe(_)
            | Operation::Disarm(_) => false,
        }
    }

    /// A request as it is.
    pub fn request(request: Request) -> Self {
        Operation::Request(Arc::new(request))
    }

    /// A put or deletion that is done only if all of this holds; without conditions, in any case.
    pub fn if_all(compares: Vec<Compare>, op: Op) -> Self {
        if compares.is_empty() {
            return Self::request(match op {
                Op::Range(range) => Request::Range(range),
                Op::Put(put) => Request::Put(put),
                Op::Delete(delete) => Request::Delete(delete),
                Op::Txn(txn) => Request::Txn(txn),
            });
        }
        Operation::Conditional(Arc::new(conditional(compares, op)))
    }
}

fn conditional(compares: Vec<Compare>, op: Op) -> Request {
    Request::Txn(TxnRequest { compares, then: vec![op], otherwise: Vec::new() })
}

/// What a transaction for one operation is to people: that operation.
fn described(request: &Request) -> String {
    match request {
        Request::Txn(TxnRequest { then, .. }) if then.len() == 1 => then[0].describe(),
        request => request.describe(),
    }
}

/// What had to be so.
fn condition(compare: &Compare) -> String {
    match (&compare.target, compare.relation) {
        (CompareTarget::CreateRevision(0) | CompareTarget::ModRevision(0), Relation::Equal) => {
            "there must be no such key".into()
        }
        (CompareTarget::Version(0), Relation::NotEqual) => "there must be such a key".into(),
        (CompareTarget::Value(_), Relation::Equal) => "its value must be the given one".into(),
        (CompareTarget::CreateRevision(revision), Relation::Equal) => {
            format!("it must have been created at revision {revision}")
        }
        (CompareTarget::ModRevision(revision), Relation::Equal) => {
            format!("it must have been changed last at revision {revision}")
        }
        _ => "a comparison must hold".into(),
    }
}

/// Servers tell only that not all of them hold.
fn do_not_hold(request: &Request) -> Error {
    let compares = if let Request::Txn(txn) = request { &txn.compares[..] } else { &[] };
    let wanted: Vec<String> = compares.iter().map(condition).collect();
    let which = if wanted.len() == 1 { "the condition does not hold" } else { "not all conditions hold" };
    let fault = format!("{which}: {}", wanted.join(", "));
    Error::new(ErrorKind::CompareFailed, fault).outcome_is(Outcome::Refused)
}

/// The reply to the one operation of a transaction whose conditions had to hold.
fn only_reply(request: &Request, reply: Reply) -> Result<Reply> {
    let Body::Txn(txn) = reply.body else { return Err(mismatch(&reply.body)) };
    if !txn.succeeded {
        return Err(do_not_hold(request));
    }
    let body = match txn.replies.into_iter().next() {
        Some(OpReply::Range(range)) => Body::Range(range),
        Some(OpReply::Put(prev_kv)) => Body::Put(prev_kv),
        Some(OpReply::Delete(delete)) => Body::Delete(delete),
        Some(OpReply::Txn(txn)) => Body::Txn(txn),
        None => return Err(Error::new(ErrorKind::BadReply, "a transaction without its answer")),
    };
    Ok(Reply { header: reply.header, body })
}

impl Client {
    /// Runs an operation and waits for its end. Without a deadline the option's timeout counts, for each request that
    /// it takes.
    ///
    /// # Errors
    /// As [`Client::call`]. `CompareFailed` when its conditions do not hold, `Canceled` when the token was triggered.
    pub fn run(&self, operation: &Operation, deadline: Deadline, cancel: &Cancel) -> Result<Answer> {
        self.sync_if_due();
        if cancel.is_never() {
            return self.run_in(operation, &self.context_until(deadline, self.closed()));
        }
        let either = Cancel::new();
        let (one, other) = (either.clone(), either.clone());
        let _caller = cancel.listen(move || one.trigger());
        let _client = self.closed().listen(move || other.trigger());
        let ended = self.run_in(operation, &self.context_until(deadline, &either));
        let is_closed = self.closed().is_triggered();
        ended.map_err(|error| match error.kind() {
            ErrorKind::Closed if !is_closed => error.becomes_canceled(),
            _ => error,
        })
    }

    /// Runs an operation that an embedded store answers without waiting; `None` where servers are asked.
    pub(super) fn run_at_once(&self, operation: &Operation) -> Option<Result<Answer>> {
        if !self.0.endpoints.are_embedded() {
            return None;
        }
        if self.closed().is_triggered() {
            return Some(Err(Error::closed()));
        }
        Some(self.run_in(operation, &self.context()))
    }

    /// Starts an operation. `told` may be called before this returns.
    pub fn start(&self, operation: &Operation, deadline: Deadline, told: Told) -> Submitted {
        if self.sync_is_due() {
            let client = self.clone();
            let _ = self.0.pool.run(Box::new(move || drop(client.sync_members())));
        }
        match operation {
            Operation::Request(request) => {
                let done = move |reply: Result<Reply>| told(reply.map(Answer::Reply));
                self.submit(request.clone(), deadline, Box::new(done))
            }
            Operation::Conditional(request) => {
                let asked = request.clone();
                let done = move |reply: Result<Reply>| {
                    let reply = reply.and_then(|reply| only_reply(&asked, reply)).map(Answer::Reply);
                    told(reply.map_err(|error| error.during(described(&asked))));
                };
                self.submit(request.clone(), deadline, Box::new(done))
            }
            Operation::PutFor(..)
            | Operation::StatusOfAll
            | Operation::SyncMembers
            | Operation::Disarm(..)
            | Operation::Recipe(_)
            | Operation::Look(_) => {
                let (client, operation) = (self.clone(), operation.clone());
                let reads_only = operation.reads_only();
                let done = move |answer: Result<Answer>| {
                    // A read has no effect that could be unknown.
                    told(answer.map_err(|e| if reads_only { e.outcome_is(Outcome::NotSent) } else { e }));
                };
                let task = move |context: &Context| client.run_in(&operation, context);
                self.submit_task(deadline, Box::new(task), Box::new(done))
            }
        }
    }

    fn run_in(&self, operation: &Operation, context: &Context) -> Result<Answer> {
        match operation {
            Operation::Request(request) => {
                self.call_in(context, request, request.repeat()).map(Answer::Reply)
            }
            Operation::Conditional(request) => {
                let reply = self.call_in(context, request, request.repeat());
                let reply = reply.and_then(|reply| only_reply(request, reply));
                reply.map(Answer::Reply).map_err(|error| error.during(described(request)))
            }
            Operation::PutFor(put, compares, ttl) => self.put_for(context, put, compares, *ttl),
            Operation::StatusOfAll => Ok(Answer::Statuses(self.statuses(context))),
            Operation::SyncMembers => self.sync_members_in(context).map(Answer::Endpoints),
            Operation::Recipe(steps) | Operation::Look(steps) => steps(self, context),
            Operation::Disarm(which) => self.disarm_in(context, *which).map(Answer::Reply),
        }
    }

    fn disarm_in(&self, context: &Context, which: Alarm) -> Result<Reply> {
        let ask = |action, alarm| {
            let request = Request::Alarm { action, alarm };
            let reply = self.call_in(context, &request, request.repeat())?;
            match reply.body {
                Body::Alarms(alarms) => Ok((reply.header, alarms)),
                other => Err(mismatch(&other)),
            }
        };
        let wanted = |alarm: &Alarm| {
            (which.member == 0 || which.member == alarm.member)
                && (which.kind == AlarmKind::Any || which.kind == alarm.kind)
        };
        let (mut header, raised) = ask(AlarmAction::Get, Alarm { member: 0, kind: AlarmKind::Any })?;
        let raised: Vec<Alarm> = raised.into_iter().filter(wanted).collect();
        for alarm in &raised {
            header = ask(AlarmAction::Deactivate, *alarm)?.0;
        }
        Ok(Reply { header, body: Body::Alarms(raised) })
    }

    fn put_for(&self, context: &Context, put: &PutRequest, compares: &[Compare], ttl: i64) -> Result<Answer> {
        let lease = self.grant_in(context, sys::random_id(), ttl)?.id;
        let put = PutRequest { lease, ..put.clone() };
        let request = match compares {
            [] => Request::Put(put),
            _ => conditional(compares.to_vec(), Op::Put(put)),
        };
        let reply = self.call_in(context, &request, request.repeat());
        let reply =
            if compares.is_empty() { reply } else { reply.and_then(|reply| only_reply(&request, reply)) };
        if reply.as_ref().is_err_and(|error| error.outcome() != Outcome::Unknown) {
            // Nothing hangs on it. (After an unknown outcome something may: then it ends by itself.)
            let _ = self.revoke_in(&self.parting_context(), lease);
        }
        reply.map(|reply| Answer::PutFor(reply, lease)).map_err(|error| error.during(described(&request)))
    }
}
