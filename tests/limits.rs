//! What a client may cost at most: processor time when nothing happens or nobody answers, round trips, memory.

use std::process::Command;
use std::time::{Duration, Instant};

use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, Options};
use faultproxy::{Fault, Proxy};

use crate::support::{
    Etcd, Pki, Running, VERSIONS, alone, built, client, eventually, late_line, long, my_turn,
};

/// What this process has used of the processors.
fn processor_time() -> Duration {
    // SAFETY: all zeros is a valid value, and the call fills it in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Opens watches in threads of their own, which end when the client is closed, and measures what the process uses
/// while they wait.
fn with_watches(client: &Client, count: usize, measure: impl FnOnce() -> Duration) -> Duration {
    std::thread::scope(|scope| {
        let (opened, all_open) = std::sync::mpsc::channel();
        for number in 0..count {
            let opened = opened.clone();
            scope.spawn(move || {
                let range = KeyRange::key(format!("quiet/{number}"));
                let mut watch = client.watch(WatchRequest::new(range, 0));
                watch.open(Deadline::NEVER, client.closed()).expect("it opens");
                opened.send(()).expect("somebody counts");
                let ended = watch.next(Deadline::NEVER, client.closed());
                assert_eq!(ended.expect_err("nothing happens").kind(), etcd::ErrorKind::Closed);
            });
        }
        (0..count).for_each(|_| all_open.recv().expect("each opens"));
        let used = measure();
        client.close();
        used
    })
}

#[test]
fn an_idle_client_with_100_watches_of_etcd_costs_10_ms_a_minute_at_most() {
    if !alone("limits::an_idle_client_with_100_watches_of_etcd_costs_10_ms_a_minute_at_most") {
        return;
    }
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let client = client(&etcd.servers(), &[]);
    let time = Duration::from_secs(if long() { 60 } else { 24 });
    let used = with_watches(&client, 100, || {
        std::thread::sleep(Duration::from_secs(1));
        let before = processor_time();
        std::thread::sleep(time);
        processor_time() - before
    });
    println!("100 idle watches: {used:?} of processor time in {time:?}");
    assert!(used.as_secs_f64() / time.as_secs_f64() <= 0.010 / 60.0, "{used:?} in {time:?}");
}

#[test]
fn a_client_whose_servers_are_all_dead_costs_less_than_1_percent_although_it_watches_etcd() {
    let name =
        "limits::a_client_whose_servers_are_all_dead_costs_less_than_1_percent_although_it_watches_etcd";
    if !alone(name) {
        return;
    }
    for fault in [Fault::Refuse, Fault::BlackHole] {
        let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
        let proxies = [0; 3].map(|_| Proxy::start(etcd.port()));
        let endpoints = proxies.iter().map(Proxy::servers).collect::<Vec<_>>().join(",");
        let client = client(&endpoints, &[]);
        let time = Duration::from_secs(if long() { 60 } else { 10 });
        let used = with_watches(&client, 100, || {
            proxies.iter().for_each(|proxy| proxy.set(fault));
            std::thread::sleep(Duration::from_secs(2));
            let before = processor_time();
            std::thread::sleep(time);
            processor_time() - before
        });
        println!("all servers dead ({fault:?}): {used:?} of processor time in {time:?}");
        assert!(used < time / 100, "{fault:?}: {used:?} in {time:?}");
    }
}

/// The same in a process of its own, since a proxy that resets connections has more to do than who makes them.
#[test]
fn a_tool_that_watches_etcd_through_a_network_that_fails_costs_less_than_1_percent() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    for fault in [Fault::Reset, Fault::HalfClose] {
        let proxies = [0; 3].map(|_| Proxy::start(etcd.port()));
        let endpoints = proxies.iter().map(Proxy::servers).collect::<Vec<_>>().join(",");
        let mut tool =
            Running::start(Command::new(built().join("etcd-api")).args(["-s", &endpoints, "watch", "k"]));
        etcd.ask(&["put", "k", "v"]);
        eventually(Duration::from_secs(10), "it watches", || {
            etcd.ask(&["put", "k", "v"]);
            proxies.iter().any(|proxy| proxy.requests("/etcdserverpb.Watch/Watch") > 0).then_some(())
        });
        assert!(tool.line().starts_with("put"));
        proxies.iter().for_each(|proxy| proxy.set(fault));
        std::thread::sleep(Duration::from_secs(1));
        let (before, time) = (tool.processor_time(), Duration::from_secs(10));
        std::thread::sleep(time);
        let used = tool.processor_time() - before;
        println!("the tool through a failing network ({fault:?}): {used:?} of processor time in {time:?}");
        assert!(tool.is_running());
        assert!(used < time / 100, "{fault:?}: {used:?} in {time:?}");
    }
}

/// How long opening a client and reading a key takes, in round trips: the shortest of some tries, since a busy machine
/// only adds to it.
fn round_trips(etcd: &Etcd, options: &[(&str, &str)]) -> f64 {
    (0..5).map(|_| round_trips_once(etcd, options)).fold(f64::MAX, f64::min)
}

fn round_trips_once(etcd: &Etcd, options: &[(&str, &str)]) -> f64 {
    let half = Duration::from_millis(100);
    let line = late_line(etcd.port(), half);
    let start = Instant::now();
    let client = client(&line, options);
    client.get("k").expect("an answer");
    start.elapsed().as_secs_f64() / (half * 2).as_secs_f64()
}

#[test]
fn opening_a_client_of_etcd_and_reading_takes_two_round_trips_at_most() {
    let _turn = my_turn();
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let plain = round_trips(&etcd, &[]);
    assert!((0.9..1.5).contains(&plain), "the read itself is one: {plain:.2}");
    let pki = Pki::new();
    let Some(secure) = Etcd::start_secure(VERSIONS[1], &pki, "server") else { return };
    let text = |path: std::path::PathBuf| path.display().to_string();
    let (ca, cert, key) =
        (text(pki.certificate("ca")), text(pki.certificate("client")), text(pki.key("client")));
    let over_tls = round_trips(&secure, &[("ca_file", &ca), ("cert_file", &cert), ("key_file", &key)]);
    assert!((1.8..2.5).contains(&over_tls), "one to set TLS up, and one to read: {over_tls:.2}");
    for command in ["user add root:secret", "role add root", "user grant-role root root", "auth enable"] {
        etcd.ask(&command.split(' ').collect::<Vec<_>>());
    }
    let with_user = round_trips(&etcd, &[("user", "root"), ("password", "secret")]);
    assert!(
        (1.8..3.0).contains(&with_user),
        "to log in (etcd works on that for a while), and to read: {with_user:.2}"
    );
    println!("round trips: {plain:.2}, over TLS {over_tls:.2}, with a user {with_user:.2}");
}

/// Bytes that were asked of malloc and not given back.
fn heap() -> usize {
    // SAFETY: asks for nothing.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

#[test]
fn an_idle_client_of_etcd_holds_less_than_200_kib() {
    if !alone("limits::an_idle_client_of_etcd_holds_less_than_200_kib") {
        return;
    }
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let open = || {
        let mut options = Options::new();
        options.set("endpoints", &etcd.servers()).expect("an option");
        let client = Client::open(options).expect("a client");
        client.put("k", "v", 0).expect("a write");
        client.get("k").expect("a read");
        client
    };
    // The first one brings what all share.
    let first = open();
    let before = heap();
    let clients: Vec<Client> = (0..100).map(|_| open()).collect();
    let each = (heap() - before) / clients.len();
    println!("an idle client: {} KiB of heap", each / 1024);
    assert!(each < 200 << 10, "{each} bytes");
    drop((clients, first));
}
