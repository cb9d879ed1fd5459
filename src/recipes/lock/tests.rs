use std::time::Duration;

use super::*;
use crate::options::Options;

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
fn a_hold_outlives_its_ttl_and_a_released_one_lets_the_next_in() {
    let client = client();
    let place = take(&client, 2, Duration::ZERO).unwrap();
    let token = place.token;
    let hold = Hold::keep(&client, place, |error| panic!("{error}")).unwrap();
    assert!(take(&client, 2, Duration::from_secs(3)).is_err(), "renewed by itself");
    assert!(hold.is_held());
    assert!(hold.release().unwrap());
    assert!(take(&client, 2, Duration::from_secs(1)).unwrap().token > token);
}

#[test]
fn a_lost_hold_says_so_at_once_and_stays_lost() {
    let client = client();
    let place = take(&client, 30, Duration::ZERO).unwrap();
    let lost = Mailbox::default();
    let told = lost.clone();
    let hold = Hold::keep(&client, place.clone(), move |error| told.push(error.kind())).unwrap();
    client.delete(KeyRange::key(&place.key[..])).unwrap();
    assert_eq!(lost.recv(Deadline::after(Duration::from_secs(1)), Cancel::NEVER), Ok(ErrorKind::Lost));
    assert!(!hold.is_held());
    let again = PutRequest { lease: place.lease.id, ..PutRequest::new(place.key.clone(), "") };
    client.call(&Request::Put(again)).unwrap();
    assert!(!hold.is_held());
    assert!(!hold.release().unwrap(), "it was not held any more");
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
