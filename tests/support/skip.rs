//! How tests say that something is missing, and how much is wanted of them.

use std::cell::RefCell;

thread_local! {
    static TEST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Says which test this thread runs, where the thread does not have its name.
pub fn this_is(test: &str) {
    TEST.set(Some(test.into()));
}

/// Notes that the calling test can't run here. With CI set, that is a failure.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "can't run {}: {reason}", test());
    leave_out(reason);
}

/// Notes that a part of the calling test can't run on this machine, which nobody could set up: never a failure, but it
/// counts as skipped.
pub fn leave_out(reason: &str) {
    let test = test();
    eprintln!("skipped {test}: {reason}");
    if let Some(file) = std::env::var_os("ETCD_API_SKIPPED") {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
        writeln!(file.expect("the list of skipped tests"), "{test}: {reason}").expect("room for a line");
    }
}

fn test() -> String {
    let thread = || std::thread::current().name().unwrap_or("a test").to_owned();
    TEST.with_borrow(|test| test.clone().unwrap_or_else(thread))
}

/// Whether this is `make long`: everything at full size.
pub fn long() -> bool {
    std::env::var_os("ETCD_API_LONG").is_some()
}
