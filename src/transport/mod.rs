//! One trait over one endpoint. The client above it knows no wire format, a transport no retry.

pub mod connect;
pub(crate) mod fragments;
pub mod grpc;
pub mod json;
pub mod mem;
mod timed;
pub mod tls;

use std::sync::Arc;

use crate::error::Result;
use crate::model::{Header, Reply, Request, WatchRequest, WatchSink};
use crate::options::Secret;
use crate::wait::{Cancel, Deadline};

/// How long a call may take, what ends it early, and for whom it is made.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// When the caller stops waiting.
    pub deadline: Deadline,
    /// When it must have been sent: later, another endpoint is asked instead.
    pub send_by: Deadline,
    /// Ends the call from another thread. A transport may go on connecting, which has a bound of its own.
    pub cancel: &'a Cancel,
    /// What tells the server which user asks.
    pub token: Option<&'a Secret>,
    /// How many times it may be sent again, beyond once to each endpoint. (Transports never repeat.)
    pub retry_limit: u32,
}

/// An open watch. Dropping it ends the watch: afterwards the sink is not called any more.
pub struct WatchStream {
    /// Who confirmed the watch, and at which revision: nothing after it is missed.
    pub header: Header,
    /// Whatever the transport must keep to keep the watch open.
    pub guard: Box<dyn Send>,
}

/// Takes the answer to a request that was submitted: once, on any thread. It never blocks.
pub type Taker = Box<dyn FnOnce(Result<Reply>) + Send>;

/// Ends a submitted request that nobody waits for any more: its taker is not called afterwards, unless it is being
/// called just now.
pub type Abandon = Box<dyn FnOnce() + Send>;

/// Carries requests to one endpoint. Any thread may call any function at any time.
pub trait Transport: Send + Sync {
    /// Sends a request and waits for its answer. Every error says what is known of the outcome.
    fn call(&self, request: &Request, context: &Context) -> Result<Reply>;

    /// Sends a request without waiting for its answer, if that can be done at once: otherwise the taker comes back,
    /// and [`Transport::call`] does it from a thread that may wait. Deadline and cancel are the caller's business.
    ///
    /// # Errors
    /// The taker, which was not called and will not be.
    fn submit(
        &self,
        _request: &Arc<Request>,
        _context: &Context,
        taker: Taker,
    ) -> std::result::Result<Abandon, Taker> {
        Err(taker)
    }

    /// Opens a watch and returns once the server has confirmed it.
    fn watch(&self, request: &WatchRequest, sink: WatchSink, context: &Context) -> Result<WatchStream>;

    /// How many connections it has made.
    fn connections(&self) -> u64 {
        0
    }

    /// Whether it finds out by itself that the server of an open watch has fallen silent, and ends the watch then.
    fn finds_silence(&self) -> bool {
        false
    }
}
