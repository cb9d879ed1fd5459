//! Watches through a queue that is too small for them, over connections that break and a server that is killed: each
//! change once, in order. And a server that falls silent is noticed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use etcd::Client;
use etcd::client::queue::{Completion, Nothing, Queue, What};
use etcd::client::{Counted, News, WatchMode};
use etcd::model::*;
use etcd::wait::Deadline;
use faultproxy::{Fault, Proxy};

use crate::support::{AtEnd, Dice, Etcd, Jitter, Protocol, Rpc, VERSIONS, client, eventually, my_turn};

const SOON: Duration = Duration::from_secs(30);
/// Room for a few changes.
const SMALL: usize = 20_000;

/// What came out of a queue with one watch.
struct Reader {
    queue: Queue,
    /// The next revision that is to be told.
    next: i64,
    parked: usize,
    resumed: usize,
}

impl Reader {
    /// Watches everything below "q/" from a revision on.
    fn open(client: &Client, max_bytes: usize, from: i64) -> Self {
        let queue = Queue::new(max_bytes);
        let watch = WatchRequest::new(KeyRange::prefix("q/"), from);
        queue.watch(client, watch, WatchMode::default(), 1, Deadline::NEVER).expect("a tag that is free");
        Reader { queue, next: from, parked: 0, resumed: 0 }
    }

    fn news(&self) -> News {
        match self.queue.next(Deadline::after(SOON)) {
            Ok(Completion { tag: 1, what: What::News(news) }) => news,
            other => panic!("after {}, resumed {} times: {other:?}", self.next, self.resumed),
        }
    }

    /// Reads one thing, which must be what comes next.
    fn read(&mut self) {
        match self.news() {
            News::Changes(batch) => {
                let revisions: Vec<i64> = batch.events.iter().map(|event| event.kv.mod_revision).collect();
                assert_eq!(revisions, [self.next, self.next], "a revision as a whole");
                self.next += 1;
            }
            News::Parked => self.parked += 1,
            News::Resuming(_) => self.resumed += 1,
            News::Live(_) => {}
            other => panic!("after {}: {other:?}", self.next),
        }
    }
}

/// Two keys in one revision.
fn write(client: &Client) -> i64 {
    let put = |key: &str| Op::Put(PutRequest::new(key, vec![b'v'; 300]));
    let txn = TxnRequest { then: vec![put("q/a"), put("q/b")], ..TxnRequest::default() };
    eventually(SOON, "a write", || client.txn(txn.clone()).ok().map(|(revision, _)| revision))
}

/// Breaks connections, and sometimes the server, until it is stopped.
fn break_things(proxy: &Proxy, etcd: &mut Etcd, dice: &mut Dice, stop: &AtomicBool) {
    for round in 1.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        std::thread::sleep(Duration::from_millis(dice.between(20, 200) as u64));
        match dice.below(3) {
            0 => proxy.cut(),
            1 => proxy.reset_all(),
            _ if round % 4 == 0 => {
                etcd.kill();
                etcd.revive();
            }
            _ => {
                proxy.set(Fault::Refuse);
                std::thread::sleep(Duration::from_millis(50));
                proxy.set(Fault::Pass);
            }
        }
    }
}

const CHANGES: i64 = 1000;

fn see_all(version: &str, protocol: Protocol) {
    let Some(mut etcd) = Etcd::start(version) else { return };
    let mut dice = Dice::of("queued watches");
    let proxy = Proxy::start(etcd.port());
    let watching = client(&protocol.endpoints(&proxy.servers()), &[]);
    let writing = client(&etcd.servers(), &[]);
    let from = write(&writing) + 1;
    let (mut tight, mut roomy) =
        (Reader::open(&watching, SMALL, from), Reader::open(&watching, usize::MAX, from));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = AtEnd(&stop);
        let (etcd, stop, proxy) = (&mut etcd, &stop, &proxy);
        let mut other = dice.fork();
        scope.spawn(move || break_things(proxy, etcd, &mut other, stop));
        // A write whose answer is lost may have been made: then there are more.
        let write = move |_, _| {
            // So that there is trouble enough on the way.
            std::thread::sleep(Duration::from_millis(3));
            write(&writing)
        };
        let writer = scope.spawn(move || (0..CHANGES).fold(0, write));
        let slow = scope.spawn(|| {
            while tight.next < from + CHANGES {
                if dice.below(50) == 0 {
                    std::thread::sleep(Duration::from_millis(10));
                }
                assert!(tight.queue.bytes() <= SMALL);
                tight.read();
            }
        });
        while roomy.next < from + CHANGES {
            roomy.read();
        }
        slow.join().expect("nothing lost, nothing twice");
        let last = writer.join().expect("no panic");
        while roomy.next <= last {
            roomy.read();
        }
    });
    let of = |counted| watching.counter(counted) as usize;
    let told = (tight.parked, tight.resumed, roomy.parked, roomy.resumed);
    println!("etcd {version} by {protocol:?}: parked and resumed, in a small and a large queue: {told:?}");
    assert!(tight.parked > 3 && tight.resumed > 0 && roomy.resumed > 1 && roomy.parked == 0, "{told:?}");
    assert!(of(Counted::WatchesParked) >= tight.parked);
    assert!(of(Counted::WatchesResumed) >= tight.resumed + roomy.resumed);
    watching.shut_down(Deadline::after(SOON)).expect("in time");
    assert_eq!(watching.counter(Counted::Open), 0);
}

#[test]
fn watches_of_etcd_in_small_queues_see_all_once_and_in_order_through_any_trouble() {
    let _turn = my_turn();
    for version in [VERSIONS[1], VERSIONS[2]] {
        for protocol in Protocol::BOTH {
            see_all(version, protocol);
        }
    }
}

/// How soon a silent server is left: a look after 5 s, for 2 s; or a ping after 10 s, and 5 s for its answer.
const LEFT: Duration = Duration::from_secs(20);

#[test]
fn a_silent_etcd_is_left_by_the_watches_of_a_queue() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    for protocol in Protocol::BOTH {
        let proxies = [Proxy::start(etcd.port()), Proxy::start(etcd.port())];
        let servers = format!("{},{}", proxies[0].servers(), proxies[1].servers());
        let (watching, writing) = (client(&protocol.endpoints(&servers), &[]), client(&etcd.servers(), &[]));
        let from = write(&writing) + 1;
        let mut reader = Reader::open(&watching, SMALL, from);
        assert!(matches!(reader.news(), News::Live(revision) if revision == from));
        let jitter = Jitter::measure();
        proxies[0].set(Fault::BlackHole);
        let start = Instant::now();
        write(&writing);
        while reader.next == from {
            reader.read();
        }
        let took = start.elapsed();
        assert!(took < LEFT + Duration::from_millis(100) + jitter.worst(), "{protocol:?}: {took:?}");
        assert_eq!(reader.resumed, 1, "{protocol:?}");
        // Its rest is over, but it has not answered anything yet.
        std::thread::sleep(Duration::from_millis(1500));
        let another = Reader::open(&watching, SMALL, reader.next);
        assert!(matches!(another.news(), News::Live(revision) if revision == reader.next));
        let asked = proxies[0].requests(protocol.path(Rpc::Watch));
        assert_eq!(asked, 1, "{protocol:?}: it was asked again");
        reader.queue.cancel(1);
        assert!(matches!(
            reader.queue.next(Deadline::after(SOON)),
            Ok(Completion { what: What::End(_), .. })
        ));
        let nothing = reader.queue.next(Deadline::after(Duration::ZERO));
        assert!(matches!(nothing, Err(Nothing::Timeout)));
    }
}
