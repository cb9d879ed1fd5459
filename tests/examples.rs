//! The examples of the full tier, on the embedded store and on real servers: what they print is what their comments say.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use crate::support::{
    Etcd, Language, Running, VERSIONS, call, call_under_valgrind, eventually, free_port, program, root, run,
    spawn,
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

/// As programs of other people are, which ask for a standard and for no extension.
#[test]
fn every_example_compiles_as_strict_c99_and_c11() {
    let folder = root().join("examples/c");
    for file in std::fs::read_dir(&folder).expect("there are examples") {
        let source = file.expect("a file").path();
        for standard in ["-std=c99", "-std=c11"] {
            let mut gcc = Command::new("gcc");
            gcc.args([standard, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]);
            run(gcc.arg(root().join("include")).arg(&source));
        }
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

const WORKED: &str = "jobs/nightly is mine\nstep 1\nstep 2\nstep 3\ndone\n";
const FENCED: &str = "slow: written\nslow: written elsewhere\nnext: written\nnext: written elsewhere\n\
    slow: refused, it holds the lock no more\nslow: refused elsewhere, its token is stale\n";

#[test]
fn a_worker_on_mem() {
    prints("worker", WORKED, false);
}

#[test]
fn a_worker_on_etcd() {
    prints("worker", WORKED, true);
}

#[test]
fn a_fenced_write_on_mem() {
    prints("fenced-write", FENCED, false);
}

#[test]
fn a_fenced_write_on_etcd() {
    prints("fenced-write", FENCED, true);
}

/// One whose lock somebody removes, and one whose server says nothing any more, stop; the next one takes over.
#[test]
fn a_worker_that_loses_its_lock_stops_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let start = || {
            let mut command = call(&example("worker"));
            Running::start(command.args([&etcd.servers(), "jobs/long", "1000"]))
        };
        let lost = |worker: &mut Running| {
            while worker.line() != "lost it: somebody else may do this now" {
                assert!(worker.is_running(), "{version}");
            }
            assert_eq!(worker.code(), 3);
        };
        let mut first = start();
        assert_eq!(first.line(), "jobs/long is mine");
        let mut second = start();
        eventually(Duration::from_secs(10), "the second one queues", || {
            let places = etcd.ask(&["get", "--prefix", "--keys-only", "jobs/long/"]);
            (places.matches("jobs/long/").count() == 2).then_some(())
        });
        etcd.ask(&["del", "--prefix", "jobs/long/"]);
        lost(&mut first);
        // Its place in the queue went, too.
        assert!(second.errors().contains("the place in the queue is gone"), "{version}");
        assert_eq!(second.code(), 1);
        let mut third = start();
        assert_eq!(third.line(), "jobs/long is mine");
        etcd.stop();
        lost(&mut third);
        etcd.go_on();
    }
}

/// A service that is talked to.
struct Service {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Service {
    fn start(mut command: Command, servers: &str, who: &str) -> Self {
        command.args([servers, who]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = spawn(&mut command).expect("it starts");
        let (input, output) = (process.stdin.take(), process.stdout.take().expect("piped"));
        Service { process, input, output: BufReader::new(output) }
    }

    /// Reads until all these lines have come, in any order.
    fn says(&mut self, wanted: &[&str]) {
        let mut wanted = wanted.to_vec();
        while !wanted.is_empty() {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("text") > 0, "it ended before {wanted:?}");
            wanted.retain(|wanted| *wanted != line.trim_end());
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input.as_ref().expect("open"), "{line}").expect("it reads");
    }

    fn end(mut self) {
        self.input.take();
        assert!(self.process.wait().expect("it ends").success());
    }
}

#[test]
fn a_service_that_leads_on_mem() {
    let program = example("leader-service");
    for command in [call(&program), call_under_valgrind(&program)] {
        let mut service = Service::start(command, "mem://examples", "ann");
        service.says(&["leading", "leader: ann"]);
        service.tell("at your service");
        service.says(&["leader: at your service"]);
        service.end();
    }
}

#[test]
fn services_follow_one_another_as_leaders_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let start = |who| Service::start(call(&example("leader-service")), &etcd.servers(), who);
        let mut ann = start("ann");
        ann.says(&["leading", "leader: ann"]);
        let mut ben = start("ben");
        ben.says(&["leader: ann"]);
        ben.tell("not the leader's word");
        ann.tell("at your service");
        ben.says(&["leader: at your service"]);
        ann.end();
        ben.says(&["leading", "leader: ben"]);
        // It leads again after a loss.
        etcd.ask(&["del", "--prefix", "service/leader/"]);
        ben.says(&["leading", "leader: ben"]);
        ben.end();
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
    for name in ["range-txn", "watcher", "watch-poll", "epoll-1000", "worker", "fenced-write"] {
        let output = fails(&example(name));
        let errors = String::from_utf8_lossy(&output.stderr);
        let reason = format!("at http://{nobody}: connection refused (is etcd running there?)\n");
        assert!(output.status.code() == Some(1) && errors.ends_with(&reason), "{name}: {output:?}");
    }
}
