//! A line to a server on which every byte is late by the same time, however many are under way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// Lays one to the server on a port, each way as long as that, and says where it begins. Its threads end with the
/// connections; the one that takes new ones ends with the process.
pub fn late_line(server: u16, late: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let start = listener.local_addr().expect("bound").to_string();
    spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
            one_way(client.try_clone().expect("a socket"), server.try_clone().expect("a socket"), late);
            one_way(server, client, late);
        }
    });
    start
}

fn one_way(mut from: TcpStream, mut to: TcpStream, late: Duration) {
    let (sender, under_way) = channel::<(Instant, Vec<u8>)>();
    to.set_nodelay(true).expect("an open socket");
    spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(size @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + late, buffer[..size].to_vec())).is_err() {
                return;
            }
        }
    });
    spawn(move || {
        for (due, bytes) in under_way {
            sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
