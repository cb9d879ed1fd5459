//! A TCP proxy in front of a server that can swallow the answer to a request.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Forwards connections, except that the answers to the next few requests that contain a pattern are cut off
/// after the server has done its work.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    pattern: String,
    to_swallow: AtomicUsize,
    swallowed: AtomicUsize,
}

impl Proxy {
    pub fn start(server: u16, pattern: &str, count: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            server,
            pattern: pattern.into(),
            to_swallow: AtomicUsize::new(count),
            swallowed: AtomicUsize::new(0),
        });
        let for_all = shared.clone();
        // Ends with the test's process; it holds nothing but a port.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = for_all.clone();
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Proxy { port, shared }
    }

    pub fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many answers were cut off.
    pub fn swallowed(&self) -> usize {
        self.shared.swallowed.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// One connection: requests of this library come one at a time and fit one read each.
    fn serve(&self, mut client: TcpStream) -> Option<()> {
        let mut server = TcpStream::connect(("127.0.0.1", self.server)).ok()?;
        let mut back = (server.try_clone().ok()?, client.try_clone().ok()?);
        let answers = Arc::new(std::sync::Mutex::new(true));
        let open = answers.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(size @ 1..) = back.0.read(&mut buffer) {
                if !*open.lock().expect("never poisoned") || back.1.write_all(&buffer[..size]).is_err() {
                    break;
                }
            }
            let _ = back.1.shutdown(std::net::Shutdown::Both);
        });
        let mut buffer = [0; 65536];
        while let Ok(size @ 1..) = client.read(&mut buffer) {
            let request = String::from_utf8_lossy(&buffer[..size]);
            let hit = request.contains(&self.pattern)
                && self
                    .to_swallow
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                    .is_ok();
            if hit {
                *answers.lock().expect("never poisoned") = false;
                self.swallowed.fetch_add(1, Ordering::SeqCst);
            }
            server.write_all(&buffer[..size]).ok()?;
        }
        // Time for the server to do what it was sent before the connection goes.
        std::thread::sleep(Duration::from_millis(50));
        server.shutdown(std::net::Shutdown::Both).ok()
    }
}
