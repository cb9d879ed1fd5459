//! Locks and elections of the full tier. Their comments are the header's.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use std::ptr;
use std::sync::Arc;

use libc::c_int;

use super::client::{client, deadline, place, token};
use super::handle::{self, Shared, Table};
use super::queue::{etcd_queue, queue};
use super::request::{self, RequestValue, begun_with, bytes, change, etcd_request};
use super::status::{etcd_error, etcd_status, get, run, run_plain};
use super::types::etcd_client;
use crate::client::queue::{Hold, Ticket, What};
use crate::client::{Answer, Client, Operation, Steps};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::{KeyValue, Reply, quote};
use crate::recipes::election::{Audience, Observer};
use crate::recipes::inspect::{self, Which};
use crate::recipes::lock::contender::{Contender, Ended, Owner, Wanted};
use crate::recipes::lock::{Waiting, who};
use crate::transport::Context;
use crate::wait::{Cancel, Deadline, Interrupted, Mailbox};

/// A held lock or leadership. Kept alive by the library until it is released, freed, or lost; once lost, for good.
pub struct etcd_hold {
    _private: [u8; 0],
}

struct HoldHandle(Contender);

impl Shared for HoldHandle {
    const KIND: usize = 6;
    const NAME: &'static str = "hold";
    fn table() -> &'static Table<Self> {
        static HOLDS: Table<HoldHandle> = Table::new();
        &HOLDS
    }
}

fn contender(hold: *const etcd_hold) -> Result<Contender> {
    Ok(handle::find::<HoldHandle>(hold as usize)?.0.clone())
}

/// Frees the holds of a client, for a host that can't any more.
pub(super) fn free_holds(client: &Client) {
    for hold in handle::take_all::<HoldHandle>(|hold| hold.0.client().is_same(client)) {
        hold.0.release(Box::new(|_| {}));
    }
}

/// What a lock request wants.
#[derive(Clone)]
pub(crate) struct LockDraft {
    pub name: Vec<u8>,
    pub ttl: i64,
    /// `None`: who this process is.
    pub value: Option<Vec<u8>>,
    pub join: bool,
}

impl LockDraft {
    fn new(name: Vec<u8>, value: Option<Vec<u8>>) -> Self {
        LockDraft { name, ttl: DEFAULT_TTL, value, join: false }
    }

    fn begin(&self, client: &Client, until: Deadline, owner: Arc<dyn Owner>) -> Contender {
        match self.join {
            true => Contender::joining(client, self.wanted(until), owner),
            false => Contender::new(client, self.wanted(until), owner),
        }
    }

    /// The same for a thread that waits for it.
    fn begin_calling(
        &self,
        client: &Client,
        until: Deadline,
        owner: Arc<dyn Owner>,
        cancel: &Cancel,
    ) -> Contender {
        Contender::calling(client, self.wanted(until), self.join, owner, cancel)
    }

    fn wanted(&self, until: Deadline) -> Wanted {
        let LockDraft { name, ttl, value, join } = self.clone();
        let value = value.unwrap_or_else(|| if join { Vec::new() } else { who().into_bytes() });
        Wanted { name, ttl, value, until }
    }
}

/// A place in a lock's queue, and what is to become of it.
#[derive(Clone)]
pub(crate) struct PlaceDraft {
    name: Vec<u8>,
    token: i64,
    pub value: Option<Vec<u8>>,
    kind: Kind,
    deed: Deed,
}

/// Whether it changes something: which operation its steps are.
type Kind = fn(Steps) -> Operation;
type Deed = fn(&Client, &Context, &[u8], Which) -> Result<Answer>;

impl PlaceDraft {
    pub fn operation(&self) -> Result<Operation> {
        let PlaceDraft { name, token, value, kind, deed } = self.clone();
        let which = match value {
            None => Which::Token(token),
            Some(value) if token == 0 => Which::Value(value),
            Some(_) => {
                return Err(Error::invalid("a place is named by its token or by its value, not by both"));
            }
        };
        Ok(kind(Arc::new(move |client, context| deed(client, context, &name, which.clone()))))
    }
}

unsafe fn place_of(name: *const u8, len: usize, token: i64, kind: Kind, deed: Deed) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    let name = unsafe { named(name, len) };
    begun_with(name.map(|name| RequestValue::place(PlaceDraft { name, token, value: None, kind, deed })))
}

/// The TTL of a lock unless the request says otherwise, in seconds.
pub(crate) const DEFAULT_TTL: i64 = 10;

/// Wants a lock: for etcd_acquire() and etcd_submit(). In one fair queue with `etcdctl lock`, etcd's own Lock RPC, and
/// programs that use etcd's package concurrency. It is kept alive until it is released or lost.
///
/// name: the lock's name, not empty; copied. What it is known by: the keys NAME/….
/// Fields: ETCD_FIELD_TTL (seconds, 10 unless set) is how long it outlives a holder that died; ETCD_FIELD_VALUE is
///   information for people who look at the queue. ETCD_FIELD_JOIN (0 unless set): 1 shares the place of whoever has the
///   same value, which has to be set then: waiting or held, with its token and TTL; without such a place it queues. So a
///   program that was started again goes on where it was, as long as its lease lives. What is shared is no longer one
///   holder's: it is released for all by whoever releases it first, and its loss is told to each. Whoever has joined and
///   gives up while it waits leaves the place to the others.
/// Returns a request for etcd_request_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_lock(name: *const u8, name_len: usize) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    begun_with(unsafe { named(name, name_len) }.map(|name| RequestValue::lock(LockDraft::new(name, None))))
}

/// Wants the leadership of an election: as etcd_request_lock(), in one queue with `etcdctl elect`.
///
/// name: as in etcd_request_lock(). value: what is proclaimed once it leads; copied.
/// Returns a request for etcd_request_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_campaign(
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    let given =
        unsafe { named(name, name_len).and_then(|name| Ok((name, bytes(value, value_len, "value")?))) };
    begun_with(given.map(|(name, value)| RequestValue::lock(LockDraft::new(name, Some(value.to_vec())))))
}

/// Follows an election: for etcd_submit() only. Its events (ETCD_EVENT_LEADER) tell who leads, beginning with now: each
/// leader and each value proclaimed, in order, once, through outages (also one that is there at the beginning) and
/// compactions.
///
/// name: as in etcd_request_lock().
/// Returns a request for etcd_request_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_observe(name: *const u8, name_len: usize) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    begun_with(unsafe { named(name, name_len) }.map(RequestValue::observe))
}

/// Who leads an election, or holds a lock.
///
/// name: as in etcd_request_lock().
/// Returns a request for etcd_request_free(). Its reply has one key, whose create_revision is the token and whose value
///   is what is proclaimed; none while nobody leads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_leader(name: *const u8, name_len: usize) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    look(unsafe { named(name, name_len) }, |client, context, name| {
        let (revision, leader) = inspect::leader(client, context, name)?;
        Ok(Answer::Reply(Reply::of_range(revision, leader.into_iter().collect())))
    })
}

/// Who holds a lock, and who waits for it.
///
/// name: as in etcd_request_lock().
/// Returns a request for etcd_request_free(). Its reply has the keys of the queue in their order, the holder's first;
///   their create_revision is the token. A child for each has ETCD_FIELD_LEASE and ETCD_FIELD_TTL, the seconds left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_lock_queue(name: *const u8, name_len: usize) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    look(unsafe { named(name, name_len) }, |client, context, name| {
        let (revision, queue) = inspect::queue(client, context, name)?;
        Ok(Answer::Places(revision, queue.into_iter().map(|place| (place.kv, place.ttl)).collect()))
    })
}

/// Finds a place in a lock's queue, whoever made it.
///
/// name: as in etcd_request_lock(). token: the place's. 0: ETCD_FIELD_VALUE tells it, the value of that place and no other.
/// Returns a request for etcd_request_free(). Its reply has the place's key, and a child as in etcd_request_lock_queue().
///   ETCD_ERR_NOT_HELD: there is none. ETCD_ERR_INVALID_ARGUMENT: several have the value; the message has their tokens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_lock_find(
    name: *const u8,
    name_len: usize,
    token: i64,
) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    unsafe {
        place_of(name, name_len, token, Operation::Look, |client, context, name, which| {
            let (revision, place) = inspect::look_at(client, context, name, which)?;
            Ok(Answer::Places(revision, vec![(place.kv, place.ttl)]))
        })
    }
}

/// Takes a place out of a lock's queue, whoever made it: breaks the lock if it is the holder's, who is told.
///
/// name: as in etcd_request_lock(). token: the place's; so nobody else's is ever broken. 0: as in etcd_request_lock_find().
/// Returns a request for etcd_request_free(). Its reply has the key that was removed, and the revision at which it was.
///   ETCD_ERR_NOT_HELD: there is none. ETCD_ERR_INVALID_ARGUMENT: several have the value; nothing was removed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_lock_break(
    name: *const u8,
    name_len: usize,
    token: i64,
) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    unsafe {
        place_of(name, name_len, token, Operation::Recipe, |client, context, name, which| {
            let (revision, place) = inspect::break_lock(client, context, name, which)?;
            Ok(Answer::Reply(Reply::of_range(revision, vec![place])))
        })
    }
}

/// Starts the TTL of a place in a lock's queue anew, whoever made it.
///
/// name: as in etcd_request_lock(). token: the place's. 0: as in etcd_request_lock_find().
/// Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_LEASE and ETCD_FIELD_TTL. ETCD_ERR_NOT_HELD:
///   there is none. ETCD_ERR_INVALID_ARGUMENT: several have the value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_lock_renew(
    name: *const u8,
    name_len: usize,
    token: i64,
) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    unsafe {
        place_of(name, name_len, token, Operation::Recipe, |client, context, name, which| {
            let place = inspect::renew(client, context, name, which)?;
            Ok(Answer::Reply(Reply::of_lease(place.lease.id, place.lease.ttl)))
        })
    }
}

/// Releases a hold.
///
/// hold: kept by the request; it may be freed at once, which releases it, too.
/// Returns a request for etcd_request_free(). Success: it is released. ETCD_ERR_NOT_HELD: it was not held any more. Any
///   other error: no server has confirmed it; it is not renewed any more and ends with its lease.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_release(hold: *const etcd_hold) -> *mut etcd_request {
    begun_with(contender(hold).map(|contender| {
        let steps: Steps = Arc::new(move |_, context| {
            let answer = Mailbox::default();
            let done = answer.clone();
            contender.release_calling(context, Box::new(move |result| done.push(result)));
            let result = wait(&answer, context).and_then(released);
            result.map_err(|error| error.during(format!("unlock {}", quote(contender.name()))))
        });
        RequestValue::operation(Operation::Recipe(steps))
    }))
}

/// What a release is answered, through whichever way it is told.
fn released(held: bool) -> Result<Answer> {
    if held { Ok(Answer::Done) } else { Err(Error::new(ErrorKind::NotHeld, "it was not held any more")) }
}

/// Gives a leader's key another value, if it still leads: the next word that observers are told.
///
/// hold: kept by the request. value: copied.
/// Returns a request for etcd_request_free(). ETCD_ERR_NOT_HELD: it does not lead any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_request_proclaim(
    hold: *const etcd_hold,
    value: *const u8,
    value_len: usize,
) -> *mut etcd_request {
    // SAFETY: as promised by the caller.
    let value = unsafe { bytes(value, value_len, "value") }.map(<[u8]>::to_vec);
    begun_with(contender(hold).and_then(|contender| {
        let value = value?;
        let steps: Steps = Arc::new(move |_, context| {
            let answer = Mailbox::default();
            let done = answer.clone();
            contender.proclaim(&value, Box::new(move |result| done.push(result)));
            let revision = wait(&answer, context)
                .map_err(|error| error.during(format!("proclaim for {}", quote(contender.name()))))?;
            Ok(Answer::Reply(Reply::of_range(revision, Vec::new())))
        });
        Ok(RequestValue::operation(Operation::Recipe(steps)))
    }))
}

/// Waits for an answer as long as a call may take. What is asked for goes on without it.
fn wait<T: Send + 'static>(answer: &Mailbox<Result<T>>, context: &Context) -> Result<T> {
    let error = match answer.recv(context.deadline, context.cancel) {
        Ok(result) => return result,
        Err(Interrupted::Timeout) => Error::new(ErrorKind::Timeout, "no answer in time"),
        Err(Interrupted::Canceled) => Error::closed(),
    };
    Err(error.outcome_is(Outcome::Unknown))
}

unsafe fn named(name: *const u8, len: usize) -> Result<Vec<u8>> {
    // SAFETY: as promised by the caller.
    match unsafe { bytes(name, len, "name") }? {
        [] => Err(Error::invalid("the name is empty")),
        name => Ok(name.to_vec()),
    }
}

fn look(
    name: Result<Vec<u8>>,
    steps: impl Fn(&Client, &Context, &[u8]) -> Result<Answer> + Send + Sync + 'static,
) -> *mut etcd_request {
    begun_with(name.map(|name| {
        let steps: Steps = Arc::new(move |client, context| steps(client, context, &name));
        RequestValue::operation(Operation::Look(steps))
    }))
}

/// Waits until a lock or leadership is held.
///
/// client, request: from etcd_request_lock() or etcd_request_campaign().
/// timeout_ms: how long to wait for others; -1: as long as it takes, 0: not at all: ETCD_ERR_TIMEOUT when somebody else
///   holds it. On any failure its place in the queue is given up; after etcd_client_free(), with its TTL.
/// cancel: ends the wait from another thread; NULL: nothing does but closing the client.
/// out: the hold, for etcd_hold_free().
/// Blocks, at most for the timeout; 0: while the answers take, at most for the option request_timeout_ms. Any thread.
/// Errors: ETCD_ERR_TIMEOUT, ETCD_ERR_CANCELED; ETCD_ERR_LOST: its place in the queue vanished while it waited; those of
///   etcd_call().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_acquire(
    client: *mut etcd_client,
    request: *const etcd_request,
    timeout_ms: i64,
    cancel: *mut super::client::etcd_cancel,
    out: *mut *mut etcd_hold,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            let out = place(out)?;
            let client = self::client(client)?;
            let request::Wanted::Lock(draft) = handle::value::<RequestValue>(request)?.wanted()? else {
                return Err(Error::invalid("the request is no lock and no campaign"));
            };
            let (until, cancel) = (deadline(timeout_ms)?, token(cancel)?);
            let told = Waiting::default();
            let owner = Arc::new(told.clone());
            let contender = match cancel.is_never() {
                true => draft.begin_calling(&client, until, owner, client.closed()),
                // A call of this thread's would have two that end it: the client and the caller.
                false => draft.begin(&client, until, owner),
            };
            told.wait(&contender, &cancel)?;
            *out = handle::give(HoldHandle(contender)) as *mut etcd_hold;
            Ok(())
        })
    }
}

/// Starts to want a lock for a queue.
pub(crate) fn submit_lock(client: &Client, draft: &LockDraft, ticket: Ticket, until: Deadline) {
    let owner = Arc::new(Queued(ticket.clone()));
    let contender = draft.begin(client, until, owner);
    ticket.ends_by(move || contender.cancel());
}

/// Starts to follow an election for a queue.
pub(crate) fn submit_observe(client: &Client, name: &[u8], ticket: Ticket) {
    let observer = Observer::new(client, name, Arc::new(Queued(ticket.clone())));
    ticket.ends_by(move || observer.cancel());
}

/// Tells a queue.
struct Queued(Ticket);

impl Owner for Queued {
    fn acquired(&self, contender: &Contender) {
        let hold = Hold { token: contender.token(), holder: Arc::new(contender.clone()) };
        self.0.tell(What::Acquired(hold));
    }

    fn ended(&self, how: Ended) {
        self.0.tell(match how {
            Ended::Released(held) => What::Answer(released(held)),
            Ended::Lost(error) => What::Lost(error),
            Ended::Failed(error) => What::Answer(Err(error)),
        });
    }
}

impl Audience for Queued {
    fn leader(&self, revision: i64, leader: Option<&KeyValue>) {
        self.0.tell(What::Leader(revision, leader.cloned()));
    }

    fn ended(&self, error: Error) {
        self.0.tell(What::End(error));
    }
}

/// Takes what is held by a tag whose ETCD_EVENT_ACQUIRED came. The tag goes on: its last event tells of the release or
/// the loss, and canceling it, as freeing the queue does, releases what is held, taken or not.
///
/// out: the hold, for etcd_hold_free().
/// Does not block. Any thread.
/// Errors: ETCD_ERR_KEY_NOT_FOUND: nothing is held by it (any more), or it was taken. ETCD_ERR_INVALID_ARGUMENT,
///   ETCD_ERR_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_queue_take_hold(
    queue: *mut etcd_queue,
    tag: u64,
    out: *mut *mut etcd_hold,
) -> etcd_status {
    run_plain(|| {
        // SAFETY: as promised by the caller.
        let out = unsafe { place(out) }?;
        let hold = self::queue(queue)?.take_hold(tag);
        let none = || Error::new(ErrorKind::KeyNotFound, format!("nothing is held by tag {tag}"));
        let holder = hold.ok_or_else(none)?.holder;
        let contender = holder.downcast::<Contender>().map_err(|_| none())?;
        *out = handle::give(HoldHandle((*contender).clone())) as *mut etcd_hold;
        Ok(())
    })
}

/// The fencing token: it grows with every new holder. A resource that refuses what comes with a smaller one than it has
/// seen is safe from holders that do not know yet that they are none.
///
/// Returns the token; 0 for what is no hold.
/// Does not block. Any thread, as for every function on a hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_hold_token(hold: *const etcd_hold) -> i64 {
    get(0, || Ok(contender(hold)?.token()))
}

/// Whether it is held for sure, by this machine's own clock; asks nobody. Once 0, for good: it is 0 before the end of its
/// TTL can give the lock to the next one. What is broken by force is lost when a server tells of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_hold_is_held(hold: *const etcd_hold) -> c_int {
    get(0, || Ok(contender(hold)?.remaining().is_some().into()))
}

/// For how many milliseconds it is held for sure yet, should no server be reached any more; 0: it is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_hold_remaining_ms(hold: *const etcd_hold) -> i64 {
    get(0, || Ok(contender(hold)?.remaining().map_or(0, |left| left.as_millis() as i64)))
}

/// The key that is its place in the queue.
///
/// buf, cap: where its bytes go, as many as fit. len: how many it has.
/// Errors: ETCD_ERR_TOO_LARGE: they did not fit. ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_hold_key(
    hold: *const etcd_hold,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> etcd_status {
    run_plain(|| {
        // SAFETY: as promised by the caller.
        let len =
            unsafe { len.as_mut() }.ok_or_else(|| Error::invalid("the place for the length is NULL"))?;
        *len = 0;
        let key = contender(hold)?.key();
        *len = key.len();
        if !buf.is_null() {
            // SAFETY: as promised by the caller, there is room for `cap` bytes.
            unsafe { ptr::copy_nonoverlapping(key.as_ptr(), buf, key.len().min(cap)) };
        }
        if buf.is_null() || cap < key.len() {
            return Err(Error::new(ErrorKind::TooLarge, format!("the key has {} bytes", key.len())));
        }
        Ok(())
    })
}

/// Lets a transaction be done only while it is held: adds a comparison of its key. That it fails is told by
/// etcd_reply_succeeded().
///
/// txn: from etcd_request_txn(), not run yet.
/// Does not block. The thread that builds the request.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED, which running the request reports, too: it is never
///   done without its guard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_hold_guard(hold: *const etcd_hold, txn: *mut etcd_request) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe { change(txn, |request| request.guard(contender(hold)?.guard())) }
}

/// Frees a hold: it is released in the background. NULL is fine and does nothing.
///
/// Does not block. Any thread, in any order with clients and queues.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_hold_free(hold: *mut etcd_hold) {
    get((), || {
        if let Some(hold) = handle::take::<HoldHandle>(hold as usize) {
            hold.0.release(Box::new(|_| {}));
        }
        Ok(())
    });
}
