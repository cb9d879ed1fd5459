//! The command-line tool on real servers: what it prints, how it exits, and `lock NAME -- COMMAND`.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Etcd, Running, TempDir, VERSIONS, built, eventually, free_port};

struct Cli<'a> {
    servers: &'a str,
}

impl Cli<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built().join("etcd-api"));
        command.env("ETCD_SERVERS", self.servers).args(arguments).stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    /// Standard output of a command that must succeed and say nothing else.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{arguments:?}");
        text(&output.stdout).to_owned()
    }

    /// Standard error, one line, of a command that must fail with this code and print nothing.
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.output(arguments);
        let errors = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(code), ""), "{arguments:?}: {errors}");
        assert_eq!(errors.matches('\n').count(), 1, "{arguments:?}: one line: {errors}");
        assert!(errors.starts_with("etcd-api: "), "{errors}");
        errors.trim_end().to_owned()
    }

    fn start(&self, arguments: &[&str]) -> Running {
        Running::start(&mut self.command(arguments))
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// The keys in the queue of lock `l`, in its order.
fn queue(etcd: &Etcd) -> Vec<String> {
    let keys = etcd.ask(&["get", "--prefix", "--keys-only", "--sort-by=CREATE", "l/"]);
    keys.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn queued(etcd: &Etcd, count: usize) {
    eventually(Duration::from_secs(10), &format!("{count} in the queue"), || {
        (queue(etcd).len() == count).then_some(())
    });
}

#[test]
fn keys_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let servers = etcd.servers();
        let cli = Cli { servers: &servers };
        assert_eq!(cli.prints(&["set", "a/k", "a value"]), "");
        assert_eq!(cli.prints(&["get", "a/k"]), "a value\n");
        assert_eq!(cli.prints(&["get", "a"]), "a/k\n");
        assert_eq!(etcd.ask(&["get", "--print-value-only", "a/k"]), "a value");
        assert_eq!(cli.prints(&["set", "-p", "a value", "-t", "60", "a/k", "another"]), "");
        assert!(cli.fails(&["set", "-p", "a value", "a/k", "x"], 1).contains("another value"));
        let missing = cli.fails(&["get", "nothing"], 1);
        assert!(missing.contains("\"nothing\""), "{missing}");
        assert!(cli.fails(&["delete", "-p", "x", "a/k"], 1).contains("another value"));
        assert_eq!(cli.prints(&["delete", "a/k"]), "");
        assert!(cli.fails(&["delete", "a/k"], 1).contains("a/k"));
        assert_eq!(cli.prints(&["leader"]), "first\n");
        let elsewhere = Cli { servers: "127.0.0.1:1" };
        assert_eq!(elsewhere.prints(&["-s", &servers, "leader"]), "first\n");
        assert_eq!(elsewhere.prints(&["leader", "--servers", &servers]), "first\n");
    }
}

#[test]
fn errors_name_the_endpoint_and_say_what_to_do() {
    let servers = format!("127.0.0.1:{}", free_port());
    let cli = Cli { servers: &servers };
    let error = cli.fails(&["get", "k"], 1);
    for part in ["read \"k\"", &servers, "connection refused", "is etcd running there?"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(cli.fails(&["-s", "a:x", "leader"], 2).contains("allowed: "));
    let no_servers = cli.command(&["leader"]).env_remove("ETCD_SERVERS").output().expect("it runs");
    assert_eq!(no_servers.status.code(), Some(2));
    assert!(text(&no_servers.stderr).contains("ETCD_SERVERS"));
    assert_eq!(cli.output(&["nonsense"]).status.code(), Some(2));
    assert!(text(&cli.output(&["lock", "--help"]).stdout).contains("121  the lock was lost"));
}

#[test]
fn watch_on_etcd_prints_a_line_a_change() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = etcd.servers();
    etcd.ask(&["put", "w/a", "one\ntwo"]);
    etcd.ask(&["put", "wider", "not below w"]);
    etcd.ask(&["del", "w/a"]);
    let mut watch = Cli { servers: &servers }.start(&["watch", "-i", "1", "w"]);
    assert_eq!(watch.lines(2), ["put 2 w/a one\\ntwo", "delete 4 w/a"]);
    etcd.ask(&["put", "w", "now"]);
    assert_eq!(watch.line(), "put 5 w now");
    watch.close_output();
    assert_eq!(watch.code(), 0, "nobody reads any more: that is no failure");
}

#[test]
fn a_lock_on_etcd_by_index() {
    let Some(etcd) = Etcd::start(VERSIONS[0]) else { return };
    let servers = etcd.servers();
    let cli = Cli { servers: &servers };
    let index = cli.prints(&["lock", "-t", "30", "l"]);
    let index = index.trim();
    assert_eq!(cli.prints(&["lock", "-t", "60", "-i", index, "l"]), "");
    let busy = cli.fails(&["lock", "-w", "0.2", "l"], 122);
    assert!(busy.contains("before us") && busy.contains(&servers), "it names the one before: {busy}");
    assert_eq!(queue(&etcd).len(), 1, "who gave up left nothing");
    assert_eq!(cli.prints(&["unlock", "-i", index, "l"]), "");
    assert!(cli.fails(&["unlock", "-i", index, "l"], 1).contains(index));
    assert!(cli.fails(&["lock", "-i", index, "l"], 1).contains(index));
    assert_eq!(queue(&etcd).len(), 0);
}

#[test]
fn a_command_on_etcd_runs_under_the_lock_and_gives_its_exit_code() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let servers = etcd.servers();
        let cli = Cli { servers: &servers };
        let show = ["lock", "l", "--", "sh", "-c", "echo $ETCD_LOCK_KEY $ETCD_LOCK_REV"];
        let output = cli.prints(&show);
        let (key, token) = output.trim().split_once(' ').expect("both variables");
        assert!(key.starts_with("l/") && token.parse::<u64>().is_ok(), "{output}");
        assert_eq!(cli.output(&["lock", "l", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
        assert_eq!(cli.output(&["lock", "l", "--", "sh", "-c", "kill -9 $$"]).status.code(), Some(137));
        assert!(cli.fails(&["lock", "l", "--", "/no/such/program"], 124).contains("/no/such/program"));
        assert_eq!(queue(&etcd).len(), 0, "released every time");
        assert_eq!(etcd.ask(&["lease", "list"]).lines().next(), Some("found 0 leases"));
    }
    let dead = format!("127.0.0.1:{}", free_port());
    Cli { servers: &dead }.fails(&["lock", "l", "--", "true"], 120);
}

#[test]
fn a_lock_on_etcd_is_renewed_while_its_command_runs() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = etcd.servers();
    let cli = Cli { servers: &servers };
    let mut long = cli.start(&["lock", "-t", "2", "l", "--", "sh", "-c", "sleep 5"]);
    queued(&etcd, 1);
    let start = Instant::now();
    assert!(cli.fails(&["lock", "-w", "3.5", "l"], 122).contains("before us"));
    assert!(start.elapsed() > Duration::from_secs(3));
    assert_eq!(long.code(), 0);
}

#[test]
fn a_command_is_ended_when_its_lock_is_removed_from_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let servers = etcd.servers();
        let mut held = Cli { servers: &servers }.start(&["lock", "l", "--", "sleep", "60"]);
        queued(&etcd, 1);
        std::thread::sleep(Duration::from_millis(500));
        let start = Instant::now();
        etcd.ask(&["del", "--prefix", "l/"]);
        assert_eq!(held.code(), 121);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert!(held.errors().contains("removed"), "it says why");
    }
}

#[test]
fn a_command_is_ended_before_a_silent_etcd_can_hand_its_lock_on() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = etcd.servers();
    let mut held = Cli { servers: &servers }.start(&["lock", "-t", "3", "l", "--", "sleep", "60"]);
    queued(&etcd, 1);
    std::thread::sleep(Duration::from_millis(500));
    etcd.stop();
    let start = Instant::now();
    assert_eq!(held.code(), 121);
    assert!(start.elapsed() < Duration::from_secs(3), "before the TTL is over: {:?}", start.elapsed());
    etcd.go_on();
}

#[test]
fn a_waiting_lock_on_etcd_that_gets_a_signal_leaves_the_queue() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = etcd.servers();
    let cli = Cli { servers: &servers };
    let _index = cli.prints(&["lock", "-t", "60", "l"]);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut waiting = cli.start(&["lock", "l", "--", "true"]);
        queued(&etcd, 2);
        waiting.signal(signal);
        assert_eq!(waiting.code(), 128 + signal);
        assert_eq!(queue(&etcd).len(), 1, "nothing is left behind");
    }
}

#[test]
fn signals_reach_the_command_and_the_lock_on_etcd_is_released() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = etcd.servers();
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut held = Cli { servers: &servers }.start(&["lock", "l", "--", "sh", "-c", script]);
    assert_eq!(held.line(), "ready");
    held.signal(libc::SIGTERM);
    assert_eq!(held.code(), 9);
    assert_eq!(queue(&etcd).len(), 0);
}

#[test]
fn a_killed_tool_takes_its_command_with_it_and_etcd_ends_the_lock() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let servers = etcd.servers();
    let folder = TempDir::new();
    let file = folder.path().join("alive");
    let script = format!("echo ready; while :; do date +%s%N > {}; sleep 0.05; done", file.display());
    let cli = Cli { servers: &servers };
    let mut held = cli.start(&["lock", "-t", "2", "l", "--", "sh", "-c", &script]);
    assert_eq!(held.line(), "ready");
    held.signal(libc::SIGKILL);
    assert_eq!(held.code(), -1);
    eventually(Duration::from_secs(5), "the command has ended", || {
        let before = std::fs::read(&file).ok();
        std::thread::sleep(Duration::from_millis(300));
        (before == std::fs::read(&file).ok()).then_some(())
    });
    let start = Instant::now();
    cli.prints(&["lock", "l"]);
    assert!(start.elapsed() < Duration::from_secs(4), "TTL + 2 s: {:?}", start.elapsed());
}
