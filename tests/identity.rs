//! Clusters that were replaced, or restored from a backup, behind a client's back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use etcd::model::*;
use etcd::recipes::election::{Audience, Observer};
use etcd::wait::Deadline;
use etcd::{Client, Error, ErrorKind, Outcome, Result};

use crate::locks::contender::{One, take, want};
use crate::support::http2::{self, Fake};
use crate::support::{ALL_VERSIONS, Etcd, Protocol, Rpc, VERSIONS, client, eventually};

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
        let error = client.put("k", "new", 0).expect_err("the calls are told, too");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::OtherCluster, Outcome::NotSent), "{error}");
        assert_eq!(client.put("k", "new", 0).expect("the new history goes on"), 2);
        let another = acquainted_by_calls(&etcd);
        etcd.replace("--initial-cluster-token=etcd-cluster");
        let error = another.put("k", "v", 0).expect_err("it went back");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::OtherCluster, Outcome::Unknown));
        another.put("k", "v", 0).expect("from here on the new history counts");
    }
}

/// How long a loss may take to be seen: a TTL and more.
const LONG: Duration = Duration::from_secs(40);

/// Tells how following an election ended.
struct Follows(Sender<Error>);

impl Audience for Follows {
    fn leader(&self, _: i64, _: Option<&KeyValue>) {}

    fn ended(&self, error: Error) {
        let _ = self.0.send(error);
    }
}

/// A lock that is held, one that is waited for behind another client's, and the one before it.
fn held_and_waiting(client: &Client, other: &Client, ttl: i64) -> (One, One, One) {
    let (held, before, waiting) =
        (take(client, "held", ttl), take(other, "queue", 60), want(client, "queue", ttl));
    eventually(LONG, "it is in the queue", || waiting.contender.before());
    (held, waiting, before)
}

fn is_told_so(error: &Error, outcome: Outcome) {
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::OtherCluster, outcome), "{error}");
}

#[test]
fn all_that_is_open_and_a_call_are_told_that_the_history_of_etcd_went_back() {
    for protocol in Protocol::BOTH {
        let Some(mut etcd) = Etcd::start(VERSIONS[1]) else { return };
        let endpoints = protocol.endpoints(&etcd.servers());
        let (client, other) = (client(&endpoints, &[]), client(&endpoints, &[]));
        for number in 0..50 {
            client.put("k", number.to_string(), 0).expect("a put");
        }
        let (held, waiting, _before) = held_and_waiting(&client, &other, 60);
        let (tell, followed) = channel();
        let _observer = Observer::new(&client, b"held", Arc::new(Follows(tell)));
        // The same member and token: the same cluster id.
        etcd.replace("--initial-cluster-token=etcd-cluster");
        let ends = [held.lost(LONG), waiting.failed(LONG), followed.recv_timeout(LONG).expect("an end")];
        for error in &ends {
            assert_eq!(error.kind(), ErrorKind::OtherCluster, "{protocol:?}: {error}");
            assert!(error.fault().contains("went back from revision 5"), "{protocol:?}: {error}");
        }
        is_told_so(
            &client.get("k").expect_err("the locks' own reads were nobody's notice"),
            Outcome::NotSent,
        );
        assert_eq!(client.get("k").expect("from here on the new history counts"), None);
        take(&client, "held", 60).release().expect("locks, too");
    }
}

#[test]
fn a_watch_of_quiet_keys_is_told_that_the_history_of_etcd_went_back_behind_what_the_client_knew() {
    for protocol in Protocol::BOTH {
        let Some(mut etcd) = Etcd::start(VERSIONS[1]) else { return };
        let client = client(&protocol.endpoints(&etcd.servers()), &[]);
        // All that its server told it is revision 1.
        let mut watch = client.watch(WatchRequest::new(KeyRange::key("quiet"), 0));
        watch.open(Deadline::after(LONG), client.closed()).expect("a watch");
        for number in 0..50 {
            client.put("k", number.to_string(), 0).expect("a put");
        }
        etcd.replace("--initial-cluster-token=etcd-cluster");
        acquainted_by_calls(&etcd);
        watch_ends_for_good(&mut watch, &client);
    }
}

/// A put that is submitted, not waited for.
fn submitted_put(client: &Client, key: &str) -> Result<Reply> {
    let (tell, told) = channel();
    let put = Arc::new(Request::Put(PutRequest::new(key, "v")));
    client.submit(put, Deadline::NEVER, Box::new(move |reply| drop(tell.send(reply))));
    told.recv_timeout(LONG).expect("an answer")
}

#[test]
fn nothing_is_written_to_another_cluster_of_etcd_that_was_recognised() {
    for protocol in Protocol::BOTH {
        let Some(mut etcd) = Etcd::start(VERSIONS[1]) else { return };
        let endpoints = protocol.endpoints(&etcd.servers());
        let (ours, other) = (client(&endpoints, &[]), client(&endpoints, &[]));
        ours.put("k", "v", 0).expect("a put");
        let (held, waiting, _before) = held_and_waiting(&ours, &other, 6);
        etcd.replace("--initial-cluster-token=another");
        is_told_so(&ours.get("k").expect_err("a read shows it"), Outcome::NotSent);
        for _ in 0..3 {
            is_told_so(&ours.put("k", "v", 0).expect_err("another cluster"), Outcome::NotSent);
            is_told_so(&submitted_put(&ours, "k").expect_err("another cluster"), Outcome::NotSent);
        }
        let put = TxnRequest { then: vec![Op::Put(PutRequest::new("k", "v"))], ..TxnRequest::default() };
        is_told_so(&ours.txn(put).expect_err("another cluster"), Outcome::NotSent);
        assert_eq!(held.lost(LONG).kind(), ErrorKind::OtherCluster, "{protocol:?}");
        assert_eq!(waiting.failed(LONG).kind(), ErrorKind::OtherCluster, "{protocol:?}");
        let stranger = client(&endpoints, &[]);
        let (revision, found) = stranger.range(RangeRequest::new(KeyRange::prefix(""))).expect("a read");
        assert_eq!((revision, found.kvs), (1, Vec::new()), "{protocol:?}: nothing was ever written");
        etcd.replace("--initial-cluster-token=etcd-cluster");
        // Back again, and empty.
        let back = || submitted_put(&ours, "k").ok();
        eventually(LONG, "writes are taken again", back);
    }
}

/// A member that is cut off from the others (so that it can't be made with a real one by stopping processes):
/// it has revision 1, takes watches, and never answers what needs the others. Tells what it was asked about.
fn cut_off_member(protocol: Protocol) -> (String, Receiver<String>) {
    match protocol {
        Protocol::Grpc => cut_off_server(),
        Protocol::Json => cut_off_gateway(),
    }
}

fn cut_off_server() -> (String, Receiver<String>) {
    let (tell, requests) = channel();
    let fake = Fake::answering(move |peer, asked| {
        if asked.path == Protocol::Grpc.path(Rpc::Watch) {
            let created = http2::message(&http2::created(1));
            return peer.send(&[http2::head(asked.stream), http2::data(asked.stream, &created)].concat());
        }
        let _ = tell.send(format!("{} {}", asked.path, String::from_utf8_lossy(&asked.message)));
        Ok(())
    });
    (fake.servers(), requests)
}

fn cut_off_gateway() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let (asked, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = asked.clone();
            std::thread::spawn(move || answer_alone(stream, &asked));
        }
    });
    (address, requests)
}

fn answer_alone(stream: TcpStream, asked: &Sender<String>) {
    let mut requests = BufReader::new(stream);
    while let Some(request) = whole_request(&mut requests) {
        let answer = if request.starts_with("GET /version") {
            "content-length: 22\r\n\r\n{\"etcdserver\":\"3.5.0\"}"
        } else if request.starts_with("POST /v3/watch") {
            "transfer-encoding: chunked\r\n\r\n36\r\n\
             {\"result\":{\"header\":{\"revision\":\"1\"},\"created\":true}}\n\r\n"
        } else {
            let _ = asked.send(request);
            continue;
        };
        let _ = requests.get_mut().write_all(format!("HTTP/1.1 200 OK\r\n{answer}").as_bytes());
    }
}

/// The next request's head and body; `None` at the end.
fn whole_request(requests: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut text, mut length) = (String::new(), 0);
    while !text.ends_with("\r\n\r\n") {
        let start = text.len();
        requests.read_line(&mut text).ok().filter(|&size| size > 0)?;
        let line = text[start..].to_ascii_lowercase();
        length = line.strip_prefix("content-length: ").and_then(|n| n.trim().parse().ok()).unwrap_or(length);
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body).ok()?;
    Some(text + &String::from_utf8_lossy(&body))
}

#[test]
fn a_watch_leaves_a_member_that_is_cut_off_from_the_other_ones_of_etcd() {
    // The key, as the servers call it, and as it is written.
    leave_cut_off_member(Protocol::Grpc, "ns/k");
    leave_cut_off_member(Protocol::Json, "bnMvaw==");
}

fn leave_cut_off_member(protocol: Protocol, key: &str) {
    let Some(mut etcd) = Etcd::start(VERSIONS[1]) else { return };
    let (cut_off, requests) = cut_off_member(protocol);
    let endpoints = protocol.endpoints(&format!("{},{cut_off}", etcd.servers()));
    let client = client(&endpoints, &[("namespace", "ns/"), ("request_timeout_ms", "1500")]);
    for number in 0..5 {
        client.put("k", number.to_string(), 0).expect("a put");
    }
    let mut watch = client.watch(WatchRequest::new(KeyRange::key("k"), 6));
    watch.next(Deadline::NEVER, client.closed()).expect("a change");
    etcd.kill();
    std::thread::scope(|scope| {
        let next = scope.spawn(|| watch.next(Deadline::after(Duration::from_secs(30)), client.closed()));
        // It is asked for what only the cluster knows, about a key as the servers call it.
        let asked = requests.recv_timeout(Duration::from_secs(20)).expect("it is asked");
        assert!(asked.contains(protocol.path(Rpc::Range)) && asked.contains(key), "{asked}");
        etcd.revive();
        let put = || client.put("k", "after", 0).ok();
        eventually(Duration::from_secs(20), "the cluster takes writes again", put);
        let batch = next.join().expect("no panic").expect("the watch is back with it");
        assert_eq!(batch.events[0].kv.value, b"after");
    });
}

#[test]
fn a_healthy_etcd_cluster_is_never_taken_for_another_one() {
    let Some(mut members) = Etcd::start_three(VERSIONS[1]) else { return };
    let endpoints = members.iter().map(Etcd::servers).collect::<Vec<_>>().join(",");
    let stop = AtomicBool::new(false);
    let errors: Vec<etcd::Error> = std::thread::scope(|scope| {
        let client = client(&endpoints, &[("request_timeout_ms", "3000")]);
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (client, stop) = (client.clone(), &stop);
                scope.spawn(move || {
                    let mut errors = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        let key = format!("k{thread}");
                        let old =
                            RangeRequest { serializable: true, ..RangeRequest::new(KeyRange::key(&key[..])) };
                        errors.extend(client.put(&key[..], "v", 0).err());
                        errors.extend(client.get(&key[..]).err());
                        errors.extend(client.range(old).err());
                        errors.extend(client.txn(TxnRequest::default()).err());
                    }
                    errors
                })
            })
            .collect();
        for member in &mut members {
            std::thread::sleep(Duration::from_secs(1));
            member.kill();
            std::thread::sleep(Duration::from_secs(1));
            member.revive();
        }
        stop.store(true, Ordering::SeqCst);
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let other = errors.iter().find(|error| error.kind() == ErrorKind::OtherCluster);
    assert!(other.is_none(), "{other:?}");
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
