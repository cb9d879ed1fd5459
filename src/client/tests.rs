//! The client core on the embedded store, with its faults.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::error::Outcome;
use crate::store::{Clock, Effect, Fault, Store};
use crate::wait::Mailbox;

/// A store with faults at hand, and a client of it with these options.
fn client_of(name: &str, options: &[(&str, &str)]) -> (Arc<Store>, Client) {
    let store = Store::open_with(name, Clock::manual());
    let mut all = Options::new();
    all.set("endpoints", &format!("mem://{name}")).unwrap();
    options.iter().for_each(|(name, value)| all.set(name, value).unwrap());
    (store, Client::open(all).unwrap())
}

fn lost() -> Fault {
    Fault::new(Effect::LoseReply)
}

fn busy() -> Fault {
    Fault::new(Effect::Refuse(Error::from_server(8, "etcdserver: too many requests")))
}

#[test]
fn a_read_is_repeated_and_a_write_that_may_be_done_is_not() {
    let (store, client) = client_of("repeats", &[]);
    store.inject(lost());
    assert!(client.get("k").unwrap().is_none());
    store.inject(lost());
    let error = client.put("k", "v", 0).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(client.get("k").unwrap().unwrap().version, 1, "once");
}

#[test]
fn a_busy_server_is_asked_again_until_limit_or_budget_are_spent() {
    let (store, client) = client_of("busy", &[("retry_limit", "2"), ("retry_budget", "3")]);
    store.inject(busy().times(2));
    client.put("k", "v", 0).expect("the third attempt");
    store.inject(busy().times(3));
    let error = client.put("k", "v", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyRequests, "one of three repetitions was left");
    store.clear_faults();
    client.get("k").expect("a first attempt needs no budget");
}

#[test]
fn a_lease_whose_grant_was_not_answered_is_found_again() {
    let (store, client) = client_of("grants", &[]);
    store.inject(lost());
    let lease = client.grant(30).unwrap();
    assert_eq!((client.leases().unwrap(), lease.ttl), (vec![lease.id], 30));
}

#[test]
fn another_cluster_at_the_same_place_is_refused_for_good() {
    let (store, client) = client_of("replaced", &[]);
    client.put("k", "v", 0).unwrap();
    store.reset(true);
    let read = client.get("k").unwrap_err();
    assert_eq!((read.kind(), read.outcome()), (ErrorKind::OtherCluster, Outcome::NotSent));
    let written = client.put("k", "v", 0).unwrap_err();
    assert_eq!((written.kind(), written.outcome()), (ErrorKind::OtherCluster, Outcome::NotSent));
    assert!(written.to_string().contains("open a new session"), "{written}");
}

#[test]
fn a_history_that_went_back_is_told_to_the_next_call_and_to_every_watch() {
    let (store, client) = client_of("restored", &[]);
    let mut watch = client.watch(WatchRequest::new(KeyRange::key("k"), 1));
    for value in ["1", "2", "3"] {
        client.put("k", value, 0).unwrap();
    }
    let batch = watch.next(Deadline::NEVER, client.closed()).unwrap();
    assert_eq!(batch.events.len(), 3);
    store.reset(false);
    for _ in 0..2 {
        let error = watch.next(Deadline::NEVER, client.closed()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OtherCluster, "now and later: {error}");
        assert!(error.to_string().contains("from revision 4 to 1"), "{error}");
    }
    let error = client.get("k").unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::OtherCluster, Outcome::NotSent));
    assert!(client.get("k").unwrap().is_none(), "from here on the new history counts");
    let (store, client) = client_of("restored-too", &[]);
    client.put("k", "1", 0).unwrap();
    store.reset(false);
    assert_eq!(client.get("k").unwrap_err().kind(), ErrorKind::OtherCluster);
    client.put("k", "2", 0).expect("from here on the new history counts");
}

#[test]
fn a_watch_goes_on_behind_what_it_delivered_when_its_server_loses_the_leader() {
    let (store, client) = client_of("leaderless", &[]);
    let mut watch = client.watch(WatchRequest::new(KeyRange::key("k"), 0));
    let soon = || Deadline::after(Duration::from_millis(5));
    watch.next(soon(), client.closed()).unwrap_err();
    client.put("k", "1", 0).unwrap();
    assert_eq!(watch.next(Deadline::NEVER, client.closed()).unwrap().revision, 2);
    store.lose_leader();
    for _ in 0..2 {
        let error = watch.next(soon(), client.closed()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "only the wait is over: {error}");
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| watch.next(Deadline::NEVER, client.closed()));
        std::thread::sleep(Duration::from_millis(100));
        store.elect_leader();
        client.put("k", "2", 0).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap().revision, 3);
    });
}

#[test]
fn a_watch_that_comes_too_late_is_told_what_is_kept() {
    let (_store, client) = client_of("compacted", &[]);
    for _ in 0..4 {
        client.put("k", "", 0).unwrap();
    }
    client.compact(4).unwrap();
    let mut watch = client.watch(WatchRequest::new(KeyRange::key("k"), 3));
    let error = watch.next(Deadline::NEVER, client.closed()).unwrap_err();
    assert_eq!((error.kind(), error.compact_revision()), (ErrorKind::Compacted, Some(4)));
}

#[test]
fn a_namespace_is_invisible_from_within_and_all_there_is() {
    let (_store, inside) = client_of("namespace", &[("namespace", "ns/")]);
    let (_, outside) = client_of("namespace", &[]);
    outside.put("other", "", 0).unwrap();
    outside.put("ns0", "", 0).unwrap();
    let mut watch =
        inside.watch(WatchRequest { prev_kv: true, ..WatchRequest::new(KeyRange::prefix(""), 1) });
    let lease = inside.grant(60).unwrap();
    inside.put("k", "1", lease.id).unwrap();
    inside.put("k", "2", lease.id).unwrap();
    let all = inside.range(RangeRequest::new(KeyRange::prefix(""))).unwrap().1;
    assert_eq!((all.kvs.len(), &all.kvs[0].key[..]), (1, &b"k"[..]));
    assert!(outside.get("ns/k").unwrap().is_some());
    let batch = watch.next(Deadline::NEVER, inside.closed()).unwrap();
    let names: Vec<&[u8]> = batch.events.iter().map(|event| &event.kv.key[..]).collect();
    assert_eq!(names, [b"k", b"k"]);
    assert_eq!(batch.events[1].prev_kv.as_ref().unwrap().key, b"k");
    assert_eq!(inside.time_to_live(lease.id, true).unwrap().unwrap().keys, [b"k"]);
    assert_eq!(inside.delete(KeyRange::from_key("a")).unwrap(), 1, "only what is inside");
    assert!(outside.get("other").unwrap().is_some());
}

#[test]
fn a_user_on_servers_that_know_no_users_is_no_fault_and_asked_for_once() {
    let (store, client) = client_of("users", &[("user", "me"), ("password", "secret")]);
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let count = move |request: &Request| {
        let is_login = matches!(request, Request::Authenticate { .. });
        counter.fetch_add(usize::from(is_login), Ordering::SeqCst);
        false
    };
    store.inject(Fault::new(Effect::LoseReply).of(count));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| drop(client.get("k").unwrap())));
        }
    });
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn options_that_can_not_be_right_are_refused_when_opening() {
    let open = |options: &[(&str, &str)]| {
        let mut all = Options::new();
        options.iter().for_each(|(name, value)| all.set(name, value).unwrap());
        Client::open(all).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(open(&[("password", "x")]).contains("user"));
    assert!(open(&[("endpoints", "https://h"), ("ca_file", "/nonexistent")]).contains("ca_file"));
    assert!(open(&[("endpoints", "https://h"), ("key_file", "/nonexistent")]).contains("cert_file"));
    assert!(open(&[("endpoints", "https://h"), ("server_name", "no name")]).contains("server_name"));
    assert!(open(&[("endpoints", "mem:// b")]).contains("mixed"));
}

#[test]
fn keys_on_patrol_are_missed_when_they_lose_their_leases() {
    let (_store, client) = client_of("patrol", &[]);
    let lease = client.grant(60).unwrap().id;
    let created = client.put("k", "v", lease).unwrap();
    let missed = Mailbox::default();
    let tell = missed.clone();
    let every = Duration::from_millis(20);
    let _post = client.patrol(vec![(b"k".to_vec(), created)], every, Arc::new(move |at| tell.push(at)));
    let told = |wait| missed.recv(Deadline::after(Duration::from_millis(wait)), Cancel::NEVER);
    told(100).expect_err("it is there");
    client.put("k", "v", 0).unwrap();
    assert_eq!(told(5000), Ok(0));
}
