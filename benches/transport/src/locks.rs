//! Locks that others want, too: what handing one on takes, and what waiting for many does.

use std::time::{Duration, Instant};

use etcd::model::{KeyRange, RangeRequest, Request};

use crate::c::locks::{Hold, wanted};
use crate::c::{Client, Queue};
use crate::etcd::{Certificate, Etcd, Place};
use crate::stats::{Clock, Spread};
use crate::{Result, ours};

/// How many want the lock that is handed on.
const WAITERS: [usize; 2] = [2, 1000];
const HANDOFFS: usize = 200;
/// How long getting a place in the queue takes, at most.
const PAUSE: Duration = Duration::from_millis(5);

/// How many locks are waited for at a time, each of another name.
const WAITING: usize = 10_000;
/// How long these are watched doing nothing: as long as two renewals take.
const REST: Duration = Duration::from_secs(40);

/// Measures both, and prints what came of it.
pub fn measure(certificate: &Certificate, rounds: usize) -> Result<()> {
    handoffs(certificate, rounds)?;
    waiting(certificate)
}

/// What a lock that is handed on costs, each time.
#[derive(Debug, Clone, Copy)]
struct Handoff {
    /// Microseconds from the release to the news that the next one holds it; half of them took this at most.
    p50: f64,
    client_cpu: f64,
    server_cpu: f64,
    requests: f64,
}

fn handoffs(certificate: &Certificate, rounds: usize) -> Result<()> {
    let mut all: Vec<(usize, Vec<Handoff>)> = WAITERS.map(|waiters| (waiters, Vec::new())).into();
    let mut queues = Vec::new();
    for waiters in WAITERS {
        let etcd = Etcd::start(certificate, false)?;
        queues.push(Contenders::new(etcd, waiters)?);
    }
    // The first round is for warming up.
    for round in 0..=rounds {
        for turn in 0..WAITERS.len() {
            let at = (round + turn) % WAITERS.len();
            let handoff = queues[at].round()?;
            if round > 0 {
                all[at].1.push(handoff);
            }
        }
    }
    println!("\n### A lock handed on, {HANDOFFS} times a round, {rounds} rounds\n");
    println!(
        "| waiters | p50 µs (smallest to largest) | with a new waiter each: client CPU µs | etcd's CPU µs | requests |"
    );
    println!("|---|---|---|---|---|");
    for (waiters, handoffs) in &all {
        let median = |what: fn(&Handoff) -> f64| Spread::of(handoffs.iter().map(what));
        let time = median(|handoff| handoff.p50);
        println!(
            "| {waiters} | {:.0} ({:.0} to {:.0}) | {:.0} | {:.0} | {:.2} |",
            time.median,
            time.min,
            time.max,
            median(|handoff| handoff.client_cpu).median,
            median(|handoff| handoff.server_cpu).median,
            median(|handoff| handoff.requests).median,
        );
    }
    let ratio = Spread::of(all[0].1.iter().zip(&all[1].1).map(|(few, many)| many.p50 / few.p50));
    println!(
        "\nWith {} waiters {:.2} ({:.2} to {:.2}) times as long as with {}; aim: at most 1.3.",
        WAITERS[1], ratio.median, ratio.min, ratio.max, WAITERS[0]
    );
    Ok(())
}

/// A queue of contenders for one name, in one client: whoever has released it wants it again.
struct Contenders {
    queue: Queue,
    holder: u64,
    waiters: usize,
    etcd: Etcd,
}

impl Contenders {
    const NAME: &str = "bench/handed-on";

    fn new(etcd: Etcd, waiters: usize) -> Result<Self> {
        let queue = Queue::new(Client::open(etcd.place())?)?;
        for tag in 1..=waiters as u64 + 1 {
            queue.submit(&wanted(Self::NAME), tag)?;
        }
        let holder = queue.next()?.tag();
        let contenders = Contenders { queue, holder, waiters, etcd };
        contenders.all_are_queued()?;
        Ok(contenders)
    }

    /// Waits until each of them has its place.
    fn all_are_queued(&self) -> Result<()> {
        let admin = ours::open(self.etcd.place(), "json+http")?;
        until_queued(&admin, Self::NAME, self.waiters + 1)
    }

    fn round(&mut self) -> Result<Handoff> {
        let (requests, server) = (self.etcd.requests()?, self.etcd.cpu()?);
        let clock = Clock::start();
        let mut times = Vec::new();
        for _ in 0..HANDOFFS {
            times.push(self.hand_on()?);
        }
        let round = clock.stop(vec![times]);
        let each = |value: f64| value / HANDOFFS as f64;
        Ok(Handoff {
            p50: round.p50,
            client_cpu: round.cpu,
            server_cpu: each((self.etcd.cpu()? - server).as_secs_f64() * 1e6),
            requests: each(self.etcd.requests()? - requests),
        })
    }

    /// Releases the lock, and waits for the next holder, and for the end of the last one, who then wants it anew.
    fn hand_on(&mut self) -> Result<Duration> {
        const RELEASE: u64 = u64::MAX;
        let last = self.holder;
        let hold = Hold::take(&self.queue, last)?;
        let start = Instant::now();
        self.queue.submit(&hold.release(), RELEASE)?;
        let mut took = None;
        let mut to_come = 3;
        while to_come > 0 {
            let tag = self.queue.next()?.tag();
            to_come -= 1;
            if tag != RELEASE && tag != last {
                took = Some(start.elapsed());
                self.holder = tag;
            }
        }
        self.queue.submit(&wanted(Self::NAME), last)?;
        // Until it has its place: else that would be in the way of the next handoff.
        std::thread::sleep(PAUSE);
        took.ok_or_else(|| "nobody holds it".into())
    }
}

/// Waits for as many locks as that, all of which somebody else holds, in one client.
fn waiting(certificate: &Certificate) -> Result<()> {
    let etcd = Etcd::start(certificate, false)?;
    let admin = ours::open(etcd.place(), "http")?;
    let names: Vec<String> = (0..WAITING).map(|number| format!("bench/waiting/{number:05}")).collect();
    let lease = admin.grant(3600)?.id;
    for name in &names {
        admin.put(format!("{name}/{lease:x}"), "", lease)?;
    }
    let before = State::now(etcd.place())?;
    let queue = Queue::new(Client::open(etcd.place())?)?;
    let clock = Clock::start();
    for (tag, name) in (1..).zip(&names) {
        queue.submit(&wanted(name), tag)?;
    }
    until_queued(&admin, "bench/waiting", 2 * WAITING)?;
    // Those that came last begin to watch yet.
    std::thread::sleep(Duration::from_secs(2));
    let start = clock.stop_after(WAITING);
    let after = State::now(etcd.place())?;
    let (requests, server) = (etcd.requests()?, etcd.cpu()?);
    let clock = Clock::start();
    std::thread::sleep(REST);
    let rest = clock.stop_after(1);
    let (requests, server) = (etcd.requests()? - requests, etcd.cpu()? - server);
    println!("\n### {WAITING} waiting locks of as many names, in one client\n");
    println!("| what | |\n|---|---|");
    println!("| connections | {} |", after.connections - before.connections);
    println!("| threads | {} |", after.threads - before.threads);
    let each = (after.heap - before.heap) as f64 / WAITING as f64;
    println!("| bytes of the heap for each (aim: 4096) | {each:.0} |");
    let resident = (after.resident as f64 - before.resident as f64) / WAITING as f64;
    println!("| resident bytes for each | {resident:.0} |");
    println!("| client CPU µs for each to begin | {:.0} |", start.cpu);
    let share = |cpu: f64| cpu / REST.as_secs_f64() / 1e6 * 100.0;
    println!("| client CPU at rest, of one core | {:.3} % |", share(rest.cpu));
    println!("| etcd's CPU at rest, of one core | {:.3} % |", share(server.as_secs_f64() * 1e6));
    println!("| requests at rest, in {} s | {requests:.0} |", REST.as_secs());
    let start = Instant::now();
    let client_cpu = Clock::start();
    admin.call(&Request::LeaseRevoke { id: lease })?;
    for _ in 0..WAITING {
        queue.next()?;
    }
    println!(
        "| all of them held after the others' lease was revoked | {:.2} s |",
        start.elapsed().as_secs_f64()
    );
    println!("| client CPU µs for each of these | {:.0} |", client_cpu.stop_after(WAITING).cpu);
    Ok(())
}

/// What this process has, at a moment.
struct State {
    threads: usize,
    /// To the server.
    connections: usize,
    heap: usize,
    resident: usize,
}

impl State {
    fn now(server: &Place) -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).ok_or("no status")
        };
        // SAFETY: asks for nothing.
        let heap = unsafe { libc::mallinfo2() };
        let to_server = format!("0100007F:{:04X}", server.port);
        let connections = std::fs::read_to_string("/proc/net/tcp")?;
        Ok(State {
            threads: number("Threads:")?,
            connections: connections
                .lines()
                .filter(|line| line.split_whitespace().skip(2).take(2).eq([&*to_server, "01"]))
                .count(),
            heap: heap.uordblks + heap.hblkhd,
            resident: number("VmRSS:")? * 1024,
        })
    }
}

/// Waits until that many have their places in the queues of names that start with that.
fn until_queued(admin: &etcd::Client, names: &str, contenders: usize) -> Result<()> {
    let all = RangeRequest { count_only: true, ..RangeRequest::new(KeyRange::prefix(format!("{names}/"))) };
    let start = Instant::now();
    while admin.range(all.clone())?.1.count < contenders as i64 {
        if start.elapsed() > Duration::from_secs(120) {
            return Err("the contenders do not get their places".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
