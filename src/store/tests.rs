use std::time::{Duration, Instant};

use super::*;
use crate::wait::{Cancel, Deadline, Mailbox};

fn put(store: &Store, key: &str, value: &str, lease: i64) -> Reply {
    let request = PutRequest { key: key.into(), value: value.into(), lease };
    store.apply(&Request::Put(request)).unwrap()
}

fn keys(store: &Store, request: RangeRequest) -> Vec<String> {
    match store.apply(&Request::Range(request)).unwrap().body {
        Body::Range(reply) => reply.kvs.into_iter().map(|kv| String::from_utf8(kv.key).unwrap()).collect(),
        other => panic!("{other:?}"),
    }
}

fn all(prefix: &str) -> RangeRequest {
    RangeRequest::new(KeyRange::prefix(prefix))
}

#[test]
fn revisions_start_at_1_and_grow_by_one_with_each_write() {
    let store = Store::new("t");
    assert_eq!(store.apply(&Request::Range(all("a"))).unwrap().revision, 1);
    assert_eq!(put(&store, "a", "1", 0).revision, 2);
    assert_eq!(put(&store, "a", "2", 0).revision, 3);
    let Body::Range(reply) = store.apply(&Request::Range(all("a"))).unwrap().body else { panic!() };
    let kv = &reply.kvs[0];
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 3, 2));
    let nothing = Request::Delete(DeleteRequest { range: KeyRange::key("zzz") });
    assert_eq!(store.apply(&nothing).unwrap().revision, 3);
}

#[test]
fn ranges_are_sorted_limited_and_filtered() {
    let store = Store::new("t");
    for key in ["p/b", "p/a", "p/c", "q"] {
        put(&store, key, "", 0);
    }
    assert_eq!(keys(&store, all("p/")), ["p/a", "p/b", "p/c"]);
    let newest = RangeRequest {
        sort_by: SortBy::Create,
        descending: true,
        limit: 1,
        max_create_revision: 3,
        ..all("p/")
    };
    assert_eq!(keys(&store, newest), ["p/a"]);
    let from = RangeRequest { min_create_revision: 3, max_create_revision: 3, ..all("p/") };
    assert_eq!(keys(&store, from), ["p/a"]);
}

#[test]
fn a_transaction_takes_one_branch_in_one_revision() {
    let store = Store::new("t");
    put(&store, "a", "1", 0);
    let op = |key: &str| Op::Put(PutRequest { key: key.into(), value: vec![], lease: 0 });
    let txn = |compare| {
        let (then, otherwise) = (vec![op("x"), op("y")], vec![op("z")]);
        store.apply(&Request::Txn(TxnRequest { compares: vec![compare], then, otherwise })).unwrap()
    };
    let reply = txn(Compare::value("a", "1"));
    assert!(matches!(reply.body, Body::Txn(TxnReply { succeeded: true, .. })) && reply.revision == 3);
    assert!(matches!(txn(Compare::value("missing", "")).body, Body::Txn(TxnReply { succeeded: false, .. })));
    assert!(matches!(txn(Compare::exists("missing")).body, Body::Txn(TxnReply { succeeded: false, .. })));
    assert!(matches!(
        txn(Compare::create_revision("no", 0)).body,
        Body::Txn(TxnReply { succeeded: true, .. })
    ));
    assert_eq!(keys(&store, all("")), ["a", "x", "y", "z"]);
}

#[test]
fn a_transaction_that_fails_half_way_leaves_nothing() {
    let store = Store::new("t");
    store.apply(&Request::LeaseGrant { id: 5, ttl: 60 }).unwrap();
    put(&store, "a", "old", 5);
    let op = |key: &str, lease| Op::Put(PutRequest { key: key.into(), value: b"new".into(), lease });
    let then = vec![op("a", 0), op("b", 0), op("c", 404)];
    let error = store.apply(&Request::Txn(TxnRequest { then, ..Default::default() })).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::LeaseNotFound);
    assert_eq!(store.apply(&Request::Range(all("a"))).unwrap().revision, 2);
    store.apply(&Request::LeaseRevoke { id: 5 }).unwrap();
    assert!(keys(&store, all("")).is_empty(), "a is on its lease again");
}

#[test]
fn a_lease_ends_by_itself_and_takes_its_keys_in_one_revision() {
    let store = Arc::new(Store::new("t"));
    let ttl = match store.apply(&Request::LeaseGrant { id: 7, ttl: 1 }).unwrap().body {
        Body::Lease { ttl } => ttl,
        other => panic!("{other:?}"),
    };
    assert_eq!(ttl, 2, "raised to the least that etcd grants");
    put(&store, "l/a", "", 7);
    put(&store, "l/b", "", 7);
    let events = Mailbox::default();
    let sink = events.clone();
    let request = WatchRequest { range: KeyRange::prefix("l/"), start_revision: 0 };
    let watch = Store::watch(
        &store,
        &request,
        Box::new(move |batch| {
            sink.push(batch);
            true
        }),
    )
    .unwrap();
    let start = Instant::now();
    let batch = events.recv(Deadline::after(Duration::from_secs(10)), &Cancel::new()).unwrap().unwrap();
    assert!(start.elapsed() > Duration::from_millis(1500), "not before its time");
    assert_eq!((batch.events.len(), batch.revision), (2, 4));
    assert!(batch.events.iter().all(|event| event.kind == EventKind::Delete));
    let Body::Lease { ttl } = store.apply(&Request::LeaseKeepAlive { id: 7 }).unwrap().body else { panic!() };
    assert_eq!(ttl, 0);
    drop(watch);
}

#[test]
fn a_watch_replays_the_past_and_goes_on_without_a_gap() {
    let store = Arc::new(Store::new("t"));
    for value in 0..5 {
        put(&store, "k", &value.to_string(), 0);
    }
    let events = Mailbox::default();
    let sink = events.clone();
    let request = WatchRequest { range: KeyRange::key("k"), start_revision: 3 };
    let (revision, watch) = Store::watch(
        &store,
        &request,
        Box::new(move |batch| {
            sink.push(batch.unwrap());
            true
        }),
    )
    .unwrap();
    assert_eq!(revision, 6);
    put(&store, "k", "5", 0);
    put(&store, "other", "", 0);
    drop(watch);
    put(&store, "k", "6", 0);
    let mut values = Vec::new();
    while let Ok(batch) = events.recv(Deadline::after(Duration::ZERO), &Cancel::new()) {
        values.extend(batch.events.into_iter().map(|event| event.kv.value[0] - b'0'));
    }
    assert_eq!(values, [1, 2, 3, 4, 5]);
}

#[test]
fn nonsense_is_refused_as_etcd_does() {
    let store = Store::new("t");
    let kind = |request| store.apply(&request).unwrap_err().kind();
    use crate::ErrorKind::*;
    let put = |key: &[u8], size| PutRequest { key: key.into(), value: vec![0; size], lease: 0 };
    assert_eq!(kind(Request::Put(put(b"", 0))), InvalidArgument);
    assert_eq!(kind(Request::Put(put(b"k", MAX_WRITE_BYTES))), TooLarge);
    assert_eq!(kind(Request::Range(RangeRequest::new(KeyRange::key("")))), InvalidArgument);
    assert_eq!(kind(Request::LeaseRevoke { id: 9 }), LeaseNotFound);
    assert_eq!(kind(Request::LeaseGrant { id: 9, ttl: 9_000_000_001 }), InvalidArgument);
    store.apply(&Request::LeaseGrant { id: 9, ttl: 9_000_000_000 }).unwrap();
    assert_eq!(kind(Request::LeaseGrant { id: 9, ttl: 10 }), Refused);
}
