//! The completion queue and its events, and watchers that wait. Their comments are the header's.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use std::ptr;
use std::sync::Arc;

use libc::c_int;

use super::client::{client, deadline, deadline_for, place};
use super::handle::{self, Boxed, Shared, Table, Value};
use super::hold::{submit_lock, submit_observe};
use super::packed;
use super::reply::{ReplyValue, etcd_reply};
use super::request::{RequestValue, Wanted, etcd_request};
use super::status::{ErrorValue, etcd_error, etcd_status, get, run, run_plain, status_of};
use super::types::etcd_client;
use crate::classic::Session;
use crate::client::News;
use crate::client::queue::{Completion, DEFAULT_MAX_BYTES, Nothing, Queue, What};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Reply;

/// An operation has ended, with its reply or an error. The last event of its tag.
pub const ETCD_EVENT_REPLY: i32 = 1;
/// Changes of one revision, seen by a watch: the keys of its reply.
pub const ETCD_EVENT_CHANGES: i32 = 2;
/// The state of a watch has changed: etcd_event_watch_state().
pub const ETCD_EVENT_WATCH_STATE: i32 = 3;
/// A watch has ended, for the reason that its error tells. The last event of its tag.
pub const ETCD_EVENT_WATCH_END: i32 = 7;

/// A lock or leadership is held now: etcd_queue_take_hold(). Its token is etcd_event_revision().
pub const ETCD_EVENT_ACQUIRED: i32 = 4;
/// It is lost, for the reason that its error tells. The last event of its tag, before all that wait.
pub const ETCD_EVENT_LOST: i32 = 5;
/// Who leads an election: the one key of its reply, whose value is what is proclaimed; no key: nobody.
pub const ETCD_EVENT_LEADER: i32 = 6;

/// A server has confirmed the watch: from etcd_event_revision() on every change is told.
pub const ETCD_WATCH_LIVE: i32 = 1;
/// Its stream broke, for the reason that the event's error tells; it is being opened again behind the last change
/// told. Nothing is lost.
pub const ETCD_WATCH_RESUMING: i32 = 2;
/// The queue is full: it is opened again behind the last change told when there is room. Nothing is lost.
pub const ETCD_WATCH_PARKED: i32 = 3;
/// What came next is compacted; etcd_event_revision() is the oldest that is kept, 0 where it is not known. The end
/// follows; with ETCD_FIELD_RESYNC, what has changed since (ETCD_WATCH_RESYNCED).
pub const ETCD_WATCH_COMPACTED: i32 = 4;
/// The servers are another cluster, or their history went back. The end follows.
pub const ETCD_WATCH_RESET: i32 = 5;
/// There were no changes up to etcd_event_revision(). Only with ETCD_FIELD_PROGRESS.
pub const ETCD_WATCH_PROGRESS: i32 = 6;
/// Of changes (ETCD_EVENT_CHANGES): all that has changed since the last ones, in one batch, since it was compacted.
/// Deletions have the revision at which they were found.
pub const ETCD_WATCH_RESYNCED: i32 = 7;

/// The place where events come out. Made with etcd_queue_new(); any number of threads may submit to it, and take
/// from it; any number of clients may use it.
pub struct etcd_queue {
    _private: [u8; 0],
}

impl Shared for Queue {
    const KIND: usize = 2;
    const NAME: &'static str = "queue";
    fn table() -> &'static Table<Self> {
        static QUEUES: Table<Queue> = Table::new();
        &QUEUES
    }
}

/// What came out of a queue. It owns its memory and never changes: any thread may read it, also after everything else
/// was freed.
pub struct etcd_event {
    _private: [u8; 0],
}

/// An event in C's hands.
pub(crate) struct EventValue {
    pub tag: u64,
    pub kind: i32,
    pub is_last: bool,
    pub status: etcd_status,
    pub state: i32,
    pub revision: i64,
    pub error: Option<Boxed<ErrorValue>>,
    pub reply: Option<Boxed<ReplyValue>>,
}

impl Value for EventValue {
    type C = etcd_event;
    const KIND: u64 = 0x6574_6364_0000_0005;
    const NAME: &'static str = "event";
}

impl From<Completion> for EventValue {
    fn from(completion: Completion) -> Self {
        let is_last = completion.is_last();
        let none = EventValue {
            tag: completion.tag,
            kind: ETCD_EVENT_REPLY,
            is_last,
            status: 0,
            state: 0,
            revision: 0,
            error: None,
            reply: None,
        };
        match completion.what {
            What::Answer(Ok(answer)) => none.with_reply(answer.into()),
            What::Answer(Err(error)) => EventValue { status: status_of(&error), ..none.with_error(error) },
            What::End(error) => {
                EventValue { kind: ETCD_EVENT_WATCH_END, status: status_of(&error), ..none.with_error(error) }
            }
            What::News(news) => none.with_news(news),
            What::Acquired(hold) => EventValue { kind: ETCD_EVENT_ACQUIRED, revision: hold.token, ..none },
            What::Lost(error) => {
                EventValue { kind: ETCD_EVENT_LOST, status: status_of(&error), ..none.with_error(error) }
            }
            What::Leader(revision, leader) => {
                let reply = Reply::of_range(revision, leader.into_iter().collect());
                EventValue { kind: ETCD_EVENT_LEADER, ..none }.with_reply(reply.into())
            }
        }
    }
}

impl EventValue {
    fn with_reply(self, reply: ReplyValue) -> Self {
        EventValue { revision: reply.revision, reply: Some(Boxed::part(reply)), ..self }
    }

    fn with_error(self, error: Error) -> Self {
        EventValue { error: Some(Boxed::part(ErrorValue::new(error))), ..self }
    }

    fn with_state(self, state: i32, revision: i64) -> Self {
        EventValue { kind: ETCD_EVENT_WATCH_STATE, state, revision, ..self }
    }

    fn with_news(self, news: News) -> Self {
        match news {
            News::Live(revision) => self.with_state(ETCD_WATCH_LIVE, revision),
            News::Resuming(error) => self.with_state(ETCD_WATCH_RESUMING, 0).with_error(error),
            News::Parked => self.with_state(ETCD_WATCH_PARKED, 0),
            News::Compacted(revision) => self.with_state(ETCD_WATCH_COMPACTED, revision),
            News::Reset => self.with_state(ETCD_WATCH_RESET, 0),
            News::Progress(revision) => self.with_state(ETCD_WATCH_PROGRESS, revision),
            News::Changes(batch) => EventValue { kind: ETCD_EVENT_CHANGES, ..self }.with_reply(batch.into()),
            News::Resynced(batch) => {
                let changes = EventValue { kind: ETCD_EVENT_CHANGES, state: ETCD_WATCH_RESYNCED, ..self };
                let revision = batch.revision;
                EventValue { revision, ..changes.with_reply(batch.into()) }
            }
        }
    }
}

impl From<Nothing> for Error {
    fn from(nothing: Nothing) -> Self {
        match nothing {
            Nothing::Timeout => Error::new(ErrorKind::Timeout, "nothing came in time"),
            Nothing::Woken => Error::canceled(),
            Nothing::Closed => Error::new(ErrorKind::Closed, "the queue was freed"),
        }
    }
}

pub(super) fn queue(queue: *const etcd_queue) -> Result<Arc<Queue>> {
    handle::find(queue as usize)
}

/// A queue with nothing in it.
///
/// max_bytes: how many bytes of changes may wait in it; a watch that comes with more waits until there is room
///   (ETCD_WATCH_PARKED). Replies always fit. 0: 8 MiB.
/// out: the queue, for etcd_queue_free().
/// Does not block. Any thread.
/// Errors: ETCD_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_new(
    max_bytes: usize,
    out: *mut *mut etcd_queue,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            let out = place(out)?;
            let max_bytes = if max_bytes == 0 { DEFAULT_MAX_BYTES } else { max_bytes };
            *out = handle::give(Queue::new(max_bytes)) as *mut etcd_queue;
            Ok(())
        })
    }
}

/// A descriptor that can be read while there is something to take, for poll(), epoll and the like. Don't read it:
/// taking events does. (A host that reads it all the same must then take events until there are none, or come
/// back by itself.)
///
/// Returns the read end of a pipe, which belongs to the queue and lives as long; -1 when there is no descriptor.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_fd(queue: *const etcd_queue) -> c_int {
    get(-1, || self::queue(queue)?.fd())
}

/// The same for a host that closes what it is given, as Node's net.Socket does.
///
/// Returns a descriptor that is the caller's to close; -1 when there is none.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_dup_fd(queue: *const etcd_queue) -> c_int {
    get(-1, || self::queue(queue)?.dup_fd())
}

/// Starts a request whose events come out of a queue: one for most requests, many for a watch. Exactly one of
/// them is the last one of its tag (etcd_event_is_last()), whatever happens.
///
/// client, queue, request: the request is copied, or kept: it may be freed at once.
/// tag: the caller's word for it; not 0, and not that of a request whose last event is still to come.
/// timeout_ms: as in etcd_call(). For a watch: until a server must have confirmed it. For a lock or campaign: as in
///   etcd_acquire(). An observer has none.
/// Does not block. Any thread.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED, ETCD_ERR_TOO_LARGE. Then nothing was
///   started, and no event comes. All else comes as an event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_submit(
    client: *mut etcd_client,
    queue: *mut etcd_queue,
    request: *const etcd_request,
    tag: u64,
    timeout_ms: i64,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            let session = handle::find::<Session>(client as usize)?;
            let (client, queue) = (session.client(), self::queue(queue)?);
            let deadline = deadline_for(client, timeout_ms)?;
            match handle::value::<RequestValue>(request)?.wanted()? {
                Wanted::Operation(operation) => queue.submit(client, operation, tag, deadline),
                Wanted::Watch(watch, mode) => queue.watch(client, watch.clone(), *mode, tag, deadline),
                Wanted::Lock(draft) => {
                    // On an embedded store, too, others are waited for.
                    let until = self::deadline(timeout_ms)?;
                    submit_lock(client, draft, queue.ticket(tag)?, until);
                    Ok(())
                }
                Wanted::Observe(name) => {
                    submit_observe(client, name, queue.ticket(tag)?);
                    Ok(())
                }
            }
        })
    }
}

/// Ends what a tag stands for. Its last event still comes: with ETCD_ERR_CANCELED, or with what was faster.
///
/// tag: one that is not in use is fine: it has ended.
/// Does not block. Any thread.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED: this is no queue (any more).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_cancel(queue: *mut etcd_queue, tag: u64) -> etcd_status {
    run_plain(|| {
        self::queue(queue)?.cancel(tag);
        Ok(())
    })
}

/// Takes the next event.
///
/// timeout_ms: how long to wait for one; -1: as long as it takes, 0: not at all.
/// out: the event, for etcd_event_free().
/// Blocks, at most for the timeout. Any thread; events of one tag come in order.
/// Errors: ETCD_ERR_TIMEOUT: nothing came. ETCD_ERR_CANCELED: etcd_queue_wake(). ETCD_ERR_CLOSED: the queue was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_next(
    queue: *mut etcd_queue,
    timeout_ms: i64,
    out: *mut *mut etcd_event,
) -> etcd_status {
    run_plain(|| {
        // SAFETY: as promised by the caller.
        let out = unsafe { place(out) }?;
        *out = handle::to_c(EventValue::from(next(&*self::queue(queue)?, timeout_ms)?));
        Ok(())
    })
}

/// The next completion; without waiting, no clock need be read.
fn next(queue: &Queue, timeout_ms: i64) -> Result<Completion> {
    if timeout_ms < -1 {
        deadline(timeout_ms)?;
    }
    match queue.try_next() {
        Err(Nothing::Timeout) if timeout_ms != 0 => Ok(queue.next(deadline(timeout_ms)?)?),
        taken => Ok(taken?),
    }
}

/// Ends one wait in etcd_queue_next() with ETCD_ERR_CANCELED: the next one if nobody waits. The descriptor can be read
/// until then.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_wake(queue: *mut etcd_queue) {
    get((), || {
        self::queue(queue)?.wake();
        Ok(())
    });
}

/// Takes many events at once, written one after the other into a buffer of the caller's, in the layout that
/// docs/packed-records.md describes.
///
/// buf, cap: the buffer, aligned to 8 bytes. NULL is fine when cap is 0: so one asks how many bytes the next event needs.
/// used: how many bytes were written; with ETCD_ERR_TOO_LARGE, how many the next event needs.
/// records: how many events; 0: there are none at the moment.
/// Does not block. Any thread. When it leaves events behind, the descriptor can be read again.
/// Errors: ETCD_ERR_TOO_LARGE: not even one fits. ETCD_ERR_CANCELED, ETCD_ERR_CLOSED as in etcd_queue_next().
///   ETCD_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_read(
    queue: *mut etcd_queue,
    buf: *mut u8,
    cap: usize,
    used: *mut usize,
    records: *mut u32,
) -> etcd_status {
    run_plain(|| {
        if used.is_null() || records.is_null() {
            return Err(Error::invalid("a place for a number is NULL"));
        }
        // SAFETY: as promised by the caller; each place is its own.
        let (used, records) = unsafe { (&mut *used, &mut *records) };
        (*used, *records) = (0, 0);
        if buf.is_null() && cap > 0 || buf as usize & 7 != 0 {
            return Err(Error::invalid("the buffer is NULL, or not aligned to 8 bytes"));
        }
        let buffer = match cap {
            0 => &mut [],
            // SAFETY: as promised by the caller. No memory is longer than a slice can be.
            _ => unsafe { std::slice::from_raw_parts_mut(buf, cap.min(isize::MAX as usize)) },
        };
        let queue = self::queue(queue)?;
        let mut needed = 0;
        let drained = queue.drain(|completion| packed::write(completion, buffer, used, records, &mut needed));
        drained?;
        if *records == 0 && needed > 0 {
            *used = needed;
            return Err(Error::new(ErrorKind::TooLarge, format!("the next event needs {needed} bytes")));
        }
        Ok(())
    })
}

/// Takes the reply of an event whose packed record could not carry it (ETCD_PACKED_TAKE).
///
/// tag: that of the record.
/// out: the reply, for etcd_reply_free().
/// Does not block. Any thread.
/// Errors: ETCD_ERR_KEY_NOT_FOUND: there is none, or it was taken. ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_take_reply(
    queue: *mut etcd_queue,
    tag: u64,
    out: *mut *mut etcd_reply,
) -> etcd_status {
    run_plain(|| {
        // SAFETY: as promised by the caller.
        let out = unsafe { place(out) }?;
        let kept = self::queue(queue)?.take_kept(tag);
        let none = || Error::new(ErrorKind::KeyNotFound, format!("no reply is kept for tag {tag}"));
        *out = handle::to_c(ReplyValue::from(kept.ok_or_else(none)?));
        Ok(())
    })
}

/// How many bytes of changes wait in a queue.
///
/// Returns the number; -1 for what is no queue.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_bytes(queue: *const etcd_queue) -> i64 {
    get(-1, || Ok(self::queue(queue)?.bytes() as i64))
}

/// Frees a queue. What was submitted to it and has not ended is ended as by etcd_queue_cancel(), and no event comes any
/// more; a thread that waits in etcd_queue_next() returns with ETCD_ERR_CLOSED. The descriptor of etcd_queue_fd()
/// is closed, one of etcd_queue_dup_fd() is not.
///
/// queue: NULL is fine and does nothing.
/// Does not block. Any thread, in any order with clients and events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_free(queue: *mut etcd_queue) {
    get((), || {
        if let Some(queue) = handle::take::<Queue>(queue as usize) {
            queue.close();
        }
        Ok(())
    });
}

unsafe fn of_event<T>(event: *const etcd_event, otherwise: T, get: impl FnOnce(&EventValue) -> T) -> T {
    // SAFETY: as promised by the caller.
    super::status::get(otherwise, || Ok(get(unsafe { handle::value::<EventValue>(event) }?)))
}

/// The tag that the event belongs to.
///
/// event: NULL gives 0, as for every getter of an event: 0 or NULL.
/// Does not block. Any thread, as for every getter of an event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_event_tag(event: *const etcd_event) -> u64 {
    // SAFETY: as promised by the caller.
    unsafe { of_event(event, 0, |event| event.tag) }
}

/// What happened: ETCD_EVENT_*.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_event_kind(event: *const etcd_event) -> i32 {
    // SAFETY: as promised by the caller.
    unsafe { of_event(event, 0, |event| event.kind) }
}

/// Whether no event of its tag comes after it: 1 or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_event_is_last(event: *const etcd_event) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe { of_event(event, 0, |event| event.is_last.into()) }
}

/// How the operation ended, or why the watch did: what etcd_call() would have returned. ETCD_OK for all other events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_event_status(event: *const etcd_event) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe { of_event(event, 0, |event| event.status) }
}

/// The state of the watch: ETCD_WATCH_*. 0 for events that say nothing of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_event_watch_state(event: *const etcd_event) -> i32 {
    // SAFETY: as promised by the caller.
    unsafe { of_event(event, 0, |event| event.state) }
}

/// The revision that the event is about: that of its reply or changes, or of the state of the watch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_event_revision(event: *const etcd_event) -> i64 {
    // SAFETY: as promised by the caller.
    unsafe { of_event(event, 0, |event| event.revision) }
}

/// The details of a failure.
///
/// Returns an error that lives as long as the event, and must not be freed; NULL when there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_event_error(event: *const etcd_event) -> *const etcd_error {
    // SAFETY: as promised by the caller.
    unsafe { of_event(event, ptr::null(), |event| event.error.as_ref().map_or(ptr::null(), Boxed::pointer)) }
}

/// The reply to the operation, or the changes.
///
/// Returns a reply that lives as long as the event, and must not be freed; NULL when there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_event_reply(event: *const etcd_event) -> *const etcd_reply {
    // SAFETY: as promised by the caller.
    unsafe { of_event(event, ptr::null(), |event| event.reply.as_ref().map_or(ptr::null(), Boxed::pointer)) }
}

/// Frees an event with its reply and error. NULL is fine and does nothing.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_event_free(event: *mut etcd_event) {
    // SAFETY: as promised by the caller.
    unsafe { handle::free::<EventValue>(event) }
}

/// A watch for a program that wants a plain loop: etcd_watcher_next() until it fails.
pub struct etcd_watcher {
    _private: [u8; 0],
}

/// A queue with one watch.
struct Watcher(Queue);

/// Its tag.
const ONLY: u64 = 1;

impl Shared for Watcher {
    const KIND: usize = 4;
    const NAME: &'static str = "watcher";
    fn table() -> &'static Table<Self> {
        static WATCHERS: Table<Watcher> = Table::new();
        &WATCHERS
    }
}

/// Begins to watch.
///
/// client, request: from etcd_request_watch(); it may be freed at once.
/// timeout_ms: until then a server must have confirmed the watch; -1: the client's option request_timeout_ms.
/// out: the watcher, for etcd_watcher_free().
/// Does not block: the first event, ETCD_WATCH_LIVE, tells that a server has confirmed it. Any thread.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_watcher_open(
    client: *mut etcd_client,
    request: *const etcd_request,
    timeout_ms: i64,
    out: *mut *mut etcd_watcher,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            let out = place(out)?;
            let client = self::client(client)?;
            let confirm_by = deadline(timeout_ms)?;
            let Wanted::Watch(watch, mode) = handle::value::<RequestValue>(request)?.wanted()? else {
                return Err(Error::invalid("the request is no watch"));
            };
            let queue = Queue::new(DEFAULT_MAX_BYTES);
            queue.watch(&client, watch.clone(), *mode, ONLY, confirm_by)?;
            *out = handle::give(Watcher(queue)) as *mut etcd_watcher;
            Ok(())
        })
    }
}

/// Waits for the next event of a watch: ETCD_EVENT_CHANGES, ETCD_EVENT_WATCH_STATE, or ETCD_EVENT_WATCH_END, the last
/// one.
///
/// timeout_ms: -1: as long as it takes, 0: not at all. The watch goes on meanwhile.
/// out: the event, for etcd_event_free().
/// Blocks, at most for the timeout. Any thread.
/// Errors: ETCD_ERR_TIMEOUT: nothing came. ETCD_ERR_CANCELED: etcd_watcher_wake(). ETCD_ERR_CLOSED: the watcher was
///   freed, or the end was told before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_watcher_next(
    watcher: *mut etcd_watcher,
    timeout_ms: i64,
    out: *mut *mut etcd_event,
) -> etcd_status {
    run_plain(|| {
        // SAFETY: as promised by the caller.
        let out = unsafe { place(out) }?;
        let watcher = handle::find::<Watcher>(watcher as usize)?;
        let completion = next(&watcher.0, timeout_ms)?;
        if completion.is_last() {
            watcher.0.close();
        }
        *out = handle::to_c(EventValue::from(completion));
        Ok(())
    })
}

/// Ends one wait in etcd_watcher_next() with ETCD_ERR_CANCELED, the next one if nobody waits. The watch goes on.
///
/// watcher: NULL is fine and does nothing.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_watcher_wake(watcher: *mut etcd_watcher) {
    get((), || {
        handle::find::<Watcher>(watcher as usize)?.0.wake();
        Ok(())
    });
}

/// Ends the watch and frees the watcher; a thread that waits in etcd_watcher_next() returns with ETCD_ERR_CLOSED.
/// Events stay. NULL is fine and does nothing.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_watcher_free(watcher: *mut etcd_watcher) {
    get((), || {
        if let Some(watcher) = handle::take::<Watcher>(watcher as usize) {
            watcher.0.close();
        }
        Ok(())
    });
}
