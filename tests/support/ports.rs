//! Ports for servers that are started a moment later, and again after they were killed.

use std::net::TcpListener;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// A port that nobody uses, and that nobody else will be given while this process lives: not by another process
/// of the tests, and not by the system for a connection.
pub fn free_port() -> u16 {
    static BLOCK: Mutex<Option<Block>> = Mutex::new(None);
    let mut block = BLOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        let left = block.get_or_insert_with(Block::reserve).ports.next();
        match left {
            Some(port) if TcpListener::bind(("127.0.0.1", port)).is_ok() => return port,
            Some(_) => {}
            None => *block = Some(Block::reserve()),
        }
    }
}

/// Ports that are this process's.
struct Block {
    ports: Range<u16>,
}

impl Block {
    const SIZE: u16 = 100;

    /// The next one that no process has. A name in the system's list of sockets says whose it is: it goes with its
    /// process, however that ends, so it is kept for as long.
    fn reserve() -> Self {
        // Those that the system gives to connections are not for servers: one could be gone when its server starts.
        let end = first_of_connections();
        let blocks = (10_000..end - Self::SIZE).step_by(Self::SIZE.into());
        for start in blocks {
            let name = format!("etcd-api-tests-ports-{start}");
            let name = SocketAddr::from_abstract_name(name).expect("a short name");
            if let Ok(reserved) = UnixListener::bind_addr(&name) {
                std::mem::forget(reserved);
                return Block { ports: start..start + Self::SIZE };
            }
        }
        panic!("other tests have all ports from 10000 to {end}");
    }
}

fn first_of_connections() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("Linux tells it");
    let first = range.split_whitespace().next().and_then(|first| first.parse().ok());
    first.filter(|&first| first > 12_000).unwrap_or(32_768)
}
