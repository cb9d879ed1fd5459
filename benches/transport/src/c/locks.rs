//! Locks as C programs take them.

use std::ptr;
use std::sync::Arc;

use etcd::ffi::hold::*;
use etcd::ffi::request::{ETCD_FIELD_TTL, etcd_request_set_int};

use super::{Client, Queue, Request, done};
use crate::Result;
use crate::cell::{Caller, Load};
use crate::slots::Pipe;

/// Seconds for which a lock outlives its holder: longer than anything here takes.
pub const TTL: i64 = 60;

/// The request for a lock.
pub fn wanted(name: &str) -> Request {
    // SAFETY: bytes as long as said, and a request that nobody else uses.
    unsafe {
        let request = Request(etcd_request_lock(name.as_ptr(), name.len()));
        etcd_request_set_int(request.0, ETCD_FIELD_TTL, TTL);
        request
    }
}

/// What is held.
pub struct Hold(*mut etcd_hold);

impl Hold {
    fn acquire(client: &Client, name: &str) -> Result<Self> {
        let (mut hold, none) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: an open client, a request, a place for the hold.
        let acquired =
            unsafe { etcd_acquire(client.0, wanted(name).0, -1, none, &mut hold, ptr::null_mut()) };
        done("etcd_acquire", acquired).map(|()| Hold(hold))
    }

    /// What is held by this tag now.
    pub fn take(queue: &Queue, tag: u64) -> Result<Self> {
        let mut hold = ptr::null_mut();
        // SAFETY: a queue, a place for the hold.
        done("etcd_queue_take_hold", unsafe { etcd_queue_take_hold(queue.queue, tag, &mut hold) })?;
        Ok(Hold(hold))
    }

    pub fn release(&self) -> Request {
        // SAFETY: a hold.
        Request(unsafe { etcd_request_release(self.0) })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { etcd_hold_free(self.0) }
    }
}

/// A thread that waits for what it does.
pub struct Called {
    pub client: Arc<Client>,
    pub load: Arc<Load>,
    pub thread: usize,
}

impl Caller for Called {
    fn call(&mut self, _: usize) -> Result<()> {
        let hold = Hold::acquire(&self.client, self.load.lock(self.thread))?;
        hold.release().call(&self.client).map(drop)
    }
}

/// One thread and a completion queue. A slot's lock has an odd tag, its release the next one.
pub struct Queued {
    queue: Queue,
    load: Arc<Load>,
    holds: Vec<Option<Hold>>,
}

impl Queued {
    pub fn new(queue: Queue, load: Arc<Load>, slots: usize) -> Self {
        Queued { queue, load, holds: (0..slots).map(|_| None).collect() }
    }
}

impl Pipe for Queued {
    /// It is held; it is released; the lock's own end. The last two come in any order.
    fn steps(&self) -> usize {
        3
    }

    fn send(&mut self, slot: usize, _: usize, step: usize) -> Result<()> {
        let tag = 2 * slot as u64 + 1;
        match step {
            0 => self.queue.submit(&wanted(self.load.lock(slot)), tag),
            1 => {
                let hold = self.holds[slot].insert(Hold::take(&self.queue, tag)?);
                self.queue.submit(&hold.release(), tag + 1)
            }
            _ => Ok(()),
        }
    }

    fn receive(&mut self) -> Result<usize> {
        Ok((self.queue.next()?.tag() as usize - 1) / 2)
    }
}
