//! The two threads of a connection, one a direction.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crate::sockets::{Sockets, end};
use crate::state::{Connection, Phase, Shared, Side, State};
use crate::{After, Fault};

/// Forwards the bytes of one connection.
pub(crate) struct Forwarder {
    shared: Arc<Shared>,
    number: usize,
    sockets: Arc<Sockets>,
}

impl Forwarder {
    pub fn new(shared: Arc<Shared>, number: usize, sockets: Arc<Sockets>) -> Self {
        Forwarder { shared, number, sockets }
    }

    /// Returns when both directions have ended and the sockets are closed.
    pub fn run(self) {
        let client = &self.sockets.client;
        match &self.sockets.server {
            Some(server) => std::thread::scope(|scope| {
                scope.spawn(|| self.forward(server, client, Side::Client));
                self.forward(client, server, Side::Server);
            }),
            // In a black hole nobody gets to know that there is no server.
            None => drop(self.shared.wait(self.number, Side::Client, true)),
        }
        let Forwarder { shared, number, sockets } = self;
        drop(sockets);
        // These are the last now: a reset is sent at this moment.
        shared.lock().connections[number].sockets = None;
        shared.changed.notify_all();
    }

    /// One direction, to its end.
    fn forward(&self, mut from: &TcpStream, to: &TcpStream, side: Side) {
        let mut buffer = [0; 65536];
        loop {
            if side == Side::Server {
                self.be_patient();
            }
            let goes_on = match (from.read(&mut buffer), side) {
                (Ok(size @ 1..), Side::Server) => self.forward_request(to, &buffer[..size]),
                (Ok(size @ 1..), Side::Client) => self.forward_answer(to, &buffer[..size]),
                (Err(error), _) if error.kind() == ErrorKind::WouldBlock => true,
                (size, _) => return self.forward_end(to, side, size.is_ok()),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Gives up answers that the patience with the server did not last for, and has this thread, which reads what
    /// the client sends next, wake up when it runs out for others.
    fn be_patient(&self) {
        let mut state = self.shared.lock();
        let patience = state.patience;
        let answers = &mut self.connection(&mut state).answers;
        let then = answers.give_up(patience);
        let left = answers.left(patience).map(|left| left.max(Duration::from_millis(1)));
        self.sockets.client.set_read_timeout(left).expect("an open socket");
        self.follow(state, then);
    }

    /// Whether the client is still to be listened to.
    fn forward_request(&self, server: &TcpStream, bytes: &[u8]) -> bool {
        let mut state = self.shared.wait(self.number, Side::Server, false);
        let fault = state.fault;
        let connection = self.connection(&mut state);
        let requests = connection.requests.sent(bytes);
        match (connection.phase, fault) {
            (Phase::Cut | Phase::Reset, _) => return false,
            (_, Fault::BlackHole) => return true,
            (_, Fault::Reset) => {
                self.advance(state, Phase::Reset);
                return false;
            }
            _ => connection.passed[Side::Server as usize] += bytes.len(),
        }
        connection.writing = true;
        // Before the server can have them whole, and answer.
        state.plan(self.number, &requests);
        drop(state);
        let written = self.write(server, bytes);
        self.connection(&mut self.shared.lock()).writing = false;
        self.shared.changed.notify_all();
        written || self.fail()
    }

    /// Whether the server is still to be listened to.
    fn forward_answer(&self, client: &TcpStream, bytes: &[u8]) -> bool {
        let mut screened = self.shared.wait_for_request(self.number).screen(self.number, bytes);
        let goes_on = self.pass(client, &mut screened.bytes);
        if goes_on && screened.then.is_some() {
            self.follow(self.shared.wait(self.number, Side::Client, false), screened.then);
        }
        goes_on
    }

    /// Passes bytes on to the client, as the fault wants it. Whether the server is still to be listened to.
    fn pass(&self, client: &TcpStream, mut bytes: &mut [u8]) -> bool {
        while !bytes.is_empty() {
            let mut state = self.shared.wait(self.number, Side::Client, false);
            let fault = state.fault;
            match self.connection(&mut state).phase {
                Phase::Open if fault != Fault::BlackHole => {}
                Phase::Open | Phase::Silent | Phase::HalfClosed => return true,
                Phase::Cut | Phase::Reset => return false,
            }
            let size = if let Fault::Slow { bytes: size, .. } = fault { size.max(1) } else { bytes.len() };
            let (now, later) = bytes.split_at_mut(size.min(bytes.len()));
            let passed = &mut self.connection(&mut state).passed[Side::Client as usize];
            let place = std::mem::replace(passed, *passed + now.len());
            drop(state);
            if let Fault::Corrupt { every, seed } = fault {
                corrupt(now, every, mix(seed) ^ self.number as u64, place as u64);
            }
            if !self.write(client, now) {
                return self.fail();
            }
            bytes = later;
        }
        true
    }

    /// Passes on that one side has closed the connection, or, if it was not in order, that it is broken.
    fn forward_end(&self, to: &TcpStream, side: Side, in_order: bool) {
        let mut state = self.shared.wait(self.number, side, true);
        match self.connection(&mut state).phase {
            Phase::Cut | Phase::Reset => {}
            Phase::Silent | Phase::HalfClosed if side == Side::Client => {}
            _ if in_order => end(to, Shutdown::Write),
            _ => self.advance(state, Phase::Reset),
        }
    }

    /// Like `write_all`, but it gives up when the connection is reset by the proxy.
    fn write(&self, mut to: &TcpStream, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match to.write(bytes) {
                Ok(size) => bytes = &bytes[size..],
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.is_reset() => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn is_reset(&self) -> bool {
        self.connection(&mut self.shared.lock()).phase == Phase::Reset
    }

    /// What to do when one side can't be written to: the other one is reset, as without a proxy. True, if the
    /// connection has to look alive nevertheless.
    fn fail(&self) -> bool {
        let mut state = self.shared.lock();
        let mute = self.connection(&mut state).phase.mute();
        if !mute {
            self.advance(state, Phase::Reset);
        }
        mute
    }

    /// Does to the connection what comes after an answer was swallowed, unless something else was done to it before.
    fn follow(&self, mut state: MutexGuard<State>, then: Option<After>) {
        if let Some(then) = then
            && self.connection(&mut state).phase == Phase::Open
        {
            self.advance(state, then.into());
        }
    }

    fn advance(&self, mut state: MutexGuard<State>, to: Phase) {
        self.connection(&mut state).advance(to);
        self.shared.changed.notify_all();
    }

    fn connection<'a>(&self, state: &'a mut State) -> &'a mut Connection {
        &mut state.connections[self.number]
    }
}

/// Flips bits as the seed says for each place, so it doesn't matter how the bytes come in pieces.
fn corrupt(bytes: &mut [u8], every: usize, seed: u64, place: u64) {
    for (place, byte) in (place..).zip(bytes) {
        let dice = mix(mix(seed) ^ place);
        if dice.is_multiple_of(every as u64) {
            *byte ^= 1 << (dice >> 61);
        }
    }
}

/// SplitMix64: a number as good as random for each number.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
