//! Wanting a lock or a leadership, and holding it while something is done.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use etcd::classic::Session;
use etcd::recipes::lock::contender::{Contender, Ended, Owner, Wanted};
use etcd::wait::Deadline;
use etcd::{Client, Error};

use crate::failure::{Cause, Failure, report};
use crate::lock::{listen, not_acquired};
use crate::sys::{Signal, SignalMask};

/// How long the lease's end is waited for, which nobody needs: it would end by itself.
const PARTING: Duration = Duration::from_secs(1);

/// What can happen while a lock is waited for or held.
pub enum Event {
    /// A signal came, SIGCHLD among them.
    Signal(Signal),
    /// The lock or leadership was won.
    Acquired,
    /// It was lost, or never held.
    Lost(Error),
    /// It was given up.
    Released,
}

/// Where events come from while it is held, and how signals were treated before.
pub struct Events {
    pub receiver: Receiver<Event>,
    pub mask: SignalMask,
}

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

/// Waits for what is wanted, in the place that has its value if it may `join`, and holds it during `work`. The result is
/// the exit code.
pub fn contend(
    session: &Session,
    wanted: Wanted,
    join: bool,
    work: impl FnOnce(&Contender, &Events) -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    let (until, client) = (wanted.until, session.client());
    let (sender, receiver) = mpsc::channel();
    let mask = listen(Arc::default(), sender.clone())?;
    let events = Events { receiver, mask };
    let begin = if join { Contender::joining } else { Contender::new };
    let contender = begin(client, wanted, Arc::new(Told(sender)));
    let ended = wait(session, &contender, &events.receiver, until).and_then(|()| {
        let ended = work(&contender, &events);
        // What is lost is not ours to release any more, and asking could take long.
        if !matches!(&ended, Err(failure) if failure.cause == Cause::Lost) {
            resign(client, &contender, &events.receiver);
        }
        ended
    });
    // Ends the lease, too.
    let _ = client.shut_down(Deadline::after(PARTING));
    ended
}

/// Until it is held. A signal ends that, and its place in the queue goes first.
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
