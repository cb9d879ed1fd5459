//! Clients that are closed while many threads use them: all are told soon, and nothing is left behind.

use std::time::{Duration, Instant};

use etcd::client::queue::Queue;
use etcd::client::{Operation, WatchMode};
use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, ErrorKind};

use crate::locks::contender::{One, want};
use crate::support::{
    AtEnd, Dice, Etcd, Jitter, Protocol, VERSIONS, alone, client, eventually, long, my_turn,
};

const THREADS: usize = 16;
/// How soon everybody is told.
const SOON: Duration = Duration::from_secs(1);

/// Calls until something fails, and tells what, and when.
fn use_it(client: &Client, number: usize) -> (etcd::Error, Instant) {
    let key = format!("k{number}");
    let error = loop {
        let failed = match number % 4 {
            0 => client.get(&*key).err(),
            1 => client.put(&*key, "v", 0).err(),
            2 => client.grant(60).and_then(|lease| client.keep_alive(lease.id)).err(),
            _ => watch(client, &key).err(),
        };
        if let Some(error) = failed {
            break error;
        }
    };
    (error, Instant::now())
}

/// Opens a watch, sees something, and waits for more for a moment.
fn watch(client: &Client, key: &str) -> etcd::Result<()> {
    let revision = client.put(key, "v", 0)?;
    let mut watch = client.watch(WatchRequest::new(KeyRange::key(key), revision));
    watch.next(Deadline::NEVER, client.closed())?;
    match watch.next(Deadline::after(Duration::from_millis(10)), client.closed()) {
        Err(error) if error.kind() == ErrorKind::Timeout => Ok(()),
        more => more.map(drop),
    }
}

/// The names of our own threads, and how many files are open.
fn left() -> (Vec<String>, usize) {
    let threads = std::fs::read_dir("/proc/self/task").expect("this system has it");
    let name = |path: std::path::PathBuf| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
    let names = threads.flatten().map(|thread| name(thread.path()));
    let ours = names.filter(|name| name.starts_with("etcd-")).collect();
    (ours, std::fs::read_dir("/proc/self/fd").expect("this system has it").count())
}

/// Tells whether there was anything to be left behind.
fn close_in_use(etcd: &Etcd, endpoints: &str, dice: &mut Dice, stopped: bool) -> bool {
    let (none, files) = left();
    assert!(none.is_empty(), "{none:?}");
    let client = client(endpoints, &[("request_timeout_ms", "20000")]);
    let jitter = Jitter::measure();
    let had_threads = std::thread::scope(|scope| {
        let client = &client;
        let users = (0..THREADS).map(|number| scope.spawn(move || use_it(client, number)));
        let users: Vec<_> = users.collect();
        std::thread::sleep(Duration::from_micros(dice.below(200_000) as u64));
        if stopped {
            // Whatever is under way would take long now.
            etcd.stop();
        }
        let had_threads = !left().0.is_empty();
        let start = Instant::now();
        client.close();
        for (number, user) in users.into_iter().enumerate() {
            let (error, told) = user.join().expect("no panic");
            assert_eq!(error.kind(), ErrorKind::Closed, "{number}: {error}");
            let took = told.saturating_duration_since(start);
            assert!(took < SOON + jitter.worst(), "{number}: {took:?}, jitter {:?}", jitter.worst());
        }
        had_threads
    });
    drop(jitter);
    drop(client);
    eventually(SOON, "all threads and files are gone", || (left() == (Vec::new(), files)).then_some(()));
    if stopped {
        etcd.go_on();
    }
    had_threads
}

#[test]
fn a_client_of_etcd_that_is_closed_in_use_ends_all_calls_at_once_and_leaves_nothing() {
    let _turn = my_turn();
    if !alone("closing::a_client_of_etcd_that_is_closed_in_use_ends_all_calls_at_once_and_leaves_nothing") {
        return;
    }
    let mut dice = Dice::of("closing");
    let rounds = if long() { 1000 } else { 50 };
    for version in [VERSIONS[1], VERSIONS[2]] {
        let Some(etcd) = Etcd::start(version) else { return };
        for protocol in Protocol::BOTH {
            let endpoints = protocol.endpoints(&etcd.servers());
            // What all clients share is there from the first one on.
            client(&endpoints, &[]).get("k").expect("an answer");
            eventually(SOON, "its threads are gone", || left().0.is_empty().then_some(()));
            let close = |round: &usize| close_in_use(&etcd, &endpoints, &mut dice, round % 5 == 4);
            let had_threads = (0..rounds).filter(close).count();
            assert!(had_threads > rounds / 10, "{protocol:?}: only {had_threads} times there was a thread");
        }
    }
}

/// The library's threads that have something to do yet: the system shows those that are exiting for a moment more.
fn at_work() -> Vec<String> {
    const EXITING: u64 = 4;
    let threads = std::fs::read_dir("/proc/self/task").expect("this system has it");
    let works = |path: std::path::PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let state = std::fs::read_to_string(path.join("stat")).ok()?;
        let flags = state.rsplit_once(')')?.1.split_whitespace().nth(6)?.parse::<u64>().expect("a number");
        (name.starts_with("etcd-") && flags & EXITING == 0).then(|| name.trim().to_owned())
    };
    threads.flatten().filter_map(|thread| works(thread.path())).collect()
}

/// Watches, locks and calls, all of them without a thread of the caller's.
fn begin_much(client: &Client) -> (Queue, Vec<One>) {
    let queue = Queue::new(usize::MAX);
    for tag in 1..=20 {
        let watch = WatchRequest::new(KeyRange::key(format!("k{}", tag % 4)), 0);
        queue.watch(client, watch, WatchMode::default(), tag, Deadline::NEVER).expect("a tag that is free");
    }
    // One of them gets it, the others wait for it.
    let locks = (0..4).map(|_| want(client, "closing", 10)).collect();
    for tag in 100..200 {
        let put = Request::Put(PutRequest::new(format!("k{}", tag % 4), "v"));
        let put = Operation::request(put);
        queue.submit(client, &put, tag, Deadline::NEVER).expect("a tag that is free");
    }
    (queue, locks)
}

/// Uses the processors until it is stopped.
fn be_busy(stop: &std::sync::atomic::AtomicBool) {
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

/// Closes a client in the midst of things, and tells which threads it had.
fn close_gracefully(endpoints: &str, dice: &mut Dice) -> Vec<String> {
    let client = client(endpoints, &[("request_timeout_ms", "20000")]);
    let begun = begin_much(&client);
    std::thread::sleep(Duration::from_micros(dice.below(100_000) as u64));
    let had = at_work();
    client.shut_down(Deadline::after(Duration::from_secs(60))).expect("in time");
    let left = at_work();
    assert!(left.is_empty(), "{left:?} of {had:?}");
    drop(begun);
    had
}

#[test]
fn a_client_of_etcd_that_was_closed_gracefully_has_no_threads() {
    let _turn = my_turn();
    if !alone("closing::a_client_of_etcd_that_was_closed_gracefully_has_no_threads") {
        return;
    }
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let mut dice = Dice::of("closing gracefully");
    let rounds = if long() { 1000 } else { 100 };
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = AtEnd(&stop);
        let load = std::thread::available_parallelism().map_or(2, |many| many.get());
        (0..load).for_each(|_| drop(scope.spawn(|| be_busy(&stop))));
        for protocol in Protocol::BOTH {
            let endpoints = protocol.endpoints(&etcd.servers());
            let had: Vec<String> =
                (0..rounds).flat_map(|_| close_gracefully(&endpoints, &mut dice)).collect();
            let kinds = match protocol {
                Protocol::Grpc => ["etcd-work", "etcd-clock", "etcd-streams", "etcd-calls"].as_slice(),
                Protocol::Json => &["etcd-work", "etcd-clock", "etcd-watch"],
            };
            for kind in kinds {
                let times = had.iter().filter(|name| name == kind).count();
                assert!(times > rounds / 4, "{protocol:?}: only {times} times {kind}");
            }
        }
    });
}

/// The store's own thread is not the client's: others may share the store. It ends with the last of them.
#[test]
fn a_client_of_mem_that_was_closed_gracefully_leaves_no_threads_when_it_is_gone() {
    let _turn = my_turn();
    if !alone("closing::a_client_of_mem_that_was_closed_gracefully_leaves_no_threads_when_it_is_gone") {
        return;
    }
    for _ in 0..50 {
        let client = client("mem://closing", &[]);
        let begun = begin_much(&client);
        client.shut_down(Deadline::after(Duration::from_secs(60))).expect("in time");
        drop((begun, client));
        assert!(at_work().is_empty(), "{:?}", at_work());
    }
}

#[test]
fn a_client_of_a_silent_etcd_is_closed_by_its_deadline_and_its_threads_end() {
    let _turn = my_turn();
    if !alone("closing::a_client_of_a_silent_etcd_is_closed_by_its_deadline_and_its_threads_end") {
        return;
    }
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    for protocol in Protocol::BOTH {
        let client = client(&protocol.endpoints(&etcd.servers()), &[("request_timeout_ms", "20000")]);
        client.put("k", "v", 0).expect("written");
        let begun = begin_much(&client);
        std::thread::sleep(Duration::from_millis(100));
        etcd.stop();
        let more = begin_much(&client);
        let jitter = Jitter::measure();
        let start = Instant::now();
        let ended = client.shut_down(Deadline::after(Duration::from_millis(500)));
        let took = start.elapsed();
        assert_eq!(ended.map_err(|error| error.kind()), Err(ErrorKind::Timeout), "calls were cut off");
        // Watches of the gateway have a thread each.
        let limit = Duration::from_millis(500) + SOON + jitter.worst();
        assert!(took < limit, "{protocol:?}: {took:?}, jitter {:?}", jitter.worst());
        // They were told to go all the same.
        eventually(SOON, "the threads have ended", || at_work().is_empty().then_some(()));
        drop((begun, more, jitter));
        etcd.go_on();
    }
}
