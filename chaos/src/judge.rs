//! What came of it, by the history that etcd's own tool tells.

use std::collections::BTreeMap;

use etcd::model::{Event, EventKind};

/// The tokens that a resource was written with, and what each said, in order.
pub fn writes(history: &[Event], key: &str) -> Vec<(i64, String)> {
    let of_it = history.iter().filter(|event| event.kv.key == key.as_bytes());
    of_it.filter_map(|event| split(&event.kv.value)).collect()
}

fn split(value: &[u8]) -> Option<(i64, String)> {
    let text = String::from_utf8_lossy(value);
    let (token, state) = text.split_once(' ')?;
    Some((token.parse().ok()?, state.to_owned()))
}

/// How often somebody wrote after a later holder had.
pub fn stale(writes: &[(i64, String)]) -> usize {
    let mut newest = 0;
    let is_stale = |token: i64| {
        let stale = token < newest;
        newest = newest.max(token);
        stale
    };
    writes.iter().map(|(token, _)| *token).map(is_stale).filter(|stale| *stale).count()
}

/// Everything that is wrong with a lock's history and its resource's; and how often the lock was held.
pub fn judge(history: &[Event], name: &str) -> (Vec<String>, usize) {
    let (prefix, resource) = (format!("{name}/"), format!("{name}-resource"));
    // The places, by their creation revision: who comes first holds the lock.
    let mut queue: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
    let (mut faults, mut last, mut handoffs) = (Vec::new(), 0, 0);
    for event in history {
        let (key, revision) = (&event.kv.key, event.kv.mod_revision);
        if key.starts_with(prefix.as_bytes()) {
            match (event.kind, &event.prev_kv) {
                (EventKind::Put, None) => drop(queue.insert(event.kv.create_revision, key.clone())),
                (EventKind::Delete, Some(before)) => drop(queue.remove(&before.create_revision)),
                _ => {}
            }
            continue;
        }
        if *key != resource.as_bytes() {
            continue;
        }
        let Some((token, _)) = split(&event.kv.value) else { continue };
        let holder = queue.first_key_value().map_or(0, |(token, _)| *token);
        if token != holder {
            faults.push(format!("at {revision}, {token} wrote, and {holder} held the lock"));
        }
        if token < last {
            faults.push(format!("at {revision}, {token} wrote after {last}"));
        }
        handoffs += usize::from(token != last);
        last = token;
    }
    (faults, handoffs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd::model::KeyValue;

    fn put(key: &str, value: &str, revision: i64) -> Event {
        let kv = KeyValue {
            key: key.into(),
            value: value.into(),
            create_revision: revision,
            mod_revision: revision,
            ..KeyValue::default()
        };
        Event { kind: EventKind::Put, kv, prev_kv: None }
    }

    fn deletion(of: &Event, revision: i64) -> Event {
        let kv = KeyValue { key: of.kv.key.clone(), mod_revision: revision, ..KeyValue::default() };
        Event { kind: EventKind::Delete, kv, prev_kv: Some(of.kv.clone()) }
    }

    #[test]
    fn a_judge_of_locks_finds_each_fault() {
        let (one, two) = (put("l/1", "", 2), put("l/2", "", 3));
        let (by_one, by_two) = (|at| put("l-resource", "2 busy", at), |at| put("l-resource", "3 busy", at));
        let good = [one.clone(), two.clone(), by_one(4), deletion(&one, 5), by_two(6)];
        assert_eq!(judge(&good, "l"), (Vec::new(), 2));
        let overlap = [one.clone(), two.clone(), by_one(4), by_two(5)];
        assert_eq!(judge(&overlap, "l").0.len(), 1);
        let late = [one.clone(), two.clone(), by_one(4), deletion(&one, 5), by_two(6), by_one(7)];
        assert_eq!(judge(&late, "l").0.len(), 2);
        assert_eq!(stale(&writes(&late, "l-resource")), 1);
        assert_eq!(stale(&writes(&good, "l-resource")), 0);
    }
}
