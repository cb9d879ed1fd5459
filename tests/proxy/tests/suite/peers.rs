//! Clients and servers for the proxy to stand between.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faultproxy::Proxy;

/// What a test waits for is there within this.
pub const LIMIT: Duration = Duration::from_secs(5);
/// How long nothing must come to be taken for silence.
pub const QUIET: Duration = Duration::from_millis(60);

/// A server; its threads end with the tests' process.
pub struct Server {
    pub port: u16,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    /// Says what it hears, connection by connection.
    pub fn echo() -> Self {
        Self::start(|mut socket, heard| {
            let mut buffer = [0; 65536];
            while let Ok(size @ 1..) = socket.read(&mut buffer) {
                heard(&buffer[..size]);
                if socket.write_all(&buffer[..size]).is_err() {
                    break;
                }
            }
        })
    }

    /// Hears and says nothing.
    pub fn deaf() -> Self {
        Self::start(|mut socket, heard| {
            let mut buffer = [0; 65536];
            while let Ok(size @ 1..) = socket.read(&mut buffer) {
                heard(&buffer[..size]);
            }
        })
    }

    /// Says the first thing it hears and closes the connection.
    pub fn brief() -> Self {
        Self::start(|mut socket, heard| {
            let mut buffer = [0; 65536];
            let size = socket.read(&mut buffer).unwrap_or(0);
            heard(&buffer[..size]);
            let _ = socket.write_all(&buffer[..size]);
        })
    }

    /// Says the first of these and then the second without end, whatever it hears.
    pub fn chatty(words: &[Vec<u8>; 2]) -> Self {
        let [first, again] = words.clone();
        Self::start(move |mut socket, heard| {
            let mut speaking = socket.try_clone().expect("an open socket");
            let (first, again) = (first.clone(), again.clone());
            std::thread::spawn(move || {
                let _ = speaking.write_all(&first);
                while speaking.write_all(&again).is_ok() {}
            });
            let mut buffer = [0; 65536];
            while let Ok(size @ 1..) = socket.read(&mut buffer) {
                heard(&buffer[..size]);
            }
        })
    }

    /// Closes each connection with bytes unread, which resets it.
    pub fn broken() -> Self {
        Self::start(|socket, _| {
            let _ = socket.peek(&mut [0]);
        })
    }

    /// HTTP/1.1 with keep-alive: answers each request with its path, as often as its header `Times` says.
    pub fn http() -> Self {
        Self::start(|mut socket, heard| {
            while let Some((head, body)) = request(&mut socket) {
                heard(format!("{head}{body}").as_bytes());
                let path = head.split(' ').nth(1).expect("a path");
                let answer = path.repeat(header(&head, "Times").unwrap_or(1));
                let status = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
                if socket
                    .write_all(status.as_bytes())
                    .and_then(|()| socket.write_all(answer.as_bytes()))
                    .is_err()
                {
                    break;
                }
            }
        })
    }

    fn start(serve: impl Fn(TcpStream, &dyn Fn(&[u8])) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let all = received.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (serve, all) = (serve.clone(), all.clone());
                let heard = move |bytes: &[u8]| all.lock().expect("never poisoned").extend_from_slice(bytes);
                std::thread::spawn(move || serve(socket, &heard));
            }
        });
        Server { port, received }
    }

    /// All it has heard; of HTTP, whole requests only.
    pub fn received(&self) -> Vec<u8> {
        self.received.lock().expect("never poisoned").clone()
    }

    /// How often it has heard something.
    pub fn heard(&self, what: &str) -> usize {
        String::from_utf8_lossy(&self.received()).matches(what).count()
    }
}

/// The head and the body of the next HTTP message.
fn request(socket: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut body = vec![0; header(&head, "Content-Length").unwrap_or(0)];
    socket.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

fn header(head: &str, name: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
}

/// How a client finds its connection when it reads.
#[derive(Debug, PartialEq)]
pub enum Found {
    Bytes(usize),
    End,
    Reset,
    /// Nothing, for a while.
    Silence,
}

pub struct Client(TcpStream);

impl Client {
    pub fn connect(proxy: &Proxy) -> Self {
        Client(TcpStream::connect(proxy.servers()).expect("connected"))
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("an open connection");
    }

    /// Sends until nobody takes any more.
    pub fn flood(&mut self) {
        self.0.set_write_timeout(Some(QUIET)).expect("an open socket");
        while self.0.write(&[b'x'; 65536]).is_ok() {}
    }

    pub fn receive(&mut self, size: usize) -> Vec<u8> {
        self.0.set_read_timeout(Some(LIMIT)).expect("an open socket");
        let mut bytes = vec![0; size];
        self.0.read_exact(&mut bytes).expect("so many bytes");
        bytes
    }

    /// That bytes get to an echo and back.
    pub fn round_trip(&mut self, text: &str) {
        self.send(text);
        assert_eq!(self.receive(text.len()), text.as_bytes());
    }

    pub fn request(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\n\r\n"));
    }

    /// The answer of the HTTP server to a request for a path.
    pub fn answer(&mut self, path: &str) {
        self.request(path);
        self.0.set_read_timeout(Some(LIMIT)).expect("an open socket");
        assert_eq!(request(&mut self.0).expect("an answer").1, path);
    }

    /// What is there first, for a client that is patient.
    pub fn look(&mut self) -> Found {
        self.look_for(LIMIT)
    }

    pub fn assert_silence(&mut self) {
        assert_eq!(self.look_for(QUIET), Found::Silence);
    }

    /// What is there after all bytes.
    pub fn last(&mut self) -> Found {
        loop {
            match self.look() {
                Found::Bytes(_) => {}
                found => return found,
            }
        }
    }

    fn look_for(&mut self, limit: Duration) -> Found {
        self.0.set_read_timeout(Some(limit)).expect("an open socket");
        match self.0.read(&mut [0; 65536]) {
            Ok(0) => Found::End,
            Ok(size) => Found::Bytes(size),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Found::Reset,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Found::Silence,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn end(&mut self) {
        self.0.shutdown(Shutdown::Write).expect("an open connection");
    }
}

/// Looks every few milliseconds until something is so.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
