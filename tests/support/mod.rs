//! What tests run on: real servers, compilers, other languages; and how they say that something is missing.

mod alone;
mod cluster;
mod dice;
mod history;
pub mod http2;
mod jitter;
mod pki;
mod protocol;
mod running;
mod servers;
mod tools;

#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use alone::{alone, alone_with, my_turn};
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use cluster::{Cluster, Trouble, Whom};
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use dice::Dice;
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use history::{Historian, apply, select};
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use jitter::Jitter;
pub use pki::Pki;
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use protocol::{Protocol, Rpc};
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use running::{Running, spawn};
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use servers::{ALL_VERSIONS, Etcd, VERSIONS, free_port};
pub use tools::*;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The project's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

thread_local! {
    static TEST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Says which test this thread runs, where the thread does not have its name.
pub fn this_is(test: &str) {
    TEST.set(Some(test.into()));
}

/// Notes that the calling test can't run here. With CI set, that is a failure.
pub fn skip(reason: &str) {
    let thread = || std::thread::current().name().unwrap_or("a test").to_owned();
    let test = TEST.with_borrow(|test| test.clone().unwrap_or_else(thread));
    assert!(std::env::var_os("CI").is_none(), "can't run {test}: {reason}");
    eprintln!("skipped {test}: {reason}");
    if let Some(file) = std::env::var_os("ETCD_API_SKIPPED") {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
        writeln!(file.expect("the list of skipped tests"), "{test}: {reason}").expect("room for a line");
    }
}

/// Whether this is `make long`: everything at full size.
pub fn long() -> bool {
    std::env::var_os("ETCD_API_LONG").is_some()
}

/// A client with these options.
pub fn client(endpoints: &str, options: &[(&str, &str)]) -> etcd::Client {
    let mut all = etcd::Options::new();
    all.set("endpoints", endpoints).expect("an option");
    for (name, value) in options {
        all.set(name, value).expect("an option");
    }
    etcd::Client::open(all).expect("a client")
}

/// A folder in memory, if the machine has one; removed with everything in it when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        use std::sync::atomic::AtomicU32;
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static BASE: LazyLock<PathBuf> = LazyLock::new(|| {
            let memory = Path::new("/dev/shm");
            let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
            remove_leftovers(&base);
            base
        });
        let base = &*BASE;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("etcd-api-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Folders of tests that were killed before they could clean up.
fn remove_leftovers(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner =
            name.strip_prefix("etcd-api-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sets a flag when dropped: threads that look at it end, however the test does.
pub struct AtEnd<'a>(pub &'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Looks every few milliseconds until `found` gives something; panics with `what` after `limit`.
pub fn eventually<T>(limit: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
