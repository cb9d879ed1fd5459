//! The classic lock: held for a TTL that nobody renews but the caller, known by an index that any process
//! may renew or release it with.

use super::Session;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::recipes::inspect;
use crate::recipes::lock::{self, Place};
use crate::wait::Deadline;

impl Session {
    /// Waits for the lock. Its `ttl` (seconds) runs from the moment at which it is held.
    ///
    /// # Errors
    /// As [`lock::acquire`]; `InvalidArgument` for a TTL of 0 or an empty name.
    pub fn lock(&self, name: &[u8], ttl: u32, deadline: Deadline) -> Result<Place> {
        let value = format!("classic {}", lock::who());
        let name = self.key(name)?;
        check_ttl(ttl)?;
        lock::acquire(&self.client, &name, ttl.into(), value.as_bytes(), deadline, self.client.closed())
    }

    /// Starts the lock's TTL anew, or gives it another one.
    ///
    /// # Errors
    /// `NotHeld` when `index` is not in the queue of this lock any more.
    pub fn renew(&self, name: &[u8], ttl: u32, index: &[u8]) -> Result<()> {
        self.renew_named(self.key(name)?, ttl, index)
            .map_err(|error| error.during(format!("renew lock {}", quote(name))))
    }

    fn renew_named(&self, name: Vec<u8>, ttl: u32, index: &[u8]) -> Result<()> {
        check_ttl(ttl)?;
        let token = parse_index(index)?;
        let not_held = || not_held(&name, token);
        let place = self.find(&name, token)?;
        let lease = self.client.keep_alive(place.lease)?.ok_or_else(not_held)?;
        if lease.ttl == i64::from(ttl) {
            return Ok(());
        }
        let other = self.client.grant_in(&self.client.context(), lock::own_lease(&name), ttl.into())?;
        if other.ttl == lease.ttl {
            // The server raised both to the least it grants.
            let _ = self.client.revoke(other.id);
            return Ok(());
        }
        // Until this is done the place lives on its old lease; whatever fails, it is in one queue only once.
        let request = Request::Txn(TxnRequest {
            compares: lock::is_still(&place.key, token),
            then: vec![Op::Put(PutRequest {
                lease: other.id,
                ..PutRequest::new(place.key.clone(), place.value.clone())
            })],
            otherwise: vec![],
        });
        let moved = self.client.txn_in(&self.client.context(), &request, Repeat::Harmless);
        let moved = moved.and_then(|(_, reply)| if reply.succeeded { Ok(()) } else { Err(not_held()) });
        match &moved {
            Ok(()) => drop(self.end_own_lease(&name, place.lease)),
            Err(error) if error.outcome() == Outcome::Unknown => {}
            Err(_) => drop(self.client.revoke(other.id)),
        }
        moved
    }

    /// Releases the lock, or takes `index` out of the queue if it still waits.
    ///
    /// # Errors
    /// `NotHeld` when `index` is not in the queue of this lock any more.
    pub fn unlock(&self, name: &[u8], index: &[u8]) -> Result<()> {
        self.unlock_named(self.key(name)?, index)
            .map_err(|error| error.during(format!("unlock {}", quote(name))))
    }

    fn unlock_named(&self, name: Vec<u8>, index: &[u8]) -> Result<()> {
        let token = parse_index(index)?;
        let place = self.find(&name, token)?;
        // Found and gone a moment later is as good as released: nobody holds it by this index.
        let released = lock::release(&self.client, &self.client.context(), &place.key, token);
        // Ending the lease is as good as the release: the place goes with it.
        if self.end_own_lease(&name, place.lease) { Ok(()) } else { released.map(|_| ()) }
    }

    fn find(&self, name: &[u8], token: i64) -> Result<KeyValue> {
        let found = inspect::find(&self.client, &self.client.context(), name, token);
        // What has a token has an index here.
        found.map_err(|error| match error.kind() {
            ErrorKind::NotHeld => not_held(name, token),
            _ => error,
        })
    }

    /// Ends a lease that served a place of this lock alone; that of a place that others made is theirs. Without an answer it
    /// ends by itself.
    fn end_own_lease(&self, name: &[u8], lease: i64) -> bool {
        lock::is_own_lease(lease, name) && self.client.revoke(lease).is_ok()
    }
}

fn check_ttl(ttl: u32) -> Result<()> {
    if ttl == 0 { Err(Error::invalid("a lock needs a TTL of at least one second")) } else { Ok(()) }
}

/// An index as it was handed out: decimal digits.
fn parse_index(index: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(index).unwrap_or_default();
    let number = text.parse().ok().filter(|number: &i64| *number > 0 && number.to_string() == text);
    number.ok_or_else(|| {
        let fault = format!("{} is not the index of a lock", quote(index));
        Error::new(ErrorKind::NotHeld, fault).outcome_is(Outcome::Refused)
    })
}

fn not_held(name: &[u8], token: i64) -> Error {
    let fault = format!("nobody holds or awaits {} with index {token}", quote(name));
    Error::new(ErrorKind::NotHeld, fault).outcome_is(Outcome::Refused)
}
