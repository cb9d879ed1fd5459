//! What only the embedded store has: its clock, its faults, its names. What it shares with etcd is in the
//! conformance suite.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::wait::{Cancel, Deadline, Mailbox};

fn manual() -> Arc<Store> {
    Store::open_with("", Clock::manual())
}

fn put(store: &Store, key: &str, lease: i64) -> Result<Reply> {
    store.apply(&Request::Put(PutRequest { lease, ..PutRequest::new(key, "") }))
}

fn keys(store: &Store) -> Vec<String> {
    match store.apply(&Request::Range(RangeRequest::new(KeyRange::prefix("")))).unwrap().body {
        Body::Range(reply) => reply.kvs.into_iter().map(|kv| String::from_utf8(kv.key).unwrap()).collect(),
        other => panic!("{other:?}"),
    }
}

fn revision(store: &Store) -> i64 {
    store.apply(&Request::Range(RangeRequest::new(KeyRange::key("k")))).unwrap().header.revision
}

/// A watch of everything, and what it is given.
fn watch(store: &Arc<Store>) -> (Mailbox<Result<WatchBatch>>, Watching) {
    let given = Mailbox::default();
    let to_give = given.clone();
    let request = WatchRequest::new(KeyRange::prefix(""), 0);
    let sink: WatchSink = Box::new(move |item| {
        to_give.push(item);
        true
    });
    (given, Store::watch(store, &request, sink).unwrap().1)
}

fn next(given: &Mailbox<Result<WatchBatch>>) -> Option<Result<WatchBatch>> {
    given.recv(Deadline::after(Duration::ZERO), Cancel::NEVER).ok()
}

#[test]
fn leases_run_on_the_stores_clock() {
    let store = manual();
    store.apply(&Request::LeaseGrant { id: 7, ttl: 10 }).unwrap();
    put(&store, "a", 7).unwrap();
    put(&store, "b", 7).unwrap();
    let (given, _watching) = watch(&store);
    store.advance(Duration::from_millis(9_999));
    assert_eq!(keys(&store), ["a", "b"]);
    store.apply(&Request::LeaseKeepAlive { id: 7 }).unwrap();
    store.advance(Duration::from_millis(9_999));
    let look = Request::LeaseTimeToLive { id: 7, keys: true };
    let Body::LeaseTimeToLive(lease) = store.apply(&look).unwrap().body else { panic!() };
    assert_eq!((lease.ttl, lease.granted_ttl, lease.keys.len()), (0, 10, 2));
    assert!(next(&given).is_none());
    store.advance(Duration::from_millis(1));
    let batch = next(&given).unwrap().unwrap();
    assert_eq!((batch.events.len(), batch.revision), (2, 4), "all keys in one revision");
    assert!(batch.events.iter().all(|event| event.kind == EventKind::Delete && event.kv.mod_revision == 4));
    assert_eq!(keys(&store), [""; 0]);
    assert!(matches!(store.apply(&look).unwrap().body, Body::LeaseTimeToLive(LeaseReply { ttl: -1, .. })));
}

#[test]
fn leases_end_by_themselves_on_the_machines_clock() {
    let store = Store::open("");
    // A long one first: the timer must notice that a later one ends earlier.
    store.apply(&Request::LeaseGrant { id: 1, ttl: 3600 }).unwrap();
    let Body::Lease { ttl, .. } = store.apply(&Request::LeaseGrant { id: 2, ttl: 1 }).unwrap().body else {
        panic!()
    };
    assert_eq!(ttl, 2, "raised to the least that etcd grants");
    put(&store, "short", 2).unwrap();
    let (given, _watching) = watch(&store);
    let start = Instant::now();
    let batch = given.recv(Deadline::after(Duration::from_secs(10)), Cancel::NEVER).unwrap().unwrap();
    assert_eq!(batch.events[0].kv.key, b"short");
    assert!(start.elapsed() > Duration::from_millis(1500), "not before its time");
}

#[test]
fn a_watch_that_sees_nothing_is_told_so_now_and_then() {
    let store = manual();
    let (given, _watching) = watch(&store);
    store.advance(PROGRESS);
    let batch = next(&given).unwrap().unwrap();
    assert_eq!((batch.events.len(), batch.revision), (0, 1));
    put(&store, "a", 0).unwrap();
    assert_eq!(next(&given).unwrap().unwrap().events.len(), 1);
    store.advance(PROGRESS);
    assert!(next(&given).is_none(), "a change says the same");
    store.advance(PROGRESS);
    assert_eq!(next(&given).unwrap().unwrap().revision, 2);
}

#[test]
fn faults_happen_to_the_calls_they_are_meant_for() {
    let store = manual();
    let refusal = Error::from_server(8, "etcdserver: too many requests");
    let puts = |request: &Request| matches!(request, Request::Put(_));
    store.inject(Fault::new(Effect::Refuse(refusal)).of(puts).nth(2).times(2));
    let kinds: Vec<Option<ErrorKind>> = (0..5)
        .map(|_| {
            store.apply(&Request::Status).unwrap();
            put(&store, "k", 0).err().map(|error| error.kind())
        })
        .collect();
    let refused = Some(ErrorKind::TooManyRequests);
    assert_eq!(kinds, [None, refused, refused, None, None]);
    assert_eq!(revision(&store), 4, "what was refused was not done");

    store.inject(Fault::new(Effect::LoseReply).of(puts));
    let error = put(&store, "k", 0).unwrap_err();
    assert_eq!(error.outcome(), crate::Outcome::Unknown);
    assert_eq!(revision(&store), 5, "it was done");

    store.inject(Fault::new(Effect::Delay(Duration::from_millis(30))));
    let start = Instant::now();
    put(&store, "k", 0).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
    store.inject(Fault::new(Effect::LoseReply));
    store.clear_faults();
    put(&store, "k", 0).unwrap();
}

#[test]
fn a_lease_can_be_ended_before_its_time() {
    let store = manual();
    store.apply(&Request::LeaseGrant { id: 7, ttl: 10 }).unwrap();
    put(&store, "a", 7).unwrap();
    let (given, _watching) = watch(&store);
    store.expire_lease(7).unwrap();
    assert_eq!(next(&given).unwrap().unwrap().events.len(), 1);
    assert_eq!(store.expire_lease(7).unwrap_err().kind(), ErrorKind::LeaseNotFound);
}

#[test]
fn without_a_leader_only_old_answers_are_to_be_had_and_with_a_new_one_leases_start_anew() {
    let store = manual();
    put(&store, "a", 0).unwrap();
    store.apply(&Request::LeaseGrant { id: 7, ttl: 10 }).unwrap();
    let (given, _watching) = watch(&store);
    store.lose_leader();
    assert_eq!(next(&given).unwrap().unwrap_err().fault(), "etcdserver: no leader");
    let read = RangeRequest::new(KeyRange::key("a"));
    for request in [Request::Range(read.clone()), Request::Put(PutRequest::new("a", ""))] {
        assert_eq!(store.apply(&request).unwrap_err().kind(), ErrorKind::Unavailable, "{request:?}");
    }
    store.apply(&Request::Range(RangeRequest { serializable: true, ..read })).unwrap();
    let Body::Status(status) = store.apply(&Request::Status).unwrap().body else { panic!() };
    assert_eq!((status.leader, status.errors), (0, vec!["etcdserver: no leader".to_owned()]));
    assert!(Store::watch(&store, &WatchRequest::default(), Box::new(|_| true)).is_err());

    store.advance(Duration::from_secs(11));
    let term = store.apply(&Request::Status).unwrap().header.raft_term;
    store.elect_leader();
    store.advance(Duration::from_secs(9));
    assert_eq!(put(&store, "a", 7).unwrap().header.raft_term, term + 1, "the lease is still there");
}

#[test]
fn a_reset_store_is_empty_at_revision_1_and_may_be_another_cluster() {
    let store = manual();
    put(&store, "a", 0).unwrap();
    let before = put(&store, "a", 0).unwrap().header;
    let (given, _watching) = watch(&store);
    store.reset(false);
    assert_eq!(next(&given).unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    let after = store.apply(&Request::Status).unwrap().header;
    assert_eq!((after.revision, after.cluster_id), (1, before.cluster_id));
    assert_eq!(keys(&store), [""; 0]);
    store.reset(true);
    assert_ne!(store.apply(&Request::Status).unwrap().header.cluster_id, before.cluster_id);
}

#[test]
fn a_name_is_one_store_as_long_as_somebody_uses_it() {
    let one = Store::open("shared");
    put(&one, "a", 0).unwrap();
    assert_eq!(keys(&Store::open("shared")), ["a"]);
    assert_eq!(keys(&Store::open("another")), [""; 0]);
    drop(one);
    assert_eq!(keys(&Store::open("shared")), [""; 0]);
}

#[test]
fn readers_are_in_the_store_together() {
    let store = manual();
    put(&store, "a", 0).unwrap();
    let guard = store.shared.read();
    let other = store.clone();
    let reader = std::thread::spawn(move || keys(&other));
    assert_eq!(reader.join().unwrap(), ["a"], "while this thread reads, too");
    drop(guard);
}

/// Two keys that are always put together are never seen apart, while many threads read and write.
#[test]
fn every_read_sees_whole_transactions_only() {
    let store = manual();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                for number in 0..500 {
                    let value = format!("{writer}-{number}");
                    let then = ["x", "y"].map(|key| Op::Put(PutRequest::new(key, value.clone()))).into();
                    store.apply(&Request::Txn(TxnRequest { then, ..TxnRequest::default() })).unwrap();
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while done.load(Ordering::SeqCst) < 2 {
                    let read = Request::Range(RangeRequest::new(KeyRange::prefix("")));
                    let Body::Range(found) = store.apply(&read).unwrap().body else { panic!() };
                    if let [x, y] = &found.kvs[..] {
                        assert_eq!((&x.value, x.mod_revision), (&y.value, y.mod_revision));
                    } else {
                        assert!(found.kvs.is_empty());
                    }
                }
            });
        }
    });
    assert_eq!(revision(&store), 1001);
}
