//! elect and observe: leadership for a command or until a signal comes; and who leads.

use std::os::unix::ffi::OsStringExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use etcd::classic::Session;
use etcd::model::{KeyValue, quote};
use etcd::recipes::election::{Audience, Observer};
use etcd::recipes::lock::contender::{Contender, Wanted};
use serde_json::json;

use crate::args::ElectArgs;
use crate::contend::{Event, contend};
use crate::failure::{Cause, Failure, located};
use crate::keys::stored;
use crate::output::{Format, key_line, key_object, print, print_json};
use crate::run::run_under;
use crate::sys;

/// Campaigns, and leads while the command runs, or until a signal comes. The result is the exit code.
pub fn elect(session: &Session, format: Format, given: ElectArgs) -> Result<u8, Failure> {
    let until = given.deadline();
    let name = stored(session, given.name, false)?;
    let (ttl, value) = (i64::from(given.ttl), given.value.into_vec());
    let wanted = Wanted { name: name.clone(), ttl, value: value.clone(), until };
    contend(session, wanted, given.join, |contender, events| match given.command.split_first() {
        None => lead(session, format, contender, value, &events.receiver).map(|()| 0),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            run_under(session, command, &format!("the leadership of {}", quote(&name)), contender, events)
        }
    })
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
type Word = etcd::Result<(i64, Option<KeyValue>)>;

struct Heard(Sender<Word>);

impl Audience for Heard {
    fn leader(&self, revision: i64, leader: Option<&KeyValue>) {
        let _ = self.0.send(Ok((revision, leader.cloned())));
    }

    fn ended(&self, error: etcd::Error) {
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
