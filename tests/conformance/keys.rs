//! Keys: put, read, deleted.

use etcd::ErrorKind;
use etcd::model::*;

use crate::cases;
use crate::subject::{Subject, between, names, prefix, says};

cases![
    a_new_store_is_empty_at_revision_1,
    a_key_has_its_history_in_numbers,
    keys_and_values_are_bytes,
    a_put_can_tell_what_was_there,
    a_put_can_keep_value_or_lease,
    deletions_tell_how_many_and_what_went,
    a_deleted_key_begins_anew,
    an_empty_key_is_refused,
    what_is_over_the_size_limit_is_refused,
];

fn a_new_store_is_empty_at_revision_1(on: &Subject) {
    let (revision, reply) = on.client.range(prefix("")).unwrap();
    assert_eq!((revision, reply), (1, RangeReply::default()));
    assert_eq!(on.put("k", "v"), 2);
}

fn a_key_has_its_history_in_numbers(on: &Subject) {
    assert_eq!((on.put("k", "1"), on.put("other", ""), on.put("k", "2")), (2, 3, 4));
    let kv = on.get("k").unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version, kv.lease), (2, 4, 2, 0));
    assert_eq!(kv.value, b"2");
    assert_eq!(on.get("missing"), None);
}

fn keys_and_values_are_bytes(on: &Subject) {
    let all: Vec<u8> = (0..=255).collect();
    for key in [&all[..], b"\0", b"\xff\xff", b" ", b"a/b?c&d=%20", "ключ".as_bytes()] {
        on.client.put(key, key, 0).unwrap();
        let kv = on.client.get(key).unwrap().unwrap();
        assert_eq!((&kv.key[..], &kv.value[..]), (key, key));
    }
    on.client.put("empty", "", 0).unwrap();
    assert_eq!(on.get("empty").unwrap().value, b"");
}

fn put_with(on: &Subject, put: PutRequest) -> Option<KeyValue> {
    match on.call(Request::Put(put)).body {
        Body::Put(prev_kv) => prev_kv,
        other => panic!("{other:?}"),
    }
}

fn a_put_can_tell_what_was_there(on: &Subject) {
    let telling = |value: &str| PutRequest { prev_kv: true, ..PutRequest::new("k", value) };
    assert_eq!(put_with(on, telling("1")), None);
    let before = put_with(on, telling("2")).unwrap();
    assert_eq!((before.value, before.mod_revision), (b"1".to_vec(), 2));
    assert_eq!(put_with(on, PutRequest::new("k", "3")), None, "only when asked");
}

fn a_put_can_keep_value_or_lease(on: &Subject) {
    let lease = on.client.grant(60).unwrap().id;
    let new_lease = PutRequest { lease, ignore_value: true, ..PutRequest::new("k", "") };
    says(&on.refused(Request::Put(new_lease.clone())), ErrorKind::KeyNotFound, "key not found");
    on.put("k", "kept");
    put_with(on, new_lease.clone());
    let kv = on.get("k").unwrap();
    assert_eq!((kv.value, kv.lease, kv.version), (b"kept".to_vec(), lease, 2));
    put_with(on, PutRequest { ignore_lease: true, ..PutRequest::new("k", "changed") });
    let kv = on.get("k").unwrap();
    assert_eq!((kv.value, kv.lease, kv.version), (b"changed".to_vec(), lease, 3));
    let both = PutRequest { value: b"v".into(), ..new_lease };
    says(&on.refused(Request::Put(both)), ErrorKind::InvalidArgument, "value is provided");
    let both = PutRequest { lease, ignore_lease: true, ..PutRequest::new("k", "v") };
    says(&on.refused(Request::Put(both)), ErrorKind::InvalidArgument, "lease is provided");
}

fn delete_with(on: &Subject, range: KeyRange, prev_kv: bool) -> (i64, DeleteReply) {
    let reply = on.call(Request::Delete(DeleteRequest { range, prev_kv }));
    match reply.body {
        Body::Delete(deleted) => (reply.header.revision, deleted),
        other => panic!("{other:?}"),
    }
}

fn deletions_tell_how_many_and_what_went(on: &Subject) {
    for name in ["a", "b", "c", "d", "p/1", "p/2", "z"] {
        on.put(name, name);
    }
    let (revision, reply) = delete_with(on, KeyRange::key("missing"), true);
    assert_eq!((revision, reply), (8, DeleteReply::default()), "nothing changed");
    let (revision, reply) = delete_with(on, KeyRange::key("a"), false);
    assert_eq!((revision, reply.deleted, reply.prev_kvs.len()), (9, 1, 0));
    let (revision, reply) = delete_with(on, between("b", "d"), true);
    assert_eq!((revision, reply.deleted), (10, 2), "all in one revision");
    assert_eq!(names(&reply.prev_kvs), ["b", "c"]);
    assert_eq!(reply.prev_kvs[1].value, b"c");
    assert_eq!(delete_with(on, KeyRange::prefix("p/"), false).1.deleted, 2);
    assert_eq!(delete_with(on, between("z", "a"), false).1.deleted, 0, "an end before its start");
    assert_eq!(on.names(prefix("")), ["d", "z"]);
    assert_eq!(delete_with(on, KeyRange::from_key("e"), false).1.deleted, 1);
    assert_eq!(on.names(prefix("")), ["d"]);
}

fn a_deleted_key_begins_anew(on: &Subject) {
    on.put("k", "1");
    on.put("k", "2");
    on.client.delete(KeyRange::key("k")).unwrap();
    assert_eq!(on.put("k", "3"), 5);
    let kv = on.get("k").unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (5, 5, 1));
}

fn an_empty_key_is_refused(on: &Subject) {
    let nothing = KeyRange::key("");
    let compare = Compare { range: nothing.clone(), ..Compare::exists("k") };
    let txn = TxnRequest { compares: vec![compare], ..TxnRequest::default() };
    for request in [
        Request::Range(RangeRequest::new(nothing.clone())),
        Request::Range(RangeRequest::new(between("", "\0"))),
        Request::Put(PutRequest::new("", "v")),
        Request::Delete(DeleteRequest::new(nothing.clone())),
        Request::Txn(txn),
    ] {
        says(&on.refused(request), ErrorKind::InvalidArgument, "key is not provided");
    }
}

fn what_is_over_the_size_limit_is_refused(on: &Subject) {
    const LIMIT: usize = 1_572_864;
    let put = |size: usize| PutRequest { value: vec![b'v'; size], ..PutRequest::new("k", "") };
    // The limit counts the encoded request, which is some bytes longer than key and value.
    put_with(on, put(LIMIT - 500));
    assert_eq!(on.get("k").unwrap().value.len(), LIMIT - 500);
    let then =
        (0..2).map(|n| Op::Put(PutRequest { key: format!("k{n}").into(), ..put(LIMIT / 2) })).collect();
    for request in [
        Request::Put(put(LIMIT)),
        Request::Txn(TxnRequest { then, ..TxnRequest::default() }),
        Request::Put(put(LIMIT * 2)),
    ] {
        let error = on.client.call(&request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{} bytes: {error}", request.size());
    }
    assert_eq!(on.names(prefix("")), ["k"]);
}
