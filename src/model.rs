//! The nouns of etcd: keys, ranges, transactions, leases, events; requests and their replies.
//! Every transport translates these and nothing else.

mod reply;
mod request;
#[cfg(test)]
mod tests;
mod watch;

pub use reply::*;
pub use request::*;
pub use watch::*;

/// A key with its value and its history, as etcd keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key's bytes.
    pub key: Vec<u8>,
    /// The value's bytes.
    pub value: Vec<u8>,
    /// Revision at which the key came to life.
    pub create_revision: i64,
    /// Revision of its last change.
    pub mod_revision: i64,
    /// Number of puts since it came to life.
    pub version: i64,
    /// The lease it is attached to, 0 for none.
    pub lease: i64,
}

/// A half-open range of keys, in byte order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub start: Vec<u8>,
    /// First key behind the range; empty: just the key `start`; a single NUL byte: no end.
    pub end: Vec<u8>,
}

impl KeyRange {
    /// One key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        KeyRange { start: key.into(), end: Vec::new() }
    }

    /// All keys that start with `prefix`.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start = prefix.into();
        let mut end = start.clone();
        if start.is_empty() {
            return Self::from_key(start);
        }
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            None => end.push(0),
        }
        KeyRange { start, end }
    }

    /// `start` and all keys behind it.
    pub fn from_key(start: impl Into<Vec<u8>>) -> Self {
        let start = Some(start.into()).filter(|start| !start.is_empty());
        // etcd takes no empty key; the first possible one is this.
        KeyRange { start: start.unwrap_or_else(|| vec![0]), end: vec![0] }
    }

    fn size(&self) -> usize {
        self.start.len() + self.end.len()
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self.end.as_slice() {
            [] => key == self.start,
            [0] => key >= self.start.as_slice(),
            end => key >= self.start.as_slice() && key < end,
        }
    }
}

/// A key for people: in quotes, escaped, cut when long.
pub fn quote(key: &[u8]) -> String {
    const SHOWN: usize = 80;
    let cut = if key.len() > SHOWN { "…" } else { "" };
    format!("\"{}{cut}\"", key[..key.len().min(SHOWN)].escape_ascii())
}
