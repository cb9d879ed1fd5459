//! Watches of a past that was compacted: their queue is told so once, with the revision, and before anything else; with
//! resync, what has changed instead follows, also when the servers are hard to reach just then.

use std::time::Duration;

use etcd::client::queue::{Completion, Queue, What};
use etcd::client::{News, WatchMode};
use etcd::model::*;
use etcd::store::{Effect, Fault as Bad, Store};
use etcd::wait::Deadline;
use etcd::{Client, Error, ErrorKind};
use faultproxy::{After, Fault, Proxy};

use crate::support::{Etcd, Protocol, Rpc, VERSIONS, client};

const SOON: Duration = Duration::from_secs(60);
/// How often it is tried whether something else is told first.
const TIMES: usize = 20;

fn watch(client: &Client, from: i64, resync: bool) -> Queue {
    let queue = Queue::new(usize::MAX);
    let watch = WatchRequest::new(KeyRange::prefix("w/"), from);
    let mode = WatchMode { resync, ..WatchMode::default() };
    queue.watch(client, watch, mode, 1, Deadline::after(SOON)).expect("a tag that is free");
    queue
}

/// The next thing that is told, for people; keys without "w/".
fn told(queue: &Queue) -> String {
    let changed = |batch: WatchBatch| {
        let name = |event: Event| format!("{:?} {}", event.kind, quote(&event.kv.key[2..]));
        batch.events.into_iter().map(name).collect::<Vec<_>>().join(", ")
    };
    match queue.next(Deadline::after(SOON)) {
        Ok(Completion { what: What::News(news), .. }) => match news {
            News::Live(_) => "live".into(),
            News::Resuming(_) => "resuming".into(),
            News::Compacted(revision) => format!("compacted {revision}"),
            News::Changes(batch) => changed(batch),
            News::Resynced(batch) => format!("resynced {}", changed(batch)),
            other => format!("{other:?}"),
        },
        Ok(Completion { what: What::End(error), .. }) => format!("{:?}", error.kind()),
        other => format!("{other:?}"),
    }
}

fn all_told(queue: &Queue, all: &[&str]) {
    let told: Vec<String> = all.iter().map(|_| told(queue)).collect();
    assert_eq!(told, all);
}

/// Writes and deletes, and makes the last write the oldest revision that is kept.
fn make_past(client: &Client) -> i64 {
    client.put("w/gone", "", 0).expect("written");
    client.put("w/changed", "", 0).expect("written");
    client.delete(KeyRange::key("w/gone")).expect("deleted");
    let last = client.put("w/changed", "again", 0).expect("written");
    client.compact(last).expect("compacted");
    last
}

fn told_first(client: &Client) {
    let before = client.put("w/before", "", 0).expect("written");
    let oldest = make_past(client);
    let compacted = format!("compacted {oldest}");
    for time in 0..TIMES {
        let from = 1 + before * (time % 2) as i64;
        all_told(&watch(client, from, false), &[&compacted, "Compacted"]);
        let queue = watch(client, from, true);
        all_told(&queue, &[&compacted, r#"resynced Put "before", Put "changed""#, "live"]);
    }
    // What is kept can be watched.
    all_told(&watch(client, oldest, false), &["live", r#"Put "changed""#]);
}

#[test]
fn a_watch_of_a_compacted_past_on_mem_is_told_so_first() {
    told_first(&client("mem://", &[]));
}

#[test]
fn a_watch_of_a_compacted_past_of_etcd_is_told_so_first() {
    for version in VERSIONS {
        for protocol in Protocol::BOTH {
            let Some(etcd) = Etcd::start(version) else { return };
            told_first(&client(&protocol.endpoints(&etcd.servers()), &[]));
        }
    }
}

/// A watch that knows of a key, and is told of the rest.
fn watch_in_vain(watching: &Client, writing: &Client) -> Queue {
    let from = writing.put("w/gone", "", 0).expect("written");
    let queue = watch(watching, from, true);
    all_told(&queue, &["live", r#"Put "gone""#]);
    queue
}

const MISSED: &str = r#"resynced Put "changed", Delete "gone""#;

#[test]
fn a_watch_on_mem_whose_reads_for_a_resync_fail_is_told_once() {
    let (store, client) = (Store::open("resyncs"), client("mem://resyncs", &[("retry_limit", "0")]));
    let queue = watch_in_vain(&client, &client);
    let reads = |request: &Request| matches!(request, Request::Range(read) if !read.count_only);
    let away = Error::new(ErrorKind::Unavailable, "away");
    store.inject(Bad::new(Effect::Refuse(away)).of(reads).times(5));
    store.lose_leader();
    store.elect_leader();
    // Whatever it sees of this before it is compacted: that was not all.
    let oldest = make_past(&client);
    let compacted = format!("compacted {oldest}");
    let told: Vec<String> =
        std::iter::from_fn(|| Some(told(&queue))).take(20).take_while(|t| t != MISSED).collect();
    assert_eq!(told, ["resuming", &compacted]);
    all_told(&queue, &["live"]);
}

#[test]
fn a_watch_of_etcd_whose_reads_for_a_resync_fail_is_told_once() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        for protocol in Protocol::BOTH {
            let writing = client(&etcd.servers(), &[]);
            let proxy = Proxy::start(etcd.port());
            let watching = client(&protocol.endpoints(&proxy.servers()), &[("retry_limit", "0")]);
            let queue = watch_in_vain(&watching, &writing);
            proxy.set(Fault::Refuse);
            let compacted = format!("compacted {}", make_past(&writing));
            // The first looks whether its start is still there.
            (1..=6).for_each(|nth| proxy.swallow(protocol.path(Rpc::Range), nth, After::Close));
            proxy.set(Fault::Pass);
            all_told(&queue, &["resuming", &compacted, MISSED, "live"]);
            assert!(proxy.swallowed() >= 5, "only {} reads failed", proxy.swallowed());
            writing.delete(KeyRange::prefix("w/")).expect("deleted");
        }
    }
}
