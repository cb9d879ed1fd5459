//! The examples of the full tier, on the embedded store and on real servers: what they print is what their comments say.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{
    Etcd, Language, Running, VERSIONS, call, call_under_valgrind, free_port, program, run, spawn,
};

fn example(name: &str) -> std::path::PathBuf {
    program(&format!("examples/c/{name}.c"), Language::C)
}

/// On the store inside the library, without and with its name, and with no byte lost; then on each server.
fn prints(name: &str, wanted: &str, on_etcd: bool) {
    let program = example(name);
    if !on_etcd {
        assert_eq!(run(&mut call(&program)), wanted);
        assert_eq!(run(call_under_valgrind(&program).arg("mem://examples")), wanted);
        return;
    }
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        assert_eq!(run(call(&program).arg(etcd.servers())), wanted, "{version}");
    }
}

const MONEY: &str =
    "moved\noperation 1\noperation 2\nnot enough; there is\noperation 1\n  bank/ann = 0\n  bank/ben = 50\n";
const COLOURS: &str =
    "watcher/colour = green\nwatcher/colour = blue (was green)\nwatcher/colour is deleted (was blue)\n";
const MANY: &str = "1000 puts made 1000 keys\n";

#[test]
fn a_range_and_a_transaction_on_mem() {
    prints("range-txn", MONEY, false);
}

#[test]
fn a_range_and_a_transaction_on_etcd() {
    prints("range-txn", MONEY, true);
}

#[test]
fn a_watcher_on_mem() {
    prints("watcher", COLOURS, false);
}

#[test]
fn a_watcher_on_etcd() {
    prints("watcher", COLOURS, true);
}

#[test]
fn a_watcher_sees_every_change_across_a_restart_on_etcd() {
    let Some(mut etcd) = Etcd::start(VERSIONS[1]) else { return };
    let mut command = call(&example("watcher"));
    let mut watcher = Running::start(command.args([&etcd.servers(), "jobs/", "30"]));
    for number in 1.. {
        if !watcher.is_running() {
            break;
        }
        if number == 15 {
            etcd.kill();
            etcd.revive();
        }
        etcd.ask(&["put", "jobs/a", &number.to_string()]);
    }
    let value = |line: String| -> u32 {
        let value = line.strip_prefix("jobs/a = ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("{line}"))
    };
    let told: Vec<u32> = watcher.lines(30).into_iter().map(value).collect();
    assert_eq!(told, (told[0]..told[0] + 30).collect::<Vec<_>>());
}

#[test]
fn a_thousand_operations_on_mem() {
    prints("epoll-1000", MANY, false);
}

#[test]
fn a_thousand_operations_on_etcd() {
    prints("epoll-1000", MANY, true);
}

fn typed(mut command: Command, text: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = spawn(&mut command).expect("it starts");
    process.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    process.wait_with_output().expect("it ends")
}

fn lines_come_back(mut command: Command, servers: &str) {
    command.arg(servers);
    let output = typed(command, "one\ntwo\nthree\n");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines: Vec<&str> = text.lines().collect();
    // Operations in flight together are done in any order.
    lines.sort_unstable();
    assert_eq!(lines, ["changed to one", "changed to three", "changed to two"]);
}

#[test]
fn a_watch_in_a_poll_loop_on_mem() {
    let program = example("watch-poll");
    lines_come_back(call(&program), "mem://examples");
    lines_come_back(call_under_valgrind(&program), "mem://examples");
}

#[test]
fn a_watch_in_a_poll_loop_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        lines_come_back(call(&example("watch-poll")), &etcd.servers());
    }
}

/// Whoever runs an example without a server is told what is wrong, and where.
#[test]
fn examples_say_what_failed() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let fails = |program: &Path| {
        let mut command = call(program);
        command.arg(&nobody);
        typed(command, "")
    };
    for name in ["range-txn", "watcher", "watch-poll", "epoll-1000"] {
        let output = fails(&example(name));
        let errors = String::from_utf8_lossy(&output.stderr);
        let reason = format!("at http://{nobody}: connection refused (is etcd running there?)\n");
        assert!(output.status.code() == Some(1) && errors.ends_with(&reason), "{name}: {output:?}");
    }
}
