//! One that wants a lock, waits for it and holds it, without a thread: each step is taken when the answer, the change or
//! the time that it waits for has come.

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use super::{is_named_like_place, is_place, newest_first, place_key, queued, queueing, releasing};
use crate::client::patrol::Patrolled;
use crate::client::session::Membership;
use crate::client::{Alarmed, Client, Counted, News, PushedWatch, Reader, WatchMode, retry};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::sys;
use crate::wait::{Deadline, lock};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The lock's name.
    pub name: Vec<u8>,
    /// How long the lock outlives its holder, in seconds.
    pub ttl: i64,
    /// For people who look at the queue; of an election, what the leader proclaims.
    pub value: Vec<u8>,
    /// How long to wait for others: a deadline that has passed means to try once.
    pub until: Deadline,
}

/// Told what becomes of a contender: on any thread, without a lock held. It never blocks.
pub trait Owner: Send + Sync {
    /// It holds the lock now.
    fn acquired(&self, contender: &Contender);
    /// It does not hold the lock, and never will. The last word.
    fn ended(&self, how: Ended);
}

/// How a contender has ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It was released. Whether it was still held then, as far as the answer that arrived can tell.
    Released(bool),
    /// It was held, and lost.
    Lost(Error),
    /// It was never held.
    Failed(Error),
}

/// One that wants a lock. Clones are the same one. Whoever wants the lock keeps one: without any, the place in the queue
/// goes when its session does.
#[derive(Clone)]
pub struct Contender(Arc<Inner>);

struct Inner {
    client: Client,
    wanted: Wanted,
    owner: Arc<dyn Owner>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: Stage,
    member: Option<Membership>,
    key: Vec<u8>,
    /// The fencing token; 0: it is not in the queue, as far as is known.
    token: i64,
    /// A request is under way, or a pause before one.
    busy: bool,
    /// It was asked for its place, and how that ended is not known yet.
    queueing: bool,
    /// It was asked for more than once: it may turn up once more after it was given up.
    doubtful: bool,
    /// How often the client had repeated anything when it was asked for.
    retries: u64,
    /// It was held.
    held: bool,
    /// Its owner is being told so.
    telling: bool,
    /// What the owner is to be told after that.
    last_word: Option<Ended>,
    /// There is a reason to look again as soon as it is over.
    look_again: bool,
    /// Who holds the lock, or waits before us.
    before: Option<KeyValue>,
    /// Until when others are waited for.
    time: Option<Alarmed>,
    /// The next step after a pause.
    pause: Option<Alarmed>,
    /// When a place that may have turned up late is taken out.
    last_look: Option<Alarmed>,
    failures: u32,
    own_watch: Option<PushedWatch>,
    watch_before: Option<PushedWatch>,
    patrolled: Option<Patrolled>,
    /// Why it was given up, until that is told: when its place is gone, or soon.
    failed: Option<Error>,
    /// Who waits for the release.
    releasing: Vec<Box<dyn FnOnce(Result<bool>) + Send>>,
}

#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits for a session.
    #[default]
    Joins,
    /// It is on its way into the queue.
    Queues,
    /// It is in the queue.
    Waits,
    Holds,
    /// It is on its way out.
    Leaves,
    Over,
}

/// How many keys are looked at in one request.
const AT_ONCE: usize = 100;
/// A lock is held so long before its key is watched: most are released earlier.
const UNWATCHED: Duration = Duration::from_millis(50);
/// How long whoever gave up waits for its place to be gone.
const PARTING: Duration = Duration::from_millis(80);
/// How long a place may stay unseen by its watch.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

impl Contender {
    /// Begins to want the lock.
    pub fn new(client: &Client, wanted: Wanted, owner: Arc<dyn Owner>) -> Self {
        let inner = Inner { client: client.clone(), wanted, owner, state: Mutex::default() };
        let contender = Contender(Arc::new(inner));
        contender.0.begin();
        contender
    }

    /// Wants it no more: out of the queue, or released.
    pub fn cancel(&self) {
        self.0.give_up(Error::canceled());
        // It may have come to hold it in that moment.
        if lock(&self.0.state).stage == Stage::Holds {
            self.release(Box::new(|_| {}));
        }
    }

    /// Releases the lock. `done` is told whether it was still held, as far as the answer that arrived can tell; an error
    /// when no server confirms it: the lock then ends with its lease.
    pub fn release(&self, done: Box<dyn FnOnce(Result<bool>) + Send>) {
        let mut state = lock(&self.0.state);
        match state.stage {
            Stage::Holds => {
                state.stage = Stage::Leaves;
                state.releasing.push(done);
                state.unwatch();
                self.0.send_release(state);
            }
            Stage::Leaves => state.releasing.push(done),
            _ => {
                drop(state);
                done(Ok(false));
            }
        }
    }

    /// The key that is its place.
    pub fn key(&self) -> Vec<u8> {
        lock(&self.0.state).key.clone()
    }

    /// The fencing token: it grows with every new holder.
    pub fn token(&self) -> i64 {
        lock(&self.0.state).token
    }

    /// Whose it is.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The lock's name.
    pub fn name(&self) -> &[u8] {
        &self.0.wanted.name
    }

    /// How long it is held for sure yet, by this machine's own clock; `None`: it is not, or may not be.
    pub fn remaining(&self) -> Option<Duration> {
        let state = lock(&self.0.state);
        let holds = state.stage == Stage::Holds;
        state.member.as_ref().filter(|_| holds).and_then(Membership::remaining)
    }

    /// Who is before it in the queue.
    pub fn before(&self) -> Option<KeyValue> {
        lock(&self.0.state).before.clone()
    }

    /// What must hold for a write that only the holder may make.
    pub fn guard(&self) -> Compare {
        let state = lock(&self.0.state);
        // No key was created at revision 1: as long as there is no place, nothing is let through.
        Compare::create_revision(&state.key[..], state.token.max(1))
    }

    /// Gives its key another value, if it still holds the lock.
    pub fn proclaim(&self, value: &[u8], done: Box<dyn FnOnce(Result<i64>) + Send>) {
        let state = lock(&self.0.state);
        let lease = state.member.as_ref().filter(|_| state.stage == Stage::Holds).map(Membership::lease);
        let (key, guard) = (state.key.clone(), Compare::create_revision(&state.key[..], state.token));
        drop(state);
        let not_held = || Error::new(ErrorKind::NotHeld, "it is not held").outcome_is(Outcome::Refused);
        let Some(lease) = lease else { return done(Err(not_held())) };
        let put = PutRequest { lease, ..PutRequest::new(key, value) };
        let txn = TxnRequest { compares: vec![guard], then: vec![Op::Put(put)], otherwise: Vec::new() };
        let told = move |reply: Result<Reply>| {
            done(reply.and_then(|reply| match reply.body {
                Body::Txn(txn) if txn.succeeded => Ok(reply.header.revision),
                _ => Err(not_held()),
            }));
        };
        self.0.client.submit(Arc::new(Request::Txn(txn)), Deadline::NEVER, Box::new(told));
    }
}

impl State {
    fn unwatch(&mut self) {
        // Somewhere else: a watch may be telling of something just now.
        for watch in [self.own_watch.take(), self.watch_before.take()].into_iter().flatten() {
            watch.cancel_later();
        }
        (self.time, self.pause, self.patrolled) = (None, None, None);
    }
}

impl Inner {
    fn begin(self: &Arc<Self>) {
        // Whoever tries once waits for nobody, but for an answer.
        let wait = match self.wanted.until.remaining() {
            Some(Duration::ZERO) => Some(self.client.options().request_timeout),
            remaining => remaining,
        };
        let late = self.clone();
        lock(&self.state).time =
            wait.and_then(|time| self.client.later(time, move || late.give_up(late.too_late())));
        let (losing, ready) = (Arc::downgrade(self), self.clone());
        let lost = move |error| losing.upgrade().into_iter().for_each(|inner| inner.session_lost(&error));
        let ready = move |result| ready.session_is_there(result);
        let (ttl, name) = (self.wanted.ttl, &self.wanted.name);
        let member = self.client.join_session(ttl, name, Box::new(lost), Box::new(ready));
        let mut state = lock(&self.state);
        if matches!(state.stage, Stage::Leaves | Stage::Over) {
            drop(state);
            return drop(member);
        }
        state.key = place_key(name, member.lease());
        state.member = Some(member);
        if state.stage == Stage::Queues {
            // The session was there at once.
            self.enqueue(state);
        }
    }

    fn too_late(&self) -> Error {
        let state = lock(&self.state);
        let fault = match &state.before {
            Some(kv) => format!("others held it all the time; {} is before us", quote(&kv.key)),
            None => "no server answered in time".into(),
        };
        Error::new(ErrorKind::Timeout, fault).advise("wait longer, or try again later")
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
                    self.enqueue(state);
                }
            }
            Err(error) => {
                drop(state);
                self.give_up(error);
            }
        }
    }

    /// Sends a request, and takes the next step when it is answered; what may pass is tried again after a pause.
    fn ask(
        self: &Arc<Self>,
        mut state: MutexGuard<State>,
        txn: TxnRequest,
        next: fn(&Arc<Self>, i64, TxnReply) -> Result<()>,
    ) {
        state.busy = true;
        drop(state);
        let inner = self.clone();
        let request = Arc::new(Request::Txn(txn));
        let again = request.clone();
        let done = move |reply: Result<Reply>| match reply {
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
        self.client.submit_as(request, Repeat::Harmless, Deadline::NEVER, Box::new(done));
    }

    fn not_answered(
        self: &Arc<Self>,
        error: Error,
        request: Arc<Request>,
        next: fn(&Arc<Self>, i64, TxnReply) -> Result<()>,
    ) {
        let mut state = lock(&self.state);
        state.doubtful |= state.queueing;
        if matches!(state.stage, Stage::Over | Stage::Leaves) {
            return self.take_back(state);
        }
        if !retry::may_pass(&error) {
            state.queueing = false;
            drop(state);
            return self.give_up(error);
        }
        let pause = retry::backoff(state.failures, sys::random_id() as u64);
        state.failures += 1;
        let inner = self.clone();
        let again = move || {
            let Request::Txn(txn) = &*request else { return };
            let state = lock(&inner.state);
            match state.stage {
                Stage::Over | Stage::Leaves => inner.take_back(state),
                _ => inner.ask(state, txn.clone(), next),
            }
        };
        state.pause = self.client.later(pause, again);
    }

    fn enqueue(self: &Arc<Self>, mut state: MutexGuard<State>) {
        let Some(lease) = state.member.as_ref().map(Membership::lease) else { return };
        state.queueing = true;
        state.retries = self.client.counter(Counted::Retries);
        let txn = queueing(&self.wanted.name, &state.key, lease, &self.wanted.value);
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
            let (token, alone) = place?;
            state.token = token;
            state.stage = Stage::Waits;
            if alone {
                inner.hold(state, revision)
            } else {
                inner.look(state)
            }
            Ok(())
        });
    }

    fn prefix(&self) -> Vec<u8> {
        [&self.wanted.name[..], b"/"].concat()
    }

    /// Looks who is before us. Whatever comes of it, the own place is looked at in the same moment.
    fn look(self: &Arc<Self>, mut state: MutexGuard<State>) {
        if state.busy {
            state.look_again = true;
            return;
        }
        state.look_again = false;
        let before = RangeRequest { max_create_revision: state.token - 1, ..newest_first(&self.wanted.name) };
        let nearest = RangeRequest { limit: 1, keys_only: false, ..before };
        let txn = state.beside_own(vec![nearest]);
        self.ask(state, txn, |inner, revision, reply| {
            let (mut state, mut found) = inner.with_own(reply)?;
            let nearest = found.pop().and_then(|mut kvs| kvs.pop());
            match nearest {
                _ if state.stage != Stage::Waits => {}
                None => inner.hold(state, revision),
                Some(kv) if is_place(&inner.prefix(), &kv) => inner.wait_for(state, kv, revision),
                // Something else lies in between: look on behind it, without values, since that may be much.
                Some(_) => {
                    state.before = None;
                    inner.look_behind(state);
                }
            }
            Ok(())
        });
    }

    fn look_behind(self: &Arc<Self>, state: MutexGuard<State>) {
        let before = RangeRequest { max_create_revision: state.token - 1, ..newest_first(&self.wanted.name) };
        let txn = state.beside_own(vec![before]);
        self.ask(state, txn, |inner, revision, reply| {
            let (state, mut found) = inner.with_own(reply)?;
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
            let (state, found) = inner.with_own(reply)?;
            let prefix = inner.prefix();
            let place = found.into_iter().flatten().find(|kv| is_place(&prefix, kv));
            match place {
                _ if state.stage != Stage::Waits => {}
                Some(kv) => inner.wait_for(state, kv, revision),
                None => inner.hold(state, revision),
            }
            Ok(())
        });
    }

    /// What was read beside the own place, which must still be there.
    fn with_own(&self, reply: TxnReply) -> Result<(MutexGuard<'_, State>, Vec<Vec<KeyValue>>)> {
        let mut found: Vec<Vec<KeyValue>> = reply
            .replies
            .into_iter()
            .map(|reply| match reply {
                OpReply::Range(range) => range.kvs,
                _ => Vec::new(),
            })
            .collect();
        let own = found.pop().unwrap_or_default();
        let state = lock(&self.state);
        if own.iter().any(|kv| kv.create_revision == state.token) {
            Ok((state, found))
        } else {
            drop(state);
            Err(gone())
        }
    }

    /// Waits until this one is gone. Its end is seen by a watch, and should that fail, by looking now and then; the own
    /// place is looked after in the same way.
    fn wait_for(self: &Arc<Self>, mut state: MutexGuard<State>, before: KeyValue, revision: i64) {
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
            state.watch_before = Some(self.watch(&before.key, revision, Eye::Before));
            let keys = vec![(state.key.clone(), state.token), (before.key.clone(), before.create_revision)];
            let looking = Arc::downgrade(self);
            let every = (Duration::from_secs(self.wanted.ttl.unsigned_abs()) / 2).min(LONGEST_LOOK);
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

    fn watch(self: &Arc<Self>, key: &[u8], revision: i64, eye: Eye) -> PushedWatch {
        let request = WatchRequest::new(KeyRange::key(key), revision.saturating_add(1));
        let reader = Watching { inner: Arc::downgrade(self), key: key.into(), eye };
        self.client.push_watch(request, WatchMode::default(), Deadline::NEVER, Arc::new(reader))
    }

    /// Something has happened that only a look can tell of.
    fn look_soon(self: &Arc<Self>) {
        let inner = self.clone();
        self.client.defer(move || {
            let state = lock(&inner.state);
            if state.stage == Stage::Waits {
                inner.look(state);
            }
        });
    }

    fn hold(self: &Arc<Self>, mut state: MutexGuard<State>, revision: i64) {
        if state.member.as_ref().is_none_or(|member| member.remaining().is_none()) {
            drop(state);
            return self.give_up(Error::new(ErrorKind::Lost, "its lease was over before it was held"));
        }
        (state.stage, state.held, state.telling) = (Stage::Holds, true, true);
        state.before = None;
        state.watch_before.take().into_iter().for_each(|watch| watch.cancel_later());
        (state.patrolled, state.time) = (None, None);
        if state.own_watch.is_none() {
            let inner = self.clone();
            state.pause = self.client.later(UNWATCHED, move || {
                let mut state = lock(&inner.state);
                if state.stage == Stage::Holds && state.own_watch.is_none() {
                    state.own_watch = Some(inner.watch(&state.key.clone(), revision, Eye::Own));
                }
            });
        }
        drop(state);
        self.owner.acquired(&Contender(self.clone()));
        let mut state = lock(&self.state);
        state.telling = false;
        let ended = state.last_word.take();
        drop(state);
        ended.into_iter().for_each(|how| self.owner.ended(how));
    }

    /// Tells the end of what was held: not before that it was.
    fn tell_end(&self, how: Ended) {
        let mut state = lock(&self.state);
        if state.telling {
            state.last_word = Some(how);
            return;
        }
        drop(state);
        self.owner.ended(how);
    }

    /// The own key is gone, or not ours any more.
    fn own_is_gone(self: &Arc<Self>) {
        let inner = self.clone();
        self.client.defer(move || {
            let state = lock(&inner.state);
            let sure = state.member.as_ref().is_some_and(|member| member.remaining().is_some());
            let stage = state.stage;
            drop(state);
            match stage {
                // A process that slept through its TTL sees the end of its lease only now.
                Stage::Holds if sure => {
                    inner.lose(Error::new(ErrorKind::Lost, "somebody removed the lock's key"));
                }
                Stage::Holds => inner.lose(expired()),
                Stage::Waits => inner.give_up(gone()),
                _ => {}
            }
        });
    }

    fn session_lost(self: &Arc<Self>, error: &Error) {
        let stage = lock(&self.state).stage;
        match stage {
            Stage::Holds => self.lose(error.clone()),
            Stage::Leaves | Stage::Over => {}
            _ => self.give_up(error.clone()),
        }
    }

    fn lose(&self, error: Error) {
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

    fn explained(&self, error: Error) -> Error {
        error.during(format!("lock {}", quote(&self.wanted.name)))
    }

    /// The place is given up; then that is told.
    fn give_up(self: &Arc<Self>, error: Error) {
        let mut state = lock(&self.state);
        let was = state.stage;
        if matches!(was, Stage::Holds | Stage::Leaves | Stage::Over) {
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
        if state.member.is_none() || was == Stage::Joins {
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
    fn take_back(self: &Arc<Self>, mut state: MutexGuard<State>) {
        if std::mem::take(&mut state.queueing) {
            self.send_release(state);
        }
    }

    /// Takes the place out of the queue, again and again until that is done or the lease is over anyway.
    fn send_release(self: &Arc<Self>, state: MutexGuard<State>) {
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
                let held = matches!(reply.body, Body::Txn(txn) if txn.succeeded);
                inner.released(Ok(held));
            }
            Err(error) => inner.not_released(error),
        };
        let request = Arc::new(Request::Txn(txn));
        self.client.submit_as(request, Repeat::Harmless, Deadline::NEVER, Box::new(done));
    }

    fn not_released(self: &Arc<Self>, error: Error) {
        let mut state = lock(&self.state);
        let Some(member) = &state.member else { return };
        let is_over = member.remaining().is_none();
        if !is_over && retry::may_pass(&error) {
            let inner = self.clone();
            let pause = retry::backoff(state.failures, sys::random_id() as u64);
            state.failures += 1;
            state.pause = self.client.later(pause, move || inner.send_release(lock(&inner.state)));
            return;
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

impl State {
    /// Reads these, and the own place in the same moment.
    fn beside_own(&self, ranges: Vec<RangeRequest>) -> TxnRequest {
        let own = RangeRequest::attributes(&self.key[..]);
        let then = ranges.into_iter().chain([own]).map(Op::Range).collect();
        TxnRequest { then, ..TxnRequest::default() }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Lost, "the place in the queue is gone: its lease ended or somebody removed it")
}

fn expired() -> Error {
    Error::new(ErrorKind::Lost, "no server confirmed the lock before its TTL was over")
}

/// Which key a watch is on.
#[derive(Clone, Copy)]
enum Eye {
    Own,
    /// That of one before us.
    Before,
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
            let deleted = super::deletes(&batch, &self.key);
            match self.eye {
                Eye::Own if deleted => inner.own_is_gone(),
                Eye::Before if deleted => inner.look_soon(),
                // A change that is no end: of the lease, say.
                _ => {}
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

impl Inner {
    /// A watch has ended by itself: compacted, or not permitted. Another one is opened after a look.
    fn watch_ended(self: &Arc<Self>, eye: Eye) {
        let mut state = lock(&self.state);
        match (state.stage, eye) {
            (Stage::Waits, _) => {
                match eye {
                    Eye::Own => state.own_watch = None,
                    Eye::Before => state.watch_before = None,
                }
                state.busy = true;
                let inner = self.clone();
                let pause = retry::backoff(0, sys::random_id() as u64);
                state.pause = self.client.later(pause, move || {
                    let mut state = lock(&inner.state);
                    state.busy = false;
                    if state.stage == Stage::Waits {
                        inner.look(state);
                    }
                });
            }
            (Stage::Holds, Eye::Own) => {
                state.own_watch = None;
                let txn = state.beside_own(Vec::new());
                self.ask(state, txn, |inner, revision, reply| {
                    match inner.with_own(reply) {
                        Ok((mut state, _)) if state.stage == Stage::Holds && state.own_watch.is_none() => {
                            state.own_watch = Some(inner.watch(&state.key.clone(), revision, Eye::Own));
                        }
                        Ok(_) => {}
                        Err(_) => inner.own_is_gone(),
                    }
                    Ok(())
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::wait::{Cancel, Mailbox};

    fn client() -> Client {
        let mut options = Options::new();
        options.set("endpoints", "mem://").unwrap();
        Client::open(options).unwrap()
    }

    /// Hands on what it is told.
    struct Told(Mailbox<Option<Ended>>);

    impl Owner for Told {
        fn acquired(&self, _: &Contender) {
            self.0.push(None);
        }

        fn ended(&self, how: Ended) {
            self.0.push(Some(how));
        }
    }

    type Mail = Mailbox<Option<Ended>>;

    fn want(client: &Client, ttl: i64, until: Deadline) -> (Contender, Mail) {
        let told = Mailbox::default();
        let wanted = Wanted { name: b"l".to_vec(), ttl, value: b"v".to_vec(), until };
        (Contender::new(client, wanted, Arc::new(Told(told.clone()))), told)
    }

    fn next(told: &Mail) -> Option<Ended> {
        told.recv(Deadline::after(Duration::from_secs(5)), Cancel::NEVER).expect("something is told")
    }

    fn silent(told: &Mail) -> bool {
        told.recv(Deadline::after(Duration::from_millis(100)), Cancel::NEVER).is_err()
    }

    fn queue(client: &Client) -> Vec<Vec<u8>> {
        let (_, found) = client.range(RangeRequest::new(KeyRange::prefix("l/"))).unwrap();
        found.kvs.into_iter().map(|kv| kv.key).collect()
    }

    #[test]
    fn contenders_hold_the_lock_one_after_the_other_in_the_order_of_their_tokens() {
        let client = client();
        let all: Vec<_> = (0..20).map(|_| want(&client, 10, Deadline::NEVER)).collect();
        let mut last = 0;
        for (contender, told) in &all {
            assert!(next(told).is_none(), "acquired");
            assert!(contender.token() > last && contender.remaining().is_some());
            last = contender.token();
            for (_, other) in all.iter().filter(|(other, _)| other.token() > last).take(1) {
                assert!(silent(other), "one at a time");
            }
            let released = Mailbox::default();
            let done = released.clone();
            contender.release(Box::new(move |result| done.push(result.unwrap())));
            assert_eq!(released.recv(Deadline::NEVER, Cancel::NEVER), Ok(true));
            assert!(matches!(next(told), Some(Ended::Released(true))));
            assert!(contender.remaining().is_none());
        }
        assert!(queue(&client).is_empty());
    }

    #[test]
    fn whoever_tries_once_or_not_for_long_leaves_nothing() {
        let client = client();
        let (_holder, told) = want(&client, 10, Deadline::NEVER);
        assert!(next(&told).is_none());
        for wait in [0, 100] {
            let (_other, told) = want(&client, 10, Deadline::after(Duration::from_millis(wait)));
            let Some(Ended::Failed(error)) = next(&told) else { panic!("it was held") };
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            assert!(error.to_string().contains("before us"), "{error}");
        }
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(queue(&client).len(), 1);
    }

    #[test]
    fn a_waiter_that_is_canceled_or_dies_lets_the_next_one_move_but_not_past_the_holder() {
        let client = client();
        let (holder, told) = want(&client, 10, Deadline::NEVER);
        assert!(next(&told).is_none());
        let (second, second_told) = want(&client, 10, Deadline::NEVER);
        let (_third, third_told) = want(&client, 10, Deadline::NEVER);
        assert!(silent(&second_told) && silent(&third_told));
        second.cancel();
        assert!(
            matches!(next(&second_told), Some(Ended::Failed(error)) if error.kind() == ErrorKind::Canceled)
        );
        assert!(silent(&third_told), "the first one still holds it");
        holder.release(Box::new(|_| {}));
        assert!(next(&third_told).is_none());
    }

    #[test]
    fn a_hold_lives_on_beyond_its_ttl_and_its_loss_is_told_once() {
        let client = client();
        let (holder, told) = want(&client, 2, Deadline::NEVER);
        assert!(next(&told).is_none());
        std::thread::sleep(Duration::from_secs(3));
        assert!(holder.remaining().is_some(), "kept alive");
        client.delete(KeyRange::key(holder.key())).unwrap();
        assert!(matches!(next(&told), Some(Ended::Lost(error)) if error.kind() == ErrorKind::Lost));
        assert!(holder.remaining().is_none() && silent(&told));
    }

    #[test]
    fn a_waiter_whose_lease_is_revoked_is_told_and_never_holds() {
        let client = client();
        let (holder, told) = want(&client, 10, Deadline::NEVER);
        assert!(next(&told).is_none());
        let (waiter, waiting) = want(&client, 10, Deadline::NEVER);
        assert!(silent(&waiting));
        let found = client.get(waiter.key()).unwrap().unwrap();
        client.revoke(found.lease).unwrap();
        assert!(matches!(next(&waiting), Some(Ended::Failed(error)) if error.kind() == ErrorKind::Lost));
        holder.release(Box::new(|_| {}));
        assert!(silent(&waiting));
    }

    #[test]
    fn only_a_holder_proclaims() {
        let client = client();
        let (holder, told) = want(&client, 10, Deadline::NEVER);
        assert!(next(&told).is_none());
        let proclaim = |contender: &Contender| {
            let answer = Mailbox::default();
            let told = answer.clone();
            contender.proclaim(b"new", Box::new(move |result| told.push(result)));
            answer.recv(Deadline::NEVER, Cancel::NEVER).unwrap()
        };
        proclaim(&holder).unwrap();
        assert_eq!(client.get(holder.key()).unwrap().unwrap().value, b"new");
        let (waiter, waiting) = want(&client, 10, Deadline::NEVER);
        assert!(silent(&waiting));
        assert_eq!(proclaim(&waiter).unwrap_err().kind(), ErrorKind::NotHeld);
    }
}
