//! The header is the promise: it is the generated one, it names what the library exports, and any compiler takes it.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::{Language, built, root, run};

const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/etcd-api.h"));

fn committed() -> String {
    std::fs::read_to_string(root().join("include/etcd-api.h")).expect("include/etcd-api.h")
}

#[test]
fn the_committed_header_is_the_generated_one() {
    assert!(committed() == GENERATED, "include/etcd-api.h is not what src/ffi says: run `make header`");
}

/// Names of the functions declared in the header: what stands before a parenthesis outside comments.
pub fn declared() -> BTreeSet<String> {
    let mut text = committed();
    while let Some(start) = text.find("/*") {
        let end = start + text[start..].find("*/").expect("comments end");
        text.replace_range(start..end + 2, "");
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let before = |part: &str| part.rsplit(|c| !is_name(c)).next().unwrap_or_default().to_owned();
    let names = text.match_indices('(').map(|(at, _)| before(&text[..at]));
    names.filter(|name| name.starts_with("etcd_")).collect()
}

/// With the one function that only tests know.
fn with_hidden(mut declared: BTreeSet<String>) -> BTreeSet<String> {
    declared.insert("etcd_test_panic".into());
    declared
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let symbols = run(Command::new("nm").args(["-D", "--defined-only"]).arg(built().join("libetcd.so")));
    let exported: BTreeSet<String> =
        symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).map(Into::into).collect();
    assert_eq!(exported, with_hidden(declared()));
}

#[test]
fn the_static_library_defines_what_the_header_declares() {
    let table = run(Command::new("readelf").args(["-W", "--syms"]).arg(built().join("libetcd.a")));
    // Number, value, size, type, bind, visibility, section, name.
    let global_function = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        match columns[..] {
            [_, _, _, "FUNC", "GLOBAL", "DEFAULT", section, name] if section != "UND" => {
                Some(name.to_owned())
            }
            _ => None,
        }
    };
    let defined: BTreeSet<String> =
        table.lines().filter_map(global_function).filter(|name| name.starts_with("etcd_")).collect();
    assert_eq!(defined, with_hidden(declared()));
}

#[test]
fn the_shared_library_has_its_soname_and_is_never_unloaded() {
    let dynamic = run(Command::new("readelf").arg("-d").arg(built().join("libetcd.so")));
    assert!(dynamic.contains("[libetcd.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn the_header_compiles_alone_and_twice_as_c_and_as_cpp() {
    let include = format!("-I{}", root().join("include").display());
    for language in [Language::C, Language::Cpp] {
        for source in ["#include <etcd-api.h>\n", "#include <etcd-api.h>\n#include <etcd-api.h>\n"] {
            let check = format!("printf '{}' | \"$@\"", source.replace('\n', "\\n"));
            let compiler = language.compiler();
            let mut shell = Command::new("sh");
            shell.args(["-c", &check, "sh"]).arg(compiler.get_program()).args(compiler.get_args());
            if language == Language::C {
                shell.args(["-x", "c"]);
            }
            run(shell.args([&include, "-fsyntax-only", "-"]));
        }
    }
}

#[test]
fn every_function_is_documented() {
    let text = committed();
    for name in declared() {
        let declaration = text.find(&format!("{name}(")).and_then(|_| {
            // The declaration is the occurrence that stands outside comments, right behind one.
            text.match_indices(&format!("{name}(")).map(|(at, _)| at).find(|&at| {
                let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                !text[line..at].trim_start().starts_with('*')
            })
        });
        let at = declaration.unwrap_or_else(|| panic!("{name} is declared"));
        let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        assert!(text[..line].trim_end().ends_with("*/"), "{name} has no comment right before it");
    }
}
