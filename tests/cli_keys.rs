//! The command-line tool's keys, transactions, leases and cluster commands, beside etcdctl on the same servers;
//! its output formats, colours and completions.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use etcd::model::{Alarm, AlarmAction, AlarmKind, Request};
use etcd::{Client, Options};
use serde_json::{Value, json};

use crate::support::{Etcd, Running, TempDir, VERSIONS, built, free_port};

fn command(servers: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(built().join("etcd-api"));
    for variable in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "CI"] {
        command.env_remove(variable);
    }
    command.env("ETCD_SERVERS", servers).env("TERM", "xterm").args(arguments).stdin(Stdio::null());
    command
}

/// Its exit code, standard output and standard error.
fn outcome(output: &Output) -> (i32, &[u8], &str) {
    let errors = std::str::from_utf8(&output.stderr).expect("text");
    (output.status.code().unwrap_or(-1), &output.stdout, errors)
}

/// What a command prints that must succeed and say nothing else.
fn prints(servers: &str, arguments: &[&str]) -> String {
    with_input(servers, arguments, b"")
}

fn with_input(servers: &str, arguments: &[&str], input: &[u8]) -> String {
    let output = fed(servers, arguments, input);
    let (code, printed, errors) = outcome(&output);
    assert_eq!((code, errors), (0, ""), "{arguments:?}");
    String::from_utf8(printed.to_vec()).expect("text")
}

fn fed(servers: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = command(servers, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("it runs");
    // One that was refused before it read anything has closed the pipe.
    let _ = process.stdin.take().expect("piped").write_all(input);
    process.wait_with_output().expect("it ends")
}

/// The line on standard error of a command that must fail with this code and print nothing.
fn fails(servers: &str, arguments: &[&str], code: i32) -> String {
    refused(&command(servers, arguments).output().expect("it runs"), code)
}

fn refused(output: &Output, code: i32) -> String {
    let (found, printed, errors) = outcome(output);
    assert_eq!((found, printed), (code, &b""[..]), "{errors}");
    assert!(errors.starts_with("etcd-api: ") && errors.matches('\n').count() == 1, "{errors}");
    errors.trim_end().to_owned()
}

fn json_of(servers: &str, arguments: &[&str]) -> Value {
    let printed = prints(servers, &[arguments, &["-o", "json"]].concat());
    assert_eq!(printed.matches('\n').count(), 1, "one line: {printed}");
    serde_json::from_str(&printed).expect("JSON")
}

fn revision(servers: &str) -> i64 {
    json_of(servers, &["status"])["endpoints"][0]["revision"].as_i64().expect("a revision")
}

#[test]
fn ranges_of_keys_on_etcd_are_what_etcdctl_finds() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let servers = &*etcd.servers();
        for (key, value) in [("a/1", "one"), ("a/2", "two words"), ("b", "line\nbreak"), ("a/1", "ONE")] {
            etcd.ask(&["put", key, value]);
        }
        etcd.ask(&["put", "c d", ""]);
        let get = |arguments: &[&str]| prints(servers, &[&["get"], arguments].concat());
        assert_eq!(get(&["a"]), "a/1\na/2\n", "without flags: what is below");
        assert_eq!(get(&["--prefix", "a/"]), "a/1 ONE\na/2 two words\n");
        assert_eq!(get(&["--prefix", ""]), "a/1 ONE\na/2 two words\nb line\\nbreak\nc\\x20d \n");
        assert_eq!(get(&["--from-key", "b", "--keys-only"]), "b\nc\\x20d\n");
        assert_eq!(get(&["--prefix", "a", "--count-only"]), "2\n");
        assert_eq!(get(&["--prefix", "nothing"]), "");
        assert_eq!(get(&["--rev", "2", "a/1"]), "one\n");
        assert_eq!(get(&["--keys-only", "a/1"]), "a/1\n");
        for order in [["--sort-by=key", "--order=descend"], ["--sort-by=value", "--order=ascend"]] {
            let first = [&["get", "--prefix", "a", "--keys-only", "--limit=1"], &order[..]].concat();
            assert_eq!(prints(servers, &first).trim(), etcd.ask(&first), "{order:?}");
        }
        assert!(fails(servers, &["get", "--rev", "2", "a/2"], 1).contains("\"a/2\""));
        assert!(fails(servers, &["get", "--rev", "2000", "b"], 1).contains("future revision"));
        assert!(fails(servers, &["get", "-o", "json", "nothing"], 1).contains("\"nothing\""));
        assert!(fails(servers, &["get", "--keys-only", ""], 2).contains("the key is empty"));
    }
}

#[test]
fn json_from_etcd_tells_all_of_a_key_and_takes_any_bytes() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = &*etcd.servers();
    let lease = prints(servers, &["lease", "grant", "60"]);
    with_input(servers, &["set", "bytes", "-"], b"\xff\0\n");
    assert_eq!(json_of(servers, &["set", "--lease", lease.trim(), "text", "é"]), json!({ "revision": 3 }));
    let found = json_of(servers, &["get", "--prefix", ""]);
    assert_eq!((&found["revision"], &found["count"], &found["more"]), (&json!(3), &json!(2), &json!(false)));
    let numbers = |revision: i64| (json!(revision), json!(revision), json!(1));
    for (kv, at) in [(&found["kvs"][0], 2), (&found["kvs"][1], 3)] {
        let of_kv = (kv["create_revision"].clone(), kv["mod_revision"].clone(), kv["version"].clone());
        assert_eq!(of_kv, numbers(at));
    }
    assert_eq!((&found["kvs"][0]["value_base64"], found["kvs"][0].get("value")), (&json!("/wAK"), None));
    assert_eq!((&found["kvs"][1]["value"], &found["kvs"][1]["lease"]), (&json!("é"), &json!(lease.trim())));
    let bytes = command(servers, &["get", "bytes"]).output().expect("it runs").stdout;
    assert_eq!(bytes, b"\xff\0\n\n", "as they are, and a newline");
    let table = prints(servers, &["get", "--prefix", "t", "-o", "table"]);
    let [header, row] = table.lines().collect::<Vec<_>>()[..] else { panic!("{table}") };
    assert_eq!(header.find("VALUE"), row.find('é'), "{table}");
}

#[test]
fn delete_on_etcd_takes_a_prefix_and_all_only_by_name() {
    let Some(etcd) = Etcd::start(VERSIONS[0]) else { return };
    let servers = &*etcd.servers();
    for key in ["a", "a/1", "ab", "b"] {
        etcd.ask(&["put", key, "x"]);
    }
    assert!(fails(servers, &["delete", "--prefix", ""], 2).contains("delete --all"));
    assert_eq!(prints(servers, &["delete", "--prefix", "a/"]), "1\n");
    assert_eq!(prints(servers, &["delete", "--prefix", "a/"]), "0\n");
    let gone = json_of(servers, &["delete", "--prefix", "a"]);
    assert_eq!(gone, json!({ "deleted": 2, "revision": 7 }));
    assert_eq!(etcd.ask(&["get", "--prefix", "", "--keys-only"]), "b");
    assert_eq!(prints(servers, &["delete", "--all"]), "1\n");
}

#[test]
fn set_on_etcd_attaches_a_key_to_a_lease_if_its_value_is_right() {
    let Some(etcd) = Etcd::start(VERSIONS[0]) else { return };
    let servers = &*etcd.servers();
    let lease = prints(servers, &["lease", "grant", "60"]);
    let lease = lease.trim();
    assert!(fails(servers, &["set", "-p", "x", "--lease", lease, "k", "v"], 1).contains("or none"));
    assert_eq!(prints(servers, &["set", "--lease", lease, "k", "v"]), "");
    assert!(fails(servers, &["set", "-p", "x", "--lease", lease, "k", "w"], 1).contains("another value"));
    assert_eq!(prints(servers, &["set", "-p", "v", "--lease", lease, "k", "w"]), "");
    assert!(fails(servers, &["set", "--lease", "77", "k", "v"], 1).contains("lease not found"));
    etcd.ask(&["lease", "revoke", lease]);
    assert_eq!(etcd.ask(&["get", "k"]), "");
}

#[test]
fn watch_on_etcd_by_prefix_with_what_was_before() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let servers = &*etcd.servers();
        for value in ["one", "two words"] {
            etcd.ask(&["put", "w/a", value]);
        }
        etcd.ask(&["put", "wider", ""]);
        etcd.ask(&["del", "w/a"]);
        let watch =
            |arguments: &[&str]| Running::start(&mut command(servers, &[&["watch"], arguments].concat()));
        let mut plain = watch(&["--rev", "2", "--prefix", "--prev", "w"]);
        let changes = [
            "put 2 w/a one",
            "prev 2 w/a one",
            "put 3 w/a two words",
            "put 4 wider",
            "prev 3 w/a two words",
            "delete 5 w/a",
        ];
        assert_eq!(plain.lines(changes.len()), changes);
        let mut objects = watch(&["--rev", "3", "--prev", "-o", "json", "w"]);
        let objects: Vec<Value> =
            objects.lines(2).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((&objects[0]["type"], &objects[0]["prev_kv"]["value"]), (&json!("put"), &json!("one")));
        let gone = json!({ "key": "w/a", "mod_revision": 5 });
        assert_eq!(
            (&objects[1]["type"], &objects[1]["revision"], &objects[1]["kv"]),
            (&json!("delete"), &json!(5), &gone)
        );
        etcd.ask(&["put", "w", "now"]);
        assert_eq!(plain.line(), "put 6 w now", "at once");
    }
}

/// Transactions that etcdctl takes, each building on the ones before. (Up to 3.5 it can't compare leases,
/// and cuts words in single quotes.)
const TRANSACTIONS: [&str; 5] = [
    "mod(\"key1\") > \"0\"\n\nput key1 \"overwrote-key1\"\n\nput key1 \"created-key1\"\nput key2 \"some extra key\"\n\n",
    "c(\"key1\") = \"2\"\nver(\"key2\") != \"7\"\nval(\"key1\") = \"created-key1\"\n\n\
     put \"a key\" \"with \\\"escapes\\\"\\t\\x41\\u00e9\"\nput {\"a\":1} it's\nput -- dash -v\nput \"\\xff\" bytes\n\n\n",
    "\nput key1 --ignore-value --prev-kv\nget key --prefix --keys-only --sort-by=MODIFY --order=DESCEND --limit=1\n\
     del \"a key\" --prev-kv\nget a z --limit=1\nget b --from-key --limit=2 --rev=3\n\n\n",
    "value(\"missing\") = \"\"\n\nput no no\n\ndel key2\nput key3 \"say \\\"so\\\"\"\n\n",
    "create(\"missing\") = \"0\"\nversion(\"key3\") < `2`\n\ndel --prefix=true key\ndel --from-key {\n\n\n",
];

#[test]
fn a_transaction_of_etcdctl_does_the_same_to_etcd() {
    for version in VERSIONS {
        let (Some(theirs), Some(ours)) = (Etcd::start(version), Etcd::start(version)) else { return };
        let servers = &*ours.servers();
        let all = |etcd: &Etcd| {
            let found: Value =
                serde_json::from_str(&etcd.ask(&["get", "--prefix", "", "-w", "json"])).expect("JSON");
            found["kvs"].clone()
        };
        for text in TRANSACTIONS {
            let file = TempDir::new();
            let path = file.path().join("txn");
            std::fs::write(&path, text).expect("room");
            let mut etcdctl = theirs.etcdctl(&["txn"]);
            let output = etcdctl.stdin(File::open(&path).expect("a file")).output().expect("etcdctl runs");
            assert!(output.status.success(), "{text}: {output:?}");
            let result = prints(servers, &["txn", path.to_str().expect("text")]);
            let branch = String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_lowercase);
            assert_eq!(result.lines().next().map(str::to_owned), branch, "{text}");
            assert_eq!(all(&ours), all(&theirs), "{text}");
        }
    }
}

#[test]
fn a_transaction_on_etcd_tells_what_each_operation_did() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = &*etcd.servers();
    for (key, value) in [("a", "1"), ("b", "two words")] {
        etcd.ask(&["put", key, value]);
    }
    let text =
        b"version(\"a\") = \"1\"\nlease(\"a\") < \"1f\"\n\nget a c\nput a 2 --prev-kv\nput c 3\nget nothing\nget a --keys-only\n\
                 get a --from-key --count-only\ndel b --prev-kv\n\nget a";
    let plain = with_input(servers, &["txn"], text);
    let blocks =
        ["success\n", "a 1\nb two words\n", "ok\na 1\n", "ok\n", "", "a\n", "3\n", "1\nb two words\n"];
    assert_eq!(plain, blocks.join("\n"));
    let found: Value =
        serde_json::from_str(&with_input(servers, &["txn", "-", "-o", "json"], text)).expect("JSON");
    assert_eq!((&found["succeeded"], &found["revision"]), (&json!(false), &json!(4)));
    assert_eq!(found["responses"][0]["response_range"]["kvs"][0]["value"], json!("2"));
}

#[test]
fn mistakes_in_a_transaction_name_their_line() {
    let refuse = |text: &str| refused(&fed("mem://", &["txn"], text.as_bytes()), 2);
    assert!(refuse("\nput k v\nput k\n").starts_with("etcd-api: standard input:3: "));
    assert!(refuse("mod(\"k\") = \"x\"\n").contains("\"x\" is no revision"));
    assert!(refuse("\nincr k\n").contains("get, put, del"));
    assert!(fails("mem://", &["txn", "/no/such/file"], 2).contains("/no/such/file"));
    assert_eq!(with_input("mem://", &["txn"], b"\nput k v\n\n"), "success\n\nok\n");
}

#[test]
fn leases_on_etcd_are_those_of_etcdctl() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let servers = &*etcd.servers();
        let lease = prints(servers, &["lease", "grant", "60"]);
        let lease = lease.trim();
        assert!(etcd.ask(&["lease", "list"]).contains(lease), "{lease}");
        assert_eq!(prints(servers, &["lease", "list"]).trim(), lease);
        prints(servers, &["set", "--lease", lease, "a key", "v"]);
        assert!(etcd.ask(&["lease", "timetolive", "--keys", lease]).contains("keys([a key])"));
        let lines = prints(servers, &["lease", "ttl", "--keys", lease]);
        let [ttl, key] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
        assert!((50..=60).contains(&ttl.parse::<i64>().expect("seconds")) && key == "a\\x20key", "{lines}");
        let document = json_of(servers, &["lease", "ttl", "--keys", lease]);
        assert_eq!((&document["granted_ttl"], &document["keys"]), (&json!(60), &json!([{ "key": "a key" }])));
        assert_eq!(prints(servers, &["lease", "keep-alive", "--once", lease]), "60\n");
        let list = json_of(servers, &["lease", "list"]);
        assert_eq!(list, json!({ "leases": [lease] }));
        assert_eq!(prints(servers, &["lease", "revoke", lease]), "");
        assert_eq!(etcd.ask(&["get", "a key"]), "");
        for gone in
            [&["lease", "revoke", lease][..], &["lease", "ttl", lease], &["lease", "keep-alive", lease]]
        {
            assert!(fails(servers, gone, 1).contains(lease.trim_start_matches('0')), "{gone:?}");
        }
    }
}

#[test]
fn a_lease_on_etcd_is_kept_alive_until_it_is_revoked() {
    let Some(mut etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = &*etcd.servers();
    let lease = prints(servers, &["lease", "grant", "2"]);
    let lease = lease.trim();
    let mut keeper = Running::start(&mut command(servers, &["lease", "keep-alive", lease]));
    let start = std::time::Instant::now();
    assert_eq!(keeper.lines(5), ["2"; 5]);
    assert!(start.elapsed() > Duration::from_secs(2), "longer than its TTL");
    etcd.kill();
    etcd.revive();
    assert_eq!(keeper.lines(2), ["2"; 2], "an outage does not end it");
    prints(servers, &["lease", "revoke", lease]);
    assert_eq!(keeper.code(), 1);
    assert!(keeper.errors().contains("no such lease"));
}

#[test]
fn the_cluster_of_an_etcd_and_a_server_that_does_not_answer() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let servers = &*etcd.servers();
        let members = json_of(servers, &["members"]);
        let id = members["members"][0]["id"].as_str().expect("an id");
        assert!(etcd.ask(&["member", "list"]).starts_with(&format!("{id}, started, first, ")));
        let row = prints(servers, &["members"]);
        assert!(row.starts_with(&format!("{id} first http://")) && row.ends_with(" false\n"), "{row}");

        let healthy = prints(servers, &["status"]);
        let columns: Vec<&str> = healthy.trim_end().split(' ').collect();
        assert_eq!(columns[0], format!("http://{servers}"));
        assert_eq!(
            (columns[1], columns[2], columns[4], columns.len()),
            (id, version, "true", 7),
            "{healthy}"
        );
        let dead = format!("127.0.0.1:{}", free_port());
        let both = format!("{dead},{servers}");
        let output = command(&both, &["status"]).output().expect("it runs");
        let (code, rows, errors) = outcome(&output);
        let rows = String::from_utf8_lossy(rows);
        assert!(code == 1 && errors.contains("1 of 2"), "{errors}");
        assert!(
            rows.starts_with(&format!("http://{dead} - - - - - - ")) && rows.ends_with(&healthy),
            "{rows}"
        );
        let output = command(&both, &["status", "-o", "json"]).output().expect("it runs");
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(document["endpoints"][0]["errors"][0].as_str().expect("why").contains("refused"));
        assert_eq!(document["endpoints"][1]["member_id"], json!(id));
    }
}

#[test]
fn history_of_etcd_is_compacted_once() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = &*etcd.servers();
    for value in ["1", "2", "3"] {
        etcd.ask(&["put", "k", value]);
    }
    let now = revision(servers);
    assert_eq!(prints(servers, &["compact", &now.to_string()]), "");
    assert!(fails(servers, &["get", "--rev", "2", "k"], 1).contains("compacted"));
    assert!(fails(servers, &["watch", "--rev", "2", "k"], 1).contains("compacted"));
    assert!(fails(servers, &["compact", "2"], 1).contains("nothing is left to do"));
    assert!(fails(servers, &["compact", "2000"], 1).contains("future revision"));
}

#[test]
fn alarms_of_etcd_are_listed_and_disarmed() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = &*etcd.servers();
    assert_eq!(prints(servers, &["alarm", "list"]), "");
    let mut options = Options::new();
    options.set("endpoints", servers).expect("a server");
    let client = Client::open(options).expect("a client");
    let member = client.members().expect("one")[0].id;
    let alarm = Alarm { member, kind: AlarmKind::NoSpace };
    client.call(&Request::Alarm { action: AlarmAction::Activate, alarm }).expect("an alarm");
    assert_eq!(prints(servers, &["alarm", "list"]), format!("{member:x} NOSPACE\n"));
    assert!(etcd.ask(&["alarm", "list"]).contains("NOSPACE"));
    assert!(fails(servers, &["set", "k", "v"], 1).contains("space exceeded"));
    let document = json!({ "alarms": [{ "alarm": "NOSPACE", "member_id": format!("{member:x}") }] });
    assert_eq!(json_of(servers, &["alarm", "disarm"]), document);
    assert_eq!(etcd.ask(&["alarm", "list"]), "");
}

#[test]
fn flags_of_the_library_reach_etcd_and_count_more_than_the_environment() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let port = etcd.port().to_string();
    let set = ["set", "k", "v", "-s", "127.0.0.1", "--default-port", &port, "--namespace=ns/"];
    let mut other = command("127.0.0.1:1", &set);
    other.env("ETCD_API_DEFAULT_PORT", "1").env("ETCD_API_NAMESPACE", "elsewhere/");
    assert_eq!(outcome(&other.output().expect("it runs")).0, 0);
    assert_eq!(etcd.ask(&["get", "--print-value-only", "ns/k"]), "v");
    let servers = &*etcd.servers();
    prints(servers, &["set", "--path-keys", "p", "v"]);
    assert_eq!(prints(servers, &["get", "--path-keys", "--prefix", "p"]), "/p v\n");
    assert_eq!(
        command(servers, &["get", "k", "--password", "x"]).output().expect("it runs").status.code(),
        Some(2)
    );
}

#[test]
fn locks_on_etcd_in_json() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = &*etcd.servers();
    let held = json_of(servers, &["lock", "l"]);
    let (index, key) = (held["index"].as_str().expect("an index"), held["key"].as_str().expect("a key"));
    assert_eq!(etcd.ask(&["get", "--keys-only", key]), key);
    assert_eq!(json_of(servers, &["lock", "-i", index, "l"]), json!({ "index": index }));
    assert_eq!(json_of(servers, &["unlock", "-i", index, "l"]), json!({ "index": index }));
    assert_eq!(json_of(servers, &["leader"]), json!({ "leader": "first" }));
    // The lock's key guards a transaction of its holder.
    let script = "printf 'create(\"%s\") = \"%s\"\\n\\nput done yes\\n' \"$ETCD_LOCK_KEY\" \"$ETCD_LOCK_REV\" | \"$0\" txn";
    let program = built().join("etcd-api");
    let guarded = ["lock", "l", "--", "sh", "-c", script, program.to_str().expect("text")];
    assert_eq!(prints(servers, &guarded), "success\n\nok\n");
}

#[test]
fn what_has_no_table_or_no_format_of_ours_is_refused_before_it_is_done() {
    for line in [&["set", "k", "v"][..], &["watch", "k"], &["txn"], &["lock", "l"], &["lease", "grant", "5"]]
    {
        assert!(fails("mem://", &[line, &["-o", "table"]].concat(), 2).contains("json"), "{line:?}");
    }
    assert!(fails("mem://", &["generate", "man", "-o", "json"], 2).contains("leave it out"));
    fails("mem://", &["-o", "json", "lock", "l", "--", "true"], 123);
}

/// What a command prints whose standard output (or error) is a terminal.
fn on_terminal(command: &mut Command, errors: bool) -> String {
    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: writes the two numbers; the rest may be null.
    assert_eq!(unsafe { libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()) }, 0);
    // SAFETY: both were opened by the call above and belong to nobody else.
    let (mut master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    if errors {
        command.stderr(slave)
    } else {
        command.stdout(slave)
    };
    let mut process = command.spawn().expect("it runs");
    // The command holds the terminal's other end until it is dropped.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut printed = Vec::new();
    // Ends with an error when the last writer has gone.
    let _ = master.read_to_end(&mut printed);
    process.wait().expect("it ends");
    String::from_utf8(printed).expect("text")
}

#[test]
fn colours_are_for_terminals_only() {
    let members = || command("mem://", &["members", "-o", "table"]);
    assert!(on_terminal(&mut members(), false).contains("\x1b[1mID"));
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = on_terminal(members().env(variable, value), false);
        assert!(plain.contains("ID") && !plain.contains('\x1b'), "{variable}: {plain}");
    }
    let dumb = on_terminal(members().env("TERM", "dumb").env("CI", "true"), false);
    assert!(!dumb.contains('\x1b'), "{dumb}");
    assert!(!prints("mem://", &["members", "-o", "table"]).contains('\x1b'));
    let forced = members().env("CLICOLOR_FORCE", "1").output().expect("it runs").stdout;
    assert!(forced.starts_with(b"\x1b[1mID"));

    let refused = || command("mem://", &["get", ""]);
    let red = on_terminal(&mut refused(), true);
    assert!(red.contains("etcd-api:\x1b[0m the key is empty"), "{red}");
    assert!(!fails("mem://", &["get", ""], 2).contains('\x1b'));
    let help = || command("", &["get", "--help"]);
    assert!(on_terminal(&mut help(), false).contains("Examples:\x1b[0m"));
    assert!(prints("", &["get", "--help"]).contains("\nExamples:\n"));
}

#[test]
fn keys_from_etcd_have_a_colour_on_a_terminal_and_values_none() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = &*etcd.servers();
    etcd.ask(&["put", "k", "v"]);
    let listed = on_terminal(&mut command(servers, &["get", "--prefix", "k"]), false);
    assert!(listed.contains("k\x1b[0m v"), "{listed}");
    assert_eq!(on_terminal(&mut command(servers, &["get", "k"]), false), "v\r\n");
    let documents = on_terminal(&mut command(servers, &["get", "--prefix", "k", "-o", "json"]), false);
    assert!(!documents.contains('\x1b'), "{documents}");
}

#[test]
fn bash_completes_commands_and_values() {
    let complete = |words: &[&str]| {
        let (word, before) = (words[words.len() - 1], words[words.len() - 2]);
        let script = format!(
            ". <(\"$0\" generate bash); COMP_WORDS=({}); COMP_CWORD={}; _etcd__api etcd-api '{word}' '{before}'; \
             echo ${{COMPREPLY[@]}}",
            words.join(" "),
            words.len() - 1,
        );
        let output = Command::new("bash").args(["-c", &script]).arg(built().join("etcd-api")).output();
        String::from_utf8(output.expect("bash runs").stdout).expect("text")
    };
    assert_eq!(complete(&["etcd-api", "lease", "ke"]), "keep-alive\n");
    assert_eq!(complete(&["etcd-api", "get", "--default-scheme", "h"]), "http https\n");
    assert!(complete(&["etcd-api", "watch", "--pr"]).contains("--prefix"));
}
