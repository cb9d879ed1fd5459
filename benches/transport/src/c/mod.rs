//! This library as C programs use it: the functions of its full tier, called by threads that wait, or queued.

pub mod locks;

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Arc;

use etcd::ffi::client::{etcd_call, etcd_client_free, etcd_client_open};
use etcd::ffi::options::{etcd_options_free, etcd_options_new, etcd_options_set};
use etcd::ffi::queue::*;
use etcd::ffi::reply::{etcd_reply, etcd_reply_free, etcd_reply_kvs};
use etcd::ffi::request::*;
use etcd::ffi::status::{etcd_status, etcd_status_name};
use etcd::ffi::types::etcd_client;

use crate::Result;
use crate::cell::{Caller, Candidate, Load, Threads, Work};
use crate::etcd::Place;
use crate::slots::{Pipe, Slots};

pub const CALLED: &str = "this library, C";
pub const QUEUED: &str = "this library, C, queued";

/// How long anything may take.
const PATIENCE_MS: i64 = 60_000;

/// What calls, and what queues.
pub fn candidates(place: &Place, load: &Arc<Load>, threads: usize) -> Result<[Box<dyn Candidate>; 2]> {
    let client = Arc::new(Client::open(place)?);
    let queue = Queue::new(Client::open(place)?)?;
    Ok(if load.work == Work::Lock {
        let caller = |thread| locks::Called { client: client.clone(), load: load.clone(), thread };
        let queued = locks::Queued::new(queue, load.clone(), threads);
        [
            Box::new(Threads { name: CALLED, callers: (0..threads).map(caller).collect() }),
            Box::new(Slots::new(QUEUED, queued, threads)),
        ]
    } else {
        let caller = |thread| Called { client: client.clone(), load: load.clone(), thread };
        let queued = Queued { queue, load: load.clone() };
        [
            Box::new(Threads { name: CALLED, callers: (0..threads).map(caller).collect() }),
            Box::new(Slots::new(QUEUED, queued, threads)),
        ]
    })
}

/// A client as C has it.
pub struct Client(pub *mut etcd_client);

// SAFETY: any number of threads may use it at once.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    pub fn open(place: &Place) -> Result<Self> {
        let url = CString::new(place.url("http"))?;
        let mut client = ptr::null_mut();
        // SAFETY: options of our own, strings that end with NUL, a place for the client.
        unsafe {
            let options = etcd_options_new();
            let set = etcd_options_set(options, c"endpoints".as_ptr(), url.as_ptr(), ptr::null_mut());
            done("etcd_options_set", set)?;
            done("etcd_client_open", etcd_client_open(options, &mut client, ptr::null_mut()))?;
            etcd_options_free(options);
        }
        Ok(Client(client))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody uses it any more.
        unsafe { etcd_client_free(self.0) }
    }
}

/// A request as C has it.
pub struct Request(pub *mut etcd_request);

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { etcd_request_free(self.0) }
    }
}

impl Request {
    fn get(key: &str) -> Self {
        // SAFETY: bytes as long as said.
        Request(unsafe { etcd_request_get(key.as_ptr(), key.len()) })
    }

    fn put(key: &str, value: &str) -> Self {
        // SAFETY: bytes as long as said.
        Request(unsafe { etcd_request_put(key.as_ptr(), key.len(), value.as_ptr(), value.len()) })
    }

    /// The request of an operation.
    fn of(load: &Load, thread: usize, count: usize) -> Self {
        match load.work {
            Work::Get => Self::get(load.key(thread, count)),
            Work::Put => Self::put(load.key(thread, count), &load.value),
            Work::Lock => unreachable!("locks are others' work"),
        }
    }

    /// Runs it now, and takes its reply.
    pub fn call(&self, client: &Client) -> Result<Reply> {
        let (mut reply, none) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: an open client, a request, a place for the reply.
        let called = unsafe { etcd_call(client.0, self.0, -1, none, &mut reply, ptr::null_mut()) };
        done("etcd_call", called).map(|()| Reply(reply))
    }
}

/// A reply as C has it.
pub struct Reply(*mut etcd_reply);

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { etcd_reply_free(self.0) }
    }
}

/// Whether a reply is what was asked for.
fn check(reply: *const etcd_reply, work: Work) -> Result<()> {
    // SAFETY: a reply, which is there as long as this takes.
    let right = work != Work::Get || unsafe { etcd_reply_kvs(reply) } == 1;
    if right { Ok(()) } else { Err("not the answer to what was asked".into()) }
}

/// A thread that calls the C functions.
struct Called {
    client: Arc<Client>,
    load: Arc<Load>,
    thread: usize,
}

impl Caller for Called {
    fn call(&mut self, count: usize) -> Result<()> {
        let reply = Request::of(&self.load, self.thread, count).call(&self.client)?;
        check(reply.0, self.load.work)
    }
}

/// A client with a completion queue.
pub struct Queue {
    queue: *mut etcd_queue,
    client: Client,
}

impl Queue {
    pub fn new(client: Client) -> Result<Self> {
        let mut queue = ptr::null_mut();
        // SAFETY: a place for the queue.
        done("etcd_queue_new", unsafe { etcd_queue_new(0, &mut queue, ptr::null_mut()) })?;
        Ok(Queue { queue, client })
    }

    pub fn submit(&self, request: &Request, tag: u64) -> Result<()> {
        let none = ptr::null_mut();
        // SAFETY: an open client, a queue, a request.
        let submitted = unsafe { etcd_submit(self.client.0, self.queue, request.0, tag, -1, none) };
        done("etcd_submit", submitted)
    }

    /// The next event, which is no failure.
    pub fn next(&self) -> Result<Event> {
        let mut event = ptr::null_mut();
        // SAFETY: a queue, a place for the event.
        let next = unsafe { etcd_queue_next(self.queue, PATIENCE_MS, &mut event) };
        done("etcd_queue_next", next)?;
        let event = Event(event);
        // SAFETY: an event.
        done("an event", unsafe { etcd_event_status(event.0) }).map(|()| event)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { etcd_queue_free(self.queue) }
    }
}

/// An event as C has it.
pub struct Event(*mut etcd_event);

impl Event {
    pub fn tag(&self) -> u64 {
        // SAFETY: an event.
        unsafe { etcd_event_tag(self.0) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { etcd_event_free(self.0) }
    }
}

/// One thread and a completion queue.
struct Queued {
    queue: Queue,
    load: Arc<Load>,
}

impl Pipe for Queued {
    fn steps(&self) -> usize {
        1
    }

    fn send(&mut self, slot: usize, count: usize, _: usize) -> Result<()> {
        self.queue.submit(&Request::of(&self.load, slot, count), slot as u64 + 1)
    }

    fn receive(&mut self) -> Result<usize> {
        let event = self.queue.next()?;
        // SAFETY: an event.
        check(unsafe { etcd_event_reply(event.0) }, self.load.work)?;
        Ok(event.tag() as usize - 1)
    }
}

/// Follows so many changes of all keys that start with `prefix`, from a revision on.
pub fn follow(place: &Place, prefix: &str, start: i64, events: usize, began: impl FnOnce()) -> Result<()> {
    let client = Client::open(place)?;
    // SAFETY: bytes as long as said, a request that nobody else uses.
    let request = unsafe {
        let request = Request(etcd_request_watch(prefix.as_ptr(), prefix.len()));
        etcd_request_set_int(request.0, ETCD_FIELD_PREFIX, 1);
        etcd_request_set_int(request.0, ETCD_FIELD_START_REVISION, start);
        request
    };
    let (mut watcher, none) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: an open client, a request, a place for the watcher.
    done("etcd_watcher_open", unsafe { etcd_watcher_open(client.0, request.0, -1, &mut watcher, none) })?;
    let mut began = Some(began);
    let mut seen = 0;
    while seen < events {
        let mut event = ptr::null_mut();
        // SAFETY: a watcher, a place for the event, which is ours to free.
        unsafe {
            done("etcd_watcher_next", etcd_watcher_next(watcher, PATIENCE_MS, &mut event))?;
            done("a watch", etcd_event_status(event))?;
            seen += etcd_reply_kvs(etcd_event_reply(event));
            etcd_event_free(event);
        }
        if let Some(began) = began.take() {
            began();
        }
    }
    // SAFETY: nobody uses it any more.
    unsafe { etcd_watcher_free(watcher) };
    Ok(())
}

fn done(function: &str, status: etcd_status) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: a string that lives for ever.
    let name = unsafe { CStr::from_ptr(etcd_status_name(status)) };
    Err(format!("{function}: {}", name.to_string_lossy()).into())
}
