//! Every call ends within its timeout, whatever the server, the network or the resolver does; and afterwards all goes
//! on as before.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etcd::model::*;
use etcd::{Client, ErrorKind, Outcome};
use faultproxy::{Fault, Proxy};

use crate::support::{Etcd, Jitter, Pki, Protocol, VERSIONS, built, client, my_turn, resolver};

const TIMEOUT: Duration = Duration::from_millis(800);
/// What a call may take beyond its timeout, on a machine without jitter.
const SLACK: Duration = Duration::from_millis(100);

/// How much too early the system's own timeouts of sockets, which the JSON transport relies on, may be: they count
/// ticks, and the first one has begun already.
const TICK: Duration = Duration::from_millis(10);

type Call = (&'static str, fn(&Client) -> Result<(), etcd::Error>);

const CALLS: [Call; 12] = [
    ("read", |c| c.get("k").map(drop)),
    ("write", |c| c.put("k", "v", 0).map(drop)),
    ("delete", |c| c.delete(KeyRange::key("k")).map(drop)),
    ("transaction", |c| c.txn(TxnRequest::default()).map(drop)),
    ("compact", |c| c.compact(1).map(drop)),
    ("grant", |c| c.call(&Request::LeaseGrant { id: 0, ttl: 60 }).map(drop)),
    ("revoke", |c| c.revoke(7)),
    ("keep alive", |c| c.keep_alive(7).map(drop)),
    ("time to live", |c| c.time_to_live(7, true).map(drop)),
    ("members", |c| c.members().map(drop)),
    ("leader", |c| c.leader().map(drop)),
    ("watch", |c| {
        let mut watch = c.watch(WatchRequest::new(KeyRange::key("k"), 0));
        watch.open(etcd::wait::Deadline::NEVER, c.closed()).map(drop)
    }),
];

/// Makes every call at once, on connections that are open already and on new ones, and judges how long each takes.
fn all_end_in_time(endpoints: &str, options: &[(&str, &str)], what: &str, fail: impl Fn()) {
    let _turn = my_turn();
    let timeout = TIMEOUT.as_millis().to_string();
    let options = [options, &[("request_timeout_ms", &timeout)]].concat();
    let clients: Vec<(Call, Client)> =
        CALLS.iter().chain(&CALLS).map(|call| (*call, client(endpoints, &options))).collect();
    for (_, warm) in &clients[..CALLS.len()] {
        warm.get("k").expect("all is well");
    }
    fail();
    let jitter = Jitter::measure();
    let took: Vec<(&str, Duration, Result<(), etcd::Error>)> = std::thread::scope(|scope| {
        let calls: Vec<_> = clients
            .iter()
            .map(|((name, call), client)| {
                scope.spawn(move || {
                    let start = Instant::now();
                    let result = call(client);
                    (*name, start.elapsed(), result)
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().expect("no panic")).collect()
    });
    let limit = TIMEOUT + SLACK + jitter.worst();
    for (name, took, result) in took {
        assert!(took <= limit, "{name}, {what}: {took:?}, jitter {:?}, {result:?}", jitter.worst());
        result.expect_err(&format!("{name}, {what}: it can't succeed"));
    }
}

#[test]
fn calls_to_a_stopped_etcd_end_in_time() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    all_end_in_time(&etcd.servers(), &[], "stopped", || etcd.stop());
    etcd.go_on();
    client(&etcd.servers(), &[]).get("k").expect("it goes on");
}

/// Counts the signals that interrupted something.
extern "C" fn interrupted(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// A handler after which system calls fail rather than go on.
fn handle_signals() {
    // SAFETY: all zeros is a valid action; the handler only counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = interrupted as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
}

#[test]
fn signals_neither_end_calls_to_a_stopped_etcd_nor_make_them_longer() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    handle_signals();
    let _turn = my_turn();
    let timeout = TIMEOUT.as_millis().to_string();
    let open = |protocol: Protocol| {
        client(&protocol.endpoints(&etcd.servers()), &[("request_timeout_ms", &timeout)])
    };
    // On connections that are there already, and on new ones.
    let kinds = Protocol::BOTH.into_iter().flat_map(|protocol| [(protocol, true), (protocol, false)]);
    let calls: Vec<(Protocol, &Call, Client)> = kinds
        .flat_map(|kind| CALLS.iter().map(move |call| (kind, call)))
        .map(|((protocol, warm), call)| {
            let client = open(protocol);
            if warm {
                client.get("k").expect("all is well");
            }
            (protocol, call, client)
        })
        .collect();
    etcd.stop();
    let jitter = Jitter::measure();
    let (tell, threads) = std::sync::mpsc::channel();
    let took: Vec<(Protocol, &str, Duration, etcd::Error)> = std::thread::scope(|scope| {
        let calls: Vec<_> = calls
            .iter()
            .map(|(protocol, (name, call), client)| {
                let tell = tell.clone();
                scope.spawn(move || {
                    // SAFETY: asks for nothing.
                    tell.send(unsafe { libc::pthread_self() }).expect("somebody listens");
                    let start = Instant::now();
                    let error = call(client).expect_err("nobody answers");
                    (*protocol, *name, start.elapsed(), error)
                })
            })
            .collect();
        let threads: Vec<libc::pthread_t> = threads.iter().take(calls.len()).collect();
        while calls.iter().any(|call| !call.is_finished()) {
            // SAFETY: none of them was joined yet.
            threads
                .iter()
                .for_each(|thread| unsafe { assert_eq!(libc::pthread_kill(*thread, libc::SIGUSR1), 0) });
            std::thread::sleep(Duration::from_millis(50));
        }
        calls.into_iter().map(|call| call.join().expect("no panic")).collect()
    });
    etcd.go_on();
    let limit = TIMEOUT + SLACK + jitter.worst();
    for (protocol, name, took, error) in &took {
        let early = if *protocol == Protocol::Json { TICK } else { Duration::ZERO };
        let in_time = (TIMEOUT - early..=limit).contains(took);
        assert!(in_time, "{name}: {took:?}, jitter {:?}: {error}", jitter.worst());
    }
    let signals = SIGNALS.load(Ordering::SeqCst);
    assert!(signals > took.len() * 8, "{signals} signals for {} calls", took.len());
}

const LATE: Duration = Duration::from_secs(2);

const FAULTS: [Fault; 7] = [
    Fault::BlackHole,
    Fault::Slow { bytes: 1, every: Duration::from_millis(30) },
    Fault::Delay { to_server: LATE, to_client: Duration::ZERO },
    Fault::Delay { to_server: Duration::ZERO, to_client: LATE },
    Fault::HalfClose,
    Fault::Reset,
    Fault::Refuse,
];

fn through_every_fault(etcd: &Etcd, options: &[(&str, &str)]) {
    for fault in FAULTS {
        let proxy = Proxy::start(etcd.port());
        let patient = client(&proxy.servers(), options);
        patient.get("k").expect("all is well");
        all_end_in_time(&proxy.servers(), options, &format!("{fault:?}"), || proxy.set(fault));
        proxy.set(Fault::Pass);
        proxy.cut();
        patient.get("k").unwrap_or_else(|error| panic!("after {fault:?}: {error}"));
    }
}

#[test]
fn calls_through_a_failing_network_to_etcd_end_in_time_and_work_again_when_it_does() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    through_every_fault(&etcd, &[]);
}

/// What a client needs for a server with certificates on both sides.
fn files(pki: &Pki) -> Vec<(&'static str, String)> {
    let text = |path: std::path::PathBuf| path.display().to_string();
    vec![
        ("ca_file", text(pki.certificate("ca"))),
        ("cert_file", text(pki.certificate("client"))),
        ("key_file", text(pki.key("client"))),
    ]
}

#[test]
fn the_same_over_tls_to_etcd() {
    let pki = Pki::new();
    let Some(etcd) = Etcd::start_secure(VERSIONS[1], &pki, "server") else { return };
    let files = files(&pki);
    let options: Vec<(&str, &str)> = files.iter().map(|(name, file)| (*name, file.as_str())).collect();
    through_every_fault(&etcd, &options);
}

#[test]
fn a_large_write_to_a_stopped_etcd_ends_in_time_with_and_without_tls() {
    let pki = Pki::new();
    let (Some(plain), Some(secure)) =
        (Etcd::start(VERSIONS[1]), Etcd::start_secure(VERSIONS[1], &pki, "server"))
    else {
        return;
    };
    let files = files(&pki);
    let options: Vec<(&str, &str)> = files.iter().map(|(name, file)| (*name, file.as_str())).collect();
    for (etcd, options) in [(&plain, &[][..]), (&secure, &options)] {
        // So long that there is time to make base64 of it.
        let timeout = Duration::from_secs(3);
        let client = client(&etcd.servers(), &[options, &[("request_timeout_ms", "3000")]].concat());
        client.get("k").expect("all is well");
        etcd.stop();
        let (start, jitter) = (Instant::now(), Jitter::measure());
        // More than the system keeps for a server that reads nothing.
        let error = client.put("k", vec![b'v'; 16 << 20], 0).expect_err("nobody reads it");
        let took = start.elapsed();
        // It is busy all the time, and shares the machine with other tests.
        assert!(took <= timeout + 3 * SLACK + jitter.worst(), "{took:?}, {error}");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown), "{error}");
        etcd.go_on();
    }
}

/// Puts through a proxy that flips bits of answers, each at most once, and exactly once when it is told so.
fn corrupt_answers(etcd: &Etcd, options: &[(&str, &str)]) -> (usize, usize) {
    let direct = client(&etcd.servers(), options);
    let (mut told, mut failed) = (0, 0);
    for seed in 0..60 {
        let proxy = Proxy::start(etcd.port());
        let through = client(&proxy.servers(), &[options, &[("request_timeout_ms", "800")]].concat());
        // The handshake is over when bits begin to flip.
        through.get("k").expect("all is well");
        let version = || direct.get("k").expect("a read").map_or(0, |kv| kv.version);
        let before = version();
        proxy.set(Fault::Corrupt { every: 150, seed });
        let start = Instant::now();
        let result = through.put("k", "v", 0);
        assert!(start.elapsed() < Duration::from_secs(5), "seed {seed}");
        let done = version() - before;
        match result {
            Ok(_) => (told, _) = (told + 1, assert_eq!(done, 1, "seed {seed}")),
            Err(error) => {
                failed += 1;
                assert!(done <= 1, "seed {seed}: done {done} times: {error}");
                assert!(done == 0 || error.outcome() == Outcome::Unknown, "seed {seed}: {error:?}");
            }
        }
    }
    (told, failed)
}

#[test]
fn writes_to_etcd_whose_answers_are_corrupt_are_done_once_at_most_and_known_or_unknown() {
    let pki = Pki::new();
    let (Some(plain), Some(secure)) =
        (Etcd::start(VERSIONS[1]), Etcd::start_secure(VERSIONS[1], &pki, "server"))
    else {
        return;
    };
    let files = files(&pki);
    let options: Vec<(&str, &str)> = files.iter().map(|(name, file)| (*name, file.as_str())).collect();
    // Over TLS a flipped bit is always seen; without, one in a revision, say, can't be.
    assert!(corrupt_answers(&plain, &[]).1 > 10, "bits must have been flipped");
    assert!(corrupt_answers(&secure, &options).1 > 10, "bits must have been flipped");
}

#[test]
fn a_silent_etcd_among_others_costs_a_read_its_share_and_the_next_one_nothing() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let proxies = [Proxy::start(etcd.port()), Proxy::start(etcd.port()), Proxy::start(etcd.port())];
    let endpoints = proxies.iter().map(Proxy::servers).collect::<Vec<_>>().join(",");
    let client = client(&endpoints, &[("request_timeout_ms", "3000")]);
    client.get("k").expect("all is well");
    proxies[0].set(Fault::BlackHole);
    proxies[1].set(Fault::BlackHole);
    let (start, jitter) = (Instant::now(), Jitter::measure());
    client.get("k").expect("the third one answers");
    let limit = Duration::from_millis(2500) + jitter.worst();
    assert!(start.elapsed() < limit, "a third each: {:?}", start.elapsed());
    let start = Instant::now();
    for _ in 0..10 {
        client.put("k", "v", 0).expect("it is remembered which one answers");
    }
    assert!(start.elapsed() < Duration::from_secs(1) + jitter.worst(), "{:?}", start.elapsed());
    // When that one goes, too, what was bad before is asked again.
    proxies[2].set(Fault::Refuse);
    proxies[0].set(Fault::Pass);
    proxies[0].cut();
    client.get("k").expect("the first one is well again");
}

#[test]
fn a_write_into_a_black_hole_before_etcd_is_unknown() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let proxy = Proxy::start(etcd.port());
    let endpoints = format!("{},{}", proxy.servers(), etcd.servers());
    let client = client(&endpoints, &[("request_timeout_ms", "800")]);
    client.put("k", "1", 0).expect("all is well");
    proxy.set(Fault::BlackHole);
    let error = client.put("k", "2", 0).expect_err("nobody answers");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown), "{error}");
    client.put("k", "3", 0).expect("the other one is asked now");
    assert_eq!(client.get("k").expect("a read").expect("a key").value, b"3");
}

#[test]
fn a_resolver_that_never_answers_holds_nothing_up_and_costs_no_etcd_beside_it_its_turn() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let ask = |servers: &str| {
        let mut tool = Command::new(built().join("etcd-api"));
        tool.args(["-s", servers, "--request-timeout-ms", "800", "get", "k"]).env("LD_PRELOAD", resolver());
        let (start, jitter) = (Instant::now(), Jitter::measure());
        let output = tool.output().expect("it runs");
        (start.elapsed(), jitter.worst(), output)
    };
    client(&etcd.servers(), &[]).put("k", "found", 0).expect("a put");
    for protocol in Protocol::BOTH {
        let (took, jitter, output) = ask(&protocol.endpoints("stalled.invalid:2379"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(took <= TIMEOUT + 3 * SLACK + jitter, "{protocol:?}, with the program's start: {took:?}");
        let told = errors.contains("stalled.invalid") && errors.contains("no connection in time");
        assert!(told, "{protocol:?}: {errors}");
        let servers = format!("stalled.invalid:2379,{}", etcd.servers());
        let (_, _, output) = ask(&protocol.endpoints(&servers));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "found\n", "{protocol:?}: {output:?}");
    }
}
