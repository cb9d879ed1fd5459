//! Held: from the first moment to the loss. And the lease that a place is under, before that, too.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::waiting::{Eye, gone};
use super::{Contender, Ended, Inner, Stage, State};
use crate::client::retry;
use crate::client::session::{Lost, Membership};
use crate::error::{Error, ErrorKind, Result};
use crate::wait::lock;

/// A lock is held so long before its key is watched: most are released earlier.
const UNWATCHED: Duration = Duration::from_millis(50);

impl Inner {
    pub(super) fn hold(self: &Arc<Self>, mut state: MutexGuard<State>, revision: i64) {
        if state.sure().is_none() {
            if !self.is_attended(&state, state.lease) {
                let lease = state.lease;
                return self.attend(state, lease);
            }
            drop(state);
            return self.give_up(Error::new(ErrorKind::Lost, "its lease was over before it was held"));
        }
        (state.stage, state.held, state.telling) = (Stage::Holds, true, true);
        state.member.iter().for_each(Membership::set_held);
        (state.before, state.neighbour) = (None, None);
        state.watch_before.take().into_iter().for_each(|watch| watch.cancel_later());
        (state.patrolled, state.time) = (None, None);
        if state.own_watch.is_none() {
            let inner = self.clone();
            state.pause = self.client.later(UNWATCHED, move || inner.watch_own(lock(&inner.state), revision));
        }
        drop(state);
        self.owner.acquired(&Contender(self.clone()));
        let mut state = lock(&self.state);
        state.telling = false;
        let ended = state.last_word.take();
        drop(state);
        ended.into_iter().for_each(|how| self.owner.ended(how));
    }

    /// Watches the key that is held, if nobody does.
    fn watch_own(self: &Arc<Self>, mut state: MutexGuard<State>, revision: i64) {
        if state.stage == Stage::Holds && state.own_watch.is_none() {
            state.own_watch = Some(self.watch(&state.key.clone(), revision, Eye::Own));
        }
    }

    /// Looks whether what is held is still there, and watches it.
    pub(super) fn look_at_own(self: &Arc<Self>, state: MutexGuard<State>) {
        let txn = state.beside_own(Vec::new());
        self.ask(state, txn, |inner, revision, reply| {
            match inner.with_own(reply) {
                Ok(Some((state, _))) => inner.watch_own(state, revision),
                Ok(None) => {}
                Err(_) => inner.own_is_gone(),
            }
            Ok(())
        });
    }

    /// Tells the end of what was held: not before that it was.
    pub(super) fn tell_end(&self, how: Ended) {
        let mut state = lock(&self.state);
        if state.telling {
            state.last_word = Some(how);
            return;
        }
        drop(state);
        self.owner.ended(how);
    }

    /// The own key is gone, or not ours any more.
    pub(super) fn own_is_gone(self: &Arc<Self>) {
        let inner = self.clone();
        self.client.defer(move || {
            let state = lock(&inner.state);
            let (stage, sure) = (state.stage, state.sure().is_some());
            state.leave_name();
            drop(state);
            match stage {
                // A process that slept through its TTL sees the end of its lease only now.
                Stage::Holds if sure => {
                    let fault = "somebody removed the lock's key, or put it without a lease";
                    inner.lose(Error::new(ErrorKind::Lost, fault));
                }
                Stage::Holds => inner.lose(expired()),
                Stage::Waits => inner.give_up(gone()),
                _ => {}
            }
        });
    }

    /// The own key was put under this lease: proclaimed, or moved by somebody who gave it another TTL.
    pub(super) fn own_is_put(self: &Arc<Self>, lease: i64) {
        if lock(&self.state).lease != lease {
            let inner = self.clone();
            self.client.defer(move || inner.look_on(lock(&inner.state)));
        }
    }

    /// Whether this lease, which the place is under, is kept alive here. One that is ours alone may be so again after
    /// servers were out of reach for longer than it can be sure of: it is no others' loss.
    pub(super) fn is_attended(&self, state: &State, lease: i64) -> bool {
        let over = || state.is_apart() && state.sure().is_none();
        state.lease == lease && (state.stage != Stage::Waits || !over())
    }

    /// Keeps this lease alive from now on, instead of the one it had.
    pub(super) fn attend(self: &Arc<Self>, mut state: MutexGuard<State>, lease: i64) {
        if std::mem::replace(&mut state.moving, true) {
            return;
        }
        // Whoever waits looks again when that is done.
        state.busy = true;
        drop(state);
        let inner = self.clone();
        self.client.attend(lease, self.lost(), Box::new(move |member| inner.attends(member)));
    }

    fn attends(self: &Arc<Self>, member: Result<Membership>) {
        let mut state = lock(&self.state);
        (state.moving, state.busy) = (false, false);
        match member {
            // A lost hold never comes back to life, also when the answer is good news that came too late.
            Ok(member) if state.stage == Stage::Holds && state.sure().is_none() => {
                drop(state);
                self.lose(expired());
                drop(member);
            }
            Ok(member) => {
                state.lease = member.lease();
                let before = if matches!(state.stage, Stage::Leaves | Stage::Over) {
                    Some(member)
                } else {
                    state.member.replace(member)
                };
                self.look_on(state);
                drop(before);
            }
            Err(error) if error.kind() == ErrorKind::Lost || retry::may_pass(&error) => {
                self.after_pause(state, |inner| inner.look_on(lock(&inner.state)));
            }
            Err(error) => {
                drop(state);
                self.give_up(error);
            }
        }
    }

    /// After a look at its lease.
    fn look_on(self: &Arc<Self>, state: MutexGuard<State>) {
        match state.stage {
            Stage::Waits => self.look(state),
            Stage::Holds => self.look_at_own(state),
            _ => {}
        }
    }

    /// What its session tells at the end.
    pub(super) fn lost(self: &Arc<Self>) -> Lost {
        let losing = Arc::downgrade(self);
        Box::new(move |error| losing.upgrade().into_iter().for_each(|inner| inner.session_lost(&error)))
    }

    pub(super) fn session_lost(self: &Arc<Self>, error: &Error) {
        let state = lock(&self.state);
        let (stage, apart) = (state.stage, state.is_apart() && error.kind() == ErrorKind::Lost);
        drop(state);
        match stage {
            Stage::Holds => self.lose(error.clone()),
            Stage::Leaves | Stage::Over => {}
            // The place may have moved to another lease, or outlive an outage.
            Stage::Waits if apart => self.look_soon(),
            _ => self.give_up(error.clone()),
        }
    }

    pub(super) fn lose(&self, error: Error) {
        let error = self.reason(error);
        let mut state = lock(&self.state);
        if state.stage != Stage::Holds {
            return;
        }
        state.stage = Stage::Over;
        state.unwatch();
        let member = state.member.take();
        drop(state);
        self.client.count_lost_hold();
        self.tell_end(Ended::Lost(self.explained(error)));
        drop(member);
    }
}

fn expired() -> Error {
    Error::new(ErrorKind::Lost, "no server confirmed the lock before its TTL was over")
}
