//! Sequences of calls of the full tier: every function, with things of every kind and state, but for values that were
//! freed, which C may not use.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_void};
use std::ptr;

use libc::c_char;

use crate::ffi::classic::etcd_close;
use crate::ffi::client::*;
use crate::ffi::library::*;
use crate::ffi::options::*;
use crate::ffi::packed::*;
use crate::ffi::queue::*;
use crate::ffi::reply::*;
use crate::ffi::request::*;
use crate::ffi::status::*;
use crate::ffi::types::etcd_client;

/// How many calls an input is at most.
const MOST_CALLS: usize = 200;
/// A transaction in itself is twice as large each time.
const MOST_OPS: usize = 12;

/// Bytes that choose. Behind the end there are zeros.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first.into()
    }

    fn one_in(&mut self, several: usize) -> bool {
        self.byte().is_multiple_of(several)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.byte() % all.len()]
    }

    fn number(&mut self) -> i64 {
        self.of(&[0, 1, 2, 3, 5, 10, 100, -1, -2, 4711, i64::MAX, i64::MIN, i32::MAX.into(), i32::MIN.into()])
    }

    /// None that a test would have to wait for.
    fn timeout(&mut self) -> i64 {
        self.of(&[0, -1, 1, i64::MAX, -2, i64::MIN])
    }

    /// Bytes, or what says that it is bytes.
    fn bytes(&mut self) -> (*const u8, usize) {
        const LONG: &[u8] = &[b'k'; 300];
        let bytes: &'static [u8] = self.of(&[b"a", b"b", b"a/b", b"", b"\0", b"1", b"\xff\xff", LONG]);
        match self.byte() {
            255 => (bytes.as_ptr(), usize::MAX),
            254 => (bytes.as_ptr(), 1 << 30),
            253 => (ptr::null(), 1),
            252 => (ptr::null(), 0),
            _ => (bytes.as_ptr(), bytes.len()),
        }
    }

    /// NULL, or one of these.
    fn text(&mut self, words: &[&'static CStr]) -> *const c_char {
        let place = self.byte() % (words.len() + 1);
        words.get(place).map_or(ptr::null(), |word| word.as_ptr())
    }
}

/// Nothing that would be looked for in the network.
const ENDPOINTS: &[&CStr] = &[c"mem://", c"mem://shared", c"", c"ftp://x", c"mem://a b", c"\xff"];
const OTHERS: &[&CStr] = &[c"request_timeout_ms", c"namespace", c"retry_limit", c"user", c"nothing", c"\xff"];
const VALUES: &[&CStr] = &[c"10", c"0", c"", c"a/", c"-1", c"\xff"];

/// What can be handed to a function. The first ones are numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Client,
    Queue,
    Cancel,
    Watcher,
    Pages,
    Options,
    Request,
    Reply,
    Event,
    Error,
}

use Kind::*;

const KINDS: usize = 10;

/// What was made so far, and what is known of it.
#[derive(Default)]
struct World {
    /// Of the numbers, freed ones as well.
    things: [Vec<*mut c_void>; KINDS],
    /// For each tag of a queue, how much was submitted and has not ended.
    open: BTreeMap<(usize, u64), usize>,
    /// Watchers whose end was told.
    ended: Vec<usize>,
    queues: Vec<usize>,
    ops: usize,
}

/// Bytes are calls.
pub fn calls(data: &[u8]) {
    let (mut world, mut input) = (World::default(), Input(data));
    world.begin();
    for _ in 0..MOST_CALLS {
        if input.0.is_empty() {
            break;
        }
        input.of(CALLS)(&mut world, &mut input);
    }
    world.end();
}

type Call = fn(&mut World, &mut Input);

/// Some are there more than once, so that more comes of them.
const CALLS: &[Call] = &[
    World::options,
    World::open_client,
    World::close_client,
    World::cancel,
    World::call,
    World::call,
    World::pages,
    World::request,
    World::request,
    World::request,
    World::field,
    World::field,
    World::transaction,
    World::transaction,
    World::free_request,
    World::reply,
    World::new_queue,
    World::submit,
    World::submit,
    World::submit,
    World::ask_queue,
    World::next,
    World::next,
    World::read,
    World::take_reply,
    World::free_queue,
    World::event,
    World::watcher,
    World::watcher,
    World::error,
    World::library,
];

/// A status is one that is known, and no bug.
fn known(status: etcd_status) -> etcd_status {
    // SAFETY: it lives for ever.
    let name = unsafe { CStr::from_ptr(etcd_status_name(status)) };
    assert!(name != c"ETCD_ERR_?" && status != ETCD_ERR_PANIC, "{status} is {name:?}");
    status
}

/// Something is made if it succeeds, and only then.
fn made<T>(status: etcd_status, out: *mut T) -> Option<*mut T> {
    assert_eq!(known(status) == 0, !out.is_null(), "status {status}, and the output is {out:?}");
    (status == 0).then_some(out)
}

fn dangling<T>() -> *mut T {
    ptr::dangling_mut()
}

impl World {
    /// Most sequences are about something.
    fn begin(&mut self) {
        let (mut client, mut queue) = (dangling::<etcd_client>(), dangling::<etcd_queue>());
        // SAFETY: places and strings of our own.
        unsafe {
            let options = etcd_options_new();
            let set = |name: &CStr, value: &CStr| {
                etcd_options_set(options, name.as_ptr(), value.as_ptr(), ptr::null_mut())
            };
            assert_eq!(set(c"endpoints", c"mem://shared"), 0);
            assert_eq!(etcd_client_open(options, &raw mut client, ptr::null_mut()), 0);
            assert_eq!(etcd_queue_new(2000, &raw mut queue, ptr::null_mut()), 0);
            self.put(Options, options);
            self.put(Request, etcd_request_get(b"a".as_ptr(), 1));
            self.put(Request, etcd_request_watch(b"a".as_ptr(), 1));
        }
        self.put(Client, client);
        self.put_queue(queue);
    }

    fn put<T>(&mut self, kind: Kind, thing: *mut T) {
        assert!(!thing.is_null());
        self.things[kind as usize].push(thing.cast());
    }

    fn put_queue(&mut self, queue: *mut etcd_queue) {
        self.queues.push(queue as usize);
        self.put(Queue, queue);
    }

    /// Mostly something of this kind.
    fn get<T>(&self, kind: Kind, input: &mut Input) -> *mut T {
        let choice = input.byte();
        let pool = match choice {
            250 => return ptr::null_mut(),
            251 => return (8 | (input.byte() << 4)) as *mut T,
            252 => return ((input.byte() << 8) | 8 | ((kind as usize + 1) << 4)) as *mut T,
            253.. => &self.things[input.byte() % KINDS],
            _ => &self.things[kind as usize],
        };
        if pool.is_empty() { ptr::null_mut() } else { pool[choice % pool.len()].cast() }
    }

    /// A value is gone when it was freed, by the function for its kind.
    fn freed<T>(&mut self, kind: Kind, thing: *mut T) {
        self.things[kind as usize].retain(|&one| one != thing.cast());
    }

    /// The details of a failure are there, if they are wanted, and only then.
    fn told(
        &mut self,
        input: &mut Input,
        run: impl FnOnce(*mut *mut etcd_error) -> etcd_status,
    ) -> etcd_status {
        let mut error = dangling();
        if input.byte() % 8 == 7 {
            return known(run(ptr::null_mut()));
        }
        let status = run(&raw mut error);
        assert_eq!(known(status) == 0, error.is_null(), "status {status}");
        if !error.is_null() {
            // SAFETY: it was just made.
            assert_eq!(unsafe { etcd_error_code(error) }, status);
            self.put(Error, error);
        }
        status
    }

    fn options(&mut self, input: &mut Input) {
        let options = self.get::<etcd_options>(Options, input);
        // SAFETY: it is what C may hold.
        unsafe {
            match input.byte() % 8 {
                0 => self.put(Options, etcd_options_new()),
                1 => {
                    etcd_options_free(options);
                    self.freed(Options, options);
                }
                _ => {
                    let (name, value) = match input.one_in(2) {
                        true => (c"endpoints".as_ptr(), input.text(ENDPOINTS)),
                        false => (input.text(OTHERS), input.text(VALUES)),
                    };
                    self.told(input, |err| etcd_options_set(options, name, value, err));
                }
            }
        }
    }

    fn open_client(&mut self, input: &mut Input) {
        let (options, mut client) = (self.get(Options, input), dangling());
        // SAFETY: it is what C may hold.
        let status = self.told(input, |err| unsafe { etcd_client_open(options, &raw mut client, err) });
        if let Some(client) = made(status, client) {
            self.put(Client, client);
        }
    }

    fn close_client(&mut self, input: &mut Input) {
        let client = self.get(Client, input);
        let (timeout, counter) = (input.timeout(), input.number() as i32);
        // SAFETY: any number will do.
        unsafe {
            match input.byte() % 6 {
                0 => drop(self.told(input, |err| etcd_client_close(client, timeout, err))),
                1 => etcd_client_free(client),
                2 => etcd_close(client),
                _ => assert!(etcd_client_counter(client, counter) >= -1),
            }
        }
    }

    fn cancel(&mut self, input: &mut Input) {
        let cancel = self.get(Cancel, input);
        // SAFETY: any number will do.
        unsafe {
            match input.byte() % 4 {
                0 => etcd_cancel_trigger(cancel),
                1 => etcd_cancel_free(cancel),
                _ => self.put(Cancel, etcd_cancel_new()),
            }
        }
    }

    /// One that may be given, or not.
    fn token(&self, input: &mut Input) -> *mut etcd_cancel {
        if input.one_in(2) { ptr::null_mut() } else { self.get(Cancel, input) }
    }

    fn call(&mut self, input: &mut Input) {
        let (client, request, cancel) =
            (self.get(Client, input), self.get(Request, input), self.token(input));
        let (timeout, mut reply) = (input.timeout(), dangling());
        // SAFETY: it is what C may hold.
        let status = self
            .told(input, |err| unsafe { etcd_call(client, request, timeout, cancel, &raw mut reply, err) });
        if let Some(reply) = made(status, reply) {
            self.put(Reply, reply);
        }
    }

    fn pages(&mut self, input: &mut Input) {
        let how = input.byte() % 8;
        let (pages, mut opened, mut reply) = (self.get(Pages, input), dangling(), dangling());
        // SAFETY: it is what C may hold.
        unsafe {
            match how {
                0 => etcd_pages_free(pages),
                1..4 => {
                    let (client, request) = (self.get(Client, input), self.get(Request, input));
                    let status =
                        self.told(input, |err| etcd_pages_open(client, request, &raw mut opened, err));
                    made(status, opened).into_iter().for_each(|pages| self.put(Pages, pages));
                }
                _ => {
                    let (timeout, cancel) = (input.timeout(), self.token(input));
                    let status =
                        self.told(input, |err| etcd_pages_next(pages, timeout, cancel, &raw mut reply, err));
                    assert!(status == 0 || reply.is_null());
                    if !reply.is_null() {
                        self.put(Reply, reply);
                    }
                }
            }
        }
    }

    fn request(&mut self, input: &mut Input) {
        let ((key, key_len), (value, value_len)) = (input.bytes(), input.bytes());
        let (number, other) = (input.number(), input.number() as i32);
        // SAFETY: bytes of our own; a length that they do not have is more than is ever read.
        let request = unsafe {
            match input.byte() % 18 {
                0 => etcd_request_get(key, key_len),
                1 | 2 => etcd_request_put(key, key_len, value, value_len),
                3 => etcd_request_delete(key, key_len),
                4 => etcd_request_txn(),
                5 => etcd_request_compact(number),
                6 => etcd_request_lease_grant(number),
                7 => etcd_request_lease_revoke(number),
                8 => etcd_request_lease_keep_alive(number),
                9 => etcd_request_lease_ttl(number),
                10 => etcd_request_leases(),
                11 => etcd_request_members(),
                12 => etcd_request_status(),
                13 => etcd_request_sync_members(),
                14 => etcd_request_alarm(other, number, input.number() as i32),
                15 => etcd_request_hash(number),
                16 => etcd_request_authenticate(key, key_len, value, value_len),
                _ => etcd_request_watch(key, key_len),
            }
        };
        self.put(Request, request);
    }

    fn field(&mut self, input: &mut Input) {
        let request = self.get(Request, input);
        let (field, number) = (input.byte() as i32 % 55, input.number());
        let (data, len) = input.bytes();
        // SAFETY: as in `request`, and nobody else uses it.
        unsafe {
            match input.byte() % 4 {
                0 => known(etcd_request_set_bytes(request, field, data, len)),
                _ => known(etcd_request_set_int(request, field, number)),
            }
        };
    }

    fn transaction(&mut self, input: &mut Input) {
        let (txn, op) = (self.get(Request, input), self.get(Request, input));
        let ((key, key_len), (value, value_len)) = (input.bytes(), input.bytes());
        let (target, relation, number) = (input.number() as i32, input.number() as i32, input.number());
        // SAFETY: as in `request`, and nobody else uses it.
        unsafe {
            match input.byte() % 6 {
                0 => drop(known(etcd_txn_compare_int(txn, key, key_len, target, relation, number))),
                1 => drop(known(etcd_txn_compare_value(txn, key, key_len, relation, value, value_len))),
                _ if self.ops == MOST_OPS => {}
                how => {
                    self.ops += 1;
                    known(if how % 2 == 0 { etcd_txn_then(txn, op) } else { etcd_txn_else(txn, op) });
                }
            }
        }
    }

    fn free_request(&mut self, input: &mut Input) {
        let request = self.get::<etcd_request>(Request, input);
        // SAFETY: it is what C may hold, and is not used again.
        unsafe { etcd_request_free(request) };
        self.freed(Request, request);
    }

    fn reply(&mut self, input: &mut Input) {
        let reply = self.get::<etcd_reply>(Reply, input);
        look_at(reply, input);
        if input.one_in(2) {
            // SAFETY: it is what C may hold, and is not used again.
            unsafe { etcd_reply_free(reply) };
            self.freed(Reply, reply);
        }
    }

    fn new_queue(&mut self, input: &mut Input) {
        let (size, mut queue) = (input.of(&[0, 1, 100, 2000, usize::MAX]), dangling());
        // SAFETY: a place of our own.
        let status = self.told(input, |err| unsafe { etcd_queue_new(size, &raw mut queue, err) });
        made(status, queue).into_iter().for_each(|queue| self.put_queue(queue));
    }

    fn submit(&mut self, input: &mut Input) {
        let (client, queue) = (self.get(Client, input), self.get::<etcd_queue>(Queue, input));
        let (request, tag, timeout) = (self.get(Request, input), input.byte() as u64 % 8, input.timeout());
        // SAFETY: it is what C may hold.
        let status =
            self.told(input, |err| unsafe { etcd_submit(client, queue, request, tag, timeout, err) });
        if status == 0 {
            assert_ne!(tag, 0);
            *self.open.entry((queue as usize, tag)).or_default() += 1;
        }
    }

    fn ask_queue(&mut self, input: &mut Input) {
        let (queue, tag) = (self.get::<etcd_queue>(Queue, input), input.byte() as u64 % 8);
        // SAFETY: any number will do.
        unsafe {
            match input.byte() % 5 {
                0 => etcd_queue_wake(queue),
                1 => assert!(etcd_queue_bytes(queue) >= -1),
                2 => assert!(etcd_queue_fd(queue) >= -1),
                3 => {
                    let copy = etcd_queue_dup_fd(queue);
                    assert!(copy == -1 || libc::close(copy) == 0);
                }
                _ => drop(known(etcd_queue_cancel(queue, tag))),
            }
        }
    }

    /// Nothing comes for a tag that has ended.
    fn came(&mut self, queue: usize, tag: u64, is_last: bool) {
        let open =
            self.open.get_mut(&(queue, tag)).unwrap_or_else(|| panic!("tag {tag} was never submitted"));
        assert!(*open > 0, "tag {tag} has ended");
        *open -= usize::from(is_last);
    }

    fn next(&mut self, input: &mut Input) {
        let (queue, timeout) = (self.get::<etcd_queue>(Queue, input), input.of(&[0, 1, -2, i64::MIN]));
        let mut event = dangling();
        // SAFETY: any number will do, and a place of our own.
        let status = unsafe { etcd_queue_next(queue, timeout, &raw mut event) };
        let Some(event) = made(status, event) else { return };
        // SAFETY: it was just made.
        let (tag, is_last) = unsafe { (etcd_event_tag(event), etcd_event_is_last(event) == 1) };
        self.came(queue as usize, tag, is_last);
        self.put(Event, event);
    }

    fn read(&mut self, input: &mut Input) {
        let queue = self.get::<etcd_queue>(Queue, input);
        let mut room = [0u64; 256];
        let (mut used, mut records) = (usize::MAX, u32::MAX);
        let cap = input.of(&[size_of_val(&room), 88, 80, 8, 0]);
        // SAFETY: any number will do; the buffer is as long as said.
        let status =
            unsafe { etcd_queue_read(queue, room.as_mut_ptr().cast(), cap, &raw mut used, &raw mut records) };
        assert!(known(status) == 0 || records == 0);
        assert!(used <= cap || status == ETCD_ERR_TOO_LARGE, "{used} of {cap}");
        let mut at = 0;
        for _ in 0..records {
            // Size, version, kind and flags; then the tag.
            let size = room[at] as u32 as usize / 8;
            let (flags, tag) = ((room[at] >> 48) as i32, room[at + 1]);
            assert_eq!((room[at] >> 32) as u8, ETCD_PACKED_VERSION as u8);
            self.came(queue as usize, tag, flags & ETCD_PACKED_LAST != 0);
            at += size;
        }
        assert!(status != 0 || at * 8 == used);
    }

    fn take_reply(&mut self, input: &mut Input) {
        let (queue, tag, mut reply) = (self.get(Queue, input), input.byte() as u64 % 8, dangling());
        // SAFETY: any number will do, and a place of our own.
        let status = unsafe { etcd_queue_take_reply(queue, tag, &raw mut reply) };
        made(status, reply).into_iter().for_each(|reply| self.put(Reply, reply));
    }

    fn free_queue(&mut self, input: &mut Input) {
        let queue = self.get::<etcd_queue>(Queue, input);
        if input.one_in(4) {
            // SAFETY: any number will do.
            unsafe { etcd_queue_free(queue) };
            self.queues.retain(|&one| one != queue as usize);
        }
    }

    fn event(&mut self, input: &mut Input) {
        let event = self.get::<etcd_event>(Event, input);
        // SAFETY: it is what C may hold.
        unsafe {
            known(etcd_event_status(event));
            assert!((0..=7).contains(&etcd_event_kind(event)));
            assert!((0..=7).contains(&etcd_event_watch_state(event)));
            let error = etcd_event_error(event);
            assert_eq!(error.is_null(), etcd_event_status(event) == 0 && etcd_event_watch_state(event) != 2);
            look_at(etcd_event_reply(event), input);
            if input.one_in(2) {
                etcd_event_free(event);
                self.freed(Event, event);
            }
        }
    }

    fn watcher(&mut self, input: &mut Input) {
        let how = input.byte() % 8;
        let (watcher, mut opened) = (self.get::<etcd_watcher>(Watcher, input), dangling());
        // SAFETY: it is what C may hold.
        unsafe {
            match how {
                0 => etcd_watcher_free(watcher),
                1 => etcd_watcher_wake(watcher),
                2 | 3 => {
                    let (client, request) = (self.get(Client, input), self.get(Request, input));
                    let timeout = input.timeout();
                    let status = self
                        .told(input, |err| etcd_watcher_open(client, request, timeout, &raw mut opened, err));
                    made(status, opened).into_iter().for_each(|watcher| self.put(Watcher, watcher));
                }
                _ => self.next_of_watcher(watcher, input.of(&[0, 1, -2])),
            }
        }
    }

    fn next_of_watcher(&mut self, watcher: *mut etcd_watcher, timeout: i64) {
        let mut event = dangling();
        // SAFETY: any number will do, and a place of our own.
        let status = unsafe { etcd_watcher_next(watcher, timeout, &raw mut event) };
        let had_ended = self.ended.contains(&(watcher as usize));
        assert!(!had_ended || [ETCD_ERR_CLOSED, ETCD_ERR_INVALID_ARGUMENT].contains(&status), "{status}");
        let Some(event) = made(status, event) else { return };
        // SAFETY: it was just made.
        if unsafe { etcd_event_is_last(event) } == 1 {
            self.ended.push(watcher as usize);
        }
        self.put(Event, event);
    }

    fn error(&mut self, input: &mut Input) {
        let error = self.get::<etcd_error>(Error, input);
        // SAFETY: it is what C may hold.
        unsafe {
            known(etcd_error_code(error));
            let message = etcd_error_message(error);
            assert!(message.is_null() || !CStr::from_ptr(message).is_empty());
            etcd_error_endpoint(error);
            etcd_error_server_code(error);
            etcd_error_compact_revision(error);
            assert!(etcd_error_is_retriable(error) + etcd_error_is_outcome_unknown(error) < 2);
            if input.one_in(2) {
                etcd_error_free(error);
                self.freed(Error, error);
            }
        }
    }

    fn library(&mut self, input: &mut Input) {
        let number = input.number() as i32;
        // SAFETY: strings of our own; nobody takes the log.
        unsafe {
            known(etcd_version_check(number));
            etcd_has(input.text(&[c"grpc", c"mem", c"", c"\xff"]));
            etcd_status_name(number);
            known(etcd_log_to(None, number, ptr::null_mut(), None));
        }
    }

    /// Whatever was submitted has its last word, when its client is gone at the latest.
    fn end(mut self) {
        let clients = std::mem::take(&mut self.things[Client as usize]);
        // SAFETY: any number will do.
        clients.into_iter().for_each(|client| unsafe { etcd_client_free(client.cast()) });
        for queue in std::mem::take(&mut self.queues) {
            while self.open.range((queue, 0)..=(queue, u64::MAX)).any(|(_, open)| *open > 0) {
                let mut event = dangling();
                // SAFETY: the queue is open, and a place of our own.
                match unsafe { etcd_queue_next(queue as *mut etcd_queue, 3000, &raw mut event) } {
                    0 => {}
                    ETCD_ERR_CANCELED => continue,
                    status => panic!("a tag has no last event: {status}"),
                }
                // SAFETY: it was just made.
                let (tag, is_last) = unsafe { (etcd_event_tag(event), etcd_event_is_last(event) == 1) };
                self.came(queue, tag, is_last);
                self.put(Event, event);
            }
        }
        self.free_all();
    }

    fn free_all(&mut self) {
        let mut each = |kind: Kind, free: &dyn Fn(*mut c_void)| {
            std::mem::take(&mut self.things[kind as usize]).into_iter().for_each(free);
        };
        // SAFETY: numbers may be freed twice; values are freed once, each by the function for its kind.
        unsafe {
            each(Queue, &|thing| etcd_queue_free(thing.cast()));
            each(Cancel, &|thing| etcd_cancel_free(thing.cast()));
            each(Watcher, &|thing| etcd_watcher_free(thing.cast()));
            each(Pages, &|thing| etcd_pages_free(thing.cast()));
            each(Options, &|thing| etcd_options_free(thing.cast()));
            each(Request, &|thing| etcd_request_free(thing.cast()));
            each(Reply, &|thing| etcd_reply_free(thing.cast()));
            each(Event, &|thing| etcd_event_free(thing.cast()));
            each(Error, &|thing| etcd_error_free(thing.cast()));
        }
    }
}

/// Looks at all of a reply, and at what is behind it.
fn look_at(reply: *const etcd_reply, input: &mut Input) {
    // SAFETY: it is what C may hold, and its parts live as long.
    unsafe {
        etcd_reply_revision(reply);
        etcd_reply_count(reply);
        assert!(etcd_reply_more(reply) | etcd_reply_succeeded(reply) < 2);
        let (field, mut number, mut data, mut len) =
            (input.byte() as i32, 5, dangling::<u8>().cast_const(), 5);
        let status = known(etcd_reply_int(reply, field, &raw mut number));
        assert!(status == 0 || number == 0);
        let status = known(etcd_reply_bytes(reply, field, &raw mut data, &raw mut len));
        assert!(status == 0 || (data.is_null() && len == 0));
        let mut sum = if data.is_null() { 0 } else { sum_of(data, len) };
        let kvs = etcd_reply_kvs(reply);
        for at in 0..=kvs {
            let mut kv = std::mem::MaybeUninit::<etcd_kv>::uninit();
            let status = known(etcd_reply_kv(reply, at, kv.as_mut_ptr(), size_of::<etcd_kv>()));
            assert_eq!(status == 0, at < kvs);
            let kv = kv.assume_init();
            sum += sum_of(kv.key, kv.key_len) + sum_of(kv.value, kv.value_len);
            known(etcd_reply_previous(reply, at, (&raw const kv).cast_mut(), input.byte() % 80));
        }
        std::hint::black_box(sum);
        let children = etcd_reply_children(reply);
        (0..children).for_each(|at| look_at(etcd_reply_child(reply, at), input));
        assert!(etcd_reply_child(reply, children).is_null());
    }
}

/// Reads them all, so that a sanitizer would see one that is not there.
unsafe fn sum_of(data: *const u8, len: usize) -> u64 {
    // SAFETY: as promised by the caller.
    (0..len).map(|at| u64::from(unsafe { data.add(at).read() })).sum()
}
