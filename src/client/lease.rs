//! Leases.

use std::time::Duration;

use super::{Client, mismatch};
use crate::error::{ErrorKind, Outcome, Result};
use crate::model::{Body, LeaseReply, Repeat, Request};
use crate::sys;
use crate::transport::Context;

/// A lease as its server granted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: i64,
    /// Its TTL in seconds, as raised by the server.
    pub ttl: i64,
    /// The boot time at which its TTL was last started, as this machine can prove it: the moment the request
    /// was sent, not the one at which the answer came.
    pub started: Duration,
}

/// A new lease's id whose low bits say what it serves alone; the rest is random.
pub(crate) fn id_serving(what: &[u8], bits: u32) -> i64 {
    sys::random_id() & !low(bits) | hash(what) & low(bits)
}

/// Whether a lease says so.
pub(crate) fn is_serving(lease: i64, what: &[u8], bits: u32) -> bool {
    lease != 0 && lease & low(bits) == hash(what) & low(bits)
}

const fn low(bits: u32) -> i64 {
    (1 << bits) - 1
}

/// FNV-1a: the same in every process and version, since any of them may end the lease.
fn hash(what: &[u8]) -> i64 {
    let hash = what.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash as i64
}

impl Client {
    /// Grants a lease of at least `ttl` seconds.
    ///
    /// # Errors
    /// `InvalidArgument` when the server does not take such a TTL.
    pub fn grant(&self, ttl: i64) -> Result<Lease> {
        self.grant_in(&self.context(), sys::random_id(), ttl)
    }

    /// With an id of the caller's, who can end the lease even when this fails without an answer.
    pub(crate) fn grant_in(&self, context: &Context, id: i64, ttl: i64) -> Result<Lease> {
        let started = sys::boot_time();
        match self.call_in(context, &Request::LeaseGrant { id, ttl }, Repeat::Harmless) {
            Ok(reply) => {
                let (id, ttl) = lease_of(reply.body)?;
                Ok(Lease { id, ttl, started })
            }
            // An attempt whose answer was lost got through before this one: the lease is ours.
            Err(error)
                if error.outcome() == Outcome::Unknown && error.fault().contains("lease already exists") =>
            {
                match self.keep_alive_in(context, id) {
                    Ok(Some(lease)) => Ok(lease),
                    Ok(None) => Err(error),
                    // Whatever kept us from finding it, it is there.
                    Err(other) => Err(other.outcome_is(Outcome::Unknown)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Ends a lease with all its keys. One that is gone already is no error.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn revoke(&self, lease: i64) -> Result<()> {
        self.revoke_in(&self.context(), lease)
    }

    pub(crate) fn revoke_in(&self, context: &Context, id: i64) -> Result<()> {
        match self.call_in(context, &Request::LeaseRevoke { id }, Repeat::Harmless) {
            Err(error) if error.kind() != ErrorKind::LeaseNotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Starts a lease's TTL anew; `None` when the lease is gone.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn keep_alive(&self, lease: i64) -> Result<Option<Lease>> {
        self.keep_alive_in(&self.context(), lease)
    }

    /// How long a lease still lasts, with its keys if wanted; `None` when there is no such lease.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn time_to_live(&self, lease: i64, keys: bool) -> Result<Option<LeaseReply>> {
        match self.call(&Request::LeaseTimeToLive { id: lease, keys })?.body {
            Body::LeaseTimeToLive(reply) => Ok(Some(reply).filter(|reply| reply.ttl >= 0)),
            other => Err(mismatch(&other)),
        }
    }

    /// The ids of all leases.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn leases(&self) -> Result<Vec<i64>> {
        match self.call(&Request::Leases)?.body {
            Body::Leases(ids) => Ok(ids),
            other => Err(mismatch(&other)),
        }
    }

    pub(crate) fn keep_alive_in(&self, context: &Context, id: i64) -> Result<Option<Lease>> {
        let started = sys::boot_time();
        let reply = self.call_in(context, &Request::LeaseKeepAlive { id }, Repeat::Harmless);
        match reply.and_then(|reply| lease_of(reply.body)) {
            Ok((_, ttl)) if ttl > 0 => Ok(Some(Lease { id, ttl, started })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::LeaseNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn lease_of(body: Body) -> Result<(i64, i64)> {
    match body {
        Body::Lease { id, ttl } => Ok((id, ttl)),
        other => Err(mismatch(&other)),
    }
}
