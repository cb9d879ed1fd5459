//! Fair locks in etcd's own queue layout, so that they queue together with `etcdctl lock`, Go programs and others.
//!
//! A place in the queue of NAME is the key `NAME/` + the lease it was made with, in hex. The place with the
//! smallest creation revision holds the lock; that revision is its fencing token. Everybody else waits for
//! its predecessor alone, so that one release wakes one waiter.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::{Client, Lease, retry};
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::sys;
use crate::transport::{Context, WatchStream};
use crate::wait::{self, Cancel, Deadline, Interrupted, Mailbox, lock};

/// A place in a lock's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The lock's name.
    pub name: Vec<u8>,
    /// The key that is the place.
    pub key: Vec<u8>,
    /// The fencing token: the key's creation revision. It grows with every new holder.
    pub token: i64,
    /// The lease that keeps it.
    pub lease: Lease,
}

/// Waits until the lock `name` is held, for as long as `deadline` and `cancel` allow; a deadline that has
/// passed already means to try once. `value` is information for people who look at the queue. On any error
/// the place is given up.
///
/// # Errors
/// `Timeout`, `Closed`; `Lost` when the place vanished while waiting (its lease was revoked, or somebody
/// took it out of the queue); what the servers say when it can't be queued at all.
pub fn acquire(
    client: &Client,
    name: &[u8],
    ttl: i64,
    value: &[u8],
    deadline: Deadline,
    cancel: &Cancel,
) -> Result<Place> {
    let during = |error: Error| error.during(format!("lock {}", quote(name)));
    let limits =
        Limits { deadline, calls_end: if deadline.passed() { Deadline::NEVER } else { deadline }, cancel };
    let lease = client.grant_in(&limits.context(client), ttl).map_err(during)?;
    let mut place = enqueue(client, &limits.context(client), name, lease, value).map_err(|error| {
        // Revoking takes the place with it, if there is one; without an answer, the lease ends by itself.
        let _ = client.revoke_in(&client.parting_context(), lease.id);
        during(error)
    })?;
    match Waiter::new(client, &mut place, limits).wait() {
        Ok(()) => Ok(place),
        Err(error) => {
            let _ = leave(client, &place);
            Err(during(error))
        }
    }
}

/// Host and process, for the value of a place.
pub fn who() -> String {
    sys::who()
}

/// Gives a place up and ends its lease. Tells whether it was there.
fn leave(client: &Client, place: &Place) -> Result<bool> {
    let context = client.parting_context();
    let released = release(client, &context, &place.key, place.token);
    let revoked = client.revoke_in(&context, place.lease.id);
    match released {
        // Revoking is as good: the key goes with its lease.
        Err(error) => revoked.map(|()| true).map_err(|_| error),
        released => released,
    }
}

/// Takes a place at the end of the queue; sent twice, it finds the place of the first time.
fn enqueue(client: &Client, context: &Context, name: &[u8], lease: Lease, value: &[u8]) -> Result<Place> {
    let key = [name, format!("/{:x}", lease.id).as_bytes()].concat();
    let put = PutRequest { key: key.clone(), value: value.into(), lease: lease.id };
    let request = Request::Txn(TxnRequest {
        compares: vec![Compare::create_revision(key.clone(), 0)],
        then: vec![Op::Put(put)],
        otherwise: vec![Op::Range(RangeRequest::new(KeyRange::key(key.clone())))],
    });
    let (revision, reply) = client.txn_in(context, &request, Repeat::Harmless)?;
    let token = match reply.replies.first() {
        Some(OpReply::Range(found)) => found.kvs.first().map(|kv| kv.create_revision),
        _ => Some(revision),
    };
    let token = token.ok_or_else(|| Error::new(ErrorKind::Lost, "the place in the queue vanished"))?;
    Ok(Place { name: name.into(), key, token, lease })
}

/// Whether a key below `NAME/` is a place in the queue: its last part is a lease's id as etcd writes it, and
/// it has a lease. Anything else there (data, a lock named `NAME/x`, a stray key) is not, and blocks nobody.
fn is_place(prefix: &[u8], kv: &KeyValue) -> bool {
    let id = kv.key.get(prefix.len()..).unwrap_or_default();
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    kv.lease != 0 && (1..=16).contains(&id.len()) && id.iter().all(hex)
}

/// The place with this token, whoever took it.
///
/// # Errors
/// As [`Client::call`].
pub fn find(client: &Client, name: &[u8], token: i64) -> Result<Option<KeyValue>> {
    let prefix = [name, b"/"].concat();
    let made_then = RangeRequest {
        min_create_revision: token,
        max_create_revision: token,
        ..RangeRequest::new(KeyRange::prefix(prefix.clone()))
    };
    let (_, found) = client.range(made_then)?;
    Ok(found.kvs.into_iter().find(|kv| is_place(&prefix, kv)))
}

/// Gives up the place `key`, if it still is the one with this token: a later one of that name stays.
/// Tells whether it was there.
///
/// # Errors
/// As [`Client::call`].
pub fn release(client: &Client, context: &Context, key: &[u8], token: i64) -> Result<bool> {
    let request = Request::Txn(TxnRequest {
        compares: vec![Compare::create_revision(key, token)],
        then: vec![Op::Delete(DeleteRequest { range: KeyRange::key(key) })],
        otherwise: vec![],
    });
    Ok(client.txn_in(context, &request, Repeat::Harmless)?.1.succeeded)
}

/// What a read of the queue shows.
struct Queue {
    revision: i64,
    /// The asked range, without the own place.
    others: Vec<KeyValue>,
    own: Option<KeyValue>,
}

/// What wakes a waiter.
enum Wake {
    Own(Result<WatchBatch>),
    Predecessor(Result<WatchBatch>),
}

/// How long a wait may last.
struct Limits<'a> {
    /// Waiting for others.
    deadline: Deadline,
    /// Waiting for an answer.
    calls_end: Deadline,
    cancel: &'a Cancel,
}

impl Limits<'_> {
    fn context(&self, client: &Client) -> Context {
        let deadline = client.context().deadline.earlier(self.calls_end);
        Context { deadline, cancel: self.cancel.clone() }
    }
}

/// One wait for one place to come first.
struct Waiter<'a> {
    client: &'a Client,
    place: &'a mut Place,
    limits: Limits<'a>,
    next_keep_alive: Deadline,
    failures: u32,
}

impl<'a> Waiter<'a> {
    fn new(client: &'a Client, place: &'a mut Place, limits: Limits<'a>) -> Self {
        let next_keep_alive = Deadline::after(Duration::from_secs(place.lease.ttl.unsigned_abs()) / 3);
        Waiter { client, place, limits, next_keep_alive, failures: 0 }
    }

    fn wait(&mut self) -> Result<()> {
        let mut waited = false;
        while let (Some(predecessor), revision) = self.predecessor()? {
            waited = true;
            self.wait_for(&predecessor, revision)?;
        }
        if waited {
            // The TTL runs from the moment at which the lock is held; and a lease that ended holds nothing.
            self.keep_alive()?;
        }
        Ok(())
    }

    fn lost(&self) -> Error {
        Error::new(ErrorKind::Lost, "the place in the queue is gone: its lease ended or somebody removed it")
    }

    /// A short round trip, so that another endpoint can be asked before the lease ends.
    fn context(&self) -> Context {
        let context = self.limits.context(self.client);
        Context { deadline: context.deadline.or_after(self.part_of_ttl(3)), ..context }
    }

    fn part_of_ttl(&self, part: u32) -> Duration {
        Duration::from_secs(self.place.lease.ttl.unsigned_abs()) / part
    }

    /// Repeats what failed for lack of a server until it works, or waiting is over.
    fn insist<T>(&mut self, step: impl Fn(&Self) -> Result<T>) -> Result<T> {
        loop {
            if self.limits.cancel.is_triggered() {
                return Err(Error::closed());
            }
            match step(self) {
                Ok(value) => {
                    self.failures = 0;
                    return Ok(value);
                }
                Err(error) if retry::after(&error, Repeat::Harmless) == retry::Next::GiveUp => {
                    return Err(error);
                }
                Err(error) if self.limits.deadline.passed() => return Err(error),
                Err(_) => {
                    let pause = retry::backoff(self.failures, sys::random_id() as u64);
                    self.failures += 1;
                    let pause = self.limits.deadline.or_after(pause).remaining().unwrap_or(pause);
                    wait::sleep(pause, self.limits.cancel);
                }
            }
        }
    }

    /// The place before the own one, and the revision at which it was read.
    fn predecessor(&mut self) -> Result<(Option<KeyValue>, i64)> {
        let prefix = [&self.place.name[..], b"/"].concat();
        let nearest = RangeRequest {
            max_create_revision: self.place.token - 1,
            sort_by: SortBy::Create,
            descending: true,
            keys_only: true,
            limit: 1,
            ..RangeRequest::new(KeyRange::prefix(prefix.clone()))
        };
        let mut queue = self.read(nearest.clone())?;
        if queue.others.iter().any(|kv| !is_place(&prefix, kv)) {
            // Something else lies in between: read on behind it.
            queue = self.read(RangeRequest { limit: 0, ..nearest })?;
        }
        Ok((queue.others.into_iter().find(|kv| is_place(&prefix, kv)), queue.revision))
    }

    /// Reads `range` together with the own place, which must still be there.
    fn read(&mut self, range: RangeRequest) -> Result<Queue> {
        let queue = self.insist(|waiter| waiter.read_once(range.clone()))?;
        let Some(own) = &queue.own else { return Err(self.lost()) };
        // Whoever renews a waiting place with another TTL moves it to another lease.
        self.place.lease.id = own.lease;
        Ok(queue)
    }

    fn read_once(&self, range: RangeRequest) -> Result<Queue> {
        let own = RangeRequest { keys_only: true, ..RangeRequest::new(KeyRange::key(&self.place.key[..])) };
        let then = vec![Op::Range(range), Op::Range(own)];
        let request = Request::Txn(TxnRequest { then, ..TxnRequest::default() });
        let (revision, reply) = self.client.txn_in(&self.context(), &request, Repeat::Harmless)?;
        let mut found = reply.replies.into_iter().map(|reply| match reply {
            OpReply::Range(range) => range.kvs,
            _ => Vec::new(),
        });
        let others = found.next().unwrap_or_default();
        let mut own = found.next().unwrap_or_default().into_iter();
        let own = own.find(|kv| kv.create_revision == self.place.token);
        Ok(Queue { revision, others, own })
    }

    fn keep_alive(&mut self) -> Result<()> {
        loop {
            let id = self.place.lease.id;
            if let Some(lease) = self.insist(|waiter| waiter.client.keep_alive_in(&waiter.context(), id))? {
                self.place.lease = lease;
                self.next_keep_alive = Deadline::after(self.part_of_ttl(3));
                return Ok(());
            }
            // That lease is gone. The place is lost with it, unless it has moved to another one.
            self.read(RangeRequest::new(KeyRange::key(&self.place.key[..])))?;
            if self.place.lease.id == id {
                return Err(self.lost());
            }
        }
    }

    /// Waits until this predecessor is gone. Its end is seen by a watch, and should that fail, by looking at
    /// least every half TTL; the own place is looked after in the same way, and kept alive.
    fn wait_for(&mut self, predecessor: &KeyValue, mut revision: i64) -> Result<()> {
        let wakes = Mailbox::default();
        let mut watches = Watches::default();
        let mut next_look = Deadline::after(self.part_of_ttl(2));
        loop {
            if self.limits.cancel.is_triggered() {
                return Err(Error::closed());
            }
            if self.limits.deadline.passed() {
                let fault = format!("others held it all the time; {} is before us", quote(&predecessor.key));
                return Err(Error::new(ErrorKind::Timeout, fault).advise("wait longer, or try again later"));
            }
            if self.next_keep_alive.passed() {
                self.keep_alive()?;
            }
            if next_look.passed() {
                let queue = self.read(exactly(predecessor))?;
                if queue.others.is_empty() {
                    return Ok(());
                }
                revision = queue.revision;
                next_look = Deadline::after(self.part_of_ttl(2));
            }
            watches.open(self, predecessor, revision, &wakes);
            let until = self.limits.deadline.earlier(self.next_keep_alive).earlier(next_look);
            match wakes.recv(until, self.limits.cancel) {
                Ok(Wake::Predecessor(Ok(batch))) if deletes(&batch, &predecessor.key) => return Ok(()),
                Ok(Wake::Own(Ok(batch))) if deletes(&batch, &self.place.key) => return Err(self.lost()),
                Ok(Wake::Own(Err(_)) | Wake::Predecessor(Err(_))) => {
                    watches = Watches::default();
                    next_look = Deadline::after(Duration::ZERO);
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Just this incarnation of a key.
fn exactly(kv: &KeyValue) -> RangeRequest {
    RangeRequest {
        min_create_revision: kv.create_revision,
        max_create_revision: kv.create_revision,
        keys_only: true,
        ..RangeRequest::new(KeyRange::key(&kv.key[..]))
    }
}

fn deletes(batch: &WatchBatch, key: &[u8]) -> bool {
    batch.events.iter().any(|event| event.kind == EventKind::Delete && event.kv.key == key)
}

/// A waiter's two watches.
#[derive(Default)]
struct Watches {
    own: Option<WatchStream>,
    predecessor: Option<WatchStream>,
}

impl Watches {
    /// Opens what is missing. What can't be opened now is tried again at the next look.
    fn open(&mut self, waiter: &Waiter, predecessor: &KeyValue, revision: i64, wakes: &Mailbox<Wake>) {
        let open = |key: &[u8], wake: fn(Result<WatchBatch>) -> Wake| {
            let request = WatchRequest { range: KeyRange::key(key), start_revision: revision + 1 };
            let sink = || -> crate::transport::WatchSink {
                let wakes = wakes.clone();
                Box::new(move |item| {
                    wakes.push(wake(item));
                    true
                })
            };
            waiter.client.open_watch(&waiter.context(), &request, sink).ok().map(|(stream, _)| stream)
        };
        if self.predecessor.is_none() {
            self.predecessor = open(&predecessor.key, Wake::Predecessor);
        }
        if self.own.is_none() {
            self.own = open(&waiter.place.key, Wake::Own);
        }
    }
}

/// A held lock that is kept alive by a thread of the library and tells when it is lost.
pub struct Hold {
    client: Client,
    shared: Arc<HoldState>,
    stop: Cancel,
    keeper: Option<JoinHandle<()>>,
}

struct HoldState {
    place: Place,
    /// The boot time until which it is held for sure.
    until: Mutex<Duration>,
    lost: Mutex<Option<Error>>,
}

impl Hold {
    /// Keeps a place alive that has just come first. `on_lost` is called once, on the library's thread, if
    /// the hold is lost before it is released.
    ///
    /// # Errors
    /// `NoResource` when there is no thread for it.
    pub fn keep(
        client: &Client,
        place: Place,
        on_lost: impl FnOnce(&Error) + Send + 'static,
    ) -> Result<Self> {
        let until = Mutex::new(sure_until(&place.lease));
        let shared = Arc::new(HoldState { place, until, lost: Mutex::new(None) });
        let stop = Cancel::new();
        let (keeper_client, state, stopped) = (client.clone(), shared.clone(), stop.clone());
        let keeper = sys::spawn("etcd-hold", move || {
            if let Some(error) = state.keep(&keeper_client, &stopped) {
                *lock(&state.lost) = Some(error.clone());
                on_lost(&error);
            }
        });
        let keeper = keeper.map_err(|error| {
            Error::new(ErrorKind::NoResource, format!("no thread to keep a lock: {error}"))
        })?;
        Ok(Hold { client: client.clone(), shared, stop, keeper: Some(keeper) })
    }

    /// The place it holds.
    pub fn place(&self) -> &Place {
        &self.shared.place
    }

    /// Whether it is held for sure, by this machine's own clock; asks nobody. Once `false`, for good.
    pub fn is_held(&self) -> bool {
        self.shared.remaining().is_some() && lock(&self.shared.lost).is_none()
    }

    /// Releases the lock. Tells whether it was still held.
    ///
    /// # Errors
    /// When no server confirms it; the lock then ends with its lease.
    pub fn release(mut self) -> Result<bool> {
        self.stop_keeper();
        leave(&self.client, &self.shared.place)
    }

    fn stop_keeper(&mut self) {
        self.stop.trigger();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

impl Drop for Hold {
    /// Stops renewing. The lock ends with its lease; [`Hold::release`] ends it at once.
    fn drop(&mut self) {
        self.stop_keeper();
    }
}

/// A holder stops trusting its lease this long before the server can give the lock to the next one.
fn sure_until(lease: &Lease) -> Duration {
    let ttl = Duration::from_secs(lease.ttl.unsigned_abs());
    let margin = (ttl / 10).max(Duration::from_millis(500));
    lease.started + ttl.saturating_sub(margin)
}

impl HoldState {
    /// What is left of the time it is held for sure.
    fn remaining(&self) -> Option<Duration> {
        lock(&self.until).checked_sub(sys::boot_time()).filter(|left| !left.is_zero())
    }

    /// Renews until stopped (`None`) or lost.
    fn keep(&self, client: &Client, stop: &Cancel) -> Option<Error> {
        let mut revision = self.place.token;
        let third = self.third();
        let wakes = Mailbox::default();
        let mut watch = None;
        let mut pause = third;
        loop {
            if watch.is_none() {
                watch = self.watch_own(client, stop, revision, &wakes);
            }
            let Some(left) = self.remaining() else { return Some(self.expired()) };
            match wakes.recv(Deadline::after(pause.min(left)), stop) {
                Err(Interrupted::Canceled) => return None,
                Ok(Ok(batch)) if deletes(&batch, &self.place.key) => return Some(self.removed()),
                Ok(Ok(_)) => continue,
                Ok(Err(_)) => watch = None,
                Err(Interrupted::Timeout) => {}
            }
            pause = match self.renew(client, stop) {
                Ok(seen) => {
                    revision = seen;
                    third
                }
                Err(error) if error.kind() == ErrorKind::Lost => return Some(error),
                // No server: try again soon, until the time is over.
                Err(_) => (third / 4).min(Duration::from_millis(500)),
            };
        }
    }

    fn watch_own(
        &self,
        client: &Client,
        stop: &Cancel,
        revision: i64,
        wakes: &Mailbox<Result<WatchBatch>>,
    ) -> Option<WatchStream> {
        let range = KeyRange::key(&self.place.key[..]);
        let request = WatchRequest { range, start_revision: revision + 1 };
        let sink = || -> crate::transport::WatchSink {
            let wakes = wakes.clone();
            Box::new(move |item| {
                wakes.push(item);
                true
            })
        };
        client.open_watch(&self.context(client, stop), &request, sink).ok().map(|(stream, _)| stream)
    }

    /// A third of the TTL, so that there is time for another try, and never longer than the hold is sure.
    fn context(&self, client: &Client, stop: &Cancel) -> Context {
        let deadline =
            client.context().deadline.or_after(self.third()).or_after(self.remaining().unwrap_or_default());
        Context { deadline, cancel: stop.clone() }
    }

    fn third(&self) -> Duration {
        Duration::from_secs(self.place.lease.ttl.unsigned_abs()) / 3
    }

    /// Tells the revision at which the place was still there.
    fn renew(&self, client: &Client, stop: &Cancel) -> Result<i64> {
        let context = self.context(client, stop);
        let Some(lease) = client.keep_alive_in(&context, self.place.lease.id)? else {
            return Err(self.place.lease.ended());
        };
        let own = RangeRequest { keys_only: true, ..RangeRequest::new(KeyRange::key(&self.place.key[..])) };
        let reply = client.call_in(&context, &Request::Range(own), Repeat::Harmless)?;
        match reply.body {
            Body::Range(found) if !found.kvs.iter().any(|kv| kv.create_revision == self.place.token) => {
                Err(self.removed())
            }
            _ => {
                *lock(&self.until) = sure_until(&lease);
                Ok(reply.revision)
            }
        }
    }

    fn expired(&self) -> Error {
        Error::new(ErrorKind::Lost, "no server confirmed the lock before its TTL was over")
    }

    fn removed(&self) -> Error {
        Error::new(ErrorKind::Lost, "somebody removed the lock's key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn client() -> Client {
        let mut options = Options::new();
        options.set("endpoints", "mem://").unwrap();
        Client::open(options).unwrap()
    }

    fn take(client: &Client, ttl: i64, wait: Duration) -> Result<Place> {
        acquire(client, b"l", ttl, b"test", Deadline::after(wait), client.closed())
    }

    #[test]
    fn only_keys_that_a_lease_made_are_in_the_queue() {
        let kv = |key: &str, lease| KeyValue { key: key.into(), lease, ..KeyValue::default() };
        for (key, lease, yes) in [
            ("l/694d77aa9e38260f", 1, true),
            ("l/1", 1, true),
            ("l/1", 0, false),
            ("l/", 1, false),
            ("l/694D77AA9E38260F", 1, false),
            ("l/694d77aa9e38260f0", 1, false),
            ("l/x/1", 1, false),
            ("l/name", 1, false),
        ] {
            assert_eq!(is_place(b"l/", &kv(key, lease)), yes, "{key} {lease}");
        }
    }

    #[test]
    fn a_waiter_that_gives_up_leaves_nothing() {
        let client = client();
        let held = take(&client, 60, Duration::ZERO).expect("free");
        let error = take(&client, 60, Duration::from_millis(100)).expect_err("held");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let (_, queue) = client.range(RangeRequest::new(KeyRange::prefix("l/"))).unwrap();
        assert_eq!(queue.kvs.len(), 1);
        assert_eq!(queue.kvs[0].key, held.key);
    }

    #[test]
    fn data_and_other_locks_below_the_name_block_nobody() {
        let client = client();
        client.put("l/data", "", 0).unwrap();
        client.put("l/abc", "a stray key without lease", 0).unwrap();
        acquire(&client, b"l/inner", 60, b"", Deadline::NEVER, client.closed()).unwrap();
        take(&client, 60, Duration::from_millis(100)).expect("free");
    }

    #[test]
    fn a_hold_outlives_its_ttl_and_a_released_one_lets_the_next_in() {
        let client = client();
        let place = take(&client, 2, Duration::ZERO).unwrap();
        let token = place.token;
        let hold = Hold::keep(&client, place, |error| panic!("{error}")).unwrap();
        assert!(take(&client, 2, Duration::from_secs(3)).is_err(), "renewed by itself");
        assert!(hold.is_held());
        assert!(hold.release().unwrap());
        assert!(take(&client, 2, Duration::from_secs(1)).unwrap().token > token);
    }

    #[test]
    fn a_lost_hold_says_so_at_once_and_stays_lost() {
        let client = client();
        let place = take(&client, 30, Duration::ZERO).unwrap();
        let lost = Mailbox::default();
        let told = lost.clone();
        let hold = Hold::keep(&client, place.clone(), move |error| told.push(error.kind())).unwrap();
        client.delete(KeyRange::key(&place.key[..])).unwrap();
        assert_eq!(lost.recv(Deadline::after(Duration::from_secs(1)), &Cancel::new()), Ok(ErrorKind::Lost));
        assert!(!hold.is_held());
        let again = PutRequest { key: place.key.clone(), value: vec![], lease: place.lease.id };
        client.call(&Request::Put(again)).unwrap();
        assert!(!hold.is_held());
        assert!(!hold.release().unwrap(), "it was not held any more");
    }

    #[test]
    fn a_late_release_leaves_a_later_place_of_that_name_alone() {
        let client = client();
        let place = take(&client, 30, Duration::ZERO).unwrap();
        client.delete(KeyRange::key(&place.key[..])).unwrap();
        client.put(&place.key[..], "", place.lease.id).unwrap();
        assert!(!release(&client, &client.context(), &place.key, place.token).unwrap());
        assert!(client.get(&place.key[..]).unwrap().is_some());
    }
}
