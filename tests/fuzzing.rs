//! The parsers of what users, environments and servers write, on damaged input, and sequences of calls of the C
//! functions: a moment of `make fuzz`.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{root, skip};

/// What fuzz/run exits with where it has no fuzzer.
const UNAVAILABLE: i32 = 69;

/// Runs it; `None` (and the test is noted as skipped) where there is no fuzzer.
fn fuzz(arguments: &[&str]) -> Option<Output> {
    let output = Command::new(root().join("fuzz/run")).args(arguments).output().expect("fuzz/run runs");
    if output.status.code() == Some(UNAVAILABLE) {
        skip(&text(&output.stderr));
        return None;
    }
    Some(output)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// The parsers, in the order in which they are fed.
fn targets() -> Vec<String> {
    let files = std::fs::read_dir(root().join("fuzz/fuzz_targets")).expect("a folder").flatten();
    let name = |file: std::fs::DirEntry| Some(file.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.filter_map(name).collect();
    names.retain(|name| name != CALLS);
    names.sort();
    names
}

/// The one that reads no text: its bytes are calls.
const CALLS: &str = "calls";

/// With a seed, so that it is a change of the code that makes this fail.
#[test]
fn fuzzing_the_parsers_of_etcd_finds_nothing() {
    let Some(output) = fuzz(&["20000", "parsers", "-seed=1"]) else { return };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let fed: Vec<&str> =
        lines.lines().filter_map(|line| line.split_once(": 20000 inputs, ")).map(|line| line.0).collect();
    assert_eq!(fed, targets(), "{lines}");
}

/// The twin that must fail: no parser does with one megabyte.
#[test]
fn fuzzing_the_parsers_of_etcd_names_the_input_that_fails() {
    let Some(output) = fuzz(&["60s", "parsers", "-rss_limit_mb=1"]) else { return };
    let errors = text(&output.stderr);
    let (_, file) = errors.rsplit_once(" fails on ").expect("a failure");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    std::fs::remove_file(Path::new(file)).expect("the input is kept");
}

/// First the corpus, then others for a while.
#[test]
fn sequences_of_calls_of_etcd_find_nothing() {
    for arguments in [["0", CALLS], ["10s", CALLS]] {
        let Some(output) = fuzz(&arguments) else { return };
        assert!(output.status.success(), "{}", text(&output.stderr));
        let line = text(&output.stdout);
        let ran = line.strip_prefix("calls: ").and_then(|line| line.split_once(" inputs, "));
        let ran = ran.and_then(|(ran, _)| ran.parse::<usize>().ok());
        let kept = std::fs::read_dir(root().join("fuzz/corpus").join(CALLS)).expect("a corpus").count();
        assert!(ran >= Some(kept), "{line}: of {kept}");
    }
}
