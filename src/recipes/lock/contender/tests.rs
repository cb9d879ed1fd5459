use std::sync::atomic::Ordering;

use super::*;
use crate::options::Options;
use crate::store::Store;
use crate::wait::{Cancel, Mailbox};

fn client() -> Client {
    let mut options = Options::new();
    options.set("endpoints", "mem://").unwrap();
    Client::open(options).unwrap()
}

/// Hands on what it is told.
struct Told(Mailbox<Option<Ended>>);

impl Owner for Told {
    fn acquired(&self, _: &Contender) {
        self.0.push(None);
    }

    fn ended(&self, how: Ended) {
        self.0.push(Some(how));
    }
}

type Mail = Mailbox<Option<Ended>>;

fn want(client: &Client, ttl: i64, until: Deadline) -> (Contender, Mail) {
    want_named(client, b"l", ttl, until)
}

fn want_named(client: &Client, name: &[u8], ttl: i64, until: Deadline) -> (Contender, Mail) {
    let told = Mailbox::default();
    let wanted = Wanted { name: name.into(), ttl, value: b"v".to_vec(), until };
    (Contender::new(client, wanted, Arc::new(Told(told.clone()))), told)
}

fn next(told: &Mail) -> Option<Ended> {
    told.recv(Deadline::after(Duration::from_secs(5)), Cancel::NEVER).expect("something is told")
}

fn silent(told: &Mail) -> bool {
    told.recv(Deadline::after(Duration::from_millis(100)), Cancel::NEVER).is_err()
}

fn queue(client: &Client) -> Vec<Vec<u8>> {
    let (_, found) = client.range(RangeRequest::new(KeyRange::prefix("l/"))).unwrap();
    found.kvs.into_iter().map(|kv| kv.key).collect()
}

#[test]
fn contenders_hold_the_lock_one_after_the_other_in_the_order_of_their_tokens() {
    let client = client();
    let all: Vec<_> = (0..20).map(|_| want(&client, 10, Deadline::NEVER)).collect();
    let mut last = 0;
    for (contender, told) in &all {
        assert!(next(told).is_none(), "acquired");
        assert!(contender.token() > last && contender.remaining().is_some());
        last = contender.token();
        for (_, other) in all.iter().filter(|(other, _)| other.token() > last).take(1) {
            assert!(silent(other), "one at a time");
        }
        let released = Mailbox::default();
        let done = released.clone();
        contender.release(Box::new(move |result| done.push(result.unwrap())));
        assert_eq!(released.recv(Deadline::NEVER, Cancel::NEVER), Ok(true));
        assert!(matches!(next(told), Some(Ended::Released(true))));
        assert!(contender.remaining().is_none());
    }
    assert!(queue(&client).is_empty());
}

#[test]
fn what_ends_in_another_history_than_it_began_in_says_so() {
    let mut options = Options::new();
    options.set("endpoints", "mem://locks-restored").unwrap();
    let (client, store) = (Client::open(options).unwrap(), Store::open("locks-restored"));
    let (holder, held) = want(&client, 60, Deadline::NEVER);
    assert!(next(&held).is_none(), "acquired");
    let (_waiting, waits) = want(&client, 60, Deadline::NEVER);
    assert!(silent(&waits));
    store.reset(false);
    client.get("k").expect_err("the history went back");
    // The word of a keep-alive, before anything else finds out.
    holder.0.session_lost(&Error::new(ErrorKind::Lost, "its lease has ended"));
    let is_other = |error: &Error| assert_eq!(error.kind(), ErrorKind::OtherCluster, "{error}");
    match next(&held) {
        Some(Ended::Lost(error)) => is_other(&error),
        other => panic!("not lost: {other:?}"),
    }
    match next(&waits) {
        Some(Ended::Failed(error)) => is_other(&error),
        other => panic!("not failed: {other:?}"),
    }
    let (_later, told) = want(&client, 60, Deadline::NEVER);
    assert!(next(&told).is_none(), "the new history goes on");
}

#[test]
fn whoever_tries_once_or_not_for_long_leaves_nothing() {
    let client = client();
    let (_holder, told) = want(&client, 10, Deadline::NEVER);
    assert!(next(&told).is_none());
    for wait in [0, 100] {
        let (_other, told) = want(&client, 10, Deadline::after(Duration::from_millis(wait)));
        let Some(Ended::Failed(error)) = next(&told) else { panic!("it was held") };
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.to_string().contains("before us"), "{error}");
    }
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(queue(&client).len(), 1);
}

#[test]
fn a_waiter_that_is_canceled_or_dies_lets_the_next_one_move_but_not_past_the_holder() {
    let client = client();
    let (holder, told) = want(&client, 10, Deadline::NEVER);
    assert!(next(&told).is_none());
    let (second, second_told) = want(&client, 10, Deadline::NEVER);
    let (_third, third_told) = want(&client, 10, Deadline::NEVER);
    assert!(silent(&second_told) && silent(&third_told));
    second.cancel();
    assert!(matches!(next(&second_told), Some(Ended::Failed(error)) if error.kind() == ErrorKind::Canceled));
    assert!(silent(&third_told), "the first one still holds it");
    holder.release(Box::new(|_| {}));
    assert!(next(&third_told).is_none());
}

#[test]
fn a_hold_lives_on_beyond_its_ttl_and_its_loss_is_told_once() {
    let client = client();
    let (holder, told) = want(&client, 2, Deadline::NEVER);
    assert!(next(&told).is_none());
    std::thread::sleep(Duration::from_secs(3));
    assert!(holder.remaining().is_some(), "kept alive");
    client.delete(KeyRange::key(holder.key())).unwrap();
    assert!(matches!(next(&told), Some(Ended::Lost(error)) if error.kind() == ErrorKind::Lost));
    assert!(holder.remaining().is_none() && silent(&told));
}

#[test]
fn a_waiter_whose_lease_is_revoked_is_told_and_never_holds() {
    let client = client();
    let (holder, told) = want(&client, 10, Deadline::NEVER);
    assert!(next(&told).is_none());
    let (waiter, waiting) = want(&client, 10, Deadline::NEVER);
    assert!(silent(&waiting));
    let found = client.get(waiter.key()).unwrap().unwrap();
    client.revoke(found.lease).unwrap();
    assert!(matches!(next(&waiting), Some(Ended::Failed(error)) if error.kind() == ErrorKind::Lost));
    holder.release(Box::new(|_| {}));
    assert!(silent(&waiting));
}

#[test]
fn only_a_holder_proclaims() {
    let client = client();
    let (holder, told) = want(&client, 10, Deadline::NEVER);
    assert!(next(&told).is_none());
    let proclaim = |contender: &Contender| {
        let answer = Mailbox::default();
        let told = answer.clone();
        contender.proclaim(b"new", Box::new(move |result| told.push(result)));
        answer.recv(Deadline::NEVER, Cancel::NEVER).unwrap()
    };
    proclaim(&holder).unwrap();
    assert_eq!(client.get(holder.key()).unwrap().unwrap().value, b"new");
    let (waiter, waiting) = want(&client, 10, Deadline::NEVER);
    assert!(silent(&waiting));
    assert_eq!(proclaim(&waiter).unwrap_err().kind(), ErrorKind::NotHeld);
}

#[test]
fn who_comes_to_a_lease_that_somebody_revoked_takes_another_one_and_the_others_under_it_are_told() {
    let client = client();
    let (holder, holding) = want(&client, 60, Deadline::NEVER);
    assert!(next(&holding).is_none());
    client.call(&Request::LeaseRevoke { id: holder.lease() }).unwrap();
    let (other, told) = want_named(&client, b"other", 60, Deadline::NEVER);
    assert!(next(&told).is_none(), "it is not the fault of who came last");
    assert!(other.lease() != holder.lease() && other.remaining().is_some());
    assert!(matches!(next(&holding), Some(Ended::Lost(_))));
}

#[test]
fn who_is_behind_the_holder_alone_reads_nothing_but_its_own_place_when_that_goes() {
    let client = client();
    let all: Vec<_> = (0..3).map(|_| want(&client, 60, Deadline::NEVER)).collect();
    assert!(next(&all[0].1).is_none());
    let turn = |at: usize| {
        let state = lock(&all[at].0.0.state);
        (state.first, state.neighbour.as_ref().is_some_and(|held| held.load(Ordering::SeqCst)))
    };
    let is_queued = |at: usize| all[at].0.token() > 0 && lock(&all[at].0.0.state).before.is_some();
    while !(is_queued(1) && is_queued(2)) {
        std::thread::yield_now();
    }
    assert_eq!((turn(1), turn(2)), ((true, true), (false, false)));
    all[0].0.release(Box::new(|_| {}));
    assert!(next(&all[1].1).is_none());
    assert_eq!(turn(2), (false, true), "the one before it holds the lock now");
    all[1].0.release(Box::new(|_| {}));
    assert!(next(&all[2].1).is_none());
}

#[test]
fn who_is_behind_one_that_gives_up_does_not_take_its_turn_from_the_holder() {
    let client = client();
    let all: Vec<_> = (0..3).map(|_| want(&client, 60, Deadline::NEVER)).collect();
    assert!(next(&all[0].1).is_none());
    all[1].0.cancel();
    assert!(silent(&all[2].1), "the first one still holds it");
    all[0].0.release(Box::new(|_| {}));
    assert!(next(&all[2].1).is_none());
}
