use std::time::Duration;

use super::*;
use crate::options::Options;
use crate::sys;
use crate::wait::Deadline;

fn client() -> Client {
    let mut options = Options::new();
    options.set("endpoints", "mem://").unwrap();
    Client::open(options).unwrap()
}

fn take(client: &Client, ttl: i64, wait: Duration) -> Result<Place> {
    acquire(client, b"l", ttl, b"test", Deadline::after(wait), client.closed())
}

#[test]
fn only_keys_that_a_lease_made_are_in_the_queue() {
    let kv = |key: &str, lease| KeyValue { key: key.into(), lease, ..KeyValue::default() };
    for (key, lease, yes) in [
        ("l/694d77aa9e38260f", 1, true),
        ("l/1", 1, true),
        ("l/1", 0, false),
        ("l/", 1, false),
        ("l/694D77AA9E38260F", 1, false),
        ("l/694d77aa9e38260f0", 1, false),
        ("l/x/1", 1, false),
        ("l/name", 1, false),
    ] {
        assert_eq!(is_place(b"l/", &kv(key, lease)), yes, "{key} {lease}");
    }
}

#[test]
fn a_waiter_that_gives_up_leaves_nothing() {
    let client = client();
    let held = take(&client, 60, Duration::ZERO).expect("free");
    let error = take(&client, 60, Duration::from_millis(100)).expect_err("held");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let (_, queue) = client.range(RangeRequest::new(KeyRange::prefix("l/"))).unwrap();
    assert_eq!(queue.kvs.len(), 1);
    assert_eq!(queue.kvs[0].key, held.key);
}

#[test]
fn data_and_other_locks_below_the_name_block_nobody() {
    let client = client();
    client.put("l/data", "", 0).unwrap();
    client.put("l/abc", "a stray key without lease", 0).unwrap();
    acquire(&client, b"l/inner", 60, b"", Deadline::NEVER, client.closed()).unwrap();
    take(&client, 60, Duration::from_millis(100)).expect("free");
}

#[test]
fn a_lock_is_left_to_its_ttl_which_runs_from_the_moment_it_is_held() {
    let client = client();
    let held = take(&client, 2, Duration::ZERO).unwrap();
    // Kept alive as long as it waits, which is until the first one's TTL is over.
    let next = take(&client, 2, Duration::from_secs(10)).unwrap();
    let taken = sys::boot_time();
    assert!(next.token > held.token && next.lease.id != held.lease.id);
    assert!(taken - next.lease.started < Duration::from_millis(150), "{:?}", taken - next.lease.started);
    take(&client, 2, Duration::from_secs(10)).unwrap();
    let lasted = sys::boot_time() - taken;
    assert!(lasted > Duration::from_millis(1800), "{lasted:?}");
}

#[test]
fn who_waits_while_its_place_is_moved_to_another_lease_goes_on_under_that() {
    let client = client();
    let held = take(&client, 60, Duration::ZERO).unwrap();
    let (waiting, other) = (client.clone(), client.grant(2).unwrap().id);
    let waiter = std::thread::spawn(move || take(&waiting, 60, Duration::from_secs(30)));
    let own = loop {
        let (_, queue) = client.range(RangeRequest::new(KeyRange::prefix("l/"))).unwrap();
        if let Some(own) = queue.kvs.into_iter().find(|kv| kv.key != held.key) {
            break own;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    client.put(&own.key[..], &own.value[..], other).unwrap();
    client.revoke(own.lease).unwrap();
    std::thread::sleep(Duration::from_secs(4));
    assert!(!waiter.is_finished(), "kept alive beyond its new TTL");
    assert!(leave(&client, &held).unwrap());
    let place = waiter.join().unwrap().unwrap();
    assert_eq!((place.token, place.lease.id, place.lease.ttl), (own.create_revision, other, 2));
}

#[test]
fn a_late_release_leaves_a_later_place_of_that_name_alone() {
    let client = client();
    let place = take(&client, 30, Duration::ZERO).unwrap();
    client.delete(KeyRange::key(&place.key[..])).unwrap();
    client.put(&place.key[..], "", place.lease.id).unwrap();
    assert!(!release(&client, &client.context(), &place.key, place.token).unwrap());
    assert!(client.get(&place.key[..]).unwrap().is_some());
}
