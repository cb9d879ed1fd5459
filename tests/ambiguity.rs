//! Answers that are lost after the server has done its work: each kind of request, the first and later ones, by a
//! connection that is closed, reset, or falls silent. A write ends as unknown, never as success, and is never sent
//! twice; a read is repeated; a lease is found again.

use std::time::Duration;

use etcd::model::*;
use etcd::{Client, Error, Outcome};
use faultproxy::{After, Proxy};

use crate::support::{ALL_VERSIONS, Etcd, VERSIONS, client, long};

/// One kind of request.
struct Kind {
    /// What of its path no other request has.
    path: &'static str,
    request: fn() -> Request,
    lost: Lost,
}

/// What becomes of it when its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// Unknown, and sent once.
    Unknown,
    /// Repeated, and answered then.
    Repeated,
    /// Repeated; the second answer shows that the first one got through, so that what is told is unknown, too.
    FoundOut,
}

const LEASE: i64 = 7;

const KINDS: [Kind; 15] = [
    Kind { path: "/kv/put", request: || Request::Put(PutRequest::new("k", "v")), lost: Lost::Unknown },
    Kind {
        path: "/kv/deleterange",
        request: || Request::Delete(DeleteRequest::new(all())),
        lost: Lost::Unknown,
    },
    Kind { path: "/kv/txn", request: || Request::Txn(txn(put("k"))), lost: Lost::Unknown },
    Kind { path: "/kv/txn", request: || Request::Txn(txn(Op::Txn(txn(put("k"))))), lost: Lost::Unknown },
    Kind { path: "/kv/txn", request: || Request::Txn(txn(Op::Range(read()))), lost: Lost::Repeated },
    Kind {
        path: "/kv/compaction",
        request: || Request::Compact { revision: 0, physical: false },
        lost: Lost::Unknown,
    },
    Kind { path: "/kv/range", request: || Request::Range(read()), lost: Lost::Repeated },
    Kind {
        path: "/lease/grant",
        request: || Request::LeaseGrant { id: LEASE, ttl: 60 },
        lost: Lost::FoundOut,
    },
    Kind { path: "/lease/revoke", request: || Request::LeaseRevoke { id: LEASE }, lost: Lost::FoundOut },
    Kind {
        path: "/lease/keepalive",
        request: || Request::LeaseKeepAlive { id: LEASE },
        lost: Lost::Repeated,
    },
    Kind {
        path: "/lease/timetolive",
        request: || Request::LeaseTimeToLive { id: LEASE, keys: true },
        lost: Lost::Repeated,
    },
    Kind { path: "/lease/leases", request: || Request::Leases, lost: Lost::Repeated },
    Kind { path: "/member/list", request: || Request::Members, lost: Lost::Repeated },
    Kind { path: "/maintenance/status", request: || Request::Status, lost: Lost::Repeated },
    Kind {
        path: "/maintenance/alarm",
        request: || {
            let alarm = Alarm { member: 0, kind: AlarmKind::NoSpace };
            Request::Alarm { action: AlarmAction::Deactivate, alarm }
        },
        lost: Lost::Repeated,
    },
];

fn all() -> KeyRange {
    KeyRange::prefix("")
}

fn read() -> RangeRequest {
    RangeRequest::new(all())
}

fn put(key: &str) -> Op {
    Op::Put(PutRequest::new(key, "v"))
}

fn txn(op: Op) -> TxnRequest {
    TxnRequest { then: vec![op], ..TxnRequest::default() }
}

/// What the server needs for the request to do something, whatever was done before.
fn prepare(direct: &Client, request: &mut Request) {
    direct.delete(all()).expect("a deletion");
    direct.revoke(LEASE).expect("gone is gone");
    let newest = direct.put("k", "before", 0).expect("a put");
    match request {
        Request::LeaseGrant { .. } => {}
        Request::Compact { revision, .. } => *revision = newest,
        _ => drop(direct.call(&Request::LeaseGrant { id: LEASE, ttl: 60 }).expect("a lease")),
    }
}

/// The revision, which counts what was done.
fn revision(direct: &Client) -> i64 {
    direct.range(read()).expect("a read").0
}

fn lose(etcd: &Etcd, kind: &Kind, nth: usize, then: After) {
    let direct = client(&etcd.servers(), &[]);
    let mut request = (kind.request)();
    prepare(&direct, &mut request);
    let proxy = Proxy::start(etcd.port());
    // A second endpoint stands ready: what must not be repeated must not be sent there either.
    let endpoints = format!("{},{}", proxy.servers(), etcd.servers());
    let through = client(&endpoints, &[("request_timeout_ms", "600")]);
    // Ones whose answers come, as far as the request can be made more than once.
    let before = if kind.lost == Lost::FoundOut || kind.path == "/kv/compaction" { 0 } else { nth - 1 };
    for _ in 0..before {
        through.call(&request).expect("an answer");
    }
    let seen = revision(&direct);
    let asked = proxy.requests(kind.path);
    proxy.swallow(kind.path, 1, then);
    let answer = through.call(&request);
    let what = format!("{request:?}, {nth}th, {then:?}");
    assert_eq!(proxy.swallowed(), 1, "{what}");
    judge(kind.lost, answer, &what);
    assert_eq!(proxy.requests(kind.path), asked + 1, "{what}: sent there once");
    let done = revision(&direct) - seen;
    let writes = matches!(request, Request::Put(_) | Request::Txn(_)) && kind.lost == Lost::Unknown;
    assert!(done <= 1 && (done == 1 || !writes), "{what}: done {done} times");
    check_effect(&direct, &request, &what);
}

fn judge(lost: Lost, answer: Result<Reply, Error>, what: &str) {
    match (lost, answer) {
        (Lost::Unknown | Lost::FoundOut, Ok(reply)) => panic!("{what}: success: {reply:?}"),
        (Lost::Unknown | Lost::FoundOut, Err(error)) => {
            assert_eq!(error.outcome(), Outcome::Unknown, "{what}: {error}");
        }
        (Lost::Repeated, answer) => drop(answer.unwrap_or_else(|error| panic!("{what}: {error}"))),
    }
}

fn check_effect(direct: &Client, request: &Request, what: &str) {
    let leases = direct.leases().expect("an answer");
    match request {
        Request::LeaseGrant { .. } => assert_eq!(leases, [LEASE], "{what}"),
        Request::LeaseRevoke { .. } => assert!(leases.is_empty(), "{what}: {leases:?}"),
        Request::Delete(_) => assert_eq!(direct.range(read()).expect("a read").1.count, 0, "{what}"),
        Request::Compact { .. } => {
            let again = direct.call(request).expect_err("done before");
            assert_eq!(again.kind(), etcd::ErrorKind::Compacted, "{what}");
        }
        _ => {}
    }
}

#[test]
fn lost_answers_of_every_request_to_etcd_end_in_the_truth() {
    let (versions, most) = if long() { (&ALL_VERSIONS[..], 6) } else { (&VERSIONS[1..2], 2) };
    for version in versions {
        let Some(etcd) = Etcd::start(version) else { return };
        for kind in &KINDS {
            for (nth, then) in (1..=most)
                .flat_map(|nth| [After::Close, After::Reset, After::Silence].map(|then| (nth, then)))
            {
                lose(&etcd, kind, nth, then);
            }
        }
    }
}

/// The broken twin: were writes repeated like reads, this is what would be seen.
#[test]
fn a_client_that_repeats_writes_to_etcd_writes_twice() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let direct = client(&etcd.servers(), &[]);
    for then in [After::Close, After::Reset, After::Silence] {
        let proxy = Proxy::start(etcd.port());
        let through = client(&format!("{},{}", proxy.servers(), etcd.servers()), &[]);
        let seen = direct.put("k", "before", 0).expect("a put");
        proxy.swallow("/kv/put", 1, then);
        let put = Request::Put(PutRequest::new("k", "v"));
        through.call_in(&through.context(), &put, Repeat::Harmless).expect("success, in spite of all");
        assert_eq!((proxy.swallowed(), revision(&direct) - seen), (1, 2), "{then:?}: done twice");
    }
}

#[test]
fn what_is_known_by_its_name_is_found_again_on_etcd() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let direct = client(&etcd.servers(), &[]);
    let proxy = Proxy::start(etcd.port());
    let through = client(&proxy.servers(), &[("request_timeout_ms", "2000")]);
    for then in [After::Close, After::Reset] {
        proxy.swallow("/lease/grant", 1, then);
        let lease = through.grant(60).expect("the second try finds the first");
        assert_eq!(direct.leases().expect("an answer"), [lease.id]);
        proxy.swallow("/lease/revoke", 1, then);
        through.revoke(lease.id).expect("gone is gone");
        assert!(direct.leases().expect("an answer").is_empty());
    }
    assert_eq!(proxy.swallowed(), 4);
}

#[test]
fn a_watch_of_etcd_whose_connection_fails_in_any_way_goes_on_without_a_gap() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let direct = client(&etcd.servers(), &[]);
    let proxy = Proxy::start(etcd.port());
    let through = client(&proxy.servers(), &[]);
    let mut watch = through.watch(WatchRequest::new(KeyRange::key("k"), 1));
    let never = etcd::wait::Deadline::after(Duration::from_secs(60));
    for number in 0..40 {
        direct.put("k", number.to_string(), 0).expect("a put");
        match number % 4 {
            0 => proxy.cut(),
            1 => proxy.reset_all(),
            _ => {}
        }
        let batch = watch.next(never, through.closed()).expect("it goes on");
        assert_eq!(batch.events[0].kv.value, number.to_string().as_bytes());
        assert_eq!(batch.events.len(), 1);
    }
}
