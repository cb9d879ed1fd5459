//! Watches: which changes, from when on, with what.

use std::time::Duration;

use etcd::ErrorKind;
use etcd::model::*;
use etcd::wait::Deadline;

use crate::cases;
use crate::subject::{PATIENCE, Subject, between, put, says, then};

cases![
    changes_come_as_they_happen,
    the_past_comes_first,
    a_watch_may_wait_for_the_future,
    a_watch_sees_its_range_and_nothing_else,
    puts_and_deletions_can_be_left_out,
    what_was_before_can_be_told,
    what_was_before_a_compaction_is_not_told,
    a_revision_comes_whole,
    a_key_that_one_revision_changes_twice_comes_twice,
    a_long_past_comes_whole,
    revisions_of_a_long_past_come_whole,
    a_watch_of_nothing_is_refused,
    watches_do_not_disturb_each_other,
];

fn all(start_revision: i64) -> WatchRequest {
    WatchRequest::new(KeyRange::prefix(""), start_revision)
}

/// Each change as text: kind, key, value, revision.
fn told(batches: &[WatchBatch]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let event = |event: &Event| {
        let Event { kind, kv, .. } = event;
        format!("{kind:?} {} {} {}", text(&kv.key), text(&kv.value), kv.mod_revision)
    };
    batches.iter().flat_map(|batch| batch.events.iter().map(event)).collect()
}

fn changes_come_as_they_happen(on: &Subject) {
    on.put("before", "");
    let mut watch = on.client.watch(all(0));
    // The first look opens it: from here on nothing is missed.
    let error = watch.next(Deadline::after(Duration::from_millis(300)), on.client.closed()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let lease = on.client.grant(60).unwrap().id;
    let mut batches = Vec::new();
    let mut next = || {
        let batch = watch.next(Deadline::after(PATIENCE), on.client.closed()).unwrap();
        assert_eq!(batch.revision, batch.events[0].kv.mod_revision, "one batch for each, at once");
        batches.push(batch);
    };
    on.client.put("k", "1", lease).unwrap();
    next();
    on.put("k", "2");
    next();
    on.client.delete(KeyRange::key("k")).unwrap();
    next();
    assert_eq!(told(&batches), ["Put k 1 3", "Put k 2 4", "Delete k  5"]);
    let [first, second, third] = [0, 1, 2].map(|at: usize| batches[at].events[0].kv.clone());
    assert_eq!((first.create_revision, first.version, first.lease), (3, 1, lease));
    assert_eq!((second.create_revision, second.version, second.lease), (3, 2, 0));
    let bare = KeyValue { key: b"k".into(), mod_revision: 5, ..KeyValue::default() };
    assert_eq!(third, bare, "of a deleted key, name and revision");
}

fn the_past_comes_first(on: &Subject) {
    on.put("k", "1");
    on.put("k", "2");
    on.client.delete(KeyRange::key("k")).unwrap();
    on.put("k", "3");
    let expected = ["Put k 1 2", "Put k 2 3", "Delete k  4", "Put k 3 5"];
    for (start, from) in [(1, 0), (2, 0), (3, 1), (5, 3)] {
        assert_eq!(told(&on.changes(all(start), 4 - from)), expected[from..], "from revision {start}");
    }
}

fn a_watch_may_wait_for_the_future(on: &Subject) {
    let mut watch = on.client.watch(all(4));
    let none = watch.next(Deadline::after(Duration::from_millis(300)), on.client.closed());
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Timeout);
    for value in ["2", "3", "4"] {
        on.put("k", value);
    }
    let batch = watch.next(Deadline::after(PATIENCE), on.client.closed()).unwrap();
    assert_eq!(told(&[batch]), ["Put k 4 4"]);
}

fn a_watch_sees_its_range_and_nothing_else(on: &Subject) {
    for name in ["a", "b", "b/1", "b/2", "b0", "c", "end"] {
        on.put(name, "");
    }
    let table = [
        (KeyRange::key("b"), vec!["b"]),
        (KeyRange::prefix("b/"), vec!["b/1", "b/2"]),
        (KeyRange::prefix("b"), vec!["b", "b/1", "b/2", "b0"]),
        (between("a", "b/2"), vec!["a", "b", "b/1"]),
        (KeyRange::from_key("b0"), vec!["b0", "c", "end"]),
    ];
    for (range, wanted) in table {
        let batches = on.changes(WatchRequest::new(range.clone(), 1), wanted.len());
        let names: Vec<String> =
            told(&batches).iter().map(|line| line.split(' ').nth(1).unwrap().into()).collect();
        assert_eq!(names, wanted, "{range:?}");
    }
}

fn puts_and_deletions_can_be_left_out(on: &Subject) {
    on.put("k", "1");
    on.client.delete(KeyRange::key("k")).unwrap();
    on.put("k", "2");
    on.client.delete(KeyRange::key("k")).unwrap();
    let no_put = WatchRequest { no_put: true, ..all(1) };
    assert_eq!(told(&on.changes(no_put.clone(), 2)), ["Delete k  3", "Delete k  5"]);
    let no_delete = WatchRequest { no_delete: true, ..all(1) };
    assert_eq!(told(&on.changes(no_delete, 2)), ["Put k 1 2", "Put k 2 4"]);
    let neither = WatchRequest { no_delete: true, ..no_put };
    let mut watch = on.client.watch(neither);
    let none = watch.next(Deadline::after(Duration::from_millis(500)), on.client.closed());
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Timeout);
}

fn what_was_before_can_be_told(on: &Subject) {
    on.put("k", "1");
    on.put("k", "2");
    on.client.delete(KeyRange::key("k")).unwrap();
    on.put("k", "3");
    let before = |batches: &[WatchBatch]| -> Vec<Option<(Vec<u8>, i64)>> {
        let events = batches.iter().flat_map(|batch| &batch.events);
        events.map(|event| event.prev_kv.as_ref().map(|kv| (kv.value.clone(), kv.mod_revision))).collect()
    };
    let telling = WatchRequest { prev_kv: true, ..all(1) };
    let wanted = [None, Some((b"1".to_vec(), 2)), Some((b"2".to_vec(), 3)), None];
    assert_eq!(before(&on.changes(telling, 4)), wanted);
    assert_eq!(before(&on.changes(all(1), 4)), [None, None, None, None], "only when asked");
}

fn what_was_before_a_compaction_is_not_told(on: &Subject) {
    for value in ["1", "2", "3"] {
        on.put("k", value);
    }
    on.client.compact(3).unwrap();
    let batches = on.changes(WatchRequest { prev_kv: true, ..all(3) }, 2);
    let events: Vec<&Event> = batches.iter().flat_map(|batch| &batch.events).collect();
    assert_eq!(told(&batches), ["Put k 2 3", "Put k 3 4"]);
    assert_eq!(events[0].prev_kv, None);
    assert_eq!(events[1].prev_kv.as_ref().unwrap().value, b"2");
}

fn a_revision_comes_whole(on: &Subject) {
    let names: Vec<String> = (0..100).map(|number| format!("k{number:03}")).collect();
    on.txn(then(names.iter().map(|name| put(name, "1")).collect()));
    on.txn(then(names.iter().rev().map(|name| put(name, "2")).collect()));
    let mut watch = on.client.watch(all(1));
    let mut revisions = Vec::new();
    while revisions.len() < 200 {
        let batch = watch.next(Deadline::after(PATIENCE), on.client.closed()).unwrap();
        revisions.extend(batch.events.iter().map(|event| event.kv.mod_revision));
        assert_eq!(revisions.len() % 100, 0, "a batch ends with a revision");
    }
    assert!(revisions[..100].iter().all(|&revision| revision == 2));
    assert!(revisions[100..].iter().all(|&revision| revision == 3));
    on.client.delete(KeyRange::prefix("")).unwrap();
    let batch = watch.next(Deadline::after(PATIENCE), on.client.closed()).unwrap();
    assert_eq!(batch.events.len(), 100, "live, too");
    let order: Vec<String> =
        told(&[batch]).iter().map(|line| line.split(' ').nth(1).unwrap().into()).collect();
    assert_eq!(order, names);
}

fn a_key_that_one_revision_changes_twice_comes_twice(on: &Subject) {
    on.put("k", "old");
    let delete_all = Op::Delete(DeleteRequest::new(KeyRange::from_key("a")));
    on.txn(then(vec![delete_all.clone(), put("k", "new")]));
    on.txn(then(vec![put("k", "newer"), delete_all]));
    let batches = on.changes(WatchRequest { prev_kv: true, ..all(3) }, 4);
    assert_eq!(told(&batches), ["Delete k  3", "Put k new 3", "Put k newer 4", "Delete k  4"]);
    let before: Vec<Option<&[u8]>> = batches
        .iter()
        .flat_map(|batch| &batch.events)
        .map(|event| event.prev_kv.as_ref().map(|kv| &kv.value[..]))
        .collect();
    let (old, new) = (Some(&b"old"[..]), Some(&b"new"[..]));
    let of_new_key = if on.differs("prev-kv-of-a-new-key") { old } else { None };
    assert_eq!(before, [old, of_new_key, new, new], "before the whole revision");
}

fn a_long_past_comes_whole(on: &Subject) {
    // Long enough that every server and transport has to cut it.
    let value = "v".repeat(400_000);
    let count = 60;
    for number in 0..count {
        on.put(&format!("k{number:02}"), &value);
    }
    let batches = on.changes(all(1), count);
    let revisions: Vec<i64> =
        batches.iter().flat_map(|batch| batch.events.iter().map(|event| event.kv.mod_revision)).collect();
    assert_eq!(revisions, (2..2 + count as i64).collect::<Vec<_>>());
}

fn revisions_of_a_long_past_come_whole(on: &Subject) {
    let value = "v".repeat(3_000);
    let keys: Vec<String> = (0..100).map(|number| format!("k{number:02}")).collect();
    for _ in 0..20 {
        on.txn(then(keys.iter().map(|key| put(key, &value)).collect()));
    }
    let batches = on.changes(all(1), 20 * keys.len());
    let mut revision = 1;
    for events in
        batches.iter().flat_map(|batch| batch.events.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision))
    {
        revision += 1;
        assert_eq!(events[0].kv.mod_revision, revision, "each once");
        assert_eq!(
            events.iter().map(|event| &event.kv.key[..]).collect::<Vec<_>>(),
            keys.iter().map(|k| k.as_bytes()).collect::<Vec<_>>()
        );
    }
    assert_eq!(revision, 21);
}

fn a_watch_of_nothing_is_refused(on: &Subject) {
    for range in [between("b", "a"), between("a", "a")] {
        let mut watch = on.client.watch(WatchRequest::new(range, 0));
        let error = watch.next(Deadline::after(PATIENCE), on.client.closed()).unwrap_err();
        says(&error, ErrorKind::InvalidArgument, "the range is empty");
    }
    let mut watch = on.client.watch(all(-1));
    let error = watch.next(Deadline::after(PATIENCE), on.client.closed()).unwrap_err();
    says(&error, ErrorKind::InvalidArgument, "negative");
}

fn watches_do_not_disturb_each_other(on: &Subject) {
    let mut watches: Vec<_> = (0..20).map(|_| on.client.watch(all(1))).collect();
    for value in ["1", "2", "3"] {
        on.put("k", value);
    }
    for (at, watch) in watches.iter_mut().enumerate() {
        let mut seen = 0;
        while seen < 3 {
            let batch = watch.next(Deadline::after(PATIENCE), on.client.closed());
            seen += batch.unwrap_or_else(|error| panic!("watch {at}: {error}")).events.len();
        }
    }
    // Every other one ends; the rest go on.
    let mut at = 0;
    watches.retain(|_| {
        at += 1;
        at % 2 == 0
    });
    on.put("k", "4");
    for watch in &mut watches {
        assert_eq!(watch.next(Deadline::after(PATIENCE), on.client.closed()).unwrap().revision, 5);
    }
}
