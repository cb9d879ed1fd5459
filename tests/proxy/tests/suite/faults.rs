//! Each fault does what it says, to open connections and to new ones.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use faultproxy::{Fault, Proxy};

use crate::peers::{Client, Found, Server, eventually};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(40);

/// A proxy, the server behind it that echoes, and a connection that was used.
fn echo() -> (Server, Proxy, Client) {
    let server = Server::echo();
    let proxy = Proxy::start(server.port);
    let mut client = Client::connect(&proxy);
    client.round_trip("before");
    (server, proxy, client)
}

#[test]
fn pass_changes_nothing_and_counts() {
    let (server, proxy, mut client) = echo();
    Client::connect(&proxy).round_trip("and another");
    client.end();
    assert_eq!(client.look(), Found::End);
    assert_eq!(server.received(), b"beforeand another");
    assert_eq!(proxy.bytes(), (17, 17));
    assert_eq!(proxy.connections(), 2);
    assert_eq!(proxy.servers(), format!("127.0.0.1:{}", proxy.port()));
    eventually("both connections over", || proxy.open() == 0);
}

#[test]
fn a_broken_server_is_passed_on_as_such() {
    let proxy = Proxy::start(Server::broken().port);
    let mut client = Client::connect(&proxy);
    client.send("hello");
    assert_eq!(client.look(), Found::Reset);
}

#[test]
fn a_server_that_does_not_run_closes_connections() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    let proxy = Proxy::start(free);
    assert_eq!(Client::connect(&proxy).look(), Found::End);
    proxy.set(Fault::BlackHole);
    let mut client = Client::connect(&proxy);
    client.assert_silence();
    proxy.set(Fault::Pass);
    assert_eq!(client.look(), Found::End);
}

#[test]
fn refuse_closes_and_does_not_listen() {
    let (_server, proxy, mut client) = echo();
    for _ in 0..3 {
        proxy.set(Fault::Refuse);
        proxy.set(Fault::Refuse);
        assert_eq!(client.look(), Found::End);
        let refused = TcpStream::connect(proxy.servers()).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.set(Fault::Pass);
        client = Client::connect(&proxy);
        client.round_trip("after");
    }
    assert_eq!(proxy.connections(), 4);
}

#[test]
fn delay_makes_both_directions_late() {
    let (_server, proxy, mut client) = echo();
    for (to_server, to_client) in [(SHORT, Duration::ZERO), (Duration::ZERO, SHORT), (SHORT, SHORT)] {
        proxy.set(Fault::Delay { to_server, to_client });
        let start = Instant::now();
        client.round_trip("late");
        assert!(start.elapsed() >= to_server + to_client);
    }
}

#[test]
fn delay_ends_with_the_fault() {
    let (server, proxy, mut client) = echo();
    proxy.set(Fault::Delay { to_server: LONG, to_client: Duration::ZERO });
    client.send("one");
    client.assert_silence();
    assert_eq!(server.heard("one"), 0);
    proxy.set(Fault::Delay { to_server: Duration::ZERO, to_client: LONG });
    eventually("the server hears it", || server.heard("one") == 1);
    client.assert_silence();
    proxy.set(Fault::Pass);
    assert_eq!(client.receive(3), b"one");
}

#[test]
fn half_close_ends_answers_only() {
    let (server, proxy, mut client) = echo();
    proxy.set(Fault::HalfClose);
    let mut new = Client::connect(&proxy);
    for client in [&mut client, &mut new] {
        assert_eq!(client.look(), Found::End);
        client.send("heard");
        client.send("heard");
    }
    eventually("the server hears all of it", || server.heard("heard") == 4);
    proxy.set(Fault::Pass);
    client.send("heard");
    eventually("the server hears more", || server.heard("heard") == 5);
    assert_eq!(client.look(), Found::End);
    assert_eq!(proxy.open(), 2);
    drop(client);
    drop(new);
    eventually("both connections over", || proxy.open() == 0);
}

#[test]
fn reset_resets() {
    let (server, proxy, mut client) = echo();
    proxy.set(Fault::Reset);
    assert_eq!(client.look(), Found::Reset);
    let mut new = Client::connect(&proxy);
    new.assert_silence();
    new.send("lost");
    assert_eq!(new.look(), Found::Reset);
    proxy.set(Fault::Pass);
    Client::connect(&proxy).round_trip("after");
    assert_eq!(server.heard("lost"), 0);
}

#[test]
fn reset_all_and_cut_are_for_open_connections_only() {
    let (_server, proxy, mut first) = echo();
    proxy.reset_all();
    assert_eq!(proxy.open(), 0);
    assert_eq!(first.look(), Found::Reset);
    let mut second = Client::connect(&proxy);
    second.round_trip("open");
    proxy.cut();
    assert_eq!(proxy.open(), 0);
    assert_eq!(second.look(), Found::End);
    Client::connect(&proxy).round_trip("open");
}

#[test]
fn reset_all_gets_at_a_client_that_does_not_read() {
    let (_server, proxy, mut client) = echo();
    client.flood();
    proxy.reset_all();
    assert_eq!(proxy.open(), 0);
    assert_eq!(client.last(), Found::Reset);
}

#[test]
fn cut_is_in_order_even_with_bytes_unread() {
    let (server, proxy, mut client) = echo();
    proxy.set(Fault::Delay { to_server: LONG, to_client: LONG });
    client.send("read by the proxy");
    client.assert_silence();
    client.send("not read yet");
    proxy.cut();
    assert_eq!(client.look(), Found::End);
    assert_eq!(server.received(), b"before");
}

#[test]
fn black_hole_swallows_and_stays_open() {
    let (server, proxy, mut client) = echo();
    proxy.set(Fault::BlackHole);
    let mut new = Client::connect(&proxy);
    for client in [&mut client, &mut new] {
        client.send("lost");
        client.assert_silence();
    }
    assert_eq!(proxy.open(), 2);
    assert_eq!(proxy.requests("lost"), 2);
    proxy.set(Fault::Pass);
    for client in [&mut client, &mut new] {
        client.round_trip("after");
    }
    assert_eq!(server.received(), b"beforeafterafter");
}

#[test]
fn black_hole_swallows_answers() {
    let (server, proxy, mut client) = echo();
    proxy.set(Fault::Delay { to_server: Duration::ZERO, to_client: LONG });
    client.send("heard");
    eventually("the server hears it", || server.heard("heard") == 1);
    eventually("the answer waits", || proxy.bytes().0 == 11);
    proxy.set(Fault::BlackHole);
    client.assert_silence();
    proxy.set(Fault::Pass);
    client.assert_silence();
    assert_eq!(proxy.bytes().1, 6);
}

#[test]
fn black_hole_holds_back_the_end() {
    let (_server, proxy, mut client) = echo();
    proxy.set(Fault::BlackHole);
    client.end();
    client.assert_silence();
    proxy.set(Fault::Pass);
    assert_eq!(client.look(), Found::End);
}

#[test]
fn slow_drips() {
    let (_server, proxy, mut client) = echo();
    proxy.set(Fault::Slow { bytes: 8, every: Duration::from_millis(10) });
    let start = Instant::now();
    client.send([7; 45]);
    assert_eq!(client.receive(45), [7; 45]);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

/// What becomes of zeros on the first connection, sent in pieces.
fn corrupted(seed: u64, piece: usize) -> Vec<u8> {
    let server = Server::echo();
    let proxy = Proxy::start(server.port);
    let mut client = Client::connect(&proxy);
    proxy.set(Fault::Corrupt { every: 64, seed });
    let sent = vec![0; 65536];
    let mut received = Vec::new();
    for piece in sent.chunks(piece) {
        client.send(piece);
        received.extend(client.receive(piece.len()));
    }
    assert_eq!(server.received(), sent, "requests are left alone");
    received
}

#[test]
fn corrupt_flips_single_bits_by_seed() {
    let received = corrupted(1, 65536);
    let flipped: Vec<u8> = received.iter().copied().filter(|byte| *byte != 0).collect();
    assert!((900..1150).contains(&flipped.len()), "{} of 1024", flipped.len());
    assert!(flipped.iter().all(|byte| byte.count_ones() == 1));
    for bit in 0..8 {
        assert!(flipped.contains(&(1 << bit)));
    }
    assert!(corrupted(1, 1000) == received);
    assert!(corrupted(2, 65536) != received);
}
