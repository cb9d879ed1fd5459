//! What is measured: a cell of the tables, the load in it, and the candidates that do the load.

use std::fmt;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::Result;
use crate::stats::{Clock, Round};

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Get,
    Put,
    /// Taking a lock that nobody else wants, with a lease that is there already, and releasing it.
    Lock,
}

/// What is between the client and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    Plain,
    Tls,
    /// A line on which every byte is a millisecond late, each way.
    Far,
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub scene: Scene,
    pub work: Work,
    /// Bytes of a value.
    pub size: usize,
    pub threads: usize,
}

/// What the candidates of a cell do.
pub struct Load {
    pub work: Work,
    pub value: String,
    /// The lease of the locks.
    pub lease: i64,
    keys: Vec<String>,
    locks: Vec<String>,
}

/// The most that the values of all keys take.
const STORED: usize = 16 << 20;

impl Load {
    pub fn new(cell: &Cell, lease: i64) -> Self {
        let keys = (STORED / cell.size).min(1000);
        Load {
            work: cell.work,
            value: "v".repeat(cell.size),
            lease,
            keys: (0..keys).map(|number| format!("bench/key-{number:05}")).collect(),
            locks: (0..cell.threads).map(|thread| format!("bench/lock-{thread}")).collect(),
        }
    }

    /// All keys that are read and written.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The key of a thread's next operation: each goes through the keys in an order of its own.
    pub fn key(&self, thread: usize, count: usize) -> &str {
        &self.keys[(thread * 37 + count * 7919) % self.keys.len()]
    }

    /// The name of a thread's lock.
    pub fn lock(&self, thread: usize) -> &str {
        &self.locks[thread]
    }

    /// The key that a thread's lock is held with: etcd's own layout.
    pub fn place(&self, thread: usize) -> String {
        format!("{}/{:x}", self.locks[thread], self.lease)
    }
}

/// Something that does a load with as many threads as the cell has.
pub trait Candidate {
    /// As it stands in the tables.
    fn name(&self) -> &'static str;
    /// Does the load for about so long.
    fn round(&mut self, time: Duration) -> Result<Round>;
}

/// A blocking client in the hands of one thread.
pub trait Caller: Send {
    /// Does the thread's operation of this number.
    fn call(&mut self, count: usize) -> Result<()>;
}

/// A thread for each caller.
pub struct Threads<C> {
    pub name: &'static str,
    pub callers: Vec<C>,
}

impl<C: Caller> Candidate for Threads<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, time: Duration) -> Result<Round> {
        let together = Barrier::new(self.callers.len() + 1);
        std::thread::scope(|scope| {
            let work = |caller: &mut C| {
                together.wait();
                repeat(time, |count| caller.call(count))
            };
            let threads: Vec<_> =
                self.callers.iter_mut().map(|caller| scope.spawn(move || work(caller))).collect();
            let clock = Clock::start();
            together.wait();
            let done: Result<_> =
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
            Ok(clock.stop(done?))
        })
    }
}

/// Repeats a call for so long, and tells how long each one took.
fn repeat(time: Duration, mut call: impl FnMut(usize) -> Result<()>) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut before = start;
    while before - start < time {
        call(latencies.len())?;
        let now = Instant::now();
        latencies.push(now - before);
        before = now;
    }
    Ok(latencies)
}

impl Work {
    pub const ALL: [Work; 3] = [Work::Get, Work::Put, Work::Lock];
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Work::Get => "get",
            Work::Put => "put",
            Work::Lock => "lock",
        })
    }
}

impl Scene {
    /// For the command line.
    pub fn word(self) -> &'static str {
        match self {
            Scene::Plain => "plain",
            Scene::Tls => "tls",
            Scene::Far => "far",
        }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scene::Plain => "plain",
            Scene::Tls => "TLS",
            Scene::Far => "plain, 1 ms away",
        })
    }
}
