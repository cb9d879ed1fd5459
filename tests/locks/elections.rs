//! Leaders that don't know yet that they are none, and those who follow an election.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use etcd::model::KeyValue;
use etcd::recipes::election::{Audience, Observer};
use etcd::recipes::inspect;
use etcd::{Client, Error, ErrorKind};
use faultproxy::Fault;

use super::contender::{SOON, take};
use super::{LOCK, etcd, ms, proxied, queue};
use crate::support::client;

/// An ex-leader proclaims while it believes to lead: the answer of the server that tells of its end is late.
#[test]
fn e1_a_leader_that_was_replaced_on_etcd_and_does_not_know_proclaims_nothing() {
    let Some(etcd) = etcd() else { return };
    let (proxy, through) = proxied(&etcd, &[]);
    let direct = client(&etcd.servers(), &[]);
    let old = take(&through, LOCK, 30);
    old.proclaim("first").expect("it leads");
    proxy.set(Fault::Delay { to_server: Duration::ZERO, to_client: ms(1000) });
    inspect::break_lock(&direct, &direct.context(), LOCK.as_bytes(), old.contender.token()).expect("there");
    let new = take(&direct, LOCK, 30);
    new.proclaim("second").expect("it leads");
    assert!(old.contender.remaining().is_some(), "it believes to lead");
    assert_eq!(old.proclaim("late").expect_err("it does not").kind(), ErrorKind::NotHeld);
    assert_eq!(queue(&direct).len(), 1);
    assert_eq!(queue(&direct)[0].value, b"second");
    assert_eq!(old.lost(SOON).kind(), ErrorKind::Lost);
    assert_eq!(old.proclaim("later").expect_err("it does not").kind(), ErrorKind::NotHeld);
}

/// Hands on who leads: the token and what is proclaimed.
struct Told(Sender<Option<(i64, String)>>);

impl Audience for Told {
    fn leader(&self, _: i64, leader: Option<&KeyValue>) {
        let value = |kv: &KeyValue| String::from_utf8_lossy(&kv.value).into_owned();
        let _ = self.0.send(leader.map(|kv| (kv.create_revision, value(kv))));
    }

    fn ended(&self, error: Error) {
        let _ = self.0.send(Some((-1, error.to_string())));
    }
}

fn observe(client: &Client) -> (Observer, Receiver<Option<(i64, String)>>) {
    let (sender, told) = channel();
    let observer = Observer::new(client, LOCK.as_bytes(), Arc::new(Told(sender)));
    assert_eq!(told.recv_timeout(SOON), Ok(None), "nobody leads yet");
    (observer, told)
}

/// What was told up to this value of this leader.
fn told_until(told: &Receiver<Option<(i64, String)>>, last: &(i64, String)) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    while all.last() != Some(last) {
        let next = told.recv_timeout(Duration::from_secs(20));
        all.extend(next.unwrap_or_else(|_| panic!("{last:?} was never told: {all:?}")));
    }
    all
}

const CHANGES: usize = 50;

/// Leaders come and go, while the way to the server is cut, reset, or gone; with compactions, too, if wanted.
fn follow(compact: bool) {
    let Some(etcd) = etcd() else { return };
    let (proxy, through) = proxied(&etcd, &[]);
    let direct = client(&etcd.servers(), &[]);
    let (_observer, told) = observe(&through);
    let (mut truth, mut all) = (Vec::new(), Vec::new());
    for change in 0..CHANGES {
        let leader = take(&direct, LOCK, 30);
        let word = format!("word {change}");
        leader.proclaim(&word).expect("it leads");
        let token = leader.contender.token();
        truth.extend([(token, "test".to_owned()), (token, word)]);
        match change % 10 {
            2 => proxy.cut(),
            4 => proxy.reset_all(),
            6 => proxy.set(Fault::Refuse),
            8 => proxy.set(Fault::Pass),
            _ => {}
        }
        if compact && change % 5 == 2 {
            let newest = direct.put("k", "", 0).expect("a put");
            direct.compact(newest).expect("a compaction");
        } else if compact && !(6..8).contains(&(change % 10)) {
            // So that it misses some, and not all.
            all.extend(told_until(&told, truth.last().expect("some")));
        }
        leader.release().expect("an answer");
    }
    proxy.set(Fault::Pass);
    let leader = take(&direct, LOCK, 30);
    truth.push((leader.contender.token(), "test".to_owned()));
    all.extend(told_until(&told, truth.last().expect("some")));
    if compact {
        // What was compacted while it was cut off nobody can tell. The rest comes in order.
        let mut rest = truth.iter();
        assert!(all.iter().all(|one| rest.any(|other| other == one)), "{all:?} of {truth:?}");
        assert!(all.len() > truth.len() / 2, "{} of {}", all.len(), truth.len());
    } else {
        assert_eq!(all, truth);
    }
}

#[test]
fn e2_an_observer_of_etcd_is_told_every_leader_and_value_through_disconnects() {
    follow(false);
}

#[test]
fn e2_an_observer_of_etcd_goes_on_through_compactions() {
    follow(true);
}

/// It ends when its client does, and says so, whatever it is doing just then.
#[test]
fn e2_an_observer_of_etcd_ends_only_with_a_last_word() {
    let Some(etcd) = etcd() else { return };
    for wait in 0..40 {
        let client = client(&etcd.servers(), &[]);
        let (sender, told) = channel();
        let _observer = Observer::new(&client, LOCK.as_bytes(), Arc::new(Told(sender)));
        std::thread::sleep(Duration::from_micros(wait * 100));
        client.close();
        let last = std::iter::from_fn(|| told.recv_timeout(SOON).ok()).find_map(|word| word);
        assert!(matches!(last, Some((-1, _))), "{last:?}");
    }
}
