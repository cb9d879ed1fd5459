//! Servers that break HTTP/2 or gRPC in every way.

use super::*;

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
