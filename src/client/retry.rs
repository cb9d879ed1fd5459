//! What to do after a failed attempt: one pure function of the request's nature, the error, and what was tried.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Outcome};
use crate::model::Repeat;
use crate::sys;
use crate::wait::{self, Cancel, Deadline};

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Ask another endpoint at once.
    Elsewhere,
    /// Ask another endpoint at once; once all were asked, wait a little before each further one: this member can't
    /// serve now, and perhaps none can.
    ElsewhereOrLater,
    /// Wait a little, then ask again: the cluster is busy, or all endpoints were asked.
    Later,
    /// The token is not good any more: get another one, then ask the same endpoint again.
    LogIn,
    /// Tell the caller.
    GiveUp,
}

/// What was tried so far in one call, and what may still be.
#[derive(Debug, Clone, Copy)]
pub struct Attempts {
    /// How many attempts were made.
    pub made: usize,
    /// How many endpoints there are.
    pub endpoints: usize,
    /// How many attempts there may be beyond one for each endpoint.
    pub limit: usize,
    /// Whether the client's budget allows a repetition.
    pub budget: bool,
    /// Whether there is a user to log in as, and it was not tried in this call.
    pub can_log_in: bool,
}

/// How many times an endpoint that can't be reached is tried in one call.
const ROUNDS: usize = 2;

/// The policy. A write whose outcome is unknown is never sent again.
pub fn after(error: &Error, repeat: Repeat, attempts: &Attempts) -> Next {
    let next = by_error(error, repeat);
    let Attempts { made, endpoints, limit, budget, can_log_in } = *attempts;
    let repeats = made >= endpoints;
    match next {
        Next::GiveUp => Next::GiveUp,
        Next::LogIn if !can_log_in => Next::GiveUp,
        Next::LogIn => Next::LogIn,
        _ if repeats && (made - endpoints >= limit || !budget) => Next::GiveUp,
        Next::Elsewhere if made >= endpoints * ROUNDS => Next::GiveUp,
        Next::Elsewhere if made.is_multiple_of(endpoints) => Next::Later,
        Next::ElsewhereOrLater => {
            if repeats {
                Next::Later
            } else {
                Next::Elsewhere
            }
        }
        next => next,
    }
}

/// Whether what went wrong may pass: asking again, here or elsewhere, now or later, can help.
pub fn may_pass(error: &Error) -> bool {
    !matches!(by_error(error, Repeat::Harmless), Next::GiveUp | Next::LogIn)
}

/// Whether a caller is told that the same may succeed later, and that trying again can do no harm. Another endpoint may
/// do better than one whose certificate or whose answers are wrong, so that the library asks it; once all were asked,
/// somebody has to mend it.
pub fn is_worth_another_call(error: &Error) -> bool {
    let needs_mending = matches!(error.kind(), ErrorKind::Tls | ErrorKind::BadReply);
    error.outcome() != Outcome::Unknown && !error.is_for_good() && !needs_mending && may_pass(error)
}

fn by_error(error: &Error, repeat: Repeat) -> Next {
    if error.outcome() == Outcome::Unknown && repeat == Repeat::Harmful {
        return Next::GiveUp;
    }
    match error.kind() {
        ErrorKind::TooManyRequests => Next::Later,
        // No leader, or a learner: another member may be better off.
        ErrorKind::Unavailable if error.outcome() == Outcome::Refused => Next::ElsewhereOrLater,
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::BadReply | ErrorKind::Tls => Next::Elsewhere,
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied if is_about_token(error) => Next::LogIn,
        _ => Next::GiveUp,
    }
}

/// A token that is missing, over, or older than the last change of users. A wrong password is another matter:
/// it stays wrong.
pub fn is_about_token(error: &Error) -> bool {
    let texts =
        ["invalid auth token", "auth store is old", "revision in header is old", "user name is empty"];
    texts.iter().any(|text| error.fault().contains(text))
}

/// Whether a failure speaks against the endpoint itself.
pub fn is_endpoints_fault(error: &Error) -> bool {
    use ErrorKind::*;
    matches!(error.kind(), Unavailable | Timeout | BadReply | Tls | OtherCluster)
}

/// Waits before the n-th repetition, but not beyond the deadline.
pub fn pause(repetition: u32, deadline: Deadline, cancel: &Cancel) {
    let time = backoff(repetition, sys::random_id() as u64);
    wait::sleep(deadline.or_after(time).remaining().unwrap_or(time), cancel);
}

/// How long to wait before the n-th repetition (from 0): doubling up to a second, and somewhere between
/// half of that and all of it, so that clients that failed together don't come back together.
/// `dice` is any random number.
pub fn backoff(repetition: u32, dice: u64) -> Duration {
    let full = Duration::from_millis(50).saturating_mul(1 << repetition.min(5)).min(Duration::from_secs(1));
    full / 2 + Duration::from_micros(dice % (full.as_micros() as u64 / 2 + 1))
}

/// How many repetitions a client may spend, in tenths, so that many failing calls don't multiply what their
/// servers have to bear.
pub struct Budget {
    tenths: AtomicU32,
    full: u32,
}

impl Budget {
    /// One with all its repetitions.
    pub fn new(repetitions: u32) -> Self {
        let full = repetitions.saturating_mul(10);
        Budget { tenths: AtomicU32::new(full), full }
    }

    /// Whether a repetition is left.
    pub fn has_some(&self) -> bool {
        self.tenths.load(Ordering::Relaxed) >= 10
    }

    /// A repetition was made.
    pub fn spend(&self) {
        let less = |tenths: u32| Some(tenths.saturating_sub(10));
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// An answer came.
    pub fn earn(&self) {
        if self.tenths.load(Ordering::Relaxed) < self.full {
            let more = |tenths: u32| Some((tenths + 1).min(self.full));
            let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Next::*;
    use Repeat::{Harmful, Harmless};

    /// The first of three endpoints has failed.
    const FIRST: Attempts = Attempts { made: 1, endpoints: 3, limit: 16, budget: true, can_log_in: true };

    #[test]
    fn callers_are_told_to_try_again_only_where_it_can_help_without_anybody_mending_anything() {
        use ErrorKind::*;
        let worth: Vec<ErrorKind> = ErrorKind::ALL
            .iter()
            .copied()
            .filter(|&kind| is_worth_another_call(&Error::new(kind, "fault")))
            .collect();
        assert_eq!(worth, [Timeout, Unavailable, TooManyRequests]);
        for kind in worth {
            let error = Error::new(kind, "fault");
            assert!(!is_worth_another_call(&error.clone().outcome_is(Outcome::Unknown)), "{kind:?}");
            assert!(!is_worth_another_call(&error.for_good()), "{kind:?}");
        }
    }

    #[test]
    fn the_policy_is_a_table() {
        use ErrorKind::*;
        use Outcome::{NotSent, Refused as No, Unknown};
        let table = [
            (Unavailable, NotSent, Harmful, Elsewhere),
            (Unavailable, NotSent, Harmless, Elsewhere),
            (Unavailable, Unknown, Harmful, GiveUp),
            (Unavailable, Unknown, Harmless, Elsewhere),
            (Unavailable, No, Harmful, Elsewhere),
            (Timeout, NotSent, Harmful, Elsewhere),
            (Timeout, Unknown, Harmful, GiveUp),
            (Timeout, Unknown, Harmless, Elsewhere),
            (BadReply, NotSent, Harmful, Elsewhere),
            (BadReply, Unknown, Harmful, GiveUp),
            (Tls, NotSent, Harmful, Elsewhere),
            (Tls, Unknown, Harmful, GiveUp),
            (TooManyRequests, No, Harmful, Later),
            (TooManyRequests, No, Harmless, Later),
            (Refused, Unknown, Harmless, GiveUp),
            (InvalidArgument, No, Harmless, GiveUp),
            (Compacted, No, Harmless, GiveUp),
            (LeaseNotFound, No, Harmless, GiveUp),
            (PermissionDenied, No, Harmful, GiveUp),
            (Unauthenticated, No, Harmful, GiveUp),
            (OtherCluster, Unknown, Harmless, GiveUp),
            (Closed, NotSent, Harmless, GiveUp),
        ];
        for (kind, outcome, repeat, next) in table {
            let error = Error::new(kind, "").outcome_is(outcome);
            assert_eq!(after(&error, repeat, &FIRST), next, "{kind:?} {outcome:?} {repeat:?}");
        }
    }

    #[test]
    fn repetitions_have_limits() {
        let unreachable = Error::new(ErrorKind::Unavailable, "");
        let busy = Error::from_server(8, "etcdserver: too many requests");
        let leaderless = Error::from_server(14, "etcdserver: no leader");
        let table = [
            // made, limit, budget: when unreachable, when busy, without a leader
            (1, 16, true, Elsewhere, Later, Elsewhere),
            (2, 0, false, Elsewhere, Later, Elsewhere),
            (3, 16, true, Later, Later, Later),
            (3, 16, false, GiveUp, GiveUp, GiveUp),
            (3, 0, true, GiveUp, GiveUp, GiveUp),
            (4, 2, true, Elsewhere, Later, Later),
            (5, 2, true, GiveUp, GiveUp, GiveUp),
            (6, 16, true, GiveUp, Later, Later),
            (18, 16, true, GiveUp, Later, Later),
            (19, 16, true, GiveUp, GiveUp, GiveUp),
        ];
        for (made, limit, budget, when_unreachable, when_busy, when_leaderless) in table {
            let attempts = Attempts { made, limit, budget, ..FIRST };
            assert_eq!(after(&unreachable, Harmful, &attempts), when_unreachable, "{attempts:?}");
            assert_eq!(after(&busy, Harmful, &attempts), when_busy, "{attempts:?}");
            assert_eq!(after(&leaderless, Harmful, &attempts), when_leaderless, "{attempts:?}");
        }
    }

    #[test]
    fn only_a_bad_token_is_worth_logging_in_again_and_only_once() {
        let table = [
            (16, "etcdserver: invalid auth token", LogIn),
            (3, "etcdserver: revision of auth store is old", LogIn),
            (2, "auth: revision in header is old", LogIn),
            (3, "etcdserver: user name is empty", LogIn),
            (3, "etcdserver: authentication failed, invalid user ID or password", GiveUp),
            (7, "etcdserver: permission denied", GiveUp),
            (7, "etcdserver: permission denied; or invalid auth token", LogIn),
        ];
        for (code, text, next) in table {
            let error = Error::from_server(code, text);
            assert_eq!(after(&error, Harmful, &FIRST), next, "{text}");
            let again = Attempts { can_log_in: false, ..FIRST };
            assert_eq!(after(&error, Harmful, &again), GiveUp, "{text}");
        }
    }

    #[test]
    fn no_unknown_write_is_ever_repeated() {
        use ErrorKind::*;
        for kind in [Unavailable, Timeout, BadReply, TooManyRequests, Refused, NoResource, Closed, Tls] {
            let error = Error::new(kind, "").outcome_is(Outcome::Unknown);
            assert_eq!(after(&error, Harmful, &FIRST), GiveUp, "{kind:?}");
        }
    }

    #[test]
    fn backoff_grows_stays_within_its_bounds_and_is_spread() {
        for (repetition, full) in [(0, 50), (1, 100), (4, 800), (5, 1000), (u32::MAX, 1000)] {
            let full = Duration::from_millis(full);
            assert_eq!(backoff(repetition, 0), full / 2);
            assert!((0..2000).all(|dice| backoff(repetition, dice * 997) <= full));
        }
    }

    #[test]
    fn a_budget_is_spent_and_earned_back_slowly() {
        let budget = Budget::new(2);
        assert!(budget.has_some());
        budget.spend();
        budget.spend();
        assert!(!budget.has_some());
        (0..9).for_each(|_| budget.earn());
        assert!(!budget.has_some());
        budget.earn();
        assert!(budget.has_some());
        (0..100).for_each(|_| budget.earn());
        (0..2).for_each(|_| budget.spend());
        assert!(!budget.has_some(), "never more than at first");
        assert!(!Budget::new(0).has_some());
    }
}
