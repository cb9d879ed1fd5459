//! The same calls from C, Julia and Node, on the embedded store and on real servers.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use faultproxy::Proxy;

use crate::support::{
    ALL_VERSIONS, Etcd, Language, Pki, VERSIONS, call, call_under_valgrind, julia, node, program, root, run,
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

#[test]
fn a_server_that_hangs_up_sends_no_signal_to_a_caller_of_etcd() {
    let pki = Pki::new();
    let (Some(plain), Some(secure)) =
        (Etcd::start(VERSIONS[1]), Etcd::start_secure(VERSIONS[1], &pki, "server"))
    else {
        return;
    };
    let pipe = program("tests/c/pipe.c", Language::C);
    let twin = call(&pipe).args(["mem://", "0"]).output().expect("it runs");
    assert_eq!(twin.status.signal(), Some(libc::SIGPIPE), "the broken twin is ended: {twin:?}");
    for (etcd, scheme) in
        [(&plain, "http"), (&plain, "json+http"), (&secure, "https"), (&secure, "json+https")]
    {
        let proxy = Proxy::start(etcd.port());
        let endpoint = format!("{scheme}://{}", proxy.servers());
        let mut command = call(&pipe);
        command.args([&endpoint, "60"]).env("ETCD_API_CA_FILE", pki.certificate("ca"));
        command.env("ETCD_API_CERT_FILE", pki.certificate("client"));
        command.env("ETCD_API_KEY_FILE", pki.key("client"));
        let output = std::thread::scope(|scope| {
            let program = scope.spawn(|| command.output().expect("it runs"));
            for number in 0.. {
                if program.is_finished() {
                    break;
                }
                // In the middle of requests, of handshakes, and between them.
                std::thread::sleep(Duration::from_micros(1000 + number % 17 * 500));
                if number % 2 == 0 { proxy.cut() } else { proxy.reset_all() }
            }
            program.join().expect("no panic")
        });
        let said = String::from_utf8_lossy(&output.stdout);
        let failed: Option<usize> = said.split(' ').next().and_then(|number| number.parse().ok());
        assert!(output.status.success() && failed > Some(20), "{endpoint}: {output:?}");
    }
}
