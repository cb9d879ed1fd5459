//! Contenders as the tests have them: in this process, and in one of their own that may be stopped and killed.

use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use etcd::model::Body;
use etcd::recipes::lock::contender::{Contender, Ended, Wanted};
use etcd::wait::Deadline;
use etcd::{Client, Error, Result};

use crate::support::{Running, Told, client};

/// How soon something happens that waits for nothing.
pub const SOON: Duration = Duration::from_secs(5);

/// One that wants a lock, and what it was told.
pub struct One {
    pub contender: Contender,
    told: Receiver<Option<Ended>>,
}

/// Wants the lock for as long as it takes.
pub fn want(client: &Client, name: &str, ttl: i64) -> One {
    want_until(client, name, ttl, Deadline::NEVER)
}

pub fn want_until(client: &Client, name: &str, ttl: i64, until: Deadline) -> One {
    let (sender, told) = channel();
    let wanted = Wanted { name: name.into(), ttl, value: b"test".to_vec(), until };
    One { contender: Contender::new(client, wanted, Arc::new(Told(sender))), told }
}

/// Wants the lock, and the place of whoever has this value.
pub fn join(client: &Client, name: &str, ttl: i64, value: &str, until: Deadline) -> One {
    let (sender, told) = channel();
    let wanted = Wanted { name: name.into(), ttl, value: value.into(), until };
    One { contender: Contender::joining(client, wanted, Arc::new(Told(sender))), told }
}

/// Takes the lock, which is free.
pub fn take(client: &Client, name: &str, ttl: i64) -> One {
    let one = want(client, name, ttl);
    one.acquired(SOON);
    one
}

impl One {
    /// It holds the lock within this time.
    pub fn acquired(&self, limit: Duration) {
        match self.told.recv_timeout(limit) {
            Ok(None) => {}
            other => panic!("not acquired within {limit:?}: {other:?}"),
        }
    }

    /// How it ends, within this time.
    pub fn ended(&self, limit: Duration) -> Ended {
        match self.told.recv_timeout(limit) {
            Ok(Some(how)) => how,
            other => panic!("not ended within {limit:?}: {other:?}"),
        }
    }

    /// What it is told next: `None` when it holds the lock.
    pub fn next(&self, limit: Duration) -> Option<Ended> {
        self.told.recv_timeout(limit).unwrap_or_else(|_| panic!("nothing was told within {limit:?}"))
    }

    /// It is told nothing in this time.
    pub fn is_silent(&self, time: Duration) -> bool {
        matches!(self.told.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }

    pub fn lost(&self, limit: Duration) -> Error {
        match self.ended(limit) {
            Ended::Lost(error) => error,
            other => panic!("not lost: {other:?}"),
        }
    }

    pub fn failed(&self, limit: Duration) -> Error {
        match self.ended(limit) {
            Ended::Failed(error) => error,
            other => panic!("not failed: {other:?}"),
        }
    }

    /// Begins to release it.
    pub fn start_release(&self) -> Receiver<Result<bool>> {
        let (sender, answer) = channel();
        self.contender.release(Box::new(move |result| drop(sender.send(result))));
        answer
    }

    pub fn release(&self) -> Result<bool> {
        self.start_release().recv_timeout(Duration::from_secs(30)).expect("an answer")
    }

    pub fn proclaim(&self, value: &str) -> Result<i64> {
        let (sender, answer) = channel();
        self.contender.proclaim(value.as_bytes(), Box::new(move |result| drop(sender.send(result))));
        answer.recv_timeout(Duration::from_secs(30)).expect("an answer")
    }

    /// Writes this key, if it still holds the lock.
    pub fn write(&self, client: &Client, key: &str, value: &str) -> bool {
        use etcd::model::{Op, PutRequest, Request, TxnRequest};
        let then = vec![Op::Put(PutRequest::new(key, value))];
        let txn = TxnRequest { compares: self.contender.guard(), then, ..TxnRequest::default() };
        match client.call(&Request::Txn(txn)).expect("an answer").body {
            Body::Txn(reply) => reply.succeeded,
            other => panic!("{other:?}"),
        }
    }
}

const VARIABLE: &str = "ETCD_API_TEST_CONTENDER";

/// One in a process of its own, which tells what becomes of it line by line.
pub fn process(servers: &str, name: &str, ttl: i64) -> Running {
    process_with(servers, name, ttl, &[])
}

/// The same with more in its environment.
pub fn process_with(servers: &str, name: &str, ttl: i64, environment: &[(&str, &str)]) -> Running {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.envs(environment.iter().copied());
    command.args([
        "--exact",
        "locks::contender::a_process_that_wants_a_lock_for_an_etcd_test",
        "--nocapture",
    ]);
    Running::start(command.env(VARIABLE, format!("{servers} {name} {ttl}")))
}

/// Its lines up to one with this word.
pub fn wait_for(process: &mut Running, word: &str) -> String {
    loop {
        let line = process.line();
        if line.contains(word) {
            return line;
        }
        assert!(process.is_running() || !line.is_empty(), "it ended without {word:?}");
    }
}

/// How much longer ago 1970 is than it was when the process started, by its wall clock: nearly 0, unless that jumped.
fn wall_clock(start: Instant) -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().expect("later than 1970");
    now.as_secs() as i64 - start.elapsed().as_secs() as i64
}

#[test]
fn a_process_that_wants_a_lock_for_an_etcd_test() {
    let Ok(wanted) = std::env::var(VARIABLE) else { return };
    let words: Vec<&str> = wanted.split(' ').collect();
    let [servers, name, ttl] = words[..] else { panic!("{wanted}") };
    let client = client(servers, &[("request_timeout_ms", "1000")]);
    let one = want(&client, name, ttl.parse().expect("seconds"));
    println!("wants");
    one.acquired(Duration::from_secs(600));
    println!("held {}", one.contender.token());
    let start = Instant::now();
    let (mut before, mut wall) = (start, wall_clock(start));
    loop {
        let told = one.told.try_recv();
        let now = Instant::now();
        // It stood still meanwhile. What is told may have come before this look, the first one after that.
        if now - before > Duration::from_secs(1) {
            println!("after a pause: sure {}, lost {}", one.contender.remaining().is_some(), told.is_ok());
        }
        let jump = wall_clock(start) - wall;
        if jump.abs() > 60 {
            println!("jumped by {jump} s: sure {}", one.contender.remaining().is_some());
            wall += jump;
        }
        if let Ok(how) = told {
            println!("told {how:?}");
            return;
        }
        before = now;
        std::thread::sleep(Duration::from_millis(2));
    }
}
