//! The list of endpoints, made anew from the members of the cluster.

use std::time::Duration;

use crate::support::{Etcd, Protocol, VERSIONS, client, eventually};

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
