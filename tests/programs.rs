//! The C programs: what the eleven functions do, bad input, a program of 2013, the old test program, the leader.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::{
    Etcd, Language, Running, TempDir, VERSIONS, built, call, call_under_valgrind, eventually, program, root,
    run,
};

/// Runs programs side by side, since they mostly wait; each must count its checks.
fn all_check(programs: &mut [Command]) {
    std::thread::scope(|scope| {
        for program in programs {
            scope.spawn(move || assert!(run(program).ends_with("checks\n")));
        }
    });
}

/// Plain and under valgrind, as C; plain as C++.
pub fn check_on_mem(source: &str) {
    let (c, cpp) = (program(source, Language::C), program(source, Language::Cpp));
    let mut programs = [call(&c), call_under_valgrind(&c), call(&cpp)];
    for program in &mut programs {
        program.arg("mem://checked");
    }
    all_check(&mut programs);
}

pub fn check_on_servers(source: &str) {
    let program = program(source, Language::C);
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let mut programs = [call(&program), call_under_valgrind(&program)];
        for program in &mut programs {
            program.arg(etcd.servers());
        }
        all_check(&mut programs);
    }
}

const KEYS: &str = "tests/c/classic/keys.c";
const WATCHES: &str = "tests/c/classic/watches.c";
const LOCKS: &str = "tests/c/classic/locks.c";

#[test]
fn classic_keys_on_mem() {
    check_on_mem(KEYS);
}

#[test]
fn classic_watches_on_mem() {
    check_on_mem(WATCHES);
}

#[test]
fn classic_locks_on_mem() {
    check_on_mem(LOCKS);
}

#[test]
fn classic_keys_on_etcd() {
    check_on_servers(KEYS);
}

#[test]
fn classic_watches_on_etcd() {
    check_on_servers(WATCHES);
}

#[test]
fn classic_locks_on_etcd() {
    check_on_servers(LOCKS);
}

#[test]
fn bad_input_on_mem() {
    check_on_mem("tests/c/bad_input.c");
}

#[test]
fn bad_input_on_etcd() {
    check_on_servers("tests/c/bad_input.c");
}

/// Compiles the program of 2013 against its own header and another libetcd.so, or against ours.
fn program_of_2013(folder: &Path, header: &Path, library: &Path) -> std::path::PathBuf {
    let program = folder.join("program");
    let mut compiler = Language::C.compiler();
    compiler.arg(format!("-I{}", header.display())).arg(root().join("tests/c/2013/program.c"));
    run(compiler.arg("-o").arg(&program).arg(format!("-L{}", library.display())).arg("-letcd"));
    program
}

#[test]
fn a_program_of_2013_compiles_without_a_warning_and_works() {
    let folder = TempDir::new();
    let program = program_of_2013(folder.path(), &root().join("include"), built());
    assert!(run(call(&program).args(["mem://p2013", "0"])).ends_with("0 faults\n"));
    let Some(etcd) = Etcd::start(VERSIONS[0]) else { return };
    let port = etcd.port().to_string();
    assert!(run(call(&program).args(["127.0.0.1", &port])).ends_with("0 faults\n"));
}

#[test]
fn a_binary_linked_to_another_libetcd_runs_with_ours_in_its_place() {
    let folder = TempDir::new();
    let old_header = root().join("tests/c/2013");
    let stub = folder.path().join("libetcd.so");
    let mut compiler = Language::C.compiler();
    compiler.args(["-shared", "-fPIC"]).arg(format!("-I{}", old_header.display()));
    run(compiler.arg(old_header.join("stub.c")).arg("-o").arg(&stub));
    let program = program_of_2013(folder.path(), &old_header, folder.path());

    let with = |folder: &Path| {
        let mut command = Command::new(&program);
        command.env("LD_LIBRARY_PATH", folder).args(["mem://p2013", "0"]).output().expect("it runs")
    };
    assert_eq!(with(folder.path()).status.code(), Some(1), "with the library it was linked to, all fails");
    // Ours put there under the name that the binary asks for.
    std::fs::copy(built().join("libetcd.so"), &stub).expect("room");
    let ours = with(folder.path());
    assert!(ours.status.success(), "{ours:?}");
    assert!(String::from_utf8_lossy(&ours.stdout).ends_with("0 faults\n"));
}

/// Runs the old test program.
struct OldTest<'a> {
    servers: &'a str,
}

impl OldTest<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = call(&program("examples/c/etcd-test.c", Language::C));
        command.env("ETCD_SERVERS", self.servers).args(arguments);
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    fn prints(&self, arguments: &[&str], wanted: &str) {
        let output = self.output(arguments);
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{arguments:?}: {output:?}");
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{arguments:?}");
    }

    fn fails(&self, arguments: &[&str], line: &str) {
        let output = self.output(arguments);
        assert_eq!(String::from_utf8_lossy(&output.stderr), line, "{arguments:?}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn the_old_test_program_on_etcd_prints_what_it_did() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let servers = etcd.servers();
        let test = OldTest { servers: &servers };
        test.prints(&["set", "a/k", "v"], "setting a/k to v\n");
        test.prints(&["GET", "a/k"], "getting a/k\ngot value: v\n");
        test.prints(&["get", "a"], "getting a\ngot value: a/k\n");
        let long = "setting a/k to w; x&y=z\n  precond = v\n  ttl = 60\n";
        test.prints(&["set", "-p", "v", "a/k", "--ttl", "60", "w; x&y=z"], long);
        test.prints(&["get", "a/k"], "getting a/k\ngot value: w; x&y=z\n");
        test.fails(&["set", "-p", "v", "a/k", "no"], "etcd_set failed\n");
        test.prints(&["leader"], "finding leader\nleader is first\n");
        test.prints(&["delete", "a/k"], "deleting a/k\n");
        test.fails(&["delete", "a/k"], "etcd_delete failed\n");
        test.fails(&["get", "a/k"], "etcd_get failed\n");

        let output = test.output(&["lock", "-t", "30", "l"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let index = text.strip_prefix("locking l for 30\ngot back index number ").expect("both lines").trim();
        let again = format!("locking l ({index}) for 20\ngot back index number {index}\n");
        test.prints(&["lock", "-t", "20", "--index", index, "l"], &again);
        test.prints(&["unlock", "-i", index, "l"], &format!("unlocking l ({index})\n"));
        test.fails(&["unlock", "-i", index, "l"], "etcd_unlock failed\n");
        test.fails(&["lock", "-t", "20", "-i", index, "l"], "etcd_lock failed\n");
        test.fails(&["-s", ",", "leader"], "etcd_open failed\n");
        for wrong in [&["lock", "l"][..], &["get"], &["get", "-t", "1", "k"], &["nothing"], &[]] {
            let output = test.output(wrong);
            assert_eq!(output.status.code(), Some(1), "{wrong:?}");
            assert!(output.stderr.starts_with(b"usage: "), "{wrong:?}");
        }
    }
}

fn ends_well(mut program: Running) {
    program.signal(libc::SIGTERM);
    assert_eq!(program.code(), 0);
}

#[test]
fn the_old_test_program_on_etcd_watches() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    etcd.ask(&["put", "a/k", "1"]);
    etcd.ask(&["put", "ab", "not below a"]);
    etcd.ask(&["del", "a/k"]);
    let servers = etcd.servers();
    let mut watch = Running::start(&mut OldTest { servers: &servers }.command(&["watch", "-i", "1", "a"]));
    let wanted = ["getting a", "index is 2", "key a/k was set to 1", "index is 4", "key a/k was deleted"];
    assert_eq!(watch.lines(5), wanted);
    etcd.ask(&["put", "a", "2"]);
    assert_eq!(watch.lines(2), ["index is 5", "key a was set to 2"]);
}

fn leader(servers: &str, name: &str) -> Running {
    let mut command = call(&program("examples/c/leader.c", Language::C));
    command.args(["-s", servers, "-n", name, "-t", "3"]);
    Running::start(&mut command)
}

#[test]
fn a_leader_alone_on_mem_leads() {
    let mut alone = leader("mem://leader", "alone");
    assert_eq!(alone.lines(2), ["leader is alone", "Bow down before me!"]);
    ends_well(alone);
}

#[test]
fn leaders_on_etcd_follow_one_another_and_step_down_in_time() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let servers = etcd.servers();
        let mut one = leader(&servers, "one");
        assert_eq!(one.lines(2), ["leader is one", "Bow down before me!"]);
        let mut two = leader(&servers, "two");
        assert_eq!(two.line(), "leader is one");
        // Leadership handed over, then lost.
        ends_well(one);
        assert_eq!(two.lines(2), ["leader is two", "Bow down before me!"]);
        let start = Instant::now();
        etcd.stop();
        assert_eq!(two.line(), "I am no longer the leader");
        assert!(start.elapsed() < Duration::from_secs(3), "before its TTL is over: {:?}", start.elapsed());
        etcd.go_on();
        assert_eq!(two.lines(2), ["leader is two", "Bow down before me!"]);
        ends_well(two);
        eventually(Duration::from_secs(5), "nothing is left", || {
            etcd.ask(&["get", "--prefix", "--keys-only", "nsr"]).is_empty().then_some(())
        });
    }
}
