//! Every snippet of the README is compiled or run, and what it says of the options is what the code says.

use std::process::Command;

use crate::support::{Etcd, Language, TempDir, VERSIONS, built, call, root, run};

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("README.md")
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("```").next().expect("it ends").to_owned()).collect()
}

fn shell_lines() -> Vec<String> {
    blocks("sh").concat().lines().map(str::to_owned).collect()
}

/// The README's C program, compiled with the README's compiler line.
fn compiled(folder: &TempDir, language: Language) -> std::path::PathBuf {
    let [source] = &blocks("c")[..] else { panic!("one C program") };
    let (file, program) = (folder.path().join("program.c"), folder.path().join("program"));
    std::fs::write(&file, source).expect("room");
    let mut compiler = language.compiler();
    compiler.arg(format!("-I{}", root().join("include").display())).arg(file);
    compiler.args(["-x", "none"]).arg("-o").arg(&program);
    run(compiler.arg(format!("-L{}", built().display())).arg("-letcd"));
    program
}

#[test]
fn the_c_program_of_the_readme_runs() {
    let folder = TempDir::new();
    for language in [Language::C, Language::Cpp] {
        let output = run(&mut call(&compiled(&folder, language)));
        assert!(output.starts_with("mine for 30 seconds, with token "), "{output}");
        assert!(!output.contains("lost"), "{output}");
    }
}

#[test]
fn the_c_program_of_the_readme_runs_on_etcd() {
    let folder = TempDir::new();
    let program = compiled(&folder, Language::C);
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let output = run(call(&program).arg(etcd.servers()));
    assert!(output.starts_with("mine for 30 seconds, with token "), "{output}");
    assert_eq!(etcd.ask(&["get", "--print-value-only", "jobs/last"]), "nightly");
}

#[test]
fn the_commands_of_the_readme_run_on_etcd() {
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    let lines: Vec<String> = shell_lines()
        .into_iter()
        .filter(|line| line.contains("etcd-api ") && !line.contains("$(pkg"))
        .collect();
    assert!(lines.len() >= 14, "{lines:?}");
    let path = format!("{}:{}", built().display(), std::env::var("PATH").expect("a path"));
    let mut shell = Command::new("sh");
    shell.args(["-euc", &lines.join("\n")]).env("PATH", path).env("ETCD_SERVERS", etcd.servers());
    let output = run(&mut shell);
    let first =
        "nobody else does this now\nhello\nfirst\nsuccess\n\nok\n\nok\njobs/a waiting\njobs/b waiting\n";
    let lease = output.strip_prefix(first).unwrap_or_else(|| panic!("{output}"));
    assert!(lease.lines().nth(1) == Some("jobs/a") && lease.contains("ENDPOINT"), "{output}");
}

#[test]
fn the_make_targets_of_the_readme_exist() {
    let targets: Vec<String> = shell_lines().into_iter().filter(|line| line.starts_with("make")).collect();
    assert!(targets.len() >= 4, "{targets:?}");
    built();
    for line in targets {
        let command = line.split('#').next().unwrap_or_default().replacen("make", "make --dry-run", 1);
        run(Command::new("sh").args(["-c", &command]).current_dir(root()));
    }
}

#[test]
fn the_committed_configuration_and_the_header_are_what_the_table_says() {
    let committed = std::fs::read_to_string(root().join("CONFIGURATION.md")).expect("CONFIGURATION.md");
    assert!(
        committed == etcd::options::document(),
        "CONFIGURATION.md is not what src/options.rs says: run `make docs`"
    );
    let header = std::fs::read_to_string(root().join("include/etcd-api.h")).expect("the header");
    for row in etcd::options::TABLE {
        // A C program always names its servers itself.
        let of_no_use = row.name == "endpoints";
        assert!(of_no_use || header.contains(&row.variable()), "the header does not name {}", row.variable());
    }
}

#[test]
fn the_demo_runs_to_its_end_with_an_etcd() {
    let Ok(folder) = crate::support::fetch(&format!("etcd-{}", VERSIONS[1])) else {
        return crate::support::skip("no etcd");
    };
    let mut demo = Command::new(root().join("examples/demo"));
    let output = run(demo.arg(built()).env("ETCD_BIN", folder.join("usr/bin/etcd")));
    let holders: Vec<&str> = output.lines().filter(|line| line.contains("holds the lock")).collect();
    assert_eq!(holders.len(), 6, "{output}");
    assert!(holders[..3].iter().all(|line| *line == holders[0]), "{output}");
    assert!(holders[3..].iter().all(|line| *line == holders[3]), "{output}");
}

#[test]
fn relative_links_lead_somewhere() {
    for document in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SERVERS.md", "benches/README.md"]
    {
        let document = root().join(document);
        let text = std::fs::read_to_string(&document).expect("a document");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") && !link.starts_with('#') {
                let target = document.with_file_name(link);
                assert!(target.exists(), "{}: {link}", document.display());
            }
        }
    }
}
