//! What all threads of a proxy share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::requests::{Answers, Grown, Plan, Requests, Screened};
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
    /// Whether the connection goes on without any answers.
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
            After::Continue => Phase::Open,
        }
    }
}

pub(crate) struct Connection {
    pub phase: Phase,
    pub requests: Requests,
    pub answers: Answers,
    /// Whether the server may not have all that the requests consist of.
    pub writing: bool,
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
            Phase::Open | Phase::Silent => {}
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
        let mut connection = Connection {
            phase: Phase::Open,
            requests: Requests::default(),
            answers: Answers::default(),
            writing: false,
            passed: [0; 2],
            sockets: Some(sockets.clone()),
        };
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

    /// Makes ready to swallow the answers to those of a connection's requests that are planned for.
    pub fn plan(&mut self, number: usize, requests: &[Grown]) {
        let connection = &mut self.connections[number];
        for grown in requests {
            // Each plan has to see it, so that it counts right.
            let met = self.plans.extract_if(.., |plan| plan.met(number, &connection.requests, grown)).last();
            if let Some(plan) = met.filter(|_| !connection.phase.mute()) {
                connection.answers.swallow(grown.stream, plan.then);
            }
        }
    }

    /// Takes out of the bytes of a connection's server what is to be swallowed.
    pub fn screen(&mut self, number: usize, bytes: &[u8]) -> Screened {
        let connection = &mut self.connections[number];
        connection.requests.answered();
        if connection.phase != Phase::Open {
            return Screened::default();
        }
        let screened = connection.answers.screen(&connection.requests, bytes);
        self.swallowed += screened.swallowed;
        screened
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

    /// Waits until the server has what is being written to it, if an answer to that may be swallowed: the request
    /// must be there whatever happens to the connection then. A server that doesn't read is not waited for long.
    pub fn wait_for_request(&self, number: usize) -> MutexGuard<'_, State> {
        let state = self.lock();
        let patience = state.patience;
        let on_its_way = |state: &mut State| {
            let connection = &state.connections[number];
            connection.writing && connection.answers.awaited() && !connection.phase.ended()
        };
        let waited = self.changed.wait_timeout_while(state, patience, on_its_way);
        waited.expect("no thread panics with the lock").0
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
