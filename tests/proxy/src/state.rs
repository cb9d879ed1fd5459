//! What all threads of a proxy share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::requests::{Plan, Requests};
use crate::sockets::Sockets;
use crate::{After, Fault};

/// Where bytes go to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Whatever the server says next is the answer to swallow.
    Swallowing(After),
    /// The client gets nothing any more.
    Silent,
    /// The client gets nothing any more, and was told so.
    HalfClosed,
    /// The proxy has closed it.
    Cut,
    /// The proxy resets it.
    Reset,
}

impl Phase {
    /// Whether the connection goes on without answers.
    pub fn mute(self) -> bool {
        matches!(self, Phase::Silent | Phase::HalfClosed)
    }

    pub fn ended(self) -> bool {
        matches!(self, Phase::Cut | Phase::Reset)
    }
}

impl From<After> for Phase {
    fn from(after: After) -> Phase {
        match after {
            After::Close => Phase::Cut,
            After::Reset => Phase::Reset,
            After::Silence => Phase::Silent,
        }
    }
}

pub(crate) struct Connection {
    pub phase: Phase,
    pub requests: Requests,
    /// How many bytes, by `Side`, including those being written: a peer may have them before the write returns.
    pub passed: [usize; 2],
    /// Until both directions have ended.
    pub sockets: Option<Arc<Sockets>>,
}

impl Connection {
    /// Enters a phase and does to the sockets what that means, unless it is over already.
    pub fn advance(&mut self, to: Phase) {
        let Some(sockets) = self.sockets.as_ref().filter(|_| !self.phase.ended()) else { return };
        match to {
            Phase::Open | Phase::Swallowing(_) | Phase::Silent => {}
            Phase::HalfClosed => sockets.half_close(),
            Phase::Cut => sockets.cut(),
            Phase::Reset => sockets.reset(),
        }
        self.phase = to;
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub fault: Fault,
    pub stopped: bool,
    pub patience: Duration,
    pub plans: Vec<Plan>,
    /// All there ever were.
    pub connections: Vec<Connection>,
    pub swallowed: usize,
}

impl State {
    /// The number of a new connection, if there may be one.
    pub fn register(&mut self, sockets: &Arc<Sockets>) -> Option<usize> {
        if self.stopped || self.fault == Fault::Refuse {
            return None;
        }
        let (requests, sockets) = (Requests::default(), Some(sockets.clone()));
        let mut connection = Connection { phase: Phase::Open, requests, passed: [0; 2], sockets };
        if self.fault == Fault::HalfClose {
            connection.advance(Phase::HalfClosed);
        }
        self.connections.push(connection);
        Some(self.connections.len() - 1)
    }

    /// Whether connections that were ended still have to be closed.
    pub fn ending(&self) -> bool {
        self.connections.iter().any(|connection| connection.phase.ended() && connection.sockets.is_some())
    }

    /// What to do after the answer to the request that the `new` last bytes of a connection belong to was
    /// swallowed, if it is to be.
    pub fn planned(&mut self, number: usize, new: usize) -> Option<After> {
        let requests = &self.connections[number].requests;
        // Each plan has to see the bytes, so that it counts right.
        self.plans.extract_if(.., |plan| plan.met(number, requests, new)).map(|plan| plan.then).last()
    }
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Told of changes of the fault and of connections that end.
    pub changed: Condvar,
}

impl Shared {
    pub fn new() -> Self {
        let state = State { patience: Duration::from_secs(10), ..State::default() };
        Shared { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    /// Waits while connections are refused; false, if there will be no more.
    pub fn until_listening(&self) -> bool {
        let refusing = |state: &mut State| state.fault == Fault::Refuse && !state.stopped;
        !self.changed.wait_while(self.lock(), refusing).expect("no thread panics with the lock").stopped
    }

    /// Waits for as long as the present fault, whichever that is by then, makes a connection's bytes late, or the
    /// end of them.
    pub fn wait(&self, number: usize, to: Side, end: bool) -> MutexGuard<'_, State> {
        let start = Instant::now();
        let mut state = self.lock();
        loop {
            let left = lateness(state.fault, to, end).saturating_sub(start.elapsed());
            if left.is_zero() || state.connections[number].phase.ended() {
                return state;
            }
            state = self.changed.wait_timeout(state, left).expect("no thread panics with the lock").0;
        }
    }
}

fn lateness(fault: Fault, to: Side, end: bool) -> Duration {
    match fault {
        Fault::Delay { to_server, .. } if to == Side::Server => to_server,
        Fault::Delay { to_client, .. } => to_client,
        Fault::Slow { every, .. } if to == Side::Client => every,
        Fault::BlackHole if end => Duration::MAX,
        _ => Duration::ZERO,
    }
}
