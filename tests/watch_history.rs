//! Watches whose connections break again and again, on a cluster whose members and leaders go, see the whole history
//! all the same: each change once, in order, whole revisions at a time, with what was there before. What they must
//! see is what etcd's own tool tells.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use etcd::client::Watcher;
use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, ErrorKind};
use faultproxy::{Fault, Proxy};

use crate::support::{AtEnd, Cluster, Dice, Historian, Trouble, VERSIONS, Whom, eventually, long, my_turn};

/// How much there is to see.
struct Size {
    /// So many changes, at least,
    changes: usize,
    /// with so many connections broken on the way,
    disconnects: usize,
    /// in so many parts; in each there is a compaction, and a reader that comes too late.
    parts: usize,
    /// So many keys change at once, at most.
    keys: usize,
}

const SMALL: Size = Size { changes: 20_000, disconnects: 30, parts: 3, keys: 50 };
const SMALLER: Size = Size { changes: 4_000, disconnects: 8, parts: 1, keys: 50 };
const LARGE: Size = Size { changes: 1_000_000, disconnects: 1_000, parts: 50, keys: 100 };

/// How soon all watches are up to date after any trouble.
const CATCH_UP: Duration = Duration::from_secs(30);

const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// What breaks connections.
const BREAKS: [Trouble; 6] = [
    Trouble::Cut,
    Trouble::ResetAll,
    Trouble::Network(Fault::Reset, ms(50)),
    Trouble::Network(Fault::BlackHole, ms(200)),
    Trouble::Network(Fault::HalfClose, ms(50)),
    Trouble::Network(Fault::Refuse, ms(100)),
];

/// In each part of the history.
const MEMBERS_GO: [Trouble; 3] =
    [Trouble::Kill(Whom::Serving), Trouble::Kill(Whom::Leader), Trouble::Restart(Whom::Serving)];

/// What one thread watches, and what it saw in this part of the history.
struct Reader {
    name: &'static str,
    request: WatchRequest,
    namespace: &'static str,
    /// It sleeps.
    asleep: AtomicBool,
    events: Mutex<Vec<Event>>,
    /// The last revision it saw.
    seen: AtomicI64,
}

impl Reader {
    fn new(name: &'static str, request: WatchRequest) -> Self {
        let (asleep, events, seen) = Default::default();
        Reader { name, request, namespace: "", asleep, events, seen }
    }

    fn run(&self, client: &Client, stop: &AtomicBool) {
        let mut watch = client.watch(self.request.clone());
        while !stop.load(Ordering::SeqCst) {
            if self.asleep.load(Ordering::SeqCst) {
                sleep(ms(5));
                continue;
            }
            match watch.next(Deadline::after(ms(100)), client.closed()) {
                Ok(batch) => {
                    let [first, last] = [batch.events.first(), batch.events.last()]
                        .map(|event| event.expect("a batch is never empty").kv.mod_revision);
                    let seen = self.seen.load(Ordering::SeqCst);
                    assert!(seen < first, "{}: revision {first} after {seen}, which was whole", self.name);
                    self.events.lock().expect("no panic").extend(batch.events);
                    self.seen.store(last, Ordering::SeqCst);
                }
                Err(error) if error.kind() == ErrorKind::Timeout => {}
                Err(error) => panic!("{}: {error}", self.name),
            }
        }
    }

    /// The broken twin: whenever it has waited for a moment it begins anew, from then on.
    fn run_forgetfully(&self, client: &Client, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            let mut watch = client.watch(WatchRequest { start_revision: 0, ..self.request.clone() });
            while let Ok(batch) = watch.next(Deadline::after(ms(20)), client.closed()) {
                self.events.lock().expect("no panic").extend(batch.events);
            }
        }
    }

    /// Holds what it saw up to a revision against the history up to there.
    fn judge(&self, history: &[Event], up_to: i64) -> Result<(), String> {
        let mut events = self.events.lock().expect("no panic");
        let later = events.partition_point(|event| event.kv.mod_revision <= up_to);
        let later = events.split_off(later);
        let mut seen = std::mem::replace(&mut *events, later).into_iter();
        let mut number = 0;
        for wanted in history.iter().filter(|event| self.wants(event)).map(|event| self.sees(event)) {
            let seen = seen.next();
            if seen.as_ref() != Some(&wanted) {
                let seen = seen.as_ref().map(brief);
                return Err(format!("{}, change {number}: {seen:?} for {}", self.name, brief(&wanted)));
            }
            number += 1;
        }
        match seen.next() {
            Some(event) => Err(format!("{}: not in the history: {}", self.name, brief(&event))),
            None if number == 0 => Err(format!("{}: it has seen nothing, and proves nothing", self.name)),
            None => Ok(()),
        }
    }

    fn wants(&self, event: &Event) -> bool {
        let key = event.kv.key.strip_prefix(self.namespace.as_bytes());
        key.is_some_and(|key| self.request.range.contains(key)) && self.request.wants(event.kind)
    }

    fn sees(&self, event: &Event) -> Event {
        let inside = |kv: &KeyValue| KeyValue { key: kv.key[self.namespace.len()..].to_vec(), ..kv.clone() };
        let prev_kv = event.prev_kv.as_ref().filter(|_| self.request.prev_kv).map(inside);
        Event { kind: event.kind, kv: inside(&event.kv), prev_kv }
    }
}

/// A change without its values, which may be long.
fn brief(event: &Event) -> String {
    let size =
        |kv: &KeyValue| format!("{} bytes of {}, version {}", kv.value.len(), kv.mod_revision, kv.version);
    let (kv, before) = (&event.kv, event.prev_kv.as_ref().map(size));
    format!("{:?} {}: {}, before: {before:?}", event.kind, quote(&kv.key), size(kv))
}

/// Where keys go with their leases, and how many with each.
const LEASED: &str = "h/lease/";
const EXPIRING: usize = 40;
const NAMESPACE: &str = "h/ns/";

fn readers() -> Vec<Reader> {
    let all = || WatchRequest { prev_kv: true, ..WatchRequest::new(KeyRange::prefix("h/"), 1) };
    let range = KeyRange { start: b"h/2".to_vec(), end: b"h/5".to_vec() };
    let inside = WatchRequest { range: KeyRange::prefix(""), ..all() };
    vec![
        Reader::new("slow", all()),
        Reader::new("all", all()),
        Reader::new("one key", WatchRequest { range: KeyRange::key("h/one"), ..all() }),
        Reader::new("a range", WatchRequest { range, prev_kv: false, ..all() }),
        Reader::new("deletions", WatchRequest { no_put: true, ..all() }),
        Reader::new("puts", WatchRequest { no_delete: true, ..all() }),
        Reader { namespace: NAMESPACE, ..Reader::new("in a namespace", inside) },
    ]
}

/// What the writer is to do next; then it writes a mark that every reader sees.
enum Order {
    /// So many changes, at least.
    Changes(usize),
    /// More than may wait for a reader.
    Flood,
}

struct Writer {
    client: Client,
    dice: Dice,
    keys: usize,
    /// How many changes it has surely made.
    made: usize,
}

impl Writer {
    /// Does as it is told, and tells the revision of each mark.
    fn run(mut self, orders: &Receiver<Order>, marks: &Sender<i64>) {
        for (number, order) in orders.iter().enumerate() {
            if number.is_multiple_of(8) {
                self.let_expire(number);
            }
            match order {
                Order::Changes(count) => {
                    let goal = self.made + count;
                    while self.made < goal {
                        self.change();
                    }
                }
                Order::Flood => (0..90).for_each(|_| self.flood()),
            }
            if marks.send(self.mark()).is_err() {
                return;
            }
        }
    }

    /// What fails on a cluster in trouble is made up for by what comes after it.
    fn change(&mut self) {
        match self.dice.below(11) {
            0..=3 => {
                let key = self.random_key();
                let put = self.put(key, 0);
                self.commit(vec![put]);
            }
            4 => {
                let delete = Op::Delete(DeleteRequest::new(KeyRange::key(self.random_key())));
                self.commit(vec![delete]);
            }
            5 => {
                let prefix = format!("h/{}", self.dice.below(10));
                self.commit(vec![Op::Delete(DeleteRequest::new(KeyRange::prefix(prefix)))]);
            }
            _ => self.change_many(),
        }
    }

    /// Many keys in one revision.
    fn change_many(&mut self) {
        let (first, count) = (self.dice.below(100), self.dice.between(2, self.keys));
        let ops = (first..first + count).map(|number| match self.dice.below(6) {
            0 => Op::Delete(DeleteRequest::new(KeyRange::key(key(number)))),
            _ => self.put(key(number), 0),
        });
        let ops = ops.collect();
        self.commit(ops);
    }

    /// Many keys that the end of a lease will delete in one revision.
    fn let_expire(&mut self, number: usize) {
        let Ok(lease) = self.client.grant(1) else { return };
        let ops = (0..EXPIRING).map(|key| self.put(format!("{LEASED}{number}/{key}"), lease.id)).collect();
        self.commit(ops);
    }

    fn flood(&mut self) {
        let _ = self.client.put("h/flood", vec![b'f'; 100_000], 0);
    }

    fn mark(&mut self) -> i64 {
        let put = |key: &str| Op::Put(PutRequest::new(key, "mark"));
        let delete = Op::Delete(DeleteRequest::new(KeyRange::key("h/two")));
        let ops = vec![put("h/one"), put("h/3"), put("h/ns/one"), delete];
        let mark =
            TxnRequest { compares: vec![Compare::exists("h/two")], then: ops, ..TxnRequest::default() };
        eventually(CATCH_UP, "the cluster takes a write", || {
            self.client.put("h/two", "", 0).ok()?;
            let (revision, done) = self.client.txn(mark.clone()).ok()?;
            done.succeeded.then_some(revision)
        })
    }

    fn random_key(&mut self) -> String {
        key(self.dice.below(120))
    }

    fn put(&mut self, key: String, lease: i64) -> Op {
        let value = vec![b'v'; self.dice.between(0, 300)];
        Op::Put(PutRequest { lease, ..PutRequest::new(key, value) })
    }

    fn commit(&mut self, then: Vec<Op>) {
        let Ok((_, done)) = self.client.txn(TxnRequest { then, ..TxnRequest::default() }) else { return };
        let changes = done.replies.iter().map(|reply| match reply {
            OpReply::Delete(deleted) => deleted.deleted as usize,
            _ => 1,
        });
        self.made += changes.sum::<usize>();
    }
}

/// Every tenth in the namespace.
fn key(number: usize) -> String {
    if number.is_multiple_of(10) { format!("{NAMESPACE}{number}") } else { format!("h/{number}") }
}

/// One part of the history after the other.
struct Course<'a> {
    cluster: &'a mut Cluster,
    dice: Dice,
    client: Client,
    readers: &'a [Reader],
    forgetful: &'a Reader,
    orders: Sender<Order>,
    marks: Receiver<i64>,
    historian: Historian,
    /// What everybody has seen, and nobody needs any more.
    seen: i64,
    disconnects: usize,
    changes: usize,
    /// The most keys that went with a lease.
    most_expired: usize,
    /// The judgement has caught the reader that forgets where it was.
    found_out: bool,
}

impl Course<'_> {
    fn part(&mut self, size: &Size, number: usize) {
        let share = |of: usize| of * (number + 1) / size.parts - of * number / size.parts;
        let strikes = share(size.disconnects);
        let mut troubles: Vec<Trouble> = (0..strikes).map(|_| self.dice.pick(&BREAKS)).collect();
        troubles.extend(MEMBERS_GO);
        self.dice.shuffle(&mut troubles);
        let chunk = share(size.changes) / troubles.len() + 1;
        // One that reads nothing while its connection breaks, and then comes too late.
        let start = self.seen + 1;
        let mut late = self.client.watch(WatchRequest::new(KeyRange::prefix("h/"), start));
        late.open(Deadline::after(CATCH_UP), self.client.closed()).expect("it is opened");
        // By then its connection has broken.
        let compact_at = self.dice.between(troubles.len() / 2, troubles.len() - 1);
        let (mut history, mut mark, mut compacted) = (Vec::new(), self.seen, 0);
        for (at, trouble) in troubles.into_iter().enumerate() {
            if at == compact_at {
                history = self.historian.read(&self.cluster.members[0], mark);
                compacted = mark;
            }
            self.order(Order::Changes(chunk));
            sleep(ms(self.dice.between(0, 150) as u64));
            if at == compact_at {
                self.compact(compacted);
            }
            self.strike(trouble);
            mark = self.wait_for_all();
        }
        self.wait_for_leases();
        self.flood_a_sleeper();
        mark = self.wait_for_all();
        history.extend(self.historian.read(&self.cluster.members[0], mark));
        let faults: Vec<_> =
            self.readers.iter().filter_map(|reader| reader.judge(&history, mark).err()).collect();
        assert!(faults.is_empty(), "{faults:?}");
        self.found_out |= self.forgetful.judge(&history, mark).is_err();
        comes_too_late(&mut late, &self.client, &history, compacted);
        self.count(&history);
        self.seen = mark;
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("the writer lives");
    }

    fn strike(&mut self, trouble: Trouble) {
        let hit = self.cluster.strike(trouble, &mut self.dice);
        self.disconnects += usize::from(hit && trouble != Trouble::Kill(Whom::Leader));
    }

    /// Waits until everybody who is awake has seen the next mark.
    fn wait_for_all(&self) -> i64 {
        let mark = self.marks.recv_timeout(CATCH_UP * 2).expect("a mark");
        for reader in self.readers.iter().filter(|reader| !reader.asleep.load(Ordering::SeqCst)) {
            let what = format!("{} sees the mark at {mark}", reader.name);
            eventually(CATCH_UP, &what, || (reader.seen.load(Ordering::SeqCst) >= mark).then_some(()));
        }
        mark
    }

    fn compact(&self, revision: i64) {
        eventually(CATCH_UP, "a compaction", || match self.cluster.direct.compact(revision) {
            Ok(()) => Some(()),
            // Done, although the answer got lost.
            Err(error) => (error.kind() == ErrorKind::Compacted).then_some(()),
        });
    }

    fn wait_for_leases(&self) {
        let read = RangeRequest { count_only: true, ..RangeRequest::new(KeyRange::prefix(LEASED)) };
        eventually(CATCH_UP, "the end of all leases", || {
            self.cluster.direct.range(read.clone()).is_ok_and(|(_, found)| found.count == 0).then_some(())
        });
    }

    /// One reader sleeps until more waits for it than may; its stream is closed then, and opened when it wakes up.
    fn flood_a_sleeper(&mut self) {
        let slow = &self.readers[0].asleep;
        slow.store(true, Ordering::SeqCst);
        let before = self.ended_watches();
        self.order(Order::Flood);
        self.wait_for_all();
        eventually(CATCH_UP, "the slow reader's stream is closed", || {
            (self.ended_watches() > before).then_some(())
        });
        self.order(Order::Changes(100));
        self.strike(Trouble::Cut);
        slow.store(false, Ordering::SeqCst);
    }

    /// How many watches the client has ended by asking for it: its second field, with a number, which is left out
    /// if it is 0.
    fn ended_watches(&self) -> usize {
        let count = |proxy: &Proxy| proxy.requests([0x12, 2, 8]) + proxy.requests([0x12, 0]);
        self.cluster.proxies.iter().map(count).sum()
    }

    fn count(&mut self, history: &[Event]) {
        self.changes += history.len();
        let expired = |event: &&Event| {
            let lease = event.prev_kv.as_ref().map_or(0, |kv| kv.lease);
            event.kind == EventKind::Delete && lease != 0
        };
        for revision in history.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision) {
            self.most_expired = self.most_expired.max(revision.iter().filter(expired).count());
        }
    }
}

/// Sees the beginning of the history, as far as it was told before its connection broke, and then that the rest is
/// gone.
fn comes_too_late(late: &mut Watcher, client: &Client, history: &[Event], compacted: i64) {
    let mut seen = Vec::new();
    let error = loop {
        match late.next(Deadline::after(CATCH_UP), client.closed()) {
            Ok(batch) => seen.extend(batch.events),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.compact_revision()), (ErrorKind::Compacted, Some(compacted)), "{error}");
    let told = history.iter().map(|event| Event { prev_kv: None, ..event.clone() });
    assert!(told.take(seen.len()).eq(seen), "what came before is right");
}

fn see_all(version: &str, size: &Size) {
    let _turn = my_turn();
    let Some(mut cluster) = Cluster::start(version) else { return };
    let (mut dice, start) = (Dice::of(version), Instant::now());
    let options = [("request_timeout_ms", "3000")];
    let (outside, inside) =
        (cluster.client(0, &options), cluster.client(1, &[("namespace", NAMESPACE), options[0]]));
    let (readers, stop) = (readers(), AtomicBool::new(false));
    let forgetful = Reader::new("forgetful", readers[1].request.clone());
    let ((orders, to_do), (done, marks)) = (channel(), channel());
    let writer = Writer { client: cluster.direct.clone(), dice: dice.fork(), keys: size.keys, made: 0 };
    std::thread::scope(|scope| {
        let _stop = AtEnd(&stop);
        for reader in &readers {
            let client = if reader.namespace.is_empty() { &outside } else { &inside };
            let stop = &stop;
            scope.spawn(move || reader.run(client, stop));
        }
        scope.spawn(|| forgetful.run_forgetfully(&outside, &stop));
        scope.spawn(move || writer.run(&to_do, &done));
        let mut course = Course {
            cluster: &mut cluster,
            dice,
            client: outside.clone(),
            readers: &readers,
            forgetful: &forgetful,
            orders,
            marks,
            historian: Historian::default(),
            seen: 0,
            disconnects: 0,
            changes: 0,
            most_expired: 0,
            found_out: false,
        };
        (0..size.parts).for_each(|number| course.part(size, number));
        let Course { changes, disconnects, most_expired, found_out, .. } = course;
        println!(
            "etcd {version}: {} watches have seen {changes} changes, {disconnects} disconnects hit, {:.1?}; \
             {most_expired} keys went with a lease at once",
            readers.len(),
            start.elapsed()
        );
        assert!(changes >= size.changes && disconnects >= size.disconnects, "it proves too little");
        assert!(found_out, "a reader that forgets where it was must be found out");
        assert_eq!(most_expired, EXPIRING, "a lease must have ended");
    });
}

#[test]
fn watches_of_an_etcd_cluster_in_trouble_see_all_of_its_history_once_and_in_order() {
    see_all(VERSIONS[1], if long() { &LARGE } else { &SMALL });
    see_all(VERSIONS[2], if long() { &SMALL } else { &SMALLER });
}
