//! The Rust crate etcd-client: called by as many threads as the others are, and as async programs use it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Certificate, Client, ConnectOptions, KvClient, LockClient, LockOptions, TlsOptions};
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::cell::{Caller, Candidate, Load, Threads, Work};
use crate::etcd::Place;
use crate::stats::{Clock, Round};

pub const CURRENT_THREAD: &str = "etcd-client, current_thread";
pub const MULTI_THREAD: &str = "etcd-client, multi_thread(2)";
pub const TASKS: &str = "etcd-client, tasks";

/// The runtime that a candidate is named after.
pub fn runtime(name: &str) -> Result<Runtime> {
    let mut builder = match name {
        MULTI_THREAD => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    Ok(builder.worker_threads(2).enable_all().build()?)
}

pub async fn connect(place: &Place) -> Result<Client> {
    let mut options = ConnectOptions::new();
    if place.secure() {
        let authority = Certificate::from_pem(std::fs::read(&place.ca)?);
        options = options.with_tls(TlsOptions::new().ca_certificate(authority));
    }
    Ok(Client::connect([place.url("http")], Some(options)).await?)
}

/// A client in the hands of one thread or task.
struct User {
    kv: KvClient,
    locks: LockClient,
    load: Arc<Load>,
    thread: usize,
}

impl User {
    fn new(client: &Client, load: &Arc<Load>, thread: usize) -> Self {
        User { kv: client.kv_client(), locks: client.lock_client(), load: load.clone(), thread }
    }

    /// Does the operation of this number.
    async fn call(&mut self, count: usize) -> Result<()> {
        let User { kv, locks, load, thread } = self;
        let key = load.key(*thread, count);
        match load.work {
            Work::Get => drop(kv.get(key, None).await?.kvs().first().ok_or("no such key")?),
            Work::Put => drop(kv.put(key, &*load.value, None).await?),
            Work::Lock => {
                let options = LockOptions::new().with_lease(load.lease);
                let held = locks.lock(load.lock(*thread), Some(options)).await?;
                locks.unlock(held.key()).await?;
            }
        }
        Ok(())
    }
}

/// Threads that share a runtime and a client, each waiting for its own calls.
pub fn threads(
    name: &'static str,
    place: &Place,
    load: &Arc<Load>,
    threads: usize,
) -> Result<Threads<Blocking>> {
    let runtime = Arc::new(runtime(name)?);
    let client = runtime.block_on(connect(place))?;
    let caller = |thread| Blocking { runtime: runtime.clone(), user: User::new(&client, load, thread) };
    Ok(Threads { name, callers: (0..threads).map(caller).collect() })
}

/// One of these threads.
pub struct Blocking {
    runtime: Arc<Runtime>,
    user: User,
}

impl Caller for Blocking {
    fn call(&mut self, count: usize) -> Result<()> {
        self.runtime.block_on(self.user.call(count))
    }
}

/// One thread with a task for each thread that the others have.
pub struct Tasks {
    runtime: Runtime,
    client: Client,
    load: Arc<Load>,
    tasks: usize,
}

impl Tasks {
    pub fn new(place: &Place, load: &Arc<Load>, tasks: usize) -> Result<Self> {
        let runtime = runtime(TASKS)?;
        let client = runtime.block_on(connect(place))?;
        Ok(Tasks { runtime, client, load: load.clone(), tasks })
    }
}

impl Candidate for Tasks {
    fn name(&self) -> &'static str {
        TASKS
    }

    fn round(&mut self, time: Duration) -> Result<Round> {
        self.runtime.block_on(async {
            let clock = Clock::start();
            let task = |number| tokio::spawn(repeat(time, User::new(&self.client, &self.load, number)));
            let tasks: Vec<_> = (0..self.tasks).map(task).collect();
            let mut latencies = Vec::new();
            for task in tasks {
                latencies.push(task.await??);
            }
            Ok(clock.stop(latencies))
        })
    }
}

/// As for threads.
async fn repeat(time: Duration, mut user: User) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut before = start;
    while before - start < time {
        user.call(latencies.len()).await?;
        let now = Instant::now();
        latencies.push(now - before);
        before = now;
    }
    Ok(latencies)
}
