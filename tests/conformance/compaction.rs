//! Compaction: what can be seen afterwards.

use etcd::ErrorKind;
use etcd::model::*;
use etcd::wait::Deadline;

use crate::cases;
use crate::subject::{PATIENCE, Subject, key, prefix, says};

cases![
    the_past_before_it_is_gone_and_the_rest_stays,
    it_goes_forward_only,
    a_watch_of_the_compacted_past_is_told_so,
    the_compacted_revision_itself_can_be_watched,
    a_deletion_at_the_compacted_revision_can_be_watched,
];

fn compact(on: &Subject, revision: i64) {
    let physical = revision % 2 == 0;
    assert_eq!(on.call(Request::Compact { revision, physical }).body, Body::Compact);
}

fn the_past_before_it_is_gone_and_the_rest_stays(on: &Subject) {
    on.put("a", "1"); // 2
    on.put("b", "1"); // 3
    on.client.delete(KeyRange::key("b")).unwrap(); // 4
    on.put("a", "2"); // 5
    on.put("a", "3"); // 6
    compact(on, 5);
    for revision in 1..5 {
        let read = Request::Range(RangeRequest { revision, ..key("a") });
        says(&on.refused(read), ErrorKind::Compacted, "compacted");
        let count = Request::Range(RangeRequest { revision, count_only: true, ..prefix("") });
        says(&on.refused(count), ErrorKind::Compacted, "compacted");
        let op = Op::Range(RangeRequest { revision, ..key("a") });
        let txn = Request::Txn(TxnRequest { then: vec![op], ..TxnRequest::default() });
        says(&on.refused(txn), ErrorKind::Compacted, "compacted");
    }
    let at = |revision| on.range(RangeRequest { revision, ..prefix("") }).kvs;
    assert_eq!(at(5).iter().map(|kv| &kv.value[..]).collect::<Vec<_>>(), [b"2"]);
    assert_eq!(at(0).iter().map(|kv| &kv.value[..]).collect::<Vec<_>>(), [b"3"]);
    assert_eq!((at(0)[0].create_revision, at(0)[0].version), (2, 3), "a key's numbers stay");
}

fn it_goes_forward_only(on: &Subject) {
    for value in ["1", "2", "3"] {
        on.put("k", value);
    }
    compact(on, 3);
    let again = |revision| on.refused(Request::Compact { revision, physical: false });
    says(&again(3), ErrorKind::Compacted, "compacted");
    says(&again(2), ErrorKind::Compacted, "compacted");
    says(&again(5), ErrorKind::FutureRevision, "future revision");
    compact(on, 4);
    assert_eq!(on.get("k").unwrap().value, b"3");
}

fn a_watch_of_the_compacted_past_is_told_so(on: &Subject) {
    for value in ["1", "2", "3", "4"] {
        on.put("k", value);
    }
    compact(on, 4);
    for start in [1, 2, 3] {
        let mut watch = on.client.watch(WatchRequest::new(KeyRange::key("k"), start));
        let error = watch.next(Deadline::after(PATIENCE), on.client.closed()).unwrap_err();
        says(&error, ErrorKind::Compacted, "compacted");
        assert_eq!(error.compact_revision(), Some(4));
        let again = watch.next(Deadline::after(PATIENCE), on.client.closed()).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Compacted);
    }
}

fn the_compacted_revision_itself_can_be_watched(on: &Subject) {
    for value in ["1", "2", "3"] {
        on.put("k", value);
    }
    compact(on, 3);
    let batches = on.changes(WatchRequest::new(KeyRange::key("k"), 3), 2);
    let values: Vec<&[u8]> =
        batches.iter().flat_map(|batch| batch.events.iter().map(|event| &event.kv.value[..])).collect();
    assert_eq!(values, [b"2", b"3"]);
}

fn a_deletion_at_the_compacted_revision_can_be_watched(on: &Subject) {
    on.put("k", "1"); // 2
    on.client.delete(KeyRange::key("k")).unwrap(); // 3
    on.put("other", ""); // 4
    // Physical: what goes is gone with the answer.
    on.call(Request::Compact { revision: 3, physical: true });
    let lost = on.differs("deletion-lost-at-compaction");
    let batches = on.changes(WatchRequest::new(KeyRange::prefix(""), 3), if lost { 1 } else { 2 });
    let kinds: Vec<EventKind> =
        batches.iter().flat_map(|batch| batch.events.iter().map(|event| event.kind)).collect();
    let both = [EventKind::Delete, EventKind::Put];
    assert_eq!(kinds, if lost { &both[1..] } else { &both });
}
