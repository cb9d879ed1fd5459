//! How late this machine is at the moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Measures, until it is dropped, how much longer than asked for a thread sleeps.
pub struct Jitter {
    worst: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Jitter {
    pub fn measure() -> Self {
        let (worst, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (seen, stopped) = (worst.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let nap = Duration::from_millis(2);
            while !stopped.load(Ordering::SeqCst) {
                let start = Instant::now();
                std::thread::sleep(nap);
                seen.fetch_max(start.elapsed().saturating_sub(nap).as_micros() as u64, Ordering::SeqCst);
            }
        });
        Jitter { worst, stop, thread: Some(thread) }
    }

    /// The worst so far.
    pub fn worst(&self) -> Duration {
        Duration::from_micros(self.worst.load(Ordering::SeqCst))
    }
}

impl Drop for Jitter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
