//! HTTP/2: what counts as a request, and that the right answers are swallowed and nothing else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use faultproxy::{After, Fault, Proxy};

use crate::grpc::{Client, Server, message, run};
use crate::peers::{self, Found, eventually};

const PUT: &str = "/etcdserverpb.KV/Put";
const HELD: &str = "/etcdserverpb.KV/held";
const STREAM: &str = "/etcdserverpb.Watch/stream";

async fn connected() -> (Server, Proxy, Client) {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let client = Client::connect(&proxy).await;
    (server, proxy, client)
}

#[test]
fn requests_are_counted_by_path() {
    run(async {
        let (_server, proxy, mut client) = connected().await;
        for _ in 0..3 {
            client.round_trip(PUT).await;
            client.round_trip("/etcdserverpb.KV/Range").await;
        }
        assert!(client.ping().await);
        Client::connect(&proxy).await.round_trip(PUT).await;
        assert_eq!((proxy.requests(PUT), proxy.requests("KV/Range")), (4, 3));
        assert_eq!((proxy.requests("etcdserverpb.KV"), proxy.requests("")), (7, 7));
        assert_eq!((proxy.requests("hello"), proxy.requests("application/grpc")), (7, 0));
    });
}

#[test]
fn the_answer_is_lost_and_the_work_is_done() {
    for (then, found) in [(After::Close, Found::End), (After::Reset, Found::Reset)] {
        run(async {
            let (server, proxy, mut client) = connected().await;
            client.round_trip(PUT).await;
            proxy.swallow(PUT, 2, then);
            client.round_trip(PUT).await;
            client.round_trip("/other").await;
            let mut lost = client.ask(PUT, "lost").await;
            assert!(lost.headers().await.is_err());
            assert_eq!(server.heard(PUT, &message("lost")), 1);
            assert_eq!(client.end().await, found);
            assert_eq!(proxy.swallowed(), 1);
            eventually("the connection over", || proxy.open() == 0);
            Client::connect(&proxy).await.round_trip(PUT).await;
        });
    }
}

#[test]
fn silence_is_for_all_streams() {
    run(async {
        let (server, proxy, mut client) = connected().await;
        proxy.swallow(PUT, 1, After::Silence);
        let mut lost = client.ask(PUT, "lost").await;
        lost.assert_silence().await;
        client.ask("/other", "more").await.assert_silence().await;
        assert_eq!((proxy.swallowed(), server.heard("/other", &message("more"))), (1, 1));
        assert!(client.is_open());
        Client::connect(&proxy).await.round_trip(PUT).await;
    });
}

#[test]
fn all_else_passes_until_the_answer_comes() {
    for then in [After::Close, After::Reset, After::Silence, After::Continue] {
        run(async {
            let (server, proxy, mut client) = connected().await;
            let mut before = client.ask("/before/held", "before").await;
            proxy.swallow(HELD, 1, then);
            let mut lost = client.ask(HELD, "lost").await;
            server.until_heard(HELD, "lost").await;
            server.release();
            before.assert_answer("before").await;
            assert!(client.ping().await);
            client.round_trip(PUT).await;
            assert_eq!(proxy.swallowed(), 0);
            server.release();
            match then {
                After::Silence | After::Continue => lost.assert_silence().await,
                After::Close | After::Reset => assert!(lost.headers().await.is_err()),
            }
            assert_eq!(proxy.swallowed(), 1);
        });
    }
}

#[test]
fn the_connection_goes_on_without_one_answer() {
    run(async {
        let (server, proxy, mut client) = connected().await;
        proxy.swallow(PUT, 1, After::Continue);
        let mut lost = client.ask(PUT, "lost").await;
        lost.assert_silence().await;
        // Their header fields refer to those that were swallowed.
        client.round_trip(PUT).await;
        client.round_trip("/other").await;
        assert!(client.ping().await);
        lost.assert_silence().await;
        assert_eq!((proxy.swallowed(), server.heard(PUT, &message("lost"))), (1, 1));
        assert!(client.is_open());
    });
}

#[test]
fn several_answers_may_be_awaited() {
    run(async {
        let (server, proxy, mut client) = connected().await;
        proxy.swallow("first/held", 1, After::Continue);
        proxy.swallow("second/held", 1, After::Close);
        let mut first = client.ask("/first/held", "").await;
        server.until_heard("/first/held", "").await;
        let mut second = client.ask("/second/held", "").await;
        server.release();
        first.assert_silence().await;
        assert_eq!(proxy.swallowed(), 1);
        client.round_trip(PUT).await;
        server.release();
        assert!(second.headers().await.is_err());
        assert_eq!(proxy.swallowed(), 2);
    });
}

#[test]
fn each_message_of_a_stream_is_a_request() {
    run(async {
        let (server, proxy, mut client) = connected().await;
        proxy.swallow(STREAM, 3, After::Continue);
        let mut stream = client.open(STREAM).await;
        stream.headers().await.expect("headers");
        assert_eq!((proxy.requests(STREAM), proxy.requests("")), (1, 1));
        for (number, text) in ["one", "two"].into_iter().enumerate() {
            stream.send(message(text));
            stream.assert_answer(text).await;
            assert_eq!(proxy.requests(STREAM), number + 1);
        }
        client.round_trip(PUT).await;
        stream.send(message("three"));
        stream.assert_silence().await;
        stream.send(message("four"));
        stream.assert_silence().await;
        assert_eq!((proxy.swallowed(), server.heard(STREAM, &message("four"))), (1, 1));
        assert_eq!((proxy.requests(STREAM), proxy.requests("three"), proxy.requests("")), (4, 1, 5));
        client.round_trip(PUT).await;
    });
}

#[test]
fn a_message_is_a_request_when_it_is_whole() {
    run(async {
        let (server, proxy, mut client) = connected().await;
        proxy.swallow("first second", 1, After::Close);
        let mut stream = client.open(STREAM).await;
        let bytes = message("first second");
        let pieces = [bytes.slice(..3), bytes.slice(3..8), bytes.slice(8..bytes.len() - 1)];
        for piece in pieces {
            stream.send(piece.clone());
            // The server answers early, and that is not what is to be swallowed.
            assert_eq!(stream.receive(piece.len()).await, piece);
        }
        stream.send(bytes.slice(bytes.len() - 1..));
        assert_eq!(client.end().await, Found::End);
        assert_eq!((server.heard(STREAM, b"d"), proxy.swallowed(), proxy.requests("")), (1, 1, 1));
    });
}

#[test]
fn several_messages_may_come_at_once() {
    run(async {
        let (_server, proxy, mut client) = connected().await;
        let mut stream = client.open(STREAM).await;
        let both = [message("one"), message("two"), message("three").slice(..4)].concat();
        stream.send(Bytes::from(both.clone()));
        assert_eq!(stream.receive(both.len()).await, both);
        assert_eq!(proxy.requests(STREAM), 2);
        stream.send(message("three").slice(4..));
        stream.receive(1).await;
        assert_eq!(proxy.requests(STREAM), 3);
    });
}

#[test]
fn a_long_request_gets_through_whole() {
    run(async {
        let (server, proxy, mut client) = connected().await;
        proxy.swallow(PUT, 1, After::Close);
        let text = "x".repeat(1 << 20);
        let mut lost = client.ask(PUT, &text).await;
        assert!(lost.headers().await.is_err());
        assert_eq!((server.heard(PUT, &message(&text)), proxy.swallowed()), (1, 1));
    });
}

#[test]
fn patience_with_the_server_is_limited() {
    run(async {
        let (server, proxy, mut client) = connected().await;
        proxy.set_patience(Duration::from_millis(80));
        proxy.swallow(HELD, 1, After::Close);
        let mut lost = client.ask(HELD, "lost").await;
        server.until_heard(HELD, "lost").await;
        // That the client goes on talking doesn't prolong it.
        while client.ping().await {}
        assert!(lost.headers().await.is_err());
        assert_eq!((client.end().await, proxy.swallowed()), (Found::End, 0));
    });
}

#[test]
fn patience_may_end_for_one_stream() {
    run(async {
        let (server, proxy, mut client) = connected().await;
        proxy.set_patience(Duration::from_millis(10));
        proxy.swallow(HELD, 1, After::Continue);
        let mut lost = client.ask(HELD, "lost").await;
        lost.assert_silence().await;
        server.release();
        lost.assert_silence().await;
        client.round_trip(PUT).await;
        assert_eq!((server.heard(HELD, &message("lost")), proxy.swallowed()), (1, 0));
    });
}

#[test]
fn bytes_may_come_one_by_one() {
    run(async {
        let server = Server::in_pieces(1);
        let proxy = Proxy::start(server.port);
        let mut client = Client::in_pieces(&proxy, 1).await;
        client.round_trip(PUT).await;
        proxy.swallow(PUT, 2, After::Continue);
        client.round_trip(PUT).await;
        client.ask(PUT, "lost").await.assert_silence().await;
        client.round_trip(PUT).await;
        assert_eq!((proxy.swallowed(), proxy.requests(PUT), proxy.requests("")), (1, 4, 4));
        assert_eq!(server.heard(PUT, &message("lost")), 1);
    });
}

#[test]
fn faults_are_for_bytes() {
    run(async {
        let (_server, proxy, mut client) = connected().await;
        proxy.set(Fault::Slow { bytes: 20, every: Duration::from_millis(1) });
        client.round_trip(PUT).await;
        let late = Duration::from_millis(20);
        proxy.set(Fault::Delay { to_server: late, to_client: late });
        let start = Instant::now();
        client.round_trip(PUT).await;
        assert!(start.elapsed() >= 2 * late, "{:?}", start.elapsed());
        proxy.set(Fault::Corrupt { every: 2, seed: 1 });
        assert!(client.ask(PUT, "").await.headers().await.is_err());
    });
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
}

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A path that the header table is to remember: `www.example.com` in Huffman's code, from RFC 7541, C.4.1.
const PATH: [u8; 14] = [0x44, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];

#[test]
fn header_blocks_are_read_in_every_form() {
    let server = peers::Server::deaf();
    let proxy = Proxy::start(server.port);
    let mut client = peers::Client::connect(&proxy);
    let (data, headers, ping, continuation) = (0, 1, 6, 9);
    let frames = [
        PREFACE.as_bytes().to_vec(),
        frame(4, 0, 0, &[]),
        // With padding and priority, continued twice.
        frame(headers, 0x28, 1, &[&[2, 0, 0, 0, 0, 9, 0x83][..], &PATH[..3], &[0, 0]].concat()),
        frame(continuation, 0, 1, &PATH[3..9]),
        frame(continuation, 4, 1, &PATH[9..]),
        frame(ping, 0, 0, &[0; 8]),
        // Padded to the end of the stream.
        frame(data, 9, 1, &[&[3][..], &message("padded"), &[0; 3]].concat()),
        // The path by its place in the table; with the end of the stream before that of the block.
        frame(headers, 1, 3, &[0x83]),
        frame(continuation, 4, 3, &[0xbe]),
        // Nonsense: too much padding, an index that is not there.
        frame(headers, 0x2c, 5, &[200, 0]),
        frame(headers, 5, 7, &[0xff, 0x00]),
    ];
    client.send(frames.concat());
    let all = frames.concat().len();
    eventually("all there", || server.received().len() == all);
    assert_eq!((proxy.requests("www.example.com"), proxy.requests("padded"), proxy.requests("")), (2, 1, 2));
}

#[test]
fn the_request_gets_through_before_a_chatty_server_is_cut_off() {
    let server = peers::Server::chatty(&[frame(4, 0, 0, &[]), frame(0, 0, 1, b"chat")]);
    let proxy = Proxy::start(server.port);
    for number in 1..=200 {
        proxy.swallow("hello", 1, After::Close);
        let mut client = peers::Client::connect(&proxy);
        let opened = [PREFACE.as_bytes(), &frame(4, 0, 0, &[]), &frame(1, 4, 1, &PATH)].concat();
        client.send(opened);
        client.receive(100);
        client.send(frame(0, 0, 1, &message("hello")));
        assert_ne!(client.last(), Found::Silence);
        assert_eq!(proxy.swallowed(), number);
        eventually("the request there", || server.heard("hello") == number);
    }
}

#[test]
fn an_answer_in_another_protocol_passes() {
    let proxy = Proxy::start(peers::Server::echo().port);
    let mut client = peers::Client::connect(&proxy);
    client.round_trip(PREFACE);
    client.round_trip("what?");
}
