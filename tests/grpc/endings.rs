//! Streams and connections that a server ends in the middle, and what shares them.

use super::*;

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
