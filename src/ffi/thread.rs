//! What ends with a thread of the host's. Its comments are the header's.
#![allow(clippy::missing_safety_doc)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::client::client;
use super::guard::unregister;
use super::hold::free_holds;
use super::queue::{etcd_queue, etcd_queue_free, queue};
use super::status::{etcd_status, get, run_plain};
use super::types::etcd_client;
use crate::classic::Session;
use crate::sys;
use crate::wait::Deadline;

/// How long servers may take to be told of the end.
const PARTING: Duration = Duration::from_secs(5);

/// The queues and clients that end with a thread.
#[derive(Default)]
struct Owned {
    queues: BTreeSet<usize>,
    clients: BTreeSet<usize>,
    /// How many there may be until those are forgotten that were freed.
    many: usize,
}

impl Owned {
    fn add(&mut self, client: usize, queue: usize) {
        self.clients.insert(client);
        self.queues.insert(queue);
        if self.clients.len() + self.queues.len() > self.many {
            self.clients.retain(|&client| self::client(client as *mut _).is_ok());
            self.queues.retain(|&queue| self::queue(queue as *const _).is_ok());
            self.many = 2 * (self.clients.len() + self.queues.len()) + 16;
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        for &queue in &self.queues {
            // SAFETY: one that was freed already is found out.
            unsafe { etcd_queue_free(queue as *mut _) };
        }
        let sessions = self.clients.iter().filter_map(|&client| unregister(client as *mut _)).collect();
        get((), || {
            part(sessions);
            Ok(())
        });
    }
}

/// Closes them in the background.
fn part(sessions: Vec<Arc<Session>>) {
    if sessions.is_empty() {
        return;
    }
    sessions.iter().for_each(|session| free_holds(session.client()));
    let close = move || {
        let deadline = Deadline::after(PARTING);
        for session in sessions {
            let _ = session.client().shut_down(deadline);
        }
    };
    // Without a thread they are closed by being dropped.
    let _ = sys::spawn("etcd-parting", close);
}

thread_local! {
    static OWNED: RefCell<Owned> = RefCell::default();
}

/// Ends a queue, its client and the client's holds when the calling thread ends, unless they were freed before: the queue
/// and the holds as by etcd_queue_free() and etcd_hold_free(), the client as by etcd_client_close(), in the background,
/// within 5 seconds. For hosts that end a thread without a word to the program that runs in it (Node's
/// `worker.terminate()`).
///
/// client, queue: of several queues with the same client, each is given.
/// Does not block. The thread in question. On the main thread it is when the process exits, which is too late.
/// Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_free_with_thread(
    client: *mut etcd_client,
    queue: *mut etcd_queue,
) -> etcd_status {
    run_plain(|| {
        self::client(client)?;
        self::queue(queue)?;
        OWNED.with_borrow_mut(|owned| owned.add(client as usize, queue as usize));
        Ok(())
    })
}
