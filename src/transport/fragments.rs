//! What watches of every wire format share: answers that come in fragments, and why servers end a watch.

use crate::error::Error;
use crate::model::{Event, WatchBatch};

/// Puts the fragments of one watch together, so that a revision is handed on whole.
#[derive(Debug, Default)]
pub struct Fragments {
    /// The changes of a revision that may go on in the next fragment.
    rest: Vec<Event>,
}

impl Fragments {
    /// What can be handed on now, with what was kept back before: all, or where a continuation follows, all but
    /// the last revision. `None`: nothing yet.
    pub fn whole_revisions(&mut self, mut batch: WatchBatch, fragment: bool) -> Option<WatchBatch> {
        let mut events = std::mem::take(&mut self.rest);
        events.append(&mut batch.events);
        if fragment && let Some(last) = events.last() {
            let revision = last.kv.mod_revision;
            let whole = events.partition_point(|event| event.kv.mod_revision < revision);
            self.rest = events.split_off(whole);
        }
        // Without changes it is a sign of progress, unless something of its answer is to come.
        let complete = !events.is_empty() || !fragment;
        complete.then_some(WatchBatch { events, ..batch })
    }
}

/// Why a watch was ended: the server tells the text without its code.
pub fn canceled(reason: &str) -> Error {
    let codes = [
        ("compacted", 11),
        ("permission denied", 7),
        ("invalid auth token", 16),
        ("auth store is old", 3),
        ("user name is empty", 3),
        ("watcher range is empty", 3),
    ];
    let code = codes.iter().find(|(text, _)| reason.contains(text)).map_or(14, |(_, code)| *code);
    let reason = if reason.is_empty() { "canceled by the server" } else { reason };
    Error::from_server(code, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKind, KeyValue};

    #[test]
    fn a_revision_that_spans_fragments_is_handed_on_whole() {
        let mut fragments = Fragments::default();
        let mut pass = |revisions: &[i64], fragment| {
            let event = |&mod_revision: &i64| {
                let kv = KeyValue { mod_revision, ..KeyValue::default() };
                Event { kind: EventKind::Put, kv, prev_kv: None }
            };
            let events = revisions.iter().map(event).collect();
            let batch = fragments.whole_revisions(WatchBatch { revision: 9, events }, fragment);
            batch.map(|batch| batch.events.iter().map(|event| event.kv.mod_revision).collect::<Vec<_>>())
        };
        assert_eq!(pass(&[2, 3, 4], true), Some(vec![2, 3]));
        assert_eq!(pass(&[4, 4], true), None);
        assert_eq!(pass(&[4, 5], true), Some(vec![4, 4, 4, 4]));
        assert_eq!(pass(&[6], false), Some(vec![5, 6]));
        assert_eq!(pass(&[7], false), Some(vec![7]));
        assert_eq!(pass(&[], false), Some(vec![]), "a sign of progress");
        assert_eq!(pass(&[], true), None);
    }
}
