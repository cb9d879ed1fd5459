//! Compilers, languages and the built library.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex, OnceLock};

use super::{root, skip};

/// Where a pinned tool is, downloading it if need be. An error says why it is not to be had.
pub fn fetch(group: &str) -> Result<PathBuf, String> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Result<PathBuf, String>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    known.entry(group.into()).or_insert_with(|| run_fetch(group)).clone()
}

/// The folder with `etcd` and `etcdctl` of this version.
pub fn binaries(version: &str) -> Result<PathBuf, String> {
    fetch(&format!("etcd-{version}")).map(|folder| folder.join("usr/bin"))
}

fn run_fetch(group: &str) -> Result<PathBuf, String> {
    let output = Command::new(root().join("tests/setup/fetch")).arg(group).output();
    let output = output.map_err(|error| format!("tests/setup/fetch: {error}"))?;
    if output.status.success() {
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    } else {
        Err(format!("no {group} ({})", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// The folder with the release build of the library and the command-line tool, made fresh.
pub fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        run(Command::new("make").arg("lib").current_dir(root()));
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
        root().join(target).join("release")
    })
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    check(command, output)
}

fn check(command: &Command, output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

/// The language that a C source is compiled as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    C,
    Cpp,
}

impl Language {
    /// A compiler call that takes no warning.
    pub fn compiler(self) -> Command {
        let mut command = match self {
            Language::C => Command::new("gcc"),
            Language::Cpp => Command::new("g++"),
        };
        command.args(match self {
            Language::C => &["-std=c99", "-D_POSIX_C_SOURCE=200809L"][..],
            Language::Cpp => &["-std=c++17", "-x", "c++"][..],
        });
        command.args(["-g", "-pedantic", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread"]);
        command
    }
}

/// A C program, compiled and linked against the built library, once in a test run.
pub fn program(source: &str, language: Language) -> PathBuf {
    static DONE: LazyLock<Mutex<HashMap<(String, Language), PathBuf>>> = LazyLock::new(Mutex::default);
    let mut done = DONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let entry = done.entry((source.into(), language));
    let build = || {
        let name = source.replace(['/', '.'], "-") + if language == Language::Cpp { "-cpp" } else { "" };
        let program = scratch("programs").join(name);
        run(language
            .compiler()
            .arg(format!("-I{}", root().join("include").display()))
            .arg(root().join(source))
            .args(["-x", "none", "-o"])
            .arg(&program)
            .arg(format!("-L{}", built().display()))
            .arg("-letcd"));
        program
    };
    entry.or_insert_with(build).clone()
}

/// What a process that loads it before all else resolves names with: tests/c/resolver.c.
pub fn resolver() -> &'static Path {
    static RESOLVER: OnceLock<PathBuf> = OnceLock::new();
    RESOLVER.get_or_init(|| {
        let shim = scratch("programs").join("resolver.so");
        let mut compiler = Command::new("gcc");
        compiler.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&shim);
        run(compiler.arg(root().join("tests/c/resolver.c")));
        shim
    })
}

/// A call of a program that finds the built library.
pub fn call(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", built());
    command
}

/// The same under valgrind, which fails on any error and any loss.
pub fn call_under_valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.env("LD_LIBRARY_PATH", built());
    command.args(["-q", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect,possible"]);
    command.arg("--error-exitcode=99").arg(program);
    command
}

/// The pinned Julia, told where the library is; `None` (noted as skipped) where there is none.
pub fn julia() -> Option<Command> {
    let folder = match fetch("julia-1.5.3") {
        Ok(folder) => folder,
        Err(reason) => {
            skip(&reason);
            return None;
        }
    };
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/julia", "lib/x86_64-linux-gnu"];
    let path: Vec<String> = libraries.iter().map(|l| folder.join(l).display().to_string()).collect();
    let mut command = Command::new(folder.join("usr/bin/julia"));
    command.env("LD_LIBRARY_PATH", path.join(":")).env("ETCD_API_LIBRARY", built().join("libetcd.so"));
    // Julia writes compiled code into its depot; that is no business of the user's home.
    command.arg("--startup-file=no").env("JULIA_DEPOT_PATH", scratch("julia"));
    Some(command)
}

/// A folder for what lasts as long as the build does.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("the build folder takes files");
    folder
}

/// Node with koffi installed from the lock file beside the example; `None` (noted) where there is none.
pub fn node() -> Option<Command> {
    static KOFFI: OnceLock<Result<(), String>> = OnceLock::new();
    let install = || {
        let folder = root().join("examples/node");
        let npm =
            Command::new("npm").args(["ci", "--silent", "--prefer-offline"]).current_dir(folder).output();
        match npm {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("npm ci: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("npm: {error}")),
        }
    };
    if let Err(reason) = KOFFI.get_or_init(install) {
        skip(reason);
        return None;
    }
    let mut command = Command::new("node");
    command.env("ETCD_API_LIBRARY", built().join("libetcd.so"));
    Some(command)
}
