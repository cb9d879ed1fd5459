//! One that wants a lock, waits for it and holds it, without a thread: each step is taken when the answer, the change or
//! the time that it waits for has come.

mod calling;
mod entering;
mod holding;
mod leaving;
mod waiting;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::patrol::Patrolled;
use crate::client::session::{Held, Membership};
use crate::client::{Alarmed, Client, Lease, PushedWatch};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::recipes::lock::{Place, is_still};
use crate::transport::Context;
use crate::wait::{Cancel, Deadline, lock};

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
    /// It may share the place of an equal value.
    joins: bool,
    owner: Arc<dyn Owner>,
    /// The cluster's history that it began in.
    history: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: Stage,
    member: Option<Membership>,
    /// The lease that its place is under.
    lease: i64,
    key: Vec<u8>,
    /// The fencing token; 0: it is not in the queue, as far as is known.
    token: i64,
    /// The place was there before, and is left to others when it is given up.
    joined: bool,
    /// The place was seen to be there while its lease was kept alive here: from then on its end is ours.
    seen: bool,
    /// A request is under way, or a pause before one.
    busy: bool,
    /// Its place has moved to another lease, which is not kept alive yet.
    moving: bool,
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
    /// Nobody is before that one: it holds the lock.
    first: bool,
    /// If it is of the same client, whether it holds the lock by now.
    neighbour: Option<Held>,
    /// It was seen to be gone.
    before_is_gone: bool,
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

impl Contender {
    /// Begins to want the lock.
    pub fn new(client: &Client, wanted: Wanted, owner: Arc<dyn Owner>) -> Self {
        Self::begin(client, wanted, false, owner)
    }

    /// Begins to want the lock, and shares the place of whoever has the same value, which may not be empty: waiting or
    /// holding, with its token, lease and TTL. Without such a place it queues as any other. A place that was joined is left to
    /// the others when it is given up while waiting; one that is held is released for all.
    pub fn joining(client: &Client, wanted: Wanted, owner: Arc<dyn Owner>) -> Self {
        Self::begin(client, wanted, true, owner)
    }

    /// The same for a thread that waits for it, until `cancel` is triggered: it makes the first calls itself.
    pub fn calling(
        client: &Client,
        wanted: Wanted,
        joins: bool,
        owner: Arc<dyn Owner>,
        cancel: &Cancel,
    ) -> Self {
        // Whoever tries once waits for nobody, but for an answer.
        let deadline = if wanted.until.passed() { Deadline::NEVER } else { wanted.until };
        let contender = Self::of(client, wanted, joins, owner);
        contender.0.calling(deadline, cancel, || contender.0.begin());
        contender
    }

    /// Goes on in a place that is in the queue already, under a lease that serves nothing else: see [`Contender::let_go`].
    pub(super) fn resume(client: &Client, wanted: Wanted, place: &Place, owner: Arc<dyn Owner>) -> Self {
        let contender = Self::of(client, wanted, false, owner);
        contender.0.resume(place);
        contender
    }

    fn begin(client: &Client, wanted: Wanted, joins: bool, owner: Arc<dyn Owner>) -> Self {
        let contender = Self::of(client, wanted, joins, owner);
        contender.0.begin();
        contender
    }

    fn of(client: &Client, wanted: Wanted, joins: bool, owner: Arc<dyn Owner>) -> Self {
        let (client, history) = (client.clone(), client.history());
        let inner = Inner { client, wanted, joins, owner, history, state: Mutex::default() };
        Contender(Arc::new(inner))
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

    /// The same on a thread that waits for it: it makes the call itself.
    pub fn release_calling(&self, context: &Context, done: Box<dyn FnOnce(Result<bool>) + Send>) {
        self.0.calling(context.deadline, context.cancel, || self.release(done));
    }

    /// Leaves what it holds to its TTL: it is kept alive no more, and nothing more is told. `false`: it does not hold it.
    pub(super) fn let_go(&self) -> bool {
        let mut state = lock(&self.0.state);
        if state.stage != Stage::Holds {
            return false;
        }
        state.stage = Stage::Over;
        state.unwatch();
        let member = state.member.take();
        drop(state);
        drop(member);
        true
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

    /// The id of the lease that its place is under, or was.
    pub(super) fn lease(&self) -> i64 {
        lock(&self.0.state).lease
    }

    /// That lease, as it was renewed last.
    pub(super) fn granted(&self) -> Option<Lease> {
        lock(&self.0.state).member.as_ref().and_then(Membership::granted)
    }

    /// How long it is held for sure yet, by this machine's own clock; `None`: it is not, or may not be.
    pub fn remaining(&self) -> Option<Duration> {
        let state = lock(&self.0.state);
        if state.stage == Stage::Holds { state.sure() } else { None }
    }

    /// Who is before it in the queue.
    pub fn before(&self) -> Option<KeyValue> {
        lock(&self.0.state).before.clone()
    }

    /// What must hold for a write that only the holder may make.
    pub fn guard(&self) -> Vec<Compare> {
        let state = lock(&self.0.state);
        // No key was created at revision 1: as long as there is no place, nothing is let through.
        is_still(&state.key, state.token.max(1))
    }

    /// Gives its key another value, if it still holds the lock.
    pub fn proclaim(&self, value: &[u8], done: Box<dyn FnOnce(Result<i64>) + Send>) {
        let state = lock(&self.0.state);
        let lease = Some(state.lease).filter(|_| state.stage == Stage::Holds);
        let (key, compares) = (state.key.clone(), is_still(&state.key, state.token));
        drop(state);
        let not_held = || Error::new(ErrorKind::NotHeld, "it is not held").outcome_is(Outcome::Refused);
        let Some(lease) = lease else { return done(Err(not_held())) };
        let put = PutRequest { lease, ..PutRequest::new(key, value) };
        let txn = TxnRequest { compares, then: vec![Op::Put(put)], otherwise: Vec::new() };
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
    /// How long its lease is there for sure yet.
    fn sure(&self) -> Option<Duration> {
        self.member.as_ref().and_then(Membership::remaining)
    }

    /// Whether its lease is kept alive apart, as that of a place is that was there before.
    fn is_apart(&self) -> bool {
        self.member.as_ref().is_some_and(Membership::is_apart)
    }

    /// A key of its name may be there that is no place: nobody else is to take one of that name.
    fn leave_name(&self) {
        self.member.iter().for_each(Membership::taint);
    }

    fn unwatch(&mut self) {
        // Somewhere else: a watch may be telling of something just now.
        for watch in [self.own_watch.take(), self.watch_before.take()].into_iter().flatten() {
            watch.cancel_later();
        }
        (self.time, self.pause, self.patrolled) = (None, None, None);
    }
}

impl Inner {
    fn prefix(&self) -> Vec<u8> {
        [&self.wanted.name[..], b"/"].concat()
    }

    /// Why it really ends: what is missing in a history that went back was not removed by anybody.
    fn reason(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Canceled | ErrorKind::Closed => error,
            _ => self.client.check_same_history(self.history).err().unwrap_or(error),
        }
    }

    fn explained(&self, error: Error) -> Error {
        error.during(format!("lock {}", quote(&self.wanted.name)))
    }
}

#[cfg(test)]
mod tests;
