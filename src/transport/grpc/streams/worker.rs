//! The thread behind the streams of one endpoint.

use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong, SendStream};

use super::super::answer::{Answer, Messages};
use super::super::route::Route;
use super::super::socket::{Shared, Socket};
use super::super::{encode, greet, http2, status};
use super::keeping::Keeping;
use super::watching::Watching;
use super::{Order, Orders};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::options::Secret;
use crate::sys;
use crate::wait::{Deadline, lock};

/// What a server may send before we have taken it: for a stream, and for all.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// From which length on an answer is taken in parts, while the rest of it comes.
const PART: usize = 1 << 20;
/// How much is read before orders are looked at.
const READ_AT_ONCE: usize = 1 << 20;
/// How long a server may take to answer a ping.
const PATIENCE: Duration = Duration::from_secs(5);
/// Whoever has waited in vain for so long, and then no longer, shows that something is wrong.
const IN_VAIN: Duration = Duration::from_millis(500);
/// How long the connection is kept when nothing uses it.
const LINGER: Duration = Duration::from_secs(60);

pub struct Worker {
    route: Arc<Route>,
    orders: Arc<Orders>,
}

impl Worker {
    pub fn new(route: Arc<Route>, orders: Arc<Orders>) -> Self {
        Worker { route, orders }
    }

    /// Connects, and serves until nothing is left to be served.
    pub fn run(self) {
        let connected = self.route.dial(Deadline::NEVER).and_then(|dialed| {
            let socket = Socket::new(dialed.stream, dialed.tls, false);
            let shared = socket.shared.clone();
            let builder = http2(STREAM_WINDOW, CONNECTION_WINDOW);
            Ok((shared, greet(builder.handshake(socket))?))
        });
        lock(&self.orders.queue).dialing = false;
        match connected {
            Ok((socket, (requests, connection))) => {
                Serving::new(&self, socket, requests, connection).run();
            }
            Err(error) => self.refuse_all(&error.outcome_is(Outcome::NotSent)),
        }
    }

    /// Takes no more orders, and tells why to those who have given some.
    fn refuse_all(&self, error: &Error) {
        let orders = {
            let mut queue = lock(&self.orders.queue);
            queue.closed = true;
            std::mem::take(&mut queue.orders)
        };
        for order in orders {
            match order {
                Order::Watch { mut watch, .. } => watch.fail(error.clone()),
                Order::KeepAlive { mut keep, .. } => keep.end(Err(error.clone())),
                Order::EndWatch(_) | Order::Missed(_) => {}
            }
        }
    }
}

impl Drop for Worker {
    /// However the thread ends, nobody waits for it in vain.
    fn drop(&mut self) {
        self.refuse_all(&super::lost());
    }
}

/// Tells whether h2 has something more to do.
#[derive(Default)]
struct Busy(AtomicBool);

impl Wake for Busy {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Serving<'a> {
    worker: &'a Worker,
    socket: Arc<Shared>,
    requests: SendRequest<Bytes>,
    connection: Connection<Socket, Bytes>,
    pings: PingPong,
    /// When the server was pinged, as long as it has not answered.
    pinged: Option<Instant>,
    watching: Vec<Watching>,
    keeping: Vec<Keeping>,
    /// Since when nothing uses the connection.
    idle: Option<Instant>,
}

/// What the thread does next.
enum Next {
    Again,
    Wait(Option<Instant>),
    End(Error),
}

impl<'a> Serving<'a> {
    fn new(
        worker: &'a Worker,
        socket: Arc<Shared>,
        requests: SendRequest<Bytes>,
        mut connection: Connection<Socket, Bytes>,
    ) -> Self {
        let pings = connection.ping_pong().expect("nobody took it before");
        let (watching, keeping) = Default::default();
        Serving { worker, socket, requests, connection, pings, pinged: None, watching, keeping, idle: None }
    }

    fn run(mut self) {
        let busy = Arc::new(Busy::default());
        let waker = Waker::from(busy.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            busy.0.store(false, Ordering::Relaxed);
            let next = self.step(&mut context);
            match next {
                _ if busy.0.load(Ordering::Relaxed) && !matches!(next, Next::End(_)) => {}
                Next::Again => {}
                Next::Wait(until) => {
                    let writes = self.socket.wants_write.load(Ordering::Relaxed);
                    let (socket, signal) = (self.socket.stream.as_fd(), &self.worker.orders.signal);
                    sys::wait_ready(socket, writes, signal, until);
                }
                Next::End(error) => return self.end(&error),
            }
        }
    }

    fn step(&mut self, context: &mut Context) -> Next {
        if let Err(error) = self.take_orders() {
            return Next::End(error);
        }
        self.socket.let_read(READ_AT_ONCE);
        if let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(context) {
            // What the server said before it ended the connection comes first.
            self.poll_streams(context);
            return Next::End(self.why_ended(ended));
        }
        self.poll_streams(context);
        self.look_at_time(context)
    }

    /// An error: nobody could give one any more, or they show that the connection is dead.
    fn take_orders(&mut self) -> Result<()> {
        let (orders, abandoned) = {
            let mut queue = lock(&self.worker.orders.queue);
            (std::mem::take(&mut queue.orders), queue.abandoned)
        };
        for order in orders {
            match order {
                Order::Watch { watch, request, token } => match self.watching_for(token.as_ref()) {
                    Ok(watching) => watching.create(watch, request),
                    Err(error) => {
                        let mut watch = watch;
                        watch.fail(error);
                    }
                },
                Order::EndWatch(key) => {
                    let waiting = self.watching.iter().find_map(|watching| watching.waits_since(key));
                    self.watching.iter_mut().for_each(|watching| watching.end(key));
                    self.unless_deaf(waiting)?;
                }
                Order::KeepAlive { mut keep, token } => match self.keeping_for(token.as_ref()) {
                    Ok(keeping) => keeping.send(keep),
                    Err(error) => keep.end(Err(error)),
                },
                Order::Missed(key) => self.missed(key)?,
            }
        }
        if abandoned { Err(super::lost()) } else { Ok(()) }
    }

    /// A keep-alive was given up: one that comes later must not wait for the same silence.
    fn missed(&mut self, key: u64) -> Result<()> {
        let waiting = self.keeping.iter().map(|keeping| keeping.waits_since(key));
        let found = waiting.enumerate().find_map(|(at, since)| Some((at, since?)));
        let Some((at, since)) = found.filter(|(_, since)| since.elapsed() >= IN_VAIN) else { return Ok(()) };
        self.unless_deaf(Some(since))?;
        // The server is there: it is the stream that is stuck.
        let error = Error::new(ErrorKind::Unavailable, "the server does not answer keep-alives");
        self.keeping.swap_remove(at).fail(&error.outcome_is(Outcome::Unknown));
        Ok(())
    }

    /// Fails when somebody has waited in vain since then, and nothing else was heard either. (At first, something
    /// is: that the server's end has taken the request.)
    fn unless_deaf(&self, waiting: Option<Instant>) -> Result<()> {
        let Some(waited) = waiting.map(|since| since.elapsed()).filter(|waited| *waited >= IN_VAIN) else {
            return Ok(());
        };
        if self.socket.silence().is_some_and(|silence| silence < waited / 2) {
            return Ok(());
        }
        let fault = format!("no sign of life for {} ms", waited.as_millis());
        Err(Error::new(ErrorKind::Unavailable, fault).outcome_is(Outcome::Unknown))
    }

    fn watching_for(&mut self, token: Option<&Secret>) -> Result<&mut Watching> {
        // A server looks at the token when the stream is opened: another one needs another stream.
        if !self.watching.iter().any(|watching| watching.is_for(token)) {
            let messages = Messages::in_parts(self.worker.route.max_reply, PART);
            let (requests, answers) = self.open(encode::WATCH, token, messages)?;
            self.watching.retain(|watching| !watching.is_idle());
            self.watching.push(Watching::new(token.cloned(), requests, answers));
        }
        Ok(self.watching.iter_mut().rfind(|watching| watching.is_for(token)).expect("there is one now"))
    }

    fn keeping_for(&mut self, token: Option<&Secret>) -> Result<&mut Keeping> {
        if !self.keeping.iter().any(|keeping| keeping.is_for(token)) {
            let messages = Messages::new(self.worker.route.max_reply);
            let (requests, answers) = self.open(encode::KEEP_ALIVE, token, messages)?;
            self.keeping.retain(|keeping| !keeping.is_idle());
            self.keeping.push(Keeping::new(token.cloned(), requests, answers));
        }
        Ok(self.keeping.iter_mut().rfind(|keeping| keeping.is_for(token)).expect("there is one now"))
    }

    fn open(
        &mut self,
        path: &'static str,
        token: Option<&Secret>,
        messages: Messages,
    ) -> Result<(SendStream<Bytes>, Answer)> {
        let head = self.worker.route.head(path, token, None, true)?;
        let sent = self.requests.clone().send_request(head, false);
        let (answers, requests) =
            sent.map_err(|error| status::of_http2(error).outcome_is(Outcome::NotSent))?;
        Ok((requests, Answer::new(answers, messages)))
    }

    fn poll_streams(&mut self, context: &mut Context) {
        for at in (0..self.watching.len()).rev() {
            if let Poll::Ready(error) = self.watching[at].poll(context) {
                self.watching.swap_remove(at).fail(&self.explained(error));
            }
        }
        for at in (0..self.keeping.len()).rev() {
            if let Poll::Ready(error) = self.keeping[at].poll(context) {
                self.keeping.swap_remove(at).fail(&self.explained(error));
            }
        }
    }

    fn explained(&self, error: Error) -> Error {
        self.socket.fault().unwrap_or(error)
    }

    fn why_ended(&self, ended: std::result::Result<(), h2::Error>) -> Error {
        match ended {
            Ok(()) => super::lost(),
            Err(error) => {
                if status::is_about_pings(&error) {
                    self.worker.route.ping_less();
                }
                self.explained(status::of_http2(error).outcome_is(Outcome::Unknown))
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.watching.iter().all(Watching::is_idle) && self.keeping.iter().all(Keeping::is_idle)
    }

    /// Pings, patience, and the end of a connection that nobody uses.
    fn look_at_time(&mut self, context: &mut Context) -> Next {
        if self.pings.poll_pong(context).is_ready() {
            self.pinged = None;
        }
        let now = Instant::now();
        if self.is_idle() {
            let until = *self.idle.get_or_insert(now) + LINGER;
            return if now < until { Next::Wait(Some(until)) } else { self.close_if_idle() };
        }
        self.idle = None;
        // One that never spoke is as silent as one that has not for a while: it counts from the first ping.
        let silence = self.socket.silence();
        // Anything that was heard since is as good as the answer, which may never come: from then on there may be silence.
        self.pinged = self.pinged.filter(|pinged| silence.is_none_or(|silence| silence >= pinged.elapsed()));
        if let Some(pinged) = self.pinged {
            let until = pinged + PATIENCE;
            if now < until {
                return Next::Wait(Some(until));
            }
            let fault = format!("no sign of life for {} s", PATIENCE.as_secs());
            return Next::End(Error::new(ErrorKind::Unavailable, fault).outcome_is(Outcome::Unknown));
        }
        let due = silence.map_or(now, |silence| now + self.worker.route.ping_after().saturating_sub(silence));
        if due > now {
            return Next::Wait(Some(due));
        }
        // It is answered by the next one if one is under way.
        let _ = self.pings.send_ping(Ping::opaque());
        self.pinged = Some(now);
        Next::Again
    }

    /// Ends unless an order has come in the meantime.
    fn close_if_idle(&self) -> Next {
        let mut queue = lock(&self.worker.orders.queue);
        if !queue.orders.is_empty() {
            return Next::Again;
        }
        queue.closed = true;
        Next::End(super::lost())
    }

    fn end(mut self, error: &Error) {
        self.worker.refuse_all(error);
        self.watching.drain(..).for_each(|watching| watching.fail(error));
        self.keeping.drain(..).for_each(|keeping| keeping.fail(error));
    }
}
