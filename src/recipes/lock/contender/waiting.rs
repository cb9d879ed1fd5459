//! In the queue: who is before us, and until when.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, Weak};
use std::time::Duration;

use super::{Inner, Stage, State};
use crate::client::session::Membership;
use crate::client::{News, PushedWatch, Reader, WatchMode};
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::recipes::lock::{ends, is_named_like_place, is_place, last_two, newest_first};
use crate::wait::{Deadline, lock};

/// How many keys are looked at in one request.
const AT_ONCE: usize = 100;
/// How long a place may stay unseen by its watch.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// The state, and what was read.
type Seen<'a> = (MutexGuard<'a, State>, Vec<Vec<KeyValue>>);

impl Inner {
    /// Looks who is before us. Whatever comes of it, the own place is looked at in the same moment.
    pub(super) fn look(self: &Arc<Self>, mut state: MutexGuard<State>) {
        if state.busy {
            state.look_again = true;
            return;
        }
        state.look_again = false;
        if state.is_next() {
            return self.take_turn(state);
        }
        let nearest = RangeRequest { max_create_revision: state.token - 1, ..last_two(&self.wanted.name) };
        let txn = state.beside_own(vec![nearest]);
        self.ask(state, txn, |inner, revision, reply| {
            let Some((state, mut found)) = inner.with_own(reply)? else { return Ok(()) };
            inner.is_behind(state, found.pop().unwrap_or_default(), revision);
            Ok(())
        });
    }

    /// Whoever held the lock is gone, and nobody else was before us: it is ours if the own place is still there. That is
    /// read alone, since to find those before us etcd reads the whole queue.
    fn take_turn(self: &Arc<Self>, state: MutexGuard<State>) {
        let txn = state.beside_own(Vec::new());
        self.ask(state, txn, |inner, revision, reply| {
            match inner.with_own(reply)? {
                Some((state, _)) if state.stage == Stage::Waits => inner.hold(state, revision),
                _ => {}
            }
            Ok(())
        });
    }

    /// These were the last ones before us at that revision.
    pub(super) fn is_behind(
        self: &Arc<Self>,
        mut state: MutexGuard<State>,
        last: Vec<KeyValue>,
        revision: i64,
    ) {
        let first = last.len() == 1;
        match last.into_iter().next() {
            _ if state.stage != Stage::Waits => {}
            None => self.hold(state, revision),
            Some(kv) if is_place(&self.prefix(), &kv) => self.wait_for(state, kv, first, revision),
            // Something else lies in between: look on behind it, without values, since that may be much.
            Some(_) => {
                state.before = None;
                self.look_behind(state);
            }
        }
    }

    fn look_behind(self: &Arc<Self>, state: MutexGuard<State>) {
        let before = RangeRequest { max_create_revision: state.token - 1, ..newest_first(&self.wanted.name) };
        let txn = state.beside_own(vec![before]);
        self.ask(state, txn, |inner, revision, reply| {
            let Some((state, mut found)) = inner.with_own(reply)? else { return Ok(()) };
            let prefix = inner.prefix();
            let named = |kv: &KeyValue| is_named_like_place(&prefix, &kv.key);
            let named: Vec<KeyValue> = found.pop().unwrap_or_default().into_iter().filter(named).collect();
            match named.is_empty() {
                _ if state.stage != Stage::Waits => {}
                true => inner.hold(state, revision),
                false => inner.look_at(state, &named),
            }
            Ok(())
        });
    }

    /// Which of these, the nearest first, have a lease.
    fn look_at(self: &Arc<Self>, state: MutexGuard<State>, named: &[KeyValue]) {
        let exactly = |kv: &KeyValue| RangeRequest {
            min_create_revision: kv.create_revision,
            max_create_revision: kv.create_revision,
            ..RangeRequest::attributes(&kv.key[..])
        };
        let txn = state.beside_own(named.iter().take(AT_ONCE).map(exactly).collect());
        self.ask(state, txn, |inner, revision, reply| {
            let Some((state, found)) = inner.with_own(reply)? else { return Ok(()) };
            let prefix = inner.prefix();
            let place = found.into_iter().flatten().find(|kv| is_place(&prefix, kv));
            match place {
                _ if state.stage != Stage::Waits => {}
                Some(kv) => inner.wait_for(state, kv, false, revision),
                None => inner.hold(state, revision),
            }
            Ok(())
        });
    }

    /// What was read beside the own place, which must still be there. `None`: something else has to be done first.
    pub(super) fn with_own(self: &Arc<Self>, reply: TxnReply) -> Result<Option<Seen<'_>>> {
        let mut found: Vec<Vec<KeyValue>> = reply.ranges().collect();
        let own = found.pop().unwrap_or_default();
        let mut state = lock(&self.state);
        match own.into_iter().find(|kv| kv.create_revision == state.token && kv.lease != 0) {
            Some(own) if self.is_attended(&state, own.lease) => {
                state.seen = true;
                return Ok(Some((state, found)));
            }
            Some(own) => self.attend(state, own.lease),
            None if state.stage == Stage::Waits && state.joined && !state.seen => self.seek_another(state),
            None => {
                drop(state);
                return Err(gone());
            }
        }
        Ok(None)
    }

    /// Waits until this one is gone, which is the first in the queue or not. Its end is seen by a watch, and should that
    /// fail, by looking now and then; the own place is looked after in the same way.
    fn wait_for(
        self: &Arc<Self>,
        mut state: MutexGuard<State>,
        before: KeyValue,
        first: bool,
        revision: i64,
    ) {
        if self.wanted.until.passed() {
            state.before = Some(before);
            drop(state);
            return self.give_up(self.too_late());
        }
        let same = state
            .before
            .as_ref()
            .is_some_and(|known| known.key == before.key && known.create_revision == before.create_revision);
        if !same || state.watch_before.is_none() {
            state.watch_before.take().into_iter().for_each(|watch| watch.cancel_later());
            state.watch_before = Some(self.watch(&before.key, revision, Eye::Before(before.create_revision)));
            (state.first, state.before_is_gone) = (first, false);
            state.neighbour = self.client.held_by(before.lease, &self.wanted.name);
            let keys = vec![(state.key.clone(), state.token), (before.key.clone(), before.create_revision)];
            let looking = Arc::downgrade(self);
            let ttl = state.member.as_ref().and_then(Membership::granted).map(|lease| lease.length());
            let every = ttl.map_or(LONGEST_LOOK, |ttl| LONGEST_LOOK.min(ttl / 2));
            let gone = move |_| looking.upgrade().into_iter().for_each(|inner| inner.look_soon());
            state.patrolled = Some(self.client.patrol(keys, every, Arc::new(gone)));
        }
        state.before = Some(before);
        if state.own_watch.is_none() {
            state.own_watch = Some(self.watch(&state.key.clone(), revision, Eye::Own));
        }
        if state.look_again {
            self.look(state);
        }
    }

    pub(super) fn watch(self: &Arc<Self>, key: &[u8], revision: i64, eye: Eye) -> PushedWatch {
        let request = WatchRequest::new(KeyRange::key(key), revision.saturating_add(1));
        let reader = Watching { inner: Arc::downgrade(self), key: key.into(), eye };
        self.client.push_watch(request, WatchMode::default(), Deadline::NEVER, Arc::new(reader))
    }

    /// Something has happened that only a look can tell of.
    pub(super) fn look_soon(self: &Arc<Self>) {
        let inner = self.clone();
        self.client.defer(move || {
            let state = lock(&inner.state);
            if state.stage == Stage::Waits {
                inner.look(state);
            }
        });
    }

    /// Whoever was before us, since that revision, is seen to be gone.
    fn before_is_gone(self: &Arc<Self>, created: i64) {
        let inner = self.clone();
        self.client.defer(move || {
            let mut state = lock(&inner.state);
            if state.stage == Stage::Waits {
                state.before_is_gone |= state.before.as_ref().is_some_and(|kv| kv.create_revision == created);
                inner.look(state);
            }
        });
    }

    /// A watch has ended by itself: compacted, or not permitted. Another one is opened after a look.
    fn watch_ended(self: &Arc<Self>, eye: Eye) {
        let mut state = lock(&self.state);
        match (state.stage, eye) {
            (Stage::Waits, _) => {
                match eye {
                    Eye::Own => state.own_watch = None,
                    Eye::Before(_) => state.watch_before = None,
                }
                state.busy = true;
                self.after_pause(state, |inner| {
                    let mut state = lock(&inner.state);
                    state.busy = false;
                    if state.stage == Stage::Waits {
                        inner.look(state);
                    }
                });
            }
            (Stage::Holds, Eye::Own) => {
                state.own_watch = None;
                self.look_at_own(state);
            }
            _ => {}
        }
    }
}

impl State {
    /// Whether the one before us held the lock and is gone.
    fn is_next(&self) -> bool {
        let held = || self.neighbour.as_ref().is_some_and(|held| held.load(Ordering::SeqCst));
        self.before_is_gone && (self.first || held())
    }

    /// Reads these, and the own place in the same moment.
    pub(super) fn beside_own(&self, ranges: Vec<RangeRequest>) -> TxnRequest {
        let own = RangeRequest::attributes(&self.key[..]);
        let then = ranges.into_iter().chain([own]).map(Op::Range).collect();
        TxnRequest { then, ..TxnRequest::default() }
    }
}

pub(super) fn gone() -> Error {
    Error::new(ErrorKind::Lost, "the place in the queue is gone: its lease ended or somebody removed it")
}

/// Which key a watch is on.
#[derive(Clone, Copy)]
pub(super) enum Eye {
    Own,
    /// That of the one before us, which was created then.
    Before(i64),
}

/// Looks at what a watch tells.
struct Watching {
    inner: Weak<Inner>,
    key: Vec<u8>,
    eye: Eye,
}

impl Reader for Watching {
    fn take(&self, news: News) -> bool {
        if let News::Changes(batch) = news
            && let Some(inner) = self.inner.upgrade()
        {
            let own = || batch.events.iter().rfind(|event| event.kv.key == self.key);
            match self.eye {
                Eye::Own if ends(&batch, &self.key) => inner.own_is_gone(),
                Eye::Own => own().into_iter().for_each(|put| inner.own_is_put(put.kv.lease)),
                Eye::Before(created) if ends(&batch, &self.key) => inner.before_is_gone(created),
                // A change that is no end: of the lease, say.
                Eye::Before(_) => {}
            }
        }
        true
    }

    fn end(&self, error: Error) {
        let Some(inner) = self.inner.upgrade() else { return };
        if matches!(error.kind(), ErrorKind::Canceled | ErrorKind::Closed) {
            return;
        }
        // What it would have told, a look tells.
        let eye = self.eye;
        let again = inner.clone();
        inner.client.defer(move || again.watch_ended(eye));
    }
}
