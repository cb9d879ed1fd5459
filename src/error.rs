//! What went wrong, where, whether a write may have happened, and what to do next.

use std::fmt;

/// The kind of an error. The numbers are part of the C ABI: never changed, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ErrorKind {
    /// An argument, option or request that can't be right.
    InvalidArgument = 10,
    /// The client was closed.
    Closed = 11,
    /// The caller ended it.
    Canceled = 12,
    /// No answer in time.
    Timeout = 13,
    /// Not built into this library, or not offered by this server.
    Unsupported = 14,
    /// This process was forked from the one that opened it.
    Forked = 15,
    /// A bug in this library.
    Panic = 16,
    /// Out of memory, threads or file descriptors.
    NoResource = 17,
    /// No server could be reached, or none can serve at the moment.
    Unavailable = 30,
    /// TLS failed: one side does not trust the other.
    Tls = 31,
    /// Something answered, but not as etcd does.
    BadReply = 32,
    /// What answers there is not the cluster, or not the history, that this client knew.
    OtherCluster = 33,
    /// The asked history has been compacted away.
    Compacted = 50,
    /// The asked revision does not exist yet.
    FutureRevision = 51,
    /// Wrong or missing credentials.
    Unauthenticated = 52,
    /// The user may not do this.
    PermissionDenied = 53,
    /// The request is over the server's size limit.
    TooLarge = 54,
    /// The server's database is full.
    NoSpace = 55,
    /// The lease does not exist, or not any more.
    LeaseNotFound = 56,
    /// The server asks to slow down.
    TooManyRequests = 57,
    /// The server refused for another reason; its text says which.
    Refused = 58,
    /// There is no such key, where one was needed.
    KeyNotFound = 70,
    /// A condition did not hold.
    CompareFailed = 71,
    /// A lock or leadership was lost.
    Lost = 72,
    /// Nobody holds the lock with this index or token.
    NotHeld = 73,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: &[ErrorKind] = &[
        ErrorKind::InvalidArgument,
        ErrorKind::Closed,
        ErrorKind::Canceled,
        ErrorKind::Timeout,
        ErrorKind::Unsupported,
        ErrorKind::Forked,
        ErrorKind::Panic,
        ErrorKind::NoResource,
        ErrorKind::Unavailable,
        ErrorKind::Tls,
        ErrorKind::BadReply,
        ErrorKind::OtherCluster,
        ErrorKind::Compacted,
        ErrorKind::FutureRevision,
        ErrorKind::Unauthenticated,
        ErrorKind::PermissionDenied,
        ErrorKind::TooLarge,
        ErrorKind::NoSpace,
        ErrorKind::LeaseNotFound,
        ErrorKind::TooManyRequests,
        ErrorKind::Refused,
        ErrorKind::KeyNotFound,
        ErrorKind::CompareFailed,
        ErrorKind::Lost,
        ErrorKind::NotHeld,
    ];
}

/// What is known of a failed request's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It never left this machine, or it only read: it had no effect.
    NotSent,
    /// A server answered with a refusal: it had no effect.
    Refused,
    /// It was sent and not properly answered: it may have had its effect, or have it later.
    Unknown,
}

/// An error; prints as one line that names the operation, the endpoint, the fault and the next step.
#[derive(Clone)]
pub struct Error(Box<Parts>);

#[derive(Clone)]
struct Parts {
    kind: ErrorKind,
    outcome: Outcome,
    fault: String,
    operation: Option<String>,
    endpoint: Option<String>,
    advice: Option<&'static str>,
    server_code: i32,
    os_error: Option<i32>,
    compact_revision: Option<i64>,
    for_good: bool,
}

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A local fault: nothing was sent.
    pub fn new(kind: ErrorKind, fault: impl Into<String>) -> Self {
        Error(Box::new(Parts {
            kind,
            outcome: Outcome::NotSent,
            fault: fault.into(),
            operation: None,
            endpoint: None,
            advice: None,
            server_code: 0,
            os_error: None,
            compact_revision: None,
            for_good: false,
        }))
    }

    /// Shorthand for a bad argument.
    pub fn invalid(fault: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, fault)
    }

    /// The client was closed.
    pub fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the session was closed")
    }

    /// The caller ended it.
    pub fn canceled() -> Self {
        Self::new(ErrorKind::Canceled, "it was canceled")
    }

    /// Not the client was closed: the caller ended it.
    pub(crate) fn becomes_canceled(mut self) -> Self {
        let canceled = Self::canceled();
        (self.0.kind, self.0.fault) = (canceled.0.kind, canceled.0.fault);
        self
    }

    /// What a server answered: a gRPC status code with its text. This table is the one place that knows them.
    pub fn from_server(code: i32, text: &str) -> Self {
        use ErrorKind::*;
        let has = |part: &str| text.contains(part);
        let (kind, outcome) = match code {
            3 if has("request is too large") => (TooLarge, Outcome::Refused),
            3 if has("authentication failed") || has("auth store is old") || has("user name is empty") => {
                (Unauthenticated, Outcome::Refused)
            }
            3 if has("key not found") => (KeyNotFound, Outcome::Refused),
            3 => (InvalidArgument, Outcome::Refused),
            4 => (Timeout, Outcome::Unknown),
            5 if has("lease not found") => (LeaseNotFound, Outcome::Refused),
            7 => (PermissionDenied, Outcome::Refused),
            // The first requests over the quota are done all the same.
            8 if has("space exceeded") => (NoSpace, Outcome::Unknown),
            8 if has("too many requests") => (TooManyRequests, Outcome::Refused),
            // The limit of the 3.3 gateway for the answers that it reads: what was asked for is done.
            8 if has("vs. 4194304") => (TooLarge, Outcome::Unknown),
            8 => (TooLarge, Outcome::Refused),
            // Other members can serve. Asked before anything is done.
            9 | 14 if has("not supported for learner") => (Unavailable, Outcome::Refused),
            11 if has("compacted") => (Compacted, Outcome::Refused),
            11 if has("future revision") => (FutureRevision, Outcome::Refused),
            11 => (InvalidArgument, Outcome::Refused),
            12 => (Unsupported, Outcome::Refused),
            // Asked before the request reaches the log, so it surely was not applied.
            14 if has("no leader") => (Unavailable, Outcome::Refused),
            14 if has("timed out") => (Timeout, Outcome::Unknown),
            // The server gave up in the middle: 1 is "canceled", 13 "internal".
            1 | 13 | 14 => (Unavailable, Outcome::Unknown),
            15 if has("corrupt cluster") => (Refused, Outcome::Refused),
            16 => (Unauthenticated, Outcome::Refused),
            // While leadership is handed over; nothing was appended to the log.
            2 if has("proposal dropped") => (Unavailable, Outcome::Refused),
            // As etcd 3.3 says it, without its code. It is looked at before anything is done.
            2 if has("revision in header is old") => (Unauthenticated, Outcome::Refused),
            // Codes 2 (unknown), 10 (aborted) and 15 (data loss) say nothing about the effect.
            2 | 10 | 15 => (Refused, Outcome::Unknown),
            _ => (Refused, Outcome::Refused),
        };
        // Whatever a server writes, an error stays one line. The reason why a watch ended is an error of Go's as text.
        let text = match text.strip_prefix("rpc error: ").and_then(|error| error.split_once("desc = ")) {
            Some((_, text)) => text,
            None => text,
        };
        let mut error = Self::new(kind, text.trim().replace(char::is_control, " "));
        error.0.outcome = outcome;
        error.0.server_code = code;
        error
    }

    /// Says what was being done. The last word counts: the layer next to the user knows best.
    pub fn during(mut self, operation: impl Into<String>) -> Self {
        self.0.operation = Some(operation.into());
        self
    }

    /// Says where. The first word counts: the layer next to the server knows best.
    pub fn at(mut self, endpoint: impl Into<String>) -> Self {
        self.0.endpoint.get_or_insert(endpoint.into());
        self
    }

    /// Says what is known of the effect.
    pub fn outcome_is(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Says what to do next, where the kind alone does not.
    pub fn advise(mut self, advice: &'static str) -> Self {
        self.0.advice = Some(advice);
        self
    }

    /// Says that asking again gets nobody any further, although the kind alone does not.
    pub fn for_good(mut self) -> Self {
        self.0.for_good = true;
        self
    }

    /// Adds to the fault.
    pub fn also(mut self, text: &str) -> Self {
        self.0.fault = format!("{}; {text}", self.0.fault);
        self
    }

    /// Says from which revision on history is kept.
    pub fn compacted_at(mut self, revision: i64) -> Self {
        self.0.compact_revision = Some(revision);
        self.also(&format!("the oldest kept is {revision}"))
    }

    /// Keeps the operating system's number.
    pub fn caused_by(mut self, error: &std::io::Error) -> Self {
        self.0.os_error = error.raw_os_error();
        self
    }

    /// Says which of the operating system's numbers fits best.
    pub fn os_error_is(mut self, number: i32) -> Self {
        self.0.os_error = Some(number);
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What is known of the request's effect.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// The fault alone, without operation, endpoint and advice.
    pub fn fault(&self) -> &str {
        &self.0.fault
    }

    /// The endpoint involved, if any.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// The server's gRPC status code, 0 when the error is local.
    pub fn server_code(&self) -> i32 {
        self.0.server_code
    }

    /// The operating system's error number, where it caused this.
    pub fn os_error(&self) -> Option<i32> {
        self.0.os_error
    }

    /// Of `Compacted`: the oldest revision that is still kept, where the server says it.
    pub fn compact_revision(&self) -> Option<i64> {
        self.0.compact_revision
    }

    /// Whether asking again gets nobody any further.
    pub fn is_for_good(&self) -> bool {
        self.0.for_good
    }

    fn is_about(&self, words: &str) -> bool {
        self.0.fault.contains(words)
    }

    fn advice(&self) -> Option<&'static str> {
        self.0.advice.or(match self.0.kind {
            ErrorKind::Unavailable => Some("is etcd running there?"),
            ErrorKind::Timeout => Some("is the server overloaded or unreachable?"),
            ErrorKind::Tls => Some("check ca_file, cert_file, key_file and server_name"),
            ErrorKind::BadReply => Some("is this an etcd client URL?"),
            ErrorKind::OtherCluster => Some(
                "was it replaced or restored from a backup? What was read before may not be true any more",
            ),
            ErrorKind::Unauthenticated if self.is_about("invalid auth token") => {
                Some("is the token over, or of another cluster? Then it has to be got anew")
            }
            ErrorKind::Unauthenticated => Some("check user and password"),
            ErrorKind::PermissionDenied => Some("grant it to a role of this user, or be another user"),
            ErrorKind::Compacted => Some("read the keys again and watch from the revision of that read"),
            ErrorKind::FutureRevision => Some("ask for a revision that a reply has told, or for none"),
            ErrorKind::LeaseNotFound => Some("it ran out or was revoked: grant another one"),
            ErrorKind::CompareFailed => Some("read the key and decide again"),
            ErrorKind::InvalidArgument if self.is_about("too many operations") => {
                Some("make several transactions, or raise --max-txn-ops on the server")
            }
            ErrorKind::InvalidArgument if self.is_about("duplicate key") => {
                Some("a transaction may change each key once")
            }
            ErrorKind::TooLarge => Some("raise --max-request-bytes on the server or send less"),
            ErrorKind::NoSpace => Some("compact, defragment and disarm the alarm, or raise the quota"),
            ErrorKind::TooManyRequests => Some("try again later"),
            ErrorKind::Panic => Some("please report this"),
            _ => None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &self.0;
        if let Some(operation) = &parts.operation {
            write!(f, "{operation}")?;
        }
        if let Some(endpoint) = &parts.endpoint {
            write!(f, "{}at {endpoint}", if parts.operation.is_some() { " " } else { "" })?;
        }
        let place = parts.operation.is_some() || parts.endpoint.is_some();
        write!(f, "{}{}", if place { ": " } else { "" }, parts.fault)?;
        if parts.outcome == Outcome::Unknown {
            write!(f, "; it was sent and may have taken effect")?;
        }
        self.advice().map_or(Ok(()), |advice| write!(f, " ({advice})"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error {{ {:?}, {:?}, {self} }}", self.0.kind, self.0.outcome)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_errors_are_told_apart_by_code_and_text() {
        use ErrorKind::*;
        use Outcome::{Refused as No, Unknown};
        let table = [
            (3, "etcdserver: request is too large", TooLarge, No),
            (3, "etcdserver: key is not provided", InvalidArgument, No),
            (3, "etcdserver: user name is empty", Unauthenticated, No),
            (4, "context deadline exceeded", Timeout, Unknown),
            (5, "etcdserver: requested lease not found", LeaseNotFound, No),
            (7, "etcdserver: permission denied", PermissionDenied, No),
            (8, "etcdserver: mvcc: database space exceeded", NoSpace, Unknown),
            (8, "grpc: received message larger than max (6291593 vs. 4194304)", TooLarge, Unknown),
            (8, "grpc: received message larger than max (3000000 vs. 2097152)", TooLarge, No),
            (2, "raft proposal dropped", Unavailable, No),
            (2, "auth: revision in header is old", Unauthenticated, No),
            (8, "etcdserver: too many requests", TooManyRequests, No),
            (9, "etcdserver: lease already exists", Refused, No),
            (11, "etcdserver: mvcc: required revision has been compacted", Compacted, No),
            (11, "etcdserver: mvcc: required revision is a future revision", FutureRevision, No),
            (11, "etcdserver: too large lease TTL", InvalidArgument, No),
            (3, "etcdserver: key not found", KeyNotFound, No),
            (9, "etcdserver: rpc not supported for learner", Unavailable, No),
            (14, "etcdserver: rpc not supported for learner", Unavailable, No),
            (14, "etcdserver: no leader", Unavailable, No),
            (14, "etcdserver: leader changed", Unavailable, Unknown),
            (14, "etcdserver: request timed out", Timeout, Unknown),
            (16, "etcdserver: invalid auth token", Unauthenticated, No),
            (1, "etcdserver: watch canceled", Unavailable, Unknown),
            (13, "stream terminated", Unavailable, Unknown),
            (2, "anything", Refused, Unknown),
            (15, "etcdserver: corrupt cluster", Refused, No),
            (15, "anything", Refused, Unknown),
        ];
        for (code, text, kind, outcome) in table {
            let error = Error::from_server(code, text);
            assert_eq!((error.kind(), error.outcome()), (kind, outcome), "{code} {text}");
            assert_eq!(error.server_code(), code);
        }
    }

    #[test]
    fn an_error_is_one_line_that_says_what_where_why_and_what_next() {
        let error = Error::new(ErrorKind::Unavailable, "connection refused")
            .during("read \"foo\"")
            .at("http://127.0.0.1:1");
        assert_eq!(
            error.to_string(),
            "read \"foo\" at http://127.0.0.1:1: connection refused (is etcd running there?)"
        );
        let of_server = Error::from_server(2, "two\nlines, one \x1b[31mred\r\n");
        assert_eq!(of_server.fault(), "two lines, one  [31mred");
        let of_watch = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert_eq!(Error::from_server(7, of_watch).fault(), "etcdserver: permission denied");
        let unknown = Error::new(ErrorKind::Timeout, "no answer").outcome_is(Outcome::Unknown);
        assert!(unknown.to_string().starts_with("no answer; it was sent and may have taken effect"));
    }
}
