//! What only gRPC can meet with: servers that break HTTP/2 or gRPC in every way, streams and connections that a server
//! ends in the middle, answers that are too long.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etcd::client::Watcher;
use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, Error, ErrorKind, Outcome};
use faultproxy::Proxy;

use ErrorKind::{BadReply, Timeout, TooLarge, Unavailable};
use Outcome::{NotSent, Refused, Unknown};

use crate::support::http2::*;
use crate::support::{Etcd, Jitter, Protocol, Rpc, VERSIONS, built, client, eventually, my_turn};

const TIMEOUT: Duration = Duration::from_secs(2);
/// What a call may take beyond its timeout, on a machine without jitter.
const SLACK: Duration = Duration::from_millis(100);

/// How a server treats a connection once something was asked on it.
type Evil = fn(&mut Peer, &Asked) -> io::Result<()>;

fn impatient(endpoints: &str) -> Client {
    client(endpoints, &[("request_timeout_ms", &TIMEOUT.as_millis().to_string())])
}

fn watch(client: &Client, from: i64) -> Watcher {
    client.watch(WatchRequest::new(KeyRange::key("k"), from))
}

fn asked(fake: &Fake, rpc: Rpc) -> usize {
    fake.requests(Protocol::Grpc.path(rpc))
}

/// What a read, a write and the opening of a watch end with on this server; none may succeed or be late by more than
/// the slack.
fn failures(fake: &Fake, slack: Duration) -> [Error; 3] {
    type Call = fn(&Client) -> Result<(), Error>;
    let calls: [Call; 3] = [
        |client| client.get("k").map(drop),
        |client| client.put("k", "v", 0).map(drop),
        |client| watch(client, 0).open(Deadline::NEVER, client.closed()).map(drop),
    ];
    let _turn = my_turn();
    std::thread::scope(|scope| {
        let calls = calls.map(|call| {
            scope.spawn(move || {
                let client = impatient(&fake.servers());
                let (start, jitter) = (Instant::now(), Jitter::measure());
                let error = call(&client).expect_err("it can't succeed");
                let (took, limit) = (start.elapsed(), TIMEOUT + slack + jitter.worst());
                assert!(took <= limit, "{took:?} of {limit:?}: {error}");
                error
            })
        });
        calls.map(|call| call.join().expect("no panic"))
    })
}

/// Asserts how calls and watches end on a server that does this, and what is known of a write then.
fn end_with(what: &str, evil: Evil, call: ErrorKind, watch: ErrorKind, written: Outcome) {
    let fake = Fake::answering(evil);
    // A flood that lasts until then keeps this process busy, too.
    let slack = if call == Timeout { 3 * SLACK } else { SLACK };
    let [read, write, watching] = failures(&fake, slack);
    let told = [read.kind(), write.kind(), watching.kind()];
    assert_eq!(told, [call, call, watch], "{what}: {read}\n{write}\n{watching}");
    assert_eq!(write.outcome(), written, "{what}: {write}");
    assert!(asked(&fake, Rpc::Range) > 0 && asked(&fake, Rpc::Watch) > 0, "{what}: it was asked");
    let writes = asked(&fake, Rpc::Put);
    assert!(writes == 1 || writes > 1 && written != Outcome::Unknown, "{what}: written {writes} times");
}

/// A program that has room for 64 MiB of data and no more.
fn with_little_memory(servers: &str, command: &[&str]) -> Command {
    let mut tool = Command::new("sh");
    tool.args(["-c", "ulimit -d 65536; exec \"$@\"", "sh"]).arg(built().join("etcd-api"));
    tool.args(["-s", servers]).args(command);
    tool
}

/// Asserts that a server that does this can't take up a client's memory.
fn cost_little(what: &str, evil: Evil) {
    let (fake, _turn) = (Fake::answering(evil), my_turn());
    std::thread::scope(|scope| {
        for command in [&["get", "k"][..], &["set", "k", "v"], &["watch", "k"]] {
            let fake = &fake;
            scope.spawn(move || {
                let mut tool = with_little_memory(&fake.servers(), command);
                let output = tool.env("ETCD_API_REQUEST_TIMEOUT_MS", "2000").output().expect("it runs");
                // Without memory it would be ended by a signal.
                let ended = output.status.code().is_some_and(|code| code > 0);
                assert!(ended && output.stderr.starts_with(b"etcd-api: "), "{what}, {command:?}: {output:?}");
            });
        }
    });
    let asked = [Rpc::Range, Rpc::Txn, Rpc::Watch].map(|rpc| asked(&fake, rpc));
    assert!(!asked.contains(&0), "{what}: {asked:?}");
}

/// Sends the same without end, until the client has enough. A moment's rest now and then leaves something of the
/// machine to the other tests.
fn flood(peer: &mut Peer, bytes: &[u8]) -> io::Result<()> {
    let much = bytes.repeat((64 << 10) / bytes.len() + 1);
    loop {
        peer.send(&much)?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn garbage() {
    end_with(
        "after a request",
        |peer, _| flood(peer, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        BadReply,
        BadReply,
        Unknown,
    );
    let fake = Fake::start(|peer| flood(peer, b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let [read, write, watch] = failures(&fake, 3 * SLACK);
    assert_eq!([read.kind(), write.kind(), watch.kind()], [BadReply; 3], "{read}\n{write}\n{watch}");
    assert_eq!(write.outcome(), NotSent, "nothing was sent before it was greeted: {write}");
    assert!(fake.connections() >= 3);
}

#[test]
fn frames_that_no_server_may_send() {
    let broken: [(&str, Evil); 22] = [
        ("settings of five bytes", |peer, _| peer.send(&frame(SETTINGS, 0, 0, &[0; 5]))),
        ("settings of a stream", |peer, asked| peer.send(&frame(SETTINGS, 0, asked.stream, &[]))),
        ("settings in an answer to settings", |peer, _| peer.send(&frame(SETTINGS, ACK, 0, &[0; 6]))),
        ("a window beyond all bounds", |peer, _| peer.send(&frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]))),
        ("frames of no size", |peer, _| peer.send(&frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 0]))),
        ("a ping of seven bytes", |peer, _| peer.send(&frame(PING, 0, 0, &[0; 7]))),
        ("a ping of a stream", |peer, asked| peer.send(&frame(PING, 0, asked.stream, &[0; 8]))),
        ("a window update of three bytes", |peer, _| peer.send(&frame(WINDOW_UPDATE, 0, 0, &[0; 3]))),
        ("a window update by nothing", |peer, _| peer.send(&frame(WINDOW_UPDATE, 0, 0, &[0; 4]))),
        ("window updates beyond all bounds", |peer, _| {
            peer.send(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2))
        }),
        ("a reset of no stream", |peer, _| peer.send(&frame(RST_STREAM, 0, 0, &[0; 4]))),
        ("a reset of three bytes", |peer, asked| peer.send(&frame(RST_STREAM, 0, asked.stream, &[0; 3]))),
        ("a farewell of four bytes", |peer, _| peer.send(&frame(GOAWAY, 0, 0, &[0; 4]))),
        ("data of no stream", |peer, _| peer.send(&data(0, b"data"))),
        ("data of a stream to come", |peer, _| peer.send(&data(99, b"data"))),
        ("headers of no stream", |peer, _| peer.send(&head(0))),
        ("headers of a stream to come", |peer, _| peer.send(&head(99))),
        ("a promise", |peer, asked| {
            let promise = [&[0, 0, 0, 2], &fields(&[(":path", "/")])[..]].concat();
            peer.send(&frame(PUSH_PROMISE, END_HEADERS, asked.stream, &promise))
        }),
        ("a continuation of nothing", |peer, asked| {
            peer.send(&frame(CONTINUATION, END_HEADERS, asked.stream, &[]))
        }),
        ("headers that can't be read", |peer, asked| {
            peer.send(&frame(HEADERS, END_HEADERS, asked.stream, &[0xff; 20]))
        }),
        ("padding longer than the frame", |peer, asked| {
            peer.send(&frame(DATA, 8, asked.stream, &[200, 0, 0]))
        }),
        ("a frame longer than agreed", |peer, asked| {
            peer.send(&[&head(asked.stream)[..], &data(asked.stream, &[0; 17 << 10])].concat())
        }),
    ];
    for (what, evil) in broken {
        end_with(what, evil, BadReply, BadReply, Unknown);
    }
}

#[test]
fn frames_that_nobody_knows_are_passed_over() {
    let fake = Fake::answering(|peer, asked| {
        peer.send(
            &[
                frame(0xbe, 0xff, 0, b"?"),
                frame(0xbe, 0, asked.stream, b"?"),
                answer(asked.stream, &header(3)),
            ]
            .concat(),
        )
    });
    assert_eq!(impatient(&fake.servers()).put("k", "v", 0).expect("an answer"), 3);
}

/// Headers that go on and on, in frames of this size.
fn endless_headers(peer: &mut Peer, asked: &Asked, size: usize) -> io::Result<()> {
    peer.send(&frame(HEADERS, 0, asked.stream, &fields(&[(":status", "200")])))?;
    let block = fields(&[("x", "y")]).repeat(size / 5);
    flood(peer, &frame(CONTINUATION, 0, asked.stream, &block))
}

#[test]
fn headers_without_an_end() {
    let evils: [(&str, Evil); 3] = [
        ("full frames", |peer, asked| endless_headers(peer, asked, 16_000)),
        ("empty frames", |peer, asked| endless_headers(peer, asked, 0)),
        ("small frames", |peer, asked| endless_headers(peer, asked, 5)),
    ];
    for (what, evil) in evils {
        end_with(what, evil, BadReply, BadReply, Unknown);
        cost_little(what, evil);
    }
}

#[test]
fn one_header_of_10_mib() {
    let evil: Evil = |peer, asked| {
        // The length of the value, 10 MiB, in HPACK's way: 127, then what is left in groups of seven bits.
        peer.send(&frame(HEADERS, 0, asked.stream, &[0, 1, b'x', 0x7f, 0x81, 0xff, 0xff, 0x04]))?;
        let part = frame(CONTINUATION, 0, asked.stream, &[b'y'; 16 << 10]);
        (0..640).try_for_each(|_| peer.send(&part))?;
        peer.send(&frame(CONTINUATION, END_HEADERS, asked.stream, &[]))
    };
    end_with("", evil, BadReply, BadReply, Unknown);
    cost_little("", evil);
}

#[test]
fn headers_that_unfold_to_64_mib() {
    let evil: Evil = |peer, asked| {
        // One of 4,000 bytes that is kept in the table, then 16,000 times the one byte that stands for it.
        let kept = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
        peer.send(&frame(HEADERS, 0, asked.stream, &kept))?;
        peer.send(&frame(CONTINUATION, END_HEADERS, asked.stream, &[0xbe; 16_000]))
    };
    end_with("", evil, BadReply, BadReply, Unknown);
    cost_little("", evil);
}

#[test]
fn a_message_that_says_it_has_4_gib() {
    let evil: Evil = |peer, asked| {
        peer.send(&head(asked.stream))?;
        peer.send(&data(asked.stream, b"\0\xff\xff\xff\xff"))?;
        flood(peer, &data(asked.stream, &[0; 16 << 10]))
    };
    end_with("", evil, TooLarge, TooLarge, Unknown);
    cost_little("", evil);
}

#[test]
fn data_without_an_end() {
    let nothings: Evil = |peer, asked| {
        peer.send(&head(asked.stream))?;
        flood(peer, &data(asked.stream, &[]))
    };
    end_with("no bytes", nothings, BadReply, BadReply, Unknown);
    cost_little("no bytes", nothings);
    let messages: Evil = |peer, asked| {
        peer.send(&head(asked.stream))?;
        flood(peer, &data(asked.stream, &message(&[])))
    };
    end_with("empty messages", messages, BadReply, BadReply, Unknown);
    cost_little("empty messages", messages);
    let after_answer: Evil = |peer, asked| {
        peer.send(&[head(asked.stream), data(asked.stream, &message(&header(3)))].concat())?;
        flood(peer, &data(asked.stream, &[]))
    };
    end_with("after an answer", after_answer, BadReply, BadReply, Unknown);
    cost_little("after an answer", after_answer);
}

#[test]
fn pings_without_an_end() {
    let evil: Evil = |peer, _| flood(peer, &frame(PING, 0, 0, &[0; 8]));
    end_with("", evil, Timeout, Timeout, Unknown);
    cost_little("", evil);
}

#[test]
fn settings_without_an_end() {
    let evil: Evil = |peer, _| flood(peer, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]));
    end_with("", evil, Timeout, Timeout, Unknown);
    cost_little("", evil);
}

#[test]
fn pings_and_settings_without_an_end_from_the_first_byte_on() {
    for bytes in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let fake = Fake::start(move |peer| {
            peer.send(&frame(SETTINGS, 0, 0, &[]))?;
            flood(peer, &bytes)
        });
        let [read, write, watch] = failures(&fake, 3 * SLACK);
        assert_eq!([read.kind(), write.kind(), watch.kind()], [Timeout; 3], "{read}\n{write}\n{watch}");
        assert_eq!(write.outcome(), NotSent, "no sign of life: {write}");
        assert!(fake.connections() >= 3);
    }
}

#[test]
fn answers_that_lack_something_or_have_too_much() {
    let answers: [(&str, Evil, ErrorKind, ErrorKind, Outcome); 16] = [
        (
            "no trailers",
            |peer, asked| {
                let last = frame(DATA, END_STREAM, asked.stream, &message(&header(3)));
                peer.send(&[head(asked.stream), last].concat())
            },
            BadReply,
            BadReply,
            Unknown,
        ),
        (
            "trailers without a status",
            |peer, asked| {
                let bytes = data(asked.stream, &message(&header(3)));
                peer.send(&[head(asked.stream), bytes, trailers(asked.stream, &[("x", "y")])].concat())
            },
            BadReply,
            BadReply,
            Unknown,
        ),
        (
            "a status that is none",
            |peer, asked| {
                let bytes = data(asked.stream, &message(&header(3)));
                peer.send(
                    &[head(asked.stream), bytes, trailers(asked.stream, &[("grpc-status", "fine")])].concat(),
                )
            },
            BadReply,
            BadReply,
            Unknown,
        ),
        (
            "success without a message",
            |peer, asked| {
                peer.send(&[head(asked.stream), trailers(asked.stream, &[("grpc-status", "0")])].concat())
            },
            BadReply,
            Unavailable,
            Unknown,
        ),
        (
            "success and nothing else",
            |peer, asked| {
                let block =
                    fields(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]);
                peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, asked.stream, &block))
            },
            BadReply,
            BadReply,
            Unknown,
        ),
        (
            "a part of a message",
            |peer, asked| {
                let bytes = data(asked.stream, b"\0\0\0\0\x09abc");
                peer.send(
                    &[head(asked.stream), bytes, trailers(asked.stream, &[("grpc-status", "0")])].concat(),
                )
            },
            BadReply,
            Unavailable,
            Unknown,
        ),
        (
            "two messages",
            |peer, asked| {
                let bytes = data(asked.stream, &message(&header(3)).repeat(2));
                peer.send(
                    &[head(asked.stream), bytes, trailers(asked.stream, &[("grpc-status", "0")])].concat(),
                )
            },
            BadReply,
            Unavailable,
            Unknown,
        ),
        (
            "a compressed message",
            |peer, asked| peer.send(&[head(asked.stream), data(asked.stream, b"\x01\0\0\0\x01\0")].concat()),
            BadReply,
            BadReply,
            Unknown,
        ),
        (
            "a message of random bytes",
            |peer, asked| peer.send(&answer(asked.stream, b"\xff\x07random bytes\xfe")),
            BadReply,
            BadReply,
            Unknown,
        ),
        (
            "a message without a header",
            |peer, asked| peer.send(&answer(asked.stream, &[])),
            BadReply,
            BadReply,
            Unknown,
        ),
        ("HTTP 404", |peer, asked| plain_http(peer, asked, "404"), BadReply, BadReply, Refused),
        ("HTTP 503", |peer, asked| plain_http(peer, asked, "503"), BadReply, BadReply, Unknown),
        ("HTTP 200 without gRPC", |peer, asked| plain_http(peer, asked, "200"), BadReply, BadReply, Unknown),
        (
            "no HTTP status",
            |peer, asked| {
                peer.send(&frame(
                    HEADERS,
                    END_HEADERS,
                    asked.stream,
                    &fields(&[("content-type", "application/grpc")]),
                ))
            },
            BadReply,
            BadReply,
            Unknown,
        ),
        (
            "only 100 (continue)",
            |peer, asked| {
                flood(peer, &frame(HEADERS, END_HEADERS, asked.stream, &fields(&[(":status", "100")])))
            },
            Timeout,
            Timeout,
            Unknown,
        ),
        (
            "an unknown method",
            |peer, asked| {
                let status = [("grpc-status", "12"), ("grpc-message", "unknown method")];
                peer.send(&[head(asked.stream), trailers(asked.stream, &status)].concat())
            },
            ErrorKind::Unsupported,
            ErrorKind::Unsupported,
            Refused,
        ),
    ];
    for (what, evil, call, watch, written) in answers {
        end_with(what, evil, call, watch, written);
    }
}

fn plain_http(peer: &mut Peer, asked: &Asked, status: &str) -> io::Result<()> {
    let block = fields(&[(":status", status), ("content-type", "text/plain")]);
    peer.send(&frame(HEADERS, END_HEADERS, asked.stream, &block))?;
    peer.send(&frame(DATA, END_STREAM, asked.stream, b"no such page, or none today"))
}

#[test]
fn streams_that_the_server_resets() {
    let resets: [(&str, Evil); 4] = [
        ("no error", |peer, asked| peer.send(&reset(asked.stream, NO_ERROR))),
        ("protocol error", |peer, asked| peer.send(&reset(asked.stream, PROTOCOL_ERROR))),
        ("internal error", |peer, asked| peer.send(&reset(asked.stream, INTERNAL_ERROR))),
        ("cancel", |peer, asked| peer.send(&reset(asked.stream, CANCEL))),
    ];
    for (what, evil) in resets {
        end_with(what, evil, Unavailable, Unavailable, Unknown);
    }
    end_with(
        "refused",
        |peer, asked| peer.send(&reset(asked.stream, REFUSED_STREAM)),
        Unavailable,
        Unavailable,
        NotSent,
    );
}

/// A server that does all that is wanted of it.
fn good() -> Fake {
    Fake::answering(|peer, asked| peer.send(&answer(asked.stream, &header(3))))
}

/// A write to a server that does this, with a good one beside it: the result, and how often it came to each.
fn write_to(evil: Evil) -> (Result<i64, Error>, [usize; 2]) {
    let (first, second) = (Fake::answering(evil), good());
    let client = impatient(&format!("{},{}", first.servers(), second.servers()));
    let result = client.put("k", "v", 0);
    (result, [asked(&first, Rpc::Put), asked(&second, Rpc::Put)])
}

#[test]
fn a_write_goes_elsewhere_only_when_it_was_surely_not_done() {
    let refusals: [(&str, Evil); 4] = [
        ("refused", |peer, asked| peer.send(&reset(asked.stream, REFUSED_STREAM))),
        ("before a farewell", |peer, _| peer.send(&go_away(0, NO_ERROR, ""))),
        ("before a farewell and the end", |peer, _| {
            peer.send(&go_away(0, NO_ERROR, ""))?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }),
        ("HTTP 404", |peer, asked| plain_http(peer, asked, "404")),
    ];
    for (what, evil) in refusals {
        let (result, times) = write_to(evil);
        assert_eq!((result.expect(what), times), (3, [1, 1]), "{what}");
    }
    let mysteries: [(&str, Evil); 6] = [
        ("canceled", |peer, asked| peer.send(&reset(asked.stream, CANCEL))),
        ("an internal error", |peer, asked| peer.send(&reset(asked.stream, INTERNAL_ERROR))),
        ("the end", |_, _| Err(io::ErrorKind::ConnectionAborted.into())),
        ("behind a farewell, then the end", |peer, asked| {
            peer.send(&go_away(asked.stream, NO_ERROR, ""))?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }),
        ("behind a farewell, then silence", |peer, asked| peer.send(&go_away(asked.stream, NO_ERROR, ""))),
        ("HTTP 503", |peer, asked| plain_http(peer, asked, "503")),
    ];
    for (what, evil) in mysteries {
        let (result, times) = write_to(evil);
        let error = result.expect_err(what);
        assert_eq!((error.outcome(), times), (Unknown, [1, 0]), "{what}: {error}");
    }
}

#[test]
fn a_call_before_a_farewell_is_made_again_on_a_new_connection() {
    let calls = AtomicUsize::new(0);
    let fake = Fake::answering(move |peer, asked| {
        let farewell = first_time(&calls);
        peer.send(&if farewell { go_away(0, NO_ERROR, "") } else { answer(asked.stream, &header(3)) })
    });
    assert_eq!(impatient(&fake.servers()).put("k", "v", 0).expect("the second time"), 3);
    assert_eq!((fake.connections(), asked(&fake, Rpc::Put)), (2, 2));
}

fn first_time(calls: &AtomicUsize) -> bool {
    calls.fetch_add(1, Ordering::SeqCst) == 0
}

#[test]
fn a_call_behind_a_farewell_is_answered_and_the_next_one_uses_a_new_connection() {
    let farewells: [fn(&Asked) -> u32; 2] = [|asked| asked.stream, |_| i32::MAX as u32];
    for last_stream in farewells {
        let fake = Fake::answering(move |peer, asked| {
            peer.send(&go_away(last_stream(asked), NO_ERROR, ""))?;
            std::thread::sleep(Duration::from_millis(200));
            peer.send(&answer(asked.stream, &header(3)))
        });
        let client = impatient(&fake.servers());
        for times in 1..=3 {
            assert_eq!(client.put("k", "v", 0).expect("an answer"), 3);
            assert_eq!((fake.connections(), asked(&fake, Rpc::Put)), (times, times));
        }
    }
}

#[test]
fn a_call_beside_one_that_is_still_under_way_on_a_connection_with_a_farewell_uses_a_new_one() {
    let calls = AtomicUsize::new(0);
    let fake = Fake::answering(move |peer, asked| {
        if !first_time(&calls) {
            return peer.send(&answer(asked.stream, &header(3)));
        }
        peer.send(&go_away(asked.stream, NO_ERROR, ""))?;
        std::thread::sleep(Duration::from_secs(1));
        peer.send(&answer(asked.stream, &header(3)))
    });
    let client = impatient(&fake.servers());
    std::thread::scope(|scope| {
        let long = scope.spawn(|| client.put("long", "v", 0));
        std::thread::sleep(Duration::from_millis(200));
        for _ in 0..3 {
            let start = Instant::now();
            assert_eq!(client.put("k", "v", 0).expect("an answer"), 3);
            assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        }
        assert!(!long.is_finished());
        assert_eq!(long.join().expect("no panic").expect("an answer"), 3);
    });
    assert_eq!((fake.connections(), asked(&fake, Rpc::Put)), (2, 4));
}

/// What a watch says of one put.
fn change(revision: u8) -> Vec<u8> {
    let kv = [&[0x0a, 1, b'k', 0x10, revision, 0x18, revision, 0x20, 1, 0x2a, 1, b'v'][..]].concat();
    let event = [&[0x12, kv.len() as u8], &kv[..]].concat();
    [&header(revision)[..], &[0x5a, event.len() as u8], &event].concat()
}

/// The number that stands behind a tag in a message, where the tag occurs only once.
fn start_revision(asked: &Asked) -> u8 {
    // In create_request: start_revision is field 3.
    asked.message.windows(2).find(|pair| pair[0] == 0x18).map_or(0, |pair| pair[1])
}

#[test]
fn a_watch_goes_on_behind_what_it_has_seen_however_its_stream_ends() {
    let ends: [(&str, Evil); 9] = [
        ("calm", |peer, _| {
            peer.send(&go_away(0, ENHANCE_YOUR_CALM, "too_many_pings"))?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }),
        ("calm, and the connection stays", |peer, _| {
            peer.send(&go_away(0, ENHANCE_YOUR_CALM, "too_many_pings"))
        }),
        ("farewell", |peer, _| peer.send(&go_away(0, NO_ERROR, ""))),
        ("farewell behind it", |peer, asked| {
            peer.send(&go_away(asked.stream, NO_ERROR, ""))?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }),
        ("reset", |peer, asked| peer.send(&reset(asked.stream, CANCEL))),
        ("the end", |_, _| Err(io::ErrorKind::ConnectionAborted.into())),
        ("success", |peer, asked| peer.send(&trailers(asked.stream, &[("grpc-status", "0")]))),
        ("no leader", |peer, asked| {
            let status = [("grpc-status", "14"), ("grpc-message", "etcdserver: no leader")];
            peer.send(&trailers(asked.stream, &status))
        }),
        ("garbage", |peer, asked| peer.send(&data(asked.stream, &message(b"\xff\xff")))),
    ];
    std::thread::scope(|scope| {
        for (what, end) in ends {
            scope.spawn(move || goes_on(what, end));
        }
    });
}

/// Each stream of this server tells of one change and ends.
fn goes_on(what: &str, end: Evil) {
    let fake = Fake::answering(move |peer, asked| {
        if asked.path.ends_with("/Range") {
            // The client looks whether its start is still there.
            return peer.send(&answer(asked.stream, &header(3)));
        }
        let revision = start_revision(asked);
        let answers = [message(&created(revision)), message(&change(revision))].concat();
        peer.send(&[head(asked.stream), data(asked.stream, &answers)].concat())?;
        // So that the change has been read when the end comes.
        std::thread::sleep(Duration::from_millis(50));
        end(peer, asked)
    });
    let client = impatient(&fake.servers());
    let mut watch = watch(&client, 5);
    for revision in 5..10 {
        let batch = watch.next(Deadline::after(Duration::from_secs(5)), client.closed());
        let batch = batch.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            batch.events.iter().map(|event| event.kv.mod_revision).collect::<Vec<_>>(),
            [revision],
            "{what}"
        );
    }
    assert!((5..=6).contains(&asked(&fake, Rpc::Watch)), "{what}: {} streams", asked(&fake, Rpc::Watch));
}

#[test]
fn a_server_that_had_enough_of_pings_gets_fewer() {
    let patient = Fake::answering(confirm);
    let calm = AtomicUsize::new(0);
    let annoyed = Fake::answering(move |peer, asked| {
        confirm(peer, asked)?;
        if first_time(&calm) { peer.send(&go_away(0, ENHANCE_YOUR_CALM, "too_many_pings")) } else { Ok(()) }
    });
    let clients = [&patient, &annoyed].map(|fake| impatient(&fake.servers()));
    std::thread::scope(|scope| {
        for client in &clients {
            let soon = Deadline::after(Duration::from_secs(13));
            scope.spawn(move || watch(client, 0).next(soon, client.closed()).expect_err("no change"));
        }
        // A connection may begin with a ping; the next ones come when nothing was heard for 10 seconds, or 20.
        std::thread::sleep(Duration::from_secs(2));
        let before = [patient.pings(), annoyed.pings()];
        std::thread::sleep(Duration::from_millis(10_500));
        assert_eq!([patient.pings(), annoyed.pings()], [before[0] + 1, before[1]]);
        assert_eq!([asked(&patient, Rpc::Watch), asked(&annoyed, Rpc::Watch)], [1, 2]);
    });
}

/// The first ping is sent with the first request. What comes before its answer is no reason to wait for that for ever.
#[test]
fn a_server_that_falls_silent_before_it_has_answered_a_ping_is_left() {
    let fake = Fake::start(|peer| {
        peer.send(&frame(SETTINGS, 0, 0, &[]))?;
        loop {
            let (kind, _, stream, _) = peer.frame()?;
            if kind == DATA {
                peer.send(&[head(stream), data(stream, &message(&created(3)))].concat())?;
            }
        }
    });
    let client = impatient(&fake.servers());
    let limit = Duration::from_secs(60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            watch(&client, 0).next(Deadline::after(limit), client.closed()).expect_err("no change")
        });
        // 10 s of silence, and 5 s for the answer to another ping.
        eventually(limit, "another connection", || (fake.connections() > 1).then_some(()));
        client.close();
    });
}

/// Confirms a watch.
fn confirm(peer: &mut Peer, asked: &Asked) -> io::Result<()> {
    peer.send(&[head(asked.stream), data(asked.stream, &message(&created(3)))].concat())
}

#[test]
fn a_server_that_ends_each_watch_as_soon_as_it_is_confirmed_keeps_nobody_busy() {
    let fake = Fake::answering(|peer, asked| {
        confirm(peer, asked)?;
        peer.send(&reset(asked.stream, CANCEL))
    });
    let client = impatient(&fake.servers());
    let mut watch = watch(&client, 0);
    let error = watch.next(Deadline::after(Duration::from_secs(2)), client.closed()).expect_err("no change");
    assert_eq!(error.kind(), Timeout);
    assert!((2..15).contains(&asked(&fake, Rpc::Watch)), "{} streams", asked(&fake, Rpc::Watch));
}

#[test]
fn a_server_that_takes_nothing_or_no_calls_is_left_in_time() {
    // No window for any stream; no streams.
    for settings in [[0, 4, 0, 0, 0, 0], [0, 3, 0, 0, 0, 0]] {
        let fake = Fake::start(move |peer| {
            peer.send(&frame(SETTINGS, 0, 0, &settings))?;
            loop {
                peer.asked()?;
            }
        });
        let [read, write, watch] = failures(&fake, SLACK);
        assert_eq!([read.kind(), write.kind(), watch.kind()], [Timeout; 3], "{read}\n{write}\n{watch}");
        assert_eq!(asked(&fake, Rpc::Put), 0);
        assert!(fake.connections() >= 3);
    }
}

#[test]
fn calls_wait_for_their_turn_on_a_server_that_takes_one_at_a_time() {
    let fake = Fake::start(|peer| {
        peer.send(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]))?;
        loop {
            let asked = peer.asked()?;
            std::thread::sleep(Duration::from_millis(20));
            peer.send(&answer(asked.stream, &header(3)))?;
        }
    });
    let client = client(&fake.servers(), &[]);
    client.put("k", "v", 0).expect("by now the server's settings are known");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| client.put("k", "v", 0).expect("an answer"));
        }
    });
    assert_eq!((fake.connections(), asked(&fake, Rpc::Put)), (1, 21));
}

/// Nothing can have been heard of a call that is given up at once: that says nothing of the connection.
#[test]
fn calls_that_are_given_up_at_once_leave_the_connection_to_others() {
    let fake = Fake::answering(|peer, asked| match asked.path.ends_with("/Put") {
        true => peer.send(&answer(asked.stream, &header(3))),
        false => Ok(()),
    });
    let client = client(&fake.servers(), &[("request_timeout_ms", "60000")]);
    let unanswered = Arc::new(Request::Range(RangeRequest::new(KeyRange::key("k"))));
    for _ in 0..50 {
        client.put("k", "v", 0).expect("an answer");
        client.submit(unanswered.clone(), Deadline::NEVER, Box::new(drop)).cancel();
    }
    client.put("k", "v", 0).expect("an answer");
    // One that was held up between its call and the end of it may have cost a connection.
    assert!(fake.connections() < 10, "{} connections", fake.connections());
}

#[test]
fn no_more_than_1000_calls_are_under_way_on_a_connection() {
    const UNDER_WAY: usize = 1000;
    let most = Arc::new(AtomicUsize::new(0));
    let seen = most.clone();
    // One that answers nobody until nobody asks any more for a while.
    let fake = Fake::start(move |peer| {
        peer.send(&frame(SETTINGS, 0, 0, &[]))?;
        loop {
            let mut waiting = vec![peer.asked()?.stream];
            peer.socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            while let Ok(asked) = peer.asked() {
                waiting.push(asked.stream);
            }
            peer.socket.set_read_timeout(None)?;
            seen.fetch_max(waiting.len(), Ordering::SeqCst);
            for stream in waiting {
                peer.send(&answer(stream, &header(3)))?;
            }
        }
    });
    let client = client(&fake.servers(), &[("request_timeout_ms", "60000")]);
    let (sender, answers) = std::sync::mpsc::channel();
    let request = Arc::new(Request::Range(RangeRequest::new(KeyRange::key("k"))));
    for _ in 0..2 * UNDER_WAY + 1 {
        let sender = sender.clone();
        let done = move |reply: Result<Reply, Error>| sender.send(reply.map(drop)).expect("somebody waits");
        client.submit(request.clone(), Deadline::NEVER, Box::new(done));
    }
    for _ in 0..2 * UNDER_WAY + 1 {
        answers.recv_timeout(Duration::from_secs(60)).expect("in time").expect("an answer");
    }
    assert_eq!((fake.connections(), most.load(Ordering::SeqCst)), (1, UNDER_WAY));
}

const MIB: usize = 1 << 20;

/// A server with 100 MiB in 100 keys.
fn with_much() -> Option<Etcd> {
    let etcd = Etcd::start(VERSIONS[1])?;
    let direct = client(&etcd.servers(), &[]);
    for number in 0..100 {
        direct.put(format!("much/{number:02}"), vec![b'v'; MIB], 0).expect("a put");
    }
    Some(etcd)
}

fn much() -> RangeRequest {
    RangeRequest::new(KeyRange::prefix("much/"))
}

#[test]
fn a_long_answer_of_etcd_arrives_or_is_refused_and_costs_nothing_else() {
    let Some(etcd) = with_much() else { return };
    let patient = &[("request_timeout_ms", "30000")];
    let found = client(&etcd.servers(), patient).range(much()).expect("an answer").1;
    assert_eq!(found.kvs.len(), 100);
    assert!(found.kvs.iter().all(|kv| kv.value == vec![b'v'; MIB]));

    let proxy = Proxy::start(etcd.port());
    let careful = client(&proxy.servers(), &[&patient[..], &[("max_reply_bytes", "1048576")]].concat());
    careful.put("k", "v", 0).expect("a put");
    // Others share the connection with the answer that is too long.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                assert_eq!(careful.get("k").expect("a read").expect("a key").value, b"v");
            }
        });
        for _ in 0..5 {
            let error = careful.range(much()).expect_err("too long");
            assert_eq!((error.kind(), error.outcome()), (TooLarge, NotSent), "{error}");
            assert!(error.to_string().contains("max_reply_bytes"), "{error}");
        }
    });
    careful.put("k", "v", 0).expect("a put");
    assert_eq!(proxy.connections(), 1, "the connection serves on");
    let passed = proxy.bytes().1;
    assert!(passed < 50 * MIB, "what nobody wants is not sent: {} MiB", passed / MIB);
}

#[test]
fn a_request_that_is_too_long_is_not_sent_to_etcd() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let proxy = Proxy::start(etcd.port());
    let careful = client(&proxy.servers(), &[("max_request_bytes", "1048576")]);
    careful.put("k", "v", 0).expect("a put");
    let error = careful.put("k", vec![b'v'; MIB], 0).expect_err("too long");
    assert_eq!((error.kind(), error.outcome()), (TooLarge, NotSent), "{error}");
    assert!(error.to_string().contains("max_request_bytes"), "{error}");
    assert!(proxy.bytes().0 < MIB / 2 && proxy.connections() == 1);
    careful.put("k", vec![b'v'; MIB - 100], 0).expect("just short enough");
    // The server has a limit of its own.
    let error = client(&etcd.servers(), &[]).put("k", vec![b'v'; 2 * MIB], 0).expect_err("too long");
    assert_eq!((error.kind(), error.outcome()), (TooLarge, Refused), "{error}");
}

#[test]
fn a_limit_on_answers_of_etcd_keeps_the_memory_free() {
    let Some(etcd) = with_much() else { return };
    let read = || with_little_memory(&etcd.servers(), &["get", "--prefix", "much/"]);
    let output = read().env("ETCD_API_MAX_REPLY_BYTES", "1048576").output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("max_reply_bytes"), "{output:?}");
    // The broken twin: all of it is more than there is room for.
    let output = read().output().expect("it runs");
    assert_eq!(output.status.code(), None, "ended by a signal: {:?}", output.status);
}
