//! Ends a request from another thread. ureq works on the calling thread and offers no handle to one request,
//! so each connection tells the request that uses it how to cut it.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use ureq::unversioned::transport::ShutdownHandle;

use crate::wait::{Cancel, Listening, lock};

thread_local! {
    /// The request that this thread is busy with.
    static CURRENT: RefCell<Option<Arc<Request>>> = const { RefCell::new(None) };
}

/// What is known of a request's connection.
struct Request {
    /// By when there must be one.
    connect_by: Option<Instant>,
    /// By when all must be done that the thread does for it.
    end_by: Option<Instant>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cut: bool,
    connection: Option<Weak<dyn ShutdownHandle>>,
}

impl Request {
    fn cut(&self) {
        let mut state = lock(&self.state);
        state.cut = true;
        if let Some(connection) = state.connection.as_ref().and_then(Weak::upgrade) {
            connection.shutdown();
        }
    }
}

/// As long as this lives, triggering the token ends what the calling thread asks ureq for.
pub struct Interruptible<'a> {
    request: Arc<Request>,
    _listening: Listening<'a>,
}

impl<'a> Interruptible<'a> {
    pub fn by(cancel: &'a Cancel, connect_by: Option<Instant>, end_by: Option<Instant>) -> Self {
        let request = Arc::new(Request { connect_by, end_by, state: Mutex::default() });
        CURRENT.set(Some(request.clone()));
        let to_cut = request.clone();
        Interruptible { request, _listening: cancel.listen(move || to_cut.cut()) }
    }
}

impl Drop for Interruptible<'_> {
    fn drop(&mut self) {
        CURRENT.set(None);
        // By now the connection may serve somebody else.
        lock(&self.request.state).connection = None;
    }
}

/// By when this thread's request must have a connection. (ureq gives finding the address and connecting the whole
/// time each.)
pub fn connect_by() -> Option<Instant> {
    CURRENT.with_borrow(|current| current.as_ref()?.connect_by)
}

/// By when this thread's request must be over. (ureq gives sending and answering the whole time each.)
pub fn end_by() -> Option<Instant> {
    CURRENT.with_borrow(|current| current.as_ref()?.end_by)
}

/// Tells this thread's request which connection it uses; to be called before anything that may block.
pub fn uses(connection: &Arc<dyn ShutdownHandle>) -> io::Result<()> {
    CURRENT.with_borrow(|current| {
        let Some(request) = current else { return Ok(()) };
        let mut state = lock(&request.state);
        if state.cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.connection = Some(Arc::downgrade(connection));
        Ok(())
    })
}
