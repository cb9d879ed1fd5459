//! The package for Node, bindings/node: its own tests on the embedded store and on real servers, and what they can't
//! do by themselves: servers that come and go.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::support::{Etcd, Running, VERSIONS, built, long, root, run, skip};

/// The versions that the package's tests run on.
const TESTED: [&str; 2] = [VERSIONS[0], VERSIONS[1]];

/// Runs something in the package's folder, with its dependencies installed from the lock files; `None` (noted) where
/// there is no npm.
fn in_package(program: &str) -> Option<Command> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    let install = || {
        ["bindings/node", "bindings/node/test/types"].iter().try_for_each(|folder| {
            let mut npm = Command::new("npm");
            npm.args(["ci", "--silent", "--prefer-offline"]).current_dir(root().join(folder));
            match npm.output() {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => Err(format!("npm ci: {}", String::from_utf8_lossy(&output.stderr).trim())),
                Err(error) => Err(format!("npm: {error}")),
            }
        })
    };
    if let Err(reason) = INSTALLED.get_or_init(install) {
        skip(reason);
        return None;
    }
    let mut command = Command::new(program);
    command.current_dir(root().join("bindings/node"));
    command.env("ETCD_LIBRARY", built().join("libetcd.so"));
    Some(command)
}

/// Most are ES modules; programs of the old module `locked` are not.
fn test_file(name: &str) -> String {
    let kind = if name == "locked" { "cjs" } else { "mjs" };
    format!("test/{name}.test.{kind}")
}

/// Runs test files one after the other: compactions and alarms are everybody's. Those that skip something say so.
fn passes(files: &[&str], servers: Option<&str>, skipped: usize) -> Option<()> {
    let mut node = in_package("node")?;
    node.args(["--test", "--expose-gc", "--test-concurrency=1", "--test-reporter=tap"]);
    node.args(files.iter().map(|file| test_file(file)));
    if let Some(servers) = servers {
        node.env("ETCD_TEST_ENDPOINTS", servers);
    }
    if long() {
        node.env("ETCD_TEST_TRIES", "100").env("ETCD_TEST_OPERATIONS", "1000000");
    }
    let output = run(&mut node);
    let count = |what: &str| -> usize {
        let line = output.lines().find_map(|line| line.strip_prefix(&format!("# {what} ")));
        line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{output}"))
    };
    assert!(count("pass") > 0 && count("fail") == 0 && count("skipped") == skipped, "{output}");
    output
        .lines()
        .filter(|line| line.starts_with("# ") && line.contains("MiB"))
        .for_each(|line| println!("{line}"));
    Some(())
}

const CALLS: [&str; 9] = ["keys", "input", "txn", "cluster", "watch", "calls", "lock", "locked", "memory"];

#[test]
fn the_package_for_node_on_mem() {
    passes(&CALLS, None, 0);
}

#[test]
fn the_package_for_node_on_etcd() {
    for version in TESTED {
        let Some(etcd) = Etcd::start(version) else { return };
        if passes(&CALLS, Some(&etcd.servers()), 0).is_none() {
            return;
        }
    }
}

#[test]
fn a_busy_process_of_node_ends_in_every_way_on_mem() {
    passes(&["exit"], None, 0);
}

#[test]
fn a_busy_process_of_node_ends_in_every_way_on_etcd() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    passes(&["exit"], Some(&etcd.servers()), 0);
}

#[test]
fn examples_and_readme_of_the_package_for_node_on_mem_and_etcd() {
    // Server-sent events need a store that two processes share.
    passes(&["examples"], None, 1);
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    passes(&["examples"], Some(&etcd.servers()), 0);
}

#[test]
fn the_package_for_node_finds_its_library_and_has_types() {
    passes(&["library", "types"], None, 0);
}

#[test]
fn the_package_for_node_is_packed_and_installed_in_an_empty_folder() {
    passes(&["pack"], None, 0);
}

/// Fifty watches see every change once and in order, and fifty that wait for a lock get it in theirs, while their server
/// is killed and comes back.
#[test]
fn fifty_watches_and_locks_of_node_across_restarts_of_etcd() {
    for version in TESTED {
        let Some(mut etcd) = Etcd::start(version) else { return };
        let Some(mut node) = in_package("node") else { return };
        let mut program = Running::start(node.args(["test/programs/restart.mjs", &etcd.servers()]));
        assert_eq!(program.line(), "live", "{}", program.errors());
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(300));
            etcd.kill();
            std::thread::sleep(Duration::from_millis(300));
            etcd.revive();
            assert_eq!(program.line(), "all resumed", "{}", program.errors());
        }
        let line = program.line();
        let changes: usize = line
            .strip_prefix("each saw ")
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{line} {}", program.errors()));
        assert!(changes > 20, "{line}");
        assert_eq!(program.code(), 0);
        println!("etcd {version}: {line}");
    }
}
