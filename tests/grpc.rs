//! What only gRPC can meet with: servers that break HTTP/2 or gRPC in every way, streams and connections that a server
//! ends in the middle, answers that are too long.

mod broken;
mod endings;
mod lengths;

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etcd::client::Watcher;
use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, Error, ErrorKind, Outcome};
use faultproxy::Proxy;

use ErrorKind::{BadReply, Timeout, TooLarge, Unavailable};
use Outcome::{NotSent, Refused, Unknown};

use crate::support::http2::*;
use crate::support::{Etcd, Jitter, Protocol, Rpc, VERSIONS, built, client, eventually, my_turn};

const TIMEOUT: Duration = Duration::from_secs(2);
/// What a call may take beyond its timeout, on a machine without jitter.
const SLACK: Duration = Duration::from_millis(100);

/// How a server treats a connection once something was asked on it.
type Evil = fn(&mut Peer, &Asked) -> io::Result<()>;

fn impatient(endpoints: &str) -> Client {
    client(endpoints, &[("request_timeout_ms", &TIMEOUT.as_millis().to_string())])
}

fn watch(client: &Client, from: i64) -> Watcher {
    client.watch(WatchRequest::new(KeyRange::key("k"), from))
}

fn asked(fake: &Fake, rpc: Rpc) -> usize {
    fake.requests(Protocol::Grpc.path(rpc))
}

/// What a read, a write and the opening of a watch end with on this server; none may succeed or be late by more than
/// the slack.
fn failures(fake: &Fake, slack: Duration) -> [Error; 3] {
    type Call = fn(&Client) -> Result<(), Error>;
    let calls: [Call; 3] = [
        |client| client.get("k").map(drop),
        |client| client.put("k", "v", 0).map(drop),
        |client| watch(client, 0).open(Deadline::NEVER, client.closed()).map(drop),
    ];
    let _turn = my_turn();
    std::thread::scope(|scope| {
        let calls = calls.map(|call| {
            scope.spawn(move || {
                let client = impatient(&fake.servers());
                let (start, jitter) = (Instant::now(), Jitter::measure());
                let error = call(&client).expect_err("it can't succeed");
                let (took, limit) = (start.elapsed(), TIMEOUT + slack + jitter.worst());
                assert!(took <= limit, "{took:?} of {limit:?}: {error}");
                error
            })
        });
        calls.map(|call| call.join().expect("no panic"))
    })
}

/// Asserts how calls and watches end on a server that does this, and what is known of a write then.
fn end_with(what: &str, evil: Evil, call: ErrorKind, watch: ErrorKind, written: Outcome) {
    let fake = Fake::answering(evil);
    // A flood that lasts until then keeps this process busy, too.
    let slack = if call == Timeout { 3 * SLACK } else { SLACK };
    let [read, write, watching] = failures(&fake, slack);
    let told = [read.kind(), write.kind(), watching.kind()];
    assert_eq!(told, [call, call, watch], "{what}: {read}\n{write}\n{watching}");
    assert_eq!(write.outcome(), written, "{what}: {write}");
    assert!(asked(&fake, Rpc::Range) > 0 && asked(&fake, Rpc::Watch) > 0, "{what}: it was asked");
    let writes = asked(&fake, Rpc::Put);
    assert!(writes == 1 || writes > 1 && written != Outcome::Unknown, "{what}: written {writes} times");
}

/// A program that has room for 64 MiB of data and no more.
fn with_little_memory(servers: &str, command: &[&str]) -> Command {
    let mut tool = Command::new("sh");
    tool.args(["-c", "ulimit -d 65536; exec \"$@\"", "sh"]).arg(built().join("etcd-api"));
    tool.args(["-s", servers]).args(command);
    tool
}

/// Asserts that a server that does this can't take up a client's memory.
fn cost_little(what: &str, evil: Evil) {
    let (fake, _turn) = (Fake::answering(evil), my_turn());
    std::thread::scope(|scope| {
        for command in [&["get", "k"][..], &["set", "k", "v"], &["watch", "k"]] {
            let fake = &fake;
            scope.spawn(move || {
                let mut tool = with_little_memory(&fake.servers(), command);
                let output = tool.env("ETCD_API_REQUEST_TIMEOUT_MS", "2000").output().expect("it runs");
                // Without memory it would be ended by a signal.
                let ended = output.status.code().is_some_and(|code| code > 0);
                assert!(ended && output.stderr.starts_with(b"etcd-api: "), "{what}, {command:?}: {output:?}");
            });
        }
    });
    let asked = [Rpc::Range, Rpc::Txn, Rpc::Watch].map(|rpc| asked(&fake, rpc));
    assert!(!asked.contains(&0), "{what}: {asked:?}");
}

/// Sends the same without end, until the client has enough. A moment's rest now and then leaves something of the
/// machine to the other tests.
fn flood(peer: &mut Peer, bytes: &[u8]) -> io::Result<()> {
    let much = bytes.repeat((64 << 10) / bytes.len() + 1);
    loop {
        peer.send(&much)?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn plain_http(peer: &mut Peer, asked: &Asked, status: &str) -> io::Result<()> {
    let block = fields(&[(":status", status), ("content-type", "text/plain")]);
    peer.send(&frame(HEADERS, END_HEADERS, asked.stream, &block))?;
    peer.send(&frame(DATA, END_STREAM, asked.stream, b"no such page, or none today"))
}
