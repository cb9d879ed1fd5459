//! The same calls from C, Julia and Node, on the embedded store and on real servers.

use std::path::Path;
use std::process::Command;

use crate::support::{
    ALL_VERSIONS, Etcd, Language, VERSIONS, call, call_under_valgrind, julia, node, program, root, run,
};

fn check_quickstart(output: &str, leader: &str) {
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(
        lines,
        [
            leader,
            "the colour is blue",
            "below quickstart is quickstart/colour",
            "held a lock and released it",
            "quickstart/colour is deleted",
        ]
    );
}

#[test]
fn quickstart_in_c_and_cpp_on_mem() {
    for language in [Language::C, Language::Cpp] {
        let quickstart = program("examples/c/quickstart.c", language);
        check_quickstart(&run(&mut call(&quickstart)), "the leader of mem://quickstart is quickstart");
        run(&mut call_under_valgrind(&quickstart));
    }
}

#[test]
fn quickstart_in_c_on_etcd() {
    let quickstart = program("examples/c/quickstart.c", Language::C);
    for version in ALL_VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let leader = format!("the leader of {} is first", etcd.servers());
        check_quickstart(&run(call(&quickstart).arg(etcd.servers())), &leader);
        run(call_under_valgrind(&quickstart).arg(etcd.servers()));
    }
}

fn check_script(name: &str, gone: &str, command: &mut Command) {
    let output = run(command);
    let lines: Vec<&str> = output.lines().collect();
    let capital = if name == "julia" { "Julia" } else { "Node" };
    assert_eq!(lines[0], format!("greeting is hello, {capital}; below {name} is {name}/greeting"));
    let token = lines[1].strip_prefix("held lock ").and_then(|token| token.parse::<u64>().ok());
    assert!(token.is_some(), "{output}");
    assert_eq!(lines[2], format!("saw {name}/greeting become {gone}"));
    assert_eq!(lines.len(), 3);
}

/// On `mem://` and on each server; `None` when the language is not to be had.
fn on_all_stores(start: fn() -> Option<Command>, script: &Path, name: &str, gone: &str) {
    let Some(mut command) = start() else { return };
    check_script(name, gone, command.arg(script));
    for version in VERSIONS {
        let (Some(etcd), Some(mut command)) = (Etcd::start(version), start()) else { return };
        check_script(name, gone, command.arg(script).arg(etcd.servers()));
    }
}

#[test]
fn julia_script_on_mem_and_etcd() {
    on_all_stores(julia, &root().join("examples/julia/classic.jl"), "julia", "nothing");
}

#[test]
fn node_script_on_mem_and_etcd() {
    on_all_stores(node, &root().join("examples/node/classic.mjs"), "node", "null");
}
