//! What clients have sent, and which answers to swallow for it. The one place that looks into bytes.

use std::collections::HashSet;

use crate::After;

/// All that the client of one connection has sent.
#[derive(Default)]
pub(crate) struct Requests {
    bytes: Vec<u8>,
    /// How many requests that is.
    number: usize,
    /// Whether the server has said something since.
    answered: bool,
}

impl Requests {
    pub fn sent(&mut self, bytes: &[u8]) {
        if self.number == 0 || self.answered {
            self.number += 1;
            self.answered = false;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub fn answered(&mut self) {
        self.answered = true;
    }

    pub fn count(&self, pattern: &[u8]) -> usize {
        if pattern.is_empty() { self.number } else { occurrences(&self.bytes, pattern) }
    }
}

fn occurrences(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes.windows(pattern.len()).filter(|window| *window == pattern).count()
}

/// To swallow the answer to one request to come.
pub(crate) struct Plan {
    pattern: Vec<u8>,
    nth: usize,
    pub then: After,
    /// The requests that contained the pattern, by connection and number: one may contain it twice.
    matched: HashSet<(usize, usize)>,
}

impl Plan {
    pub fn new(pattern: &[u8], nth: usize, then: After) -> Self {
        Plan { pattern: pattern.into(), nth, then, matched: HashSet::new() }
    }

    /// Whether the last `new` bytes of a connection make its present request the one.
    pub fn met(&mut self, connection: usize, requests: &Requests, new: usize) -> bool {
        // The pattern may have begun in bytes that came before.
        let fresh = requests.bytes.len().saturating_sub(new + self.pattern.len().saturating_sub(1));
        let found = self.pattern.is_empty() || occurrences(&requests.bytes[fresh..], &self.pattern) > 0;
        found && self.matched.insert((connection, requests.number)) && self.matched.len() == self.nth
    }
}
