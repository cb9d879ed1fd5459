//! Leases: granted, kept alive, revoked, and ended by a thread of the store when their time is over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Shared, State, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DeleteRequest, KeyRange};
use crate::sys;
use crate::wait::lock;

/// etcd's bounds: the lower one follows from its default election timeout.
const MIN_TTL: i64 = 2;
const MAX_TTL: i64 = 9_000_000_000;

pub struct Lease {
    ttl: i64,
    ends: Instant,
    pub keys: BTreeSet<Vec<u8>>,
}

impl State {
    pub fn grant(&mut self, id: i64, ttl: i64) -> Result<i64> {
        if ttl > MAX_TTL {
            return Err(Error::from_server(11, "etcdserver: too large lease TTL"));
        }
        if self.leases.contains_key(&id) {
            return Err(Error::from_server(9, "etcdserver: lease already exists"));
        }
        let ttl = ttl.max(MIN_TTL);
        self.leases.insert(id, Lease { ttl, ends: end_of(ttl), keys: BTreeSet::new() });
        Ok(ttl)
    }

    /// The TTL, started anew; 0 when there is no such lease.
    pub fn keep_alive(&mut self, id: i64) -> i64 {
        self.leases.get_mut(&id).map_or(0, |lease| {
            lease.ends = end_of(lease.ttl);
            lease.ttl
        })
    }

    /// Ends a lease; all its keys go in one revision.
    pub fn revoke(&mut self, id: i64) -> Result<()> {
        let Some(lease) = self.leases.remove(&id) else {
            return Err(Error::from_server(5, "etcdserver: requested lease not found"));
        };
        self.write(|write| {
            lease.keys.into_iter().try_for_each(|key| {
                let range = KeyRange::key(key);
                write.delete(&DeleteRequest { range }).map(|_| ())
            })
        })
    }

    fn expire(&mut self, now: Instant) {
        let over: Vec<i64> =
            self.leases.iter().filter(|(_, lease)| lease.ends <= now).map(|(&id, _)| id).collect();
        for id in over {
            let _ = self.revoke(id);
        }
    }
}

fn end_of(ttl: i64) -> Instant {
    Instant::now() + Duration::from_secs(ttl.unsigned_abs())
}

impl Store {
    /// Tells the expiry thread of a new lease; starts it with the first one.
    pub(super) fn watch_expiry(&self) -> Result<()> {
        let mut thread = lock(&self.expiry);
        if thread.is_none() {
            let shared = self.shared.clone();
            let started = sys::spawn("etcd-mem", move || shared.expire_leases());
            let failed = |error: std::io::Error| {
                Error::new(ErrorKind::NoResource, format!("no thread for the embedded store: {error}"))
            };
            *thread = Some(started.map_err(failed)?);
        }
        self.shared.leases_changed.notify_all();
        Ok(())
    }
}

impl Shared {
    fn expire_leases(&self) {
        let mut state = lock(&self.state);
        while !state.closed {
            let now = Instant::now();
            state.expire(now);
            let next = state.leases.values().map(|lease| lease.ends).min();
            let sleep = next.map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(now));
            let waited = self.leases_changed.wait_timeout(state, sleep);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}
