//! Whose turn it is. While it is that of a process that was killed, all others can but wait until etcd ends its lease; and
//! etcd starts the TTLs of all leases anew with each new leader.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, UNIX_EPOCH};

use etcd::Client;
use etcd::recipes::inspect;

use crate::process::Process;

/// From when to when, since 1970.
type Span = (Duration, Duration);

#[derive(Default)]
struct Shared {
    killed: Mutex<BTreeSet<u32>>,
    over: AtomicBool,
}

pub struct Turns {
    shared: Arc<Shared>,
    looker: JoinHandle<Vec<Span>>,
}

impl Turns {
    /// Begins to look at the queue of this lock.
    pub fn watch(client: Client, name: &'static str) -> Self {
        let shared = Arc::new(Shared::default());
        let looks = shared.clone();
        Turns { shared, looker: std::thread::spawn(move || looks.spans(&client, name)) }
    }

    /// This one is about to be killed.
    pub fn killed(&self, process: &Process) {
        self.shared.killed().insert(process.id());
    }

    /// When it was the turn of those who were killed.
    pub fn end(self) -> Vec<Span> {
        self.shared.over.store(true, Ordering::SeqCst);
        self.looker.join().expect("no panic")
    }
}

impl Shared {
    fn killed(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.killed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spans(&self, client: &Client, name: &str) -> Vec<Span> {
        let (mut spans, mut since) = (Vec::new(), None);
        while !self.over.load(Ordering::SeqCst) {
            let now = UNIX_EPOCH.elapsed().unwrap_or_default();
            // A look that fails tells nothing: what was before it and is after it was so meanwhile.
            if let Ok((_, first)) = inspect::leader(client, &client.context(), name.as_bytes()) {
                let is_killed = first.is_some_and(|kv| self.is_of_killed(&kv.value));
                if let Some(since) = since.filter(|_| is_killed) {
                    spans.push((since, now));
                }
                since = is_killed.then_some(now);
            }
            sleep(Duration::from_millis(50));
        }
        spans
    }

    /// Places have the process and its thread as their values.
    fn is_of_killed(&self, value: &[u8]) -> bool {
        let process = String::from_utf8_lossy(value).split('/').next().and_then(|id| id.parse().ok());
        process.is_some_and(|process| self.killed().contains(&process))
    }
}

/// How much of a time lies in these spans.
pub fn overlap(spans: &[Span], (from, until): Span) -> Duration {
    let both = |&(start, end): &Span| end.min(until).saturating_sub(start.max(from));
    spans.iter().map(both).sum()
}
