//! The second connection to an endpoint, made when it is needed: all watches share one stream on it, all keep-alives
//! another one. A thread drives it, always reads, and pings when nothing was heard for a while.

mod keeping;
mod watching;
mod worker;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use self::worker::Worker;
use super::route::Route;
use super::{encode, status};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::{Header, Reply, WatchRequest, WatchSink};
use crate::options::Secret;
use crate::sys::Signal;
use crate::threads::Thread;
use crate::transport::{Abandon, Context, Taker, WatchStream};
use crate::wait::{Interrupted, Mailbox, lock};

/// What callers want of the thread.
enum Order {
    Watch {
        watch: Watch,
        request: bytes::Bytes,
        token: Option<Secret>,
    },
    /// The watch with this key has no reader any more.
    EndWatch(u64),
    KeepAlive {
        keep: KeepAlive,
        token: Option<Secret>,
    },
    /// Nobody waits any more for the keep-alive with this key: its time is over.
    Missed(u64),
}

/// One watch; whoever opened it is told how that went, whatever becomes of the thread.
struct Watch {
    key: u64,
    opened: Option<Mailbox<Result<Header>>>,
    sink: SharedSink,
    /// When the server was asked for it.
    sent: Option<Instant>,
}

/// Taken out when nobody is to be told any more: by the reader, or after the last item.
type SharedSink = Arc<Mutex<Option<WatchSink>>>;

impl Watch {
    fn is_wanted(&self) -> bool {
        lock(&self.sink).is_some()
    }

    fn opened(&mut self, header: Header) {
        if let Some(opened) = self.opened.take() {
            opened.push(Ok(header));
        }
    }

    /// It is over: tells whoever opens it, or reads it.
    fn fail(&mut self, error: Error) {
        let sink = lock(&self.sink).take();
        match (self.opened.take(), sink) {
            (Some(opened), _) => opened.push(Err(error)),
            (None, Some(mut sink)) => drop(sink(Err(error))),
            (None, None) => {}
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.fail(lost());
    }
}

/// One keep-alive that waits for its answer.
struct KeepAlive {
    key: u64,
    id: i64,
    answered: Option<Taker>,
    sent: Option<Instant>,
}

impl KeepAlive {
    fn end(&mut self, result: Result<Reply>) {
        if let Some(answered) = self.answered.take() {
            answered(result);
        }
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.end(Err(lost()));
    }
}

fn lost() -> Error {
    status::lost("it was closed")
}

/// The orders that the thread has not taken yet.
struct Orders {
    queue: Mutex<Queue>,
    signal: Signal,
}

#[derive(Default)]
struct Queue {
    orders: VecDeque<Order>,
    /// The thread takes none any more.
    closed: bool,
    /// Nobody will give any.
    abandoned: bool,
    /// The thread is connecting, which may take a while.
    dialing: bool,
}

impl Orders {
    /// Gives an order back when the thread takes none any more.
    fn give(&self, order: Order) -> std::result::Result<(), Order> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(order);
        }
        queue.orders.push_back(order);
        drop(queue);
        self.signal.give();
        Ok(())
    }

    /// Lets the thread end. Tells whether it does so at once.
    fn abandon(&self) -> bool {
        let mut queue = lock(&self.queue);
        queue.abandoned = true;
        let at_once = !queue.dialing;
        drop(queue);
        self.signal.give();
        at_once
    }
}

/// The way to the thread of one endpoint.
pub struct Streams {
    route: Arc<Route>,
    /// The thread that runs, if one does, and its orders.
    current: Mutex<Option<(Arc<Orders>, Thread)>>,
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Some((orders, thread)) = lock(&self.current).take() {
            // A reader that the thread itself lets go of may be the last one to hold the client.
            if orders.abandon() {
                thread.join();
            }
        }
    }
}

impl Streams {
    pub fn new(route: Arc<Route>) -> Self {
        Streams { route, current: Mutex::new(None) }
    }

    /// Gives an order to the thread, which is started if there is none. Tells whose it is now.
    fn give(&self, mut order: Order) -> Result<Arc<Orders>> {
        let mut current = lock(&self.current);
        if let Some((orders, _)) = &*current {
            match orders.give(order) {
                Ok(()) => return Ok(orders.clone()),
                Err(back) => order = back,
            }
        }
        let signal = Signal::new().map_err(|error| {
            Error::new(ErrorKind::NoResource, format!("no file descriptor: {error}")).caused_by(&error)
        })?;
        let queue = Queue { dialing: true, ..Queue::default() };
        let orders = Arc::new(Orders { queue: Mutex::new(queue), signal });
        let _ = orders.give(order);
        let (worker, ended) = (Worker::new(self.route.clone(), orders.clone()), orders.clone());
        let stop = move || {
            ended.abandon();
        };
        let thread = self.route.threads.spawn("etcd-streams", stop, move || worker.run())?;
        *current = Some((orders.clone(), thread));
        Ok(orders)
    }

    /// Opens a watch on the stream that all share.
    pub fn watch(&self, request: &WatchRequest, sink: WatchSink, context: &Context) -> Result<WatchStream> {
        let (opened, sink) = (Mailbox::default(), Arc::new(Mutex::new(Some(sink))));
        let key = next_key();
        let watch = Watch { key, opened: Some(opened.clone()), sink: sink.clone(), sent: None };
        let request = encode::watch(request);
        let orders = self.give(Order::Watch { watch, request, token: context.token.cloned() })?;
        let guard = Guard { key, sink, orders };
        let header =
            opened.recv(context.deadline, context.cancel).map_err(|interrupted| match interrupted {
                Interrupted::Canceled => Error::closed(),
                Interrupted::Timeout => Error::new(ErrorKind::Timeout, "the watch was not confirmed in time")
                    .outcome_is(Outcome::Unknown),
            })??;
        Ok(WatchStream { header, guard: Box::new(guard) })
    }

    /// Sends a keep-alive on the stream that all share, and waits for its answer.
    pub fn keep_alive(&self, id: i64, context: &Context) -> Result<Reply> {
        let answered = Mailbox::default();
        let answer = answered.clone();
        let abandon = self.submit_keep_alive(id, context, Box::new(move |reply| answer.push(reply)))?;
        answered.recv(context.deadline, context.cancel).map_err(|interrupted| {
            match interrupted {
                Interrupted::Canceled => Error::closed(),
                Interrupted::Timeout => {
                    abandon();
                    Error::new(ErrorKind::Timeout, "no answer in time")
                }
            }
            .outcome_is(Outcome::Unknown)
        })?
    }

    /// Sends a keep-alive on the stream that all share. An error: the taker was told another one, or will not be
    /// called.
    pub fn submit_keep_alive(&self, id: i64, context: &Context, taker: Taker) -> Result<Abandon> {
        let key = next_key();
        let keep = KeepAlive { key, id, answered: Some(taker), sent: None };
        let orders = self.give(Order::KeepAlive { keep, token: context.token.cloned() })?;
        Ok(Box::new(move || drop(orders.give(Order::Missed(key)))))
    }
}

/// A number for each watch and keep-alive of the process, by which its end is told.
fn next_key() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Ends the watch: from then on the sink is not called any more.
struct Guard {
    key: u64,
    sink: SharedSink,
    orders: Arc<Orders>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let sink = lock(&self.sink).take();
        drop(sink);
        // A thread that has ended has no watches either.
        let _ = self.orders.give(Order::EndWatch(self.key));
    }
}
