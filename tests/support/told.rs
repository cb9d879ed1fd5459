//! What a contender for a lock is told.

use std::sync::mpsc::Sender;

use etcd::recipes::lock::contender::{Contender, Ended, Owner};

/// Hands it on: `None` when the lock is held.
pub struct Told(pub Sender<Option<Ended>>);

impl Owner for Told {
    fn acquired(&self, _: &Contender) {
        let _ = self.0.send(None);
    }

    fn ended(&self, how: Ended) {
        let _ = self.0.send(Some(how));
    }
}
