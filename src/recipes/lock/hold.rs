//! Holding a lock: renewed by a thread of the library, and told when it is lost.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Place, deletes, leave, watch_key};
use crate::client::{Client, Lease, retry};
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::sys;
use crate::transport::Context;
use crate::wait::{Cancel, Deadline, Interrupted, Mailbox, lock};

/// A held lock that is kept alive by a thread of the library and tells when it is lost.
pub struct Hold {
    client: Client,
    shared: Arc<HoldState>,
    stop: Cancel,
    keeper: Option<JoinHandle<()>>,
}

struct HoldState {
    place: Place,
    /// As it was renewed last; another one than at first when somebody has moved the place.
    lease: Mutex<Lease>,
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
        let lease = Mutex::new(place.lease);
        let shared = Arc::new(HoldState { place, lease, lost: Mutex::new(None) });
        let stop = Cancel::new();
        let (keeper_client, state, stopped) = (client.clone(), shared.clone(), stop.clone());
        let keeper = sys::spawn("etcd-hold", move || {
            if let Some(error) = state.keep(&keeper_client, &stopped) {
                *lock(&state.lost) = Some(error.clone());
                on_lost(&error);
            }
        });
        let keeper = keeper.map_err(|error| {
            // Nobody would renew it.
            let _ = leave(client, &shared.place);
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

    /// Releases the lock. Tells whether it was still held, as far as the answer that arrived can tell: after
    /// a first answer that was lost it is `false` too.
    ///
    /// # Errors
    /// When no server confirms it; the lock then ends with its lease.
    pub fn release(mut self) -> Result<bool> {
        self.stop_keeper();
        let lease = *lock(&self.shared.lease);
        leave(&self.client, &Place { lease, ..self.shared.place.clone() })
    }

    fn stop_keeper(&mut self) {
        self.stop.trigger();
        if let Some(keeper) = self.keeper.take()
            // What is told of the loss may drop the hold: then the keeper is at its end anyway.
            && keeper.thread().id() != std::thread::current().id()
        {
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
        sure_until(&lock(&self.lease)).checked_sub(sys::boot_time()).filter(|left| !left.is_zero())
    }

    /// Renews until stopped (`None`) or lost.
    fn keep(&self, client: &Client, stop: &Cancel) -> Option<Error> {
        let mut revision = self.place.token;
        let wakes = Mailbox::default();
        let mut watch = None;
        let mut renew_at = self.in_time(self.third());
        loop {
            if watch.is_none() {
                let context = self.context(client, stop);
                watch = watch_key(client, &context, &self.place.key, revision, &wakes, |item| item);
            }
            match wakes.recv(renew_at, stop) {
                Err(Interrupted::Canceled) => return None,
                Ok(Ok(batch)) if deletes(&batch, &self.place.key) => {
                    // A process that slept through its TTL sees the end of its lease only now.
                    return Some(self.remaining().map_or_else(|| self.expired(), |_| self.removed()));
                }
                // Somebody has moved it to another lease, perhaps a short one.
                Ok(Ok(batch)) if !batch.events.is_empty() => {}
                Ok(Ok(_)) => continue,
                Ok(Err(_)) => {
                    watch = None;
                    // A server that ends watches as soon as they are open must not keep us busy.
                    retry::pause(0, Deadline::NEVER, stop);
                }
                Err(Interrupted::Timeout) => {}
            }
            renew_at = match self.renew(client, stop) {
                Ok(seen) => {
                    revision = seen;
                    self.in_time(self.third())
                }
                Err(error) if error.kind() == ErrorKind::Lost => return Some(error),
                // No server: try again soon, until the time is over.
                Err(_) => self.in_time(Duration::from_millis(500)),
            };
        }
    }

    /// After this time, or earlier when less than twice that is left.
    fn in_time(&self, time: Duration) -> Deadline {
        let half = self.remaining().unwrap_or_default() / 2;
        Deadline::after(time.min(half.max(Duration::from_millis(10))))
    }

    /// A third of the TTL, so that there is time for another try, and never longer than the hold is sure.
    fn context<'a>(&self, client: &Client, stop: &'a Cancel) -> Context<'a> {
        let sure = Deadline::after(self.remaining().unwrap_or_default());
        client.context_for(sure.or_after(self.third()), stop)
    }

    fn third(&self) -> Duration {
        Duration::from_secs(self.place.lease.ttl.unsigned_abs()) / 3
    }

    /// Tells the revision at which the place was still there.
    fn renew(&self, client: &Client, stop: &Cancel) -> Result<i64> {
        if self.remaining().is_none() {
            return Err(self.expired());
        }
        let context = self.context(client, stop);
        let own = RangeRequest::attributes(&self.place.key[..]);
        let (revision, found) = client.range_in(&context, own)?;
        let own = found.kvs.into_iter().find(|kv| kv.create_revision == self.place.token);
        // Whoever renews it by its index with another TTL moves it to another lease: that one counts.
        let lease = own.ok_or_else(|| self.removed())?.lease;
        let lease = client.keep_alive_in(&context, lease)?.ok_or_else(|| self.place.lease.ended())?;
        let mut held = lock(&self.lease);
        // A lost hold never comes back to life, also when the answer is good news that came too late.
        if sure_until(&held) <= sys::boot_time() {
            return Err(self.expired());
        }
        *held = lease;
        Ok(revision)
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

    #[test]
    fn a_hold_whose_time_was_over_once_is_not_revived_by_a_late_renewal() {
        let mut options = Options::new();
        options.set("endpoints", "mem://").unwrap();
        let client = Client::open(options).unwrap();
        let place = super::super::acquire(&client, b"l", 60, b"", Deadline::NEVER, client.closed()).unwrap();
        let over = Lease { started: sys::boot_time() - Duration::from_secs(60), ..place.lease };
        let state = HoldState { place, lease: Mutex::new(over), lost: Mutex::new(None) };
        // The server still has the lease and would renew it: this process slept, and others may know.
        let error = state.renew(&client, Cancel::NEVER).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(state.remaining().is_none());
    }

    #[test]
    fn trust_ends_before_the_lease_and_counts_from_the_sending() {
        let started = Duration::from_secs(1000);
        let until = |ttl| sure_until(&Lease { id: 1, ttl, started }) - started;
        assert_eq!(until(2), Duration::from_millis(1500));
        assert_eq!(until(10), Duration::from_secs(9));
        assert_eq!(until(100), Duration::from_secs(90));
    }
}
