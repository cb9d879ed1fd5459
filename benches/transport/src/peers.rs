//! The Rust crate etcd-client, as async programs use it: a task for each thread that others have.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Certificate, Client, ConnectOptions, LockOptions, TlsOptions};
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::cell::{Candidate, Load, Work};
use crate::etcd::Place;
use crate::stats::{Clock, Round};

pub const CURRENT_THREAD: &str = "etcd-client, current_thread";
pub const MULTI_THREAD: &str = "etcd-client, multi_thread(2)";

/// Tasks on a runtime that share one client.
pub struct Tasks {
    name: &'static str,
    runtime: Runtime,
    client: Client,
    load: Arc<Load>,
    threads: usize,
}

impl Tasks {
    pub fn new(name: &'static str, place: &Place, load: &Arc<Load>, threads: usize) -> Result<Self> {
        let runtime = runtime(name)?;
        let client = runtime.block_on(connect(place))?;
        Ok(Tasks { name, runtime, client, load: load.clone(), threads })
    }
}

/// The runtime that a candidate is named after.
pub fn runtime(name: &str) -> Result<Runtime> {
    let mut builder = match name {
        CURRENT_THREAD => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
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

impl Candidate for Tasks {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, time: Duration) -> Result<Round> {
        let Tasks { runtime, client, load, threads, .. } = self;
        runtime.block_on(async {
            let clock = Clock::start();
            let task = |thread| {
                let (client, load) = (client.clone(), load.clone());
                tokio::spawn(async move { work(client, &load, thread, time).await })
            };
            let tasks: Vec<_> = (0..*threads).map(task).collect();
            let mut latencies = Vec::new();
            for task in tasks {
                latencies.push(task.await??);
            }
            Ok(clock.stop(latencies))
        })
    }
}

async fn work(client: Client, load: &Load, thread: usize, time: Duration) -> Result<Vec<Duration>> {
    let (mut kv, mut locks) = (client.kv_client(), client.lock_client());
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut before = start;
    while before - start < time {
        let key = load.key(thread, latencies.len());
        match load.work {
            Work::Get => drop(kv.get(key, None).await?.kvs().first().ok_or("no such key")?),
            Work::Put => drop(kv.put(key, &*load.value, None).await?),
            Work::Lock => {
                let options = LockOptions::new().with_lease(load.lease);
                let held = locks.lock(load.lock(thread), Some(options)).await?;
                locks.unlock(held.key()).await?;
            }
        }
        let now = Instant::now();
        latencies.push(now - before);
        before = now;
    }
    Ok(latencies)
}
