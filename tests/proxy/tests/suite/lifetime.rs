//! What is left when a proxy is dropped: nothing, and soon.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use faultproxy::{Fault, Proxy};

use crate::peers::{Client, Found, Server};

const LONG: Duration = Duration::from_secs(60);

fn assert_ends(fault: Fault) {
    let proxy = Proxy::start(Server::echo().port);
    let mut client = Client::connect(&proxy);
    client.round_trip("open");
    let servers = proxy.servers();
    proxy.set(fault);
    if fault != Fault::Refuse {
        client.send("on the way");
    }
    let start = Instant::now();
    drop(proxy);
    assert!(start.elapsed() < Duration::from_millis(500), "{fault:?}: {:?}", start.elapsed());
    assert_eq!(client.last(), Found::End, "{fault:?}");
    assert!(TcpStream::connect(servers).is_err(), "{fault:?}");
}

#[test]
fn dropping_ends_everything() {
    assert_ends(Fault::Pass);
    assert_ends(Fault::Refuse);
    assert_ends(Fault::BlackHole);
    assert_ends(Fault::HalfClose);
    assert_ends(Fault::Delay { to_server: LONG, to_client: LONG });
    assert_ends(Fault::Slow { bytes: 1, every: LONG });
}

#[test]
fn dropping_ends_what_was_stuck() {
    let proxy = Proxy::start(Server::echo().port);
    let mut client = Client::connect(&proxy);
    client.flood();
    let start = Instant::now();
    drop(proxy);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_ne!(client.last(), Found::Silence);
}
