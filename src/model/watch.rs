//! What changes, and who asks for it.

use super::{KeyRange, KeyValue};
use crate::error::{Error, Result};

/// Whether a key was written or went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Written.
    Put,
    /// Deleted, also by the end of its lease.
    Delete,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Written or deleted.
    pub kind: EventKind,
    /// The key after the change; of a deleted one, only key and `mod_revision`.
    pub kv: KeyValue,
    /// The key before it, if asked for. Missing when it was new, or when what was before is compacted.
    pub prev_kv: Option<KeyValue>,
}

/// Asks for the changes of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchRequest {
    /// Which keys.
    pub range: KeyRange,
    /// First revision of interest; 0: from now on.
    pub start_revision: i64,
    /// With each change, what was there before.
    pub prev_kv: bool,
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletions out.
    pub no_delete: bool,
}

impl WatchRequest {
    /// All changes of `range` from a revision on; 0: from now on.
    pub fn new(range: KeyRange, start_revision: i64) -> Self {
        WatchRequest { range, start_revision, ..Self::default() }
    }

    /// Whether it can be answered. (Servers don't agree on what to make of one that can't.)
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn check(&self) -> Result<()> {
        if self.range.start.is_empty() && self.range.end.is_empty() {
            // Servers would watch a key that is one NUL byte.
            return Err(Error::invalid("the key is empty, which no key can be: only a prefix may"));
        }
        if !matches!(self.range.end[..], [] | [0]) && self.range.start >= self.range.end {
            return Err(Error::invalid("the range is empty: its end is not behind its start"));
        }
        if self.start_revision < 0 {
            return Err(Error::invalid("the start revision is negative"));
        }
        Ok(())
    }

    /// Whether it asks for changes of this kind at all.
    pub fn wants(&self, kind: EventKind) -> bool {
        match kind {
            EventKind::Put => !self.no_put,
            EventKind::Delete => !self.no_delete,
        }
    }
}

/// Changes in the order of their revisions; never a part of one revision only. Without changes it tells that
/// there were none up to its revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchBatch {
    /// The store's revision when it was sent.
    pub revision: i64,
    /// The changes.
    pub events: Vec<Event>,
}

/// Takes a watch's batches in order, on any thread, until it answers `false` (enough) or gets an error,
/// which is the last item. It never blocks and never calls back into whoever calls it.
pub type WatchSink = Box<dyn FnMut(Result<WatchBatch>) -> bool + Send>;
