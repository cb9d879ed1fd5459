//! The C programs about the full tier: every operation in each way to run it, the queue, clients that come and go.

use std::path::Path;
use std::process::Command;

use faultproxy::{Fault, Proxy};

use crate::security::with_users;
use crate::support::{
    Etcd, Language, Protocol, Running, VERSIONS, built, call, call_under_valgrind, my_turn, program, root,
    run, scratch,
};

/// Runs a program, which must count its checks.
fn checks(command: &mut Command) {
    assert!(run(command).ends_with("checks\n"));
}

/// As C and as C++, and as C under valgrind.
fn check_on_mem(source: &str) {
    let (c, cpp) = (program(source, Language::C), program(source, Language::Cpp));
    for mut command in [call(&c), call(&cpp), call_under_valgrind(&c)] {
        checks(command.arg("mem://full"));
    }
}

/// On each server by each protocol.
fn check_on_servers(source: &str) {
    let program = program(source, Language::C);
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        for protocol in Protocol::BOTH {
            checks(call(&program).arg(protocol.endpoints(&etcd.servers())));
        }
    }
}

const OPERATIONS: &str = "tests/c/full/operations.c";

#[test]
fn all_ways_to_run_an_operation_tell_the_same_on_mem() {
    check_on_mem(OPERATIONS);
}

#[test]
fn all_ways_to_run_an_operation_tell_the_same_on_etcd() {
    check_on_servers(OPERATIONS);
}

#[test]
fn all_ways_to_run_an_operation_tell_the_same_to_a_user_of_etcd() {
    let program = program(OPERATIONS, Language::C);
    for version in VERSIONS {
        let Some(etcd) = with_users(version, &[]) else { return };
        for protocol in Protocol::BOTH {
            checks(call(&program).args([&protocol.endpoints(&etcd.servers()), "root", "secret"]));
        }
    }
}

const QUEUE: &str = "tests/c/full/queue.c";
const LIFECYCLE: &str = "tests/c/full/lifecycle.c";
const SILENT: &str = "tests/c/full/silent.c";

#[test]
fn the_queue_on_mem() {
    check_on_mem(QUEUE);
}

#[test]
fn the_queue_on_etcd() {
    check_on_servers(QUEUE);
}

const LOCKS: &str = "tests/c/full/locks.c";

#[test]
fn locks_tell_the_same_both_ways_on_mem() {
    check_on_mem(LOCKS);
}

#[test]
fn locks_tell_the_same_both_ways_on_etcd() {
    check_on_servers(LOCKS);
}

/// Ends without closing anything.
fn exits(program: &Path, endpoints: &str) {
    checks(call(program).args([endpoints, "exit"]));
}

#[test]
fn clients_come_and_go_on_mem() {
    check_on_mem(LIFECYCLE);
    (0..20).for_each(|_| exits(&program(LIFECYCLE, Language::C), "mem://full"));
}

#[test]
fn clients_of_etcd_come_and_go() {
    check_on_servers(LIFECYCLE);
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    for protocol in Protocol::BOTH {
        let endpoints = protocol.endpoints(&etcd.servers());
        (0..10).for_each(|_| exits(&program(LIFECYCLE, Language::C), &endpoints));
        // With threads that write to stderr as it forks.
        checks(call(&program(LIFECYCLE, Language::C)).arg(&endpoints).env("ETCD_LOG", "debug"));
    }
}

const HOLDS: &str = "tests/c/full/holds.c";

#[test]
fn holds_on_mem() {
    check_on_mem(HOLDS);
}

#[test]
fn holds_on_etcd() {
    check_on_servers(HOLDS);
}

/// Against a server that falls silent before the first word, or after one.
fn keeps_time(etcd: &Etcd, protocol: Protocol, more: &[&str]) {
    let proxy = Proxy::start(etcd.port());
    let is_warm = more[0] == "warm";
    if !is_warm {
        proxy.set(Fault::BlackHole);
    }
    let mut command = call(&program(SILENT, Language::C));
    let mut silent = Running::start(command.arg(protocol.endpoints(&proxy.servers())).args(more));
    if is_warm {
        assert_eq!(silent.line(), "connected");
        proxy.set(Fault::BlackHole);
        silent.signal(libc::SIGUSR1);
    }
    let said = silent.line();
    assert!(said.ends_with(" checks"), "{protocol:?} {more:?}: {said} {}", silent.errors());
}

#[test]
fn timeouts_and_cancels_are_kept_when_etcd_is_silent() {
    let _turn = my_turn();
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    for protocol in Protocol::BOTH {
        for more in [&["cold"][..], &["warm"], &["cold", "signals"], &["warm", "signals"]] {
            keeps_time(&etcd, protocol, more);
        }
    }
}

const MISUSE: &str = "tests/c/full/misuse.c";

#[test]
fn what_is_refused_and_what_its_error_says_on_mem() {
    check_on_mem(MISUSE);
}

#[test]
fn what_is_refused_and_what_its_error_says_on_etcd() {
    check_on_servers(MISUSE);
}

const WATCHES: &str = "tests/c/full/watches.c";

#[test]
fn watches_on_mem() {
    check_on_mem(WATCHES);
}

#[test]
fn watches_on_etcd() {
    check_on_servers(WATCHES);
}

#[test]
fn watches_tell_that_there_was_nothing_when_etcd_does() {
    let flag = "--experimental-watch-progress-notify-interval=100ms";
    let Some(etcd) = Etcd::start_with(VERSIONS[1], &[flag]) else { return };
    for protocol in Protocol::BOTH {
        let endpoints = protocol.endpoints(&etcd.servers());
        checks(call(&program(WATCHES, Language::C)).args([&endpoints, "progress"]));
    }
}

#[test]
fn watches_end_when_another_cluster_of_etcd_answers_in_the_place_of_theirs() {
    for protocol in Protocol::BOTH {
        let Some(mut etcd) = Etcd::start(VERSIONS[1]) else { return };
        let mut command = call(&program(WATCHES, Language::C));
        let mut watch = Running::start(command.args([&protocol.endpoints(&etcd.servers()), "reset"]));
        assert_eq!(watch.line(), "live");
        etcd.replace("--initial-cluster-token=another");
        assert!(watch.line().ends_with(" checks"), "{protocol:?}: {}", watch.errors());
    }
}

const TELLING: &str = "tests/c/full/telling.c";

/// A call of the program on a server with users, behind an endpoint where nobody listens.
fn telling(etcd: &Etcd, protocol: Protocol) -> Command {
    let nobody = Proxy::start(etcd.port());
    let endpoints = protocol.endpoints(&format!("{},{}", nobody.servers(), etcd.servers()));
    // Gone from here on.
    drop(nobody);
    let mut command = call(&program(TELLING, Language::C));
    command.args([&endpoints, "root", "secret"]).env_remove("ETCD_LOG");
    command
}

#[test]
fn the_log_and_the_counters_on_etcd() {
    let Some(etcd) = with_users(VERSIONS[1], &[]) else { return };
    for protocol in Protocol::BOTH {
        checks(&mut telling(&etcd, protocol));
    }
}

#[test]
fn the_log_of_clients_of_etcd_is_on_stderr_where_the_environment_asks_for_it() {
    let Some(etcd) = with_users(VERSIONS[1], &[]) else { return };
    for protocol in Protocol::BOTH {
        let said = |level: &str| {
            let mut command = telling(&etcd, protocol);
            let output = command.arg("environment").env("ETCD_LOG", level).output().expect("it runs");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stderr).expect("text")
        };
        assert_eq!((said(""), said("error"), said("loud")), Default::default());
        for (level, wanted) in [("warning", 1), ("info", 2), ("debug", 3)] {
            let said = said(level);
            let levels = ["Warning", "Info", "Debug"].map(|level| format!("etcd-api: {level}: "));
            for (number, level) in levels.iter().enumerate() {
                assert_eq!(said.contains(level), number < wanted, "{protocol:?}: {said}");
            }
            for secret in ["secret", "nobody's business", "not the password"] {
                assert!(!said.contains(secret), "{said}");
            }
        }
    }
}

/// A program that is linked to the library, or not.
fn loading(name: &str, flags: &[&str]) -> Command {
    let program = scratch("programs").join(name);
    let mut compiler = Language::C.compiler();
    compiler.arg(format!("-I{}", root().join("include").display()));
    compiler.arg(root().join("tests/c/full/loading.c")).arg("-o").arg(&program);
    run(compiler.arg(format!("-L{}", built().display())).args(flags).arg("-ldl"));
    call(&program)
}

#[test]
fn a_library_comes_and_goes_a_hundred_times_and_one_that_is_not_called_does_nothing() {
    let linked = run(loading("linked", &["-Wl,--no-as-needed", "-letcd"]).arg("linked"));
    let loaded = run(loading("loaded", &[]).arg("loaded"));
    // As many threads and files as without it.
    assert_eq!(linked.lines().next(), loaded.lines().next());
    assert!(loaded.ends_with("checks\n"), "{loaded}");
}
