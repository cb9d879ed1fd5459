//! Clusters that were replaced, or restored from a backup, behind a client's back.

use std::time::Duration;

use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, ErrorKind, Outcome};

use crate::support::{ALL_VERSIONS, Etcd, VERSIONS, client};

/// The client has seen revision 6, in answers and in a watch.
fn acquainted(etcd: &Etcd) -> (Client, etcd::client::Watcher) {
    let client = client(&etcd.servers(), &[("request_timeout_ms", "20000")]);
    for number in 0..5 {
        client.put("k", number.to_string(), 0).expect("a put");
    }
    let mut watch = client.watch(WatchRequest::new(KeyRange::key("k"), 6));
    watch.next(Deadline::NEVER, client.closed()).expect("a change");
    (client, watch)
}

fn watch_ends_for_good(watch: &mut etcd::client::Watcher, client: &Client) {
    for _ in 0..2 {
        let error =
            watch.next(Deadline::after(Duration::from_secs(20)), client.closed()).expect_err("it ends");
        assert_eq!(error.kind(), ErrorKind::OtherCluster, "{error}");
    }
}

#[test]
fn another_cluster_at_the_same_address_is_never_taken_for_the_one_before_on_etcd() {
    for version in ALL_VERSIONS {
        let Some(mut etcd) = Etcd::start(version) else { return };
        let (client, mut watch) = acquainted(&etcd);
        etcd.replace("--initial-cluster-token=another");
        watch_ends_for_good(&mut watch, &client);
        for _ in 0..2 {
            let error = client.get("k").expect_err("another cluster");
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::OtherCluster, Outcome::NotSent),
                "{error}"
            );
            assert!(error.to_string().contains(&etcd.servers()), "it says where: {error}");
        }
        acquainted(&etcd);
    }
}

#[test]
fn a_cluster_whose_history_went_back_is_noticed_on_etcd() {
    for version in ALL_VERSIONS {
        let Some(mut etcd) = Etcd::start(version) else { return };
        let (client, mut watch) = acquainted(&etcd);
        // The same member and token: the same cluster id, as after restoring a backup.
        etcd.replace("--initial-cluster-token=etcd-cluster");
        watch_ends_for_good(&mut watch, &client);
        client.put("k", "new", 0).expect("the watch's look at the cluster was the notice");
        let another = acquainted_by_calls(&etcd);
        etcd.replace("--initial-cluster-token=etcd-cluster");
        let error = another.put("k", "v", 0).expect_err("it went back");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::OtherCluster, Outcome::Unknown));
        another.put("k", "v", 0).expect("from here on the new history counts");
    }
}

fn acquainted_by_calls(etcd: &Etcd) -> Client {
    let client = client(&etcd.servers(), &[("request_timeout_ms", "20000")]);
    for number in 0..5 {
        client.put("k", number.to_string(), 0).expect("a put");
    }
    client
}

#[test]
fn an_endpoint_of_another_etcd_cluster_among_the_others_is_found_out_and_left() {
    let other = &["--initial-cluster-token=another"];
    let (Some(first), Some(second)) = (Etcd::start(VERSIONS[1]), Etcd::start_with(VERSIONS[1], other)) else {
        return;
    };
    let client =
        client(&format!("{},{}", first.servers(), second.servers()), &[("request_timeout_ms", "2000")]);
    client.put("k", "v", 0).expect("the first one answers");
    first.stop();
    let error = client.get("k").expect_err("the second one is another cluster");
    assert_eq!(error.kind(), ErrorKind::OtherCluster, "{error}");
    first.go_on();
    assert_eq!(client.get("k").expect("back at the first").expect("a key").value, b"v");
}
