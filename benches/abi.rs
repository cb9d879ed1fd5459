//! What the C ABI costs on `mem://`: a blocking get beside the store behind it, the queue beside a mutex and a pipe, the
//! memory of a watch. The C side is `abi.c`, linked with the release build of the library (`make lib`).

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use etcd::model::{KeyRange, PutRequest, RangeRequest, Request};
use etcd::store::Store;

const ROUNDS: usize = 15;
const KEY: &str = "bench/key-00001";

fn main() {
    let program = build();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{ROUNDS} rounds, load {}", load.trim());
    println!("| what | measured | beside it | ratio (smallest to largest) | aim |\n|---|---|---|---|---|");
    let store = Store::open("");
    store.apply(&Request::Put(PutRequest::new(KEY, "v".repeat(64)))).expect("a put");
    let run = |what: &str| number(&program, what);
    row("blocking get in C, ns; the store's own", "at most 3", || (run("get"), store_get(&store)));
    row("queue, events/s; bare queue", "at least 0.5", || (run("queue"), run("bare")));
    row("packed drain, events/s; bare queue", "at least 0.5", || (run("packed"), run("bare")));
    println!("| one of 100,000 watches, bytes beyond its key | {:.0} | | | at most 600 |", run("watches"));
}

/// A get on the store itself, in nanoseconds.
fn store_get(store: &Store) -> f64 {
    let request = Request::Range(RangeRequest::new(KeyRange::key(KEY)));
    let (start, count) = (Instant::now(), 200_000);
    for _ in 0..count {
        black_box(store.apply(black_box(&request)).expect("an answer"));
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

/// Measures two things in turns.
fn row(what: &str, aim: &str, mut measure: impl FnMut() -> (f64, f64)) {
    let rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| measure()).collect();
    let mut ratios: Vec<f64> = rounds.iter().map(|(ours, other)| ours / other).collect();
    ratios.sort_by(f64::total_cmp);
    let median = |pick: fn(&(f64, f64)) -> f64| {
        let mut numbers: Vec<f64> = rounds.iter().map(pick).collect();
        numbers.sort_by(f64::total_cmp);
        numbers[ROUNDS / 2]
    };
    println!(
        "| {what} | {:.0} | {:.0} | {:.2} ({:.2} to {:.2}) | {aim} |",
        median(|pair| pair.0),
        median(|pair| pair.1),
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1]
    );
}

fn number(program: &Path, what: &str) -> f64 {
    let output = Command::new(program).arg(what).output().expect("abi runs");
    assert!(output.status.success(), "abi {what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let (library, program) =
        (root.join(target).join("release"), Path::new(env!("CARGO_TARGET_TMPDIR")).join("abi"));
    let mut compiler = Command::new("gcc");
    compiler.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]);
    compiler.arg(format!("-I{}", root.join("include").display())).arg(root.join("benches/abi.c"));
    compiler.arg("-o").arg(&program).arg(format!("-L{}", library.display())).arg("-letcd");
    compiler.arg(format!("-Wl,-rpath,{}", library.display()));
    assert!(compiler.status().expect("gcc").success(), "benches/abi.c does not build");
    program
}
