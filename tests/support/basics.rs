//! What servers and clusters of the tests need, wherever they are started.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
