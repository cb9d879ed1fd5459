//! Threads that write, read and watch, and note what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, Error, ErrorKind, Outcome};

use crate::support::Dice;

/// How long a call may take.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// What all writers and readers share.
pub const PREFIX: &str = "shared/";
const KEYS: usize = 8;

/// What a writer was told of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Done, at this revision.
    Done(i64),
    /// There was nothing to be done: the condition did not hold, or there was no key.
    Nothing,
    /// Not sent, or refused.
    Refused,
    Unknown,
}

#[derive(Debug, Clone)]
pub struct Write {
    pub key: Vec<u8>,
    /// Its own; `None` for a deletion.
    pub value: Option<Vec<u8>>,
    /// It was to be done only if this was the key's last revision.
    pub guard: Option<i64>,
    /// The newest revision that anybody had been told when it began.
    pub newest: i64,
    pub told: Told,
}

#[derive(Debug, Clone)]
pub struct Read {
    pub range: KeyRange,
    pub kvs: Vec<KeyValue>,
    pub revision: i64,
    /// As for a write.
    pub newest: i64,
}

/// What one thread, or all of them, were told.
#[derive(Debug, Default)]
pub struct Log {
    pub writes: Vec<Write>,
    pub reads: Vec<Read>,
    pub calls: usize,
    /// Calls that took longer than they may, were the machine never late.
    pub slow: Vec<(Duration, String)>,
    pub errors: BTreeMap<String, usize>,
}

impl Log {
    pub fn add(&mut self, other: Log) {
        self.writes.extend(other.writes);
        self.reads.extend(other.reads);
        self.calls += other.calls;
        self.slow.extend(other.slow);
        for (error, times) in other.errors {
            *self.errors.entry(error).or_default() += times;
        }
    }

    pub fn count(&self, is: impl Fn(Told) -> bool) -> usize {
        self.writes.iter().filter(|write| is(write.told)).count()
    }
}

/// What threads know of each other.
#[derive(Default)]
pub struct Common {
    pub stop: AtomicBool,
    /// The newest revision that anybody was told.
    newest: AtomicI64,
    /// Where watches end, once that is known.
    pub last: AtomicI64,
    /// The test is over, whatever has come of it.
    pub over: AtomicBool,
}

/// Lets threads end, however the test does.
pub struct Over<'a>(pub &'a Common);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
        self.0.over.store(true, Ordering::SeqCst);
    }
}

/// What a thread does.
#[derive(Debug, Clone, Copy)]
pub enum Job {
    /// Writes of all kinds.
    Write,
    Put,
    Read,
}

/// One thread's work.
pub struct Worker<'a> {
    pub name: usize,
    pub client: Client,
    pub common: &'a Common,
    /// How many of its calls have succeeded.
    pub successes: &'a AtomicUsize,
    /// What it says of its writes, instead of the truth.
    pub repeat: Option<Repeat>,
    pub dice: Dice,
    pub log: Log,
}

impl Worker<'_> {
    /// Works until it is told to stop.
    pub fn work(mut self, job: Job) -> Log {
        while !self.common.stop.load(Ordering::SeqCst) {
            match (job, self.dice.below(10)) {
                (Job::Read, _) => self.read(),
                (Job::Put, _) | (_, 0..=4) => self.put(),
                (_, 5..=7) => self.put_guarded(),
                _ => self.delete(),
            }
            std::thread::sleep(Duration::from_millis(self.dice.between(1, 6) as u64));
        }
        self.log
    }

    fn put(&mut self) {
        let (key, value) = (self.key(), self.value());
        let put = Request::Put(PutRequest::new(key.clone(), value.clone()));
        self.note(key, Some(value), None, &put);
    }

    fn put_guarded(&mut self) {
        let key = self.key();
        let Some(read) = self.read_range(KeyRange::key(key.clone())) else { return };
        let (guard, value) = (read.first().map_or(0, |kv| kv.mod_revision), self.value());
        let compare = Compare {
            range: KeyRange::key(key.clone()),
            target: CompareTarget::ModRevision(guard),
            relation: Relation::Equal,
        };
        let put = Op::Put(PutRequest::new(key.clone(), value.clone()));
        let txn = TxnRequest { compares: vec![compare], then: vec![put], otherwise: Vec::new() };
        self.note(key, Some(value), Some(guard), &Request::Txn(txn));
    }

    fn delete(&mut self) {
        let key = self.key();
        let delete = Request::Delete(DeleteRequest::new(KeyRange::key(key.clone())));
        self.note(key, None, None, &delete);
    }

    fn read(&mut self) {
        let range = match self.dice.below(4) {
            0 => KeyRange::prefix(PREFIX),
            _ => KeyRange::key(self.key()),
        };
        self.read_range(range);
    }

    fn key(&mut self) -> Vec<u8> {
        format!("{PREFIX}{}", self.dice.below(KEYS)).into_bytes()
    }

    /// One that nobody else writes, and it only once.
    fn value(&self) -> Vec<u8> {
        format!("{}/{}", self.name, self.log.writes.len()).into_bytes()
    }

    fn note(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, guard: Option<i64>, request: &Request) {
        let newest = self.common.newest.load(Ordering::SeqCst);
        let told = match self.call(request) {
            Ok(Reply { body: Body::Txn(txn), .. }) if !txn.succeeded => Told::Nothing,
            Ok(Reply { body: Body::Delete(deleted), .. }) if deleted.deleted == 0 => Told::Nothing,
            Ok(reply) => Told::Done(reply.header.revision),
            Err(error) if error.outcome() == Outcome::Unknown => Told::Unknown,
            Err(_) => Told::Refused,
        };
        self.log.writes.push(Write { key, value, guard, newest, told });
    }

    fn read_range(&mut self, range: KeyRange) -> Option<Vec<KeyValue>> {
        let newest = self.common.newest.load(Ordering::SeqCst);
        let reply = self.call(&Request::Range(RangeRequest::new(range.clone()))).ok()?;
        let Body::Range(found) = reply.body else { panic!("a read was answered with {reply:?}") };
        let read = Read { range, kvs: found.kvs.clone(), revision: reply.header.revision, newest };
        self.log.reads.push(read);
        Some(found.kvs)
    }

    fn call(&mut self, request: &Request) -> Result<Reply, Error> {
        let repeat = self.repeat.unwrap_or(request.repeat());
        let start = Instant::now();
        let result = self.client.call_in(&self.client.context(), request, repeat);
        let took = start.elapsed();
        self.log.calls += 1;
        if took > TIMEOUT {
            self.log.slow.push((took, format!("{result:?}")));
        }
        match &result {
            Ok(reply) => {
                self.common.newest.fetch_max(reply.header.revision, Ordering::SeqCst);
                self.successes.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                let kind = format!("{:?} {:?}", error.kind(), error.outcome());
                *self.log.errors.entry(kind).or_default() += 1;
            }
        }
        result
    }
}

/// All changes from the store's beginning to the last one.
pub fn watch(client: &Client, common: &Common) -> Result<Vec<Event>, Error> {
    let mut events: Vec<Event> = Vec::new();
    let mut watch =
        client.watch(WatchRequest { prev_kv: true, ..WatchRequest::new(KeyRange::prefix(""), 1) });
    watch.open(Deadline::after(TIMEOUT), client.closed())?;
    loop {
        match watch.next(Deadline::after(Duration::from_millis(200)), client.closed()) {
            Ok(batch) => events.extend(batch.events),
            Err(error) if error.kind() == ErrorKind::Timeout => {}
            Err(error) => return Err(error),
        }
        let last = common.last.load(Ordering::SeqCst);
        let has_all = last > 0 && events.last().is_some_and(|event| event.kv.mod_revision >= last);
        if has_all || common.over.load(Ordering::SeqCst) {
            return Ok(events);
        }
    }
}
