//! Locks, which stand on all of the rest: fair, given up without a trace, lost with their lease.

use std::sync::Arc;
use std::time::Duration;

use etcd::ErrorKind;
use etcd::classic::Session;
use etcd::model::*;
use etcd::recipes::lock::contender::{Contender, Wanted};
use etcd::recipes::lock::{self, Place, Waiting};
use etcd::wait::{Cancel, Deadline};

use crate::cases;
use crate::subject::{Subject, prefix};

cases![
    waiters_are_served_in_their_order,
    who_gives_up_leaves_nothing,
    a_waiter_without_its_lease_does_not_hold,
    a_hold_outlives_its_ttl_and_ends_with_its_key,
    the_classic_functions_list_set_and_watch,
];

fn acquire(on: &Subject, wait: Duration) -> etcd::Result<Place> {
    lock::acquire(&on.client, b"l", 60, b"test", Deadline::after(wait), Cancel::NEVER)
}

fn queue(on: &Subject) -> usize {
    on.range(prefix("l/")).kvs.len()
}

fn wait_for_queue(on: &Subject, length: usize) {
    crate::support::eventually(Duration::from_secs(20), "they queue", || (queue(on) == length).then_some(()));
}

fn waiters_are_served_in_their_order(on: &Subject) {
    let first = acquire(on, Duration::ZERO).unwrap();
    std::thread::scope(|scope| {
        let mut waiters = Vec::new();
        for length in 2..=4 {
            waiters.push(scope.spawn(|| acquire(on, Duration::from_secs(30)).unwrap()));
            wait_for_queue(on, length);
        }
        let mut last = first;
        for waiter in waiters {
            assert!(!waiter.is_finished());
            assert!(lock::release(&on.client, &on.client.context(), &last.key, last.token).unwrap());
            let next = waiter.join().unwrap();
            assert!(next.token > last.token);
            last = next;
        }
    });
}

fn who_gives_up_leaves_nothing(on: &Subject) {
    let held = acquire(on, Duration::ZERO).unwrap();
    let leases = on.client.leases().unwrap().len();
    assert_eq!(acquire(on, Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(acquire(on, Duration::from_millis(300)).unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!((queue(on), on.client.leases().unwrap().len()), (1, leases));
    assert!(lock::release(&on.client, &on.client.context(), &held.key, held.token).unwrap());
    assert!(!lock::release(&on.client, &on.client.context(), &held.key, held.token).unwrap(), "once");
}

fn a_waiter_without_its_lease_does_not_hold(on: &Subject) {
    let held = acquire(on, Duration::ZERO).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| acquire(on, Duration::from_secs(30)));
        wait_for_queue(on, 2);
        let keys = on.range(RangeRequest { sort_by: SortBy::Create, ..prefix("l/") }).kvs;
        on.client.revoke(keys[1].lease).unwrap();
        lock::release(&on.client, &on.client.context(), &held.key, held.token).unwrap();
        assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::Lost);
    });
    assert_eq!(queue(on), 0);
}

fn a_hold_outlives_its_ttl_and_ends_with_its_key(on: &Subject) {
    let told = Waiting::default();
    let wanted = Wanted { name: b"l".to_vec(), ttl: 2, value: Vec::new(), until: Deadline::NEVER };
    let contender = Contender::new(&on.client, wanted, Arc::new(told.clone()));
    told.wait(&contender, Cancel::NEVER).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(contender.remaining().is_some());
    on.client.delete(KeyRange::key(contender.key())).unwrap();
    assert_eq!(told.wait(&contender, Cancel::NEVER).unwrap_err().kind(), ErrorKind::Lost);
    assert!(contender.remaining().is_none());
}

fn the_classic_functions_list_set_and_watch(on: &Subject) {
    let mut options = on.client.options().clone();
    if on.etcd.is_none() {
        options.endpoints = "mem://classic".into();
    }
    let session = Session::open(options).unwrap();
    session.set(b"d/a", b"1", None, 0).unwrap();
    session.set(b"d/b/c", b"2", None, 60).unwrap();
    assert_eq!(session.get(b"d").unwrap().unwrap(), b"d/a\nd/b");
    assert_eq!(session.set(b"d/a", b"x", Some(b"0"), 0).unwrap_err().kind(), ErrorKind::CompareFailed);
    session.set(b"d/a", b"3", Some(b"1"), 0).unwrap();
    session.delete(b"d/a", None).unwrap();
    assert_eq!(session.delete(b"d/a", None).unwrap_err().kind(), ErrorKind::KeyNotFound);
    let mut index = 1;
    let mut changes = Vec::new();
    for _ in 0..4 {
        let change = session.watch(b"d", Some(index), Deadline::after(Duration::from_secs(20))).unwrap();
        index = change.index + 1;
        changes.push(change.value);
    }
    let value = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(changes, [value("1"), value("2"), value("3"), None]);
}
