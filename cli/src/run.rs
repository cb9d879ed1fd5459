//! `lock NAME -- COMMAND`: a command that runs while the lock is held, and is ended when it is lost; leadership, too.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use etcd::Error;
use etcd::classic::Session;
use etcd::model::quote;
use etcd::recipes::lock::contender::{Contender, Wanted};
use etcd::recipes::lock::who;

use crate::args::LockArgs;
use crate::contend::{Event, Events, contend};
use crate::failure::{Cause, Failure, located, report};
use crate::keys::stored;
use crate::lock::ended_by;
use crate::sys;

/// What a command gets between SIGTERM and SIGKILL when its lock is lost.
const GRACE: Duration = Duration::from_secs(2);

/// What is held while a command runs.
struct Held<'a> {
    /// For messages.
    what: &'a str,
    /// Whether it is, for sure.
    is_held: &'a dyn Fn() -> bool,
}

/// Waits for the lock, runs the command and releases the lock. The result is the command's exit code.
pub fn run(session: &Session, given: LockArgs) -> Result<u8, Failure> {
    let until = given.deadline();
    let name = stored(session, given.name, false)?;
    let mut command = Command::new(&given.command[0]);
    command.args(&given.command[1..]);
    let join = given.join.is_some();
    let own = || format!("{} {}", who(), given.command[0].display()).into_bytes();
    let value = given.join.map_or_else(own, OsString::into_vec);
    let what = format!("lock {}", quote(&name));
    let wanted = Wanted { name, ttl: given.ttl.into(), value, until };
    contend(session, wanted, join, |contender, events| run_under(session, command, &what, contender, events))
}

/// Runs the command under what is held, which is called so.
pub fn run_under(
    session: &Session,
    mut command: Command,
    what: &str,
    contender: &Contender,
    events: &Events,
) -> Result<u8, Failure> {
    set_environment(&mut command, &contender.key(), contender.token());
    sys::prepare(&mut command, events.mask);
    let is_held = || contender.remaining().is_some();
    run_while_held(session, &mut command, &Held { what, is_held: &is_held }, &events.receiver)
}

/// What the command needs for guarding its own writes: they shall apply only while this key has this
/// creation revision.
fn set_environment(command: &mut Command, key: &[u8], token: i64) {
    command.env("ETCD_LOCK_KEY", OsStr::from_bytes(key));
    // Two names for one number: etcdctl's, and what it is for.
    command.env("ETCD_LOCK_REV", token.to_string());
    command.env("ETCD_LOCK_TOKEN", token.to_string());
}

/// Runs the command, unless a signal came before. The result is its exit code.
fn run_while_held(
    session: &Session,
    command: &mut Command,
    held: &Held,
    events: &Receiver<Event>,
) -> Result<u8, Failure> {
    if let Some(number) = ended_by(events) {
        return Err(Failure::silent(Cause::Signal(number)));
    }
    if !(held.is_held)() {
        // This machine slept, or the process was stopped, since it was acquired.
        return Err(Failure::new(
            Cause::Lost,
            format!("{} was lost before the command was started", held.what),
        ));
    }
    let mut child = command.spawn().map_err(|error| {
        let program = quote(command.get_program().as_bytes());
        Failure::new(Cause::NotStarted, format!("start {program}: {error}"))
    })?;
    let status = watch_over(session, &mut child, held, events)?;
    if !(held.is_held)() {
        return Err(Failure::new(Cause::Lost, format!("{} was lost while the command ran", held.what)));
    }
    Ok(exit_code(status))
}

/// Waits for the command's end, passes signals on to it, and ends it when the lock is lost.
fn watch_over(
    session: &Session,
    child: &mut Child,
    held: &Held,
    events: &Receiver<Event>,
) -> Result<ExitStatus, Failure> {
    let mut kill_at: Option<Instant> = None;
    let mut lost = false;
    loop {
        let patience = kill_at.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        match events.recv_timeout(patience) {
            Ok(Event::Signal(signal)) if signal.number == libc::SIGCHLD => match child.try_wait() {
                Ok(None) => {}
                Ok(Some(_)) if lost => return Err(Failure::silent(Cause::Lost)),
                Ok(Some(status)) => return Ok(status),
                Err(error) => {
                    return Err(Failure::new(Cause::Internal, format!("wait for the command: {error}")));
                }
            },
            // One from the keyboard has reached the command already: the terminal sends it to both.
            Ok(Event::Signal(signal)) if signal.from_process => sys::send_signal(child, signal.number),
            Ok(Event::Signal(_) | Event::Acquired | Event::Released) => {}
            Ok(Event::Lost(error)) => {
                tell_loss(session, held, error);
                sys::send_signal(child, libc::SIGTERM);
                lost = true;
                kill_at = Some(Instant::now() + GRACE);
            }
            Err(RecvTimeoutError::Timeout) => {
                sys::send_signal(child, libc::SIGKILL);
                kill_at = None;
            }
            // The listening thread never ends while this one runs.
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new(Cause::Internal, "the thread that waits for signals has ended"));
            }
        }
    }
}

fn tell_loss(session: &Session, held: &Held, error: Error) {
    let error = located(session, error).during(format!("hold {}", held.what));
    report(&format!("{error}; ending the command"));
}

/// The command's own code, or the shell's convention for one that a signal ended.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(crate::failure::INTERNAL)
}
