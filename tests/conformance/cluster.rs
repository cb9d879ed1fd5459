//! What a store says of itself: who it is, how it is, what is wrong.

use etcd::ErrorKind;
use etcd::model::*;

use crate::cases;
use crate::subject::{Place, Subject, put, says, then};

cases![
    it_is_one_member_that_leads,
    every_answer_says_who_gave_it,
    a_full_database_takes_nothing_new_and_gives_back,
    the_same_keys_have_the_same_hash,
    a_corrupt_cluster_takes_no_writes,
];

fn it_is_one_member_that_leads(on: &Subject) {
    let members = on.client.members().unwrap();
    let [member] = &members[..] else { panic!("{members:?}") };
    let name = if on.place == Place::Mem { "mem" } else { "first" };
    assert_eq!((&member.name[..], member.is_learner), (name, false));
    assert_ne!(member.id, 0);
    assert_eq!(on.client.leader().unwrap().as_deref(), Some(name));
    on.put("k", "v");
    let statuses = on.client.status();
    let [(endpoint, Ok((header, status)))] = &statuses[..] else { panic!("{statuses:?}") };
    assert_eq!((status.leader, header.member_id), (member.id, member.id));
    match on.place {
        Place::Mem => assert!(endpoint == "mem://" && status.version.starts_with("etcd-api ")),
        Place::Etcd(version) | Place::Json(version) => assert_eq!(status.version, version),
    }
    assert!(status.raft_index > 0 && status.raft_term > 0 && status.db_size > 0, "{status:?}");
    assert_eq!((&status.errors[..], status.is_learner), (&[][..], false));
}

fn every_answer_says_who_gave_it(on: &Subject) {
    let first = on.call(Request::Put(PutRequest::new("k", ""))).header;
    assert!(first.cluster_id != 0 && first.member_id != 0 && first.raft_term != 0);
    let alarm = Alarm { member: 0, kind: AlarmKind::Any };
    for request in [
        Request::Range(RangeRequest::new(KeyRange::key("k"))),
        Request::Txn(TxnRequest::default()),
        Request::LeaseGrant { id: 7, ttl: 60 },
        Request::LeaseKeepAlive { id: 7 },
        Request::LeaseTimeToLive { id: 7, keys: false },
        Request::Leases,
        Request::LeaseRevoke { id: 7 },
        Request::Status,
    ] {
        assert_eq!(on.call(request.clone()).header, first, "{request:?}");
    }
    let header = on.call(Request::Alarm { action: AlarmAction::Get, alarm }).header;
    let nothing = on.differs("alarms-without-header");
    assert_eq!(header, if nothing { Header::default() } else { first });
}

/// The only member's id.
fn member(on: &Subject) -> u64 {
    on.client.members().unwrap()[0].id
}

fn alarm(on: &Subject, action: AlarmAction, alarm: Alarm) -> Vec<Alarm> {
    match on.call(Request::Alarm { action, alarm }).body {
        Body::Alarms(alarms) => alarms,
        other => panic!("{other:?}"),
    }
}

fn a_full_database_takes_nothing_new_and_gives_back(on: &Subject) {
    on.put("k", "v");
    let lease = on.client.grant(60).unwrap().id;
    let full = Alarm { member: member(on), kind: AlarmKind::NoSpace };
    assert_eq!(on.client.alarms().unwrap(), []);
    assert_eq!(alarm(on, AlarmAction::Activate, full), [full]);
    assert_eq!(on.client.alarms().unwrap(), [full]);
    let corrupt = Alarm { kind: AlarmKind::Corrupt, ..full };
    assert_eq!(alarm(on, AlarmAction::Get, corrupt), []);
    for request in [
        Request::Put(PutRequest::new("k", "")),
        Request::Txn(then(vec![put("k", "")])),
        Request::LeaseGrant { id: 9, ttl: 60 },
    ] {
        says(&on.refused(request), ErrorKind::NoSpace, "space exceeded");
    }
    assert_eq!(on.get("k").unwrap().value, b"v");
    let [(_, Ok((_, status)))] = &on.client.status()[..] else { panic!() };
    if !on.differs("alarms-not-in-status") {
        assert!(status.errors[0].contains("NOSPACE"), "{status:?}");
    }
    assert_eq!(on.client.delete(KeyRange::key("k")).unwrap(), 1);
    on.client.revoke(lease).unwrap();
    assert_eq!(on.client.disarm().unwrap(), [full]);
    assert_eq!(on.client.alarms().unwrap(), []);
    on.put("k", "again");
}

fn the_same_keys_have_the_same_hash(on: &Subject) {
    let hash = |revision| match on.call(Request::HashKv { revision }).body {
        Body::HashKv { hash, .. } => hash,
        other => panic!("{other:?}"),
    };
    let first = on.put("k", "1");
    if on.differs("no-hash-by-json") {
        return says(&on.refused(Request::HashKv { revision: 0 }), ErrorKind::Unsupported, "no hashes");
    }
    let then = hash(0);
    assert_eq!(hash(0), then);
    assert_eq!(hash(first), then);
    on.put("k", "2");
    assert_ne!(hash(0), then);
    assert_eq!(hash(first), then, "as it was");
    says(&on.refused(Request::HashKv { revision: 99 }), ErrorKind::FutureRevision, "future revision");
    on.client.compact(first + 1).unwrap();
    says(&on.refused(Request::HashKv { revision: first }), ErrorKind::Compacted, "compacted");
}

fn a_corrupt_cluster_takes_no_writes(on: &Subject) {
    on.put("k", "v");
    let corrupt = Alarm { member: member(on), kind: AlarmKind::Corrupt };
    alarm(on, AlarmAction::Activate, corrupt);
    let requests = [
        Request::Put(PutRequest::new("k", "")),
        Request::Delete(DeleteRequest::new(KeyRange::key("k"))),
        Request::Compact { revision: 2, physical: false },
        Request::LeaseGrant { id: 9, ttl: 60 },
    ];
    assert_eq!(on.get("k").unwrap().value, b"v", "reads are served");
    for request in requests {
        says(&on.refused(request), ErrorKind::Refused, "corrupt cluster");
    }
    alarm(on, AlarmAction::Deactivate, corrupt);
    assert_eq!(on.get("k").unwrap().value, b"v");
}
