//! What threads were told, held against the store's history.

use std::collections::{BTreeMap, HashMap};

use etcd::model::*;

use super::workload::{Log, PREFIX, Read, Told, Write};
use crate::support::{apply, select};

/// Everything that is wrong with it.
pub fn judge(log: &Log, history: &[Event]) -> Vec<String> {
    let mut faults = Vec::new();
    judge_writes(&log.writes, history, &mut faults);
    judge_reads(&log.reads, history, &mut faults);
    faults
}

fn judge_writes(writes: &[Write], history: &[Event], faults: &mut Vec<String>) {
    let mut puts: HashMap<&[u8], Vec<&Event>> = HashMap::new();
    let mut deletions: HashMap<(&[u8], i64), &Event> = HashMap::new();
    for event in history.iter().filter(|event| event.kv.key.starts_with(PREFIX.as_bytes())) {
        match event.kind {
            EventKind::Put => puts.entry(&event.kv.value).or_default().push(event),
            EventKind::Delete => drop(deletions.insert((&event.kv.key, event.kv.mod_revision), event)),
        }
    }
    for write in writes {
        let found = match (&write.value, write.told) {
            (Some(value), _) => puts.remove(&value[..]).unwrap_or_default(),
            (None, Told::Done(revision)) => deletions.remove(&(&write.key, revision)).into_iter().collect(),
            // One deletion looks like another one: they are counted below.
            (None, _) => continue,
        };
        faults.extend(judge_write(write, &found).err().map(|fault| format!("{fault}: {write:?}, {found:?}")));
    }
    faults.extend(puts.keys().map(|value| format!("nobody wrote {}", value.escape_ascii())));
    let mut left: BTreeMap<&[u8], isize> = BTreeMap::new();
    deletions.keys().for_each(|(key, _)| *left.entry(key).or_default() += 1);
    for write in writes.iter().filter(|write| write.value.is_none() && write.told == Told::Unknown) {
        *left.entry(&write.key).or_default() -= 1;
    }
    let too_often = left.iter().filter(|(_, times)| **times > 0);
    faults.extend(too_often.map(|(key, times)| {
        format!("{} was deleted {times} times more often than anybody may have", key.escape_ascii())
    }));
}

fn judge_write(write: &Write, found: &[&Event]) -> Result<(), &'static str> {
    let event = match (write.told, found) {
        (_, [_, _, ..]) => return Err("done twice"),
        (Told::Done(_), []) => return Err("told done, and not done"),
        (Told::Nothing | Told::Refused, [_]) => return Err("told not done, and done"),
        (_, []) => return Ok(()),
        (_, [event]) => event,
    };
    let revision = event.kv.mod_revision;
    let before = event.prev_kv.as_ref().map_or(0, |kv| kv.mod_revision);
    match write {
        Write { told: Told::Done(told), .. } if *told != revision => Err("done at another revision"),
        Write { key, .. } if *key != event.kv.key => Err("done to another key"),
        Write { guard: Some(guard), .. } if *guard != before => Err("done in spite of its condition"),
        Write { newest, .. } if *newest >= revision => Err("done before it was asked for"),
        _ => Ok(()),
    }
}

fn judge_reads(reads: &[Read], history: &[Event], faults: &mut Vec<String>) {
    let mut reads: Vec<&Read> = reads.iter().collect();
    reads.sort_by_key(|read| read.revision);
    let (mut keys, mut events) = (BTreeMap::new(), history.iter().peekable());
    for read in reads {
        while let Some(event) = events.next_if(|event| event.kv.mod_revision <= read.revision) {
            apply(&mut keys, event);
        }
        if read.revision < read.newest {
            faults.push(format!("older than what was known when it was asked for: {read:?}"));
        }
        if !select(&keys, &read.range).eq(&read.kvs) {
            let there: Vec<_> = select(&keys, &read.range).collect();
            faults.push(format!("{read:?}, and there was {there:?}"));
        }
    }
}

/// What is wrong with what a watch told.
pub fn judge_watch(watched: &[Event], history: &[Event]) -> Option<String> {
    if watched == history {
        return None;
    }
    let at = watched.iter().zip(history).take_while(|(told, true_one)| told == true_one).count();
    Some(format!("change {at}: told {:?}, and it is {:?}", watched.get(at), history.get(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str, revision: i64, before: Option<&Event>) -> Event {
        let kv =
            KeyValue { key: key.into(), value: value.into(), mod_revision: revision, ..KeyValue::default() };
        Event { kind: EventKind::Put, kv, prev_kv: before.map(|event| event.kv.clone()) }
    }

    fn deletion(of: &Event, revision: i64) -> Event {
        let kv = KeyValue { key: of.kv.key.clone(), mod_revision: revision, ..KeyValue::default() };
        Event { kind: EventKind::Delete, kv, prev_kv: Some(of.kv.clone()) }
    }

    /// Two writes and a deletion, all told and done, and a read between.
    fn good() -> (Log, Vec<Event>) {
        let first = put("shared/1", "a", 2, None);
        let second = put("shared/1", "b", 3, Some(&first));
        let write = |value: Option<&str>, guard, revision: i64| Write {
            key: b"shared/1".to_vec(),
            value: value.map(|value| value.as_bytes().to_vec()),
            guard,
            newest: revision - 1,
            told: Told::Done(revision),
        };
        let writes = vec![write(Some("a"), None, 2), write(Some("b"), Some(2), 3), write(None, None, 4)];
        let range = KeyRange::prefix(PREFIX);
        let read = Read { range, kvs: vec![second.kv.clone()], revision: 3, newest: 3 };
        let history = vec![first, second.clone(), deletion(&second, 4)];
        (Log { writes, reads: vec![read], ..Log::default() }, history)
    }

    #[test]
    fn a_judge_of_histories_finds_each_fault() {
        let (log, history) = good();
        assert_eq!(judge(&log, &history), Vec::<String>::new());
        type Spoil = fn(&mut Log, &mut Vec<Event>);
        let spoilt: [(&str, Spoil); 11] = [
            ("done twice", |_, history| history.push(put("shared/1", "a", 9, None))),
            ("and not done", |_, history| drop(history.remove(1))),
            ("and not done", |_, history| drop(history.remove(2))),
            ("told not done", |log, _| log.writes[0].told = Told::Refused),
            ("told not done", |log, _| log.writes[1].told = Told::Nothing),
            ("another revision", |log, _| log.writes[0].told = Told::Done(3)),
            ("in spite of", |log, _| log.writes[1].guard = Some(1)),
            ("before it was asked", |log, _| log.writes[0].newest = 2),
            ("more often", |log, _| log.writes[2].told = Told::Refused),
            ("older than", |log, _| log.reads[0].newest = 4),
            ("there was", |log, _| log.reads[0].kvs[0].value = b"a".to_vec()),
        ];
        for (fault, spoil) in spoilt {
            let (mut log, mut history) = good();
            spoil(&mut log, &mut history);
            let faults = judge(&log, &history).join("; ");
            assert!(faults.contains(fault), "{fault:?} in {faults:?}");
        }
        let (mut log, history) = good();
        log.writes.iter_mut().for_each(|write| write.told = Told::Unknown);
        assert_eq!(judge(&log, &history), Vec::<String>::new(), "unknown is both");
        assert!(judge_watch(&history, &history).is_none());
        assert!(judge_watch(&history[1..], &history).is_some() && judge_watch(&[], &history).is_some());
    }
}
