//! Calls for whose answers no thread waits. The first attempt is made at once if its transport can; whatever has to
//! wait (connecting, logging in, asking elsewhere after a pause) goes on as an ordinary call on a thread of the pool.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::Client;
use super::auth::Token;
use super::call::{Course, Failed, shows_touch};
use super::clock::Time;
use super::identity::Seen;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::{Repeat, Reply, Request};
use crate::transport::{Abandon, Context};
use crate::wait::{Cancel, Deadline, lock};

/// Told how a submitted call ended: once, on any thread, without a lock held. It never blocks.
pub type Done = Box<dyn FnOnce(Result<Reply>) + Send>;

/// Something submitted. Dropping this changes nothing.
#[derive(Clone)]
pub struct Submitted(Arc<dyn Ends>);

impl Submitted {
    /// Ends it at once, if it has not ended. What it had sent may have taken effect.
    pub fn cancel(&self) {
        self.0.end(ErrorKind::Canceled);
    }
}

/// What can be ended before its time.
trait Ends: Send + Sync {
    /// As `Canceled` or `Closed`.
    fn end(&self, kind: ErrorKind);
}

/// What was submitted to a client and has not ended.
#[derive(Default)]
pub(super) struct Ops {
    open: Mutex<Open>,
    last: AtomicU64,
    /// Somebody may wait for the last one.
    fewer: Condvar,
}

#[derive(Default)]
struct Open {
    all: HashMap<u64, Arc<dyn Ends>>,
    /// How many have ended, and somebody is being told.
    telling: usize,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.telling == 0
    }
}

impl Ops {
    /// How many there are.
    pub fn len(&self) -> usize {
        lock(&self.open).all.len()
    }

    /// Waits until there are none, and everybody was told. `false`: not in time.
    pub fn wait(&self, deadline: Deadline) -> bool {
        let mut open = lock(&self.open);
        while !open.is_empty() {
            let left = deadline.remaining().unwrap_or(Duration::from_secs(3600));
            if left.is_zero() {
                return false;
            }
            open = self.fewer.wait_timeout(open, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        true
    }

    fn insert(&self, key: u64, op: Arc<dyn Ends>) {
        lock(&self.open).all.insert(key, op);
    }

    /// It has ended: lets `tell` say so. By then it does not count any more.
    fn ended(&self, key: u64, tell: impl FnOnce()) {
        let mut open = lock(&self.open);
        let this = open.all.remove(&key);
        open.telling += 1;
        drop(open);
        tell();
        let mut open = lock(&self.open);
        open.telling -= 1;
        if open.is_empty() {
            self.fewer.notify_all();
        }
        drop(open);
        drop(this);
    }

    fn next_key(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends all of them.
    pub fn close(&self) {
        let open: Vec<Arc<dyn Ends>> = lock(&self.open).all.values().cloned().collect();
        open.iter().for_each(|op| op.end(ErrorKind::Closed));
    }
}

struct Op {
    key: u64,
    client: Client,
    /// It is a call of the user's.
    user: bool,
    /// As the caller wrote it, and as servers see it.
    request: Arc<Request>,
    entered: Arc<Request>,
    repeat: Repeat,
    deadline: Deadline,
    /// Ends it while a thread is busy with it.
    cancel: Cancel,
    progress: Mutex<Progress>,
}

struct Progress {
    /// `None`: it has ended.
    done: Option<Done>,
    stage: Stage,
    /// How many stages there were: what belongs to an earlier one (an answer, a timer) comes too late.
    turn: u64,
    /// What is known of the attempts that failed.
    outcome: Outcome,
    timer: Option<Time>,
}

enum Stage {
    /// The first attempt is being made.
    Begins,
    /// It was made, on the endpoint at this position.
    Asked { position: usize, abandon: Abandon },
    /// It waits for a thread.
    Waits,
    /// A thread is busy with it.
    Runs,
}

/// What the first attempt was made with.
struct First {
    position: usize,
    /// The turn in which it was made.
    turn: u64,
    /// What was known when it was made.
    seen: Seen,
    token: Option<Token>,
}

impl Client {
    /// Runs a request without waiting for its answer, which `done` is told, maybe before this returns. Without a
    /// deadline the option's timeout counts.
    pub fn submit(&self, request: Arc<Request>, deadline: Deadline, done: Done) -> Submitted {
        let repeat = request.repeat();
        self.submit_for(true, request, repeat, deadline, done)
    }

    /// The same, for the client's own purposes; `repeat` may say of a write that doing it twice is harmless.
    pub(crate) fn submit_as(
        &self,
        request: Arc<Request>,
        repeat: Repeat,
        deadline: Deadline,
        done: Done,
    ) -> Submitted {
        self.submit_for(false, request, repeat, deadline, done)
    }

    fn submit_for(
        &self,
        user: bool,
        request: Arc<Request>,
        repeat: Repeat,
        deadline: Deadline,
        done: Done,
    ) -> Submitted {
        let namespace = &self.0.namespace;
        let entered = if namespace.is_none() { request.clone() } else { Arc::new(namespace.enter(&request)) };
        let no_wait = self.0.endpoints.are_embedded();
        let deadline = self.context_until(deadline, Cancel::NEVER).deadline;
        let (stage, outcome) = (Stage::Begins, Outcome::NotSent);
        let progress = Progress { done: Some(done), stage, turn: 0, outcome, timer: None };
        let key = self.0.ops.next_key();
        let (client, cancel, progress) = (self.clone(), Cancel::new(), Mutex::new(progress));
        let op = Arc::new(Op { key, client, user, request, entered, repeat, deadline, cancel, progress });
        self.0.ops.insert(key, op.clone());
        if self.closed().is_triggered() {
            op.end(ErrorKind::Closed);
        } else if deadline.passed() && !no_wait {
            op.finish(Err(Error::new(ErrorKind::Timeout, "no time left to send it")));
        } else if user
            && op.request.is_about_keys()
            && let Err(error) = self.0.identity.tell()
        {
            op.finish(Err(error));
        } else if !op.ask_at_once() {
            op.wait_for_thread(0, None);
        }
        Submitted(op)
    }
}

impl Op {
    /// Makes the first attempt, if nothing has to be waited for.
    fn ask_at_once(self: &Arc<Self>) -> bool {
        let inner = &self.client.0;
        if inner.endpoints.len() == 0 {
            return false;
        }
        let token = match inner.auth.has_user() {
            true => match inner.auth.peek() {
                Some(token) => Some(token),
                None => return false,
            },
            false => None,
        };
        let secret = token.as_ref().map_or(inner.auth.given(), Token::secret);
        let context = self.context();
        let limited = self.client.share(&Context { token: secret, ..context }, self.repeat, 0);
        let position = inner.endpoints.next(&[]);
        let endpoint = inner.endpoints.at(position);
        if endpoint.is_foreign() && !self.request.reads_only() {
            return false;
        }
        let turn = lock(&self.progress).turn;
        let first = First { position, turn, seen: inner.identity.seen(), token: token.clone() };
        let op = self.clone();
        let taker = Box::new(move |answer| op.answered(first, answer));
        let Ok(abandon) = endpoint.transport.submit(&self.entered, &limited, taker) else { return false };
        self.asked(turn, position, abandon, limited.deadline);
        true
    }

    /// The first attempt is on its way, and has until then.
    fn asked(self: &Arc<Self>, turn: u64, position: usize, abandon: Abandon, until: Deadline) {
        let mut progress = lock(&self.progress);
        if progress.done.is_none() || progress.turn != turn {
            // It was answered meanwhile, or ended.
            drop(progress);
            return abandon();
        }
        progress.stage = Stage::Asked { position, abandon };
        self.set_timer(&mut progress, until);
    }

    fn set_timer(self: &Arc<Self>, progress: &mut Progress, until: Deadline) {
        let Some(at) = until.at() else { return };
        let (op, turn) = (self.clone(), progress.turn);
        // Without a timer, the connection's own end is the end.
        progress.timer = self.client.0.clock.set(at, Box::new(move || op.time_is_over(turn))).ok();
    }

    fn context(&self) -> Context<'_> {
        self.client.context_until(self.deadline, &self.cancel)
    }

    fn answered(self: &Arc<Self>, first: First, answer: Result<Reply>) {
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                let failed = Failed { error, token: first.token, elsewhere: false };
                return self.wait_for_thread(first.turn, Some((first.position, failed)));
            }
        };
        self.client.succeeded(first.position, shows_touch(&self.request));
        let checked = self.client.check_identity(
            first.position,
            &reply.header,
            first.seen,
            self.request.is_linearizable(),
        );
        self.finish(checked.map(|()| {
            let mut reply = reply;
            if !self.client.0.namespace.is_none() {
                self.client.0.namespace.leave(&mut reply);
            }
            reply
        }));
    }

    /// Goes on as an ordinary call, after a first attempt that failed, if one was made. Once in a turn: an answer and
    /// the end of its time may come at the same moment.
    fn wait_for_thread(self: &Arc<Self>, turn: u64, failed: Option<(usize, Failed)>) {
        let mut progress = lock(&self.progress);
        if progress.done.is_none() || progress.turn != turn {
            return;
        }
        self.enter(&mut progress, Stage::Waits);
        if failed.as_ref().is_some_and(|(_, failed)| failed.error.outcome() == Outcome::Unknown) {
            progress.outcome = Outcome::Unknown;
        }
        self.set_timer(&mut progress, self.deadline);
        drop(progress);
        let op = self.clone();
        if let Err(error) = self.client.0.pool.run(Box::new(move || op.run(failed))) {
            self.finish(Err(error));
        }
    }

    fn run(self: &Arc<Self>, failed: Option<(usize, Failed)>) {
        {
            let mut progress = lock(&self.progress);
            if progress.done.is_none() {
                return;
            }
            self.enter(&mut progress, Stage::Runs);
        }
        // While it waited, another one may have connected.
        if failed.is_none() && self.ask_at_once() {
            return;
        }
        let mut course = Course::default();
        if let Some((position, failed)) = failed
            && !self.client.goes_on(&mut course, &self.context(), self.repeat, position, failed)
        {
            return self.finish(Err(course.into_error()));
        }
        let reply = self.client.call_on(course, &self.context(), &self.entered, self.repeat);
        self.finish(reply.map(|mut reply| {
            if !self.client.0.namespace.is_none() {
                self.client.0.namespace.leave(&mut reply);
            }
            reply
        }));
    }

    fn time_is_over(self: &Arc<Self>, turn: u64) {
        let mut progress = lock(&self.progress);
        if progress.done.is_none() || progress.turn != turn {
            return;
        }
        progress.timer = None;
        let stage = std::mem::replace(&mut progress.stage, Stage::Waits);
        let outcome = progress.outcome;
        drop(progress);
        let Stage::Asked { position, abandon } = stage else {
            let error = Error::new(ErrorKind::Timeout, "no thread was free in time");
            return self.finish(Err(error.outcome_is(outcome)));
        };
        abandon();
        let endpoint = self.client.0.endpoints.at(position);
        let error = Error::new(ErrorKind::Timeout, "no answer in time").outcome_is(Outcome::Unknown);
        let error = error.at(&endpoint.name);
        if self.deadline.passed() {
            self.client.avoid(position);
            return self.finish(Err(error));
        }
        let failed = Failed { error, token: None, elsewhere: false };
        self.wait_for_thread(turn, Some((position, failed)));
    }

    /// The next stage begins.
    fn enter(&self, progress: &mut Progress, stage: Stage) {
        self.unset_timer(progress);
        progress.stage = stage;
        progress.turn += 1;
    }

    fn unset_timer(&self, progress: &mut Progress) {
        if let Some(time) = progress.timer.take() {
            self.client.0.clock.unset(time);
        }
    }

    /// It has ended; whatever comes later is late.
    fn finish(&self, result: Result<Reply>) {
        let mut progress = lock(&self.progress);
        let Some(done) = progress.done.take() else { return };
        self.unset_timer(&mut progress);
        drop(progress);
        let result = result.map_err(|error| self.client.told(&self.request, error));
        if let Err(error) = &result
            && self.user
        {
            self.client.0.identity.told(error);
        }
        self.client.0.ops.ended(self.key, || done(result));
    }
}

impl Ends for Op {
    fn end(&self, kind: ErrorKind) {
        let mut progress = lock(&self.progress);
        let stage = std::mem::replace(&mut progress.stage, Stage::Runs);
        let outcome = match &stage {
            Stage::Waits => progress.outcome,
            _ => Outcome::Unknown,
        };
        drop(progress);
        if let Stage::Asked { abandon, .. } = stage {
            abandon();
        }
        self.finish(Err(ended(kind).outcome_is(outcome)));
        // Only then: a thread that is busy with it would say that the client was closed.
        self.cancel.trigger();
    }
}

/// Something that may wait, and who is told how it ended.
type Work<T> = Box<dyn FnOnce(&Context) -> Result<T> + Send>;
type Ending<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// Something that a thread of the pool does from beginning to end.
struct Task<T> {
    key: u64,
    client: Client,
    cancel: Cancel,
    told: Mutex<Option<Ending<T>>>,
    /// A thread has begun with it.
    begun: AtomicBool,
}

impl Client {
    /// Lets a thread do something that may wait; ended by a cancel as any call is. Without a deadline the option's
    /// timeout counts.
    pub(super) fn submit_task<T: Send + 'static>(
        &self,
        deadline: Deadline,
        task: Work<T>,
        told: Ending<T>,
    ) -> Submitted {
        let key = self.0.ops.next_key();
        let (client, cancel, told, begun) =
            (self.clone(), Cancel::new(), Mutex::new(Some(told)), AtomicBool::new(false));
        let this = Arc::new(Task { key, client, cancel, told, begun });
        self.0.ops.insert(key, this.clone());
        let doing = this.clone();
        let run = move || {
            doing.begun.store(true, Ordering::SeqCst);
            if lock(&doing.told).is_some() {
                let context = doing.client.context_until(deadline, &doing.cancel);
                doing.finish(task(&context));
            }
        };
        if self.closed().is_triggered() {
            this.end(ErrorKind::Closed);
        } else if let Err(error) = self.0.pool.run(Box::new(run)) {
            this.finish(Err(error));
        }
        Submitted(this)
    }
}

impl<T> Task<T> {
    fn finish(&self, result: Result<T>) {
        let Some(told) = lock(&self.told).take() else { return };
        self.client.0.ops.ended(self.key, || told(result));
    }
}

impl<T> Ends for Task<T> {
    fn end(&self, kind: ErrorKind) {
        let outcome = if self.begun.load(Ordering::SeqCst) { Outcome::Unknown } else { Outcome::NotSent };
        self.finish(Err(ended(kind).outcome_is(outcome)));
        self.cancel.trigger();
    }
}

fn ended(kind: ErrorKind) -> Error {
    if kind == ErrorKind::Canceled { Error::canceled() } else { Error::closed() }
}
