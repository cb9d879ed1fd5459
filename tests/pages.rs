//! Large ranges in pages: all of them are of one revision, whatever happens to the keys and the servers meanwhile.

use etcd::client::{Answer, Operation, Pages};
use etcd::model::*;
use etcd::wait::{Cancel, Deadline};
use etcd::{Client, Error, ErrorKind, Result};
use faultproxy::{Fault, Proxy};

use crate::support::{Etcd, Language, Protocol, VERSIONS, call, call_under_valgrind, client, program, run};

fn pages(client: &Client, range: KeyRange, limit: i64) -> Pages {
    let range = RangeRequest { limit, ..RangeRequest::new(range) };
    client.pages(&Operation::request(Request::Range(range))).expect("a range in order")
}

/// A page: its keys with their values, how many keys there are in all, and its revision.
type Page = (Vec<String>, i64, i64);

fn next(pages: &mut Pages) -> Result<Option<Page>> {
    let page = pages.next(Deadline::NEVER, Cancel::NEVER)?;
    Ok(page.map(|answer| {
        let Answer::Reply(Reply { header, body: Body::Range(found) }) = answer else { panic!("{answer:?}") };
        let shown = |kv: &KeyValue| format!("{}={}", quote(&kv.key), String::from_utf8_lossy(&kv.value));
        (found.kvs.iter().map(shown).collect(), found.count, header.revision)
    }))
}

fn rest(pages: &mut Pages) -> Vec<Page> {
    std::iter::from_fn(|| next(pages).expect("a page")).collect()
}

/// Five keys, `p/0` to `p/4`, and others around them. Tells the revision.
fn fill(client: &Client) -> i64 {
    client.delete(KeyRange::prefix("")).expect("an empty store");
    for key in ["o", "p", "q"] {
        client.put(key, "no", 0).expect("written");
    }
    (0..5).fold(0, |_, key| client.put(format!("p/{key}"), "old", 0).expect("written"))
}

fn all() -> KeyRange {
    KeyRange::prefix("p/")
}

/// So many of the five keys on each page, as they were.
fn as_filled(limit: usize, revision: i64) -> Vec<Page> {
    let keys: Vec<String> = (0..5).map(|key| format!("\"p/{key}\"=old")).collect();
    keys.chunks(limit).map(|some| (some.to_vec(), 5, revision)).collect()
}

fn sizes(client: &Client) {
    let revision = fill(client);
    for limit in [1, 2, 4, 5, 6] {
        let mut pages = pages(client, all(), limit);
        assert_eq!(rest(&mut pages), as_filled(limit as usize, revision));
        assert_eq!(next(&mut pages).expect("the end"), None, "it stays the end");
    }
    assert_eq!(rest(&mut pages(client, all(), 0)), as_filled(5, revision));
    assert_eq!(rest(&mut pages(client, KeyRange::prefix("nothing/"), 1)), [(vec![], 0, revision)]);
}

fn one_revision(client: &Client) {
    let revision = fill(client);
    let mut reading = pages(client, all(), 2);
    let wanted = as_filled(2, revision);
    assert_eq!(next(&mut reading).expect("a page").as_ref(), Some(&wanted[0]));
    client.delete(KeyRange::key("p/2")).expect("deleted");
    client.put("p/3", "new", 0).expect("written");
    client.put("p/33", "new", 0).expect("written");
    assert_eq!(next(&mut reading).expect("a page").as_ref(), Some(&wanted[1]));
    client.delete(KeyRange::prefix("")).expect("deleted");
    assert_eq!(rest(&mut reading), wanted[2..]);
}

fn compacted(client: &Client) {
    fill(client);
    let mut reading = pages(client, all(), 2);
    next(&mut reading).expect("a page");
    let newest = client.put("p/2", "new", 0).expect("written");
    client.compact(newest).expect("compacted");
    for _ in 0..2 {
        let error: Error = next(&mut reading).expect_err("that revision is gone");
        assert_eq!(error.kind(), ErrorKind::Compacted, "{error}");
    }
}

/// The same to a client that lives in a namespace, which sees nothing of what is around it.
fn in_a_namespace(endpoints: &str) {
    let (outside, inside) = (client(endpoints, &[]), client(endpoints, &[("namespace", "ns/")]));
    fill(&inside);
    let around = ["a", "ns", "ns.", "ns0", "o", "p/1"];
    for key in around {
        outside.put(key, "outside", 0).expect("written");
    }
    let revision = inside.put("p/4", "old", 0).expect("written");
    assert_eq!(rest(&mut pages(&inside, all(), 2)), as_filled(2, revision));
    let everything = rest(&mut pages(&inside, KeyRange::prefix(""), 3));
    let keys: Vec<String> = everything
        .into_iter()
        .flat_map(|(keys, count, at)| {
            assert_eq!((count, at), (8, revision));
            keys
        })
        .collect();
    assert_eq!(keys.len(), 8);
    assert!(keys.is_sorted() && keys.iter().all(|key| !key.contains("outside")), "{keys:?}");
    for key in around {
        outside.delete(KeyRange::key(key)).expect("deleted");
    }
}

fn everything(endpoints: &str) {
    let client = client(endpoints, &[]);
    sizes(&client);
    one_revision(&client);
    compacted(&client);
    in_a_namespace(endpoints);
}

#[test]
fn pages_on_mem_are_of_one_revision() {
    everything("mem://pages");
}

#[test]
fn pages_of_etcd_are_of_one_revision() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        for protocol in Protocol::BOTH {
            everything(&protocol.endpoints(&etcd.servers()));
        }
    }
}

/// A page that could not be read is the next one again; another endpoint goes on where the first one was.
#[test]
fn pages_of_etcd_go_on_when_an_endpoint_fails_between_two() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    for protocol in Protocol::BOTH {
        let proxies = [Proxy::start(etcd.port()), Proxy::start(etcd.port())];
        let servers = format!("{},{}", proxies[0].servers(), proxies[1].servers());
        let (writing, reading) = (client(&etcd.servers(), &[]), client(&protocol.endpoints(&servers), &[]));
        let revision = fill(&writing);
        let mut pages = pages(&reading, all(), 1);
        let mut told = Vec::new();
        let mut read = |pages: &mut Pages| told.extend(next(pages).expect("a page"));
        read(&mut pages);
        writing.put("p/1", "new", 0).expect("written");
        proxies[0].set(Fault::Refuse);
        read(&mut pages);
        writing.put("p/2", "new", 0).expect("written");
        proxies[1].set(Fault::Refuse);
        let error = next(&mut pages).expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        proxies[0].set(Fault::Pass);
        (0..3).for_each(|_| read(&mut pages));
        assert_eq!(next(&mut pages).expect("the end"), None);
        assert_eq!(told, as_filled(1, revision), "{protocol:?}");
    }
}

const PAGES: &str = "tests/c/full/pages.c";

#[test]
fn pages_in_c_on_mem() {
    let (c, cpp) = (program(PAGES, Language::C), program(PAGES, Language::Cpp));
    for mut command in [call(&c), call(&cpp), call_under_valgrind(&c)] {
        assert!(run(command.arg("mem://pages")).ends_with("checks\n"));
    }
}

#[test]
fn pages_in_c_of_etcd() {
    let program = program(PAGES, Language::C);
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    for protocol in Protocol::BOTH {
        assert!(run(call(&program).arg(protocol.endpoints(&etcd.servers()))).ends_with("checks\n"));
    }
}
