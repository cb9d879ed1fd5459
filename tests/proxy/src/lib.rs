//! A TCP proxy on loopback that puts faults between a client and a server: for tests of what a client does when
//! the network or the server fails. It carries anything, TLS as well. Of what it carries it knows only enough to
//! tell requests and answers apart: in HTTP/2 that is not encrypted by stream, with gRPC messages; in anything else
//! by who speaks.

mod forwarder;
mod http2;
mod requests;
mod sockets;
mod state;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use forwarder::Forwarder;
use requests::Plan;
use sockets::Sockets;
use state::{Phase, Shared, Side, State};

/// How connections are treated, open ones and new ones alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Everything passes.
    #[default]
    Pass,
    /// Open connections are closed and nobody listens: to connect fails. The port stays the proxy's.
    Refuse,
    /// Bytes are late by this much; those that come while others wait, by up to twice as much.
    Delay {
        /// On their way from the client.
        to_server: Duration,
        /// On their way from the server.
        to_client: Duration,
    },
    /// The client reads the end of the stream and no answers, while what it writes still reaches the server.
    /// A connection that had this never gets better.
    HalfClose,
    /// Open connections are reset; a new one once its client has sent something, which the server never sees.
    Reset,
    /// Bytes and ends of both directions are swallowed, connections stay open, new ones too. Later the ends are
    /// made up for, the bytes are lost: a connection that was in use is best [cut](Proxy::cut) then.
    BlackHole,
    /// Answers drip.
    Slow {
        /// So many bytes a time.
        bytes: usize,
        /// After each pause of this length.
        every: Duration,
    },
    /// Bits of answers are flipped: which, depends on the seed, the connection's number and the byte's place in
    /// the connection's answers, and on nothing else.
    Corrupt {
        /// One bit in about so many bytes; 0 is none.
        every: usize,
        /// Other seeds, other bits.
        seed: u64,
    },
}

/// What happens to a connection once an answer was swallowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
    /// It stays open, still takes requests to the server, and nothing ever comes back.
    Silence,
    /// It goes on, and nothing more of this one answer comes: in HTTP/2 of its stream; in anything else until the
    /// client's next request.
    Continue,
}

/// Forwards connections to a server, badly if told so. When dropped, its connections and its port are closed.
pub struct Proxy {
    address: SocketAddrV4,
    /// Where the server behind it listens.
    server: SocketAddrV4,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy on a free port in front of the server on this one. It need not run yet: as long as it doesn't,
    /// connections are closed at once.
    pub fn start(server: u16) -> Self {
        Self::start_before(SocketAddrV4::new(Ipv4Addr::LOCALHOST, server))
    }

    /// The same for a server that is not on loopback.
    pub fn start_before(server: SocketAddrV4) -> Self {
        let (listener, address) = sockets::listen();
        Self::run(listener, address, server)
    }

    /// Another one in front of the same server, on the same port of another address of this machine.
    pub fn start_beside(&self, address: Ipv4Addr) -> Self {
        let address = SocketAddrV4::new(address, self.port());
        let listener = TcpListener::bind(address).expect("nobody else has this port there");
        Self::run(listener, address, self.server)
    }

    fn run(listener: TcpListener, address: SocketAddrV4, server: SocketAddrV4) -> Self {
        let listener = Arc::new(listener);
        let shared = Arc::new(Shared::new());
        let acceptor = std::thread::spawn({
            let (shared, listener) = (shared.clone(), listener.clone());
            move || accept(&shared, &listener, server)
        });
        Proxy { address, server, listener, shared, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it listens, as the address of a server.
    pub fn servers(&self) -> String {
        self.address.to_string()
    }

    /// From now on all connections are treated like this; only bytes that are already being written go on.
    pub fn set(&self, fault: Fault) {
        let mut state = self.shared.lock();
        let before = std::mem::replace(&mut state.fault, fault);
        match (before, fault) {
            (Fault::Refuse, Fault::Refuse) => {}
            (_, Fault::Refuse) => sockets::refuse(&self.listener),
            (Fault::Refuse, _) => sockets::listen_again(&self.listener),
            _ => {}
        }
        match fault {
            Fault::Refuse => self.advance_all(state, Phase::Cut),
            Fault::Reset => self.advance_all(state, Phase::Reset),
            Fault::HalfClose => self.advance_all(state, Phase::HalfClosed),
            _ => self.shared.changed.notify_all(),
        }
    }

    /// Closes the open connections, on both sides; new ones are treated as before.
    pub fn cut(&self) {
        self.advance_all(self.shared.lock(), Phase::Cut);
    }

    /// Resets the open connections, on both sides; new ones are treated as before.
    pub fn reset_all(&self) {
        self.advance_all(self.shared.lock(), Phase::Reset);
    }

    /// The `nth` request from now that contains `request` (any does, if that is empty) gets to the server, and
    /// when the server answers, the client gets nothing of it. Others pass. With several calls, each counts for
    /// itself.
    ///
    /// A request is what a client sends until the server answers, as in HTTP/1.1 without pipelining; in TLS, the
    /// flights of the handshake are requests too. HTTP/2 with prior knowledge is understood: there a request is a
    /// gRPC message with the path of its stream, and either may contain `request`; a stream without a message is a
    /// request, too. Its answer begins with the next headers, data or reset from the server on the stream, and all
    /// other frames pass until then; a stream that is never quiet may well say something else first.
    pub fn swallow(&self, request: impl AsRef<[u8]>, nth: usize, then: After) {
        self.shared.lock().plans.push(Plan::new(request.as_ref(), nth, then));
    }

    /// How long to wait for an answer that is to be swallowed before the connection gets what comes after;
    /// that is not counted as swallowed. Ten seconds, if never called.
    pub fn set_patience(&self, limit: Duration) {
        self.shared.lock().patience = limit;
    }

    /// How many answers were swallowed: so many requests the server has surely seen.
    pub fn swallowed(&self) -> usize {
        self.shared.lock().swallowed
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// How many connections there are.
    pub fn open(&self) -> usize {
        self.shared.lock().connections.iter().filter(|connection| connection.sockets.is_some()).count()
    }

    /// How often clients have sent `pattern`, whether it got through or not; in HTTP/2, how many requests contain
    /// it, and one counts as soon as its stream is open. If it is empty, how many requests they have sent. For this
    /// the proxy remembers all they send.
    pub fn requests(&self, pattern: impl AsRef<[u8]>) -> usize {
        let state = self.shared.lock();
        state.connections.iter().map(|connection| connection.requests.count(pattern.as_ref())).sum()
    }

    /// How many bytes were passed on, or are being, to the server and to clients.
    pub fn bytes(&self) -> (usize, usize) {
        let state = self.shared.lock();
        let passed =
            |to: Side| state.connections.iter().map(|connection| connection.passed[to as usize]).sum();
        (passed(Side::Server), passed(Side::Client))
    }

    /// Tells the threads of the change, and waits until they have closed what was ended: a bounded time, because
    /// a test that fails is better than one that hangs.
    fn advance_all(&self, mut state: MutexGuard<State>, to: Phase) {
        state.connections.iter_mut().for_each(|connection| connection.advance(to));
        self.shared.changed.notify_all();
        let limit = Duration::from_secs(1);
        drop(self.shared.changed.wait_timeout_while(state, limit, |state| state.ending()));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        sockets::refuse(&self.listener);
        self.advance_all(state, Phase::Cut);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Takes connections until the proxy is dropped.
fn accept(shared: &Arc<Shared>, listener: &TcpListener, server: SocketAddrV4) {
    while shared.until_listening() {
        // Fails when the proxy begins to refuse.
        let Ok((client, _)) = listener.accept() else { continue };
        let sockets = Arc::new(Sockets::new(client, server));
        if let Some(number) = shared.lock().register(&sockets) {
            let forwarder = Forwarder::new(shared.clone(), number, sockets);
            std::thread::spawn(move || forwarder.run());
        }
    }
}
