//! Reading many keys: which, how many, in which order, and as of when.

use etcd::ErrorKind;
use etcd::model::*;

use crate::cases;
use crate::subject::{Subject, between, key, prefix, says};

cases![
    ranges_are_half_open_and_in_byte_order,
    a_limit_tells_that_there_is_more,
    keys_are_sorted_by_every_target_both_ways,
    keys_without_values_and_counts_without_keys,
    bounds_on_revisions_leave_keys_out_but_count_them,
    the_past_can_be_read_at_every_revision,
    the_future_can_not_be_read,
    a_serializable_read_sees_what_is_there,
    a_large_range_comes_whole,
];

fn ranges_are_half_open_and_in_byte_order(on: &Subject) {
    for name in ["b", "a", "a/", "a/b", "a0", "\u{7f}", "é"] {
        on.put(name, "");
    }
    let read = |range: KeyRange| on.names(RangeRequest::new(range));
    assert_eq!(on.names(prefix("")), ["a", "a/", "a/b", "a0", "b", "\u{7f}", "é"]);
    assert_eq!(read(KeyRange::prefix("a/")), ["a/", "a/b"]);
    assert_eq!(read(KeyRange::prefix("a")), ["a", "a/", "a/b", "a0"]);
    assert_eq!(read(KeyRange::from_key("a0")), ["a0", "b", "\u{7f}", "é"]);
    assert_eq!(read(between("a/", "b")), ["a/", "a/b", "a0"]);
    assert_eq!(read(KeyRange::key("a")), ["a"]);
    assert_eq!(read(between("b", "a")), [""; 0], "an end before its start");
    assert_eq!(read(between("a", "a")), [""; 0]);
    assert_eq!(read(KeyRange::prefix("nothing")), [""; 0]);
}

fn a_limit_tells_that_there_is_more(on: &Subject) {
    for number in 0..5 {
        on.put(&format!("k{number}"), "");
    }
    for (limit, names, more) in [(0, 5, false), (1, 1, true), (4, 4, true), (5, 5, false), (9, 5, false)] {
        let reply = on.range(RangeRequest { limit, ..prefix("k") });
        assert_eq!((reply.kvs.len(), reply.more, reply.count), (names, more, 5), "limit {limit}");
    }
}

fn keys_are_sorted_by_every_target_both_ways(on: &Subject) {
    // Created b, a, c; changed b, c, a; put 1, 3 and 2 times; values in yet another order.
    for (name, value) in [("k/b", "z"), ("k/a", ""), ("k/c", ""), ("k/c", "x"), ("k/a", ""), ("k/a", "y")] {
        on.put(name, value);
    }
    let table = [
        (SortBy::Key, ["k/a", "k/b", "k/c"]),
        (SortBy::Version, ["k/b", "k/c", "k/a"]),
        (SortBy::Create, ["k/b", "k/a", "k/c"]),
        (SortBy::Mod, ["k/b", "k/c", "k/a"]),
        (SortBy::Value, ["k/c", "k/a", "k/b"]),
    ];
    for (sort_by, up) in table {
        let sorted = RangeRequest { sort_by, ..prefix("k/") };
        assert_eq!(on.names(sorted.clone()), up, "{sort_by:?}");
        let mut down = up;
        down.reverse();
        assert_eq!(on.names(RangeRequest { descending: true, ..sorted.clone() }), down, "{sort_by:?}");
        let first = on.range(RangeRequest { limit: 1, ..sorted });
        assert_eq!(first.kvs[0].key, up[0].as_bytes(), "sorted before it is cut");
        assert!(first.more);
    }
}

fn keys_without_values_and_counts_without_keys(on: &Subject) {
    on.put("k/a", "one");
    on.put("k/b", "two");
    let reply = on.range(RangeRequest { keys_only: true, ..prefix("k/") });
    assert_eq!(reply.kvs.iter().map(|kv| kv.value.len()).sum::<usize>(), 0);
    assert_eq!((reply.kvs[1].mod_revision, reply.kvs[1].version, reply.count), (3, 1, 2));
    let lease = on.client.grant(60).unwrap().id;
    on.client.put("leased", "", lease).unwrap();
    let kv = &on.range(RangeRequest { keys_only: true, ..key("leased") }).kvs[0];
    let told = if on.differs("keys-only-without-lease") { 0 } else { lease };
    assert_eq!((kv.lease, kv.create_revision), (told, 4));
    assert_eq!(on.range(RangeRequest::attributes("leased")).kvs[0].lease, lease);
    let reply = on.range(RangeRequest { count_only: true, ..prefix("k/") });
    assert_eq!(reply, RangeReply { count: 2, ..RangeReply::default() });
    let limited = on.range(RangeRequest { count_only: true, limit: 1, ..prefix("k/") });
    assert_eq!(limited, RangeReply { count: 2, ..RangeReply::default() });
}

fn bounds_on_revisions_leave_keys_out_but_count_them(on: &Subject) {
    // a: created 2, changed 5. b: 3, 3. c: 4, 4.
    for name in ["a", "b", "c", "a"] {
        on.put(name, "");
    }
    let all = prefix("");
    let table = [
        (RangeRequest { min_create_revision: 3, ..all.clone() }, vec!["b", "c"]),
        (RangeRequest { max_create_revision: 3, ..all.clone() }, vec!["a", "b"]),
        (RangeRequest { min_mod_revision: 4, ..all.clone() }, vec!["a", "c"]),
        (RangeRequest { max_mod_revision: 4, ..all.clone() }, vec!["b", "c"]),
        (RangeRequest { min_create_revision: 3, max_create_revision: 3, ..all.clone() }, vec!["b"]),
        (RangeRequest { min_mod_revision: 4, max_create_revision: 3, ..all.clone() }, vec!["a"]),
        (RangeRequest { min_mod_revision: 6, ..all.clone() }, vec![]),
    ];
    for (request, wanted) in table {
        let reply = on.range(request.clone());
        assert_eq!(crate::subject::names(&reply.kvs), wanted, "{request:?}");
        assert_eq!((reply.count, reply.more), (3, false), "{request:?}");
    }
    let cut = on.range(RangeRequest { min_create_revision: 3, limit: 1, ..all });
    assert_eq!((cut.kvs.len(), cut.more), (1, true));
}

fn the_past_can_be_read_at_every_revision(on: &Subject) {
    on.put("a", "1"); // 2
    on.put("b", "1"); // 3
    on.put("a", "2"); // 4
    on.client.delete(KeyRange::key("b")).unwrap(); // 5
    on.put("b", "2"); // 6
    on.client.delete(KeyRange::prefix("")).unwrap(); // 7
    let table = [
        (1, vec![]),
        (2, vec![("a", "1", 2, 1)]),
        (3, vec![("a", "1", 2, 1), ("b", "1", 3, 1)]),
        (4, vec![("a", "2", 2, 2), ("b", "1", 3, 1)]),
        (5, vec![("a", "2", 2, 2)]),
        (6, vec![("a", "2", 2, 2), ("b", "2", 6, 1)]),
        (7, vec![]),
        (0, vec![]),
    ];
    for (revision, wanted) in table {
        let (now, reply) = on.client.range(RangeRequest { revision, ..prefix("") }).unwrap();
        assert_eq!(now, 7, "the answer's revision is the present one");
        let seen: Vec<(&str, &str, i64, i64)> = reply
            .kvs
            .iter()
            .map(|kv| {
                let text = |bytes| std::str::from_utf8(bytes).unwrap();
                (text(&kv.key), text(&kv.value), kv.create_revision, kv.version)
            })
            .collect();
        assert_eq!(seen, wanted, "at revision {revision}");
        assert_eq!(reply.count, wanted.len() as i64);
        let count = on.range(RangeRequest { revision, count_only: true, ..prefix("") }).count;
        assert_eq!(count, wanted.len() as i64);
        let one = on.range(RangeRequest { revision, ..key("b") });
        assert_eq!(one.kvs.len(), wanted.iter().filter(|(name, ..)| *name == "b").count());
    }
}

fn the_future_can_not_be_read(on: &Subject) {
    let next = Request::Range(RangeRequest { revision: 2, ..key("k") });
    says(&on.refused(next), ErrorKind::FutureRevision, "future revision");
    let count = Request::Range(RangeRequest { revision: 99, count_only: true, ..key("k") });
    says(&on.refused(count), ErrorKind::FutureRevision, "future revision");
}

fn a_serializable_read_sees_what_is_there(on: &Subject) {
    on.put("k", "v");
    assert_eq!(on.names(RangeRequest { serializable: true, ..key("k") }), ["k"]);
}

fn a_large_range_comes_whole(on: &Subject) {
    let value = "v".repeat(1 << 20);
    for number in 0..6 {
        on.put(&format!("k{number}"), &value);
    }
    if on.differs("answers-of-4-mib") {
        says(&on.refused(Request::Range(prefix("k"))), ErrorKind::TooLarge, "larger than max");
    } else {
        let reply = on.range(prefix("k"));
        assert_eq!(reply.kvs.iter().map(|kv| kv.value.len()).sum::<usize>(), 6 << 20);
    }
}
