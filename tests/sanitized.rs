//! The C programs on a library that AddressSanitizer has instrumented: it sees what valgrind can't, wrong uses of stacks
//! and of memory that is in use again. With LeakSanitizer, which it brings along.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::support::{Language, root, run, scratch};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The folder with the instrumented library.
fn instrumented() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let all = scratch("sanitized");
        let mut cargo = Command::new("nice");
        cargo.args(["cargo", "rustc", "--lib", "--crate-type", "cdylib", "--target", TARGET, "--target-dir"]);
        cargo.arg(&all).current_dir(root());
        // The sanitizer is not in stable Rust by its name, but in its compiler.
        cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only").env("CARGO_INCREMENTAL", "0");
        // What cargo tells the tests of their package would make it build half of this again.
        for (name, _) in std::env::vars() {
            if name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" || name == "OUT_DIR" {
                cargo.env_remove(name);
            }
        }
        run(&mut cargo);
        let folder = all.join(TARGET).join("debug");
        run(Command::new("ln").args(["-sf", "libetcd.so"]).arg(folder.join("libetcd.so.0")));
        folder
    })
}

/// A program linked with it.
fn program(source: &Path) -> Command {
    let name = source.strip_prefix(root()).expect("one of ours").to_string_lossy().replace(['/', '.'], "-");
    let program = scratch("sanitized-programs").join(name);
    let mut compiler = Language::C.compiler();
    compiler.arg("-fsanitize=address").arg(format!("-I{}", root().join("include").display()));
    run(compiler
        .arg(source)
        .arg("-o")
        .arg(&program)
        .arg(format!("-L{}", instrumented().display()))
        .arg("-letcd"));
    let mut command = Command::new(&program);
    // Others may have options of their own in the environment.
    command
        .env("LD_LIBRARY_PATH", instrumented())
        .env("ASAN_OPTIONS", "detect_leaks=1")
        .env_remove("LSAN_OPTIONS");
    command
}

/// These want more than a store: servers with users or behind a proxy, or to load the library themselves.
const OTHERS: [&str; 3] = ["telling.c", "silent.c", "loading.c"];

/// Those that take a list of servers and count their checks.
fn sources() -> Vec<PathBuf> {
    let folders = ["tests/c/classic", "tests/c/full"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder").flatten());
    let names = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "c") && !OTHERS.iter().any(|other| path.ends_with(other))
    };
    let mut sources: Vec<PathBuf> = files.map(|file| file.path()).filter(names).collect();
    sources.push(root().join("tests/c/bad_input.c"));
    sources.sort();
    sources
}

#[test]
fn the_c_programs_do_no_harm_to_memory_nor_does_an_instrumented_lib_etcd() {
    let symbols = run(Command::new("nm").arg("-D").arg(instrumented().join("libetcd.so")));
    assert!(symbols.contains("__asan_report_load8"), "it is instrumented");
    let sources = sources();
    assert!(sources.len() >= 5, "{sources:?}");
    // Side by side, since they mostly wait.
    std::thread::scope(|scope| {
        for source in &sources {
            scope.spawn(move || assert!(run(program(source).arg("mem://sane")).ends_with("checks\n")));
        }
    });
}

fn broken(how: &str) -> Output {
    program(&root().join("tests/c/broken_memory.c")).arg(how).output().expect("it runs")
}

/// The twins that must fail: two of the faults are the program's and happen in the library.
#[test]
fn a_fault_of_memory_in_a_program_or_in_lib_etcd_is_found() {
    let fine = broken("nothing");
    assert!(fine.status.success() && fine.stderr.is_empty(), "{fine:?}");
    for (how, found) in
        [("leak", "LeakSanitizer"), ("late", "heap-use-after-free"), ("twice", "heap-use-after-free")]
    {
        let output = broken(how);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(found), "{how}: {output:?}");
        assert!(said.contains("libetcd.so"), "{how}: {said}");
    }
}
