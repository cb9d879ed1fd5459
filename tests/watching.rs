//! A loop around `etcd_watch` while servers come and go.

use std::ffi::{CStr, CString, c_char, c_int};
use std::process::{Command, Stdio};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use etcd::ffi::classic::{etcd_close, etcd_open_str, etcd_watch};
use etcd::ffi::types::{etcd_result, etcd_session};

use crate::support::{Etcd, Language, Running, VERSIONS, built, call, eventually, program};

const CHANGES: usize = 10_000;
const KEY: &str = "watching/number";

/// The next change from `index` on; the index moves behind it.
fn next(session: etcd_session, prefix: &CStr, index: &mut c_int) -> String {
    let (mut key, mut value): (*mut c_char, *mut c_char) = (null_mut(), null_mut());
    let at: *mut c_int = index;
    // SAFETY: the session is open, the rest are this function's own variables.
    let result = unsafe { etcd_watch(session, prefix.as_ptr(), &mut key, &mut value, at, at) };
    assert_eq!(result, etcd_result::ETCD_OK, "{}", std::io::Error::last_os_error());
    *index += 1;
    // SAFETY: both are strings from malloc, or NULL.
    unsafe {
        let text = if value.is_null() { "deleted".into() } else { CStr::from_ptr(value).to_string_lossy() };
        let text = text.into_owned();
        libc::free(key.cast());
        libc::free(value.cast());
        text
    }
}

#[test]
fn a_loop_on_etcd_sees_10000_changes_once_and_in_order_across_two_restarts() {
    for version in VERSIONS {
        let Some(mut etcd) = Etcd::start(version) else { return };
        let servers = CString::new(etcd.servers()).expect("no NUL");
        let mut writer = call(&program("tests/c/writer.c", Language::C));
        writer.args([&etcd.servers(), KEY, &CHANGES.to_string()]).stdin(Stdio::null());
        let start = Instant::now();
        let mut writer = writer.spawn().expect("the writer starts");
        let loops = std::thread::spawn(move || {
            // SAFETY: a valid string.
            let session = unsafe { etcd_open_str(servers.as_ptr()) };
            let prefix = CString::new("watching").expect("no NUL");
            let mut index = 1;
            let seen: Vec<String> = (0..=CHANGES).map(|_| next(session, &prefix, &mut index)).collect();
            // SAFETY: open, and not used any more.
            unsafe { etcd_close(session) };
            seen
        });
        for part in 1..=2 {
            let written = CHANGES / 3 * part;
            eventually(Duration::from_secs(60), "a third is written", || {
                let value = etcd.ask(&["get", "--print-value-only", KEY]);
                value.parse().is_ok_and(|number: usize| number >= written).then_some(())
            });
            assert!(writer.try_wait().expect("waitable").is_none(), "the restart must fall into the writing");
            etcd.kill();
            std::thread::sleep(Duration::from_millis(500));
            etcd.revive();
        }
        let seen = loops.join().expect("the loop sees all");
        assert!(writer.wait().expect("the writer ends").success());
        println!("etcd {version}: {CHANGES} changes in {:?}", start.elapsed());
        let wanted: Vec<String> = (0..=CHANGES).map(|number| number.to_string()).collect();
        assert!(seen == wanted, "not each once and in order");
    }
}

#[test]
fn a_quiet_watch_on_etcd_does_not_fall_behind_the_compaction_of_a_busy_store() {
    let flags = &["--experimental-watch-progress-notify-interval=300ms"];
    let Some(mut etcd) = Etcd::start_with(VERSIONS[1], flags) else { return };
    let servers = etcd.servers();
    let mut tool = Command::new(built().join("etcd-api"));
    let mut watch = Running::start(tool.args(["-s", &servers, "watch", "-i", "1", "quiet"]));
    etcd.ask(&["put", "quiet", "before"]);
    assert_eq!(watch.line(), "put 2 quiet before");
    for number in 3..=50 {
        etcd.ask(&["put", "busy", &number.to_string()]);
    }
    // The server tells that it has nothing for us up to here; then all of it is compacted away.
    std::thread::sleep(Duration::from_secs(2));
    etcd.ask(&["compact", "50"]);
    etcd.kill();
    etcd.revive();
    etcd.ask(&["put", "quiet", "after"]);
    assert_eq!(watch.line(), "put 51 quiet after");
}
