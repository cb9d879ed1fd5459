//! Answers and requests that are too long.

use super::*;

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
