//! The embedded store behind `mem://`: revisions, transactions, leases, watches and compaction as etcd has them,
//! in memory. Programs reach it through a [`crate::Client`] or a session; tests also by name, to move its clock
//! and to make faults.
//!
//! ```
//! use etcd::store::{Effect, Fault, Store};
//! let store = Store::open("faulty");
//! let mut options = etcd::Options::new();
//! options.set("endpoints", "mem://faulty")?;
//! let client = etcd::Client::open(options)?;
//! store.inject(Fault::new(Effect::LoseReply));
//! let error = client.put("key", "value", 0).unwrap_err();
//! assert_eq!(error.outcome(), etcd::Outcome::Unknown);
//! # Ok::<(), etcd::Error>(())
//! ```

mod clock;
mod cluster;
mod faults;
mod history;
mod lease;
mod txn;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

pub use self::clock::Clock;
use self::cluster::Cluster;
use self::faults::Faults;
pub use self::faults::{Effect, Fault};
use self::history::History;
use self::lease::Leases;
use self::watch::Watches;
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::sys::{self, PerProcess};
use crate::wait::lock;

/// etcd's default for `--max-request-bytes`, which limits writes.
const MAX_WRITE_BYTES: usize = 1_572_864;
/// What etcd takes in one message, reads included.
const MAX_MESSAGE_BYTES: usize = MAX_WRITE_BYTES + (512 << 10);
/// How often a watch that sees nothing is told so, as in etcd.
const PROGRESS: Duration = Duration::from_secs(600);

/// The stores that this process shares by name; each lives as long as somebody uses it.
static SHARED: PerProcess<Mutex<BTreeMap<String, Weak<Store>>>> = PerProcess::new();

/// A store; dropped with the last session that uses it.
pub struct Store {
    name: String,
    shared: Arc<Shared>,
    faults: Faults,
    timer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: RwLock<State>,
    clock: Clock,
    alarm: Mutex<Timing>,
    /// Wakes the timer thread: something is due earlier than it knows, or the store is gone.
    wake: Condvar,
}

#[derive(Default)]
struct Timing {
    changed: bool,
    closed: bool,
}

/// Everything that requests read and write.
struct State {
    history: History,
    leases: Leases,
    watches: Watches,
    cluster: Cluster,
    next_progress: Duration,
}

/// Keeps a watch open.
pub struct Watching {
    store: Arc<Store>,
    id: u64,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let sink = self.store.shared.write().watches.close(self.id);
        drop(sink);
    }
}

impl Store {
    /// The store that this process shares under `name`; without a name, a new one of the caller's own.
    pub fn open(name: &str) -> Arc<Self> {
        Self::open_with(name, Clock::Machine)
    }

    /// The same with a clock for the store, should it be a new one.
    pub fn open_with(name: &str, clock: Clock) -> Arc<Self> {
        if name.is_empty() {
            return Arc::new(Self::new("mem", clock));
        }
        let mut shared = lock(SHARED.get());
        shared.retain(|_, store| store.strong_count() > 0);
        shared.get(name).and_then(Weak::upgrade).unwrap_or_else(|| {
            let store = Arc::new(Self::new(name, clock));
            shared.insert(name.into(), Arc::downgrade(&store));
            store
        })
    }

    /// An empty store, at revision 1.
    fn new(name: &str, clock: Clock) -> Self {
        let state = State {
            history: History::new(),
            leases: Leases::default(),
            watches: Watches::default(),
            cluster: Cluster::new(),
            next_progress: Duration::MAX,
        };
        let shared =
            Shared { state: RwLock::new(state), clock, alarm: Mutex::default(), wake: Condvar::new() };
        Store {
            name: name.into(),
            shared: Arc::new(shared),
            faults: Faults::default(),
            timer: Mutex::new(None),
        }
    }

    /// Does one request.
    pub fn apply(&self, request: &Request) -> Result<Reply> {
        self.faults.run(request, || {
            check_size(request, MAX_MESSAGE_BYTES)?;
            txn::check_form(request)?;
            if request.reads_only() {
                return self.read(request);
            }
            check_size(request, MAX_WRITE_BYTES)?;
            self.write(request)
        })
    }

    fn read(&self, request: &Request) -> Result<Reply> {
        let state = self.shared.read();
        state.cluster.check(request)?;
        let body = match request {
            Request::Range(range) => {
                state.history.check_revision(range.revision)?;
                Body::Range(state.history.read(range))
            }
            Request::Txn(txn) => Body::Txn(state.read_txn(txn)?),
            Request::HashKv { revision } => {
                state.history.check_revision(*revision)?;
                let compact_revision = state.history.compacted;
                Body::HashKv { hash: state.history.hash(*revision), compact_revision }
            }
            Request::LeaseTimeToLive { id, keys } => {
                Body::LeaseTimeToLive(state.leases.look_at(*id, *keys, self.shared.clock.now()))
            }
            Request::Leases => Body::Leases(state.leases.ids()),
            Request::Members => Body::Members(state.cluster.members(&self.name)),
            Request::Status => Body::Status(state.status()),
            Request::Alarm { alarm, .. } => Body::Alarms(state.cluster.alarms(alarm.kind)),
            _ => return Err(Error::from_server(9, "etcdserver: authentication is not enabled")),
        };
        Ok(Reply { header: state.cluster.header(state.history.revision), body })
    }

    fn write(&self, request: &Request) -> Result<Reply> {
        let may_end = matches!(request, Request::LeaseGrant { .. });
        if may_end {
            self.start_timer()?;
        }
        let mut state = self.shared.write();
        state.cluster.check(request)?;
        let body = state.change(request, &self.shared.clock)?;
        state.commit();
        let reply = Reply { header: state.cluster.header(state.history.revision), body };
        drop(state);
        if may_end {
            self.wake_timer();
        }
        Ok(reply)
    }

    /// Opens a watch: past changes from `start_revision` on first, then new ones as they happen.
    pub(crate) fn watch(
        store: &Arc<Self>,
        request: &WatchRequest,
        sink: WatchSink,
    ) -> Result<(Header, Watching)> {
        request.check()?;
        store.start_timer()?;
        let mut state = store.shared.write();
        if !state.cluster.has_leader {
            return Err(cluster::no_leader());
        }
        if state.watches.is_empty() {
            state.next_progress = store.shared.clock.now() + PROGRESS;
        }
        let State { history, watches, cluster, .. } = &mut *state;
        let id = watches.open(request, sink, history);
        let header = cluster.header(history.revision);
        drop(state);
        store.wake_timer();
        Ok((header, Watching { store: store.clone(), id }))
    }
}

/// For tests: time and faults.
impl Store {
    /// Moves a manual clock, and does what has become due.
    pub fn advance(&self, time: Duration) {
        self.shared.clock.advance(time);
        self.shared.tick();
    }

    /// Lets something happen to later calls. Faults are looked at in the order in which they were given.
    pub fn inject(&self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Takes all faults back that have not happened yet.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// Ends a lease as if its time were over.
    ///
    /// # Errors
    /// `LeaseNotFound`.
    pub fn expire_lease(&self, id: i64) -> Result<()> {
        let mut state = self.shared.write();
        state.revoke(id)?;
        state.commit();
        Ok(())
    }

    /// From now on, what needs a leader is refused. Open watches end.
    pub fn lose_leader(&self) {
        let mut state = self.shared.write();
        state.cluster.has_leader = false;
        state.watches.end_all(&cluster::no_leader());
    }

    /// There is a leader (again), in a new term. All leases start anew, as they do with a new leader of etcd.
    pub fn elect_leader(&self) {
        let mut state = self.shared.write();
        state.cluster.has_leader = true;
        state.cluster.term += 1;
        state.leases.start_all(self.shared.clock.now());
        drop(state);
        self.wake_timer();
    }

    /// Starts at revision 1 again, without keys and leases, like a cluster restored from an old backup; as
    /// another cluster, if told so. Open watches end, as connections to the old servers do.
    pub fn reset(&self, another_cluster: bool) {
        let mut state = self.shared.write();
        state.watches.end_all(&Error::new(ErrorKind::Unavailable, "the server has ended"));
        state.history = History::new();
        state.leases = Leases::default();
        if another_cluster {
            state.cluster = Cluster::new();
        }
    }
}

/// Leases that end, and signs of life for watches.
impl Store {
    /// Before there is something to wait for.
    fn start_timer(&self) -> Result<()> {
        let mut thread = lock(&self.timer);
        if thread.is_none() && self.shared.clock.moves_by_itself() {
            let shared = self.shared.clone();
            let started = sys::spawn("etcd-mem", move || shared.run_timer());
            *thread = Some(started.map_err(|error| {
                Error::new(ErrorKind::NoResource, format!("no thread for the embedded store: {error}"))
            })?);
        }
        Ok(())
    }

    /// Something may be due earlier than it knows.
    fn wake_timer(&self) {
        lock(&self.shared.alarm).changed = true;
        self.shared.wake.notify_all();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        lock(&self.shared.alarm).closed = true;
        self.shared.wake.notify_all();
        if let Some(thread) = lock(&self.timer).take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn run_timer(&self) {
        loop {
            let next = self.tick();
            let mut timing = lock(&self.alarm);
            if timing.closed {
                return;
            }
            if !std::mem::take(&mut timing.changed) {
                let pause = next.saturating_sub(self.clock.now()).min(Duration::from_secs(3600));
                drop(self.wake.wait_timeout(timing, pause));
            }
        }
    }

    /// Does what is due, and tells when the next thing is.
    fn tick(&self) -> Duration {
        let now = self.clock.now();
        let next = self.read().next_due();
        if next > now {
            return next;
        }
        let mut state = self.write();
        let over = if state.cluster.has_leader { state.leases.over(now) } else { Vec::new() };
        for id in over {
            // A revision for each lease; one that was revoked meanwhile needs none.
            let _ = state.revoke(id);
            state.commit();
        }
        if state.next_progress <= now {
            let revision = state.history.revision;
            state.watches.tell_progress(revision);
            state.next_progress = if state.watches.is_empty() { Duration::MAX } else { now + PROGRESS };
        }
        state.next_due()
    }
}

impl State {
    /// Leases end by the leader's word.
    fn next_due(&self) -> Duration {
        let next_end = self.leases.next_end().filter(|_| self.cluster.has_leader);
        next_end.map_or(self.next_progress, |end| end.min(self.next_progress))
    }

    /// Does what changes something. Either all of it is done, or an error says why nothing was.
    fn change(&mut self, request: &Request, clock: &Clock) -> Result<Body> {
        Ok(match request {
            Request::Put(put) => Body::Put(self.put(put)?),
            Request::Delete(delete) => Body::Delete(self.delete(delete)),
            Request::Txn(txn) => Body::Txn(self.txn(txn)?),
            Request::Compact { revision, .. } => {
                self.history.compact(*revision)?;
                Body::Compact
            }
            Request::LeaseGrant { id, ttl } => {
                let (id, ttl) = self.leases.grant(*id, *ttl, clock.now())?;
                Body::Lease { id, ttl }
            }
            Request::LeaseRevoke { id } => {
                self.revoke(*id)?;
                Body::LeaseRevoke
            }
            Request::LeaseKeepAlive { id } => {
                Body::Lease { id: *id, ttl: self.leases.keep_alive(*id, clock.now()) }
            }
            Request::Alarm { action, alarm } => Body::Alarms(self.cluster.change_alarm(*action, *alarm)),
            _ => unreachable!("a read"),
        })
    }

    /// Makes what was changed the newest revision, and tells the watches.
    fn commit(&mut self) {
        if self.history.commit() && !self.watches.is_empty() {
            let revision = self.history.revision;
            self.watches.publish(revision, self.history.since(revision));
        }
    }
}

fn check_size(request: &Request, limit: usize) -> Result<()> {
    if request.size() <= limit {
        return Ok(());
    }
    Err(Error::from_server(3, "etcdserver: request is too large"))
}

#[cfg(test)]
mod tests;
