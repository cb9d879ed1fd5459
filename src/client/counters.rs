//! What a client has been through, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Connections made.
    Connections,
    /// Attempts made again.
    Retries,
    /// Watches that went on after their stream broke.
    WatchesResumed,
    /// Watches that waited for a slow reader.
    WatchesParked,
    /// Holds that were lost.
    HoldsLost,
    /// Submitted operations and watches that have not ended: the only number that falls.
    Open,
}

/// One number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The numbers of a client.
#[derive(Default)]
pub struct Counters {
    /// Attempts that were made again, here or on another endpoint.
    pub retries: Counter,
    /// Watches whose stream broke, and was opened again.
    pub watches_resumed: Counter,
    /// Watches that waited for a slow reader.
    pub watches_parked: Counter,
    /// Holds that were lost.
    pub holds_lost: Counter,
}
