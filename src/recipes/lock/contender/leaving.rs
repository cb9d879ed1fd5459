//! Out of the queue: given up, or released; again and again until that is done, or the lease is over anyway.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::{Ended, Inner, Stage, State};
use crate::client::retry;
use crate::client::session::Membership;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::recipes::lock::releasing;
use crate::wait::lock;

/// How long whoever gave up waits for its place to be gone.
const PARTING: Duration = Duration::from_millis(80);

impl Inner {
    /// The place is given up; then that is told.
    pub(super) fn give_up(self: &Arc<Self>, error: Error) {
        let error = self.reason(error);
        let mut state = lock(&self.state);
        if matches!(state.stage, Stage::Holds | Stage::Leaves | Stage::Over) {
            return;
        }
        state.stage = Stage::Leaves;
        state.unwatch();
        if state.queueing || error.outcome() == Outcome::Unknown {
            // The place may turn up yet.
            state.member.iter().for_each(Membership::taint);
        }
        let closed = error.kind() == ErrorKind::Closed;
        state.failed = Some(self.explained(error.outcome_is(Outcome::NotSent)));
        // What is not there, or is others' too, is left alone.
        if state.joined || (state.token == 0 && !state.queueing && !state.doubtful) {
            state.stage = Stage::Over;
            let member = state.member.take();
            drop(state);
            drop(member);
            return self.tell_failure();
        }
        let inner = self.clone();
        state.time = if closed { None } else { self.client.later(PARTING, move || inner.tell_failure()) };
        let waits = state.time.is_some();
        self.send_release(state);
        if !waits {
            self.tell_failure();
        }
    }

    fn tell_failure(&self) {
        let failed = lock(&self.state).failed.take();
        failed.into_iter().for_each(|error| self.owner.ended(Ended::Failed(error)));
    }

    /// The place was given up before it was known to be there. It may have come after it was taken out: it is once more.
    pub(super) fn take_back(self: &Arc<Self>, mut state: MutexGuard<State>) {
        if std::mem::take(&mut state.queueing) {
            self.send_release(state);
        }
    }

    pub(super) fn send_release(self: &Arc<Self>, state: MutexGuard<State>) {
        let token = state.token;
        self.take_out(state, token);
    }

    fn take_out(self: &Arc<Self>, state: MutexGuard<State>, token: i64) {
        let txn = match token {
            // Not known: nobody else makes a key of this name.
            0 => TxnRequest {
                then: vec![Op::Delete(DeleteRequest::new(KeyRange::key(&state.key[..])))],
                ..TxnRequest::default()
            },
            token => releasing(&state.key, token),
        };
        drop(state);
        let inner = self.clone();
        let done = move |reply: Result<Reply>| match reply {
            Ok(reply) => {
                let Body::Txn(txn) = reply.body else { return inner.released(Ok(false)) };
                let held = txn.succeeded;
                if txn.ranges().flatten().any(|kv| kv.lease == 0) {
                    lock(&inner.state).leave_name();
                }
                inner.released(Ok(held));
            }
            Err(error) => inner.not_released(error),
        };
        let request = Arc::new(Request::Txn(txn));
        self.call(request, Box::new(done));
    }

    fn not_released(self: &Arc<Self>, error: Error) {
        let state = lock(&self.state);
        let Some(member) = &state.member else { return };
        if state.sure().is_some() && retry::may_pass(&error) {
            return self.after_pause(state, |inner| inner.send_release(lock(&inner.state)));
        }
        // The key goes with its lease, if nobody else needs that.
        member.taint();
        drop(state);
        self.released(Err(error));
    }

    /// The session, if it is not needed any more. A place that may turn up yet goes with its lease, or is taken out later
    /// if others need that.
    fn leave_session(self: &Arc<Self>, state: &mut State) -> Option<Membership> {
        if !state.doubtful && !state.queueing {
            return state.member.take();
        }
        let member = state.member.as_ref()?;
        member.taint();
        if member.is_alone() || member.remaining().is_none() {
            return state.member.take();
        }
        if !state.queueing && state.last_look.is_none() {
            let inner = self.clone();
            let later = move || {
                let mut state = lock(&inner.state);
                state.doubtful = false;
                inner.take_out(state, 0);
            };
            // By then, whatever was on its way has come or is lost.
            state.last_look = self.client.later(2 * self.client.options().request_timeout, later);
        }
        None
    }

    fn released(self: &Arc<Self>, result: Result<bool>) {
        let mut state = lock(&self.state);
        state.stage = Stage::Over;
        let (waiting, held) = (std::mem::take(&mut state.releasing), std::mem::take(&mut state.held));
        (state.pause, state.time) = (None, None);
        let member = self.leave_session(&mut state);
        drop(state);
        drop(member);
        let result = result.map_err(|error| error.during(format!("unlock {}", quote(&self.wanted.name))));
        waiting.into_iter().for_each(|done| done(result.clone()));
        if !held {
            return self.tell_failure();
        }
        self.tell_end(match result {
            Ok(held) => Ended::Released(held),
            Err(error) => Ended::Lost(error),
        });
    }
}
