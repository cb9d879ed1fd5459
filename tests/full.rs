//! The C programs about the full tier: every operation in each way to run it, the queue, clients that come and go.

use std::process::Command;

use crate::security::with_users;
use crate::support::{Etcd, Language, Protocol, VERSIONS, call, call_under_valgrind, program, run};

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
