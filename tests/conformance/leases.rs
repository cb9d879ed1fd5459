//! Leases.

use std::time::{Duration, Instant};

use etcd::ErrorKind;
use etcd::model::*;

use crate::cases;
use crate::subject::{Subject, key, prefix, says};

cases![
    a_lease_is_granted_under_the_id_that_is_asked_for,
    ttls_have_bounds,
    a_lease_tells_how_long_it_lasts_and_which_keys_it_has,
    keys_move_between_leases,
    a_revoked_lease_takes_its_keys_in_one_revision,
    a_lease_is_kept_alive,
    a_lease_ends_by_itself_and_takes_its_keys_in_one_revision,
];

fn grant(on: &Subject, id: i64, ttl: i64) -> (i64, i64) {
    match on.call(Request::LeaseGrant { id, ttl }).body {
        Body::Lease { id, ttl } => (id, ttl),
        other => panic!("{other:?}"),
    }
}

fn look_at(on: &Subject, id: i64) -> LeaseReply {
    match on.call(Request::LeaseTimeToLive { id, keys: true }).body {
        Body::LeaseTimeToLive(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn put(on: &Subject, name: &str, lease: i64) {
    on.client.put(name, "", lease).unwrap();
}

fn a_lease_is_granted_under_the_id_that_is_asked_for(on: &Subject) {
    assert_eq!(grant(on, 7, 60), (7, 60));
    assert_eq!(grant(on, i64::MAX, 60), (i64::MAX, 60));
    says(&on.refused(Request::LeaseGrant { id: 7, ttl: 60 }), ErrorKind::Refused, "lease already exists");
    let (chosen, _) = grant(on, 0, 60);
    assert!(chosen > 0);
    let mut ids = on.client.leases().unwrap();
    ids.sort();
    let mut wanted = vec![7, chosen, i64::MAX];
    wanted.sort();
    assert_eq!(ids, wanted);
}

fn ttls_have_bounds(on: &Subject) {
    // With its default election timeout, a server grants no less.
    assert_eq!(grant(on, 1, 1).1, 2);
    assert_eq!(grant(on, 2, 0).1, 2);
    assert_eq!(grant(on, 3, -5).1, 2);
    assert_eq!(grant(on, 4, 9_000_000_000).1, 9_000_000_000);
    let error = on.refused(Request::LeaseGrant { id: 5, ttl: 9_000_000_001 });
    says(&error, ErrorKind::InvalidArgument, "too large lease TTL");
}

fn a_lease_tells_how_long_it_lasts_and_which_keys_it_has(on: &Subject) {
    grant(on, 7, 100);
    for name in ["b", "a", "c"] {
        put(on, name, 7);
    }
    let lease = look_at(on, 7);
    assert!((98..=100).contains(&lease.ttl), "{lease:?}");
    assert_eq!((lease.granted_ttl, lease.keys), (100, vec![b"a".into(), b"b".into(), b"c".into()]));
    let without = on.client.time_to_live(7, false).unwrap().unwrap();
    assert!(without.keys.is_empty());
    assert_eq!(look_at(on, 8).ttl, -1, "there is no such lease");
    assert_eq!(on.client.time_to_live(8, true).unwrap(), None);
    let unknown = PutRequest { lease: 8, ..PutRequest::new("k", "") };
    says(&on.refused(Request::Put(unknown)), ErrorKind::LeaseNotFound, "lease not found");
}

fn keys_move_between_leases(on: &Subject) {
    grant(on, 1, 60);
    grant(on, 2, 60);
    put(on, "moves", 1);
    put(on, "leaves", 1);
    put(on, "dies", 1);
    put(on, "moves", 2);
    put(on, "leaves", 0);
    on.client.delete(KeyRange::key("dies")).unwrap();
    assert_eq!((look_at(on, 1).keys, look_at(on, 2).keys), (vec![], vec![b"moves".to_vec()]));
    assert_eq!((on.get("moves").unwrap().lease, on.get("leaves").unwrap().lease), (2, 0));
    put(on, "dies", 0);
    on.client.revoke(1).unwrap();
    assert_eq!(on.names(prefix("")), ["dies", "leaves", "moves"], "none of them was on it any more");
}

fn a_revoked_lease_takes_its_keys_in_one_revision(on: &Subject) {
    grant(on, 7, 60);
    for name in ["b", "a", "c"] {
        put(on, name, 7);
    }
    put(on, "stays", 0);
    let reply = on.call(Request::LeaseRevoke { id: 7 });
    assert_eq!(reply.header.revision, 6);
    assert_eq!(on.names(prefix("")), ["stays"]);
    let batches = on.changes(WatchRequest::new(KeyRange::prefix(""), 6), 3);
    let names: Vec<&[u8]> = batches[0].events.iter().map(|event| &event.kv.key[..]).collect();
    assert_eq!(names, [b"a", b"b", b"c"]);
    says(&on.refused(Request::LeaseRevoke { id: 7 }), ErrorKind::LeaseNotFound, "lease not found");
    on.client.revoke(7).expect("gone is gone");
    grant(on, 8, 60);
    assert_eq!(on.call(Request::LeaseRevoke { id: 8 }).header.revision, 6, "without keys nothing changes");
}

fn a_lease_is_kept_alive(on: &Subject) {
    grant(on, 7, 30);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(look_at(on, 7).ttl < 29);
    assert_eq!(on.client.keep_alive(7).unwrap().unwrap().ttl, 30);
    assert!(look_at(on, 7).ttl >= 29);
    assert_eq!(on.client.keep_alive(8).unwrap(), None);
    assert_eq!(on.call(Request::LeaseKeepAlive { id: 8 }).body, Body::Lease { id: 8, ttl: 0 });
}

fn a_lease_ends_by_itself_and_takes_its_keys_in_one_revision(on: &Subject) {
    let start = Instant::now();
    grant(on, 7, 2);
    put(on, "l/a", 7);
    put(on, "l/b", 7);
    let batches = on.changes(WatchRequest::new(KeyRange::prefix("l/"), 4), 2);
    assert!(start.elapsed() > Duration::from_millis(1900), "not before its time: {:?}", start.elapsed());
    assert_eq!((batches.len(), batches[0].revision), (1, 4));
    assert!(batches[0].events.iter().all(|event| event.kind == EventKind::Delete));
    assert_eq!(on.range(key("l/a")).count, 0);
    assert_eq!(look_at(on, 7).ttl, -1);
    assert_eq!(on.client.keep_alive(7).unwrap(), None);
}
