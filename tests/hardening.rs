//! The full tier in the hands of programs that do everything wrong, and of tools that see each wrong byte.

use std::collections::BTreeSet;
use std::process::Command;

use crate::header::declared;
use crate::support::{Language, call, call_under_valgrind, program, run};

const BAD_INPUT: &str = "tests/c/full/bad_input.c";

/// The functions of 2013: tests/c/bad_input.c has these.
const CLASSIC: [&str; 11] = [
    "etcd_close",
    "etcd_close_str",
    "etcd_delete",
    "etcd_get",
    "etcd_leader",
    "etcd_lock",
    "etcd_open",
    "etcd_open_str",
    "etcd_set",
    "etcd_unlock",
    "etcd_watch",
];

#[test]
fn bad_input_has_a_row_for_every_function_of_the_full_tier() {
    let rows = run(call(&program(BAD_INPUT, Language::C)).arg("functions"));
    let rows: BTreeSet<String> = rows.lines().map(Into::into).collect();
    let full: BTreeSet<String> =
        declared().into_iter().filter(|name| !CLASSIC.contains(&name.as_str())).collect();
    assert_eq!(rows, full);
}

/// Nothing may be said on stderr, neither by the library, which panics once, nor by valgrind of the forked child.
fn check(command: &mut Command) {
    let output = command.arg("mem://bad").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{command:?}: {output:?}");
    let checks = said.strip_suffix(" checks\n").and_then(|number| number.parse::<u32>().ok());
    assert!(checks > Some(20_000), "{said}");
}

#[test]
fn bad_input_of_the_full_tier_on_mem_has_its_status_and_never_crashes() {
    check(&mut call(&program(BAD_INPUT, Language::C)));
    check(&mut call(&program(BAD_INPUT, Language::Cpp)));
    check(&mut call_under_valgrind(&program(BAD_INPUT, Language::C)));
}
