use super::*;
use crate::options::Secret;

#[test]
fn a_prefix_ends_where_the_next_one_starts() {
    assert_eq!(KeyRange::prefix("a/").end, b"a0");
    assert_eq!(KeyRange::prefix([b'a', 0xff]).end, b"b");
    assert_eq!(KeyRange::prefix([0xff, 0xff]).end, [0]);
    assert_eq!(KeyRange::prefix(""), KeyRange { start: vec![0], end: vec![0] });
    assert!(KeyRange::prefix("a/").contains(b"a/\xff\xff"));
    assert!(!KeyRange::prefix("a/").contains(b"a"));
    assert!(KeyRange::prefix([0xff]).contains(&[0xff, 1]));
    assert!(!KeyRange::key("a").contains(b"a/"));
    assert!(KeyRange::from_key("b").contains(b"c") && !KeyRange::from_key("b").contains(b"a"));
}

#[test]
fn requests_know_what_they_are() {
    use Repeat::{Harmful, Harmless};
    let read = || Op::Range(RangeRequest::new(KeyRange::key("a")));
    let old = || Op::Range(RangeRequest { serializable: true, ..RangeRequest::new(KeyRange::key("a")) });
    let write = || Op::Put(PutRequest::new("a", ""));
    let otherwise = |op| TxnRequest { otherwise: vec![op], ..TxnRequest::default() };
    let nested = |op| otherwise(Op::Txn(otherwise(op)));
    let alarm = Alarm { member: 0, kind: AlarmKind::NoSpace };
    let table = [
        // request, reads only, repeated, linearizable
        (Request::Range(RangeRequest::new(KeyRange::key("a"))), true, Harmless, true),
        (Request::Put(PutRequest::new("a", "")), false, Harmful, true),
        (Request::Delete(DeleteRequest::new(KeyRange::key("a"))), false, Harmful, true),
        (Request::Txn(otherwise(read())), true, Harmless, true),
        (Request::Txn(otherwise(old())), true, Harmless, false),
        (Request::Txn(otherwise(write())), false, Harmful, true),
        (Request::Txn(nested(read())), true, Harmless, true),
        (Request::Txn(nested(old())), true, Harmless, true),
        (Request::Txn(nested(write())), false, Harmful, true),
        (Request::Compact { revision: 1, physical: false }, false, Harmful, false),
        (Request::LeaseGrant { id: 1, ttl: 2 }, false, Harmless, false),
        (Request::LeaseGrant { id: 0, ttl: 2 }, false, Harmful, false),
        (Request::LeaseRevoke { id: 1 }, false, Harmless, false),
        (Request::LeaseKeepAlive { id: 1 }, false, Harmless, false),
        (Request::LeaseTimeToLive { id: 1, keys: true }, true, Harmless, false),
        (Request::Leases, true, Harmless, false),
        (Request::Members, true, Harmless, false),
        (Request::Status, true, Harmless, false),
        (Request::Alarm { action: AlarmAction::Get, alarm }, true, Harmless, false),
        (Request::Alarm { action: AlarmAction::Deactivate, alarm }, false, Harmless, false),
    ];
    for (request, reads_only, repeat, linearizable) in table {
        let is = (request.reads_only(), request.repeat(), request.is_linearizable());
        assert_eq!(is, (reads_only, repeat, linearizable), "{request:?}");
    }
}

#[test]
fn a_password_is_in_no_text() {
    let request = Request::Authenticate { user: "me".into(), password: Secret::new("hunter2") };
    let texts =
        [format!("{request:?}"), request.describe(), format!("{:?}", Body::Token(Secret::new("hunter2")))];
    assert!(texts.iter().all(|text| !text.contains("hunter2")), "{texts:?}");
    assert!(texts[1].contains("me"));
}
