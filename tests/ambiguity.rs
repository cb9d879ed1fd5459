//! Answers that are lost after the server has done its work: each kind of request, the first and later ones, by a
//! connection that is closed, reset, or falls silent, or, where a connection carries more than one, goes on without it.
//! A write ends as unknown, never as success, and is never sent twice; a read is repeated; a lease is found again.

use std::time::Duration;

use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, Error, Outcome};
use faultproxy::{After, Proxy};

use crate::support::{ALL_VERSIONS, Etcd, Protocol, Rpc, VERSIONS, client, long};

/// One kind of request.
struct Kind {
    rpc: Rpc,
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

const KINDS: [Kind; 16] = [
    Kind { rpc: Rpc::Put, request: || Request::Put(PutRequest::new("k", "v")), lost: Lost::Unknown },
    Kind {
        rpc: Rpc::DeleteRange,
        request: || Request::Delete(DeleteRequest::new(all())),
        lost: Lost::Unknown,
    },
    Kind { rpc: Rpc::Txn, request: || Request::Txn(txn(put("k"))), lost: Lost::Unknown },
    Kind { rpc: Rpc::Txn, request: || Request::Txn(txn(Op::Txn(txn(put("k"))))), lost: Lost::Unknown },
    Kind { rpc: Rpc::Txn, request: || Request::Txn(txn(Op::Range(read()))), lost: Lost::Repeated },
    Kind {
        rpc: Rpc::Compact,
        request: || Request::Compact { revision: 0, physical: false },
        lost: Lost::Unknown,
    },
    Kind { rpc: Rpc::Range, request: || Request::Range(read()), lost: Lost::Repeated },
    Kind {
        rpc: Rpc::LeaseGrant,
        request: || Request::LeaseGrant { id: LEASE, ttl: 60 },
        lost: Lost::FoundOut,
    },
    Kind { rpc: Rpc::LeaseRevoke, request: || Request::LeaseRevoke { id: LEASE }, lost: Lost::FoundOut },
    Kind {
        rpc: Rpc::LeaseKeepAlive,
        request: || Request::LeaseKeepAlive { id: LEASE },
        lost: Lost::Repeated,
    },
    Kind {
        rpc: Rpc::LeaseTimeToLive,
        request: || Request::LeaseTimeToLive { id: LEASE, keys: true },
        lost: Lost::Repeated,
    },
    Kind { rpc: Rpc::LeaseLeases, request: || Request::Leases, lost: Lost::Repeated },
    Kind { rpc: Rpc::MemberList, request: || Request::Members, lost: Lost::Repeated },
    Kind { rpc: Rpc::Status, request: || Request::Status, lost: Lost::Repeated },
    Kind { rpc: Rpc::HashKv, request: || Request::HashKv { revision: 0 }, lost: Lost::Repeated },
    Kind {
        rpc: Rpc::Alarm,
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

/// What may become of a connection: where one request has it for itself, going on is falling silent.
fn afters(protocol: Protocol) -> &'static [After] {
    let all = &[After::Close, After::Reset, After::Silence, After::Continue];
    if protocol == Protocol::Grpc { all } else { &all[..3] }
}

fn lose(etcd: &Etcd, protocol: Protocol, kind: &Kind, nth: usize, then: After) {
    let direct = client(&etcd.servers(), &[]);
    let mut request = (kind.request)();
    prepare(&direct, &mut request);
    let proxy = Proxy::start(etcd.port());
    // A second endpoint stands ready: what must not be repeated must not be sent there either.
    let endpoints = protocol.endpoints(&format!("{},{}", proxy.servers(), etcd.servers()));
    // The more is tried, the surer the machine stands still for a second somewhere in between.
    let timeout = if long() { "3000" } else { "1500" };
    let through = client(&endpoints, &[("request_timeout_ms", timeout)]);
    let what = format!("{request:?} by {protocol:?}, {nth}th, {then:?}");
    // Ones whose answers come, as far as the request can be made more than once.
    let once = kind.lost == Lost::FoundOut || kind.rpc == Rpc::Compact;
    for before in 1..if once { 1 } else { nth } {
        through.call(&request).unwrap_or_else(|error| panic!("{what}, the {before}th: {error}"));
    }
    let seen = revision(&direct);
    let path = protocol.path(kind.rpc);
    let asked = proxy.requests(path);
    proxy.swallow(path, 1, then);
    let answer = through.call(&request);
    assert_eq!(proxy.swallowed(), 1, "{what}");
    judge(kind.lost, answer, &what);
    assert_eq!(proxy.requests(path), asked + 1, "{what}: sent there once");
    let done = revision(&direct) - seen;
    let writes = matches!(request, Request::Put(_) | Request::Txn(_)) && kind.lost == Lost::Unknown;
    assert!(done <= 1 && (done == 1 || !writes), "{what}: done {done} times");
    check_effect(&direct, &request, &what);
    // The same client goes on.
    through.get("k").unwrap_or_else(|error| panic!("{what}: {error}"));
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

/// Each kind, the first time and later; several kinds at a time, on a server of their own, since most of the time is
/// spent on waiting for answers.
fn lose_all(protocol: Protocol) {
    const AT_A_TIME: usize = 4;
    let (versions, most) = if long() { (&ALL_VERSIONS[..], 6) } else { (&VERSIONS[1..2], 2) };
    for version in versions {
        let servers: Option<Vec<Etcd>> = (0..AT_A_TIME).map(|_| Etcd::start(version)).collect();
        let Some(servers) = servers else { return };
        std::thread::scope(|scope| {
            for (first, etcd) in servers.iter().enumerate() {
                let lose_each = move |kind: &Kind| {
                    // The oldest gateway has no hashes.
                    if protocol == Protocol::Json && kind.rpc == Rpc::HashKv && version.starts_with("3.3.") {
                        return;
                    }
                    for nth in 1..=most {
                        afters(protocol).iter().for_each(|&then| lose(etcd, protocol, kind, nth, then));
                    }
                };
                scope.spawn(move || KINDS.iter().skip(first).step_by(AT_A_TIME).for_each(lose_each));
            }
        });
    }
}

#[test]
fn lost_answers_of_every_request_to_etcd_end_in_the_truth() {
    lose_all(Protocol::Grpc);
}

#[test]
fn lost_answers_of_every_request_to_the_gateway_of_etcd_end_in_the_truth() {
    lose_all(Protocol::Json);
}

/// The broken twin: were writes repeated like reads, this is what would be seen.
#[test]
fn a_client_that_repeats_writes_to_etcd_writes_twice() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let direct = client(&etcd.servers(), &[]);
    for (protocol, then) in each_way() {
        let proxy = Proxy::start(etcd.port());
        let endpoints = protocol.endpoints(&format!("{},{}", proxy.servers(), etcd.servers()));
        let through = client(&endpoints, &[("request_timeout_ms", "2000")]);
        let seen = direct.put("k", "before", 0).expect("a put");
        proxy.swallow(protocol.path(Rpc::Put), 1, then);
        let put = Request::Put(PutRequest::new("k", "v"));
        through.call_in(&through.context(), &put, Repeat::Harmless).expect("success, in spite of all");
        let done = revision(&direct) - seen;
        assert_eq!((proxy.swallowed(), done), (1, 2), "{protocol:?}, {then:?}: done twice");
    }
}

fn each_way() -> impl Iterator<Item = (Protocol, After)> {
    Protocol::BOTH.into_iter().flat_map(|protocol| afters(protocol).iter().map(move |&then| (protocol, then)))
}

#[test]
fn what_is_known_by_its_name_is_found_again_on_etcd() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let direct = client(&etcd.servers(), &[]);
    for protocol in Protocol::BOTH {
        let proxy = Proxy::start(etcd.port());
        let through = client(&protocol.endpoints(&proxy.servers()), &[("request_timeout_ms", "2000")]);
        for then in [After::Close, After::Reset] {
            proxy.swallow(protocol.path(Rpc::LeaseGrant), 1, then);
            let lease = through.grant(60).expect("the second try finds the first");
            assert_eq!(direct.leases().expect("an answer"), [lease.id]);
            proxy.swallow(protocol.path(Rpc::LeaseRevoke), 1, then);
            through.revoke(lease.id).expect("gone is gone");
            assert!(direct.leases().expect("an answer").is_empty());
        }
        assert_eq!(proxy.swallowed(), 4, "{protocol:?}");
    }
}

#[test]
fn a_watch_of_etcd_whose_connection_fails_in_any_way_goes_on_without_a_gap() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let direct = client(&etcd.servers(), &[]);
    for protocol in Protocol::BOTH {
        let proxy = Proxy::start(etcd.port());
        let through = client(&protocol.endpoints(&proxy.servers()), &[]);
        let from = revision(&direct) + 1;
        let mut watch = through.watch(WatchRequest::new(KeyRange::key("k"), from));
        let never = Deadline::after(Duration::from_secs(60));
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
        let connections = proxy.connections();
        assert!(connections > 10, "{protocol:?}: it must have been cut off often, not {connections} times");
    }
}

/// A server's answer that a watch was created is lost, and so is all that comes behind it.
#[test]
fn a_watch_of_etcd_that_is_not_confirmed_is_opened_elsewhere_and_sees_everything() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let direct = client(&etcd.servers(), &[]);
    for (protocol, then) in each_way() {
        let proxy = Proxy::start(etcd.port());
        let endpoints = protocol.endpoints(&format!("{},{}", proxy.servers(), etcd.servers()));
        let through = client(&endpoints, &[("request_timeout_ms", "1000")]);
        let from = direct.put("k", "before", 0).expect("a put");
        proxy.swallow(protocol.path(Rpc::Watch), 1, then);
        let mut watch = through.watch(WatchRequest::new(KeyRange::key("k"), from));
        let soon = Deadline::after(Duration::from_secs(5));
        watch.open(soon, through.closed()).expect("the second one confirms it");
        direct.put("k", "after", 0).expect("a put");
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let batch = watch.next(soon, through.closed()).expect("a change");
            seen.extend(batch.events.into_iter().map(|event| event.kv.value));
        }
        assert_eq!(seen, [&b"before"[..], b"after"], "{protocol:?}, {then:?}");
        assert_eq!(proxy.swallowed(), 1, "{protocol:?}, {then:?}");
    }
}

/// A connection or stream that fell silent is not waited for by those that come later.
#[test]
fn a_silent_connection_to_etcd_holds_up_nothing_that_comes_later() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let direct = client(&etcd.servers(), &[]);
    let lease = direct.grant(60).expect("a lease").id;
    let keep = |client: &Client| client.keep_alive(lease).map(drop);
    let watch = |client: &Client| {
        let mut watch = client.watch(WatchRequest::new(KeyRange::key("k"), 0));
        watch.open(Deadline::NEVER, client.closed()).map(drop)
    };
    type Call<'a> = &'a dyn Fn(&Client) -> Result<(), Error>;
    let read = |client: &Client| client.get("k").map(drop);
    let write = |client: &Client| client.put("k", "v", 0).map(drop);
    let calls: [(Rpc, Call); 4] =
        [(Rpc::Range, &read), (Rpc::Put, &write), (Rpc::LeaseKeepAlive, &keep), (Rpc::Watch, &watch)];
    for (rpc, call) in calls {
        for (protocol, then) in each_way() {
            let what = format!("{protocol:?}, {rpc:?}, {then:?}");
            let proxy = Proxy::start(etcd.port());
            let through = client(&protocol.endpoints(&proxy.servers()), &[("request_timeout_ms", "1000")]);
            call(&through).unwrap_or_else(|error| panic!("{what}, before: {error}"));
            proxy.swallow(protocol.path(rpc), 1, then);
            let _ = call(&through);
            assert_eq!(proxy.swallowed(), 1, "{what}");
            call(&through).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}
