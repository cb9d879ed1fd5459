//! The embedded store behind `mem://`: revisions, transactions, leases and watches as etcd has them.
//!
//! One mutex guards all state; every request is applied whole under it. The history is kept from the first
//! revision on, so that a watch can start anywhere in the past.

mod lease;
mod txn;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use self::lease::Lease;
use self::txn::Write;
use crate::error::{Error, Result};
use crate::model::*;
use crate::wait::lock;

/// etcd's default for `--max-request-bytes`, which limits writes.
const MAX_WRITE_BYTES: usize = 1_572_864;
/// What etcd takes in one message, reads included.
const MAX_MESSAGE_BYTES: usize = MAX_WRITE_BYTES + (512 << 10);

/// A store; dropped with the last session that uses it.
pub struct Store {
    name: String,
    shared: Arc<Shared>,
    expiry: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the expiry thread: the next lease to end has changed, or the store is gone.
    leases_changed: Condvar,
}

struct State {
    revision: i64,
    keys: BTreeMap<Vec<u8>, KeyValue>,
    /// All changes, in the order of their revisions.
    history: Vec<Event>,
    leases: HashMap<i64, Lease>,
    watches: HashMap<u64, Watch>,
    next_watch: u64,
    closed: bool,
}

struct Watch {
    range: KeyRange,
    start_revision: i64,
    sink: WatchSink,
}

/// Keeps a watch open.
pub struct Watching {
    store: Arc<Store>,
    id: u64,
}

impl Drop for Watching {
    fn drop(&mut self) {
        lock(&self.store.shared.state).watches.remove(&self.id);
    }
}

impl Store {
    /// An empty store, at revision 1.
    pub fn new(name: &str) -> Self {
        let state = State {
            revision: 1,
            keys: BTreeMap::new(),
            history: Vec::new(),
            leases: HashMap::new(),
            watches: HashMap::new(),
            next_watch: 1,
            closed: false,
        };
        let shared = Shared { state: Mutex::new(state), leases_changed: Condvar::new() };
        Store { name: name.into(), shared: Arc::new(shared), expiry: Mutex::new(None) }
    }

    /// Applies one request.
    pub fn apply(&self, request: &Request) -> Result<Reply> {
        let at = || format!("mem://{}", self.name);
        self.apply_inner(request).map_err(|error| error.at(at()).during(request.describe()))
    }

    fn apply_inner(&self, request: &Request) -> Result<Reply> {
        check_size(request)?;
        let mut state = lock(&self.shared.state);
        let body = match request {
            Request::Range(range) => Body::Range(state.range(range)?),
            Request::Put(put) => state.write(|write| write.put(put)).map(|_| Body::Put)?,
            Request::Delete(delete) => {
                state.write(|write| write.delete(delete)).map(|deleted| Body::Delete { deleted })?
            }
            Request::Txn(txn) => state.write(|write| write.txn(txn)).map(Body::Txn)?,
            Request::LeaseGrant { id, ttl } => {
                let ttl = state.grant(*id, *ttl)?;
                self.watch_expiry()?;
                Body::Lease { ttl }
            }
            Request::LeaseRevoke { id } => {
                state.revoke(*id)?;
                Body::Lease { ttl: 0 }
            }
            Request::LeaseKeepAlive { id } => Body::Lease { ttl: state.keep_alive(*id) },
            Request::Leader => Body::Leader(Some(self.name.clone())),
        };
        Ok(Reply { revision: state.revision, body })
    }

    /// Opens a watch: past changes from `start_revision` on first, then new ones as they happen.
    pub fn watch(store: &Arc<Store>, request: &WatchRequest, mut sink: WatchSink) -> Result<(i64, Watching)> {
        check_size(&Request::Range(RangeRequest::new(request.range.clone())))?;
        check_key(&request.range.start)?;
        let mut state = lock(&store.shared.state);
        let past = match request.start_revision {
            0 => &[],
            start => &state.history[state.history.partition_point(|event| event.kv.mod_revision < start)..],
        };
        let events: Vec<Event> =
            past.iter().filter(|event| request.range.contains(&event.kv.key)).cloned().collect();
        let wants_more = events.is_empty() || sink(Ok(WatchBatch { revision: state.revision, events }));
        let id = state.next_watch;
        state.next_watch += 1;
        if wants_more {
            let (range, start_revision) = (request.range.clone(), request.start_revision);
            state.watches.insert(id, Watch { range, start_revision, sink });
        }
        Ok((state.revision, Watching { store: store.clone(), id }))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.leases_changed.notify_all();
        if let Some(thread) = lock(&self.expiry).take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn range(&self, request: &RangeRequest) -> Result<RangeReply> {
        check_key(&request.range.start)?;
        let created = |kv: &&KeyValue| {
            kv.create_revision >= request.min_create_revision
                && (request.max_create_revision == 0 || kv.create_revision <= request.max_create_revision)
        };
        let mut found: Vec<&KeyValue> = self.in_range(&request.range).filter(created).collect();
        if request.sort_by == SortBy::Create {
            found.sort_by_key(|kv| kv.create_revision);
        }
        if request.descending {
            found.reverse();
        }
        if request.limit > 0 {
            found.truncate(request.limit as usize);
        }
        let without_value = |kv: &KeyValue| KeyValue {
            key: kv.key.clone(),
            value: Vec::new(),
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        };
        let copy = |kv: &KeyValue| if request.keys_only { without_value(kv) } else { kv.clone() };
        Ok(RangeReply { kvs: found.into_iter().map(copy).collect() })
    }

    fn in_range(&self, range: &KeyRange) -> impl Iterator<Item = &KeyValue> {
        let range = range.clone();
        self.keys.range(range.start.clone()..).map(|(_, kv)| kv).take_while(move |kv| range.contains(&kv.key))
    }

    /// Runs `change` as one revision: all of it happens, or none.
    fn write<T>(&mut self, change: impl FnOnce(&mut Write) -> Result<T>) -> Result<T> {
        let mut write = Write::new(self);
        let result = change(&mut write);
        match result {
            Ok(value) => {
                let events = write.commit();
                self.publish(&events);
                Ok(value)
            }
            Err(error) => {
                write.roll_back();
                Err(error)
            }
        }
    }

    fn publish(&mut self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        let revision = self.revision;
        self.history.extend_from_slice(events);
        self.watches.retain(|_, watch| {
            let wanted = |event: &&Event| {
                event.kv.mod_revision >= watch.start_revision && watch.range.contains(&event.kv.key)
            };
            let events: Vec<Event> = events.iter().filter(wanted).cloned().collect();
            events.is_empty() || (watch.sink)(Ok(WatchBatch { revision, events }))
        });
    }
}

fn check_size(request: &Request) -> Result<()> {
    let limit = match request.repeat() {
        Repeat::Harmful => MAX_WRITE_BYTES,
        Repeat::Harmless => MAX_MESSAGE_BYTES,
    };
    if request.size() > limit {
        Err(Error::from_server(3, "etcdserver: request is too large"))
    } else {
        Ok(())
    }
}

fn check_key(key: &[u8]) -> Result<()> {
    if key.is_empty() { Err(Error::from_server(3, "etcdserver: key is not provided")) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
