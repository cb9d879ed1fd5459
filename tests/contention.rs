//! Processes that contend for one classic lock. What is judged is the history of a fenced key in etcd, read
//! with etcd's own tool, not what the contenders believe.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Etcd, Language, Running, VERSIONS, built, call, eventually, program, run};

const CONTENDERS: usize = 8;
const HANDOFFS: usize = 1000;
const LOCK: &str = "contention/lock";
const RESOURCE: &str = "contention/resource";

fn contender(etcd: &Etcd, count: usize, mode: &str) -> Command {
    let mut command = call(&program("tests/c/contender.c", Language::C));
    command.args([&etcd.servers(), LOCK, RESOURCE, &count.to_string()]);
    if !mode.is_empty() {
        command.arg(mode);
    }
    command
}

fn contend(etcd: &Etcd, mode: &str, count: usize) -> Vec<i32> {
    etcd.ask(&["put", RESOURCE, "0 free"]);
    let mut all: Vec<Running> =
        (0..CONTENDERS).map(|_| Running::start(&mut contender(etcd, count, mode))).collect();
    all.iter_mut().map(Running::code).collect()
}

/// All values the resource ever had.
fn history(etcd: &Etcd, changes: usize) -> Vec<String> {
    let mut watch = Running::start(&mut etcd.etcdctl(&["watch", "--rev=1", RESOURCE]));
    // Three lines a change: PUT, the key, the value.
    (0..changes).map(|_| watch.lines(3).remove(2)).collect()
}

/// Each token takes the resource and gives it back before the next one comes, and tokens only grow: the
/// order is that of the queue.
fn judge(history: &[String]) -> Result<usize, String> {
    let mut last = 0;
    for pair in history[1..].chunks(2) {
        let words: Vec<&str> = pair.iter().flat_map(|value| value.split(' ')).collect();
        let [taken, "busy", given, "free"] = words[..] else { return Err(format!("overlap: {pair:?}")) };
        let token: i64 = taken.parse().map_err(|_| format!("no token: {pair:?}"))?;
        if taken != given || token <= last {
            return Err(format!("after {last}: {pair:?}"));
        }
        last = token;
    }
    Ok(history.len() / 2)
}

#[test]
fn eight_processes_hand_one_lock_on_1000_times_on_etcd_in_order_and_never_overlap() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let start = Instant::now();
        assert_eq!(contend(&etcd, "", HANDOFFS / CONTENDERS), [0; CONTENDERS]);
        println!("etcd {version}: {HANDOFFS} handoffs in {:?}", start.elapsed());
        assert_eq!(judge(&history(&etcd, 1 + 2 * HANDOFFS)), Ok(HANDOFFS));
        assert_eq!(etcd.ask(&["get", "--prefix", LOCK]), "", "nothing is left in the queue");
        assert_eq!(etcd.ask(&["lease", "list"]).lines().next(), Some("found 0 leases"));
    }
}

#[test]
fn the_judgement_on_etcd_catches_contenders_without_a_lock() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let results = contend(&etcd, "broken", 50);
    assert!(results.contains(&3), "somebody must have seen an overlap: {results:?}");
    let overlap = ["0 free", "1 busy", "2 busy", "1 free"].map(String::from);
    assert!(judge(&overlap).is_err());
    assert!(judge(&["0 free", "2 busy", "2 free", "1 busy", "1 free"].map(String::from)).is_err());
}

#[test]
fn a_killed_holder_is_followed_within_its_ttl_and_two_seconds_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let mut holder = Running::start(&mut contender(&etcd, 1, "hold"));
        assert!(holder.line().starts_with("held "));
        let mut next = Running::start(&mut contender(&etcd, 1, "hold"));
        eventually(Duration::from_secs(5), "the second contender queues", || {
            let queue = etcd.ask(&["get", "--prefix", "--keys-only", LOCK]);
            (queue.lines().filter(|line| !line.is_empty()).count() == 2).then_some(())
        });
        let start = Instant::now();
        holder.kill();
        assert!(next.line().starts_with("held "));
        let ttl = Duration::from_secs(5);
        println!("etcd {version}: the next one held {:?} after the kill", start.elapsed());
        assert!(start.elapsed() < ttl + Duration::from_secs(2), "{:?}", start.elapsed());
    }
}

#[test]
fn a_killed_waiter_on_etcd_is_passed_over() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let tool = built().join("etcd-api");
    let lock = |arguments: &[&str]| {
        let mut command = call(&tool);
        command.args(["-s", &etcd.servers()]).args(arguments);
        command
    };
    let index = run(&mut lock(&["lock", "-t", "60", LOCK]));
    let mut waiter = Running::start(&mut contender(&etcd, 1, "hold"));
    eventually(Duration::from_secs(5), "the waiter queues", || {
        (etcd.ask(&["get", "--prefix", "--keys-only", LOCK]).matches(LOCK).count() == 2).then_some(())
    });
    waiter.kill();
    // Behind the dead one: it must neither be let in beside the holder nor wait for ever.
    let mut third = Running::start(&mut contender(&etcd, 1, "hold"));
    std::thread::sleep(Duration::from_secs(7));
    assert!(third.is_running());
    assert_eq!(etcd.ask(&["get", "--prefix", "--keys-only", LOCK]).matches(LOCK).count(), 2);
    run(&mut lock(&["unlock", "-i", index.trim(), LOCK]));
    assert!(third.line().starts_with("held "));
}

#[test]
fn etcdctl_lock_and_the_classic_lock_stand_in_one_queue_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let tool = built().join("etcd-api");
        let ours = |arguments: &[&str]| {
            let mut command = call(&tool);
            command.args(["-s", &etcd.servers()]).args(arguments);
            command
        };
        let queued = |count: usize| {
            let what = format!("{count} in the queue");
            eventually(Duration::from_secs(10), &what, || {
                let keys = etcd.ask(&["get", "--prefix", "--keys-only", LOCK]);
                (keys.matches(LOCK).count() == count).then_some(())
            });
        };
        let index = run(&mut ours(&["lock", "-t", "30", LOCK]));
        // etcdctl waits behind us, and we behind it.
        let mut theirs = Running::start(&mut etcd.etcdctl(&["lock", LOCK]));
        queued(2);
        let mut third = Running::start(&mut ours(&["lock", "-t", "30", LOCK]));
        queued(3);
        std::thread::sleep(Duration::from_millis(300));
        assert!(third.is_running(), "two are before it");
        run(&mut ours(&["unlock", "-i", index.trim(), LOCK]));
        assert!(theirs.line().starts_with(&format!("{LOCK}/")), "etcdctl prints its key when it holds");
        assert!(third.is_running(), "etcdctl holds");
        theirs.signal(libc::SIGINT); // it releases its lock
        let token: i64 = third.line().parse().expect("an index");
        assert!(token > index.trim().parse().expect("an index"));
        assert_eq!(third.code(), 0);
    }
}
