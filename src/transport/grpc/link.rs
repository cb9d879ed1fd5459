//! One HTTP/2 connection for calls, driven by the threads that call: there is no thread behind it. Whoever sends
//! flushes what all have queued. One of those who wait leads: it waits for the socket, reads for everybody, and hands
//! the lead on when its own answer is there.

use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong};

use super::answer::Answer;
use super::route::Dialed;
use super::socket::{Shared, Socket};
use super::status;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::sys::{self, Signal};
use crate::wait::{Cancel, Deadline, Interrupted, lock};

/// What h2 may take in for calls before they have taken it: for one, and for all.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// How much the leader reads before it looks at the time.
const READ_AT_ONCE: usize = 4 << 20;
/// A connection that was silent for so long may be dead without a word.
const SILENCE: Duration = Duration::from_secs(5);

pub struct Link {
    requests: SendRequest<Bytes>,
    engine: Mutex<Engine>,
    /// Something may be queued that was not flushed.
    queued: AtomicBool,
    turns: Mutex<Turns>,
    socket: Arc<Shared>,
    signal: Arc<Signal>,
    pings: Mutex<PingPong>,
    /// It takes no new calls.
    over: AtomicBool,
    why_ended: Mutex<Option<Error>>,
    reply_limit: usize,
}

/// `None` when it has ended.
type Engine = Option<Connection<Socket, Bytes>>;

#[derive(Default)]
struct Turns {
    has_leader: bool,
    /// Those who wait for the leader, or to become it.
    waiting: Vec<Arc<Waiter>>,
}

impl Link {
    /// Over a connection that was just made. Nothing is sent yet.
    pub fn new(dialed: Dialed, reply_limit: usize) -> Result<Self> {
        let socket = Socket::new(dialed.stream, dialed.tls, true);
        let shared = socket.shared.clone();
        let builder = super::http2(STREAM_WINDOW, CONNECTION_WINDOW);
        let (requests, mut connection) = super::greet(builder.handshake(socket))?;
        let pings = connection.ping_pong().expect("nobody took it before");
        let signal = Signal::new().map_err(|error| {
            Error::new(ErrorKind::NoResource, format!("no file descriptor: {error}")).caused_by(&error)
        })?;
        Ok(Link {
            requests,
            engine: Mutex::new(Some(connection)),
            queued: AtomicBool::new(false),
            turns: Mutex::default(),
            socket: shared,
            signal: Arc::new(signal),
            pings: Mutex::new(pings),
            over: AtomicBool::new(false),
            why_ended: Mutex::default(),
            reply_limit,
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
    pub fn retire(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Before something is sent that must not be sent twice: makes sure that somebody is there to answer.
    pub fn check_alive(&self, deadline: Deadline, cancel: &Cancel) -> Result<()> {
        let is_alive = || self.socket.silence().is_some_and(|silence| silence < SILENCE);
        if is_alive() {
            return Ok(());
        }
        // One at a time; who comes later finds it answered.
        let asked = Instant::now();
        let mut pings = lock(&self.pings);
        if is_alive() {
            return Ok(());
        }
        // One that is under way already will do.
        let _ = pings.send_ping(Ping::opaque());
        self.flush();
        let result = self.wait(deadline, cancel, |context| pings.poll_pong(context));
        drop(pings);
        let error = match result {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => {
                let why = lock(&self.why_ended).clone();
                self.explained(why.unwrap_or_else(|| status::of_http2(error)))
            }
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
        request: http::Request<()>,
        message: Bytes,
        deadline: Deadline,
        cancel: &Cancel,
    ) -> Result<Bytes> {
        let sent = Instant::now();
        let mut answer = self.send(request, message).map_err(|error| {
            self.retire();
            self.explained(status::of_http2(error)).outcome_is(Outcome::NotSent)
        })?;
        self.flush();
        let mut only = None;
        match self.wait(deadline, cancel, |context| answer.poll_only(&mut only, context)) {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(self.explained(error)),
            Err(interrupted) => {
                drop(answer);
                // The server is told that nobody waits any more.
                self.flush();
                if self.socket.silence().is_none_or(|silence| silence > sent.elapsed()) {
                    self.retire();
                }
                Err(match interrupted {
                    Interrupted::Timeout => Error::new(ErrorKind::Timeout, "no answer in time"),
                    Interrupted::Canceled => Error::closed(),
                }
                .outcome_is(Outcome::Unknown))
            }
        }
    }

    fn send(&self, request: http::Request<()>, message: Bytes) -> std::result::Result<Answer, h2::Error> {
        let (head, mut stream) = self.requests.clone().send_request(request, false)?;
        stream.send_data(message, true)?;
        Ok(Answer::new(head, self.reply_limit))
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

    /// Sends what is queued, unless another thread is about to.
    fn flush(&self) {
        self.queued.store(true, Ordering::SeqCst);
        if let Ok(engine) = self.engine.try_lock() {
            self.drive(engine, 0);
        }
    }

    /// Lets h2 do what there is to do, and after that what others have queued meanwhile.
    fn drive<'a>(&'a self, mut engine: MutexGuard<'a, Engine>, may_read: usize) {
        self.socket.let_read(may_read);
        loop {
            self.queued.store(false, Ordering::SeqCst);
            self.poll(&mut engine);
            self.socket.let_read(0);
            drop(engine);
            // Whoever found it locked relies on this look.
            if !self.queued.load(Ordering::SeqCst) {
                return;
            }
            match self.engine.try_lock() {
                Ok(again) => engine = again,
                Err(_) => return,
            }
        }
    }

    fn poll(&self, engine: &mut Engine) {
        let Some(connection) = engine else { return };
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(ended) = Pin::new(connection).poll(&mut context) {
            let why = ended.err().map_or_else(|| status::lost("the server has closed it"), status::of_http2);
            *lock(&self.why_ended) = Some(why);
            self.retire();
            // This tells everybody who waits for something on it.
            *engine = None;
        } else if self.socket.wants_write.load(Ordering::Relaxed) {
            // The leader has to wait for that as well.
            self.signal.give();
        }
    }

    /// Waits until `ready`, driving the connection or letting the leader do so.
    fn wait<T>(
        &self,
        deadline: Deadline,
        cancel: &Cancel,
        mut ready: impl FnMut(&mut Context) -> Poll<T>,
    ) -> std::result::Result<T, Interrupted> {
        let waiter = Arc::new(Waiter::new(self.signal.clone()));
        let waker = Waker::from(waiter.clone());
        let to_wake = waiter.clone();
        let _listening = cancel.listen(move || to_wake.wake_by_ref());
        let _turn = Turn { link: self, waiter: &waiter };
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = ready(&mut context) {
                return Ok(result);
            }
            if cancel.is_triggered() {
                return Err(Interrupted::Canceled);
            }
            if deadline.passed() {
                return Err(Interrupted::Timeout);
            }
            if self.leads(&waiter) {
                self.lead(&waiter, deadline);
            } else {
                waiter.sleep(deadline);
            }
        }
    }

    /// Takes the lead if nobody has it.
    fn leads(&self, waiter: &Arc<Waiter>) -> bool {
        let mut turns = lock(&self.turns);
        let mut flags = lock(&waiter.flags);
        if !flags.leads && !turns.has_leader {
            (turns.has_leader, flags.leads) = (true, true);
            turns.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
        } else if !flags.leads && !flags.waits {
            flags.waits = true;
            turns.waiting.push(waiter.clone());
        }
        flags.leads
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
        let (led, waited) = {
            let flags = lock(&waiter.flags);
            (flags.leads, flags.waits)
        };
        if !led {
            if waited {
                turns.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
            }
            return;
        }
        // The one that came last will wait longest: so the lead changes least.
        match turns.waiting.pop() {
            Some(next) => next.lead(),
            None => turns.has_leader = false,
        }
    }
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

/// A thread that waits for an answer.
struct Waiter {
    flags: Mutex<Flags>,
    changed: Condvar,
    signal: Arc<Signal>,
}

#[derive(Default)]
struct Flags {
    /// Something happened that it has not looked at.
    woken: bool,
    leads: bool,
    /// It stands among those who wait for the lead, or did.
    waits: bool,
    /// It waits for the socket.
    polls: bool,
    /// It waits to be woken.
    sleeps: bool,
}

impl Waiter {
    fn new(signal: Arc<Signal>) -> Self {
        Waiter { flags: Mutex::default(), changed: Condvar::new(), signal }
    }

    fn lead(&self) {
        let mut flags = lock(&self.flags);
        flags.leads = true;
        self.rouse(&mut flags);
    }

    fn rouse(&self, flags: &mut Flags) {
        flags.woken = true;
        if flags.polls {
            self.signal.give();
        } else if flags.sleeps {
            self.changed.notify_one();
        }
    }

    /// Waits until it is woken or the time is over.
    fn sleep(&self, deadline: Deadline) {
        let mut flags = lock(&self.flags);
        while !flags.woken {
            flags.sleeps = true;
            flags = match deadline.remaining() {
                None => self.changed.wait(flags).unwrap_or_else(|poisoned| poisoned.into_inner()),
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.changed.wait_timeout(flags, left);
                    waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
                }
            };
            flags.sleeps = false;
        }
        flags.woken = false;
    }

    /// `false` when there is something to look at first.
    fn begin_polling(&self) -> bool {
        let mut flags = lock(&self.flags);
        flags.polls = !std::mem::take(&mut flags.woken);
        flags.polls
    }

    fn end_polling(&self) {
        let mut flags = lock(&self.flags);
        (flags.polls, flags.woken) = (false, false);
    }
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rouse(&mut lock(&self.flags));
    }
}
