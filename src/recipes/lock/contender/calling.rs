//! The calls of a thread that waits for a contender: it makes them itself, so that nobody has to be woken for the answers.

use std::cell::RefCell;
use std::sync::Arc;

use super::Inner;
use crate::client::{Client, Done};
use crate::error::Result;
use crate::model::{Repeat, Reply, Request};
use crate::wait::{Cancel, Deadline};

thread_local! {
    /// Whose calls this thread makes, when it makes none.
    static CALLER: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

struct Caller {
    /// Compared only.
    contender: *const Inner,
    deadline: Deadline,
    cancel: Cancel,
}

/// Ends it, whatever happens.
struct Calling;

impl Drop for Calling {
    fn drop(&mut self) {
        replace(None);
    }
}

/// A thread that ends has none any more, while locks that end with it are released.
fn replace(caller: Option<Caller>) -> Option<Caller> {
    CALLER.try_with(|place| place.replace(caller)).ok().flatten()
}

impl Inner {
    /// Takes steps whose calls are made by this thread, within the deadline and the client's timeout for each.
    pub(super) fn calling(self: &Arc<Self>, deadline: Deadline, cancel: &Cancel, steps: impl FnOnce()) {
        replace(Some(Caller { contender: Arc::as_ptr(self), deadline, cancel: cancel.clone() }));
        let _calling = Calling;
        steps();
    }

    /// Makes a call of the lock's own, which may be made more than once.
    pub(super) fn call(self: &Arc<Self>, request: Arc<Request>, done: Done) {
        // Not there during the call: what else the thread comes to do then must not wait.
        match replace(None) {
            Some(caller) if std::ptr::eq(caller.contender, Arc::as_ptr(self)) => {
                let reply = caller.make(&self.client, &request);
                replace(Some(caller));
                done(reply);
            }
            other => {
                replace(other);
                self.client.submit_as(request, Repeat::Harmless, Deadline::NEVER, done);
            }
        }
    }
}

impl Caller {
    fn make(&self, client: &Client, request: &Request) -> Result<Reply> {
        client.look_in(&client.context_for(self.deadline, &self.cancel), request, Repeat::Harmless)
    }
}
