//! Servers that are not there, not etcd, silent, stopped, or that lose an answer. Every call has its
//! documented result within its deadline.

use std::ffi::{CStr, CString, c_char};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use etcd::ffi::classic::*;
use etcd::ffi::types::{etcd_result, etcd_session};

use faultproxy::{After, Proxy};

use crate::support::{Etcd, Protocol, Rpc, VERSIONS, eventually, free_port};
use etcd_result::{ETCD_OK, ETCD_PROTOCOL_ERROR, ETCD_WTF};

/// The default of `request_timeout_ms`.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What the machine may add.
const SLACK: Duration = Duration::from_millis(600);

/// A session in safe clothes.
struct Session(etcd_session);

// SAFETY: any thread may use a session, says the header.
unsafe impl Sync for Session {}

impl Session {
    fn open(servers: &str) -> Self {
        let servers = CString::new(servers).expect("no NUL");
        // SAFETY: a valid string.
        let session = unsafe { etcd_open_str(servers.as_ptr()) };
        assert!(!session.is_null());
        Session(session)
    }

    fn get(&self, key: &CStr) -> Result<String, i32> {
        // SAFETY: the session is open; the string is freed after it was copied.
        unsafe { Self::own(etcd_get(self.0, key.as_ptr())) }
    }

    fn leader(&self) -> Result<String, i32> {
        // SAFETY: as above.
        unsafe { Self::own(etcd_leader(self.0)) }
    }

    unsafe fn own(string: *mut c_char) -> Result<String, i32> {
        if string.is_null() {
            return Err(errno());
        }
        // SAFETY: a string from malloc.
        unsafe {
            let text = CStr::from_ptr(string).to_string_lossy().into_owned();
            libc::free(string.cast());
            Ok(text)
        }
    }

    fn set(&self, key: &CStr, value: &CStr) -> (etcd_result, i32) {
        // SAFETY: the session is open, the strings are valid.
        (unsafe { etcd_set(self.0, key.as_ptr(), value.as_ptr(), null(), 0) }, errno())
    }

    fn delete(&self, key: &CStr) -> (etcd_result, i32) {
        // SAFETY: as above.
        (unsafe { etcd_delete(self.0, key.as_ptr()) }, errno())
    }

    fn watch(&self, key: &CStr) -> (etcd_result, i32) {
        // SAFETY: as above; NULL for everything that is not wanted.
        let result =
            unsafe { etcd_watch(self.0, key.as_ptr(), null_mut(), null_mut(), null_mut(), null_mut()) };
        (result, errno())
    }

    fn lock(&self, name: &CStr, ttl: u32) -> Result<CString, (etcd_result, i32)> {
        let mut index = null_mut();
        // SAFETY: as above; the index is copied and freed.
        unsafe {
            match etcd_lock(self.0, name.as_ptr(), ttl, null(), &mut index) {
                ETCD_OK => {
                    let copy = CStr::from_ptr(index).to_owned();
                    libc::free(index.cast());
                    Ok(copy)
                }
                failed => {
                    assert!(index.is_null());
                    Err((failed, errno()))
                }
            }
        }
    }

    fn renew(&self, name: &CStr, index: &CStr) -> (etcd_result, i32) {
        // SAFETY: as above.
        (unsafe { etcd_lock(self.0, name.as_ptr(), 10, index.as_ptr(), null_mut()) }, errno())
    }

    fn unlock(&self, name: &CStr, index: &CStr) -> (etcd_result, i32) {
        // SAFETY: as above.
        (unsafe { etcd_unlock(self.0, name.as_ptr(), index.as_ptr()) }, errno())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: open, and not used any more.
        unsafe { etcd_close(self.0) };
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Every function, with the result it must have on a server that can't serve, within `limit` each.
fn all_fail(servers: &str, errno: i32, limit: Duration) {
    let session = Session::open(servers);
    let start = Instant::now();
    let timed = |name: &str, start: Instant| {
        assert!(start.elapsed() <= limit, "{name} on {servers} took {:?}", start.elapsed());
    };
    assert_eq!(session.get(c"k"), Err(errno), "get {servers}");
    timed("get", start);
    type Call<'a> = (&'a str, &'a dyn Fn() -> (etcd_result, i32));
    let calls: [Call; 7] = [
        ("leader", &|| (ETCD_WTF, session.leader().expect_err("no server"))),
        ("set", &|| session.set(c"k", c"v")),
        ("delete", &|| session.delete(c"k")),
        ("watch", &|| session.watch(c"k")),
        ("lock", &|| session.lock(c"l", 10).expect_err("no server")),
        ("renew", &|| session.renew(c"l", c"7")),
        ("unlock", &|| session.unlock(c"l", c"7")),
    ];
    for (name, call) in calls {
        let start = Instant::now();
        assert_eq!(call(), (ETCD_WTF, errno), "{name} on {servers}");
        timed(name, start);
    }
}

/// The same by each protocol.
fn all_fail_by_both(servers: &str, errno: i32, limit: Duration) {
    for protocol in Protocol::BOTH {
        all_fail(&protocol.endpoints(servers), errno, limit);
    }
}

/// A server that treats every connection as `behave` says, until the test's process ends.
fn fake(behave: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || behave(stream));
        }
    });
    address
}

#[test]
fn nobody_listens() {
    all_fail_by_both(&format!("127.0.0.1:{}", free_port()), libc::ECONNREFUSED, Duration::from_secs(1));
}

#[test]
fn no_such_host() {
    all_fail_by_both("no-such-host.invalid", libc::EHOSTUNREACH, TIMEOUT + SLACK);
}

#[test]
fn no_such_unix_socket() {
    for scheme in ["unix", "json+unix"] {
        let endpoint = format!("{scheme}:///nonexistent/etcd.sock");
        all_fail(&endpoint, libc::ECONNREFUSED, Duration::from_secs(1));
    }
}

#[test]
fn a_server_that_speaks_something_else() {
    let banner = fake(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
        let _ = stream.read(&mut [0; 1024]);
    });
    all_fail_by_both(&banner, libc::EPROTO, Duration::from_secs(2));
    let web = fake(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
    });
    all_fail_by_both(&web, libc::EPROTO, Duration::from_secs(2));
}

#[test]
fn a_server_that_hangs_up() {
    let address = fake(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
    });
    all_fail_by_both(&address, libc::ECONNRESET, Duration::from_secs(2));
}

/// One thread a call: eight times the timeout one after the other would be long.
fn each_times_out(servers: &str) {
    type Call = fn(&Session) -> (etcd_result, i32);
    let calls: [(&str, Call); 8] = [
        ("get", |s| (ETCD_WTF, s.get(c"k").expect_err("no answer"))),
        ("leader", |s| (ETCD_WTF, s.leader().expect_err("no answer"))),
        ("set", |s| s.set(c"k", c"v")),
        ("delete", |s| s.delete(c"k")),
        ("watch", |s| s.watch(c"k")),
        ("lock", |s| s.lock(c"l", 10).expect_err("no answer")),
        ("renew", |s| s.renew(c"l", c"7")),
        ("unlock", |s| s.unlock(c"l", c"7")),
    ];
    std::thread::scope(|scope| {
        for (name, call) in calls {
            scope.spawn(move || {
                let session = Session::open(servers);
                let start = Instant::now();
                assert_eq!(call(&session), (ETCD_WTF, libc::ETIMEDOUT), "{name} on {servers}");
                let took = start.elapsed();
                assert!(took + SLACK > TIMEOUT, "{name} gave up after {took:?}");
                // Taking a lock ends with revoking its lease, which can't be answered either.
                let limit = if name == "lock" { TIMEOUT * 2 } else { TIMEOUT };
                assert!(took <= limit + SLACK, "{name} took {took:?}");
            });
        }
    });
}

#[test]
fn a_server_that_accepts_and_says_nothing() {
    let silent = silent();
    std::thread::scope(|scope| {
        for protocol in Protocol::BOTH {
            let endpoint = protocol.endpoints(&silent);
            scope.spawn(move || each_times_out(&endpoint));
        }
    });
}

fn silent() -> String {
    fake(|stream| {
        std::thread::sleep(Duration::from_secs(60));
        drop(stream);
    })
}

#[test]
fn closing_a_session_ends_its_calls_on_a_silent_server() {
    let silent = silent();
    type Call = fn(&Session) -> (etcd_result, i32);
    let calls: [Call; 4] = [
        |s| (ETCD_WTF, s.get(c"k").expect_err("no answer")),
        |s| s.set(c"k", c"v"),
        |s| s.watch(c"k"),
        |s| s.lock(c"l", 10).expect_err("no answer"),
    ];
    for (protocol, call) in Protocol::BOTH.into_iter().flat_map(|protocol| calls.map(|call| (protocol, call)))
    {
        let session = Session::open(&protocol.endpoints(&silent));
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| call(&session));
            std::thread::sleep(Duration::from_millis(200));
            let start = Instant::now();
            // SAFETY: open. Whatever begins on it later is refused.
            unsafe { etcd_close(session.0) };
            assert_eq!(caller.join().expect("no panic"), (ETCD_WTF, libc::ECANCELED), "{protocol:?}");
            assert!(start.elapsed() < Duration::from_secs(1), "{protocol:?}: {:?}", start.elapsed());
        });
        assert_eq!(session.get(c"k"), Err(libc::EBADF), "it is closed");
    }
}

/// Sends bytes one by one, slower than they are needed.
fn drip(mut stream: TcpStream, bytes: impl Iterator<Item = u8>) {
    let _ = stream.read(&mut [0; 4096]);
    for byte in bytes {
        if stream.write_all(&[byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

const SLOW_TEXT: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";

#[test]
fn a_server_that_drips() {
    let text = fake(|stream| drip(stream, SLOW_TEXT.iter().copied().chain([b' '; 100])));
    let frames = fake(|mut stream| {
        // Settings at once, then a frame of data that is never whole.
        let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        drip(stream, [0, 64, 0, 0, 0, 0, 0, 0, 1].into_iter().chain([0; 100]));
    });
    std::thread::scope(|scope| {
        scope.spawn(|| each_times_out(&Protocol::Json.endpoints(&text)));
        scope.spawn(|| each_times_out(&Protocol::Grpc.endpoints(&frames)));
    });
}

#[test]
fn a_server_that_drips_something_else() {
    // After nine bytes it is clear that this is no HTTP/2.
    let text = fake(|stream| drip(stream, SLOW_TEXT.iter().copied()));
    let session = Session::open(&text);
    let start = Instant::now();
    assert_eq!(session.set(c"k", c"v"), (ETCD_WTF, libc::EPROTO));
    assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
}

#[test]
fn etcd_stopped_in_mid_call_and_going_on() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let session = Session::open(&etcd.servers());
        assert_eq!(session.set(c"k", c"1").0, ETCD_OK);
        etcd.stop();
        let start = Instant::now();
        assert_eq!(session.get(c"k"), Err(libc::ETIMEDOUT));
        assert_eq!(session.set(c"k", c"2"), (ETCD_WTF, libc::ETIMEDOUT));
        assert!(start.elapsed() < 2 * TIMEOUT + 2 * SLACK, "{:?}", start.elapsed());
        etcd.go_on();
        let value = eventually(TIMEOUT, "the server goes on", || session.get(c"k").ok());
        assert!(value == "1" || value == "2", "unknown means one or the other: {value}");
    }
}

#[test]
fn a_stopped_etcd_is_left_for_one_that_answers() {
    let (Some(first), Some(second)) = (Etcd::start(VERSIONS[1]), Etcd::start(VERSIONS[1])) else { return };
    second.ask(&["put", "k", "of the second"]);
    let session = Session::open(&format!("{}, {}", first.servers(), second.servers()));
    first.stop();
    let start = Instant::now();
    assert_eq!(session.get(c"k").as_deref(), Ok("of the second"));
    assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(session.get(c"k").as_deref(), Ok("of the second"));
    assert!(start.elapsed() < Duration::from_secs(1), "it is remembered: {:?}", start.elapsed());
    first.go_on();
}

#[test]
fn calls_locks_and_watches_outlive_the_leader_of_an_etcd_cluster() {
    for version in VERSIONS {
        let Some(mut members) = Etcd::start_three(version) else { return };
        let servers: Vec<String> = members.iter().map(Etcd::servers).collect();
        let session = Session::open(&servers.join(","));
        let index = session.lock(c"l", 60).expect("free");
        assert_eq!(session.set(c"k", c"0").0, ETCD_OK);
        let from: i32 = index.to_str().expect("digits").parse().expect("a number");
        let waiter = std::thread::spawn({
            let servers = servers.join(",");
            move || Session::open(&servers).lock(c"l", 60)
        });
        for round in 1..=2 {
            let leader = eventually(Duration::from_secs(10), "a leader", || session.leader().ok());
            let leader = members.iter_mut().find(|member| member.name() == leader).expect("one of the three");
            leader.kill();
            // While there is no leader a write may fail, even with an unknown outcome; soon it works again.
            let value = CString::new(round.to_string()).expect("no NUL");
            eventually(Duration::from_secs(20), "a new leader", || {
                (session.set(c"k", &value).0 == ETCD_OK).then_some(())
            });
            assert_eq!(session.get(c"k"), Ok(round.to_string()));
            leader.revive();
        }
        if waiter.is_finished() {
            panic!("the lock is held all the time, and somebody got {:?}", waiter.join());
        }
        assert_eq!(session.renew(c"l", &index).0, ETCD_OK);
        assert_eq!(session.unlock(c"l", &index).0, ETCD_OK);
        let next = waiter.join().expect("no panic").expect("the waiter is next");
        assert_eq!(session.unlock(c"l", &next).0, ETCD_OK);
        let (mut last, mut at) = (String::new(), from + 1);
        while last != "2" {
            let mut value = null_mut();
            // SAFETY: an open session, a valid string, this test's own variables.
            let result =
                unsafe { etcd_watch(session.0, c"k".as_ptr(), null_mut(), &mut value, &mut at, &mut at) };
            assert_eq!(result, ETCD_OK);
            // SAFETY: a string from malloc.
            let value = unsafe { Session::own(value) }.expect("a value");
            assert!(value >= last, "in order: {last}, then {value}");
            (last, at) = (value, at + 1);
        }
    }
}

#[test]
fn a_write_is_not_held_up_by_an_etcd_that_was_never_heard_of() {
    let (Some(silent), Some(etcd)) = (Etcd::start(VERSIONS[1]), Etcd::start(VERSIONS[1])) else { return };
    silent.stop();
    let session = Session::open(&format!("{}, {}", silent.servers(), etcd.servers()));
    let start = Instant::now();
    assert_eq!(session.set(c"k", c"v").0, ETCD_OK, "nothing was sent to the first one");
    assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
    assert_eq!(etcd.ask(&["get", "--print-value-only", "k"]), "v");
    silent.go_on();
    assert_eq!(silent.ask(&["get", "k"]), "");
}

#[test]
fn dead_servers_before_a_living_etcd_cost_no_write() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let dead = free_port();
    let session = Session::open(&format!("127.0.0.1:{dead};{}", etcd.servers()));
    assert_eq!(session.set(c"k", c"v").0, ETCD_OK);
    assert_eq!(etcd.ask(&["get", "--print-value-only", "k"]), "v");
}

#[test]
fn a_write_to_etcd_whose_answer_was_lost_is_unknown_and_never_sent_twice() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        for protocol in Protocol::BOTH {
            lose_answers_to_writes(&etcd, protocol);
        }
    }
}

fn lose_answers_to_writes(etcd: &Etcd, protocol: Protocol) {
    type Write<'a> = (&'a str, &'a dyn Fn(&Session) -> (etcd_result, i32));
    let writes: [Write; 3] = [
        ("set", &|s| s.set(c"once", c"v")),
        ("delete", &|s| s.delete(c"gone")),
        ("set with a condition", &|s| {
            let (key, value, before) = (c"swap".as_ptr(), c"new".as_ptr(), c"old".as_ptr());
            // SAFETY: an open session, valid strings.
            (unsafe { etcd_set(s.0, key, value, before, 0) }, errno())
        }),
    ];
    etcd.ask(&["del", "--prefix", ""]);
    for key in ["gone", "swap"] {
        etcd.ask(&["put", key, "old"]);
    }
    for (name, write) in writes {
        // A second endpoint stands ready: the write must not be sent there.
        let proxy = Proxy::start(etcd.port());
        proxy.swallow(protocol.path(Rpc::Txn), 1, After::Close);
        let servers = format!("{},{}", proxy.servers(), etcd.servers());
        let session = Session::open(&protocol.endpoints(&servers));
        let (result, errno) = write(&session);
        assert_eq!(result, ETCD_WTF, "{protocol:?}, {name}: never success, never refused");
        assert!(errno == libc::ECONNRESET || errno == libc::EPROTO, "{protocol:?}, {name}: errno {errno}");
        assert_eq!(proxy.swallowed(), 1, "{protocol:?}, {name}");
    }
    let version_of = |key: &str| {
        let json = etcd.ask(&["get", "-w", "json", key]);
        json.split("\"version\":").nth(1).map(|rest| rest[..1].to_owned())
    };
    eventually(Duration::from_secs(5), "the put was applied", || version_of("once"));
    assert_eq!(version_of("once").as_deref(), Some("1"), "{protocol:?}: applied once");
    assert_eq!(version_of("swap").as_deref(), Some("2"), "{protocol:?}: applied once");
    assert_eq!(version_of("gone"), None);
}

#[test]
fn a_lock_on_etcd_whose_answers_were_lost_stands_in_the_queue_once() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let rpcs = [Rpc::LeaseGrant, Rpc::Txn, Rpc::LeaseKeepAlive];
    for (protocol, rpc) in Protocol::BOTH.into_iter().flat_map(|protocol| rpcs.map(|rpc| (protocol, rpc))) {
        let proxy = Proxy::start(etcd.port());
        proxy.swallow(protocol.path(rpc), 1, After::Close);
        let session = Session::open(&protocol.endpoints(&proxy.servers()));
        let index = session.lock(c"lost", 10).expect("the second try finds the first");
        let queue = etcd.ask(&["get", "--prefix", "--keys-only", "lost/"]);
        assert_eq!(queue.matches("lost/").count(), 1, "{protocol:?}, {rpc:?}: {queue}");
        assert_eq!(session.renew(c"lost", &index).0, ETCD_OK, "{protocol:?}, {rpc:?}");
        assert_eq!(proxy.swallowed(), 1, "{protocol:?}, {rpc:?}");
        assert_eq!(session.unlock(c"lost", &index).0, ETCD_OK, "{protocol:?}, {rpc:?}");
        assert_eq!(leases(&etcd), "found 0 leases", "{protocol:?}, {rpc:?}");
    }
}

/// How many leases the server has.
fn leases(etcd: &Etcd) -> String {
    etcd.ask(&["lease", "list"]).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn keys_that_are_gone_leave_no_lease_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let session = Session::open(&etcd.servers());
        let set = |value: &CStr, before: Option<&CStr>, ttl| {
            let before = before.map_or(null(), CStr::as_ptr);
            // SAFETY: an open session, valid strings.
            unsafe { etcd_set(session.0, c"k".as_ptr(), value.as_ptr(), before, ttl) }
        };
        for _ in 0..20 {
            assert_eq!(set(c"heartbeat", None, 3600), ETCD_OK);
        }
        assert_eq!(leases(&etcd), "found 1 leases", "only the last one's");
        assert_eq!(set(c"x", Some(c"wrong"), 3600), ETCD_PROTOCOL_ERROR);
        assert_eq!(leases(&etcd), "found 1 leases", "a refused set leaves none");
        assert_eq!(set(c"for ever", Some(c"heartbeat"), 0), ETCD_OK);
        assert_eq!(leases(&etcd), "found 0 leases");
        assert_eq!(set(c"again", None, 3600), ETCD_OK);
        assert_eq!(session.delete(c"k").0, ETCD_OK);
        assert_eq!(leases(&etcd), "found 0 leases");
        // The lease of somebody else's key is not ours to end.
        let lease = etcd.ask(&["lease", "grant", "600"]);
        let lease = lease.split(' ').nth(1).expect("lease ID granted ...");
        etcd.ask(&["put", &format!("--lease={lease}"), "k", "theirs"]);
        assert_eq!(session.delete(c"k").0, ETCD_OK);
        assert_eq!(leases(&etcd), "found 1 leases");
    }
}

#[test]
fn a_wait_that_is_cut_off_at_any_moment_leaves_nothing_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let holder = Session::open(&etcd.servers());
        let index = holder.lock(c"l", 600).expect("free");
        for moment in 0..100_u64 {
            let session = Session::open(&etcd.servers());
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| session.lock(c"l", 600));
                std::thread::sleep(Duration::from_micros(moment * 100));
                // SAFETY: open, and closing it while the waiter begins or waits is what is tried.
                unsafe { etcd_close(session.0) };
                let failed = waiter.join().expect("no panic").expect_err("held");
                assert!([libc::ECANCELED, libc::EBADF].contains(&failed.1), "{failed:?}");
            });
        }
        assert_eq!(etcd.ask(&["get", "--prefix", "--keys-only", "l/"]).matches("l/").count(), 1);
        assert_eq!(leases(&etcd), "found 1 leases", "the holder's");
        assert_eq!(holder.unlock(c"l", &index).0, ETCD_OK);
        assert_eq!(leases(&etcd), "found 0 leases");
    }
}

#[test]
fn a_compacted_index_on_etcd_is_a_protocol_error() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        for value in ["1", "2", "3"] {
            etcd.ask(&["put", "k", value]);
        }
        etcd.ask(&["compact", "4"]);
        let session = Session::open(&etcd.servers());
        let (mut from, mut at) = (2, -7);
        // SAFETY: an open session, a valid string, this test's own integers.
        let result =
            unsafe { etcd_watch(session.0, c"k".as_ptr(), null_mut(), null_mut(), &mut from, &mut at) };
        assert_eq!((result, errno()), (ETCD_PROTOCOL_ERROR, libc::ERANGE));
        assert_eq!(at, -7, "nothing is written");
    }
}

#[test]
fn a_waiter_on_etcd_whose_lease_ends_is_told_so() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let session = Session::open(&etcd.servers());
    let index = session.lock(c"l", 60).expect("free");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| Session::open(&etcd.servers()).lock(c"l", 60));
        let lease = eventually(Duration::from_secs(5), "the waiter queues", || {
            let keys = etcd.ask(&["get", "--prefix", "--keys-only", "--sort-by=CREATE", "l/"]);
            keys.lines().filter_map(|line| line.strip_prefix("l/")).nth(1).map(str::to_owned)
        });
        etcd.ask(&["lease", "revoke", &lease]);
        assert_eq!(waiter.join().expect("no panic"), Err((ETCD_PROTOCOL_ERROR, libc::ESTALE)));
    });
    assert_eq!(session.unlock(c"l", &index).0, ETCD_OK);
}

#[test]
fn a_waiter_gets_its_lock_although_etcd_restarts() {
    for version in VERSIONS {
        let Some(mut etcd) = Etcd::start(version) else { return };
        let session = Session::open(&etcd.servers());
        let index = session.lock(c"l", 60).expect("free");
        let servers = etcd.servers();
        let waiter = std::thread::spawn(move || Session::open(&servers).lock(c"l", 60));
        eventually(Duration::from_secs(5), "the waiter queues", || {
            (etcd.ask(&["get", "--prefix", "--keys-only", "l/"]).matches("l/").count() == 2).then_some(())
        });
        etcd.kill();
        std::thread::sleep(Duration::from_secs(1));
        etcd.revive();
        std::thread::sleep(Duration::from_millis(500));
        assert!(!waiter.is_finished());
        assert_eq!(session.unlock(c"l", &index).0, ETCD_OK);
        let next = waiter.join().expect("no panic").expect("it is held");
        let number = |index: &CStr| index.to_str().ok().and_then(|text| text.parse::<i64>().ok());
        assert!(number(&next) > number(&index));
    }
}

/// Leases begin anew when servers are there again: so the place is there, too, after an outage in which it could not be sure
/// of that.
#[test]
fn a_waiter_keeps_its_place_through_an_outage_of_etcd_that_is_longer_than_its_ttl() {
    let Some(mut etcd) = Etcd::start(VERSIONS[1]) else { return };
    let session = Session::open(&etcd.servers());
    let index = session.lock(c"l", 600).expect("free");
    let servers = etcd.servers();
    let waiter = std::thread::spawn(move || Session::open(&servers).lock(c"l", 3));
    let before = eventually(Duration::from_secs(5), "the waiter queues", || {
        let queue = etcd_queue(&etcd);
        (queue.matches("l/").count() == 2).then_some(queue)
    });
    std::thread::sleep(Duration::from_millis(300));
    etcd.kill();
    std::thread::sleep(Duration::from_secs(4));
    etcd.revive();
    std::thread::sleep(Duration::from_secs(5));
    assert!(!waiter.is_finished());
    assert_eq!(etcd_queue(&etcd), before);
    assert_eq!(session.unlock(c"l", &index).0, ETCD_OK);
    waiter.join().expect("no panic").expect("it is held");
}

fn etcd_queue(etcd: &Etcd) -> String {
    etcd.ask(&["get", "--prefix", "--keys-only", "l/"])
}

#[test]
fn a_forked_child_is_refused_and_closing_there_does_nothing() {
    let session = Session::open("mem://");
    assert_eq!(session.set(c"k", c"v").0, ETCD_OK);
    // SAFETY: the child calls only this library and _exit.
    unsafe {
        match libc::fork() {
            0 => {
                let value = etcd_get(session.0, c"k".as_ptr());
                let refused = value.is_null() && errno() == libc::EBADF;
                etcd_close(session.0);
                libc::_exit(i32::from(!refused));
            }
            child => {
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                assert_eq!(status, 0);
            }
        }
    }
    assert_eq!(session.get(c"k").as_deref(), Ok("v"));
}

#[test]
fn a_forked_child_opens_a_session_of_its_own_on_etcd_and_leaves_its_parents_alone() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let proxy = Proxy::start(etcd.port());
    for protocol in Protocol::BOTH {
        let session = Session::open(&protocol.endpoints(&proxy.servers()));
        // A lock, and so a keep-alive: all kinds of connection are open when it forks.
        let index = session.lock(c"l", 60).expect("free");
        assert_eq!(session.renew(c"l", &index).0, ETCD_OK);
        let connections = proxy.connections();
        let servers = CString::new(protocol.endpoints(&etcd.servers())).expect("no NUL");
        // SAFETY: the child calls only this library and _exit.
        unsafe {
            match libc::fork() {
                0 => {
                    let refused = etcd_set(session.0, c"k".as_ptr(), c"v".as_ptr(), null(), 0) == ETCD_WTF
                        && errno() == libc::EBADF;
                    etcd_close(session.0);
                    let own = etcd_open_str(servers.as_ptr());
                    let done = etcd_set(own, c"k".as_ptr(), c"child".as_ptr(), null(), 0) == ETCD_OK;
                    etcd_close(own);
                    libc::_exit(i32::from(!refused) + 2 * i32::from(!done));
                }
                child => {
                    let mut status = 0;
                    libc::waitpid(child, &mut status, 0);
                    assert_eq!(status, 0, "{protocol:?}");
                }
            }
        }
        assert_eq!(session.get(c"k").as_deref(), Ok("child"));
        assert_eq!(session.renew(c"l", &index).0, ETCD_OK);
        assert_eq!(session.unlock(c"l", &index).0, ETCD_OK);
        if protocol == Protocol::Grpc {
            assert_eq!(proxy.connections(), connections, "the parent's connections are as they were");
        }
    }
}
