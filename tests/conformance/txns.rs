//! Transactions: conditions, branches, nesting, limits.

use std::cmp::Ordering;

use etcd::ErrorKind;
use etcd::model::*;

use crate::cases;
use crate::subject::{Subject, between, delete, key, names, prefix, put, says, then};

cases![
    every_condition_holds_when_it_should,
    a_condition_on_a_range_must_hold_for_every_key,
    one_branch_is_done_in_one_revision,
    operations_see_what_the_ones_before_them_did,
    a_transaction_that_only_reads_changes_nothing,
    nested_conditions_look_at_what_was_there_before_all,
    a_key_is_changed_once,
    a_range_without_end_may_cover_a_put,
    there_may_be_128_operations,
    what_can_not_be_done_whole_is_not_done,
    reads_may_look_at_the_past,
];

/// The table of all targets and relations, on a key that is there and on one that is not.
fn every_condition_holds_when_it_should(on: &Subject) {
    let lease = on.client.grant(60).unwrap().id;
    on.put("other", "");
    on.put("k", "a");
    on.client.put("k", "m", lease).unwrap(); // version 2, created 3, changed 4
    let (newest, missing) = (4, 0);
    type Target = fn(i64) -> CompareTarget;
    let numbers: [(Target, i64); 4] = [
        (CompareTarget::Version, 2),
        (CompareTarget::CreateRevision, 3),
        (CompareTarget::ModRevision, newest),
        (CompareTarget::Lease, lease),
    ];
    let mut table: Vec<(&str, CompareTarget, Option<Ordering>)> = Vec::new();
    for (target, is) in numbers {
        for wanted in [is - 1, is, is + 1] {
            table.push(("k", target(wanted), Some(is.cmp(&wanted))));
        }
        for wanted in [-1, 0, 1] {
            table.push(("missing", target(wanted), Some(missing.cmp(&wanted))));
        }
    }
    for wanted in ["", "a", "m", "ma", "z"] {
        table.push(("k", CompareTarget::Value(wanted.into()), Some("m".cmp(wanted))));
        // A value that is not there compares to nothing.
        table.push(("missing", CompareTarget::Value(wanted.into()), None));
    }
    for (name, target, order) in table {
        for relation in [Relation::Equal, Relation::Greater, Relation::Less, Relation::NotEqual] {
            let compare = Compare { range: KeyRange::key(name), target: target.clone(), relation };
            let holds = order.is_some_and(|order| match relation {
                Relation::Equal => order.is_eq(),
                Relation::Greater => order.is_gt(),
                Relation::Less => order.is_lt(),
                Relation::NotEqual => order.is_ne(),
            });
            let (_, reply) = on.txn(TxnRequest { compares: vec![compare.clone()], ..TxnRequest::default() });
            assert_eq!(reply.succeeded, holds, "{compare:?}");
        }
    }
}

fn a_condition_on_a_range_must_hold_for_every_key(on: &Subject) {
    on.put("r/a", "x");
    on.put("r/b", "x");
    let holds = |range: KeyRange, target: CompareTarget| {
        let compare = Compare { range, target, relation: Relation::Equal };
        on.txn(TxnRequest { compares: vec![compare], ..TxnRequest::default() }).1.succeeded
    };
    let value = || CompareTarget::Value("x".into());
    assert!(holds(KeyRange::prefix("r/"), value()));
    assert!(holds(KeyRange::from_key("r/"), CompareTarget::Version(1)));
    on.put("r/b", "y");
    assert!(!holds(KeyRange::prefix("r/"), value()));
    assert!(holds(between("r/", "r/b"), value()));
    assert!(!holds(KeyRange::prefix("nothing/"), value()));
    assert!(holds(KeyRange::prefix("nothing/"), CompareTarget::CreateRevision(0)), "as for a missing key");
}

fn one_branch_is_done_in_one_revision(on: &Subject) {
    on.put("k", "old");
    let txn = |compare| TxnRequest {
        compares: vec![Compare::exists("k"), compare],
        then: vec![put("yes", "1"), put("yes too", "1"), delete(KeyRange::key("k"))],
        otherwise: vec![put("no", "1")],
    };
    let (revision, reply) = on.txn(txn(Compare::value("k", "new")));
    assert_eq!((revision, reply.succeeded, reply.replies.len()), (3, false, 1));
    let (revision, reply) = on.txn(txn(Compare::value("k", "old")));
    assert_eq!((revision, reply.succeeded), (4, true));
    let deleted = DeleteReply { deleted: 1, prev_kvs: vec![] };
    assert_eq!(reply.replies, [OpReply::Put(None), OpReply::Put(None), OpReply::Delete(deleted)]);
    let all = on.range(prefix(""));
    assert_eq!(names(&all.kvs), ["no", "yes", "yes too"]);
    assert_eq!(all.kvs[1].mod_revision, all.kvs[2].mod_revision);
}

fn operations_see_what_the_ones_before_them_did(on: &Subject) {
    on.put("k", "old");
    let read = || Op::Range(key("k"));
    let again = Op::Put(PutRequest { prev_kv: true, ..PutRequest::new("k", "new") });
    let (_, reply) = on.txn(then(vec![read(), again, read(), Op::Range(prefix(""))]));
    let value = |reply: &OpReply| match reply {
        OpReply::Range(found) => String::from_utf8(found.kvs[0].value.clone()).unwrap(),
        OpReply::Put(Some(before)) => String::from_utf8(before.value.clone()).unwrap(),
        other => panic!("{other:?}"),
    };
    let values: Vec<String> = reply.replies.iter().map(value).collect();
    assert_eq!(values, ["old", "old", "new", "new"]);
}

fn a_transaction_that_only_reads_changes_nothing(on: &Subject) {
    let revision = on.put("k", "v");
    assert_eq!(on.txn(TxnRequest::default()), (revision, TxnReply { succeeded: true, replies: vec![] }));
    let reads = then(vec![Op::Range(key("k")), Op::Range(key("missing"))]);
    let (now, reply) = on.txn(reads);
    assert_eq!(now, revision);
    let counts: Vec<i64> = reply
        .replies
        .iter()
        .map(|reply| if let OpReply::Range(found) = reply { found.count } else { panic!() })
        .collect();
    assert_eq!(counts, [1, 0]);
    let nothing = then(vec![delete(KeyRange::key("missing"))]);
    assert_eq!(on.txn(nothing).0, revision, "a deletion of nothing");
}

fn nested_conditions_look_at_what_was_there_before_all(on: &Subject) {
    let inner = |name: &str| {
        Op::Txn(TxnRequest {
            compares: vec![Compare::exists(name)],
            then: vec![put(&format!("{name} was there"), "")],
            otherwise: vec![put(&format!("{name} was missing"), ""), Op::Range(prefix("n"))],
        })
    };
    let (revision, reply) = on.txn(then(vec![put("new", ""), inner("new"), inner("never")]));
    assert_eq!((revision, reply.replies.len()), (2, 3));
    assert_eq!(on.names(prefix("")), ["never was missing", "new", "new was missing"]);
    let OpReply::Txn(first) = &reply.replies[1] else { panic!("{reply:?}") };
    assert!(!first.succeeded, "new was put by the same transaction");
    let OpReply::Range(found) = &first.replies[1] else { panic!("{reply:?}") };
    assert_eq!(names(&found.kvs), ["new", "new was missing"], "what is read is what is there by then");

    let deep = (0..5).fold(put("deep", ""), |op, _| Op::Txn(then(vec![op])));
    on.txn(then(vec![deep]));
    assert!(on.get("deep").is_some());
}

fn a_key_is_changed_once(on: &Subject) {
    let nested = |then, otherwise| Op::Txn(TxnRequest { then, otherwise, ..TxnRequest::default() });
    let bad = [
        vec![put("k", "1"), put("k", "2")],
        vec![put("k", "1"), delete(KeyRange::key("k"))],
        vec![delete(KeyRange::prefix("k")), put("k1", "1")],
        vec![delete(between("a", "m")), put("k", "1")],
        vec![put("k", "1"), nested(vec![put("k", "2")], vec![])],
        vec![put("k", "1"), nested(vec![], vec![put("k", "2")])],
        vec![put("k", "1"), nested(vec![delete(KeyRange::key("k"))], vec![])],
        vec![delete(KeyRange::key("k")), nested(vec![], vec![put("k", "2")])],
        vec![nested(vec![put("k", "1")], vec![]), nested(vec![put("k", "2")], vec![])],
        vec![nested(vec![put("k", "1"), put("k", "2")], vec![])],
    ];
    for ops in bad {
        let otherwise = TxnRequest { otherwise: ops.clone(), ..TxnRequest::default() };
        for txn in [then(ops), otherwise] {
            says(&on.refused(Request::Txn(txn)), ErrorKind::InvalidArgument, "duplicate key");
        }
    }
    on.put("k", "");
    let fine = [
        vec![nested(vec![put("k", "1")], vec![put("k", "2")])],
        vec![delete(KeyRange::key("k")), delete(KeyRange::prefix("k"))],
        vec![put("k", "1"), delete(between("k\0", "z")), Op::Range(key("k"))],
    ];
    for ops in fine {
        on.txn(then(ops));
    }
}

/// etcd does not see that such a deletion covers anything, and does both, in their order.
fn a_range_without_end_may_cover_a_put(on: &Subject) {
    on.put("k", "old");
    on.txn(then(vec![delete(KeyRange::from_key("a")), put("k", "new")]));
    let kv = on.get("k").unwrap();
    assert_eq!((kv.value, kv.create_revision, kv.mod_revision, kv.version), (b"new".to_vec(), 3, 3, 1));
    on.txn(then(vec![put("k", "newer"), delete(KeyRange::from_key("a"))]));
    assert_eq!(on.names(prefix("")), [""; 0]);
    assert_eq!(on.range(RangeRequest { revision: 3, ..key("k") }).kvs[0].value, b"new");
    assert_eq!(on.range(RangeRequest { revision: 2, ..key("k") }).kvs[0].value, b"old");
}

fn there_may_be_128_operations(on: &Subject) {
    let reads = |count| vec![Op::Range(key("k")); count];
    let compares = |count| vec![Compare::create_revision("k", 0); count];
    on.txn(TxnRequest { compares: compares(128), then: reads(128), otherwise: reads(128) });
    on.txn(then(vec![Op::Txn(then(reads(127)))]));
    let bad = [
        then(reads(129)),
        TxnRequest { otherwise: reads(129), ..TxnRequest::default() },
        TxnRequest { compares: compares(129), ..TxnRequest::default() },
        then(vec![Op::Txn(then(reads(128)))]),
        TxnRequest { compares: compares(2), then: vec![Op::Txn(then(reads(127)))], ..TxnRequest::default() },
    ];
    for txn in bad {
        says(&on.refused(Request::Txn(txn)), ErrorKind::InvalidArgument, "too many operations");
    }
}

fn what_can_not_be_done_whole_is_not_done(on: &Subject) {
    let revision = on.put("a", "old");
    let no_lease = Op::Put(PutRequest { lease: 404, ..PutRequest::new("c", "") });
    let no_key = Op::Put(PutRequest { ignore_value: true, ..PutRequest::new("d", "") });
    let future = Op::Range(RangeRequest { revision: 99, ..key("a") });
    let table = [
        (no_lease, ErrorKind::LeaseNotFound, "lease not found"),
        (no_key, ErrorKind::KeyNotFound, "key not found"),
        (future, ErrorKind::FutureRevision, "future revision"),
    ];
    for (op, kind, text) in table {
        let ops = [put("a", "new"), delete(KeyRange::key("b")), put("b", "new"), op.clone()];
        says(
            &on.refused(Request::Txn(then(ops[..1].iter().chain(&ops[3..]).cloned().collect()))),
            kind,
            text,
        );
        let nested = Op::Txn(then(vec![op.clone()]));
        says(&on.refused(Request::Txn(then(vec![put("a", "new"), nested]))), kind, text);
        // In the branch that is not taken, it does no harm.
        let untaken = TxnRequest { otherwise: vec![op], ..TxnRequest::default() };
        assert!(on.txn(untaken).1.succeeded);
    }
    let (now, reply) = on.client.range(prefix("")).unwrap();
    assert_eq!((now, &reply.kvs[0].value[..], reply.count), (revision, &b"old"[..], 1));
}

fn reads_may_look_at_the_past(on: &Subject) {
    on.put("k", "1");
    on.put("k", "2");
    let at = |revision| Op::Range(RangeRequest { revision, ..key("k") });
    let (_, reply) = on.txn(then(vec![at(2), put("k", "3"), at(2), at(3), at(0)]));
    let values: Vec<&[u8]> = reply
        .replies
        .iter()
        .filter_map(
            |reply| if let OpReply::Range(found) = reply { Some(&found.kvs[0].value[..]) } else { None },
        )
        .collect();
    assert_eq!(values, [b"1", b"1", b"2", b"3"]);
    let own = Request::Txn(then(vec![put("k", "4"), at(5)]));
    says(&on.refused(own), ErrorKind::FutureRevision, "future revision");
}
