//! A watch that goes on: when its stream breaks, it is opened again behind the last change delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::identity::Seen;
use super::retry;
use super::{Client, LOOK_AROUND};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::{KeyValue, WatchBatch, WatchRequest, WatchSink, quote};
use crate::transport::{Context, WatchStream};
use crate::wait::{Cancel, Deadline, Interrupted, Mailbox};

/// How many bytes of changes may wait for a slow reader. Beyond that its stream is closed, and opened again
/// when all of them are read.
pub(super) const WAITING_BYTES: usize = 8 << 20;

/// Where a watch is, and what must not be forgotten of its past.
#[derive(Clone)]
pub(super) struct Position {
    /// Its start is always the first revision not delivered yet, once that is known.
    pub request: WatchRequest,
    /// A server has confirmed it at least once.
    pub established: bool,
    /// The newest revision that servers told on it, in the history that it began in.
    seen: Seen,
}

impl Position {
    pub fn new(client: &Client, request: WatchRequest) -> Self {
        let seen = Seen { history: client.history(), revision: 0 };
        Position { request, established: false, seen }
    }

    /// Opens a stream behind the last change delivered, and tells on which endpoint.
    pub fn open(
        &self,
        client: &Client,
        context: &Context,
        sink: impl Fn() -> WatchSink,
    ) -> Result<(WatchStream, usize)> {
        self.request.check()?;
        let mut seen = self.seen;
        if self.established {
            seen.revision = seen.revision.max(client.0.identity.revision());
        }
        self.check_history(client)?;
        let (open, endpoint) = client.open_kept_watch(context, &self.request, sink)?;
        if open.header.revision < seen.revision {
            // A member that lags behind, or an older history, in which this watch would wait for ever.
            client.check_history(endpoint, context, &self.request.range, seen)?;
        }
        self.check_history(client)?;
        Ok((open, endpoint))
    }

    /// A server has confirmed it, at this revision.
    pub fn confirmed(&mut self, revision: i64) {
        if self.request.start_revision == 0 {
            self.request.start_revision = revision.saturating_add(1);
        }
        self.seen.revision = self.seen.revision.max(revision);
        self.established = true;
    }

    /// Refuses to go on in another history than its own.
    pub fn check_history(&self, client: &Client) -> Result<()> {
        client.check_same_history(self.seen.history)
    }

    /// Drops what was delivered before (old servers repeat) and moves the start behind the rest.
    pub fn unseen(&mut self, mut batch: WatchBatch) -> Option<WatchBatch> {
        let progress = batch.events.is_empty();
        self.seen.revision = self.seen.revision.max(batch.revision);
        batch.events.retain(|event| event.kv.mod_revision >= self.request.start_revision);
        // A batch without changes says that there were none up to its revision: a watch of quiet keys must
        // not fall behind what a busy store has compacted.
        let last = if progress { batch.revision } else { batch.events.last()?.kv.mod_revision };
        self.request.start_revision = self.request.start_revision.max(last.saturating_add(1));
        (!progress).then_some(batch)
    }

    /// The same error with what was being done, which changes nothing.
    pub fn explained(&self, error: Error) -> Error {
        let error = error.outcome_is(Outcome::NotSent);
        error.during(format!("watch {}", quote(&self.request.range.start)))
    }
}

/// Changes of a range of keys, each once and in order, whatever happens to connections and servers.
/// A reader that comes too late is told (`Compacted`); nothing is left out silently.
pub struct Watcher {
    client: Client,
    position: Position,
    stream: Option<Stream>,
    /// The cluster's history is not the one any more that it began with.
    ended: Option<Error>,
    /// How many streams in a row ended without a change.
    barren_streams: u32,
}

struct Stream {
    items: Mailbox<Result<WatchBatch>>,
    waiting_bytes: Arc<AtomicUsize>,
    endpoint: usize,
    /// Whoever reads need not ask whether the server is still there.
    finds_silence: bool,
    _open: WatchStream,
}

impl Watcher {
    pub(super) fn new(client: Client, request: WatchRequest) -> Self {
        let position = Position::new(&client, request);
        Watcher { client, position, stream: None, ended: None, barren_streams: 0 }
    }

    /// Waits until a server has confirmed the watch, and tells from which revision on it sees every change.
    /// Without this, that happens with the first [`Watcher::next`].
    ///
    /// # Errors
    /// As [`Watcher::next`].
    pub fn open(&mut self, deadline: Deadline, cancel: &Cancel) -> Result<i64> {
        self.unless_ended(|watcher| {
            if watcher.stream.is_none() {
                watcher.connect(deadline, cancel)?;
            }
            Ok(watcher.position.request.start_revision)
        })
    }

    /// Does a step of the watch, unless it has ended for good.
    fn unless_ended<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        step(self).map_err(|error| {
            let error = self.position.explained(error);
            if error.kind() == ErrorKind::OtherCluster {
                (self.ended, self.stream) = (Some(error.clone()), None);
            }
            error
        })
    }

    /// Waits for the next changes. A batch is never empty and never a part of one revision only.
    ///
    /// # Errors
    /// `Timeout` and `Closed` (deadline, cancel) leave the watch in place. A watch that no server could
    /// confirm yet fails within the client's request timeout; one that was confirmed goes on through any
    /// outage. `Compacted`, `PermissionDenied` and the like are told each time. `OtherCluster` ends it: the
    /// cluster was replaced, or its history went back.
    pub fn next(&mut self, deadline: Deadline, cancel: &Cancel) -> Result<WatchBatch> {
        self.unless_ended(|watcher| watcher.next_batch(deadline, cancel))
    }

    fn next_batch(&mut self, deadline: Deadline, cancel: &Cancel) -> Result<WatchBatch> {
        loop {
            if self.stream.is_none() {
                self.connect(deadline, cancel)?;
            }
            let Some(stream) = &self.stream else { continue };
            let look_around = if stream.finds_silence { deadline } else { deadline.or_after(LOOK_AROUND) };
            match stream.items.recv(look_around, cancel) {
                Ok(Ok(batch)) => {
                    stream.waiting_bytes.fetch_sub(size_of_batch(&batch), Ordering::Relaxed);
                    if let Some(batch) = self.position.unseen(batch) {
                        self.barren_streams = 0;
                        return Ok(batch);
                    }
                }
                Ok(Err(error)) => {
                    self.client.avoid_broken(stream.endpoint, &error);
                    self.stream = None;
                    if !retry::may_pass(&error) {
                        return Err(error);
                    }
                    // A server that ends streams as soon as they are open must not keep us busy.
                    if self.barren_streams > 0 {
                        retry::pause(self.barren_streams, deadline, cancel);
                    }
                    self.barren_streams += 1;
                }
                Err(Interrupted::Canceled) => return Err(Error::closed()),
                Err(Interrupted::Timeout) if deadline.passed() => {
                    return Err(no_change_in_time());
                }
                Err(Interrupted::Timeout) => self.look_around(deadline, cancel),
            }
        }
    }

    /// Nothing came for a while: a server that does not answer either is left for another one.
    fn look_around(&mut self, deadline: Deadline, cancel: &Cancel) {
        let Some(stream) = &self.stream else { return };
        if !self.client.answers(stream.endpoint, deadline, cancel) {
            self.client.avoid(stream.endpoint);
            self.stream = None;
        }
    }

    fn connect(&mut self, deadline: Deadline, cancel: &Cancel) -> Result<()> {
        self.position.request.check()?;
        let client = self.client.clone();
        if !self.position.established {
            return self.connect_once(&client.context_for(deadline, cancel));
        }
        // Many watches of a client whose servers are gone ask for them one at a time.
        let mut turn = client.0.recovery.turn(deadline, cancel);
        loop {
            if cancel.is_triggered() {
                return Err(Error::closed());
            }
            let once = Context { retry_limit: 0, ..client.context_for(deadline, cancel) };
            match self.connect_once(&once) {
                Ok(()) => {
                    turn.succeeded();
                    return Ok(());
                }
                Err(error) if !retry::may_pass(&error) => {
                    turn.succeeded();
                    return Err(error);
                }
                // Only the caller's time is over: the watch goes on, whatever ails the servers.
                Err(error) if deadline.passed() => {
                    let endpoint = error.endpoint().unwrap_or("no endpoint").to_owned();
                    return Err(no_change_in_time().also(error.fault()).at(endpoint));
                }
                Err(_) => turn = turn.failed(deadline, cancel),
            }
        }
    }

    fn connect_once(&mut self, context: &Context) -> Result<()> {
        let items = Mailbox::default();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let sink = || limited_sink(items.clone(), waiting_bytes.clone());
        let (open, endpoint) = self.position.open(&self.client, context, sink)?;
        self.position.confirmed(open.header.revision);
        let finds_silence = self.client.0.endpoints.at(endpoint).transport.finds_silence();
        self.stream = Some(Stream { items, waiting_bytes, endpoint, finds_silence, _open: open });
        Ok(())
    }
}

fn no_change_in_time() -> Error {
    Error::new(ErrorKind::Timeout, "no change in time")
}

/// Fills a mailbox up to the limit. The item that does not fit is not lost: it comes again with the next
/// stream, which starts behind the last one delivered.
fn limited_sink(items: Mailbox<Result<WatchBatch>>, waiting: Arc<AtomicUsize>) -> WatchSink {
    Box::new(move |item| {
        let size = item.as_ref().map_or(0, size_of_batch);
        let before = waiting.fetch_add(size, Ordering::Relaxed);
        let fits = before == 0 || before + size <= WAITING_BYTES;
        if fits {
            items.push(item);
        } else {
            // Of a kind that does not speak against the endpoint.
            items.push(Err(Error::new(ErrorKind::TooManyRequests, "the reader is slow")));
        }
        fits
    })
}

pub(super) fn size_of_batch(batch: &WatchBatch) -> usize {
    let size = |kv: &KeyValue| kv.key.len() + kv.value.len() + size_of_val(kv);
    batch.events.iter().map(|event| size(&event.kv) + event.prev_kv.as_ref().map_or(0, size)).sum()
}
