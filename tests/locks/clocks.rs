//! Processes whose wall clock jumps, as when somebody sets it, or a time server does.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use faultproxy::Fault;

use super::contender::{process_with, wait_for, want};
use super::{LOCK, etcd, ms, proxied, queue, queued};
use crate::support::{Running, TempDir, client, skip};

/// The library that fakes clocks; none (noted as skipped) where the machine has none.
fn faketime() -> Option<String> {
    let asked = Command::new("faketime").args(["-m", "now", "printenv", "LD_PRELOAD"]).output();
    match asked {
        Ok(output) if output.status.success() => {
            Some(String::from_utf8(output.stdout).expect("a path").trim().to_owned())
        }
        other => {
            skip(&format!("no faketime ({other:?})"));
            None
        }
    }
}

/// Sets the clocks of whoever looks into this file.
fn set(file: &Path, offset: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, offset).expect("room for a line");
    std::fs::rename(&new, file).expect("the same folder");
}

/// One that wants the lock, by the clocks of this file: the wall clock, or all of them.
fn by_clock(servers: &str, file: &Path, all: bool) -> Option<Running> {
    set(file, "+0");
    let (library, path) = (faketime()?, file.display().to_string());
    let mut environment =
        vec![("LD_PRELOAD", &*library), ("FAKETIME_TIMESTAMP_FILE", &path), ("FAKETIME_NO_CACHE", "1")];
    if !all {
        environment.extend([("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")]);
    }
    Some(process_with(servers, LOCK, 4, &environment))
}

/// Nothing is lost by a jump, and nothing is kept by one: what counts is the clock that nobody sets.
#[test]
fn l02_a_wall_clock_that_jumps_neither_loses_nor_keeps_an_etcd_lock() {
    let Some(etcd) = etcd() else { return };
    let (folder, (proxy, _)) = (TempDir::new(), proxied(&etcd, &[]));
    let file = folder.path().join("clock");
    let Some(mut holder) = by_clock(&proxy.servers(), &file, false) else { return };
    let direct = client(&etcd.servers(), &[]);
    wait_for(&mut holder, "held");
    let token = queue(&direct)[0].create_revision;
    let next = want(&direct, LOCK, 10);
    queued(&direct, 2);
    for offset in ["+5h", "-5h"] {
        set(&file, offset);
        let said = wait_for(&mut holder, "jumped");
        assert!(said.ends_with("sure true"), "{offset}: {said}");
        // It has to be renewed meanwhile, more than once.
        assert!(next.is_silent(Duration::from_secs(5)), "{offset}");
        assert_eq!(queue(&direct)[0].create_revision, token, "{offset}");
    }
    proxy.set(Fault::BlackHole);
    set(&file, "-10h");
    wait_for(&mut holder, "jumped");
    assert!(wait_for(&mut holder, "told").contains("Lost"));
    assert_eq!(queue(&direct)[0].create_revision, token, "nobody could follow yet");
    next.acquired(Duration::from_secs(12));
}

/// The broken twin: where the clock that it counts on jumps too, it lets go of what is its own.
#[test]
fn l02_it_is_the_clock_of_the_machine_s_time_since_boot_that_an_etcd_lock_is_counted_on() {
    let Some(etcd) = etcd() else { return };
    let folder = TempDir::new();
    let file = folder.path().join("clock");
    let Some(mut holder) = by_clock(&etcd.servers(), &file, true) else { return };
    wait_for(&mut holder, "held");
    std::thread::sleep(ms(100));
    set(&file, "+5h");
    // To it that was a pause.
    wait_for(&mut holder, "sure false");
    assert_eq!(queue(&client(&etcd.servers(), &[])).len(), 1, "its lease is still there");
}
