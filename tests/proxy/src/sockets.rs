//! What is done to sockets at once, whatever their threads are doing.

use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// A reset doesn't wake up a thread that writes, so it has to look about now and then.
const WRITE_TICK: Duration = Duration::from_millis(50);

/// The two ends of a connection.
pub(crate) struct Sockets {
    pub client: TcpStream,
    /// None, if the server could not be reached.
    pub server: Option<TcpStream>,
}

impl Sockets {
    pub fn new(client: TcpStream, server: SocketAddrV4) -> Self {
        let server = TcpStream::connect_timeout(&server.into(), Duration::from_secs(1)).ok();
        let sockets = Sockets { client, server };
        for socket in sockets.both() {
            // What was written apart stays apart: delays and drips are not to be added to.
            socket.set_nodelay(true).expect("an open socket");
            socket.set_write_timeout(Some(WRITE_TICK)).expect("an open socket");
        }
        sockets
    }

    fn both(&self) -> impl Iterator<Item = &TcpStream> {
        std::iter::once(&self.client).chain(&self.server)
    }

    /// Both sides read the end of the stream, and so do the threads.
    pub fn cut(&self) {
        self.both().for_each(|socket| end(socket, Shutdown::Both));
    }

    /// Both sides get a reset when the threads, which read the end of the stream now, have closed the sockets.
    pub fn reset(&self) {
        for socket in self.both() {
            close_by_reset(socket);
            end(socket, Shutdown::Read);
        }
    }

    /// The client reads the end of the stream.
    pub fn half_close(&self) {
        end(&self.client, Shutdown::Write);
    }
}

/// Fails if the other side was faster to end the connection, which is as good.
pub(crate) fn end(socket: &TcpStream, how: Shutdown) {
    let _ = socket.shutdown(how);
}

fn close_by_reset(socket: &TcpStream) {
    let option = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the socket is open, and the option is read during the call only.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const option).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "SO_LINGER: {}", std::io::Error::last_os_error());
}

/// Listens on a free port that stays reserved while connections are refused: the system does that only for ports
/// that were asked for by number.
pub(crate) fn listen() -> (TcpListener, SocketAddrV4) {
    loop {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        // Fails when another process was faster to take the port.
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        if let Ok(listener) = TcpListener::bind(address) {
            return (listener, address);
        }
    }
}

/// Connections are refused from now on, those that wait to be accepted are reset, and `accept` fails.
pub(crate) fn refuse(listener: &TcpListener) {
    // SAFETY: the socket is open. Fails if it doesn't listen, which is as good.
    unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RDWR) };
}

/// Undoes `refuse`.
pub(crate) fn listen_again(listener: &TcpListener) {
    // SAFETY: the socket is open.
    let result = unsafe { libc::listen(listener.as_raw_fd(), 128) };
    assert_eq!(result, 0, "listen: {}", std::io::Error::last_os_error());
}
