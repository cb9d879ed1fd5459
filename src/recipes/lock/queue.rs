//! Waiting in a lock's queue until the own place comes first.

use std::time::Duration;

use super::{Place, deletes, is_named_like_place, is_place, newest_first, watch_key};
use crate::client::{Client, LOOK_AROUND, retry};
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::sys;
use crate::transport::{Context, WatchStream};
use crate::wait::{Cancel, Deadline, Mailbox};

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
pub struct Limits<'a> {
    /// Waiting for others.
    deadline: Deadline,
    /// Waiting for an answer.
    calls_end: Deadline,
    cancel: &'a Cancel,
}

impl<'a> Limits<'a> {
    /// A deadline that has passed already lets every call be made once.
    pub fn new(deadline: Deadline, cancel: &'a Cancel) -> Self {
        let calls_end = if deadline.passed() { Deadline::NEVER } else { deadline };
        Limits { deadline, calls_end, cancel }
    }

    pub fn context(&self, client: &Client) -> Context<'a> {
        client.context_for(self.calls_end, self.cancel)
    }
}

/// One wait for one place to come first.
pub struct Waiter<'a> {
    client: &'a Client,
    place: &'a mut Place,
    limits: Limits<'a>,
    next_keep_alive: Deadline,
    failures: u32,
}

impl<'a> Waiter<'a> {
    pub fn new(client: &'a Client, place: &'a mut Place, limits: Limits<'a>) -> Self {
        let next_keep_alive = Deadline::after(Duration::from_secs(place.lease.ttl.unsigned_abs()) / 3);
        Waiter { client, place, limits, next_keep_alive, failures: 0 }
    }

    pub fn wait(&mut self) -> Result<()> {
        while let (Some(predecessor), revision) = self.predecessor()? {
            self.wait_for(&predecessor, revision)?;
        }
        Ok(())
    }

    /// The TTL runs from the moment at which the lock is held, and a lease that ended holds nothing: one that
    /// was not started just now is started anew.
    pub fn start_ttl(&mut self) -> Result<()> {
        let age = sys::boot_time().saturating_sub(self.place.lease.started);
        // The place may have moved to another lease just now.
        let moved = self.next_keep_alive.passed();
        if moved || age > self.part_of_ttl(20) { self.keep_alive() } else { Ok(()) }
    }

    fn prefix(&self) -> Vec<u8> {
        [&self.place.name[..], b"/"].concat()
    }

    fn lost(&self) -> Error {
        Error::new(ErrorKind::Lost, "the place in the queue is gone: its lease ended or somebody removed it")
    }

    /// A short round trip, so that another endpoint can be asked before the lease ends.
    fn context(&self) -> Context<'a> {
        self.client.context_for(self.limits.calls_end.or_after(self.part_of_ttl(3)), self.limits.cancel)
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
                Err(error) if !retry::may_pass(&error) => {
                    return Err(error);
                }
                Err(error) if self.limits.deadline.passed() => return Err(error),
                Err(_) => {
                    retry::pause(self.failures, self.limits.deadline, self.limits.cancel);
                    self.failures += 1;
                }
            }
        }
    }

    /// The place before the own one, and the revision at which it was read.
    fn predecessor(&mut self) -> Result<(Option<KeyValue>, i64)> {
        let prefix = self.prefix();
        let before =
            RangeRequest { max_create_revision: self.place.token - 1, ..newest_first(&self.place.name) };
        let nearest = self.read(RangeRequest { limit: 1, keys_only: false, ..before.clone() })?;
        if nearest.others.iter().all(|kv| is_place(&prefix, kv)) {
            return Ok((nearest.others.into_iter().next(), nearest.revision));
        }
        // Something else lies in between: look on behind it, without values, since that may be much.
        let all = self.read(before)?;
        for kv in all.others.iter().filter(|kv| is_named_like_place(&prefix, &kv.key)) {
            let found = self.read(exactly(kv))?;
            if let Some(place) = found.others.into_iter().find(|kv| is_place(&prefix, kv)) {
                return Ok((Some(place), found.revision));
            }
        }
        Ok((None, all.revision))
    }

    /// Reads `range` together with the own place, which must still be there.
    fn read(&mut self, range: RangeRequest) -> Result<Queue> {
        let queue = self.insist(|waiter| waiter.read_once(range.clone()))?;
        let Some(own) = &queue.own else { return Err(self.lost()) };
        if self.place.lease.id != own.lease {
            // Whoever renews a waiting place with another TTL moves it to another lease, perhaps a short one.
            self.place.lease.id = own.lease;
            self.next_keep_alive = Deadline::after(Duration::ZERO);
        }
        Ok(queue)
    }

    fn read_once(&self, range: RangeRequest) -> Result<Queue> {
        let own = RangeRequest::attributes(&self.place.key[..]);
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

    /// When to look whether the watches have missed something, as they do when their server falls silent.
    fn next_look(&self) -> Deadline {
        Deadline::after(self.part_of_ttl(2).min(LOOK_AROUND))
    }

    /// Waits until this predecessor is gone. Its end is seen by a watch, and should that fail, by looking at
    /// least every half TTL; the own place is looked after in the same way, and kept alive.
    fn wait_for(&mut self, predecessor: &KeyValue, mut revision: i64) -> Result<()> {
        let wakes = Mailbox::default();
        let mut watches = Watches::default();
        let mut next_look = self.next_look();
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
                if !queue.others.iter().any(|kv| is_place(&self.prefix(), kv)) {
                    return Ok(());
                }
                revision = queue.revision;
                next_look = self.next_look();
            }
            watches.open(self, predecessor, revision, &wakes);
            let until = self.limits.deadline.earlier(self.next_keep_alive).earlier(next_look);
            match wakes.recv(until, self.limits.cancel) {
                Ok(Wake::Predecessor(Ok(batch))) if deletes(&batch, &predecessor.key) => return Ok(()),
                Ok(Wake::Own(Ok(batch))) if deletes(&batch, &self.place.key) => return Err(self.lost()),
                Ok(Wake::Own(Err(_)) | Wake::Predecessor(Err(_))) => {
                    watches = Watches::default();
                    next_look = Deadline::after(Duration::ZERO);
                    // A server that ends watches as soon as they are open must not keep us busy.
                    retry::pause(0, self.limits.deadline, self.limits.cancel);
                }
                // A change that is no end: of the lease, say.
                Ok(Wake::Own(Ok(batch)) | Wake::Predecessor(Ok(batch))) if !batch.events.is_empty() => {
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
        ..RangeRequest::attributes(&kv.key[..])
    }
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
        let open = |key: &[u8], wake| watch_key(waiter.client, &waiter.context(), key, revision, wakes, wake);
        if self.predecessor.is_none() {
            self.predecessor = open(&predecessor.key, Wake::Predecessor);
        }
        if self.own.is_none() {
            self.own = open(&waiter.place.key, Wake::Own);
        }
    }
}
