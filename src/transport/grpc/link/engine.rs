//! What is done on a connection by whichever thread has the engine.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong};
use slab::Slab;

use super::super::answer::{Answer, Messages};
use super::super::socket::Socket;
use super::super::{greet, http2, status};
use super::waiter::Waiter;
use crate::error::{Error, Outcome, Result};
use crate::wait::lock;

/// What a server may send before it was taken: for one call, and for all.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// How many calls are under way on a connection. More at a time are answered no faster, and h2 would keep the room that
/// they took for as long as the connection lasts.
const UNDER_WAY: usize = 1000;

/// What threads want of the engine.
#[allow(clippy::large_enum_variant, reason = "nearly all are calls")]
pub enum Post {
    /// Send this, and give the waiter the answer.
    Call(Unsent),
    /// Give the waiter an empty answer once the server has shown that it is there.
    Ping(Arc<Waiter>),
    /// This one does not wait any more.
    GiveUp(Arc<Waiter>),
}

/// A call that is not sent yet.
pub struct Unsent {
    pub head: http::Request<()>,
    pub message: Bytes,
    pub waiter: Arc<Waiter>,
}

pub struct Engine {
    requests: SendRequest<Bytes>,
    /// `None` when it has ended.
    connection: Option<Connection<Socket, Bytes>>,
    pings: PingPong,
    /// Those who wait for the answer to a ping.
    pinging: Vec<Arc<Waiter>>,
    calls: Slab<Call>,
    /// Calls that are sent when others have been answered.
    unsent: VecDeque<Unsent>,
    /// For each place of `calls`, whatever stands there.
    wakers: Vec<Waker>,
    ready: Arc<Ready>,
    waker: Waker,
    done: Vec<Arc<Waiter>>,
    why_ended: Option<Error>,
    reply_limit: usize,
}

struct Call {
    waiter: Arc<Waiter>,
    answer: Answer,
    only: Option<Bytes>,
}

/// What h2 has news for.
#[derive(Default)]
struct Ready {
    calls: Mutex<Vec<usize>>,
    connection: AtomicBool,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.connection.store(true, Ordering::Relaxed);
    }
}

struct CallReady {
    ready: Arc<Ready>,
    place: usize,
}

impl Wake for CallReady {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        lock(&self.ready.calls).push(self.place);
    }
}

impl Engine {
    pub fn new(socket: Socket, reply_limit: usize) -> Result<Self> {
        let handshake = http2(STREAM_WINDOW, CONNECTION_WINDOW).handshake(socket);
        let (requests, mut connection) = greet(handshake)?;
        let pings = connection.ping_pong().expect("nobody took it before");
        let ready = Arc::new(Ready::default());
        Ok(Engine {
            requests,
            connection: Some(connection),
            pings,
            pinging: Vec::new(),
            calls: Slab::new(),
            unsent: VecDeque::new(),
            wakers: Vec::new(),
            waker: Waker::from(ready.clone()),
            ready,
            done: Vec::new(),
            why_ended: None,
            reply_limit,
        })
    }

    /// Whether new calls may use it. After a farewell the server answers only those that it has.
    pub fn takes_calls(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let refused = matches!(self.requests.poll_ready(&mut context), Poll::Ready(Err(_)));
        self.connection.is_some() && !refused
    }

    /// Takes what was posted, sends and reads as far as the socket lets it, and returns those whose answer is
    /// there now, to be woken.
    pub fn work(&mut self, posts: Vec<Post>) -> Vec<Arc<Waiter>> {
        for post in posts {
            match post {
                Post::Call(call) => self.unsent.push_back(call),
                Post::Ping(waiter) => self.ping(waiter),
                Post::GiveUp(waiter) => self.give_up(&waiter),
            }
        }
        loop {
            self.send_some();
            self.ready.connection.store(false, Ordering::Relaxed);
            self.poll_connection();
            self.poll_pong();
            let ready = std::mem::take(&mut *lock(&self.ready.calls));
            for place in &ready {
                self.poll_call(*place);
            }
            let busy = self.ready.connection.load(Ordering::Relaxed) || self.may_send();
            if !busy && lock(&self.ready.calls).is_empty() {
                return std::mem::take(&mut self.done);
            }
        }
    }

    fn may_send(&self) -> bool {
        self.calls.len() < UNDER_WAY && !self.unsent.is_empty()
    }

    fn send_some(&mut self) {
        while self.may_send() {
            let call = self.unsent.pop_front().expect("just seen");
            self.send(call);
        }
    }

    fn send(&mut self, Unsent { head, message, waiter }: Unsent) {
        // A clone, since h2 takes no second one from the same while the first waits for its turn.
        let sent = self.requests.clone().send_request(head, false).and_then(|(answer, mut stream)| {
            stream.send_data(message, true)?;
            Ok(Answer::new(answer, Messages::new(self.reply_limit)))
        });
        match sent {
            Ok(answer) => {
                let place = self.calls.insert(Call { waiter, answer, only: None });
                while self.wakers.len() <= place {
                    let (ready, place) = (self.ready.clone(), self.wakers.len());
                    self.wakers.push(Waker::from(Arc::new(CallReady { ready, place })));
                }
                // So that h2 knows whom to tell.
                self.poll_call(place);
            }
            Err(error) => {
                let error = self.why_ended.clone().unwrap_or_else(|| status::of_http2(error));
                self.finish(waiter, Err(error.outcome_is(Outcome::NotSent)));
            }
        }
    }

    fn finish(&mut self, waiter: Arc<Waiter>, answer: Result<Bytes>) {
        waiter.set_answer(answer);
        self.done.push(waiter);
    }

    fn poll_call(&mut self, place: usize) {
        let Some(call) = self.calls.get_mut(place) else { return };
        let mut context = Context::from_waker(&self.wakers[place]);
        if let Poll::Ready(answer) = call.answer.poll_only(&mut call.only, &mut context) {
            let call = self.calls.remove(place);
            self.finish(call.waiter, answer);
        }
    }

    fn give_up(&mut self, waiter: &Arc<Waiter>) {
        self.pinging.retain(|other| !Arc::ptr_eq(other, waiter));
        self.unsent.retain(|call| !Arc::ptr_eq(&call.waiter, waiter));
        let place = self.calls.iter().find(|(_, call)| Arc::ptr_eq(&call.waiter, waiter));
        if let Some((place, _)) = place {
            // h2 tells the server.
            drop(self.calls.remove(place));
        }
    }

    fn ping(&mut self, waiter: Arc<Waiter>) {
        if let Some(why) = &self.why_ended {
            let why = why.clone();
            return self.finish(waiter, Err(why));
        }
        self.pinging.push(waiter);
        // One that is under way already will do.
        let _ = self.pings.send_ping(Ping::opaque());
    }

    fn poll_pong(&mut self) {
        if self.pinging.is_empty() {
            return;
        }
        let mut context = Context::from_waker(&self.waker);
        if let Poll::Ready(answered) = self.pings.poll_pong(&mut context) {
            let why = |error| self.why_ended.clone().unwrap_or_else(|| status::of_http2(error));
            let answer = answered.map(|_| Bytes::new()).map_err(why);
            for waiter in std::mem::take(&mut self.pinging) {
                self.finish(waiter, answer.clone());
            }
        }
    }

    fn poll_connection(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let mut context = Context::from_waker(&self.waker);
        if let Poll::Ready(ended) = Pin::new(connection).poll(&mut context) {
            let why = ended.err().map_or_else(|| status::lost("the server has closed it"), status::of_http2);
            self.why_ended = Some(why);
            // This tells everybody who waits for something on it.
            self.connection = None;
        }
    }
}
