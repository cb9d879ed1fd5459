//! Into the queue: a lease, and a place under it. And how requests are made on the way.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::{Inner, Stage, State};
use crate::client::session::Membership;
use crate::client::{Counted, retry};
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::recipes::lock::{Place, is_place, place_key, queued, queueing};
use crate::sys;
use crate::wait::lock;

/// What comes after an answer to a transaction, at this revision.
type Next = fn(&Arc<Inner>, i64, TxnReply) -> Result<()>;

impl Inner {
    pub(super) fn begin(self: &Arc<Self>) {
        self.set_time();
        if self.joins && self.wanted.value.is_empty() {
            return self.give_up(Error::invalid("joining a place takes a value to know it by"));
        }
        self.take_session();
    }

    pub(super) fn resume(self: &Arc<Self>, place: &Place) {
        self.set_time();
        let mut state = lock(&self.state);
        (state.key, state.token, state.lease) = (place.key.clone(), place.token, place.lease.id);
        state.stage = Stage::Waits;
        drop(state);
        let member = self.client.keep(place.lease, self.lost());
        let mut state = lock(&self.state);
        if state.stage == Stage::Waits {
            state.member = Some(member);
            self.look(state);
        }
    }

    fn set_time(self: &Arc<Self>) {
        // Whoever tries once waits for nobody, but for an answer.
        let wait = match self.wanted.until.remaining() {
            Some(Duration::ZERO) => Some(self.client.options().request_timeout),
            remaining => remaining,
        };
        let late = self.clone();
        lock(&self.state).time =
            wait.and_then(|time| self.client.later(time, move || late.give_up(late.too_late())));
    }

    pub(super) fn too_late(&self) -> Error {
        let state = lock(&self.state);
        let trouble = || state.member.as_ref().and_then(Membership::trouble);
        let fault = match &state.before {
            Some(kv) => format!("others held it all the time; {} is before us", quote(&kv.key)),
            None => match trouble() {
                Some(error) => format!("no server answered in time: {error}"),
                None => "no server answered in time".into(),
            },
        };
        Error::new(ErrorKind::Timeout, fault).advise("wait longer, or try again later")
    }

    fn take_session(self: &Arc<Self>) {
        let (lost, inner) = (self.lost(), self.clone());
        let ready = Box::new(move |result| inner.session_is_there(result));
        let (ttl, name) = (self.wanted.ttl, &self.wanted.name);
        let member = self.client.join_session(ttl, name, lost, ready);
        let mut state = lock(&self.state);
        state.lease = member.lease();
        if matches!(state.stage, Stage::Leaves | Stage::Over) {
            drop(state);
            return drop(member);
        }
        state.key = place_key(name, member.lease());
        state.member = Some(member);
        if state.stage == Stage::Queues {
            // The session was there at once.
            self.enter(state);
        }
    }

    /// Somebody has revoked the lease, which nobody knew here: it is not the fault of who came last.
    fn take_another_session(self: &Arc<Self>, mut state: MutexGuard<State>) {
        (state.stage, state.queueing) = (Stage::Joins, false);
        let member = state.member.take();
        drop(state);
        member.into_iter().for_each(Membership::tell_gone);
        self.take_session();
    }

    fn session_is_there(self: &Arc<Self>, result: Result<()>) {
        let mut state = lock(&self.state);
        if state.stage != Stage::Joins {
            return;
        }
        match result {
            Ok(()) => {
                state.stage = Stage::Queues;
                if state.member.is_some() {
                    self.enter(state);
                }
            }
            Err(error) => {
                drop(state);
                self.give_up(error);
            }
        }
    }

    fn enter(self: &Arc<Self>, state: MutexGuard<State>) {
        if self.joins { self.seek(state) } else { self.enqueue(state) }
    }

    /// Looks for the place that has the same value.
    fn seek(self: &Arc<Self>, state: MutexGuard<State>) {
        let all =
            RangeRequest { sort_by: SortBy::Create, ..RangeRequest::new(KeyRange::prefix(self.prefix())) };
        let txn = TxnRequest { then: vec![Op::Range(all)], ..TxnRequest::default() };
        self.ask(state, txn, |inner, _, reply| {
            let prefix = inner.prefix();
            let equal = |kv: &KeyValue| is_place(&prefix, kv) && kv.value == inner.wanted.value;
            inner.join(reply.ranges().flatten().find(equal));
            Ok(())
        });
    }

    /// Takes this place as its own, whose lease is attended to at the first look.
    fn join(self: &Arc<Self>, place: Option<KeyValue>) {
        let mut state = lock(&self.state);
        match place {
            _ if state.stage != Stage::Queues => {}
            Some(kv) => {
                (state.key, state.token) = (kv.key, kv.create_revision);
                (state.stage, state.joined) = (Stage::Waits, true);
                self.look(state);
            }
            None => self.enqueue(state),
        }
    }

    /// The place that was found went before it was seen while its lease was kept alive.
    pub(super) fn seek_another(self: &Arc<Self>, mut state: MutexGuard<State>) {
        (state.joined, state.token) = (false, 0);
        if state.is_apart() {
            // Its own session was left for that lease.
            state.stage = Stage::Joins;
            let member = state.member.take();
            drop(state);
            drop(member);
            return self.take_session();
        }
        state.key = place_key(&self.wanted.name, state.lease);
        state.stage = Stage::Queues;
        self.seek(state);
    }

    fn enqueue(self: &Arc<Self>, mut state: MutexGuard<State>) {
        state.queueing = true;
        state.retries = self.client.counter(Counted::Retries);
        let txn = queueing(&self.wanted.name, &state.key, state.lease, &self.wanted.value);
        self.ask(state, txn, |inner, revision, reply| {
            let place = queued(revision, reply);
            let mut state = lock(&inner.state);
            state.doubtful |= state.retries != inner.client.counter(Counted::Retries);
            if state.stage != Stage::Queues {
                // It was given up meanwhile.
                state.token = place.map_or(0, |(token, _)| token);
                inner.take_back(state);
                return Ok(());
            }
            state.queueing = false;
            let (token, before) = place?;
            state.token = token;
            state.stage = Stage::Waits;
            match before {
                Some(before) => inner.is_behind(state, before, revision),
                None => inner.look(state),
            }
            Ok(())
        });
    }

    /// Sends a request, and takes the next step when it is answered; what may pass is tried again after a pause.
    pub(super) fn ask(self: &Arc<Self>, mut state: MutexGuard<State>, txn: TxnRequest, next: Next) {
        state.busy = true;
        drop(state);
        let inner = self.clone();
        let request = Arc::new(Request::Txn(txn));
        let again = request.clone();
        let done = move |reply: Result<Reply>| match inner.client.check_same_history(inner.history).and(reply)
        {
            Ok(Reply { header, body: Body::Txn(reply) }) => {
                let mut state = lock(&inner.state);
                (state.busy, state.failures) = (false, 0);
                drop(state);
                if let Err(error) = next(&inner, header.revision, reply) {
                    inner.give_up(error);
                }
            }
            Ok(_) => {
                inner.not_answered(Error::new(ErrorKind::BadReply, "a reply of another kind"), again, next)
            }
            Err(error) => inner.not_answered(error, again, next),
        };
        self.call(request, Box::new(done));
    }

    fn not_answered(self: &Arc<Self>, error: Error, request: Arc<Request>, next: Next) {
        let mut state = lock(&self.state);
        state.doubtful |= state.queueing;
        if matches!(state.stage, Stage::Over | Stage::Leaves) {
            return self.take_back(state);
        }
        if state.stage == Stage::Holds && self.client.check_same_history(self.history).is_err() {
            drop(state);
            return self.lose(error);
        }
        if state.stage == Stage::Queues && error.kind() == ErrorKind::LeaseNotFound {
            return self.take_another_session(state);
        }
        // What is held is held as long as its lease is: the cluster may be back in time where another one answered.
        let elsewhere = state.stage == Stage::Holds && error.kind() == ErrorKind::OtherCluster;
        if !retry::may_pass(&error) && !elsewhere {
            state.queueing = false;
            drop(state);
            return self.give_up(error);
        }
        self.after_pause(state, move |inner| {
            let Request::Txn(txn) = &*request else { return };
            let state = lock(&inner.state);
            match state.stage {
                Stage::Over | Stage::Leaves => inner.take_back(state),
                _ => inner.ask(state, txn.clone(), next),
            }
        });
    }

    /// Takes a step after a pause, the longer the more failures there were.
    pub(super) fn after_pause(
        self: &Arc<Self>,
        mut state: MutexGuard<State>,
        step: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) {
        let pause = retry::backoff(state.failures, sys::random_id() as u64);
        state.failures += 1;
        let inner = self.clone();
        state.pause = self.client.later(pause, move || step(&inner));
    }
}
