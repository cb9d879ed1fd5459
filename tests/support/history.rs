//! What has happened in a store, as etcd's own tool tells it: what clients believe is judged by that.

use std::collections::BTreeMap;

use base64::prelude::*;
use etcd::model::{Event, EventKind, KeyRange, KeyValue};
use serde_json::Value;

use super::{Etcd, Running};

/// Reads a store's history from its beginning, piece by piece, so that what was read may be compacted away.
#[derive(Default)]
pub struct Historian {
    /// All keys as they are after what was read.
    keys: BTreeMap<Vec<u8>, KeyValue>,
    /// The last revision that was read.
    revision: i64,
}

impl Historian {
    /// The changes up to a revision, which must be there and be one of a change. What was there before each is found
    /// by doing them all again, not asked for.
    pub fn read(&mut self, etcd: &Etcd, up_to: i64) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        if up_to <= self.revision {
            return events;
        }
        let from = format!("--rev={}", self.revision + 1);
        let mut tool = Running::start(&mut etcd.etcdctl(&["watch", "", "--prefix", &from, "-w", "json"]));
        // It reads ahead, and tells each revision whole.
        let mut newest = 0;
        while newest < up_to {
            let line = tool.line();
            let answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("etcdctl: {line}"));
            let told = answer["Events"].as_array().unwrap_or_else(|| panic!("etcdctl: {line}"));
            events.extend(told.iter().map(event));
            newest = events.last().map_or(0, |event| event.kv.mod_revision);
        }
        events.retain(|event| event.kv.mod_revision <= up_to);
        self.revision = up_to;
        events.iter_mut().for_each(|event| event.prev_kv = apply(&mut self.keys, event));
        events
    }
}

/// Does a change, and tells what was there before it.
pub fn apply(keys: &mut BTreeMap<Vec<u8>, KeyValue>, event: &Event) -> Option<KeyValue> {
    match event.kind {
        EventKind::Put => keys.insert(event.kv.key.clone(), event.kv.clone()),
        EventKind::Delete => keys.remove(&event.kv.key),
    }
}

/// The keys of a range.
pub fn select<'a>(
    keys: &'a BTreeMap<Vec<u8>, KeyValue>,
    range: &'a KeyRange,
) -> impl Iterator<Item = &'a KeyValue> {
    keys.range(range.start.clone()..).map(|(_, kv)| kv).take_while(|kv| range.contains(&kv.key))
}

fn event(event: &Value) -> Event {
    let kv = &event["kv"];
    // What is 0 or empty is left out.
    let number = |name: &str| kv[name].as_i64().unwrap_or(0);
    let bytes = |name: &str| BASE64_STANDARD.decode(kv[name].as_str().unwrap_or("")).expect("base64");
    let is_delete = event["type"] == 1 || event["type"] == "DELETE";
    Event {
        kind: if is_delete { EventKind::Delete } else { EventKind::Put },
        kv: KeyValue {
            key: bytes("key"),
            value: bytes("value"),
            create_revision: number("create_revision"),
            mod_revision: number("mod_revision"),
            version: number("version"),
            lease: number("lease"),
        },
        prev_kv: None,
    }
}
