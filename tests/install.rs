//! `make install` into an empty folder gives everything a C program needs, and `make uninstall` takes it back.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Language, TempDir, built, root, run};

fn make(target: &str, prefix: &Path, destination: &str) {
    built();
    let mut make = Command::new("make");
    make.arg(target).arg(format!("PREFIX={}", prefix.display())).arg(format!("DESTDIR={destination}"));
    run(make.current_dir(root()));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

#[test]
fn a_program_is_built_with_pkg_config_against_an_installed_library_and_runs() {
    let folder = TempDir::new();
    let prefix = folder.path();
    make("install", prefix, "");
    let links = |name: &str| std::fs::read_link(prefix.join("lib").join(name)).expect("a link");
    assert_eq!(links("libetcd.so"), Path::new("libetcd.so.0"));
    assert!(links("libetcd.so.0").to_string_lossy().starts_with("libetcd.so.0."));

    let flags = run(Command::new("pkg-config")
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .args(["--cflags", "--libs", "etcd-api"]));
    let program = prefix.join("quickstart");
    let mut compiler = Language::C.compiler();
    compiler.arg(root().join("examples/c/quickstart.c")).arg("-o").arg(&program);
    run(compiler.args(flags.split_whitespace()));
    let output = run(Command::new(&program).env("LD_LIBRARY_PATH", prefix.join("lib")));
    assert!(output.contains("the colour is blue"), "{output}");

    let version = run(Command::new(prefix.join("bin/etcd-api")).arg("--version"));
    assert_eq!(version.trim(), concat!("etcd-api ", env!("CARGO_PKG_VERSION")));

    for file in [
        "man/man1/etcd-api.1",
        "bash-completion/completions/etcd-api",
        "zsh/site-functions/_etcd-api",
        "fish/vendor_completions.d/etcd-api.fish",
    ] {
        let text = std::fs::read_to_string(prefix.join("share").join(file)).expect(file);
        assert!(text.contains("keep-alive"), "{file}");
    }

    std::fs::remove_file(&program).expect("it is there");
    make("uninstall", prefix, "");
    assert_eq!(files(prefix), Vec::<PathBuf>::new(), "nothing is left");
}

#[test]
fn a_program_links_the_static_library() {
    let folder = TempDir::new();
    make("install", folder.path(), "");
    let pkg_config = |arguments: &[&str]| {
        let mut command = Command::new("pkg-config");
        run(command.env("PKG_CONFIG_PATH", folder.path().join("lib/pkgconfig")).args(arguments))
    };
    let program = folder.path().join("quickstart");
    let flags = pkg_config(&["--cflags", "--static", "--libs", "etcd-api"]);
    // Alone, and in a program that is static as a whole.
    for flags in [flags.replace("-letcd", "-l:libetcd.a"), format!("-static {flags}")] {
        let mut compiler = Language::C.compiler();
        compiler.arg(root().join("examples/c/quickstart.c")).arg("-o").arg(&program);
        run(compiler.args(flags.split_whitespace()));
        assert!(run(&mut Command::new(&program)).contains("the colour is blue"));
    }
}

#[test]
fn destdir_stands_before_everything_and_in_no_file() {
    let folder = TempDir::new();
    let destination = folder.path().display().to_string();
    make("install", Path::new("/opt/etcd-api"), &destination);
    let pc = folder.path().join("opt/etcd-api/lib/pkgconfig/etcd-api.pc");
    let text = std::fs::read_to_string(pc).expect("the pkg-config file");
    assert!(text.starts_with("prefix=/opt/etcd-api\n") && !text.contains(&destination), "{text}");
    make("uninstall", Path::new("/opt/etcd-api"), &destination);
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn the_library_has_no_async_runtime_in_it() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args([
        "tree",
        "--package",
        "etcd-api",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ]);
    let tree = run(cargo.args(["--format", "{p} {f}"]));
    let tokio: Vec<&str> = tree.lines().filter(|line| line.starts_with("tokio v")).collect();
    let features = tokio.first().and_then(|line| line.split(' ').find(|word| word.contains("io-util")));
    let features: Vec<&str> = features.expect("h2 needs tokio's traits").split(',').collect();
    for runtime in ["rt", "rt-multi-thread", "net", "time", "process", "signal", "fs"] {
        assert!(!features.contains(&runtime), "{tokio:?}");
    }
}
