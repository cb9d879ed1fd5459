//! One HTTP/2 connection for calls, driven by the threads that call: there is no thread behind it.
//!
//! A call is posted. Whoever finds the engine free sends what all have posted. One of those who wait leads: it waits for
//! the socket, reads for everybody, and hands the lead on when its own answer is there. Only the thread that has the
//! engine touches h2, and others are woken after it has let go, so that nobody wakes up to wait for a lock.

mod attendant;
mod engine;
mod waiter;

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::attendant::Attendant;
use self::engine::{Engine, Post, Unsent};
pub use self::waiter::{Taker, Waiter};
use super::route::{Dialed, Route};
use super::socket::{Shared, Socket};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::sys::{self, Signal};
use crate::wait::{Cancel, Deadline, Interrupted, lock, try_lock};

/// How much the leader reads before it looks at the time.
const READ_AT_ONCE: usize = 4 << 20;
/// A connection that was silent for so long may be dead without a word.
const SILENCE: Duration = Duration::from_secs(5);
/// Within so little time, that nothing was heard says nothing of a connection.
const TOO_SOON: Duration = Duration::from_millis(100);

pub struct Link {
    engine: Mutex<Engine>,
    /// What the engine has not taken yet.
    posts: Mutex<Vec<Post>>,
    /// There is something that the engine has not taken.
    posted: AtomicBool,
    turns: Mutex<Turns>,
    socket: Arc<Shared>,
    signal: Arc<Signal>,
    /// It takes no new calls.
    over: AtomicBool,
    /// Waits for the answers that no thread waits for.
    attendant: Attendant,
}

#[derive(Default)]
struct Turns {
    has_leader: bool,
    /// Those who wait for the leader, or to become it.
    waiting: Vec<Arc<Waiter>>,
}

impl Link {
    /// Over a connection that was just made. Nothing is sent yet.
    pub fn new(dialed: Dialed, route: &Route) -> Result<Self> {
        let socket = Socket::new(dialed.stream, dialed.tls, true);
        let shared = socket.shared.clone();
        let signal = Signal::new().map_err(|error| {
            Error::new(ErrorKind::NoResource, format!("no file descriptor: {error}")).caused_by(&error)
        })?;
        Ok(Link {
            engine: Mutex::new(Engine::new(socket, route.max_reply)?),
            posts: Mutex::default(),
            posted: AtomicBool::new(false),
            turns: Mutex::default(),
            socket: shared,
            signal: Arc::new(signal),
            over: AtomicBool::new(false),
            attendant: Attendant::new(&route.threads),
        })
    }

    /// Whether new calls may use it.
    pub fn is_usable(&self) -> bool {
        // What has happened since the last call nobody has read.
        let quiet = self.socket.silence().is_some_and(|silence| silence > Duration::from_millis(50));
        if quiet && !lock(&self.turns).has_leader {
            self.drive(lock(&self.engine), READ_AT_ONCE);
        }
        !self.over.load(Ordering::SeqCst)
    }

    /// Lets later calls use another one.
    fn retire(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Whether something was heard not long ago.
    pub fn is_alive(&self) -> bool {
        self.socket.silence().is_some_and(|silence| silence < SILENCE)
    }

    /// Before something is sent that must not be sent twice: makes sure that somebody is there to answer.
    pub fn check_alive(&self, deadline: Deadline, cancel: &Cancel) -> Result<()> {
        if self.is_alive() {
            return Ok(());
        }
        let asked = Instant::now();
        let waiter = Arc::new(Waiter::new(self.signal.clone()));
        self.post(Post::Ping(waiter.clone()));
        let error = match self.wait(&waiter, deadline, cancel) {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => self.explained(error),
            Err(Interrupted::Canceled) => return Err(Error::closed()),
            Err(Interrupted::Timeout) => {
                let fault = format!("no sign of life within {} ms", asked.elapsed().as_millis());
                Error::new(ErrorKind::Timeout, fault)
            }
        };
        self.retire();
        Err(error.outcome_is(Outcome::NotSent))
    }

    /// Makes one call: one message, one answer.
    pub fn call(
        &self,
        head: http::Request<()>,
        message: Bytes,
        deadline: Deadline,
        cancel: &Cancel,
    ) -> Result<Bytes> {
        let sent = Instant::now();
        let waiter = Arc::new(Waiter::new(self.signal.clone()));
        self.post(Post::Call(Unsent { head, message, waiter: waiter.clone() }));
        match self.wait(&waiter, deadline, cancel) {
            Ok(result) => result.map_err(|error| self.explained(error)),
            Err(interrupted) => {
                self.give_up(waiter, sent);
                Err(match interrupted {
                    Interrupted::Timeout => Error::new(ErrorKind::Timeout, "no answer in time"),
                    Interrupted::Canceled => Error::closed(),
                }
                .outcome_is(Outcome::Unknown))
            }
        }
    }

    /// Nobody waits any more for the answer to a call that was `sent` then.
    fn give_up(&self, waiter: Arc<Waiter>, sent: Instant) {
        // The server is told.
        self.post(Post::GiveUp(waiter));
        // At first something is heard: that the server's end has taken the request. A call that was given up before
        // that could be heard must not cost a connection.
        let waited = sent.elapsed();
        if waited > TOO_SOON && self.socket.silence().is_none_or(|silence| silence > waited / 2) {
            self.retire();
        }
    }

    /// Sees to it that somebody reads the answer to the call that is submitted next. Each of these needs its own.
    pub fn expect_answer(self: &Arc<Self>) -> Result<()> {
        Attendant::expect_one(self)
    }

    /// Makes one call without waiting for its answer, which `taker` gets, unless the call is given up with
    /// [`Link::abandon`] before.
    pub fn submit(self: &Arc<Self>, head: http::Request<()>, message: Bytes, taker: Taker) -> Submitted {
        let link = self.clone();
        let taker: Taker = Box::new(move |answer| {
            link.attendant.one_less();
            taker(answer.map_err(|error| link.explained(error)));
        });
        let waiter = Arc::new(Waiter::taking(self.signal.clone(), taker));
        let post = Post::Call(Unsent { head, message, waiter: waiter.clone() });
        if self.attendant.has_one() {
            self.post(post);
        } else {
            self.leave_to_leader(post);
        }
        Submitted { waiter, sent: Instant::now() }
    }

    /// Nobody wants the answer any more.
    pub fn abandon(&self, submitted: Submitted) {
        if submitted.waiter.forget() {
            self.attendant.one_less();
            self.give_up(submitted.waiter, submitted.sent);
            // If that was the last one, the attendant leads no longer.
            self.signal.give();
        }
    }

    /// Posts something that whoever leads is to send: together with what else comes meanwhile.
    fn leave_to_leader(&self, post: Post) {
        lock(&self.posts).push(post);
        if !self.posted.swap(true, Ordering::SeqCst) {
            self.signal.give();
        }
    }

    /// An error with what only the socket knows of it.
    fn explained(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Unavailable && error.kind() != ErrorKind::BadReply {
            return error;
        }
        if let Some(fault) = self.socket.fault() {
            return fault;
        }
        let never_heard_of = self.socket.silence().is_none() && error.kind() == ErrorKind::Unavailable;
        if never_heard_of {
            error.advise("is etcd running there? If it wants TLS, say https://")
        } else {
            error
        }
    }

    /// Gives something to the engine, and lets it work unless another thread is about to.
    fn post(&self, post: Post) {
        lock(&self.posts).push(post);
        self.posted.store(true, Ordering::SeqCst);
        if let Some(engine) = try_lock(&self.engine) {
            self.drive(engine, 0);
        }
    }

    /// Lets the engine work, also for what others post meanwhile, then wakes those who have waited for that.
    fn drive<'a>(&'a self, mut engine: MutexGuard<'a, Engine>, may_read: usize) {
        self.socket.let_read(may_read);
        loop {
            self.posted.store(false, Ordering::SeqCst);
            let posts = std::mem::take(&mut *lock(&self.posts));
            let done = engine.work(posts);
            let takes_calls = engine.takes_calls();
            self.socket.let_read(0);
            drop(engine);
            if !takes_calls {
                self.retire();
            }
            for waiter in done {
                waiter.wake();
            }
            let only_sends = may_read == 0;
            if only_sends && self.socket.wants_write.load(Ordering::Relaxed) {
                // The leader has to wait for that as well.
                self.signal.give();
            }
            // Whoever found the engine taken relies on this look.
            if !self.posted.load(Ordering::SeqCst) {
                return;
            }
            match try_lock(&self.engine) {
                Some(again) => engine = again,
                None => return,
            }
        }
    }

    /// Waits for the answer, leading or letting another one lead.
    fn wait(
        &self,
        waiter: &Arc<Waiter>,
        deadline: Deadline,
        cancel: &Cancel,
    ) -> std::result::Result<Result<Bytes>, Interrupted> {
        let to_wake = waiter.clone();
        let _listening = cancel.listen(move || to_wake.wake());
        let _turn = Turn { link: self, waiter };
        loop {
            if let Some(answer) = waiter.answer() {
                return Ok(answer);
            }
            if cancel.is_triggered() {
                return Err(Interrupted::Canceled);
            }
            if deadline.passed() {
                return Err(Interrupted::Timeout);
            }
            if self.leads(waiter) {
                self.lead(waiter, deadline);
            } else {
                waiter.sleep(deadline);
            }
        }
    }

    /// Takes the lead if nobody has it.
    fn leads(&self, waiter: &Arc<Waiter>) -> bool {
        let mut turns = lock(&self.turns);
        if waiter.leads() {
            return true;
        }
        if !turns.has_leader {
            turns.has_leader = true;
            turns.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
            waiter.take_lead();
            return true;
        }
        if waiter.begins_to_wait() {
            turns.waiting.push(waiter.clone());
        }
        false
    }

    /// Waits for the socket, then reads for everybody.
    fn lead(&self, waiter: &Waiter, deadline: Deadline) {
        if waiter.begin_polling() {
            let writes = self.socket.wants_write.load(Ordering::Relaxed);
            sys::wait_ready(self.socket.stream.as_fd(), writes, &self.signal, deadline.at());
            waiter.end_polling();
        }
        self.drive(lock(&self.engine), READ_AT_ONCE);
    }

    /// Lets another one lead, or nobody, if nobody waits.
    fn leave(&self, waiter: &Arc<Waiter>) {
        let mut turns = lock(&self.turns);
        if !waiter.leads() {
            turns.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
            return;
        }
        // The one that came last will wait longest: so the lead changes least.
        match turns.waiting.pop() {
            Some(next) => {
                next.take_lead();
                drop(turns);
                next.wake();
            }
            None => turns.has_leader = false,
        }
    }
}

/// A call for whose answer no thread waits.
pub struct Submitted {
    waiter: Arc<Waiter>,
    sent: Instant,
}

/// One thread's wait; its end is seen to whatever happens.
struct Turn<'a> {
    link: &'a Link,
    waiter: &'a Arc<Waiter>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.link.leave(self.waiter);
    }
}
