//! Sessions: leases that are kept alive without a thread, each shared by what lives under it, or apart, for one user who
//! leaves it to its TTL. A session ends once, for good: when the server says so, or when this machine can't be sure any
//! more that it has not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::clock::Time;
use super::{Client, Lease, retry, smallest_read};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::log;
use crate::model::{Body, Repeat, Reply, Request};
use crate::sys;
use crate::wait::{Deadline, lock};

/// Told once that a session was lost: on any thread, without a lock held. It never blocks.
pub type Lost = Box<dyn FnOnce(Error) + Send>;

/// Told that a session is there, or why not: in the same way.
pub type Ready = Box<dyn FnOnce(Result<()>) + Send>;

/// Told that somebody's lease is kept alive here now, or why not (`Lost`: it is gone): in the same way.
pub type Attended = Box<dyn FnOnce(Result<Membership>) + Send>;

/// How long a session without users is kept for the next one.
const LINGER: Duration = Duration::from_secs(10);
/// When a keep-alive is tried again that got no answer.
const AGAIN: Duration = Duration::from_millis(500);

/// The sessions of a client.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Arc<Session>>>);

/// A lease that is kept alive.
pub struct Session {
    client: Client,
    id: i64,
    ttl: i64,
    /// For one user alone. When that goes, the lease is left to its TTL.
    apart: bool,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    timer: Option<Time>,
    /// By what each has under the lease: never the same as another one.
    users: HashMap<Arc<[u8]>, User>,
    /// When a keep-alive is due, on the clock of the boot time.
    renew_at: Duration,
    /// One is under way.
    renewing: bool,
    /// Since when there are no users.
    idle_since: Option<Duration>,
    /// Something may turn up under it that nobody knows of: it is ended with its last user.
    tainted: bool,
    /// Why it is not granted yet.
    trouble: Option<Error>,
}

enum Stage {
    /// It is being granted; these wait for it.
    Granting(Vec<Ready>),
    Alive(Lease),
    Over(Error),
}

struct User {
    lost: Option<Lost>,
    held: Held,
}

/// Whether a user ever came to hold what it is named after, as far as it has said so.
pub type Held = Arc<AtomicBool>;

/// A user's part in a session. Dropping it lets the session go.
pub struct Membership {
    session: Arc<Session>,
    name: Arc<[u8]>,
    held: Held,
}

impl Client {
    /// A session of this TTL in which nobody has `name` yet: one there is, or a new one. `ready` is told when it can be
    /// used, maybe before this returns; `lost`, once, when it is lost after that.
    pub(crate) fn join_session(&self, ttl: i64, name: &[u8], lost: Lost, ready: Ready) -> Membership {
        let mut sessions = lock(&self.0.sessions.0);
        let open = sessions
            .iter()
            .find(|session| session.ttl == ttl && !session.apart && lock(&session.state).is_open_for(name));
        let (session, is_new) = match open {
            Some(session) => (session.clone(), false),
            None => (Arc::new(Session::new(self, sys::random_id(), ttl, false)), true),
        };
        // Under the lock of all, so that nobody else gives the same name to it.
        let (name, held) = lock(&session.state).add(name, lost);
        if is_new {
            sessions.push(session.clone());
        }
        drop(sessions);
        session.tell_when_ready(lock(&session.state), ready);
        if is_new {
            session.grant();
        }
        Membership { session, name, held }
    }

    /// Whether whoever of this client has that under that lease ever held it; `None`: there is nobody.
    pub(crate) fn held_by(&self, lease: i64, name: &[u8]) -> Option<Held> {
        let sessions = lock(&self.0.sessions.0);
        let session = sessions.iter().find(|session| session.id == lease)?;
        lock(&session.state).users.get(name).map(|user| user.held.clone())
    }

    /// Starts the TTL of a lease that somebody else has granted anew, and keeps it alive in a session apart.
    pub(crate) fn attend(&self, lease: i64, lost: Lost, done: Attended) {
        let (client, started) = (self.clone(), sys::boot_time());
        let request = Arc::new(Request::LeaseKeepAlive { id: lease });
        let told = move |reply: Result<Reply>| {
            let ttl = reply.and_then(lease_of);
            done(match ttl {
                _ if is_gone(&ttl) => Err(ended()),
                Ok(ttl) => Ok(client.keep(Lease { id: lease, ttl, started }, lost)),
                Err(error) => Err(error),
            });
        };
        self.submit_as(request, Repeat::Harmless, Deadline::NEVER, Box::new(told));
    }

    /// Keeps a lease alive in a session apart.
    pub(crate) fn keep(&self, lease: Lease, lost: Lost) -> Membership {
        let session = Arc::new(Session::new(self, lease.id, lease.ttl, true));
        let (name, held) = lock(&session.state).add(b"", lost);
        lock(&self.0.sessions.0).push(session.clone());
        session.is_alive(lease);
        if self.closed().is_triggered() {
            // Whoever closed it may have seen the sessions before this one was there.
            session.end(Error::closed());
        }
        Membership { session, name, held }
    }
}

impl Sessions {
    /// All sessions are over: their client was closed.
    pub fn close(&self) {
        let all = std::mem::take(&mut *lock(&self.0));
        all.iter().for_each(|session| session.end(Error::closed()));
    }

    /// Revokes all of them that are not left to their TTLs.
    pub fn revoke(&self) {
        let all = std::mem::take(&mut *lock(&self.0));
        for session in all {
            session.end(Error::closed());
            session.revoke();
        }
    }
}

impl State {
    fn is_open_for(&self, name: &[u8]) -> bool {
        let usable = match &self.stage {
            Stage::Granting(_) => true,
            // One that is half over may be lost before it is of use.
            Stage::Alive(lease) => lease.remaining().is_some_and(|left| left > lease.length() / 2),
            Stage::Over(_) => false,
        };
        usable && !self.tainted && !self.users.contains_key(name)
    }

    fn add(&mut self, name: &[u8], lost: Lost) -> (Arc<[u8]>, Held) {
        self.idle_since = None;
        let (name, held) = (Arc::<[u8]>::from(name), Held::default());
        self.users.insert(name.clone(), User { lost: Some(lost), held: held.clone() });
        (name, held)
    }
}

impl Lease {
    /// A holder stops trusting its lease this long before the server can give what hangs on it to somebody else.
    pub fn sure_until(&self) -> Duration {
        let margin = (self.length() / 10).max(Duration::from_millis(500));
        self.started + self.length().saturating_sub(margin)
    }

    /// What is left of the time in which it is there for sure, by this machine's own clock.
    pub fn remaining(&self) -> Option<Duration> {
        self.sure_until().checked_sub(sys::boot_time()).filter(|left| !left.is_zero())
    }

    /// Its TTL.
    pub fn length(&self) -> Duration {
        Duration::from_secs(self.ttl.unsigned_abs())
    }
}

impl Session {
    fn new(client: &Client, id: i64, ttl: i64, apart: bool) -> Self {
        let state = State {
            stage: Stage::Granting(Vec::new()),
            timer: None,
            users: HashMap::new(),
            renew_at: Duration::ZERO,
            renewing: false,
            idle_since: None,
            tainted: false,
            trouble: None,
        };
        Session { client: client.clone(), id, ttl, apart, state: Mutex::new(state) }
    }

    fn tell_when_ready(&self, mut state: MutexGuard<State>, ready: Ready) {
        let now = match &mut state.stage {
            Stage::Granting(waiting) => return waiting.push(ready),
            Stage::Alive(_) => Ok(()),
            Stage::Over(error) => Err(error.clone()),
        };
        drop(state);
        ready(now);
    }

    fn grant(self: &Arc<Self>) {
        let request = Request::LeaseGrant { id: self.id, ttl: self.ttl };
        self.begin(request, |session, error| match error {
            // An attempt whose answer was lost got through before this one: the lease is ours, since nobody knows when.
            error
                if error.outcome() == Outcome::Unknown && error.fault().contains("lease already exists") =>
            {
                session.take_up();
            }
            error => session.not_granted(error),
        });
    }

    /// Starts the TTL of a lease that was granted before.
    fn take_up(self: &Arc<Self>) {
        self.begin(Request::LeaseKeepAlive { id: self.id }, |session, error| match error {
            error if error.kind() == ErrorKind::LeaseNotFound => session.grant(),
            error => session.not_granted(error),
        });
    }

    fn begin(self: &Arc<Self>, request: Request, failed: fn(&Arc<Self>, Error)) {
        let (session, started) = (self.clone(), sys::boot_time());
        let done = move |reply: Result<Reply>| match reply.and_then(lease_of) {
            Ok(ttl) if ttl > 0 => session.is_alive(Lease { id: session.id, ttl, started }),
            Ok(_) => session.grant(),
            Err(error) => failed(&session, error),
        };
        self.client.submit_as(Arc::new(request), Repeat::Harmless, Deadline::NEVER, Box::new(done));
    }

    /// What may pass is tried again for as long as somebody waits for it; a server that never answered anything is not
    /// waited for: it may be none.
    fn not_granted(self: &Arc<Self>, error: Error) {
        let mut state = lock(&self.state);
        let may_pass = retry::may_pass(&error) && error.outcome() != Outcome::NotSent;
        if !may_pass || state.users.is_empty() || !matches!(state.stage, Stage::Granting(_)) {
            drop(state);
            return self.lose(error);
        }
        log::warning!("grant lease {:x}: {error}", self.id);
        state.trouble = Some(error.clone());
        let session = self.clone();
        let again = move || {
            let wanted = !lock(&session.state).users.is_empty();
            if wanted { session.grant() } else { session.lose(error) }
        };
        let at = Instant::now() + AGAIN;
        if self.client.0.clock.set(at, Box::new(again)).is_err() {
            drop(state);
            self.lose(Error::closed());
        }
    }

    fn is_alive(self: &Arc<Self>, lease: Lease) {
        let mut state = lock(&self.state);
        let Stage::Granting(waiting) = &mut state.stage else { return };
        let waiting = std::mem::take(waiting);
        state.renew_at = lease.started + lease.length() / 3;
        state.stage = Stage::Alive(lease);
        self.set_timer(&mut state);
        drop(state);
        waiting.into_iter().for_each(|ready| ready(Ok(())));
    }

    /// At the next thing to do.
    fn set_timer(self: &Arc<Self>, state: &mut State) {
        if let Some(timer) = state.timer.take() {
            self.client.0.clock.unset(timer);
        }
        let Stage::Alive(lease) = &state.stage else { return };
        let mut next = lease.sure_until();
        if !state.renewing {
            next = next.min(state.renew_at);
        }
        if let Some(since) = state.idle_since {
            next = next.min(since + LINGER);
        }
        let at = Instant::now() + next.saturating_sub(sys::boot_time());
        let session = self.clone();
        state.timer = self.client.0.clock.set(at, Box::new(move || session.look_at_time())).ok();
    }

    fn look_at_time(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.timer = None;
        let Stage::Alive(lease) = &state.stage else { return };
        let (now, lease) = (sys::boot_time(), *lease);
        if now >= lease.sure_until() {
            let trouble = state.trouble.take().filter(|error| error.kind() == ErrorKind::OtherCluster);
            drop(state);
            let expired = || Error::new(ErrorKind::Lost, "no server confirmed it before its TTL was over");
            return self.lose(trouble.unwrap_or_else(expired));
        }
        if state.idle_since.is_some_and(|since| now >= since + LINGER) {
            drop(state);
            return self.retire();
        }
        if !state.renewing && now >= state.renew_at {
            state.renewing = true;
            drop(state);
            self.renew(&lease);
            state = lock(&self.state);
        }
        self.set_timer(&mut state);
    }

    fn renew(self: &Arc<Self>, lease: &Lease) {
        let (session, started) = (self.clone(), sys::boot_time());
        let request = Arc::new(Request::LeaseKeepAlive { id: self.id });
        // So that there is time for another try.
        let deadline = Deadline::after(lease.remaining().unwrap_or_default().min(lease.length() / 3));
        let done = move |reply: Result<Reply>| {
            let revision = reply.as_ref().map_or(0, |reply| reply.header.revision);
            session.renewed(started, revision, reply.and_then(lease_of));
        };
        self.client.submit_as(request, Repeat::Harmless, deadline, Box::new(done));
    }

    /// The answer to a keep-alive that was sent at that time, from a member at this revision.
    fn renewed(self: &Arc<Self>, started: Duration, revision: i64, ttl: Result<i64>) {
        let mut state = lock(&self.state);
        state.renewing = false;
        let State { stage: Stage::Alive(lease), trouble, renew_at, .. } = &mut *state else { return };
        if is_gone(&ttl) {
            let left = lease.remaining().unwrap_or_default();
            drop(state);
            return self.is_unknown(revision, left);
        }
        // What is lost never comes back to life, also when the answer is good news that came too late.
        match ttl {
            Ok(ttl) if lease.remaining().is_some() => {
                *lease = Lease { id: self.id, ttl, started };
                *renew_at = started + lease.length() / 3;
                *trouble = None;
            }
            Ok(_) => {}
            Err(error) => {
                log::warning!("keep lease {:x} alive: {error}", self.id);
                let half = lease.remaining().unwrap_or_default() / 2;
                *renew_at = sys::boot_time() + AGAIN.min(half.max(Duration::from_millis(10)));
                *trouble = Some(error);
            }
        }
        self.set_timer(&mut state);
    }

    /// A member at this revision does not know the lease. From one that is behind, that may be the word of another history:
    /// a read finds out, so that whoever is told of the loss can be told why.
    fn is_unknown(self: &Arc<Self>, revision: i64, left: Duration) {
        if revision >= self.client.0.identity.revision() {
            return self.lose(ended());
        }
        let session = self.clone();
        let read = Arc::new(Request::Range(smallest_read()));
        let done = Box::new(move |_| session.lose(ended()));
        self.client.submit_as(read, Repeat::Harmless, Deadline::after(left), done);
    }

    /// It is over; everybody is told.
    fn lose(&self, error: Error) {
        lock(&self.client.0.sessions.0).retain(|session| !std::ptr::eq(&**session, self));
        self.end(error);
    }

    fn end(&self, error: Error) {
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut state.stage, Stage::Over(error.clone()));
        let timer = state.timer.take();
        let lost: Vec<Lost> = state.users.values_mut().filter_map(|user| user.lost.take()).collect();
        drop(state);
        timer.into_iter().for_each(|timer| self.client.0.clock.unset(timer));
        match before {
            Stage::Over(_) => {}
            Stage::Granting(waiting) => waiting.into_iter().for_each(|ready| ready(Err(error.clone()))),
            Stage::Alive(_) => lost.into_iter().for_each(|lost| lost(error.clone())),
        }
    }

    /// Nobody uses it any more.
    fn retire(&self) {
        self.lose(Error::new(ErrorKind::Lost, "the session was ended"));
        self.revoke();
    }

    /// Ends the lease, unless it is left to its TTL. Without an answer it ends by itself.
    fn revoke(&self) {
        if self.apart {
            return;
        }
        let request = Arc::new(Request::LeaseRevoke { id: self.id });
        self.client.submit_as(request, Repeat::Harmless, Deadline::NEVER, Box::new(|_| {}));
    }
}

fn lease_of(reply: Reply) -> Result<i64> {
    match reply.body {
        Body::Lease { ttl, .. } => Ok(ttl),
        other => Err(super::mismatch(&other)),
    }
}

/// What an answer to a keep-alive says of a lease that is there no more.
fn is_gone(ttl: &Result<i64>) -> bool {
    match ttl {
        Ok(ttl) => *ttl <= 0,
        Err(error) => error.kind() == ErrorKind::LeaseNotFound,
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Lost, "its lease has ended")
}

impl Membership {
    /// The lease's id.
    pub fn lease(&self) -> i64 {
        self.session.id
    }

    /// The lease as it was renewed last; `None`: it is not there yet, or lost.
    pub fn granted(&self) -> Option<Lease> {
        match &lock(&self.session.state).stage {
            Stage::Alive(lease) => Some(*lease),
            _ => None,
        }
    }

    /// Says that what it is named after is held now.
    pub fn set_held(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Why the lease is not there yet.
    pub fn trouble(&self) -> Option<Error> {
        lock(&self.session.state).trouble.clone()
    }

    /// Whether the lease is this user's alone, and left to its TTL.
    pub fn is_apart(&self) -> bool {
        self.session.apart
    }

    /// What is left of the time in which the lease is there for sure; `None`: it is lost, or may be.
    pub fn remaining(&self) -> Option<Duration> {
        self.granted().and_then(|lease| lease.remaining())
    }

    /// Whether nobody else has anything under the lease.
    pub fn is_alone(&self) -> bool {
        lock(&self.session.state).users.len() == 1
    }

    /// Leaves a session whose lease a server says is gone; its other users are told.
    pub fn tell_gone(self) {
        let session = self.session.clone();
        drop(self);
        session.lose(ended());
    }

    /// Something may turn up under the lease that nobody knows of: nobody else is to use it, and it is ended as soon as
    /// nobody does.
    pub fn taint(&self) {
        lock(&self.session.state).tainted = true;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = lock(&self.session.state);
        let user = state.users.remove(&self.name);
        let is_last = state.users.is_empty();
        let is_over = is_last && (state.tainted || self.session.apart);
        if is_last && !is_over {
            state.idle_since = Some(sys::boot_time());
            self.session.set_timer(&mut state);
        }
        drop(state);
        drop(user);
        if is_over {
            self.session.retire();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[test]
    fn trust_ends_before_the_lease_and_counts_from_the_sending() {
        let started = Duration::from_secs(1000);
        let until = |ttl| Lease { id: 1, ttl, started }.sure_until() - started;
        assert_eq!(until(2), Duration::from_millis(1500));
        assert_eq!(until(10), Duration::from_secs(9));
        assert_eq!(until(100), Duration::from_secs(90));
    }

    #[test]
    fn a_session_whose_time_was_over_once_is_not_revived_by_a_late_renewal() {
        let mut options = Options::new();
        options.set("endpoints", "mem://").unwrap();
        let client = Client::open(options).unwrap();
        let lease = Lease { id: 1, ttl: 60, started: sys::boot_time() };
        let member = client.keep(lease, Box::new(|_| {}));
        assert!(member.remaining().is_some());
        // The server still has the lease and would renew it: this process slept, and others may know.
        let over = Lease { started: lease.started - Duration::from_secs(60), ..lease };
        lock(&member.session.state).stage = Stage::Alive(over);
        member.session.renewed(sys::boot_time(), 0, Ok(60));
        assert!(member.remaining().is_none());
    }

    #[test]
    fn a_lease_that_is_gone_with_its_history_is_lost_when_that_is_known() {
        let mut options = Options::new();
        options.set("endpoints", "mem://leases-restored").unwrap();
        let client = Client::open(options).unwrap();
        let store = crate::store::Store::open("leases-restored");
        let lease = client.grant(60).unwrap();
        client.put("k", "v", 0).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let of = client.clone();
        let member = client.keep(lease, Box::new(move |_| tell.send(of.history()).unwrap()));
        store.reset(false);
        member.session.renew(&lease);
        assert_eq!(told.recv().unwrap(), 1, "by then the client knows that it went back");
    }

    #[test]
    fn what_is_apart_is_left_to_its_ttl_and_what_is_shared_is_not() {
        let mut options = Options::new();
        options.set("endpoints", "mem://").unwrap();
        let client = Client::open(options).unwrap();
        let lease = client.grant(60).unwrap().id;
        let (told, attended) = std::sync::mpsc::channel();
        client.attend(lease, Box::new(|_| {}), Box::new(move |member| told.send(member).unwrap()));
        let member = attended.recv().unwrap().unwrap();
        assert!(member.is_apart() && member.remaining().is_some());
        let shared = client.join_session(60, b"l", Box::new(|_| {}), Box::new(|_| {}));
        assert!(shared.lease() != lease && !shared.is_apart());
        drop(member);
        client.0.sessions.revoke();
        let left = |id| client.time_to_live(id, false).unwrap().is_some();
        assert!(left(lease) && !left(shared.lease()));
    }
}
