//! Which cluster this client belongs to, and how far its history went: a cluster that was replaced, or restored
//! from a backup, is not taken for the one that was known.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::wait::lock;

/// What is known of the cluster.
#[derive(Default)]
pub struct Identity {
    /// That of the first answer; 0: there was none yet.
    cluster: AtomicU64,
    /// The newest revision seen.
    revision: AtomicI64,
    /// How often its history went back.
    history: AtomicU64,
    /// From where to where, the last time.
    went_back: Mutex<(i64, i64)>,
    /// No call of the user's was told so yet.
    untold: AtomicBool,
}

/// What was known when something began.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Which history it began in, counted.
    pub history: u64,
    /// The newest revision.
    pub revision: i64,
}

impl Identity {
    /// The newest revision seen so far.
    pub fn revision(&self) -> i64 {
        self.revision.load(Ordering::SeqCst)
    }

    /// What is known now.
    pub fn seen(&self) -> Seen {
        // In this order: a revision of the old history never goes with the new one.
        let history = self.history.load(Ordering::SeqCst);
        Seen { history, revision: self.revision() }
    }

    /// Looks at the revision of an answer to a request that was sent when that was known. Only a `linearizable`
    /// request's answer must be as new.
    pub fn check_history(&self, revision: i64, seen: Seen, linearizable: bool) -> Result<()> {
        self.check_same(seen.history)?;
        if linearizable && (1..seen.revision).contains(&revision) {
            return Err(self.goes_back(seen, revision));
        }
        if revision > self.revision.load(Ordering::Relaxed) {
            self.revision.fetch_max(revision, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether what began in this history is still in it.
    pub fn check_same(&self, history: u64) -> Result<()> {
        if history == self.history.load(Ordering::SeqCst) { Ok(()) } else { Err(self.restored()) }
    }

    /// From here on the new history counts. Whoever knew the old one is told so.
    fn goes_back(&self, seen: Seen, to: i64) -> Error {
        let mut went_back = lock(&self.went_back);
        if self.history.load(Ordering::SeqCst) == seen.history {
            *went_back = (seen.revision, to);
            self.revision.store(to, Ordering::SeqCst);
            self.untold.store(true, Ordering::SeqCst);
            self.history.fetch_add(1, Ordering::SeqCst);
        }
        drop(went_back);
        self.restored()
    }

    fn restored(&self) -> Error {
        let (from, to) = *lock(&self.went_back);
        let fault = format!("the cluster's history went back from revision {from} to {to}");
        Error::new(ErrorKind::OtherCluster, fault)
            .outcome_is(Outcome::Unknown)
            .advise("read everything anew; this client goes on with the new history")
    }

    /// A call of the user's begins: refused if no other one was told yet that the history went back. What the client
    /// does by itself must not use that up.
    pub fn tell(&self) -> Result<()> {
        let told = !self.untold.load(Ordering::SeqCst) || !self.untold.swap(false, Ordering::SeqCst);
        if told { Ok(()) } else { Err(self.restored().outcome_is(Outcome::NotSent)) }
    }

    /// The user is told this at the end of a call.
    pub fn told(&self, error: &Error) {
        if error.kind() == ErrorKind::OtherCluster {
            self.untold.store(false, Ordering::SeqCst);
        }
    }

    /// Looks whose answer it is.
    pub fn check_cluster(&self, id: u64) -> Result<()> {
        let known = self.cluster.load(Ordering::Relaxed);
        if known == id || id == 0 {
            return Ok(());
        }
        match self.cluster.compare_exchange(0, id, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Ok(()),
            Err(known) if known == id => Ok(()),
            Err(known) => {
                let fault = format!("this is cluster {id:x}, and the session began with cluster {known:x}");
                Err(Error::new(ErrorKind::OtherCluster, fault).outcome_is(Outcome::Unknown).advise(
                    "open a new session if the cluster was replaced, else mend the list of endpoints",
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cluster_is_never_accepted() {
        let identity = Identity::default();
        identity.check_cluster(0).expect("an answer that does not say");
        identity.check_cluster(7).expect("the first one");
        identity.check_cluster(7).expect("the same");
        for _ in 0..2 {
            let error = identity.check_cluster(8).expect_err("another one");
            assert_eq!(error.kind(), ErrorKind::OtherCluster);
        }
        identity.check_cluster(7).expect("the old one is still fine");
    }

    #[test]
    fn a_history_that_went_back_is_told_to_whoever_knew_it() {
        let identity = Identity::default();
        let nothing = identity.seen();
        identity.check_history(100, nothing, true).expect("the first");
        identity.check_history(90, nothing, true).expect("sent before the newest revision was known");
        let before = identity.seen();
        identity.check_history(90, before, false).expect("a member that lags behind may say so");
        for revision in [90, 91, 200] {
            let error = identity.check_history(revision, before, true).expect_err("restored");
            assert!(error.fault().contains("from revision 100 to 90"), "{error}");
        }
        assert_eq!(identity.revision(), 90, "it went back once");
        identity.check_same(before.history).expect_err("whatever was open before");
        identity.check_history(91, identity.seen(), true).expect("the new history goes on");
    }

    #[test]
    fn a_call_of_the_users_is_told_once_that_the_history_went_back() {
        let identity = Identity::default();
        identity.check_history(100, identity.seen(), true).expect("the first");
        identity.tell().expect("nothing to tell");
        let error = identity.check_history(90, identity.seen(), true).expect_err("seen by the client itself");
        assert_eq!(identity.tell().expect_err("told to the user").outcome(), Outcome::NotSent);
        identity.tell().expect("once");
        identity.check_history(80, identity.seen(), true).expect_err("seen by a call of the user's");
        identity.told(&error);
        identity.tell().expect("which was told");
    }
}
