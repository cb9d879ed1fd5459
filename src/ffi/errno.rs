//! What a failure becomes in C: a result code and an error number.

use super::types::etcd_result;
use crate::error::{Error, ErrorKind, Outcome};

/// A failed call, as C sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub result: etcd_result,
    pub errno: i32,
}

impl Failure {
    /// The answer is there, but C can't be given it.
    pub fn not_in_c(errno: i32) -> Self {
        Failure { result: etcd_result::ETCD_PROTOCOL_ERROR, errno }
    }

    /// Not an open session of this process.
    pub fn bad_handle() -> Self {
        Failure { result: etcd_result::ETCD_WTF, errno: libc::EBADF }
    }

    pub fn no_memory() -> Self {
        Failure { result: etcd_result::ETCD_WTF, errno: libc::ENOMEM }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { result: result_of(&error), errno: errno_of(&error) }
    }
}

/// `ETCD_PROTOCOL_ERROR`: the server answered and refused. `ETCD_WTF`: no answer, an unknown outcome, or
/// nothing that could be asked.
fn result_of(error: &Error) -> etcd_result {
    use ErrorKind::*;
    match error.kind() {
        _ if error.outcome() == Outcome::Unknown => etcd_result::ETCD_WTF,
        InvalidArgument if error.server_code() == 0 => etcd_result::ETCD_WTF,
        Closed | Canceled | Timeout | Unsupported | Forked | Panic | NoResource | Unavailable | Tls
        | BadReply => etcd_result::ETCD_WTF,
        _ => etcd_result::ETCD_PROTOCOL_ERROR,
    }
}

fn errno_of(error: &Error) -> i32 {
    match error.kind() {
        ErrorKind::InvalidArgument => libc::EINVAL,
        ErrorKind::Closed | ErrorKind::Canceled => libc::ECANCELED,
        ErrorKind::Timeout => libc::ETIMEDOUT,
        ErrorKind::Unsupported => libc::ENOTSUP,
        ErrorKind::Forked => libc::EBADF,
        ErrorKind::Panic => libc::ENOTRECOVERABLE,
        ErrorKind::NoResource => libc::ENOMEM,
        ErrorKind::Unavailable => error.os_error().unwrap_or(libc::EHOSTUNREACH),
        ErrorKind::BadReply => libc::EPROTO,
        ErrorKind::Tls => libc::EACCES,
        ErrorKind::OtherCluster => libc::ESTALE,
        ErrorKind::Compacted | ErrorKind::FutureRevision => libc::ERANGE,
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => libc::EACCES,
        ErrorKind::TooLarge => libc::EMSGSIZE,
        ErrorKind::NoSpace => libc::ENOSPC,
        ErrorKind::TooManyRequests => libc::EAGAIN,
        ErrorKind::Refused => libc::EIO,
        ErrorKind::KeyNotFound => libc::ENOENT,
        ErrorKind::CompareFailed | ErrorKind::Lost | ErrorKind::NotHeld | ErrorKind::LeaseNotFound => {
            libc::ESTALE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd_result::*;

    #[test]
    fn refusals_are_protocol_errors_and_everything_unanswered_is_not() {
        use Outcome::{NotSent, Refused as No, Unknown};
        let table = [
            (ErrorKind::InvalidArgument, NotSent, ETCD_WTF, libc::EINVAL),
            (ErrorKind::KeyNotFound, No, ETCD_PROTOCOL_ERROR, libc::ENOENT),
            (ErrorKind::CompareFailed, No, ETCD_PROTOCOL_ERROR, libc::ESTALE),
            (ErrorKind::NotHeld, No, ETCD_PROTOCOL_ERROR, libc::ESTALE),
            (ErrorKind::Lost, NotSent, ETCD_PROTOCOL_ERROR, libc::ESTALE),
            (ErrorKind::Compacted, No, ETCD_PROTOCOL_ERROR, libc::ERANGE),
            (ErrorKind::TooLarge, No, ETCD_PROTOCOL_ERROR, libc::EMSGSIZE),
            (ErrorKind::Timeout, Unknown, ETCD_WTF, libc::ETIMEDOUT),
            (ErrorKind::Timeout, NotSent, ETCD_WTF, libc::ETIMEDOUT),
            (ErrorKind::Unavailable, NotSent, ETCD_WTF, libc::EHOSTUNREACH),
            (ErrorKind::Unavailable, Unknown, ETCD_WTF, libc::EHOSTUNREACH),
            (ErrorKind::BadReply, NotSent, ETCD_WTF, libc::EPROTO),
            (ErrorKind::Tls, NotSent, ETCD_WTF, libc::EACCES),
            (ErrorKind::OtherCluster, NotSent, ETCD_PROTOCOL_ERROR, libc::ESTALE),
            (ErrorKind::OtherCluster, Unknown, ETCD_WTF, libc::ESTALE),
            (ErrorKind::Refused, Unknown, ETCD_WTF, libc::EIO),
            (ErrorKind::Refused, No, ETCD_PROTOCOL_ERROR, libc::EIO),
            (ErrorKind::Closed, NotSent, ETCD_WTF, libc::ECANCELED),
        ];
        for (kind, outcome, result, errno) in table {
            let failure = Failure::from(Error::new(kind, "").outcome_is(outcome));
            assert_eq!(failure, Failure { result, errno }, "{kind:?} {outcome:?}");
        }
        let of_server = Failure::from(Error::from_server(3, "etcdserver: duplicate key given"));
        assert_eq!(of_server, Failure { result: ETCD_PROTOCOL_ERROR, errno: libc::EINVAL });
    }
}
