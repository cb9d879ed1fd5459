//! What goes wrong with locks and elections elsewhere, a test for each: pauses, lost answers, crashes, races, outages.
//! Locks are judged by what is in etcd, not by what a contender believes.

mod clocks;
pub mod contender;
mod elections;
mod one_way;
mod races;
mod sharing;

use std::collections::BTreeMap;
use std::ptr::null_mut;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use etcd::model::*;
use etcd::recipes::inspect;
use etcd::recipes::lock::contender::Ended;
use etcd::recipes::lock::release;
use etcd::wait::Deadline;
use etcd::{Client, ErrorKind};
use faultproxy::{After, Fault, Proxy};

use self::contender::{One, SOON, process, take, wait_for, want, want_until};
use crate::support::{Etcd, Historian, Protocol, Rpc, VERSIONS, client, eventually, skip};

const LOCK: &str = "lock";

const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn etcd() -> Option<Etcd> {
    Etcd::start(VERSIONS[1])
}

/// The keys of the lock's queue, in their order.
fn queue(client: &Client) -> Vec<KeyValue> {
    queue_of(client, LOCK)
}

fn queue_of(client: &Client, name: &str) -> Vec<KeyValue> {
    let prefix = KeyRange::prefix(format!("{name}/"));
    let range = RangeRequest { sort_by: SortBy::Create, ..RangeRequest::new(prefix) };
    client.range(range).expect("a read").1.kvs
}

/// Waits until so many are in the queue.
fn queued(client: &Client, count: usize) {
    eventually(SOON, &format!("{count} in the queue"), || (queue(client).len() == count).then_some(()));
}

/// A proxy before the server, and a client that goes through it.
fn proxied(etcd: &Etcd, options: &[(&str, &str)]) -> (Proxy, Client) {
    let proxy = Proxy::start(etcd.port());
    let through = client(&proxy.servers(), options);
    (proxy, through)
}

/// A client with two ways to the server.
fn with_two_ways(etcd: &Etcd, options: &[(&str, &str)]) -> ([Proxy; 2], Client) {
    let proxies = [Proxy::start(etcd.port()), Proxy::start(etcd.port())];
    let through = client(&format!("{},{}", proxies[0].servers(), proxies[1].servers()), options);
    (proxies, through)
}

fn path(rpc: Rpc) -> &'static str {
    Protocol::Grpc.path(rpc)
}

/// The holder stands still for longer than its lease lasts. When it goes on, nothing can reach it: what it knows then
/// it knows by its own clock.
#[test]
fn l01_a_holder_that_was_stopped_knows_of_its_loss_before_any_reply_of_etcd() {
    let Some(etcd) = etcd() else { return };
    let proxy = Proxy::start(etcd.port());
    let mut holder = process(&proxy.servers(), LOCK, 2);
    wait_for(&mut holder, "held");
    let direct = client(&etcd.servers(), &[]);
    let next = want(&direct, LOCK, 10);
    queued(&direct, 2);
    holder.signal(libc::SIGSTOP);
    next.acquired(Duration::from_secs(8));
    proxy.set(Fault::BlackHole);
    let passed = proxy.bytes().1;
    holder.signal(libc::SIGCONT);
    assert!(wait_for(&mut holder, "after a pause").contains("sure false"));
    assert!(wait_for(&mut holder, "told").contains("Lost"));
    assert_eq!(proxy.bytes().1, passed, "no reply has reached it");
}

/// Answers to keep-alives are late: so much less is sure. If the deadline were counted from when
/// they came, all of the TTL would be.
#[test]
fn l02_a_late_answer_of_etcd_to_a_keep_alive_prolongs_only_from_its_sending() {
    let Some(etcd) = etcd() else { return };
    let (proxy, through) = proxied(&etcd, &[]);
    let holder = take(&through, LOCK, 6);
    // Its watch is open by then, on the connection for keep-alives.
    assert!(holder.is_silent(ms(400)));
    let late = ms(800);
    proxy.set(Fault::Delay { to_server: Duration::ZERO, to_client: late });
    // The first one is sent after 2 s. 5.4 s from then on are sure.
    let (mut most, mut least, start) = (Duration::ZERO, Duration::MAX, Instant::now());
    let mut before = holder.contender.remaining().expect("held");
    while start.elapsed() < ms(4500) {
        let left = holder.contender.remaining().expect("held all the time");
        if left > before {
            most = most.max(left);
        }
        (before, least) = (left, least.min(left));
        std::thread::sleep(ms(2));
    }
    assert!(most > Duration::ZERO, "it was renewed");
    assert!(most <= ms(5400) - late, "{most:?} were said to be sure");
    assert!(least > ms(1500), "{least:?}");
    // So late that nothing can be sure: it is lost before the lease is.
    proxy.set(Fault::Delay { to_server: Duration::ZERO, to_client: ms(4800) });
    let error = holder.lost(Duration::from_secs(6));
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert_eq!(queue(&client(&etcd.servers(), &[])).len(), 1, "nobody could follow yet");
}

/// The token is the key's creation revision. Who holds the lock no more can't write what is guarded; without the guard
/// it can.
#[test]
fn l03_the_token_of_an_etcd_lock_fences_off_those_before() {
    let Some(etcd) = etcd() else { return };
    for client in [client("mem://", &[]), client(&etcd.servers(), &[])] {
        let old = take(&client, LOCK, 30);
        assert!(old.write(&client, "resource", "old"));
        // It is not told at once, as if it stood still.
        let token = old.contender.token();
        let guard = old.contender.guard();
        inspect::break_lock(&client, &client.context(), LOCK.as_bytes(), token).expect("its place");
        let new = take(&client, LOCK, 30);
        assert!(new.contender.token() > token);
        assert_eq!(queue(&client)[0].create_revision, new.contender.token());
        assert!(new.write(&client, "resource", "new"));
        let put = |value| vec![Op::Put(PutRequest::new("resource", value))];
        let late = TxnRequest { compares: guard, then: put("late"), ..TxnRequest::default() };
        assert!(!client.txn(late).expect("an answer").1.succeeded);
        assert_eq!(client.get("resource").expect("a read").expect("there").value, b"new");
        let unfenced = TxnRequest { then: put("late"), ..TxnRequest::default() };
        assert!(client.txn(unfenced).expect("an answer").1.succeeded, "this is what the guard is for");
    }
}

/// In a process for which the machine was suspended for a day: its monotonic clock does not know of it.
#[test]
fn l04_time_is_counted_on_the_clock_that_runs_during_suspend() {
    const AWAY: u64 = 86_400;
    let clock = |id| {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it writes the timespec.
        assert_eq!(unsafe { libc::clock_gettime(id, &mut now) }, 0);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    if std::env::var_os("ETCD_API_TEST_SUSPENDED").is_some() {
        let started = client("mem://", &[]).grant(10).expect("a lease").started;
        let late = clock(libc::CLOCK_BOOTTIME).checked_sub(started).expect("not in the future");
        assert!(late < Duration::from_secs(5), "{late:?}");
        assert!(started > clock(libc::CLOCK_MONOTONIC) + Duration::from_secs(AWAY / 2));
        return;
    }
    let mut inside = std::process::Command::new("unshare");
    inside.args(["--time", "--boottime", &AWAY.to_string(), "--fork"]);
    inside.arg(std::env::current_exe().expect("this program"));
    let test = "locks::l04_time_is_counted_on_the_clock_that_runs_during_suspend";
    inside.args(["--exact", test]).env("ETCD_API_TEST_SUSPENDED", "1");
    let output = inside.output().expect("util-linux has it");
    let text = format!("{output:?}");
    if text.contains("unshare failed") {
        return skip("this machine lets us make no clocks");
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// "Not found" is final: told at once, and no new lease takes the place of the old one.
#[test]
fn l05_a_lease_that_etcd_has_ended_is_lost_at_once_and_never_granted_anew() {
    let Some(etcd) = etcd() else { return };
    for client in [client("mem://", &[]), client(&etcd.servers(), &[])] {
        let holder = take(&client, LOCK, 30);
        let lease = queue(&client)[0].lease;
        client.revoke(lease).expect("a lease");
        assert_eq!(holder.lost(ms(1000)).kind(), ErrorKind::Lost);
        assert!(holder.contender.remaining().is_none());
        assert!(holder.is_silent(ms(300)), "once");
        assert!(queue(&client).is_empty() && !client.leases().expect("a list").contains(&lease));
    }
}

/// The same where no watch tells of it: by the answer to the keep-alive.
#[test]
fn l05_the_answer_of_etcd_to_a_keep_alive_tells_of_the_loss_as_well() {
    let Some(etcd) = etcd() else { return };
    let (proxy, through) = proxied(&etcd, &[]);
    let direct = client(&etcd.servers(), &[]);
    let holder = take(&through, LOCK, 3);
    // The watch of its key is opened only now, and the way back from the server is slow for it.
    proxy.swallow(path(Rpc::Watch), 1, After::Continue);
    let lease = queue(&direct)[0].lease;
    direct.revoke(lease).expect("a lease");
    let start = Instant::now();
    assert_eq!(holder.lost(ms(2600)).kind(), ErrorKind::Lost);
    assert!(start.elapsed() < ms(2500), "{:?}", start.elapsed());
}

/// Nothing of the host program takes part in keeping a lock alive.
#[test]
fn l06_a_host_program_that_does_nothing_keeps_its_etcd_lock() {
    let Some(etcd) = etcd() else { return };
    let client = client(&etcd.servers(), &[]);
    let holder = take(&client, LOCK, 2);
    // This is the program that does nothing.
    std::thread::sleep(Duration::from_secs(6));
    assert!(holder.contender.remaining().is_some());
    assert_eq!(queue(&client)[0].create_revision, holder.contender.token());
}

/// The endpoint that is used falls silent; another one keeps the lock alive before much time is lost.
#[test]
fn l07_a_silent_endpoint_of_etcd_does_not_cost_the_lock() {
    let Some(etcd) = etcd() else { return };
    let (proxies, through) = with_two_ways(&etcd, &[]);
    let holder = take(&through, LOCK, 4);
    let busy = usize::from(proxies[1].requests(path(Rpc::Txn)) > 0);
    proxies[busy].set(Fault::BlackHole);
    let (start, mut least) = (Instant::now(), Duration::MAX);
    while start.elapsed() < Duration::from_secs(8) {
        least = least.min(holder.contender.remaining().expect("held all the time"));
        std::thread::sleep(ms(5));
    }
    // 3.5 s are sure at first; a third of the TTL passes before a renewal, another one until the other way is tried.
    assert!(least > ms(300), "{least:?}");
}

/// However the connection goes on: the place that was made is found, and no other one is made.
#[test]
fn l08_an_enqueue_that_timed_out_but_was_applied_finds_its_place_etcd() {
    let Some(etcd) = etcd() else { return };
    let direct = client(&etcd.servers(), &[]);
    for then in [After::Close, After::Reset, After::Silence, After::Continue] {
        let (proxy, through) = proxied(&etcd, &[("request_timeout_ms", "1000")]);
        let holder = take(&direct, LOCK, 30);
        proxy.swallow(path(Rpc::Txn), 1, then);
        let waiter = want(&through, LOCK, 30);
        eventually(SOON, "the lost answer", || (proxy.swallowed() == 1).then_some(()));
        eventually(SOON, "its token", || (waiter.contender.token() != 0).then_some(()));
        let places = queue(&direct);
        assert_eq!(places.len(), 2, "{then:?}");
        assert_eq!(places[1].create_revision, waiter.contender.token(), "{then:?}");
        assert!(holder.release().expect("an answer"));
        waiter.acquired(SOON);
        assert!(waiter.release().expect("an answer"));
        queued(&direct, 0);
    }
}

/// Most owners at any time: what [`l09_no_owner_is_in_the_queue_twice_at_any_revision_of_etcd`] judges.
fn places_of_one_owner(history: &[Event]) -> usize {
    let mut owners: BTreeMap<i64, i64> = BTreeMap::new();
    let mut most = 0;
    for event in history.iter().filter(|event| event.kv.key.starts_with(b"lock/")) {
        match (event.kind, &event.prev_kv) {
            (EventKind::Put, None) => {
                let count = owners.entry(event.kv.lease).or_default();
                *count += 1;
                most = most.max(*count);
            }
            (EventKind::Delete, Some(before)) => *owners.entry(before.lease).or_default() -= 1,
            _ => {}
        }
    }
    most as usize
}

/// Each answer to a transaction is lost, again and again; the history of the queue shows each owner once at a time, and
/// as many places as were wanted.
#[test]
fn l09_no_owner_is_in_the_queue_twice_at_any_revision_of_etcd() {
    let Some(etcd) = etcd() else { return };
    let (proxy, through) = proxied(&etcd, &[("request_timeout_ms", "1000")]);
    let direct = client(&etcd.servers(), &[]);
    const TIMES: usize = 20;
    for time in 0..TIMES {
        proxy.swallow(path(Rpc::Txn), 1, [After::Close, After::Continue][time % 2]);
        let one = take(&through, LOCK, 30);
        proxy.swallow(path(Rpc::Txn), 1, [After::Reset, After::Continue][time % 2]);
        one.release().expect("an answer");
    }
    assert_eq!(proxy.swallowed(), 2 * TIMES);
    let last = direct.put("last", "", 0).expect("a put");
    let history = Historian::default().read(&etcd, last);
    let made = history.iter().filter(|event| event.kind == EventKind::Put && event.prev_kv.is_none());
    assert_eq!(made.count(), TIMES + 1);
    assert_eq!(places_of_one_owner(&history), 1);
    // The broken twin: a try that does not look for its own place.
    let lease = direct.grant(30).expect("a lease").id;
    direct.put("lock/1", "", lease).expect("a put");
    let last = direct.put("lock/2", "", lease).expect("a put");
    assert_eq!(places_of_one_owner(&Historian::default().read(&etcd, last)), 2);
}

/// A holder, and then a waiter, are killed: whoever comes next enters when their leases are over.
#[test]
fn l12_killed_contenders_are_followed_when_their_leases_on_etcd_are_over() {
    let Some(etcd) = etcd() else { return };
    let direct = client(&etcd.servers(), &[]);
    let mut holder = process(&etcd.servers(), LOCK, 3);
    wait_for(&mut holder, "held");
    let mut waiter = process(&etcd.servers(), LOCK, 3);
    queued(&direct, 2);
    let last = want(&direct, LOCK, 30);
    queued(&direct, 3);
    let start = Instant::now();
    waiter.kill();
    holder.kill();
    last.acquired(Duration::from_secs(10));
    // etcd looks for leases that are over twice a second.
    assert!(start.elapsed() < Duration::from_secs(3 + 2), "{:?}", start.elapsed());
    assert_eq!(queue(&direct).len(), 1);
}

/// For a campaign the same code waits.
#[test]
fn l13_a_waiter_whose_lease_on_etcd_ended_fails_and_never_holds() {
    let Some(etcd) = etcd() else { return };
    for client in [client("mem://", &[]), client(&etcd.servers(), &[])] {
        let holder = take(&client, LOCK, 30);
        let waiter = want(&client, LOCK, 30);
        queued(&client, 2);
        client.revoke(queue(&client)[1].lease).expect("a lease");
        // Told by its watch; and if the holder goes in the same moment, it does not slip in.
        let release = holder.start_release();
        assert_eq!(waiter.failed(SOON).kind(), ErrorKind::Lost);
        release.recv_timeout(SOON).expect("an answer").expect("done");
        assert!(waiter.is_silent(ms(200)));
        assert!(queue(&client).is_empty());
    }
}

/// A key without a lease is no place in the queue, so the next one has the lock: whoever had that place is told, can write
/// nothing any more, and does not get it back.
#[test]
fn l13_a_place_on_etcd_that_somebody_puts_without_a_lease_is_none_any_more() {
    let Some(etcd) = etcd() else { return };
    for client in [client("mem://", &[]), client(&etcd.servers(), &[])] {
        let old = take(&client, LOCK, 30);
        let (key, token) = (old.contender.key(), old.contender.token());
        client.put(key.clone(), "stray", 0).expect("a put");
        assert!(!old.write(&client, "resource", "old"));
        assert_eq!(old.proclaim("mine").expect_err("not held").kind(), ErrorKind::NotHeld);
        let new = take(&client, LOCK, 30);
        assert_eq!(old.lost(SOON).kind(), ErrorKind::Lost);
        assert!(!release(&client, &client.context(), &key, token).expect("an answer"));
        let waiter = want(&client, LOCK, 30);
        queued(&client, 3);
        client.put(waiter.contender.key(), "stray", 0).expect("a put");
        assert_eq!(waiter.failed(SOON).kind(), ErrorKind::Lost);
        assert!(new.write(&client, "resource", "new") && new.release().expect("an answer"));
        let third = take(&client, LOCK, 30);
        client.put(third.contender.key(), "stray", 0).expect("a put");
        assert!(!third.release().expect("an answer"), "it was not held to the end");
        // What is left is nobody's place, of the same client neither.
        assert!(take(&client, LOCK, 30).release().expect("an answer"));
    }
}

/// Also when nobody is left who could take it out.
#[test]
fn l19_whoever_is_behind_a_place_on_etcd_that_loses_its_lease_does_not_wait_for_it() {
    let Some(etcd) = etcd() else { return };
    for client in [client("mem://", &[]), client(&etcd.servers(), &[])] {
        let dead = format!("{LOCK}/a");
        client.put(dead.clone(), "dead", client.grant(60).expect("a lease").id).expect("a put");
        let waiter = want(&client, LOCK, 60);
        assert!(waiter.is_silent(ms(300)));
        client.put(dead, "dead", 0).expect("a put");
        waiter.acquired(SOON);
    }
}

/// The first answer to a release is lost; by the time it is repeated, the lock may be held again, by a key of the same
/// name even.
#[test]
fn l14_a_repeated_release_leaves_a_later_place_on_etcd_alone() {
    let Some(etcd) = etcd() else { return };
    let (proxy, through) = proxied(&etcd, &[("request_timeout_ms", "1000")]);
    let direct = client(&etcd.servers(), &[]);
    let holder = take(&through, LOCK, 30);
    let (key, token, lease) = (holder.contender.key(), holder.contender.token(), queue(&direct)[0].lease);
    proxy.swallow(path(Rpc::Txn), 1, After::Continue);
    let answer = holder.start_release();
    queued(&direct, 0);
    assert!(matches!(answer.try_recv(), Err(TryRecvError::Empty)), "its answer is lost");
    // Another incarnation, under the same name and lease.
    direct.put(key.clone(), "new", lease).expect("the lease is there yet");
    answer.recv_timeout(SOON).expect("an answer").expect("released");
    assert_eq!(queue(&direct).len(), 1, "the new place is still there");
    assert!(!release(&direct, &direct.context(), &key, token).expect("an answer"));
    let by_token = inspect::break_lock(&direct, &direct.context(), LOCK.as_bytes(), token);
    assert_eq!(by_token.expect_err("another one").kind(), ErrorKind::NotHeld);
    assert_eq!(queue(&direct).len(), 1);
    // The broken twin.
    assert_eq!(direct.delete(KeyRange::key(key)).expect("a deletion"), 1);
}

/// A release that reaches no server goes on being tried, and nothing is told before it is true.
#[test]
fn l15_a_release_during_an_outage_of_etcd_is_made_up_for() {
    let Some(etcd) = etcd() else { return };
    let (proxy, through) = proxied(&etcd, &[("request_timeout_ms", "500")]);
    let direct = client(&etcd.servers(), &[]);
    let holder = take(&through, LOCK, 10);
    proxy.set(Fault::Refuse);
    let answer = holder.start_release();
    assert!(answer.recv_timeout(ms(1500)).is_err(), "nobody has confirmed it");
    assert!(holder.contender.remaining().is_none(), "it does not count as held for all that");
    assert_eq!(queue(&direct).len(), 1);
    proxy.set(Fault::Pass);
    assert!(answer.recv_timeout(SOON).expect("an answer").expect("released"));
    assert!(queue(&direct).is_empty());
    assert!(matches!(holder.ended(SOON), Ended::Released(true)));
}

/// Whoever waits for its answer no longer is told that it may be released yet, and which lock that is.
#[test]
fn l15_a_release_that_etcd_answers_too_late_for_its_caller_may_have_been_made() {
    use etcd::ffi::{classic, client as calls, hold, request, status};
    let Some(etcd) = etcd() else { return };
    let proxy = Proxy::start(etcd.port());
    let servers = std::ffi::CString::new(proxy.servers()).expect("no NUL");
    let (mut held, mut why) = (null_mut(), null_mut());
    // SAFETY: pointers that live until they are freed.
    unsafe {
        let session = classic::etcd_open_str(servers.as_ptr());
        let lock = hold::etcd_request_lock(LOCK.as_ptr(), LOCK.len());
        assert_eq!(hold::etcd_acquire(session, lock, 5000, null_mut(), &mut held, null_mut()), 0);
        proxy.set(Fault::BlackHole);
        let release = hold::etcd_request_release(held);
        assert_eq!(
            calls::etcd_call(session, release, 300, null_mut(), null_mut(), &mut why),
            status::ETCD_ERR_TIMEOUT
        );
        let message = std::ffi::CStr::from_ptr(status::etcd_error_message(why)).to_string_lossy();
        assert!(message.contains("unlock \"lock\""), "{message}");
        assert_eq!(status::etcd_error_is_outcome_unknown(why), 1, "{message}");
        status::etcd_error_free(why);
        [lock, release].into_iter().for_each(|request| request::etcd_request_free(request));
        hold::etcd_hold_free(held);
        classic::etcd_close(session);
    }
}

/// If that lasts longer than the lease, it is not called released: it ended with its lease.
#[test]
fn l15_a_release_that_etcd_never_confirmed_is_told_as_such() {
    let Some(etcd) = etcd() else { return };
    let (proxy, through) = proxied(&etcd, &[("request_timeout_ms", "500")]);
    let holder = take(&through, LOCK, 2);
    proxy.set(Fault::Refuse);
    let answer = holder.start_release();
    answer.recv_timeout(SOON).expect("told").expect_err("nobody has confirmed it");
    assert!(matches!(holder.ended(SOON), Ended::Lost(_)));
    let direct = client(&etcd.servers(), &[]);
    eventually(SOON, "the end of its lease", || queue(&direct).is_empty().then_some(()));
}

/// Lets a waiter queue through a proxy that is late, and the holder go `after` that. It must be in soon, by what its
/// watch tells: to look by itself it would wait for 5 s.
fn goes_while_the_watch_opens(etcd: &Etcd, after: Duration, compact: bool) {
    let direct = client(&etcd.servers(), &[]);
    let (proxy, through) = proxied(etcd, &[]);
    through.get("k").expect("a connection");
    let holder = take(&direct, LOCK, 60);
    proxy.set(Fault::Delay { to_server: ms(60), to_client: Duration::ZERO });
    let waiter = want(&through, LOCK, 60);
    std::thread::sleep(after);
    assert!(holder.release().expect("an answer"));
    if compact {
        let newest = direct.put("k", "", 0).expect("a put");
        direct.compact(newest).expect("a compaction");
    }
    waiter.acquired(Duration::from_secs(3));
    proxy.set(Fault::Pass);
    assert!(waiter.release().expect("an answer"));
}

/// Somewhere among these moments lie the read of the queue, its answer, and the start of the watch.
#[test]
fn l16_a_predecessor_that_goes_between_the_read_and_the_watch_on_etcd_is_not_missed() {
    let Some(etcd) = etcd() else { return };
    (0..30).for_each(|step| goes_while_the_watch_opens(&etcd, ms(step * 15), false));
}

#[test]
fn l17_a_compaction_of_etcd_between_the_read_and_the_watch_is_no_error() {
    let Some(etcd) = etcd() else { return };
    (0..30).for_each(|step| goes_while_the_watch_opens(&etcd, ms(step * 15), true));
}

/// The connection that the watches are on is dead and does not say so.
#[test]
fn l18_a_predecessor_that_goes_behind_a_dead_connection_to_etcd_is_noticed_by_looking() {
    let Some(etcd) = etcd() else { return };
    let direct = client(&etcd.servers(), &[]);
    let (proxies, through) = with_two_ways(&etcd, &[("request_timeout_ms", "2000")]);
    let holder = take(&direct, LOCK, 60);
    let waiter = want(&through, LOCK, 6);
    queued(&direct, 2);
    assert!(waiter.is_silent(ms(300)), "its watches are open now");
    let busy = usize::from(proxies[1].requests(path(Rpc::Watch)) > 0);
    proxies[busy].set(Fault::BlackHole);
    assert!(holder.release().expect("an answer"));
    let start = Instant::now();
    // Half its TTL until it looks, and the time until it asks elsewhere.
    waiter.acquired(Duration::from_secs(6));
    println!("noticed after {:?}", start.elapsed());
}

/// Whoever stood behind one that vanished stands behind the one before that.
#[test]
fn l19_a_killed_waiter_lets_nobody_past_the_holder_on_etcd() {
    let Some(etcd) = etcd() else { return };
    let direct = client(&etcd.servers(), &[]);
    let holder = take(&direct, LOCK, 30);
    let mut second = process(&etcd.servers(), LOCK, 2);
    queued(&direct, 2);
    let third = want(&direct, LOCK, 30);
    queued(&direct, 3);
    second.kill();
    eventually(Duration::from_secs(6), "the end of its place", || (queue(&direct).len() == 2).then_some(()));
    assert!(third.is_silent(ms(500)), "the first one still holds it");
    assert!(holder.contender.remaining().is_some());
    assert!(holder.release().expect("an answer"));
    third.acquired(SOON);
}

/// The requests of a hundred waiters for one release.
#[test]
fn l20_a_release_makes_one_waiter_of_a_hundred_ask_etcd() {
    let Some(etcd) = etcd() else { return };
    let direct = client(&etcd.servers(), &[]);
    let (proxy, through) = proxied(&etcd, &[]);
    let holder = take(&direct, LOCK, 300);
    let mut waiters: Vec<One> = (0..100).map(|_| want(&through, LOCK, 300)).collect();
    queued(&direct, 101);
    let all_know = || waiters.iter().all(|one| one.contender.token() > 0);
    eventually(SOON, "their tokens", || all_know().then_some(()));
    waiters.sort_by_key(|one| one.contender.token());
    let asked = || {
        let kinds = [Rpc::Txn, Rpc::Range, Rpc::DeleteRange, Rpc::Put, Rpc::LeaseRevoke, Rpc::LeaseGrant];
        kinds.map(|rpc| proxy.requests(path(rpc))).iter().sum::<usize>()
    };
    let mut before = asked();
    // Until all have looked, and are watching. They look around every 5 s, many at once.
    let mut quiet = Instant::now();
    eventually(Duration::from_secs(20), "quiet", || {
        let now = asked();
        if now != before {
            (before, quiet) = (now, Instant::now());
        }
        (quiet.elapsed() > ms(700)).then_some(())
    });
    let (mut last, mut counts) = (holder, Vec::new());
    for next in waiters.drain(..).take(20) {
        let before = asked();
        assert!(last.release().expect("an answer"));
        next.acquired(SOON);
        counts.push(asked() - before);
        last = next;
    }
    counts.sort_unstable();
    // The release itself and one look; only now and then do all look around, many in one request.
    assert!(counts[10] <= 2, "{counts:?}");
}

#[test]
fn l22_one_client_that_wants_an_etcd_lock_twice_stands_in_the_queue_twice() {
    let Some(etcd) = etcd() else { return };
    for client in [client("mem://", &[]), client(&etcd.servers(), &[])] {
        let first = take(&client, LOCK, 30);
        let second = want(&client, LOCK, 30);
        // Another name shares the lease; this one has another lease.
        let other = take(&client, "other", 30);
        queued(&client, 2);
        let places = queue(&client);
        assert_ne!(places[0].lease, places[1].lease);
        assert!(places.iter().any(|place| place.lease == queue_of(&client, "other")[0].lease));
        assert!(second.is_silent(ms(200)), "no lock is held twice");
        assert!(first.release().expect("an answer"));
        second.acquired(SOON);
        assert!(other.contender.remaining().is_some());
    }
}

/// Without space etcd still deletes: locks are released, and kept alive; no new ones are made, and it is said why.
#[test]
fn s1_a_lock_is_released_when_etcd_has_no_space() {
    let Some(etcd) = etcd() else { return };
    let client = client(&etcd.servers(), &[]);
    let holder = take(&client, LOCK, 2);
    let member = client.members().expect("a list")[0].id;
    let alarm = Alarm { member, kind: AlarmKind::NoSpace };
    client.call(&Request::Alarm { action: AlarmAction::Activate, alarm }).expect("an alarm");
    std::thread::sleep(Duration::from_secs(3));
    assert!(holder.contender.remaining().is_some(), "kept alive");
    // One under the session that is there, and one that needs a new one.
    for ttl in [2, 30] {
        let error = want(&client, "another", ttl).failed(SOON);
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    }
    assert!(holder.release().expect("an answer"));
    assert!(queue(&client).is_empty());
}

#[test]
fn s1_a_lock_whose_value_etcd_finds_too_large_says_so() {
    let Some(etcd) = Etcd::start_with(VERSIONS[1], &["--max-request-bytes=4096"]) else { return };
    let client = client(&etcd.servers(), &[]);
    let error = want_until(&client, &"n".repeat(5000), 10, Deadline::NEVER).failed(SOON);
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}
