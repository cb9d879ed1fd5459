//! Which cluster this client belongs to, and how far its history went: a cluster that was replaced, or restored
//! from a backup, is not taken for the one that was known.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::Header;

/// What is known of the cluster.
#[derive(Default)]
pub struct Identity {
    /// That of the first answer; 0: there was none yet.
    cluster: AtomicU64,
    /// The newest revision seen.
    revision: AtomicI64,
}

impl Identity {
    /// The newest revision seen so far.
    pub fn revision(&self) -> i64 {
        self.revision.load(Ordering::SeqCst)
    }

    /// Looks at an answer to a request that was sent when `seen` was the newest revision. Only a `linearizable`
    /// request's answer must be as new as that.
    pub fn check(&self, header: &Header, seen: i64, linearizable: bool) -> Result<()> {
        self.check_cluster(header.cluster_id)?;
        if header.revision == 0 {
            return Ok(());
        }
        if linearizable && header.revision < seen {
            // From here on the new history counts. Whoever needs the old one is told by this error.
            self.revision.store(header.revision, Ordering::SeqCst);
            return Err(went_back(seen, header.revision));
        }
        if header.revision > self.revision.load(Ordering::Relaxed) {
            self.revision.fetch_max(header.revision, Ordering::SeqCst);
        }
        Ok(())
    }

    fn check_cluster(&self, id: u64) -> Result<()> {
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

/// The error for a history that went back.
pub fn went_back(from: i64, to: i64) -> Error {
    let fault = format!("the cluster's history went back from revision {from} to {to}");
    Error::new(ErrorKind::OtherCluster, fault).outcome_is(Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cluster_id: u64, revision: i64) -> Header {
        Header { cluster_id, revision, ..Header::default() }
    }

    #[test]
    fn another_cluster_is_never_accepted() {
        let identity = Identity::default();
        identity.check(&header(0, 5), 0, true).expect("an answer that does not say");
        identity.check(&header(7, 5), 5, true).expect("the first one");
        identity.check(&header(7, 5), 5, true).expect("the same");
        for _ in 0..2 {
            let error = identity.check(&header(8, 9), 5, true).expect_err("another one");
            assert_eq!(error.kind(), ErrorKind::OtherCluster);
        }
        identity.check(&header(7, 6), 5, true).expect("the old one is still fine");
    }

    #[test]
    fn a_history_that_went_back_is_told_once_to_whoever_knew_it() {
        let identity = Identity::default();
        identity.check(&header(7, 100), 0, true).expect("the first");
        identity.check(&header(7, 90), 0, true).expect("sent before the newest revision was known");
        identity.check(&header(7, 90), 100, false).expect("a member that lags behind may say so");
        let error = identity.check(&header(7, 90), 100, true).expect_err("restored");
        assert!(error.fault().contains("100") && error.fault().contains("90"), "{error}");
        assert_eq!(identity.revision(), 90);
        identity.check(&header(7, 91), identity.revision(), true).expect("the new history goes on");
    }
}
