//! Ends a request from another thread. ureq works on the calling thread and offers no handle to one request,
//! so each connection tells the request that uses it how to cut it.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, Weak};

use ureq::unversioned::transport::{Buffers, NextTimeout, ShutdownHandle, Transport};

use crate::wait::{Cancel, Listening, lock};

thread_local! {
    /// The request that this thread is busy with.
    static CURRENT: RefCell<Option<Arc<Request>>> = const { RefCell::new(None) };
}

/// What is known of a request's connection.
#[derive(Default)]
struct Request {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cut: bool,
    connection: Option<Weak<dyn ShutdownHandle>>,
}

impl Request {
    fn cut(&self) {
        let connection = {
            let mut state = lock(&self.state);
            state.cut = true;
            state.connection.as_ref().and_then(Weak::upgrade)
        };
        if let Some(connection) = connection {
            connection.shutdown();
        }
    }
}

/// As long as this lives, triggering the token ends what the calling thread asks ureq for.
pub struct Interruptible<'a>(#[expect(dead_code, reason = "listens until it is dropped")] Listening<'a>);

impl<'a> Interruptible<'a> {
    pub fn by(cancel: &'a Cancel) -> Self {
        let request = Arc::<Request>::default();
        CURRENT.set(Some(request.clone()));
        Interruptible(cancel.listen(move || request.cut()))
    }
}

impl Drop for Interruptible<'_> {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// A connection that tells requests how to cut it.
#[derive(Debug)]
pub struct Cuttable {
    pub inner: Box<dyn Transport>,
    pub handle: Handle,
}

/// How to cut a connection.
pub struct Handle(pub Option<Weak<dyn ShutdownHandle>>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Cuttable {
    /// To be called before anything that may block.
    fn use_by_current(&self) -> Result<(), ureq::Error> {
        CURRENT.with_borrow(|current| {
            let Some(request) = current else { return Ok(()) };
            let mut state = lock(&request.state);
            if state.cut {
                return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
            }
            state.connection.clone_from(&self.handle.0);
            Ok(())
        })
    }
}

impl Transport for Cuttable {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.use_by_current()?;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.use_by_current()?;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
