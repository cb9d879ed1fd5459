//! The list of endpoints, made anew from the members of the cluster.

use std::time::{Duration, Instant};

use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, ErrorKind, Outcome};

use crate::support::{Etcd, Jitter, Protocol, VERSIONS, client, eventually};

#[test]
fn the_members_of_an_etcd_cluster_become_the_endpoints() {
    for protocol in [Protocol::Grpc, Protocol::Json] {
        let Some(mut members) = Etcd::start_three(VERSIONS[1]) else { return };
        let only = protocol.endpoints(&members[0].servers());
        let client = client(&only, &[]);
        client.put("k", "1", 0).expect("a put");
        assert_eq!(client.endpoints().len(), 1);
        let mut listed = client.sync_members().expect("they are known");
        let mut expected: Vec<String> = members
            .iter()
            .map(|member| match protocol {
                Protocol::Grpc => format!("http://{}", member.servers()),
                Protocol::Json => format!("json+http://{}", member.servers()),
            })
            .collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected);
        members[0].kill();
        let put = || client.put("k", "2", 0).ok();
        eventually(Duration::from_secs(20), "the others take writes", put);
        assert_eq!(client.get("k").expect("a read").expect("a key").value, b"2");
    }
}

#[test]
fn a_client_that_is_told_to_lists_the_members_of_etcd_by_itself() {
    let Some(members) = Etcd::start_three(VERSIONS[1]) else { return };
    let client = client(&members[0].servers(), &[("sync_interval_ms", "1000")]);
    client.put("k", "1", 0).expect("a put");
    assert_eq!(client.endpoints().len(), 3, "with the first call");
}

/// A read that any member may answer from what it has, and who answered it.
fn read_anywhere(client: &Client) -> etcd::Result<(Vec<KeyValue>, u64)> {
    let read = RangeRequest { serializable: true, ..RangeRequest::new(KeyRange::key("k")) };
    let reply = client.call(&Request::Range(read))?;
    match reply.body {
        Body::Range(found) => Ok((found.kvs, reply.header.member_id)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_learner_of_etcd_answers_what_it_may_and_all_else_goes_to_a_voter_at_once() {
    for version in VERSIONS {
        let Some((voter, learner)) = Etcd::start_with_learner(version) else { return };
        voter.ask(&["put", "k", "v"]);
        for protocol in Protocol::BOTH {
            let alone = client(&protocol.endpoints(&learner.servers()), &[("request_timeout_ms", "1000")]);
            eventually(Duration::from_secs(20), "the learner has the data", || {
                read_anywhere(&alone).is_ok_and(|(kvs, _)| kvs.len() == 1).then_some(())
            });
            let error = alone.put("k", "refused", 0).expect_err("it has no vote");
            let wanted = (ErrorKind::Unavailable, Outcome::Refused);
            assert_eq!((error.kind(), error.outcome()), wanted, "{version} by {protocol:?}: {error}");

            let both = protocol.endpoints(&format!("{},{}", learner.servers(), voter.servers()));
            type Call = (&'static str, fn(&Client) -> etcd::Result<()>);
            let calls: [Call; 6] = [
                ("write", |c| c.put("k", "v", 0).map(drop)),
                ("read", |c| c.get("k").map(drop)),
                ("transaction", |c| c.txn(TxnRequest::default()).map(drop)),
                ("lease", |c| c.grant(60).and_then(|lease| c.keep_alive(lease.id)).map(drop)),
                ("watch", |c| {
                    let mut watch = c.watch(WatchRequest::new(KeyRange::key("k"), 2));
                    watch.next(Deadline::after(Duration::from_secs(10)), c.closed()).map(drop)
                }),
                ("members", |c| c.members().map(drop)),
            ];
            for (name, call) in calls {
                // Each with a client that knows nothing yet.
                let client = client(&both, &[]);
                let (start, jitter) = (Instant::now(), Jitter::measure());
                let what = format!("{version} by {protocol:?}: {name}");
                call(&client).unwrap_or_else(|error| panic!("{what}: {error}"));
                let limit = Duration::from_secs(1) + jitter.worst();
                assert!(start.elapsed() < limit, "{what}: {:?}", start.elapsed());
            }
            let (_, by) = read_anywhere(&client(&both, &[])).expect("the learner answers");
            let [(_, status)] = &alone.status()[..] else { panic!("one endpoint") };
            let (header, status) = status.as_ref().expect("it tells how it is");
            assert_eq!((header.member_id, status.is_learner), (by, true), "{version} by {protocol:?}");
            let listed = client(&both, &[]).sync_members().expect("a voter tells");
            assert!(listed.len() == 1 && listed[0].ends_with(&voter.servers()), "{listed:?}");
        }
    }
}
