use super::*;

fn read(text: &str) -> TxnRequest {
    transaction(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn compare(line: &str) -> Compare {
    read(line).compares.remove(0)
}

fn op_of(line: &str) -> Op {
    read(&format!("\n{line}\n")).then.remove(0)
}

#[test]
fn the_example_of_etcdctl() {
    let txn = read(
        "mod(\"key1\") > \"0\"\n\nput key1 \"overwrote-key1\"\n\nput key1 \"created-key1\"\nput key2 \"some extra key\"\n\n",
    );
    let positive = Compare {
        range: KeyRange::key("key1"),
        target: CompareTarget::ModRevision(0),
        relation: Relation::Greater,
    };
    assert_eq!(txn.compares, [positive]);
    assert_eq!(txn.then, [Op::Put(PutRequest::new("key1", "overwrote-key1"))]);
    let put = |key: &str, value: &str| Op::Put(PutRequest::new(key, value));
    assert_eq!(txn.otherwise, [put("key1", "created-key1"), put("key2", "some extra key")]);
}

#[test]
fn parts_may_be_empty_and_the_last_line_may_lack_its_end() {
    assert_eq!(read(""), TxnRequest::default());
    assert_eq!(read("\n\n\n\n"), TxnRequest::default());
    assert_eq!(read("\n\ndel k").otherwise.len(), 1);
    assert_eq!(read("\r\n  del k \r\n\r\n").then.len(), 1);
}

#[test]
fn conditions() {
    assert_eq!(compare("c(\"k\") = \"3\""), Compare::create_revision("k", 3));
    assert_eq!(compare("  create ( \"k\" )=\"3\" "), Compare::create_revision("k", 3));
    assert_eq!(compare("ver(\"k\") != \"0\""), Compare::exists("k"));
    assert_eq!(compare("value(\"a\\x62\\u00e9\\n\") = `raw\\n`"), Compare::value("abé\n", "raw\\n"));
    assert_eq!(compare("val(\"\\xff\\101\\a\") = \"\\\"\""), Compare::value(*b"\xffA\x07", "\""));
    let lease = compare("lease(\"k\") < \"2d8257079fa1bc0c\"");
    assert_eq!(
        (lease.target, lease.relation),
        (CompareTarget::Lease(3_279_279_168_933_706_764), Relation::Less)
    );
}

#[test]
fn operations_with_their_flags() {
    let range = |range: KeyRange| RangeRequest::new(range);
    let get = |line: &str| match op_of(line) {
        Op::Range(request) => request,
        other => panic!("{other:?}"),
    };
    assert_eq!(get("get k"), range(KeyRange::key("k")));
    assert_eq!(get("get a b"), range(KeyRange { start: b"a".into(), end: b"b".into() }));
    assert_eq!(get("get '' --from-key"), range(KeyRange::from_key([0])));
    let sorted = RangeRequest {
        limit: 2,
        revision: 7,
        sort_by: SortBy::Mod,
        descending: true,
        keys_only: true,
        serializable: true,
        min_mod_revision: 5,
        ..range(KeyRange::prefix("k"))
    };
    let flags = "--prefix=true --limit 2 --rev=7 --sort-by=MODIFY --order DESCEND --keys-only --consistency=s --min-mod-rev=5";
    assert_eq!(get(&format!("get {flags} k")), sorted);
    let put = PutRequest { lease: 0x1f, prev_kv: true, ..PutRequest::new("k", "-v") };
    assert_eq!(op_of("put --lease=1F --prev-kv -- k -v"), Op::Put(put));
    let kept = PutRequest { ignore_value: true, ..PutRequest::new("k", "") };
    assert_eq!(op_of("put k --ignore-value"), Op::Put(kept));
    let all = DeleteRequest { prev_kv: true, ..DeleteRequest::new(KeyRange::prefix("")) };
    assert_eq!(op_of("del \"\" --prefix --prev-kv --range=false"), Op::Delete(all));
}

#[test]
fn mistakes_name_the_line_and_what_is_allowed() {
    let mistakes = [
        ("lease(\"k\") > 10", 1, "double quotes"),
        ("lease(\"k\") > \"ffffffffffffffff\"", 1, "in hex"),
        ("mod(\"k\") = \"x\"", 1, "\"x\" is no revision"),
        ("mod(\"k\") ~ \"1\"", 1, "= != < >"),
        ("mod(\"k\") = \"1\" # once", 1, "behind the condition"),
        ("size(\"k\") = \"1\"", 1, "create, mod, version, value, lease"),
        ("put k v", 1, "mod(\"KEY\")"),
        ("\nput k", 2, "allowed: put KEY VALUE"),
        ("\nput k v w", 2, "unexpected argument 'w'"),
        ("\nput k v --ttl=1", 2, "--ttl"),
        ("\nput k \"v", 2, "does not end"),
        ("\nput k 'a'b", 2, "space is missing"),
        ("\nput k \"\\q\"", 2, "\\xNN"),
        ("\nput k \"\\ud800\"", 2, "\\uNNNN"),
        ("\nget a b --prefix", 2, "cannot be used with"),
        ("\nget k --limit=x", 2, "--limit"),
        ("\nget -h", 2, "allowed: get KEY"),
        ("\nincr k", 2, "get, put, del"),
        ("\n\ndel", 3, "allowed: del KEY"),
        ("\n\n\nget k", 4, "third part"),
    ];
    for (text, line, part) in mistakes {
        let fault = transaction(text.as_bytes()).expect_err(text);
        assert!(fault.starts_with(&format!("{line}: ")) && fault.contains(part), "{text}: {fault}");
        assert!(!fault.contains('\n'), "{fault}");
    }
}
