//! Waiting for a lock on the calling thread, for one that is left to its TTL then.

use std::sync::Arc;
use std::time::Duration;

use super::contender::{Contender, Ended, Owner, Wanted};
use super::{Place, own_lease, place_key, queued, queueing, release};
use crate::client::{Client, Lease, retry};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::{Repeat, Request, quote};
use crate::sys;
use crate::transport::Context;
use crate::wait::{Cancel, Deadline, Interrupted, Mailbox};

/// The owner of a contender that a thread waits for.
#[derive(Clone, Default)]
pub struct Waiting(Mailbox<Result<()>>);

impl Owner for Waiting {
    fn acquired(&self, _: &Contender) {
        self.0.push(Ok(()));
    }

    fn ended(&self, how: Ended) {
        self.0.push(Err(match how {
            Ended::Failed(error) | Ended::Lost(error) => error,
            Ended::Released(_) => Error::canceled(),
        }));
    }
}

impl Waiting {
    /// Waits until it is held, or is not and never will be.
    ///
    /// # Errors
    /// Why it is not; `Canceled` when `cancel` was triggered.
    pub fn wait(&self, contender: &Contender, cancel: &Cancel) -> Result<()> {
        self.0.recv(Deadline::NEVER, cancel).unwrap_or_else(|_| {
            contender.cancel();
            // Held after all, or out of the queue: either way it is told.
            self.0.recv(Deadline::NEVER, Cancel::NEVER).unwrap_or_else(|_| Err(Error::canceled()))
        })
    }
}

/// Waits until the lock `name` is held, for as long as `deadline` and `cancel` allow; a deadline that has
/// passed already means to try once. `value` is information for people who look at the queue. It is kept alive until then,
/// and not after that: its TTL runs from now on. On any error the place is given up, which may take the request timeout
/// more, whatever `deadline` and `cancel` say.
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
    // Whoever tries once waits for nobody, but for an answer.
    let calls_end = if deadline.passed() { Deadline::NEVER } else { deadline };
    let context = || client.context_for(calls_end, cancel);
    let patience = Patience { deadline, cancel };
    let lease = patience.insist(|| grant(client, &context(), name, ttl)).map_err(during)?;
    let (mut place, alone) =
        patience.insist(|| enqueue(client, &context(), name, lease, value)).map_err(|error| {
            abandon(client, lease.id);
            during(error)
        })?;
    let held = match alone {
        true => patience.start_ttl(client, lease).and_then(|lease| lease.ok_or_else(gone)).map_err(during),
        false => patience.wait_behind_others(client, &mut place, value),
    };
    match held {
        Ok(lease) => Ok(Place { lease, ..place }),
        Err(error) => {
            let _ = leave(client, &place);
            Err(error)
        }
    }
}

fn grant(client: &Client, context: &Context, name: &[u8], ttl: i64) -> Result<Lease> {
    let id = own_lease(name);
    client.grant_in(context, id, ttl).inspect_err(|error| {
        if error.outcome() == Outcome::Unknown {
            abandon(client, id);
        }
    })
}

/// Takes a place at the end of the queue, and tells whether nothing at all was there before it, so that it
/// holds the lock. Sent twice, it finds the place of the first time.
fn enqueue(
    client: &Client,
    context: &Context,
    name: &[u8],
    lease: Lease,
    value: &[u8],
) -> Result<(Place, bool)> {
    let key = place_key(name, lease.id);
    let request = Request::Txn(queueing(name, &key, lease.id, value));
    let (revision, reply) = client.txn_in(context, &request, Repeat::Harmless)?;
    let (token, before) = queued(revision, reply)?;
    let alone = before.is_some_and(|before| before.is_empty());
    Ok((Place { name: name.into(), key, token, lease }, alone))
}

/// How long a thread waits.
struct Patience<'a> {
    deadline: Deadline,
    cancel: &'a Cancel,
}

impl Patience<'_> {
    /// Repeats what may pass, for as long as there is patience. Servers that were never heard of are not waited for: there
    /// may be none.
    fn insist<T>(&self, step: impl Fn() -> Result<T>) -> Result<T> {
        let mut failures = 0;
        loop {
            match step() {
                Err(error)
                    if retry::may_pass(&error)
                        && error.outcome() != Outcome::NotSent
                        && !self.deadline.passed()
                        && !self.cancel.is_triggered() =>
                {
                    retry::pause(failures, self.deadline, self.cancel);
                    failures += 1;
                }
                result => return result,
            }
        }
    }

    /// Waits until nobody is before it. The lease of the place is kept up to date: somebody may move it to another one.
    fn wait_behind_others(&self, client: &Client, place: &mut Place, value: &[u8]) -> Result<Lease> {
        let told = Waiting::default();
        let ttl = place.lease.ttl;
        let wanted = Wanted { name: place.name.clone(), ttl, value: value.into(), until: self.deadline };
        let contender = Contender::resume(client, wanted, place, Arc::new(told.clone()));
        let held =
            told.wait(&contender, self.cancel).and_then(|()| self.take_over(client, &contender, &told));
        place.lease.id = contender.lease();
        held
    }

    /// What the contender holds is left to its TTL.
    fn take_over(&self, client: &Client, contender: &Contender, told: &Waiting) -> Result<Lease> {
        let during = |error: Error| error.during(format!("lock {}", quote(contender.name())));
        loop {
            told.lost_within(Duration::ZERO)?;
            let lease = contender.granted().ok_or_else(|| during(gone()))?;
            match self.start_ttl(client, lease).map_err(during)? {
                Some(lease) if contender.let_go() => return Ok(lease),
                Some(_) => {}
                // The place went with it, which is told soon, unless it has moved to another one just now.
                None => told.lost_within(Duration::from_secs(1))?,
            }
        }
    }

    /// The TTL runs from the moment at which the lock is held: one that was not started just now is started anew. `None`:
    /// the lease has ended.
    fn start_ttl(&self, client: &Client, lease: Lease) -> Result<Option<Lease>> {
        let age = sys::boot_time().saturating_sub(lease.started);
        if age <= lease.length() / 20 {
            return Ok(Some(lease));
        }
        let mut failures = 0;
        loop {
            // Short, so that another endpoint can be asked before the lease ends.
            let context = client.context_for(Deadline::after(lease.length() / 3), self.cancel);
            match client.keep_alive_in(&context, lease.id) {
                Err(error) if retry::may_pass(&error) && !self.is_over() => {
                    retry::pause(failures, self.deadline, self.cancel);
                    failures += 1;
                }
                answer => return answer,
            }
        }
    }

    fn is_over(&self) -> bool {
        self.deadline.passed() || self.cancel.is_triggered()
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Lost, "its lease ended as soon as it was held")
}

impl Waiting {
    /// Waits a moment for the end of what is held.
    fn lost_within(&self, time: Duration) -> Result<()> {
        match self.0.recv(Deadline::after(time), Cancel::NEVER) {
            Err(Interrupted::Timeout | Interrupted::Canceled) => Ok(()),
            Ok(told) => told,
        }
    }
}

/// Ends a lease whose grant, or whose place in the queue, failed. A place that reaches its server later than
/// this finds no lease and fails. Without an answer the lease ends by itself, which may be long after.
fn abandon(client: &Client, lease: i64) {
    // What was cut off in the middle may reach its server after a first attempt to undo it.
    for pause in [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200)] {
        std::thread::sleep(pause);
        let hasty = client.context_for(Deadline::after(Duration::from_secs(1)), Cancel::NEVER);
        match client.call_in(&hasty, &Request::LeaseRevoke { id: lease }, Repeat::Harmless) {
            Err(error) if error.kind() == ErrorKind::LeaseNotFound => {}
            _ => return,
        }
    }
}

/// Gives a place up and ends its lease, which serves nothing else. Tells whether it was there. Works on a closed client,
/// too.
///
/// # Errors
/// When no server confirms it; it then ends with its lease.
pub fn leave(client: &Client, place: &Place) -> Result<bool> {
    // A release without an answer must leave the other way time.
    let half = || client.context_for(Deadline::after(client.options().request_timeout / 2), Cancel::NEVER);
    let released = release(client, &half(), &place.key, place.token);
    let revoked = client.revoke_in(&half(), place.lease.id);
    match released {
        // Revoking is as good: the key goes with its lease.
        Err(error) => revoked.map(|()| true).map_err(|_| error),
        released => released,
    }
}
