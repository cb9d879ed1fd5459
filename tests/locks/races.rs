//! Cancels and acquisitions at the same moment, many times.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use etcd::Client;
use etcd::recipes::lock::contender::Ended;
use etcd::wait::Deadline;
use faultproxy::Fault;

use super::contender::{One, SOON, take, want, want_until};
use super::{LOCK, etcd, ms, queue, queued, with_two_ways};
use crate::support::{Dice, Etcd, client, eventually, long};

/// Waiters are canceled, or their time is over, at any moment from the first one on. What they leave is gone soon, and
/// the next one moves.
fn cancels_at_any_moment(client: &Client, times: usize, dice: &mut Dice) {
    for time in 0..times {
        let holder = take(client, LOCK, 30);
        let limit = ms(dice.between(0, 8) as u64);
        let canceled = match dice.below(2) {
            0 => want_until(client, LOCK, 30, Deadline::after(limit)),
            _ => want(client, LOCK, 30),
        };
        let next = want(client, LOCK, 30);
        sleep(limit);
        canceled.contender.cancel();
        canceled.failed(SOON);
        let ended = Instant::now();
        assert!(holder.release().expect("an answer"));
        next.acquired(SOON);
        // Whoever stood in between is gone, or the next one would not hold it.
        assert_eq!(queue(client)[0].create_revision, next.contender.token(), "{time}");
        eventually(ms(1000), "the end of its place", || (queue(client).len() == 1).then_some(()));
        assert!(ended.elapsed() < ms(1000), "{time}: {:?}", ended.elapsed());
        assert!(next.release().expect("an answer"));
    }
    eventually(SOON, "an empty queue", || queue(client).is_empty().then_some(()));
}

#[test]
fn l10_a_waiter_that_is_canceled_at_any_moment_leaves_nothing_in_etcd() {
    let Some(etcd) = etcd() else { return };
    let mut dice = Dice::of("canceled waiters");
    let times = if long() { 10_000 } else { 150 };
    cancels_at_any_moment(&client(&etcd.servers(), &[]), times, &mut dice);
    cancels_at_any_moment(&client("mem://", &[]), 4 * times, &mut dice);
}

/// The request for its place is on its way for so long that the place is given up, and taken back, before it is there.
/// Somebody else uses the session all the time, so that its end would take nothing away.
#[test]
fn l10_a_place_that_reaches_etcd_after_it_was_given_up_is_taken_back() {
    let Some(etcd) = etcd() else { return };
    // Whether it overtakes what takes it back is a matter of luck.
    [600, 700, 800, 900].into_iter().for_each(|late| comes_late(&etcd, ms(late)));
}

fn comes_late(etcd: &Etcd, late: Duration) {
    let direct = client(&etcd.servers(), &[]);
    let (proxies, through) = with_two_ways(etcd, &[("request_timeout_ms", "1000")]);
    let other = take(&through, "other", 10);
    let busy = usize::from(proxies[1].requests("other") > 0);
    proxies[busy].set(Fault::Delay { to_server: late, to_client: Duration::ZERO });
    let one = want(&through, LOCK, 10);
    sleep(ms(100));
    one.contender.cancel();
    one.failed(SOON);
    // By now the first request has come through.
    sleep(2 * late);
    proxies[busy].set(Fault::Pass);
    eventually(Duration::from_secs(3), "nothing in the queue", || queue(&direct).is_empty().then_some(()));
    assert!(other.contender.remaining().is_some());
    assert!(other.release().expect("an answer"));
}

/// Exactly one of the two: it holds the lock, and is told so, or it is not in the queue.
fn cancel_races_with_acquisition(client: &Client, times: usize, dice: &mut Dice) {
    let mut acquired = 0;
    for _ in 0..times {
        let holder = take(client, LOCK, 30);
        let waiter = want(client, LOCK, 30);
        queued(client, 2);
        let pause = |dice: &mut Dice| Duration::from_micros(dice.below(400) as u64);
        let (first, second, contender) = (pause(dice), pause(dice), holder.contender.clone());
        let release = std::thread::spawn(move || {
            sleep(first);
            contender.release(Box::new(|_| {}));
        });
        sleep(second);
        waiter.contender.cancel();
        release.join().expect("no panic");
        match waiter.next(SOON) {
            None => {
                acquired += 1;
                // It was canceled all the same: it is released.
                assert!(matches!(waiter.ended(SOON), Ended::Released(_)));
            }
            Some(Ended::Failed(_)) => {}
            other => panic!("{other:?}"),
        }
        eventually(ms(1000), "nothing in the queue", || queue(client).is_empty().then_some(()));
    }
    println!("acquired {acquired} of {times} times");
}

#[test]
fn l11_a_cancel_that_races_with_the_acquisition_on_etcd_ends_it_either_way() {
    let Some(etcd) = etcd() else { return };
    let mut dice = Dice::of("races of cancels");
    let times = if long() { 10_000 } else { 200 };
    cancel_races_with_acquisition(&client(&etcd.servers(), &[]), times, &mut dice);
    cancel_races_with_acquisition(&client("mem://", &[]), 4 * times, &mut dice);
}

/// Several want the lock again and again; each waits for whoever came before it.
fn order_of_holders(client: &Client, handoffs: usize) -> Vec<i64> {
    const EACH: usize = 8;
    let tokens = std::sync::Mutex::new(Vec::new());
    scope(|scope| {
        for _ in 0..EACH {
            scope.spawn(|| {
                for _ in 0..handoffs / EACH {
                    let one: One = want(client, LOCK, 30);
                    one.acquired(Duration::from_secs(30));
                    tokens.lock().expect("no panic").push(one.contender.token());
                    assert!(one.release().expect("an answer"));
                }
            });
        }
    });
    tokens.into_inner().expect("no panic")
}

#[test]
fn l21_an_etcd_lock_is_held_in_the_order_of_creation_revisions() {
    let Some(etcd) = etcd() else { return };
    let handoffs = if long() { 10_000 } else { 800 };
    for client in [client("mem://", &[]), client(&etcd.servers(), &[])] {
        let tokens = order_of_holders(&client, handoffs);
        assert_eq!(tokens.len(), handoffs);
        assert!(tokens.is_sorted_by(|one, next| one < next));
    }
}
