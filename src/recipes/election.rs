//! Elections: a lock whose holder's value is what the leader proclaims (a [`Contender`](super::lock::contender::Contender)
//! campaigns, proclaims and resigns); who leads; and following every change of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::lock::is_place;
use crate::client::{Alarmed, Client, News, PushedWatch, Reader, WatchMode, retry};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::sys;
use crate::wait::{Deadline, lock};

/// Told of leaders: on any thread. It never blocks and never calls back.
pub trait Audience: Send + Sync {
    /// Who leads from this revision on, with what is proclaimed; `None`: nobody.
    fn leader(&self, revision: i64, leader: Option<&KeyValue>);
    /// The last word.
    fn ended(&self, error: Error);
}

/// Follows an election until it is canceled: each leader and each value proclaimed, in order, once, through outages and
/// compactions. (What was compacted while no server could be reached can't be told.)
#[derive(Clone)]
pub struct Observer(Arc<Inner>);

struct Inner {
    client: Client,
    name: Vec<u8>,
    audience: Arc<dyn Audience>,
    /// The cluster's history that it began in.
    history: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The queue, by its keys, as it was at the revision that was seen last.
    places: BTreeMap<Vec<u8>, KeyValue>,
    seen: i64,
    /// What was told last: the leader's key, its token and the revision of its value.
    told: Option<Option<(Vec<u8>, i64, i64)>>,
    watch: Option<PushedWatch>,
    pause: Option<Alarmed>,
    /// How many pauses there were.
    pauses: u64,
    failures: u32,
    over: bool,
}

impl Observer {
    /// Begins with who leads now.
    pub fn new(client: &Client, name: &[u8], audience: Arc<dyn Audience>) -> Self {
        let (client, name, history) = (client.clone(), name.to_vec(), client.history());
        let observer = Observer(Arc::new(Inner { client, name, audience, history, state: Mutex::default() }));
        observer.0.read();
        observer
    }

    /// Tells nothing more but the end.
    pub fn cancel(&self) {
        self.0.end(Error::canceled());
    }
}

impl Inner {
    fn prefix(&self) -> Vec<u8> {
        [&self.name[..], b"/"].concat()
    }

    fn end(&self, error: Error) {
        let mut state = lock(&self.state);
        if std::mem::replace(&mut state.over, true) {
            return;
        }
        let (watch, pause) = (state.watch.take(), state.pause.take());
        drop(state);
        watch.into_iter().for_each(PushedWatch::cancel_later);
        drop(pause);
        let error = error.outcome_is(Outcome::NotSent);
        self.audience.ended(error.during(format!("observe {}", quote(&self.name))));
    }

    /// Reads the whole queue, then watches it.
    fn read(self: &Arc<Self>) {
        let inner = self.clone();
        let request = Request::Range(RangeRequest::new(KeyRange::prefix(self.prefix())));
        let done = move |reply: Result<Reply>| match inner.client.check_same_history(inner.history).and(reply)
        {
            Ok(Reply { header, body: Body::Range(found) }) => inner.watch(header.revision, found.kvs),
            Ok(_) => inner.end(Error::new(ErrorKind::BadReply, "a reply of another kind")),
            Err(error) => inner.again(error, Inner::read),
        };
        self.client.submit_as(Arc::new(request), Repeat::Harmless, Deadline::NEVER, Box::new(done));
    }

    /// Takes a step again that failed, after a pause, if that may pass.
    fn again(self: &Arc<Self>, error: Error, step: fn(&Arc<Self>)) {
        if !retry::may_pass(&error) {
            return self.end(error);
        }
        let (failures, this) = {
            let mut state = lock(&self.state);
            state.failures += 1;
            state.pauses += 1;
            (state.failures - 1, state.pauses)
        };
        let pause = retry::backoff(failures, sys::random_id() as u64);
        let next = Next::of(self);
        // Without the lock: of a client that was closed, this tells the end.
        let pause = self.client.later(pause, move || step(&next.take()));
        let mut state = lock(&self.state);
        // It may be over by now, and the next one may have begun.
        let is_late = state.over || state.pauses != this;
        let old = if is_late { pause } else { std::mem::replace(&mut state.pause, pause) };
        drop(state);
        drop(old);
    }

    fn watch(self: &Arc<Self>, revision: i64, kvs: Vec<KeyValue>) {
        let mut state = lock(&self.state);
        if state.over {
            return;
        }
        let prefix = self.prefix();
        let places = kvs.into_iter().filter(|kv| is_place(&prefix, kv));
        state.places = places.map(|kv| (kv.key.clone(), kv)).collect();
        (state.seen, state.failures) = (revision, 0);
        self.tell(&mut state, revision);
        drop(state);
        self.follow();
    }

    /// Watches the queue from behind what was seen.
    fn follow(self: &Arc<Self>) {
        let seen = lock(&self.state).seen;
        let request = WatchRequest::new(KeyRange::prefix(self.prefix()), seen.saturating_add(1));
        // Without the lock: of a client that was closed, this tells the end.
        let reader = Arc::new(Watching(self.clone()));
        let watch = self.client.push_watch(request, WatchMode::default(), Deadline::NEVER, reader);
        let mut state = lock(&self.state);
        let old = if state.over { Some(watch) } else { state.watch.replace(watch) };
        drop(state);
        old.into_iter().for_each(PushedWatch::cancel_later);
        // In a history that went back, it would wait for a revision of the old one.
        if let Err(error) = self.client.check_same_history(self.history) {
            self.end(error);
        }
    }

    /// Tells who leads, if that is new.
    fn tell(&self, state: &mut State, revision: i64) {
        let leader = state.places.values().min_by_key(|kv| kv.create_revision);
        let word = leader.map(|kv| (kv.key.clone(), kv.create_revision, kv.mod_revision));
        if state.told.as_ref() != Some(&word) {
            self.audience.leader(revision, leader);
            state.told = Some(word);
        }
    }

    fn changed(&self, batch: &WatchBatch) {
        let mut state = lock(&self.state);
        if state.over {
            return;
        }
        let prefix = self.prefix();
        for Event { kind, kv, .. } in &batch.events {
            match kind {
                EventKind::Put if is_place(&prefix, kv) => {
                    state.places.insert(kv.key.clone(), kv.clone());
                }
                EventKind::Put | EventKind::Delete => drop(state.places.remove(&kv.key)),
            }
        }
        let revision = batch.events.last().map_or(batch.revision, |event| event.kv.mod_revision);
        state.seen = revision;
        self.tell(&mut state, revision);
    }
}

/// An observer that has something to do next, at another time or on another thread. When this is dropped unused, nobody
/// will do it any more: its client was closed.
struct Next(Option<Arc<Inner>>);

impl Next {
    fn of(inner: &Arc<Inner>) -> Self {
        Next(Some(inner.clone()))
    }

    fn take(mut self) -> Arc<Inner> {
        self.0.take().expect("it is taken once")
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            inner.end(Error::closed());
        }
    }
}

/// The way from the watch.
struct Watching(Arc<Inner>);

impl Reader for Watching {
    fn take(&self, news: News) -> bool {
        match news {
            News::Live(_) => lock(&self.0.state).failures = 0,
            News::Changes(batch) => self.0.changed(&batch),
            _ => {}
        }
        true
    }

    fn end(&self, error: Error) {
        let inner = &self.0;
        let next = || Next::of(inner);
        match error.kind() {
            ErrorKind::Canceled => {}
            ErrorKind::Closed => inner.end(error),
            // What it missed, a look at the whole tells.
            ErrorKind::Compacted => {
                let next = next();
                inner.client.defer(move || next.take().read());
            }
            _ if retry::may_pass(&error) => inner.again(error, Inner::follow),
            _ => {
                let next = next();
                inner.client.defer(move || next.take().end(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::store::{Effect, Fault, Store};
    use crate::wait::{Cancel, Mailbox};
    use std::time::Duration;

    type Word = Option<(i64, Vec<u8>)>;

    struct Told(Mailbox<Word>);

    impl Audience for Told {
        fn leader(&self, _: i64, leader: Option<&KeyValue>) {
            self.0.push(leader.map(|kv| (kv.create_revision, kv.value.clone())));
        }

        fn ended(&self, error: Error) {
            self.0.push(Some((0, format!("{:?}", error.kind()).into_bytes())));
        }
    }

    /// An observer of a store that refuses the first reads in this way.
    fn observe_refused(name: &str, times: usize, why: Error) -> (Client, Arc<Store>, Mailbox<Word>) {
        let mut options = Options::new();
        options.set("endpoints", &format!("mem://{name}")).unwrap();
        options.set("retry_limit", "0").unwrap();
        let client = Client::open(options).unwrap();
        let store = Store::open(name);
        store.inject(Fault::new(Effect::Refuse(why)).times(times));
        let told = Mailbox::default();
        Observer::new(&client, b"e", Arc::new(Told(told.clone())));
        (client, store, told)
    }

    fn next(told: &Mailbox<Word>) -> Word {
        told.recv(Deadline::after(Duration::from_secs(10)), Cancel::NEVER).expect("told")
    }

    fn no_leader() -> Error {
        Error::from_server(14, "etcdserver: no leader")
    }

    #[test]
    fn an_observer_whose_first_read_fails_reads_again() {
        let (_client, _store, told) = observe_refused("observed-late", 4, no_leader());
        assert_eq!(next(&told), None, "nobody leads");
    }

    #[test]
    fn an_observer_that_is_not_permitted_to_read_ends() {
        let why = Error::from_server(7, "etcdserver: permission denied");
        let (_client, _store, told) = observe_refused("not-observed", 1, why);
        assert_eq!(next(&told), Some((0, b"PermissionDenied".to_vec())));
    }

    #[test]
    fn an_observer_that_waits_for_its_next_try_ends_with_its_client() {
        for wait in 0..20 {
            let name = format!("observed-in-vain-{wait}");
            let (client, _store, told) = observe_refused(&name, usize::MAX, no_leader());
            std::thread::sleep(Duration::from_millis(5 * wait));
            client.close();
            assert_eq!(next(&told), Some((0, b"Closed".to_vec())));
        }
    }

    #[test]
    fn every_leader_and_value_is_told_once_and_in_order() {
        let mut options = Options::new();
        options.set("endpoints", "mem://").unwrap();
        let client = Client::open(options).unwrap();
        let told = Mailbox::default();
        let observer = Observer::new(&client, b"e", Arc::new(Told(told.clone())));
        let next = || told.recv(Deadline::after(Duration::from_secs(5)), Cancel::NEVER).expect("told");
        assert_eq!(next(), None, "nobody leads");
        let lease = client.grant(60).unwrap().id;
        let one = client.put("e/1", "one", lease).unwrap();
        assert_eq!(next(), Some((one, b"one".to_vec())));
        let two = client.put("e/2", "two", lease).unwrap();
        client.put("e/data", "no place", 0).unwrap();
        client.put("e/1", "another word", lease).unwrap();
        assert_eq!(next(), Some((one, b"another word".to_vec())));
        client.delete(KeyRange::key("e/1")).unwrap();
        assert_eq!(next(), Some((two, b"two".to_vec())));
        client.revoke(lease).unwrap();
        assert_eq!(next(), None);
        observer.cancel();
        assert_eq!(next(), Some((0, b"Canceled".to_vec())));
        assert!(told.recv(Deadline::after(Duration::from_millis(50)), Cancel::NEVER).is_err());
    }
}
