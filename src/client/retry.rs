//! What to do after a failed attempt: one pure function of the request's nature and the error.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Outcome};
use crate::model::Repeat;

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Ask another endpoint at once.
    Elsewhere,
    /// The cluster is busy or without a leader: wait a little, then ask again.
    Later,
    /// Tell the caller.
    GiveUp,
}

/// How many times an endpoint that can't be reached is tried in one call.
pub const ROUNDS: usize = 2;

/// The policy. A write whose outcome is unknown is never sent again.
pub fn after(error: &Error, repeat: Repeat) -> Next {
    if error.outcome() == Outcome::Unknown && repeat == Repeat::Harmful {
        return Next::GiveUp;
    }
    match error.kind() {
        ErrorKind::TooManyRequests => Next::Later,
        ErrorKind::Unavailable if error.outcome() == Outcome::Refused => Next::Later,
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::BadReply => Next::Elsewhere,
        _ => Next::GiveUp,
    }
}

/// How long to wait before the n-th repetition (from 0): doubling up to a second, and somewhere between
/// half of that and all of it, so that clients that failed together don't come back together.
/// `dice` is any random number.
pub fn backoff(repetition: u32, dice: u64) -> Duration {
    let full = Duration::from_millis(50).saturating_mul(1 << repetition.min(5)).min(Duration::from_secs(1));
    full / 2 + Duration::from_micros(dice % (full.as_micros() as u64 / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_a_table() {
        use ErrorKind::*;
        use Next::*;
        use Outcome::{NotSent, Refused as No, Unknown};
        use Repeat::{Harmful, Harmless};
        let table = [
            (Unavailable, NotSent, Harmful, Elsewhere),
            (Unavailable, NotSent, Harmless, Elsewhere),
            (Unavailable, Unknown, Harmful, GiveUp),
            (Unavailable, Unknown, Harmless, Elsewhere),
            (Unavailable, No, Harmful, Later),
            (Timeout, NotSent, Harmful, Elsewhere),
            (Timeout, Unknown, Harmful, GiveUp),
            (Timeout, Unknown, Harmless, Elsewhere),
            (BadReply, NotSent, Harmful, Elsewhere),
            (BadReply, Unknown, Harmful, GiveUp),
            (TooManyRequests, No, Harmful, Later),
            (TooManyRequests, No, Harmless, Later),
            (Refused, Unknown, Harmless, GiveUp),
            (InvalidArgument, No, Harmless, GiveUp),
            (Compacted, No, Harmless, GiveUp),
            (LeaseNotFound, No, Harmless, GiveUp),
            (PermissionDenied, No, Harmful, GiveUp),
            (Closed, NotSent, Harmless, GiveUp),
        ];
        for (kind, outcome, repeat, next) in table {
            let error = Error::new(kind, "").outcome_is(outcome);
            assert_eq!(after(&error, repeat), next, "{kind:?} {outcome:?} {repeat:?}");
        }
    }

    #[test]
    fn no_unknown_write_is_ever_repeated() {
        use ErrorKind::*;
        for kind in [Unavailable, Timeout, BadReply, TooManyRequests, Refused, NoResource, Closed] {
            let error = Error::new(kind, "").outcome_is(Outcome::Unknown);
            assert_eq!(after(&error, Repeat::Harmful), Next::GiveUp, "{kind:?}");
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
}
