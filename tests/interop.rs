//! Locks and elections of the full tier in one queue with those of others: `etcdctl`, etcd's own Lock RPC, and Go programs
//! with etcd's package concurrency. Each participant is a process; what is judged is when it says that it holds.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcd::Client;
use etcd::model::{KeyRange, KeyValue, PutRequest, RangeRequest, Request, SortBy};
use serde_json::{Value, json};

use crate::support::{Etcd, Language, Running, VERSIONS, call, client, eventually, fetch, program, skip};

const NAME: &str = "interop/lock";
const LIMIT: Duration = Duration::from_secs(20);

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// etcd_acquire().
    Ours,
    /// By events of a queue.
    OursQueued,
    /// An etcdctl of this version.
    Etcdctl(&'static str),
    /// The package concurrency.
    Go,
    /// etcd's own Lock RPC, through the gateway.
    Rpc,
}
use Kind::{Etcdctl, Go, Ours, OursQueued, Rpc};

fn ours(etcd: &Etcd, arguments: &[&str]) -> Command {
    let mut command = call(&program("tests/c/participant.c", Language::C));
    command.arg(etcd.servers()).args(arguments);
    command
}

const GO_MODULE: &str = "concurrency-3.7.3";

fn go(etcd: &Etcd, arguments: &[&str]) -> Command {
    let folder = fetch(GO_MODULE).expect("looked for before");
    let mut command = Command::new(folder.join("usr/bin").join(GO_MODULE));
    command.arg(etcd.servers()).args(arguments);
    command
}

fn etcdctl(etcd: &Etcd, version: &str, arguments: &[&str]) -> Command {
    let folder = fetch(&format!("etcd-{version}")).expect("looked for before");
    let mut command = Command::new(folder.join("usr/bin/etcdctl"));
    command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", etcd.servers())).args(arguments);
    command
}

/// Whether all tools are there; if not, that is noted.
fn tools_are_there() -> bool {
    let groups = VERSIONS.map(|version| format!("etcd-{version}"));
    let missing = groups.into_iter().chain([GO_MODULE.to_owned()]).find_map(|group| fetch(&group).err());
    missing.iter().for_each(|reason| skip(reason));
    missing.is_none()
}

/// Asks the gateway, however long the answer takes.
fn ask_gateway(port: u16, path: &str, body: &Value) -> Option<Value> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// One in the queue.
struct Participant {
    kind: Kind,
    number: usize,
    place: KeyValue,
    /// The RPC has none.
    process: Option<Running>,
}

/// All who take part, in the order in which they came.
struct Queue<'a> {
    etcd: &'a Etcd,
    client: Client,
    waiting: VecDeque<Participant>,
    count: usize,
    said: Sender<(usize, String)>,
    heard: Receiver<(usize, String)>,
}

impl<'a> Queue<'a> {
    fn new(etcd: &'a Etcd) -> Self {
        let (said, heard) = mpsc::channel();
        let client = client(&etcd.servers(), &[]);
        Queue { etcd, client, waiting: VecDeque::new(), count: 0, said, heard }
    }

    /// What is in the queue, in its order.
    fn places(&self) -> Vec<KeyValue> {
        let all = KeyRange::prefix(format!("{NAME}/"));
        let request = RangeRequest { sort_by: SortBy::Create, ..RangeRequest::new(all) };
        self.client.range(request).expect("it answers").1.kvs
    }

    /// Lets one more in, and waits until it is the last one of the queue.
    fn join(&mut self, kind: Kind, value: &str) {
        let number = self.count;
        self.count += 1;
        let before = self.places().len();
        let process = match kind {
            Rpc => self.join_by_rpc(number),
            _ => Some(self.start(kind, number, value)),
        };
        let place = eventually(LIMIT, &format!("{kind:?} queues"), || {
            let mut places = self.places();
            (places.len() == before + 1).then(|| places.pop()).flatten()
        });
        self.waiting.push_back(Participant { kind, number, place, process });
    }

    fn start(&self, kind: Kind, number: usize, value: &str) -> Running {
        let named: &[&str] = if value.is_empty() { &["lock", NAME] } else { &["campaign", NAME, value] };
        let mut command = match kind {
            Ours => ours(self.etcd, named),
            OursQueued => ours(self.etcd, &[named, &["queue"]].concat()),
            Go => go(self.etcd, named),
            Etcdctl(version) if value.is_empty() => etcdctl(self.etcd, version, named),
            Etcdctl(version) => etcdctl(self.etcd, version, &["elect", NAME, value]),
            Rpc => unreachable!("it is no process"),
        };
        let mut process = Running::start(&mut command);
        let said = self.said.clone();
        process.tell_lines(move |line| {
            // That comes beside what the next one says; the exit code tells the same.
            if line != "released" {
                let _ = said.send((number, line));
            }
        });
        process
    }

    fn join_by_rpc(&self, number: usize) -> Option<Running> {
        let lease = self.client.grant(60).expect("a lease").id;
        let (said, port) = (self.said.clone(), self.etcd.port());
        let wanted = json!({ "name": STANDARD.encode(NAME), "lease": lease.to_string() });
        std::thread::spawn(move || {
            let answer = ask_gateway(port, "/v3/lock/lock", &wanted).unwrap_or_default();
            let key = answer["key"].as_str().and_then(|key| STANDARD.decode(key).ok()).unwrap_or_default();
            let _ = said.send((number, String::from_utf8_lossy(&key).into_owned()));
        });
        None
    }

    fn next_line(&self) -> (usize, String) {
        self.heard.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("nobody says anything; {:?}", self.places()))
    }

    /// Waits until the first one says that it holds. Nobody else may have said anything.
    fn first_holds(&mut self, value: &str) {
        let Participant { kind, number, ref place, .. } = self.waiting[0];
        let key = String::from_utf8_lossy(&place.key).into_owned();
        let wanted = match kind {
            Etcdctl(_) | Rpc => key,
            _ => format!("held {} {key}", place.create_revision),
        };
        assert_eq!(self.next_line(), (number, wanted), "{kind:?} is the first one");
        if matches!(kind, Etcdctl(_)) {
            assert_eq!(self.next_line(), (number, value.to_owned()));
        }
        assert_eq!(self.places()[0].key, self.waiting[0].place.key);
        assert!(self.heard.try_recv().is_err(), "one holds");
    }

    fn first_releases(&mut self) {
        assert!(self.heard.try_recv().is_err(), "nobody else has come to hold it");
        let Some(Participant { kind, number, place, process }) = self.waiting.pop_front() else { return };
        let Some(mut process) = process else {
            let key = json!({ "key": STANDARD.encode(&place.key) });
            return drop(ask_gateway(self.etcd.port(), "/v3/lock/unlock", &key).expect("it is released"));
        };
        process.signal(libc::SIGINT);
        let code = process.code();
        assert!(code == 0 || matches!(kind, Etcdctl(_)), "{kind:?} {number}: {code} {}", process.errors());
    }

    /// Kills one that waits; its place goes with its lease.
    fn kill(&mut self, at: usize) {
        let mut killed = self.waiting.remove(at).expect("it waits");
        killed.process.as_mut().expect("a process").kill();
        eventually(LIMIT, "the dead one's place goes", || {
            self.places().iter().all(|kv| kv.key != killed.place.key).then_some(())
        });
    }
}

/// Each kind waits behind each other one, or nearly so.
const ORDER: [Kind; 14] = [
    Ours,
    Etcdctl(VERSIONS[0]),
    Ours,
    Go,
    OursQueued,
    Rpc,
    Ours,
    Etcdctl(VERSIONS[1]),
    Go,
    Rpc,
    Etcdctl(VERSIONS[2]),
    OursQueued,
    Ours,
    Go,
];

#[test]
fn locks_of_all_kinds_stand_in_one_fair_queue_on_etcd() {
    if !tools_are_there() {
        return;
    }
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let mut queue = Queue::new(&etcd);
        ORDER.into_iter().for_each(|kind| queue.join(kind, ""));
        let revisions: Vec<i64> = queue.places().iter().map(|kv| kv.create_revision).collect();
        assert!(revisions.is_sorted() && revisions.len() == ORDER.len());
        while !queue.waiting.is_empty() {
            queue.first_holds("");
            queue.first_releases();
        }
        assert_eq!(queue.places(), []);
    }
}

#[test]
fn a_waiter_of_any_kind_that_dies_lets_nobody_past_the_holder_on_etcd() {
    if !tools_are_there() {
        return;
    }
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let mut queue = Queue::new(&etcd);
        [Go, Ours, Etcdctl(VERSIONS[1]), OursQueued, Go, Ours]
            .into_iter()
            .for_each(|kind| queue.join(kind, ""));
        queue.first_holds("");
        // Ours behind Go's, Go's behind ours.
        queue.kill(3);
        queue.kill(1);
        queue.kill(2);
        assert!(queue.heard.try_recv().is_err(), "the first one still holds");
        while queue.waiting.len() > 1 {
            queue.first_releases();
            queue.first_holds("");
        }
        queue.first_releases();
    }
}

/// What an observer says: keys and values.
struct Observer {
    _process: Running,
    heard: Receiver<String>,
    /// The key and the value are lines of their own.
    two_lines: bool,
}

impl Observer {
    fn start(mut command: Command, two_lines: bool) -> Self {
        let (said, heard) = mpsc::channel();
        let mut process = Running::start(&mut command);
        process.tell_lines(move |line| drop(said.send(line)));
        Observer { _process: process, heard, two_lines }
    }

    fn line(&self) -> String {
        self.heard.recv_timeout(LIMIT).expect("it says something")
    }

    /// The next leader that it tells of.
    fn next(&self) -> String {
        loop {
            let line = self.line();
            match line.strip_prefix("leader ") {
                Some(leader) => return leader.to_owned(),
                None if self.two_lines => return format!("{line} {}", self.line()),
                None => assert_eq!(line, "nobody"),
            }
        }
    }
}

#[test]
fn elections_of_all_kinds_have_one_leader_and_all_observers_see_it_on_etcd() {
    if !tools_are_there() {
        return;
    }
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let mut queue = Queue::new(&etcd);
        let kinds = [Ours, Etcdctl(version), Go, OursQueued, Etcdctl(VERSIONS[2]), Ours];
        let value = |number: usize| format!("candidate {number}");
        let observers = [
            Observer::start(ours(&etcd, &["observe", NAME]), false),
            Observer::start(go(&etcd, &["observe", NAME]), false),
            Observer::start(etcdctl(&etcd, version, &["elect", "-l", NAME]), true),
        ];
        let all_see = |key: &[u8], value: &str| {
            let wanted = format!("{} {value}", String::from_utf8_lossy(key));
            observers.iter().for_each(|observer| assert_eq!(observer.next(), wanted, "{version}"));
        };
        assert_eq!(observers[0].line(), "nobody");
        kinds.into_iter().enumerate().for_each(|(number, kind)| queue.join(kind, &value(number)));
        for (number, kind) in kinds.into_iter().enumerate() {
            queue.first_holds(&value(number));
            let first = &queue.waiting[0];
            all_see(&first.place.key, &value(number));
            if !matches!(kind, Etcdctl(_)) {
                first.process.as_ref().expect("a process").signal(libc::SIGUSR1);
                assert_eq!(queue.next_line(), (number, "proclaimed".into()));
                all_see(&first.place.key, &format!("{} again", value(number)));
            }
            queue.first_releases();
        }
        assert_eq!(observers[0].line(), "nobody");
    }
}

#[test]
fn what_else_is_below_the_name_blocks_no_lock_of_ours_on_etcd() {
    if !tools_are_there() {
        return;
    }
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let mut queue = Queue::new(&etcd);
        let lease = queue.client.grant(60).expect("a lease").id;
        // Data; a key that is named like a place but has no lease; a leased key that is not.
        for (key, lease) in
            [("data", 0), ("data/more", 0), ("abc", 0), ("worker-1", lease), ("data/1f", lease)]
        {
            let put = PutRequest { lease, ..PutRequest::new(format!("{NAME}/{key}").into_bytes(), "x") };
            queue.client.call(&Request::Put(put)).expect("it is put");
        }
        // And a lock whose name continues ours, held.
        let mut other = Running::start(&mut etcdctl(&etcd, version, &["lock", &format!("{NAME}/x")]));
        assert!(other.line().starts_with(&format!("{NAME}/x/")));
        queue.join(Ours, "");
        queue.join(OursQueued, "");
        for _ in 0..2 {
            let first = &queue.waiting[0];
            let key = String::from_utf8_lossy(&first.place.key).into_owned();
            assert_eq!(
                queue.next_line(),
                (first.number, format!("held {} {key}", first.place.create_revision))
            );
            queue.first_releases();
        }
        assert!(other.is_running());
    }
}
