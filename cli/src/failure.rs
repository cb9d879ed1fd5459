//! What went wrong, as one line on standard error and an exit code.

use std::io::{self, Write};

use etcd::classic::Session;
use etcd::{Error, ErrorKind, Outcome};

use crate::style;

/// Exit code of a fault of this program itself, while a command runs under a lock or after a panic.
pub const INTERNAL: u8 = 125;

/// Why a command ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Arguments, options or environment can't be right.
    Usage,
    /// etcd could not be asked, or refused.
    Etcd,
    /// The lock was lost while the command ran.
    Lost,
    /// The time given for waiting is over.
    WaitOver,
    /// The command could not be started.
    NotStarted,
    /// This program or its machine failed.
    Internal,
    /// A signal ended the wait.
    Signal(i32),
    /// Nobody reads the output any more, as in `etcd-api watch KEY | head -1`. That is no failure.
    NoReader,
}

impl Cause {
    /// The exit code. Where a command runs under a lock, the low numbers are the command's.
    pub fn exit_code(self, with_command: bool) -> u8 {
        match self {
            Cause::NoReader => 0,
            Cause::Etcd => {
                if with_command {
                    120
                } else {
                    1
                }
            }
            Cause::Lost => 121,
            Cause::WaitOver => 122,
            Cause::Usage => {
                if with_command {
                    123
                } else {
                    2
                }
            }
            Cause::NotStarted => 124,
            Cause::Internal if with_command => INTERNAL,
            Cause::Internal => 1,
            Cause::Signal(number) => 128_u8.saturating_add(u8::try_from(number).unwrap_or(u8::MAX)),
        }
    }
}

/// A cause, and the line that tells of it; empty when there is nothing (more) to tell.
#[derive(Debug)]
pub struct Failure {
    pub cause: Cause,
    pub message: String,
}

impl Failure {
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Failure { cause, message: message.into() }
    }

    /// One that was told already, or that nobody needs to be told of.
    pub fn silent(cause: Cause) -> Self {
        Failure { cause, message: String::new() }
    }

    /// An error in what the user gave.
    pub fn usage(error: Error) -> Self {
        Failure::new(Cause::Usage, error.to_string())
    }

    /// An error of a call on this session.
    pub fn of(session: &Session, error: Error) -> Self {
        let cause = match (error.kind(), error.outcome()) {
            (ErrorKind::InvalidArgument, Outcome::NotSent) => Cause::Usage,
            (ErrorKind::NoResource | ErrorKind::Panic, _) => Cause::Internal,
            _ => Cause::Etcd,
        };
        Failure::new(cause, located(session, error).to_string())
    }
}

/// Says where, for a refusal that names no endpoint of its own.
pub fn located(session: &Session, error: Error) -> Error {
    match error.outcome() {
        Outcome::Refused => error.at(&session.client().options().endpoints),
        _ => error,
    }
}

/// One line on standard error. Whether somebody reads it is not this program's business.
pub fn report(message: &str) {
    let mut line = style::paint(style::ERROR, b"etcd-api:", &io::stderr());
    line.extend(format!(" {message}\n").bytes());
    let _ = io::stderr().write_all(&line);
}
