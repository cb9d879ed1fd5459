//! `etcd_watch` gives one change a call. Between the calls of a loop its stream stays open, and what came
//! with it is kept, so that a loop sees every change once and in order.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::{Session, below};
use crate::client::Watcher;
use crate::error::Result;
use crate::model::{Event, EventKind, KeyRange, WatchRequest};
use crate::sys;
use crate::wait::{Deadline, lock};

/// How many loops of one session keep their streams between calls; the one idle longest gives way.
const KEPT: usize = 16;

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// Its new value; `None` when it was deleted or its time was over.
    pub value: Option<Vec<u8>>,
    /// The revision of the change.
    pub index: i64,
}

/// The loops that are between two calls, the one used last at the end.
#[derive(Default)]
pub struct Cursors(Mutex<Vec<Cursor>>);

/// Where one loop is.
struct Cursor {
    key: Vec<u8>,
    /// The thread that the loop ran in last.
    thread: usize,
    watcher: Watcher,
    /// Changes that came with the last one and were not handed out yet.
    rest: VecDeque<Event>,
    /// The index to ask with to go on here.
    next_index: i64,
}

impl Session {
    /// Waits for a change of `key` or of anything below it: from revision `index` on, or, with `None`, from
    /// now on. The next call asks with the change's index + 1; when several changes share one revision, that
    /// gives the others first.
    ///
    /// # Errors
    /// `Timeout`, `Closed`; `Compacted` when the changes from `index` on are not kept any more; an
    /// unreachable server at the first call, while later ones go on through any outage.
    pub fn watch(&self, key: &[u8], index: Option<i64>, deadline: Deadline) -> Result<Change> {
        let key = self.key(key)?;
        let start = index.unwrap_or(0);
        let kept = if start > 0 { self.cursors.take(&key, start) } else { None };
        let mut cursor = kept.unwrap_or_else(|| self.cursor(key, start));
        let change = cursor.next(self, deadline);
        if cursor.next_index > 0 {
            self.cursors.keep(cursor);
        }
        change
    }

    fn cursor(&self, key: Vec<u8>, start: i64) -> Cursor {
        // From the key itself to the end of what is below it; what lies in between is sorted out.
        let end = KeyRange::prefix(below(&key)).end;
        let range = KeyRange { start: key.clone(), end };
        let watcher = self.client.watch(WatchRequest::new(range, start));
        Cursor { key, thread: sys::thread_id(), watcher, rest: VecDeque::new(), next_index: start }
    }
}

impl Cursor {
    fn next(&mut self, session: &Session, deadline: Deadline) -> Result<Change> {
        loop {
            if let Some(event) = self.rest.pop_front() {
                self.next_index = event.kv.mod_revision.saturating_add(1);
                return Ok(change(event));
            }
            let batch = self.watcher.next(deadline, session.client.closed())?;
            let below = below(&self.key);
            let wanted = |event: &Event| event.kv.key == self.key || event.kv.key.starts_with(&below);
            self.rest = batch.events.into_iter().filter(wanted).collect();
        }
    }
}

fn change(event: Event) -> Change {
    Change {
        index: event.kv.mod_revision,
        value: (event.kind == EventKind::Put).then_some(event.kv.value),
        key: event.kv.key,
    }
}

impl Cursors {
    /// The cursor of the loop that asks. Two loops may be at the same index, one of them in the middle of a
    /// revision: each thread gets its own. A loop that moves between threads gets the one with changes left.
    fn take(&self, key: &[u8], next_index: i64) -> Option<Cursor> {
        let thread = sys::thread_id();
        let mut cursors = lock(&self.0);
        let here = |cursor: &Cursor| cursor.key == key && cursor.next_index == next_index;
        let fit = |cursor: &Cursor| (cursor.thread == thread, !cursor.rest.is_empty());
        let candidates = (0..cursors.len()).filter(|&position| here(&cursors[position]));
        let position = candidates.max_by_key(|&position| fit(&cursors[position]))?;
        Some(Cursor { thread, ..cursors.remove(position) })
    }

    fn keep(&self, cursor: Cursor) {
        let mut cursors = lock(&self.0);
        cursors.push(cursor);
        let idle_longest = (cursors.len() > KEPT).then(|| cursors.remove(0));
        drop(cursors);
        // Ending its stream takes a moment; not under the lock.
        drop(idle_longest);
    }
}
