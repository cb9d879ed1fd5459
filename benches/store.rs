//! `mem://` beside a bare `Mutex<BTreeMap>`, in one run: get and put through the client, at 1, 4 and 16 threads.
//!
//! Rounds alternate between the two. What is printed are medians over the rounds, and the median of the paired
//! ratios with the smallest and the largest one.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use etcd::{Client, Options};

const KEYS: usize = 1000;
const VALUE: [u8; 64] = [b'v'; 64];
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(120);

/// What is measured: one operation on the n-th key.
trait Subject: Sync {
    fn get(&self, key: &[u8]);
    fn put(&self, key: &[u8]);
    /// Between rounds.
    fn tidy(&self) {}
}

struct Bare(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Subject for Bare {
    fn get(&self, key: &[u8]) {
        black_box(self.0.lock().expect("no panic").get(key).cloned());
    }

    fn put(&self, key: &[u8]) {
        black_box(self.0.lock().expect("no panic").insert(key.to_vec(), VALUE.to_vec()));
    }
}

struct Mem(Client);

impl Subject for Mem {
    fn get(&self, key: &[u8]) {
        black_box(self.0.get(key).expect("an answer"));
    }

    fn put(&self, key: &[u8]) {
        black_box(self.0.put(key, VALUE, 0).expect("an answer"));
    }

    fn tidy(&self) {
        // It keeps all history: millions of puts would fill the memory.
        let newest = self.0.put("tidy", "", 0).expect("an answer");
        self.0.compact(newest).expect("newer than before");
    }
}

fn main() {
    let keys: Vec<Vec<u8>> = (0..KEYS).map(|number| format!("bench/key-{number:05}").into_bytes()).collect();
    let mut options = Options::new();
    options.set("endpoints", "mem://").expect("an option");
    let (bare, mem) = (Bare(Mutex::default()), Mem(Client::open(options).expect("a client")));
    for key in &keys {
        bare.put(key);
        mem.put(key);
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{KEYS} keys, {} byte values, {ROUNDS} rounds of {ROUND:?}, {cores} cores, load {}",
        VALUE.len(),
        load.trim()
    );
    println!(
        "| operation | threads | Mutex<BTreeMap> | mem:// | time per operation, times the bare one (spread) |"
    );
    println!("|---|---|---|---|---|");
    for (name, write) in [("get", false), ("put", true)] {
        for threads in [1, 4, 16] {
            let (mut of_bare, mut of_mem, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let both: [&dyn Subject; 2] = if round % 2 == 0 { [&bare, &mem] } else { [&mem, &bare] };
                let rates = both.map(|subject| rate(subject, &keys, threads, write));
                let [one, other] = if round % 2 == 0 { rates } else { [rates[1], rates[0]] };
                of_bare.push(one);
                of_mem.push(other);
                ratios.push(one / other);
            }
            let (low, high) = (smallest(&ratios), -smallest(&ratios.iter().map(|r| -r).collect::<Vec<_>>()));
            println!(
                "| {name} | {threads} | {:.2} M/s | {:.2} M/s | {:.2} ({low:.2} to {high:.2}) |",
                median(of_bare) / 1e6,
                median(of_mem) / 1e6,
                median(ratios)
            );
        }
    }
}

/// Operations a second, all threads together.
fn rate(subject: &dyn Subject, keys: &[Vec<u8>], threads: usize, write: bool) -> f64 {
    let (done, stop, start) = (AtomicU64::new(0), AtomicBool::new(false), Barrier::new(threads + 1));
    let took = std::thread::scope(|scope| {
        for thread in 0..threads {
            let (done, stop, start) = (&done, &stop, &start);
            scope.spawn(move || {
                let mut count = 0;
                start.wait();
                // Each thread goes through the keys in an order of its own.
                let mut at = thread * 37;
                while !stop.load(Ordering::Relaxed) {
                    at = (at + 7919) % keys.len();
                    if write {
                        subject.put(&keys[at])
                    } else {
                        subject.get(&keys[at])
                    }
                    count += 1;
                }
                done.fetch_add(count, Ordering::Relaxed);
            });
        }
        start.wait();
        let start = Instant::now();
        std::thread::sleep(ROUND);
        stop.store(true, Ordering::Relaxed);
        start.elapsed()
    });
    subject.tidy();
    done.into_inner() as f64 / took.as_secs_f64()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn smallest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::INFINITY, f64::min)
}
