//! Watches: past changes first, then new ones as they happen, a batch a revision.

use std::collections::HashMap;
use std::sync::Mutex;

use super::history::{Change, History, is_compacted};
use crate::error::Error;
use crate::model::*;

/// The open watches of a store.
#[derive(Default)]
pub struct Watches {
    open: HashMap<u64, Watch>,
    last_id: u64,
}

struct Watch {
    request: WatchRequest,
    /// Called by writers alone, so that nobody ever waits for the lock: it lets readers share the store.
    sink: Mutex<WatchSink>,
    /// It got something since the last round of progress, and needs no sign of life.
    told: bool,
}

impl Watches {
    /// Opens a watch, if its sink wants more than the past, and tells its id.
    pub fn open(&mut self, request: &WatchRequest, mut sink: WatchSink, history: &History) -> u64 {
        self.last_id += 1;
        match past(request, history) {
            Ok(events) => {
                let told = !events.is_empty();
                if !told || sink(Ok(WatchBatch { revision: history.revision, events })) {
                    let watch = Watch { request: request.clone(), sink: Mutex::new(sink), told };
                    self.open.insert(self.last_id, watch);
                }
            }
            Err(error) => drop(sink(Err(error))),
        }
        self.last_id
    }

    /// Hands the sink back, to be dropped when no lock is held any more.
    pub fn close(&mut self, id: u64) -> Option<Mutex<WatchSink>> {
        self.open.remove(&id).map(|watch| watch.sink)
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Hands one revision's changes to all who want them.
    pub fn publish<'a>(&mut self, revision: i64, changes: impl Iterator<Item = &'a Change> + Clone) {
        self.open.retain(|_, watch| {
            let events = events(&watch.request, changes.clone());
            watch.told |= !events.is_empty();
            events.is_empty() || watch.give(Ok(WatchBatch { revision, events }))
        });
    }

    /// Tells those who got nothing for a while that there was nothing.
    pub fn tell_progress(&mut self, revision: i64) {
        self.open.retain(|_, watch| {
            let told = std::mem::take(&mut watch.told);
            told || watch.give(Ok(WatchBatch { revision, events: Vec::new() }))
        });
    }

    /// Ends all watches.
    pub fn end_all(&mut self, error: &Error) {
        self.open.drain().for_each(|(_, mut watch)| {
            watch.give(Err(error.clone()));
        });
    }
}

impl Watch {
    fn give(&mut self, item: Result<WatchBatch, Error>) -> bool {
        self.sink.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())(item)
    }
}

/// What a new watch missed.
fn past(request: &WatchRequest, history: &History) -> Result<Vec<Event>, Error> {
    let start = request.start_revision;
    if start == 0 || start > history.revision {
        return Ok(Vec::new());
    }
    if start < history.compacted {
        return Err(is_compacted().compacted_at(history.compacted));
    }
    let mut events = events(request, history.since(start));
    for event in &mut events {
        // What was before the oldest revision kept is gone.
        if event.kv.mod_revision <= history.compacted {
            event.prev_kv = None;
        }
    }
    Ok(events)
}

fn events<'a>(request: &WatchRequest, changes: impl Iterator<Item = &'a Change> + Clone) -> Vec<Event> {
    let wanted = |change: &&'a Change| {
        change.kv.mod_revision >= request.start_revision
            && request.range.contains(&change.kv.key)
            && request.wants(change.kind())
    };
    let event = |change: &'a Change| Event {
        kind: change.kind(),
        kv: KeyValue::clone(&change.kv),
        prev_kv: if request.prev_kv { before_revision(change, changes.clone()) } else { None },
    };
    changes.clone().filter(wanted).map(event).collect()
}

/// The key as it was before the revision of a change. A new key has nothing before it, even when the same
/// revision deleted another incarnation.
fn before_revision<'a>(
    change: &'a Change,
    mut changes: impl Iterator<Item = &'a Change>,
) -> Option<KeyValue> {
    let revision = change.kv.mod_revision;
    if change.kv.create_revision == revision {
        return None;
    }
    let in_revision = |before: &&KeyValue| before.mod_revision < revision;
    let before = change.before.as_deref();
    // Changed twice in one revision: what counts is before the first time.
    let mut first =
        || changes.find(|other| other.kv.mod_revision == revision && other.kv.key == change.kv.key);
    before.filter(in_revision).or_else(|| first().and_then(|first| first.before.as_deref())).cloned()
}
