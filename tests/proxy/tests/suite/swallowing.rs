//! Answers that are swallowed: the right ones, wholly, and after the server has done its work.

use std::time::Duration;

use faultproxy::{After, Proxy};

use crate::peers::{Client, Found, Server, eventually};

fn http() -> (Server, Proxy, Client) {
    let server = Server::http();
    let proxy = Proxy::start(server.port);
    let client = Client::connect(&proxy);
    (server, proxy, client)
}

#[test]
fn the_answer_is_lost_and_the_work_is_done() {
    for (then, found) in [(After::Close, Found::End), (After::Reset, Found::Reset)] {
        let (server, proxy, mut client) = http();
        client.answer("/before");
        let passed = proxy.bytes().1;
        proxy.swallow("/put", 1, then);
        client.request("/put");
        assert_eq!(client.look(), found);
        assert_eq!(server.heard("/put"), 1);
        assert_eq!(proxy.swallowed(), 1);
        assert_eq!(proxy.bytes().1, passed);
        eventually("the connection over", || proxy.open() == 0);
        Client::connect(&proxy).answer("/put");
        assert_eq!(proxy.swallowed(), 1);
    }
}

#[test]
fn silence_lasts() {
    let (server, proxy, mut client) = http();
    proxy.swallow("/put", 1, After::Silence);
    client.request("/put");
    client.assert_silence();
    assert_eq!(proxy.swallowed(), 1);
    client.request("/more");
    eventually("the server hears more", || server.heard("/more") == 1);
    client.assert_silence();
    assert_eq!(proxy.open(), 1);
    assert_eq!(proxy.bytes().1, 0);
    Client::connect(&proxy).answer("/put");
    client.end();
    eventually("both connections over", || proxy.open() == 0);
}

#[test]
fn silence_outlives_the_server() {
    let proxy = Proxy::start(Server::brief().port);
    let mut client = Client::connect(&proxy);
    proxy.swallow("", 1, After::Silence);
    client.send("hello");
    eventually("the answer swallowed", || proxy.swallowed() == 1);
    for _ in 0..3 {
        client.send("anybody there?");
        client.assert_silence();
    }
    assert_eq!(proxy.open(), 1);
}

#[test]
fn the_connection_goes_on_without_one_answer() {
    let (server, proxy, mut client) = http();
    proxy.swallow("/long", 1, After::Continue);
    client.send("GET /long HTTP/1.1\r\nTimes: 200000\r\n\r\n");
    client.assert_silence();
    assert_eq!((proxy.swallowed(), proxy.bytes().1, server.heard("/long")), (1, 0, 1));
    client.answer("/put");
}

#[test]
fn only_the_nth_match_counts() {
    let (server, proxy, mut client) = http();
    client.answer("/put");
    proxy.swallow("/put", 3, After::Close);
    client.answer("/put");
    client.answer("/get");
    Client::connect(&proxy).answer("/put");
    assert_eq!(proxy.swallowed(), 0);
    client.request("/put");
    assert_eq!(client.look(), Found::End);
    assert_eq!(server.heard("/put"), 4);
    Client::connect(&proxy).answer("/put");
}

#[test]
fn several_plans_count_each_for_itself() {
    let (_server, proxy, mut client) = http();
    proxy.swallow("/put", 1, After::Close);
    proxy.swallow("", 3, After::Reset);
    client.request("/put");
    assert_eq!(client.look(), Found::End);
    let mut client = Client::connect(&proxy);
    client.answer("/put");
    client.request("/get");
    assert_eq!(client.look(), Found::Reset);
    assert_eq!(proxy.swallowed(), 2);
}

/// Sends pieces one by one, each after the proxy has read the one before.
fn send_apart(proxy: &Proxy, client: &mut Client, pieces: &[&str]) {
    for piece in pieces {
        let passed = proxy.bytes().0;
        client.send(piece);
        eventually("the piece read", || proxy.bytes().0 == passed + piece.len());
    }
}

#[test]
fn a_request_counts_once() {
    let (_server, proxy, mut client) = http();
    proxy.swallow("/put", 2, After::Close);
    send_apart(&proxy, &mut client, &["GET /put", "/put HTTP/1.1\r\n\r\n"]);
    assert!(client.receive(38 + 8).ends_with(b"/put/put"));
    assert_eq!((proxy.requests("/put"), proxy.requests("")), (2, 1));
    client.request("/put");
    assert_eq!(client.look(), Found::End);
}

#[test]
fn a_match_may_come_in_pieces() {
    let (server, proxy, mut client) = http();
    proxy.swallow("/v3/kv/put", 2, After::Close);
    send_apart(&proxy, &mut client, &["POST /v3", "/kv/p", "ut HTTP/1.1\r\n", "\r\n"]);
    assert!(client.receive(39 + 10).ends_with(b"/v3/kv/put"));
    let pieces = ["POST /v3/kv/pu", "t HTTP/1.1\r\nContent-Length: 4\r\n\r\n", "bo", "dy"];
    send_apart(&proxy, &mut client, &pieces);
    assert_eq!(client.look(), Found::End);
    assert_eq!(server.heard("\r\n\r\nbody"), 1);
    assert_eq!((proxy.requests("/v3/kv/put"), proxy.requests("")), (2, 2));
}

#[test]
fn nothing_of_a_long_answer_leaks() {
    let (server, proxy, mut client) = http();
    proxy.swallow("/long", 1, After::Close);
    client.send("GET /long HTTP/1.1\r\nTimes: 200000\r\n\r\n");
    assert_eq!(client.look(), Found::End);
    assert_eq!(proxy.bytes().1, 0);
    assert_eq!(server.heard("/long"), 1);
}

#[test]
fn a_long_request_gets_through_whole() {
    let (server, proxy, mut client) = http();
    proxy.swallow("/long", 1, After::Reset);
    let body = "x".repeat(1 << 20);
    client.send(format!("POST /long HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(client.look(), Found::Reset);
    assert!(server.received().ends_with(body.as_bytes()));
    assert_eq!(proxy.swallowed(), 1);
}

#[test]
fn patience_with_the_server_is_limited() {
    let server = Server::deaf();
    let proxy = Proxy::start(server.port);
    proxy.set_patience(Duration::from_millis(30));
    proxy.swallow("", 1, After::Close);
    let mut client = Client::connect(&proxy);
    client.send("hello");
    assert_eq!(client.look(), Found::End);
    assert_eq!(server.heard("hello"), 1);
    assert_eq!(proxy.swallowed(), 0);
}
