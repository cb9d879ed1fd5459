//! Watches whose changes are pushed to a reader instead of being waited for. No thread waits for one: streams are opened
//! by [`Openings`], and what comes on them is handed on by the transport's own thread.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::clock::Time;
use super::retry;
use super::watch::{Position, WAITING_BYTES, size_of_batch};
use super::{Client, LOOK_AROUND};
use crate::error::{Error, ErrorKind, Result};
use crate::log;
use crate::model::{Event, EventKind, KeyValue, RangeRequest, WatchBatch, WatchRequest, WatchSink, quote};
use crate::sys;
use crate::transport::{Context, WatchStream};
use crate::wait::{Cancel, Deadline, lock};

/// What a reader is told.
#[derive(Debug, Clone)]
pub enum News {
    /// A server has confirmed the watch: from this revision on every change is told.
    Live(i64),
    /// Its stream broke, for this reason; it is being opened again behind the last change told.
    Resuming(Error),
    /// The reader is slow: the stream was closed, and is opened again when there is room.
    Parked,
    /// What came next is compacted; the oldest revision that is kept, 0 where no server told it. The end follows,
    /// or what has changed since, as one batch.
    Compacted(i64),
    /// The cluster was replaced, or its history went back. The end follows.
    Reset,
    /// Changes of one revision.
    Changes(WatchBatch),
    /// All that has changed since the last change told, as one batch: it was compacted.
    Resynced(WatchBatch),
    /// There were no changes up to this revision.
    Progress(i64),
}

/// Where news go, in order, on any thread. It never blocks and never calls back.
pub trait Reader: Send + Sync {
    /// Takes news. `false`: there is no room for changes now; the watch is to be parked, and these changes come
    /// again when it goes on. All other news always fit.
    fn take(&self, news: News) -> bool;
    /// It is over; the last word.
    fn end(&self, error: Error);
}

/// How a watch is to behave beyond what servers know of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchMode {
    /// Tell of progress, too.
    pub progress: bool,
    /// After a compaction, tell what has changed instead of ending. Keeps all keys of the range in memory.
    pub resync: bool,
}

/// A watch; its reader is told until it is over. Dropping this changes nothing.
#[derive(Clone)]
pub struct PushedWatch(Arc<Pushed>);

struct Pushed {
    key: u64,
    client: Client,
    reader: Arc<dyn Reader>,
    mode: WatchMode,
    /// By when a server must have confirmed it for the first time.
    confirm_by: Deadline,
    /// Ends its opening.
    cancel: Cancel,
    state: Mutex<State>,
}

struct State {
    position: Position,
    stage: Stage,
    /// How many times a stream was opened: what comes on an earlier one comes too late.
    opening: u64,
    stream: Option<WatchStream>,
    /// Where the stream is.
    endpoint: usize,
    /// Goes off when no server has confirmed it in time.
    timer: Option<Time>,
    /// With resync: the keys that the reader knows, and when each was last changed.
    #[allow(clippy::box_collection, reason = "most watches have none, and there may be many watches")]
    known: Option<Box<BTreeMap<Vec<u8>, i64>>>,
    /// With resync: that changes were compacted was told, but not yet what has changed since.
    behind: bool,
    /// How many streams in a row ended without a change.
    barren_streams: u32,
}

enum Stage {
    /// A stream is to be opened; what comes on it is held until it is known to be right.
    Opening(Held),
    Live,
    /// The stream has ended, for this reason.
    Broken(Error),
    Parked,
    Over,
}

/// What came on a stream that is being opened.
#[derive(Default)]
struct Held {
    batches: Vec<WatchBatch>,
    bytes: usize,
    /// There was more: the stream was closed.
    cut: bool,
}

impl Client {
    /// Begins to watch. Until `confirm_by` a server must have confirmed the watch; without a deadline the option's
    /// timeout counts.
    pub fn push_watch(
        &self,
        request: WatchRequest,
        mode: WatchMode,
        confirm_by: Deadline,
        reader: Arc<dyn Reader>,
    ) -> PushedWatch {
        let confirm_by = match confirm_by {
            Deadline::NEVER => Deadline::after(self.options().request_timeout),
            confirm_by => confirm_by,
        };
        let state = State {
            position: Position::new(self, request),
            stage: Stage::Opening(Held::default()),
            opening: 0,
            stream: None,
            endpoint: 0,
            timer: None,
            known: None,
            behind: false,
            barren_streams: 0,
        };
        let openings = &self.0.openings;
        let (key, client, state) = (openings.next_key(), self.clone(), Mutex::new(state));
        let pushed = Arc::new(Pushed { key, client, reader, mode, confirm_by, cancel: Cancel::new(), state });
        lock(&openings.0).all.insert(key, pushed.clone());
        pushed.set_timer();
        if self.closed().is_triggered() {
            pushed.end(Error::closed());
        }
        pushed.open_soon();
        PushedWatch(pushed)
    }
}

impl PushedWatch {
    /// Ends the watch.
    pub fn cancel(&self) {
        self.0.end(Error::canceled());
    }

    /// The same from within a reader: soon, on another thread.
    pub(crate) fn cancel_later(self) {
        let client = self.0.client.clone();
        client.defer(move || self.cancel());
    }

    /// There is room again: goes on, if it was parked.
    pub fn go_on(&self) {
        if matches!(lock(&self.0.state).stage, Stage::Parked) {
            self.0.open_soon();
        }
    }
}

impl Pushed {
    fn set_timer(self: &Arc<Self>) {
        let Some(at) = self.confirm_by.at() else { return };
        let pushed = self.clone();
        let timer = self.client.0.clock.set(at, Box::new(move || pushed.not_confirmed()));
        lock(&self.state).timer = timer.ok();
    }

    fn not_confirmed(&self) {
        if !lock(&self.state).position.established {
            let error = Error::new(ErrorKind::Timeout, "no server has confirmed the watch in time");
            self.end(error);
        }
    }

    fn end(&self, error: Error) {
        let mut state = lock(&self.state);
        if matches!(state.stage, Stage::Over) {
            return;
        }
        state.stage = Stage::Over;
        let (stream, timer) = (state.stream.take(), state.timer.take());
        // Told under the lock, so that nothing comes after it.
        if error.kind() == ErrorKind::OtherCluster {
            self.reader.take(News::Reset);
        }
        self.reader.end(state.position.explained(error));
        drop(state);
        self.cancel.trigger();
        timer.into_iter().for_each(|timer| self.client.0.clock.unset(timer));
        let this = lock(&self.client.0.openings.0).all.remove(&self.key);
        drop((stream, this));
    }

    /// Opens a stream as soon as a thread can.
    fn open_soon(self: &Arc<Self>) {
        if let Err(error) = self.client.0.openings.add(self) {
            self.end(error);
        }
    }

    /// What a transport hands its items to. It must not drop the stream, which is locked then.
    fn sink(self: &Arc<Self>, opening: u64) -> WatchSink {
        let pushed = self.clone();
        Box::new(move |item| match item {
            Ok(batch) => pushed.take(opening, batch),
            Err(error) => {
                pushed.broken(opening, error);
                false
            }
        })
    }

    /// `false`: the stream is to end.
    fn take(&self, opening: u64, batch: WatchBatch) -> bool {
        let mut state = lock(&self.state);
        if state.opening != opening {
            return false;
        }
        match &mut state.stage {
            Stage::Opening(held) => {
                held.bytes += size_of_batch(&batch);
                held.cut |= !held.batches.is_empty() && held.bytes > WAITING_BYTES;
                if !held.cut {
                    held.batches.push(batch);
                }
                !held.cut
            }
            Stage::Live => self.tell(&mut state, batch),
            Stage::Broken(_) | Stage::Parked | Stage::Over => false,
        }
    }

    /// Tells the reader of a batch, a revision at a time. `false`: it is parked now.
    fn tell(&self, state: &mut State, batch: WatchBatch) -> bool {
        let revision = batch.revision;
        if batch.events.is_empty() {
            state.position.unseen(batch);
            if self.mode.progress {
                self.reader.take(News::Progress(revision));
            }
            return true;
        }
        let mut events = batch.events.into_iter().peekable();
        while let Some(first) = events.next() {
            let now = first.kv.mod_revision;
            let mut one = vec![first];
            while let Some(event) = events.next_if(|event| event.kv.mod_revision == now) {
                one.push(event);
            }
            let Some(one) = state.position.unseen(WatchBatch { revision, events: one }) else { continue };
            state.barren_streams = 0;
            let learned = state.known.as_ref().map(|_| keys_of(&one.events));
            if !self.reader.take(News::Changes(one)) {
                // It comes again.
                state.position.request.start_revision = now;
                state.stage = Stage::Parked;
                self.client.0.counters.watches_parked.add();
                log::debug!(
                    "watch {}: parked, its reader is slow",
                    quote(&state.position.request.range.start)
                );
                self.reader.take(News::Parked);
                return false;
            }
            // Only what was told is known: what comes next may be compacted by then.
            if let (Some(known), Some(learned)) = (&mut state.known, learned) {
                learn(known, learned);
            }
        }
        true
    }

    /// The stream has ended. It is dropped when the next one is opened.
    fn broken(self: &Arc<Self>, opening: u64, error: Error) {
        let mut state = lock(&self.state);
        if state.opening != opening {
            return;
        }
        match &state.stage {
            Stage::Live => {}
            // Whoever opens it sees to the rest.
            Stage::Opening(_) => return state.stage = Stage::Broken(error),
            Stage::Broken(_) | Stage::Parked | Stage::Over => return,
        }
        self.client.avoid_broken(state.endpoint, &error);
        if retry::may_pass(&error) {
            self.client.0.counters.watches_resumed.add();
            let error = state.position.explained(error.clone());
            log::warning!("{error}; it goes on");
            self.reader.take(News::Resuming(error));
        }
        state.stage = Stage::Broken(error);
        let barren = state.barren_streams;
        state.barren_streams += 1;
        drop(state);
        if barren == 0 {
            return self.open_soon();
        }
        // A server that ends streams as soon as they are open must not keep us busy.
        let at = Instant::now() + retry::backoff(barren, sys::random_id() as u64);
        let pushed = self.clone();
        if let Err(error) = self.client.0.clock.set(at, Box::new(move || pushed.open_soon())) {
            self.end(error);
        }
    }

    /// Opens a stream. `false`: that failed for now.
    fn open(self: &Arc<Self>) -> bool {
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut state.stage, Stage::Opening(Held::default()));
        let old = state.stream.take();
        match before {
            Stage::Over => state.stage = Stage::Over,
            Stage::Broken(error) if !retry::may_pass(&error) => {
                drop((state, old));
                return self.failed(error);
            }
            _ => {}
        }
        if matches!(state.stage, Stage::Over) {
            return true;
        }
        state.opening += 1;
        let (opening, position, behind) = (state.opening, state.position.clone(), state.behind);
        drop((state, old));
        if behind {
            return self.resync();
        }
        let opened = self.learn_first(&position).and_then(|()| {
            let position = lock(&self.state).position.clone();
            position.open(&self.client, &self.context(&position), || self.sink(opening))
        });
        match opened {
            Ok((stream, endpoint)) => self.opened(opening, stream, endpoint),
            Err(error) => self.failed(error),
        }
    }

    /// How long the opening may take: once it was confirmed, another endpoint is better than a long wait.
    fn context(&self, position: &Position) -> Context<'_> {
        if position.established {
            Context { retry_limit: 0, ..self.client.context_for(Deadline::NEVER, &self.cancel) }
        } else {
            self.client.context_for(self.confirm_by, &self.cancel)
        }
    }

    fn opened(self: &Arc<Self>, opening: u64, stream: WatchStream, endpoint: usize) -> bool {
        let mut state = lock(&self.state);
        if state.opening != opening {
            // It is being opened once more.
            drop(state);
            drop(stream);
            return true;
        }
        let held = match std::mem::replace(&mut state.stage, Stage::Live) {
            Stage::Opening(held) => held,
            Stage::Broken(error) => {
                drop(state);
                drop(stream);
                return self.failed(error);
            }
            before => {
                state.stage = before;
                drop(state);
                drop(stream);
                return true;
            }
        };
        state.position.confirmed(stream.header.revision);
        let timer = state.timer.take();
        (state.stream, state.endpoint) = (Some(stream), endpoint);
        self.reader.take(News::Live(state.position.request.start_revision));
        let goes_on = held.batches.into_iter().all(|batch| self.tell(&mut state, batch));
        drop(state);
        timer.into_iter().for_each(|timer| self.client.0.clock.unset(timer));
        if goes_on && held.cut {
            self.open_soon();
        }
        if !self.client.0.endpoints.at(endpoint).transport.finds_silence() {
            self.client.0.openings.look_around_later(&self.client);
        }
        true
    }

    /// `false`: it can be tried again.
    fn failed(self: &Arc<Self>, error: Error) -> bool {
        let mut state = lock(&self.state);
        if matches!(state.stage, Stage::Over) {
            return true;
        }
        // What came, or still comes, on a stream that failed tells nothing more.
        state.stage = Stage::Opening(Held::default());
        state.opening += 1;
        if state.position.established && retry::may_pass(&error) {
            return false;
        }
        if error.kind() == ErrorKind::Compacted {
            self.reader.take(News::Compacted(error.compact_revision().unwrap_or(0)));
            state.behind = self.mode.resync;
        }
        let behind = state.behind;
        drop(state);
        if behind {
            return self.resync();
        }
        self.end(error);
        true
    }

    /// With resync: reads which keys there are before the first change.
    fn learn_first(&self, position: &Position) -> Result<()> {
        if !self.mode.resync || position.established || lock(&self.state).known.is_some() {
            return Ok(());
        }
        let start = position.request.start_revision;
        let keys = RangeRequest {
            revision: (start - 1).max(0),
            keys_only: true,
            ..RangeRequest::new(position.request.range.clone())
        };
        let (revision, found) = match (start, self.client.range_for_itself(&self.context(position), keys)) {
            // There was nothing before the first revision.
            (1, _) => (1, Vec::new()),
            (_, Ok((revision, found))) => (revision, found.kvs),
            (_, Err(error)) => {
                let context = self.context(position);
                return Err(self.client.told_oldest(&context, &position.request.range, error));
            }
        };
        let mut state = lock(&self.state);
        state.known = Some(Box::new(found.into_iter().map(|kv| (kv.key, kv.mod_revision)).collect()));
        if start == 0 {
            state.position.request.start_revision = revision + 1;
        }
        Ok(())
    }

    /// Tells what has changed since, and goes on behind it. `false`: it can be tried again.
    fn resync(self: &Arc<Self>) -> bool {
        let position = lock(&self.state).position.clone();
        let range = RangeRequest::new(position.request.range.clone());
        let context = self.client.context_for(Deadline::NEVER, &self.cancel);
        let found = self.client.range_for_itself(&context, range);
        // Also one that was read in another history than the watch's.
        let (revision, found) = match position.check_history(&self.client).and(found) {
            Ok(found) => found,
            Err(error) if retry::may_pass(&error) => return false,
            Err(error) => {
                self.end(error);
                return true;
            }
        };
        let mut state = lock(&self.state);
        if matches!(state.stage, Stage::Over) {
            return true;
        }
        state.behind = false;
        let events = difference(*state.known.take().unwrap_or_default(), &found.kvs, revision);
        state.known = Some(Box::new(found.kvs.into_iter().map(|kv| (kv.key, kv.mod_revision)).collect()));
        let wanted = |event: &Event| position.request.wants(event.kind);
        let events: Vec<Event> = events.into_iter().filter(wanted).collect();
        state.position.request.start_revision = revision + 1;
        if !events.is_empty() && !self.reader.take(News::Resynced(WatchBatch { revision, events })) {
            unreachable!("it always fits");
        }
        drop(state);
        self.open_soon();
        true
    }
}

/// What has changed for somebody who knew these keys, at these revisions.
fn difference(mut known: BTreeMap<Vec<u8>, i64>, found: &[KeyValue], revision: i64) -> Vec<Event> {
    let is_new = |kv: &&KeyValue| known.remove(&kv.key).is_none_or(|before| kv.mod_revision > before);
    let put = |kv: &KeyValue| Event { kind: EventKind::Put, kv: kv.clone(), prev_kv: None };
    let mut events: Vec<Event> = found.iter().filter(is_new).map(put).collect();
    events.sort_by_key(|event| event.kv.mod_revision);
    let gone = known.into_keys().map(|key| KeyValue { key, mod_revision: revision, ..KeyValue::default() });
    events.extend(gone.map(|kv| Event { kind: EventKind::Delete, kv, prev_kv: None }));
    events
}

/// What changes say of keys: when they were put, if they were not deleted.
fn keys_of(events: &[Event]) -> Vec<(Vec<u8>, Option<i64>)> {
    let put = |event: &Event| (event.kind == EventKind::Put).then_some(event.kv.mod_revision);
    events.iter().map(|event| (event.kv.key.clone(), put(event))).collect()
}

/// What is known after these changes.
fn learn(known: &mut BTreeMap<Vec<u8>, i64>, learned: Vec<(Vec<u8>, Option<i64>)>) {
    for (key, put) in learned {
        match put {
            Some(revision) => known.insert(key, revision),
            None => known.remove(&key),
        };
    }
}

/// The watches of a client, and those whose streams are to be opened: by one thread while servers can't be reached, which
/// tries when it is its turn (`recovery.rs`), by a few when there is much to do.
#[derive(Default)]
pub(super) struct Openings(Mutex<Line>);

#[derive(Default)]
struct Line {
    all: HashMap<u64, Arc<Pushed>>,
    last_key: u64,
    waiting: VecDeque<Arc<Pushed>>,
    workers: usize,
    /// An alarm is set to look whether servers are still there.
    looks_around: bool,
}

/// How many threads open streams at most, and how many streams make another one worth while.
const WORKERS: usize = 8;
const FOR_A_WORKER: usize = 16;

impl Openings {
    fn next_key(&self) -> u64 {
        let mut line = lock(&self.0);
        line.last_key += 1;
        line.last_key
    }

    /// How many watches there are.
    pub fn len(&self) -> usize {
        lock(&self.0).all.len()
    }

    /// Ends all watches.
    pub fn close(&self) {
        let all: Vec<Arc<Pushed>> = lock(&self.0).all.values().cloned().collect();
        all.iter().for_each(|pushed| pushed.end(Error::closed()));
    }

    fn add(&self, pushed: &Arc<Pushed>) -> Result<()> {
        let is_well = pushed.client.0.recovery.is_well();
        let mut line = lock(&self.0);
        line.waiting.push_back(pushed.clone());
        let much = is_well && line.workers < WORKERS && line.waiting.len() > line.workers * FOR_A_WORKER;
        if line.workers > 0 && !much {
            return Ok(());
        }
        line.workers += 1;
        drop(line);
        let client = pushed.client.clone();
        let started = pushed.client.0.pool.run(Box::new(move || client.0.openings.work(&client)));
        if started.is_err() {
            lock(&self.0).workers -= 1;
        }
        started
    }

    fn work(&self, client: &Client) {
        let recovery = &client.0.recovery;
        let mut turn = None;
        loop {
            let is_well = recovery.is_well();
            let mut line = lock(&self.0);
            let one_is_enough = !is_well && line.workers > 1;
            let next = if one_is_enough { None } else { line.waiting.pop_front() };
            let Some(pushed) = next else {
                line.workers -= 1;
                return;
            };
            drop(line);
            let mine = turn.take().unwrap_or_else(|| recovery.turn(Deadline::NEVER, client.closed()));
            if pushed.open() {
                mine.succeeded();
            } else {
                lock(&self.0).waiting.push_back(pushed);
                turn = Some(mine.failed(Deadline::NEVER, client.closed()));
            }
        }
    }

    /// Sets the alarm, unless it is set.
    fn look_around_later(&self, client: &Client) {
        let mut line = lock(&self.0);
        if std::mem::replace(&mut line.looks_around, true) {
            return;
        }
        drop(line);
        let looker = client.clone();
        let look = move || {
            let client = looker.clone();
            let _ = looker.0.pool.run(Box::new(move || client.0.openings.look_around(&client)));
        };
        let _ = client.0.clock.set(Instant::now() + LOOK_AROUND, Box::new(look));
    }

    /// Leaves the endpoints that do not answer any more and that nobody else finds out of.
    fn look_around(&self, client: &Client) {
        let all: Vec<Arc<Pushed>> = {
            let mut line = lock(&self.0);
            line.looks_around = false;
            line.all.values().cloned().collect()
        };
        let mut by_endpoint: BTreeMap<usize, Vec<(u64, Arc<Pushed>)>> = BTreeMap::new();
        for pushed in all {
            let state = lock(&pushed.state);
            let (opening, endpoint) = (state.opening, state.endpoint);
            let is_live = matches!(state.stage, Stage::Live);
            drop(state);
            if is_live && !client.0.endpoints.at(endpoint).transport.finds_silence() {
                by_endpoint.entry(endpoint).or_default().push((opening, pushed));
            }
        }
        for (&endpoint, watches) in &by_endpoint {
            if !client.answers(endpoint, Deadline::NEVER, client.closed()) {
                client.avoid(endpoint);
                let silent = Error::new(ErrorKind::Unavailable, "the server has fallen silent");
                watches.iter().for_each(|(opening, pushed)| pushed.broken(*opening, silent.clone()));
            }
        }
        if !by_endpoint.is_empty() {
            self.look_around_later(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_what_is_new_changed_or_gone() {
        let kv = |key: &str, mod_revision| KeyValue { key: key.into(), mod_revision, ..KeyValue::default() };
        let known = [("same", 3), ("changed", 4), ("gone", 5)].map(|(key, at)| (key.into(), at)).into();
        let found = [kv("changed", 9), kv("new", 8), kv("same", 3)];
        let events = difference(known, &found, 10);
        let told: Vec<_> = events
            .iter()
            .map(|event| (event.kind, String::from_utf8_lossy(&event.kv.key), event.kv.mod_revision))
            .collect();
        use EventKind::{Delete, Put};
        assert_eq!(told, [(Put, "new".into(), 8), (Put, "changed".into(), 9), (Delete, "gone".into(), 10)]);
    }
}
