//! lock without a command, renew, unlock; and signals, which end a wait.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use etcd::classic::Session;
use etcd::recipes::lock::{Place, leave};
use etcd::wait::{self, Deadline};
use etcd::{Client, Error, ErrorKind};
use serde_json::json;

use crate::args::LockArgs;
use crate::contend::Event;
use crate::failure::{Cause, Failure};
use crate::output::{Format, bytes_object, print, print_json};
use crate::sys::{self, SignalMask};

/// Takes the lock and prints its index, or renews it.
pub fn lock(session: &Session, format: Format, given: LockArgs) -> Result<(), Failure> {
    let deadline = given.deadline();
    let name = given.name.into_vec();
    if let Some(index) = given.index {
        let index = index.into_vec();
        let renewed = session.renew(&name, given.ttl, &index);
        renewed.map_err(|error| Failure::of(session, error))?;
        return print_index(format, &index);
    }
    let place = wait_for(session, || session.lock(&name, given.ttl, deadline), deadline)?;
    let printed = match format {
        Format::Json => {
            let mut document = bytes_object("key", &place.key);
            document.insert("index".into(), json!(place.token.to_string()));
            print_json(&document.into())
        }
        _ => print(format!("{}\n", place.token).as_bytes()),
    };
    if printed.is_err() {
        // Nobody knows the index: nobody could release it.
        give_back(session, &place);
    }
    printed
}

/// Releases the lock, or takes the index out of the queue.
pub fn unlock(session: &Session, format: Format, name: OsString, index: OsString) -> Result<(), Failure> {
    let index = index.into_vec();
    let released = session.unlock(&name.into_vec(), &index);
    released.map_err(|error| Failure::of(session, error))?;
    print_index(format, &index)
}

/// For JSON alone: who reads plain output has the index.
fn print_index(format: Format, index: &[u8]) -> Result<(), Failure> {
    if format == Format::Json { print_json(&bytes_object("index", index).into()) } else { Ok(()) }
}

/// Runs `acquire`, which waits for a lock. A signal ends the wait and takes it out of the queue.
fn wait_for(
    session: &Session,
    acquire: impl FnOnce() -> etcd::Result<Place>,
    deadline: Deadline,
) -> Result<Place, Failure> {
    let (sender, receiver) = mpsc::channel();
    let waiting = Arc::new(Mutex::new(Some(session.client().clone())));
    listen(waiting.clone(), sender)?;
    let result = acquire();
    // From here on no signal closes the client. One that came before is in the channel.
    wait::lock(&waiting).take();
    if let Some(number) = ended_by(&receiver) {
        if let Ok(place) = result {
            give_back(session, &place);
        }
        return Err(Failure::silent(Cause::Signal(number)));
    }
    result.map_err(|error| not_acquired(session, error, deadline))
}

/// Makes events of signals, which close the client that waits, if one does.
pub fn listen(waiting: Arc<Mutex<Option<Client>>>, events: Sender<Event>) -> Result<SignalMask, Failure> {
    let listening = sys::listen(move |signal| {
        // Told before it acts, so that whoever finds the client closed finds the reason, too. Nobody listens
        // any more when the program is about to end.
        let _ = events.send(Event::Signal(signal));
        if signal.number != libc::SIGCHLD
            && let Some(client) = wait::lock(&waiting).take()
        {
            client.close();
        }
    });
    listening
        .map_err(|error| Failure::new(Cause::Internal, format!("no thread to wait for signals: {error}")))
}

/// The signal that asked to end, if one came.
pub fn ended_by(events: &Receiver<Event>) -> Option<i32> {
    let number = |event| match event {
        Event::Signal(signal) => Some(signal.number).filter(|&number| number != libc::SIGCHLD),
        Event::Acquired | Event::Lost(_) | Event::Released => None,
    };
    events.try_iter().find_map(number)
}

/// Why a lock or leadership was not acquired: the time is over, or something failed.
pub fn not_acquired(session: &Session, error: Error, deadline: Deadline) -> Failure {
    // A server that does not answer in time is another matter: such an error names its endpoint.
    let over = error.kind() == ErrorKind::Timeout && error.endpoint().is_none() && deadline.passed();
    if !over {
        return Failure::of(session, error);
    }
    Failure::new(Cause::WaitOver, error.at(&session.client().options().endpoints).to_string())
}

/// Releases what was acquired after all. Works on a closed client, too.
fn give_back(session: &Session, place: &Place) {
    // Without an answer the lock ends with its lease.
    let _ = leave(session.client(), place);
}
