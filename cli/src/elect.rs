//! elect and observe: leadership for a command or until a signal comes; and who leads.

use std::os::unix::ffi::OsStringExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use etcd::classic::Session;
use etcd::model::{KeyValue, quote};
use etcd::recipes::election::{Audience, Observer};
use etcd::recipes::lock::contender::{Contender, Ended, Owner, Wanted};
use etcd::wait::Deadline;
use etcd::{Client, Error};
use serde_json::json;

use crate::args::ElectArgs;
use crate::failure::{Cause, Failure, located, report};
use crate::keys::stored;
use crate::lock::{Event, listen, not_acquired};
use crate::output::{Format, key_line, key_object, print, print_json};
use crate::run::{Held, run_while_held, set_environment};
use crate::sys;

/// How long the lease's end is waited for, which nobody needs: it would end by itself.
const PARTING: Duration = Duration::from_secs(1);

/// Hands what becomes of a contender to the main thread.
struct Told(Sender<Event>);

impl Owner for Told {
    // Nobody listens any more when the program is about to end.
    fn acquired(&self, _: &Contender) {
        let _ = self.0.send(Event::Acquired);
    }

    fn ended(&self, how: Ended) {
        let _ = self.0.send(match how {
            Ended::Released(_) => Event::Released,
            Ended::Lost(error) | Ended::Failed(error) => Event::Lost(error),
        });
    }
}

/// Campaigns, and leads while the command runs, or until a signal comes. The result is the exit code.
pub fn elect(session: &Session, format: Format, given: ElectArgs) -> Result<u8, Failure> {
    let ended = campaign(session, format, given);
    // Ends the lease, too.
    let _ = session.client().shut_down(Deadline::after(PARTING));
    ended
}

fn campaign(session: &Session, format: Format, given: ElectArgs) -> Result<u8, Failure> {
    let until = given.deadline();
    let name = stored(session, given.name, false)?;
    let (sender, events) = mpsc::channel();
    let mask = listen(Arc::default(), sender.clone())?;
    let (ttl, value) = (i64::from(given.ttl), given.value.into_vec());
    let wanted = Wanted { name: name.clone(), ttl, value: value.clone(), until };
    let contender = Contender::new(session.client(), wanted, Arc::new(Told(sender)));
    wait(session, &contender, &events, until)?;
    let ended = match given.command.split_first() {
        None => lead(session, format, &contender, value, &events).map(|()| 0),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            set_environment(&mut command, &contender.key(), contender.token());
            sys::prepare(&mut command, mask);
            let is_held = || contender.remaining().is_some();
            let held = Held { what: format!("the leadership of {}", quote(&name)), is_held: &is_held };
            run_while_held(session, &mut command, &held, &events)
        }
    };
    if !matches!(&ended, Err(failure) if failure.cause == Cause::Lost) {
        resign(session.client(), &contender, &events);
    }
    ended
}

/// Until it leads. A signal ends that, and its place in the queue goes first.
fn wait(
    session: &Session,
    contender: &Contender,
    events: &Receiver<Event>,
    until: Deadline,
) -> Result<(), Failure> {
    for event in events {
        match event {
            Event::Acquired => return Ok(()),
            Event::Lost(error) => return Err(not_acquired(session, error, until)),
            Event::Signal(signal) if signal.number != libc::SIGCHLD => {
                resign(session.client(), contender, events);
                return Err(Failure::silent(Cause::Signal(signal.number)));
            }
            Event::Signal(_) | Event::Released => {}
        }
    }
    Err(Failure::new(Cause::Internal, "the thread that waits for signals has ended"))
}

/// Gives it up, held or not, and waits until that is done.
fn resign(client: &Client, contender: &Contender, events: &Receiver<Event>) {
    contender.cancel();
    let deadline = Deadline::after(client.options().request_timeout);
    while let Some(left) = deadline.remaining() {
        match events.recv_timeout(left) {
            Ok(Event::Lost(error)) if error.kind() != etcd::ErrorKind::Canceled => {
                return report(&format!("{error}; it ends by itself when its TTL is over"));
            }
            Ok(Event::Lost(_) | Event::Released) => return,
            Ok(_) => {}
            Err(_) => return report("no server has confirmed the end; it comes when the TTL is over"),
        }
    }
}

/// Tells that it leads, and does so until a signal comes.
fn lead(
    session: &Session,
    format: Format,
    contender: &Contender,
    value: Vec<u8>,
    events: &Receiver<Event>,
) -> Result<(), Failure> {
    let kv =
        KeyValue { key: contender.key(), value, create_revision: contender.token(), ..KeyValue::default() };
    match format {
        Format::Json => print_json(&key_object(&kv, true))?,
        _ => print(&key_line(&kv, true))?,
    }
    for event in events {
        match event {
            Event::Lost(error) => {
                return Err(Failure::new(Cause::Lost, located(session, error).to_string()));
            }
            Event::Signal(signal) if signal.number != libc::SIGCHLD => {
                return Err(Failure::silent(Cause::Signal(signal.number)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A leader, or that there is none, from a revision on; or why that can't be told any more.
type Word = Result<(i64, Option<KeyValue>), Error>;

struct Heard(Sender<Word>);

impl Audience for Heard {
    fn leader(&self, revision: i64, leader: Option<&KeyValue>) {
        let _ = self.0.send(Ok((revision, leader.cloned())));
    }

    fn ended(&self, error: Error) {
        let _ = self.0.send(Err(error));
    }
}

/// Prints each leader and each value proclaimed, until it is interrupted or nobody reads.
pub fn observe(session: &Session, format: Format, name: std::ffi::OsString) -> Result<(), Failure> {
    sys::when_output_has_no_reader(|| std::process::exit(0));
    let name = stored(session, name, false)?;
    let (sender, words) = mpsc::channel();
    let _observer = Observer::new(session.client(), &name, Arc::new(Heard(sender)));
    for word in words {
        let (revision, leader) = word.map_err(|error| Failure::of(session, error))?;
        match format {
            Format::Json => {
                let leader = leader.map(|kv| key_object(&kv, true));
                print_json(&json!({ "revision": revision, "leader": leader }))?;
            }
            _ => print(&line(revision, leader.as_ref()))?,
        }
    }
    Ok(())
}

/// `leader REVISION KEY VALUE`, or `nobody REVISION`.
fn line(revision: i64, leader: Option<&KeyValue>) -> Vec<u8> {
    match leader {
        Some(kv) => [format!("leader {revision} ").as_bytes(), &key_line(kv, true)].concat(),
        None => format!("nobody {revision}\n").into(),
    }
}
