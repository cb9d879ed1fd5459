//! Leases: granted, kept alive, looked at, revoked, and ended when their time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::State;
use crate::error::{Error, Result};
use crate::model::LeaseReply;
use crate::sys;

/// etcd's bounds: the lower one follows from its default election timeout.
const MIN_TTL: i64 = 2;
const MAX_TTL: i64 = 9_000_000_000;

struct Lease {
    ttl: i64,
    ends: Duration,
    keys: BTreeSet<Vec<u8>>,
}

impl Lease {
    fn start(&mut self, now: Duration) {
        self.ends = now + Duration::from_secs(self.ttl.unsigned_abs());
    }
}

/// All leases, and the keys attached to them.
#[derive(Default)]
pub struct Leases(BTreeMap<i64, Lease>);

pub fn not_found() -> Error {
    Error::from_server(5, "etcdserver: requested lease not found")
}

impl Leases {
    /// Tells the id and the TTL.
    pub fn grant(&mut self, id: i64, ttl: i64, now: Duration) -> Result<(i64, i64)> {
        let id = if id == 0 { sys::random_id() } else { id };
        if ttl > MAX_TTL {
            return Err(Error::from_server(11, "etcdserver: too large lease TTL"));
        }
        if self.exists(id) {
            return Err(Error::from_server(9, "etcdserver: lease already exists"));
        }
        let ttl = ttl.max(MIN_TTL);
        let mut lease = Lease { ttl, ends: now, keys: BTreeSet::new() };
        lease.start(now);
        self.0.insert(id, lease);
        Ok((id, ttl))
    }

    pub fn exists(&self, id: i64) -> bool {
        self.0.contains_key(&id)
    }

    /// The TTL, started anew; 0 when there is no such lease.
    pub fn keep_alive(&mut self, id: i64, now: Duration) -> i64 {
        self.0.get_mut(&id).map_or(0, |lease| {
            lease.start(now);
            lease.ttl
        })
    }

    pub fn look_at(&self, id: i64, keys: bool, now: Duration) -> LeaseReply {
        let Some(lease) = self.0.get(&id) else { return LeaseReply { ttl: -1, ..LeaseReply::default() } };
        let left = lease.ends.saturating_sub(now).as_secs();
        let keys = if keys { lease.keys.iter().cloned().collect() } else { Vec::new() };
        LeaseReply { ttl: left as i64, granted_ttl: lease.ttl, keys }
    }

    /// All ids, the one that ends first first.
    pub fn ids(&self) -> Vec<i64> {
        let mut by_end: Vec<(Duration, i64)> = self.0.iter().map(|(&id, lease)| (lease.ends, id)).collect();
        by_end.sort();
        by_end.into_iter().map(|(_, id)| id).collect()
    }

    /// Takes a lease away, with its keys.
    fn remove(&mut self, id: i64) -> Result<BTreeSet<Vec<u8>>> {
        self.0.remove(&id).map(|lease| lease.keys).ok_or_else(not_found)
    }

    pub fn move_key(&mut self, key: &[u8], from: i64, to: i64) {
        if from != to {
            self.detach(from, key);
            if let Some(lease) = self.0.get_mut(&to) {
                lease.keys.insert(key.into());
            }
        }
    }

    pub fn detach(&mut self, id: i64, key: &[u8]) {
        if id != 0
            && let Some(lease) = self.0.get_mut(&id)
        {
            lease.keys.remove(key);
        }
    }

    /// Starts all anew, as a new leader does: it does not know how long they have been running.
    pub fn start_all(&mut self, now: Duration) {
        self.0.values_mut().for_each(|lease| lease.start(now));
    }

    pub fn next_end(&self) -> Option<Duration> {
        self.0.values().map(|lease| lease.ends).min()
    }

    pub fn over(&self, now: Duration) -> Vec<i64> {
        self.0.iter().filter(|(_, lease)| lease.ends <= now).map(|(&id, _)| id).collect()
    }
}

impl State {
    /// Ends a lease; all its keys go, in one revision.
    pub fn revoke(&mut self, id: i64) -> Result<()> {
        let keys = self.leases.remove(id)?;
        keys.iter().for_each(|key| self.delete_key(key));
        Ok(())
    }
}
