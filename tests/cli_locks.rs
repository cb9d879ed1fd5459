//! The command-line tool on elections and on the queues of locks, on real servers.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Etcd, Running, VERSIONS, built, eventually};

fn command(etcd: &Etcd, arguments: &[&str]) -> Command {
    let mut command = Command::new(built().join("etcd-api"));
    command.env("ETCD_SERVERS", etcd.servers()).args(arguments).stdin(Stdio::null());
    command
}

fn start(etcd: &Etcd, arguments: &[&str]) -> Running {
    Running::start(&mut command(etcd, arguments))
}

fn output(etcd: &Etcd, arguments: &[&str]) -> Output {
    command(etcd, arguments).output().expect("it runs")
}

/// Standard output of a command that must succeed and say nothing else.
fn prints(etcd: &Etcd, arguments: &[&str]) -> String {
    let output = output(etcd, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{arguments:?}");
    text(&output.stdout)
}

fn json(etcd: &Etcd, arguments: &[&str]) -> Value {
    serde_json::from_str(&prints(etcd, &[&["-o", "json"], arguments].concat())).expect("JSON")
}

/// Its code, and its only line on standard error.
fn fails(etcd: &Etcd, arguments: &[&str]) -> (Option<i32>, String) {
    let output = output(etcd, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.stdout.as_slice(), errors.matches('\n').count()), (&b""[..], 1), "{errors}");
    (output.status.code(), errors)
}

/// Waits until so many stand in the queue of `e`, and gives their tokens.
fn tokens(etcd: &Etcd, count: usize) -> Vec<String> {
    eventually(Duration::from_secs(10), &format!("{count} in the queue"), || {
        let lines = prints(etcd, &["locks", "show", "e"]);
        let tokens: Vec<String> =
            lines.lines().map(|line| line.split(' ').nth(1).expect("a token").to_owned()).collect();
        (tokens.len() == count).then_some(tokens)
    })
}

fn leases(etcd: &Etcd) -> String {
    etcd.ask(&["lease", "list"]).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_leader_on_etcd_leads_until_a_signal_and_observers_see_each() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let (mut plain, mut documents) =
            (start(&etcd, &["observe", "e"]), start(&etcd, &["observe", "e", "-o", "json"]));
        assert_eq!(plain.line(), "nobody 1");
        assert_eq!(documents.line(), r#"{"leader":null,"revision":1}"#);
        let mut first = start(&etcd, &["elect", "e", "the first"]);
        let key = first.line().strip_suffix(" the first").expect("KEY VALUE").to_owned();
        let token = tokens(&etcd, 1).remove(0);
        assert_eq!(plain.line(), format!("leader {token} {key} the first"));
        let document: Value = serde_json::from_str(&documents.line()).expect("JSON");
        assert_eq!(
            (&document["leader"]["key"], &document["leader"]["value"]),
            (&key.into(), &"the first".into())
        );

        let mut second = start(&etcd, &["elect", "e", "second", "-o", "json"]);
        tokens(&etcd, 2);
        let (code, busy) = fails(&etcd, &["elect", "-w", "0", "e", "third"]);
        assert!(code == Some(122) && busy.contains("before us"), "{busy}");
        first.signal(libc::SIGTERM);
        assert_eq!(first.code(), 128 + libc::SIGTERM);
        let document: Value = serde_json::from_str(&second.line()).expect("JSON");
        assert_eq!(document["value"], "second");
        assert!(plain.line().ends_with(" second"));
        second.signal(libc::SIGINT);
        assert_eq!(second.code(), 128 + libc::SIGINT);
        assert!(plain.line().starts_with("nobody "));
        assert_eq!(leases(&etcd), "found 0 leases", "nothing is left");
        plain.close_output();
        assert_eq!(plain.code(), 0, "nobody reads any more");
    }
}

#[test]
fn a_command_on_etcd_runs_while_it_leads() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let show = "echo $ETCD_LOCK_KEY $ETCD_LOCK_REV $ETCD_LOCK_TOKEN";
    for under in [&["elect", "e", "me"][..], &["lock", "e"]] {
        let said = prints(&etcd, &[under, &["--", "sh", "-c", show]].concat());
        let words: Vec<&str> = said.split_whitespace().collect();
        assert!(
            words[0].starts_with("e/") && words[1].parse::<u64>().is_ok() && words[1] == words[2],
            "{said}"
        );
    }
    let code =
        |arguments: &[&str]| output(&etcd, &[&["elect", "e", "me", "--"], arguments].concat()).status.code();
    assert_eq!(code(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(code(&["/no/such/program"]), Some(124));
    assert_eq!(code(&[]), Some(123), "an empty variable");
    assert_eq!(leases(&etcd), "found 0 leases");
}

#[test]
fn a_command_is_ended_when_its_leadership_is_broken_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        // It ends on SIGKILL only.
        let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
        let mut leads = start(&etcd, &["elect", "e", "stubborn", "--", "sh", "-c", script]);
        assert_eq!(leads.line(), "ready");
        let mut waits = start(&etcd, &["elect", "e", "next"]);
        let tokens = tokens(&etcd, 2);
        assert_eq!(prints(&etcd, &["locks", "break", "e", &tokens[0]]), "");
        let begin = Instant::now();
        assert!(waits.line().ends_with(" next"));
        assert_eq!(leads.code(), 121);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert!(leads.errors().contains("somebody removed"), "it says why");
        let (code, gone) = fails(&etcd, &["locks", "break", "e", &tokens[0]]);
        assert!(code == Some(1) && gone.contains(&tokens[0]), "{gone}");
        // Without a command, too.
        prints(&etcd, &["locks", "break", "e", &tokens[1]]);
        assert_eq!(waits.code(), 121);
    }
}

#[test]
fn a_leader_stops_before_a_silent_etcd_can_let_the_next_one_lead() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let mut leads =
        start(&etcd, &["elect", "-t", "3", "e", "me", "--", "sh", "-c", "echo ready; exec sleep 60"]);
    assert_eq!(leads.line(), "ready");
    etcd.stop();
    let begin = Instant::now();
    assert_eq!(leads.code(), 121);
    assert!(begin.elapsed() < Duration::from_secs(3), "before the TTL is over: {:?}", begin.elapsed());
    etcd.go_on();
}

#[test]
fn the_queues_of_locks_on_etcd_are_listed_and_shown() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        assert_eq!(prints(&etcd, &["locks", "ls"]), "");
        let _leads = start(&etcd, &["elect", "e", "the boss"]);
        tokens(&etcd, 1);
        let _waits = start(&etcd, &["elect", "e", "an heir"]);
        let tokens = tokens(&etcd, 2);
        let index = prints(&etcd, &["lock", "-t", "60", "e/inner lock"]);
        // Data, a key named like a place, and a name that only begins like one.
        for key in ["e/data", "e/abc", "else/abc"] {
            etcd.ask(&["put", key, "x"]);
        }
        let lines = prints(&etcd, &["locks", "ls"]);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines[0], format!("e {} 1 the boss", tokens[0]));
        assert!(lines[1].starts_with(&format!("e/inner\\x20lock {} 0 ", index.trim())) && lines.len() == 2);
        assert_eq!(prints(&etcd, &["locks", "ls", "e/"]).lines().count(), 1);
        assert_eq!(prints(&etcd, &["locks", "ls", "x"]), "");
        assert!(prints(&etcd, &["locks", "ls", "-o", "table"]).starts_with("NAME  "));
        let document = json(&etcd, &["locks", "ls"]);
        let first = &document["locks"][0];
        assert_eq!(
            (&first["name"], &first["waiters"], &first["holder"]["value"]),
            (&"e".into(), &1.into(), &"the boss".into())
        );

        let shown = prints(&etcd, &["locks", "show", "e"]);
        let words: Vec<Vec<&str>> = shown.lines().map(|line| line.splitn(5, ' ').collect()).collect();
        assert_eq!((words[0][0], words[0][1], words[0][4]), ("holder", &tokens[0][..], "the boss"));
        assert_eq!((words[1][0], words[1][1], words[1][4]), ("1", &tokens[1][..], "an heir"));
        assert!(
            words
                .iter()
                .all(|words| words[2].len() == 16 && (1..=10).contains(&words[3].parse().expect("a TTL")))
        );
        let places = &json(&etcd, &["locks", "show", "e"])["places"];
        assert_eq!((&places[1]["value"], places.as_array().map(Vec::len)), (&"an heir".into(), Some(2)));
        assert_eq!(prints(&etcd, &["locks", "show", "nothing"]), "");
        // One that waits can be taken out, too.
        let broken = json(&etcd, &["locks", "break", "e", &tokens[1]]);
        assert_eq!(broken["value"], "an heir");
    }
}

#[test]
fn a_command_goes_on_in_the_place_of_one_that_was_killed_on_etcd() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let script = "echo $ETCD_LOCK_TOKEN; exec sleep 60";
    let under = ["lock", "-t", "20", "-j", "backup 1", "e", "--", "sh", "-c", script];
    let mut killed = start(&etcd, &under);
    let token = killed.line();
    let mut waits = start(&etcd, &["lock", "e", "--", "echo", "next"]);
    tokens(&etcd, 2);
    killed.kill();
    let mut again = start(&etcd, &under);
    assert_eq!(again.line(), token, "the same place, at once");
    assert!(waits.is_running());
    // As an election it is known by the same value.
    let said = prints(&etcd, &["elect", "-j", "e", "backup 1", "--", "sh", "-c", "echo $ETCD_LOCK_TOKEN"]);
    assert_eq!(said.trim(), token);
    // That one has released it, for both.
    assert_eq!(again.code(), 121);
    assert_eq!(waits.line(), "next");
    let alone = output(&etcd, &["lock", "-j", "backup 1", "e"]);
    assert_eq!(alone.status.code(), Some(2), "without a command nobody would keep it");
}

#[test]
fn places_on_etcd_are_named_by_token_or_value_and_never_by_the_lock_alone() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let _leads = start(&etcd, &["elect", "e", "the boss"]);
    tokens(&etcd, 1);
    let _waiters = [1, 2].map(|count| {
        let waiter = start(&etcd, &["elect", "e", "an heir"]);
        tokens(&etcd, 1 + count);
        waiter
    });
    let all = tokens(&etcd, 3);
    for named in [&[&all[0][..]][..], &["--value", "the boss"]] {
        let found = prints(&etcd, &[&["locks", "find", "e"], named].concat());
        let words: Vec<&str> = found.trim_end().splitn(4, ' ').collect();
        assert_eq!((words[0], words[1].len(), words[3]), (&all[0][..], 16, "the boss"));
        assert_eq!(prints(&etcd, &[&["locks", "renew", "e"], named].concat()), "");
        let place = json(&etcd, &[&["locks", "renew", "e"], named].concat());
        assert_eq!((place["token"].to_string(), &place["ttl"]), (all[0].clone(), &10.into()));
    }
    let (code, several) = fails(&etcd, &["locks", "break", "e", "--value", "an heir"]);
    assert!(code == Some(1) && several.contains(&all[1]) && several.contains(&all[2]), "{several}");
    assert_eq!(tokens(&etcd, 3), all);
    let (code, _) = fails(&etcd, &["locks", "find", "e", "--value", "nobody"]);
    assert_eq!(code, Some(1));
    for unnamed in [&["locks", "break", "e"][..], &["locks", "break", "e", "5", "--value", "an heir"]] {
        assert_eq!(output(&etcd, unnamed).status.code(), Some(2));
    }
    let broken = json(&etcd, &["locks", "break", "e", "--value", "the boss"]);
    assert_eq!(broken["value"], "the boss");
    assert_eq!(tokens(&etcd, 2), all[1..]);
}
