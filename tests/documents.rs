//! Every snippet of the README and of docs/ is compiled or run, and what they say of the options is what the code says.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Etcd, Language, TempDir, VERSIONS, built, call, call_under_valgrind, root, run};

fn text_of(document: &Path) -> String {
    std::fs::read_to_string(document).unwrap_or_else(|error| panic!("{}: {error}", document.display()))
}

/// The fenced blocks of a language in the README.
fn blocks(language: &str) -> Vec<String> {
    blocks_of(&text_of(&root().join("README.md")), language)
}

fn blocks_of(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("```").next().expect("it ends").to_owned()).collect()
}

fn shell_lines() -> Vec<String> {
    blocks("sh").concat().lines().map(str::to_owned).collect()
}

/// A C program, compiled with the README's compiler line.
fn compiled(folder: &TempDir, source: &str, language: Language) -> PathBuf {
    let (file, program) = (folder.path().join("program.c"), folder.path().join("program"));
    std::fs::write(&file, source).expect("room");
    let mut compiler = language.compiler();
    compiler.arg(format!("-I{}", root().join("include").display())).arg(file);
    compiler.args(["-x", "none"]).arg("-o").arg(&program);
    run(compiler.arg(format!("-L{}", built().display())).arg("-letcd"));
    program
}

/// The README's C programs: one with a lock, one of the full tier.
fn programs() -> (String, String) {
    let programs: [String; 2] = blocks("c").try_into().expect("two C programs");
    programs.into()
}

const LOCKED: &str = "mine for 30 seconds, with token ";
const CLAIMED: &str = "made at revision ";

#[test]
fn the_c_programs_of_the_readme_run() {
    let folder = TempDir::new();
    let (lock, claim) = programs();
    for language in [Language::C, Language::Cpp] {
        let output = run(&mut call(&compiled(&folder, &lock, language)));
        assert!(output.starts_with(LOCKED) && !output.contains("lost"), "{output}");
        let program = compiled(&folder, &claim, language);
        assert!(run(&mut call(&program)).starts_with(CLAIMED));
        run(&mut call_under_valgrind(&program));
    }
}

#[test]
fn the_c_programs_of_the_readme_run_on_etcd() {
    let folder = TempDir::new();
    let (lock, claim) = programs();
    let program = compiled(&folder, &lock, Language::C);
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    assert!(run(call(&program).arg(etcd.servers())).starts_with(LOCKED));
    assert_eq!(etcd.ask(&["get", "--print-value-only", "jobs/last"]), "nightly");
    let program = compiled(&folder, &claim, Language::C);
    assert!(run(call(&program).arg(etcd.servers())).starts_with(CLAIMED));
    let refused = call(&program).arg(etcd.servers()).output().expect("it runs");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("condition"), "{refused:?}");
}

/// What a snippet of docs/ stands in.
const BEFORE: &str = r"
#include <errno.h>
#include <etcd-api.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define BYTES(text) (const uint8_t *)(text), strlen(text)
";
const BEFORE_STATEMENTS: &str = r"
static etcd_client *client;
static etcd_queue *queue;
static void snippet(void) {
";
const BEHIND_STATEMENTS: &str = r#"
}
int main(void) {
  client = etcd_open_str("mem://");
  if (client == NULL || etcd_queue_new(0, &queue, NULL) != ETCD_OK) return 1;
  snippet();
  etcd_queue_free(queue);
  return etcd_client_close(client, 5000, NULL) != ETCD_OK;
}
"#;

/// A whole program is run, and so are statements; functions for a host that is not here are compiled.
fn check_snippet(snippet: &str) {
    let folder = TempDir::new();
    let is_program = snippet.contains("int main(");
    let is_function = |line: &str| line.starts_with("static ") && line.ends_with(") {");
    if !is_program && snippet.lines().any(is_function) {
        let file = folder.path().join("functions.c");
        std::fs::write(&file, [BEFORE, snippet].concat()).expect("room");
        let mut compiler = Language::C.compiler();
        for includes in ["include", "tests/c/full/hosts"] {
            compiler.arg(format!("-I{}", root().join(includes).display()));
        }
        run(compiler.arg("-c").arg(&file).arg("-o").arg(folder.path().join("functions.o")));
        return;
    }
    let source = match is_program {
        true => snippet.to_owned(),
        false => [BEFORE, BEFORE_STATEMENTS, snippet, BEHIND_STATEMENTS].concat(),
    };
    run(&mut call_under_valgrind(&compiled(&folder, &source, Language::C)));
}

/// The pages of docs/.
fn pages() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("docs")).expect("docs");
    let mut pages: Vec<PathBuf> = folder.map(|entry| entry.expect("a page").path()).collect();
    pages.sort();
    pages
}

#[test]
fn the_snippets_of_the_pages_compile_and_run() {
    let mut count = 0;
    for page in pages() {
        for snippet in blocks_of(&text_of(&page), "c") {
            println!("{}:\n{snippet}", page.display());
            check_snippet(&snippet);
            count += 1;
        }
    }
    assert!(count >= 15, "{count} snippets");
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

/// What a heading is called in a link.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|&c| c.is_alphanumeric() || c == '-' || c == '_').collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn relative_links_lead_somewhere() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SERVERS.md",
        "benches/README.md",
    ];
    for document in documents.map(|document| root().join(document)).into_iter().chain(pages()) {
        for link in text_of(&document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { document.clone() } else { document.with_file_name(file) };
            assert!(target.exists(), "{}: {link}", document.display());
            let leads = anchor.is_empty() || anchors(&text_of(&target)).iter().any(|known| known == anchor);
            assert!(leads, "{}: {link}", document.display());
        }
    }
}
