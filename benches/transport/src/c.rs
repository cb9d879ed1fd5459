//! This library as C programs use it: the functions of its full tier, called by threads that wait, or queued.

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd::ffi::client::{etcd_call, etcd_client_free, etcd_client_open};
use etcd::ffi::options::{etcd_options_free, etcd_options_new, etcd_options_set};
use etcd::ffi::queue::*;
use etcd::ffi::reply::{etcd_reply, etcd_reply_count, etcd_reply_free, etcd_reply_kvs, etcd_reply_succeeded};
use etcd::ffi::request::*;
use etcd::ffi::status::{etcd_status, etcd_status_name};
use etcd::ffi::types::etcd_client;

use crate::Result;
use crate::cell::{Caller, Candidate, Load, Threads, Work};
use crate::etcd::Place;
use crate::stats::{Clock, Round};

pub const CALLED: &str = "this library, C";
pub const QUEUED: &str = "this library, C, queued";

/// How long anything may take.
const PATIENCE_MS: i64 = 60_000;

/// One client that all threads share.
pub fn called(place: &Place, load: &Arc<Load>, threads: usize) -> Result<Threads<Called>> {
    let client = Arc::new(Client::open(place)?);
    let caller = |thread| Called { client: client.clone(), load: load.clone(), thread };
    Ok(Threads { name: CALLED, callers: (0..threads).map(caller).collect() })
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

    fn delete(key: &str) -> Self {
        // SAFETY: bytes as long as said.
        Request(unsafe { etcd_request_delete(key.as_ptr(), key.len()) })
    }

    /// Puts a key under a lease if it is not there, and otherwise reads it.
    fn put_unless_there(key: &str, lease: i64) -> Self {
        // SAFETY: bytes as long as said.
        let txn = Request(etcd_request_txn());
        let (put, get) = (Request::put(key, ""), Request::get(key));
        let (bytes, len) = (key.as_ptr(), key.len());
        // SAFETY: requests that nobody else uses, bytes as long as said. What fails is told when it is run.
        unsafe {
            etcd_request_set_int(put.0, ETCD_FIELD_LEASE, lease);
            etcd_txn_compare_int(txn.0, bytes, len, ETCD_TARGET_CREATE, ETCD_RELATION_EQUAL, 0);
            etcd_txn_then(txn.0, put.0);
            etcd_txn_else(txn.0, get.0);
        }
        txn
    }

    /// The request of an operation: of its first step, or of the second one that a lock has.
    fn of(load: &Load, thread: usize, count: usize, second: bool) -> Self {
        match load.work {
            Work::Get => Self::get(load.key(thread, count)),
            Work::Put => Self::put(load.key(thread, count), &load.value),
            Work::Lock if second => Self::delete(&load.place(thread)),
            Work::Lock => Self::put_unless_there(&load.place(thread), load.lease),
        }
    }
}

/// How many requests an operation takes.
fn steps(work: Work) -> usize {
    if work == Work::Lock { 2 } else { 1 }
}

/// Whether a reply is what the request of this step asks for.
fn check(reply: *const etcd_reply, work: Work, second: bool) -> Result<()> {
    // SAFETY: a reply, which is there as long as this takes.
    let right = unsafe {
        match work {
            Work::Get => etcd_reply_kvs(reply) == 1,
            Work::Put => true,
            Work::Lock if second => etcd_reply_count(reply) == 1,
            Work::Lock => etcd_reply_succeeded(reply) == 1,
        }
    };
    if right { Ok(()) } else { Err("not the answer to what was asked".into()) }
}

/// A thread that calls the C functions.
pub struct Called {
    client: Arc<Client>,
    load: Arc<Load>,
    thread: usize,
}

impl Caller for Called {
    fn call(&mut self, count: usize) -> Result<()> {
        for step in 0..steps(self.load.work) {
            let request = Request::of(&self.load, self.thread, count, step == 1);
            let (mut reply, none) = (ptr::null_mut(), ptr::null_mut());
            // SAFETY: an open client, a request, a place for the reply, which is ours to free.
            unsafe {
                done(
                    "etcd_call",
                    etcd_call(self.client.0, request.0, -1, none, &mut reply, ptr::null_mut()),
                )?;
                let checked = check(reply, self.load.work, step == 1);
                etcd_reply_free(reply);
                checked?;
            }
        }
        Ok(())
    }
}

/// One thread and a completion queue, with as many operations under way as others have threads.
pub struct Queued {
    queue: *mut etcd_queue,
    client: Client,
    load: Arc<Load>,
    slots: Vec<Slot>,
}

/// What would be a thread.
#[derive(Clone)]
struct Slot {
    step: usize,
    started: Instant,
    latencies: Vec<Duration>,
}

impl Queued {
    pub fn new(place: &Place, load: &Arc<Load>, threads: usize) -> Result<Self> {
        let slot = Slot { step: 0, started: Instant::now(), latencies: Vec::new() };
        let mut queue = ptr::null_mut();
        // SAFETY: a place for the queue.
        done("etcd_queue_new", unsafe { etcd_queue_new(0, &mut queue, ptr::null_mut()) })?;
        Ok(Queued { queue, client: Client::open(place)?, load: load.clone(), slots: vec![slot; threads] })
    }

    /// Sends the next request of a slot, whose number is the tag, less one.
    fn send(&mut self, number: usize) -> Result<()> {
        let slot = &self.slots[number];
        let request = Request::of(&self.load, number, slot.latencies.len(), slot.step == 1);
        let (tag, none) = (number as u64 + 1, ptr::null_mut());
        // SAFETY: an open client, a queue, a request.
        done("etcd_submit", unsafe { etcd_submit(self.client.0, self.queue, request.0, tag, -1, none) })
    }

    /// Takes an answer, and tells whose it was and whether that finished an operation.
    fn receive(&mut self) -> Result<(usize, bool)> {
        let mut event = ptr::null_mut();
        // SAFETY: a queue, a place for the event, which is ours to free.
        let number = unsafe {
            done("etcd_queue_next", etcd_queue_next(self.queue, PATIENCE_MS, &mut event))?;
            let number = etcd_event_tag(event) as usize - 1;
            let result = done("an event", etcd_event_status(event))
                .and_then(|()| check(etcd_event_reply(event), self.load.work, self.slots[number].step == 1));
            etcd_event_free(event);
            result.map(|()| number)?
        };
        let slot = &mut self.slots[number];
        slot.step = (slot.step + 1) % steps(self.load.work);
        if slot.step > 0 {
            return Ok((number, false));
        }
        let now = Instant::now();
        slot.latencies.push(now - slot.started);
        slot.started = now;
        Ok((number, true))
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { etcd_queue_free(self.queue) }
    }
}

impl Candidate for Queued {
    fn name(&self) -> &'static str {
        QUEUED
    }

    fn round(&mut self, time: Duration) -> Result<Round> {
        let (clock, start) = (Clock::start(), Instant::now());
        for number in 0..self.slots.len() {
            self.slots[number].started = Instant::now();
            self.send(number)?;
        }
        let mut busy = self.slots.len();
        while busy > 0 {
            let (number, finished) = self.receive()?;
            if finished && start.elapsed() >= time {
                busy -= 1;
            } else {
                self.send(number)?;
            }
        }
        Ok(clock.stop(self.slots.iter_mut().map(|slot| std::mem::take(&mut slot.latencies)).collect()))
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
