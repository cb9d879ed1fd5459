//! Many threads of one user, whose tokens are over again and again, and whose permissions change meanwhile: nobody who
//! calls or watches notices.

use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, ErrorKind};
use faultproxy::Proxy;

use crate::security::with_users;
use crate::support::{ALL_VERSIONS, AtEnd, Etcd, Protocol, Rpc, client};

const THREADS: usize = 8;
/// How often permissions change.
const CHANGES: usize = 8;

/// Writes and reads its key, with pauses, and tells what it has written.
fn call(me: &Client, key: &str, pause: &AtomicBool, stop: &AtomicBool) -> Result<usize, etcd::Error> {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        if !pause.load(Ordering::SeqCst) {
            me.put(key, number.to_string(), 0)?;
            let kv = me.get(key)?.expect("it was written");
            assert_eq!(kv.value, number.to_string().as_bytes());
            number += 1;
        }
        sleep(Duration::from_millis(10));
    }
    Ok(number)
}

/// All values of the keys of a range, up to the last one.
fn watch(me: &Client, range: KeyRange) -> Result<Vec<Event>, etcd::Error> {
    let mut watch = me.watch(WatchRequest::new(range, 1));
    let mut events: Vec<Event> = Vec::new();
    while events.last().is_none_or(|event| event.kv.value != b"last") {
        match watch.next(Deadline::after(Duration::from_secs(20)), me.closed()) {
            Ok(batch) => events.extend(batch.events),
            Err(error) if error.kind() == ErrorKind::Timeout => panic!("a watch stands still: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}

fn as_root(etcd: &Etcd, arguments: &[&str], input: &str) {
    let mut tool = etcd.etcdctl(&[&["--user=root:secret"], arguments].concat());
    let tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut tool = tool.expect("etcdctl runs");
    tool.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let output = tool.wait_with_output().expect("it ends");
    assert!(output.status.success(), "etcdctl {arguments:?}: {output:?}");
}

fn work(version: &str, etcd: &Etcd) {
    let proxy = Proxy::start(etcd.port());
    as_root(etcd, &["user", "add", "worker:word"], "");
    as_root(etcd, &["user", "grant-role", "worker", "mine"], "");
    let me = client(&proxy.servers(), &[("user", "worker"), ("password", "word")]);
    let logins = || proxy.requests(Protocol::Grpc.path(Rpc::Authenticate));
    let (pause, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let at_end = AtEnd(&stop);
        let call = |number: usize| call(&me, &format!("mine/{number}"), &pause, &stop);
        let calls: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || call(number))).collect();
        let ranges = ["", "", "0", "1"].map(|key| match key {
            "" => KeyRange::prefix("mine/"),
            key => KeyRange { start: format!("mine/{key}").into(), end: b"mine0".to_vec() },
        });
        let watches = ranges.map(|range| (range.clone(), scope.spawn(|| watch(&me, range))));
        sleep(Duration::from_secs(1));
        for _ in 0..2 {
            // A token that is used lasts on; this one is over then.
            pause.store(true, Ordering::SeqCst);
            sleep(Duration::from_secs(4));
            pause.store(false, Ordering::SeqCst);
            sleep(Duration::from_secs(1));
        }
        let after_pauses = logins();
        // Requests that are under way now come from a store of users that is old.
        for number in 0..CHANGES {
            let range = format!("other/{number}");
            as_root(etcd, &["role", "grant-permission", "mine", "readwrite", &range], "");
        }
        let after_changes = logins();
        // This ends all tokens of the user.
        as_root(etcd, &["user", "passwd", "worker", "--interactive=false"], "word\n");
        sleep(Duration::from_millis(500));
        drop(at_end);
        let told = |what: &str, error: etcd::Error| -> ! { panic!("etcd {version}: {what}: {error}") };
        let written = calls.into_iter().map(|call| {
            let count = call.join().expect("no panic").unwrap_or_else(|error| told("a call", error));
            assert!(count > 20, "etcd {version}: {count} are no load");
            count
        });
        let written: Vec<usize> = written.collect();
        me.put("mine/last", "last", 0).expect("logged in");
        for (range, watch) in watches {
            let events = watch.join().expect("no panic").unwrap_or_else(|error| told("a watch", error));
            for (number, count) in written.iter().enumerate() {
                let key = format!("mine/{number}").into_bytes();
                let wanted = if range.contains(&key) { *count } else { 0 };
                let of_key = events.iter().filter(|event| event.kv.key == key);
                let values: Vec<_> = of_key.map(|event| event.kv.value.clone()).collect();
                let all: Vec<_> = (0..wanted).map(|number| number.to_string().into_bytes()).collect();
                assert!(values == all, "etcd {version}: {} of {wanted}", values.len());
            }
        }
        let logins = logins();
        println!(
            "etcd {version}: {} writes and reads; {after_pauses} logins with pauses, {} for {CHANGES} changes, {} \
             for a new password",
            written.iter().sum::<usize>(),
            after_changes - after_pauses,
            logins - after_changes
        );
        // The first, and one for each pause.
        assert!((3..=5).contains(&after_pauses), "etcd {version}: {after_pauses} logins");
        assert!(after_changes - after_pauses <= 2 * CHANGES, "etcd {version}: {after_changes} logins");
        assert!((1..=3).contains(&(logins - after_changes)), "etcd {version}: {logins} logins");
    });
}

#[test]
fn tokens_that_are_over_and_changes_of_permissions_disturb_no_call_and_no_watch_of_etcd() {
    let servers = ALL_VERSIONS.map(|version| (version, with_users(version, &["--auth-token-ttl=2"])));
    std::thread::scope(|scope| {
        for (version, etcd) in &servers {
            let Some(etcd) = etcd else { return };
            scope.spawn(move || work(version, etcd));
        }
    });
}
