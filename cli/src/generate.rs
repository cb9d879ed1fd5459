//! generate: completion scripts, the manual page, the table of options.

use std::io;

use clap::builder::PossibleValue;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::{Cli, Document};
use crate::failure::Failure;
use crate::output::print;

/// Prints one of the documents.
pub fn generate(what: Document) -> Result<(), Failure> {
    let document = match what {
        Document::Bash => completions(Shell::Bash),
        Document::Zsh => completions(Shell::Zsh),
        Document::Fish => completions(Shell::Fish),
        Document::Man => manual(),
        Document::Configuration => etcd::options::document().into(),
    };
    print(&document)
}

fn completions(shell: Shell) -> Vec<u8> {
    let script = rendered(|script| {
        clap_complete::generate(shell, &mut Cli::command(), "etcd-api", script);
        Ok(())
    });
    // For bash, clap_complete writes a name with a dash in two ways (clap-rs/clap#6421), and completes nothing
    // behind a sub-command.
    script.replace("etcd__subcmd__api", "etcd__api").into()
}

/// One page for the program and all its commands; clap_mangen alone would make a page of each.
fn manual() -> Vec<u8> {
    let mut command = Cli::command();
    command.build();
    // Written out, since clap_mangen loses the empty date.
    let mut page = format!(".TH etcd-api 1 \"\" \"etcd-api {}\"\n", env!("CARGO_PKG_VERSION"));
    page += &rendered(|page| Man::new(command.clone()).render_name_section(page));
    page += &heading("SH", "SYNOPSIS");
    page += &Roff::from(bold(usage(&command))).render();
    page += &heading("SH", "COMMANDS");
    command.get_subcommands().for_each(|sub| page += &section(sub));
    page += &flags(command.get_arguments());
    page += &heading("SH", "NOTES");
    page += &paragraphs(&command);
    // Each part begins with the same definitions.
    let definitions = Roff::new().render();
    format!("{definitions}{}", page.replace(&definitions, "")).into()
}

/// What a command does, its own flags, and what its help says; then the commands below it.
fn section(command: &Command) -> String {
    let own = command.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_id() != "help");
    let flags = flags(own);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let parts = [
        heading("SS", &usage(command)),
        Roff::from(roman(about)).render(),
        // A heading would end the list of commands.
        flags.replace(".SH OPTIONS\n", ""),
        paragraphs(command),
    ];
    parts.into_iter().chain(command.get_subcommands().map(section)).collect()
}

fn heading(kind: &str, text: &str) -> String {
    Roff::new().control(kind, [text]).render()
}

fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage: ").to_owned()
}

/// Flags with their help, under their headings.
fn flags<'a>(flags: impl Iterator<Item = &'a Arg>) -> String {
    let bare = Command::new("").version("").disable_help_flag(true).disable_version_flag(true);
    let alone = bare.args(flags.map(with_values_in_help));
    rendered(|page| Man::new(alone).render_options_section(page))
}

/// A flag whose possible values stand in its help, instead of in a list that takes a page.
fn with_values_in_help(flag: &Arg) -> Arg {
    let values = flag.get_possible_values();
    if values.is_empty() {
        return flag.clone();
    }
    let names: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    let help = format!("{help} [possible values: {}]", names.join(", "));
    flag.clone().hide_possible_values(true).long_help(help)
}

/// The text below a command's flags. What has indented lines is kept line by line.
fn paragraphs(command: &Command) -> String {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::new();
    for paragraph in text.split("\n\n") {
        let verbatim = paragraph.contains("  ");
        roff.control("PP", []);
        if verbatim {
            roff.control("nf", []);
        }
        for line in paragraph.lines() {
            roff.text([roman(line)]);
        }
        if verbatim {
            roff.control("fi", []);
        }
    }
    roff.render()
}

fn rendered(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut text = Vec::new();
    render(&mut text).expect("memory takes all that is written");
    String::from_utf8(text).expect("it is text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_completes_whatever_it_finds() {
        let script = String::from_utf8(completions(Shell::Bash)).unwrap();
        let found: Vec<&str> =
            script.split("cmd=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(found.len() > 15);
        for name in found {
            assert!(name.is_empty() || script.contains(&format!("        {name})\n")), "{name}");
        }
    }

    #[test]
    fn the_manual_page_has_every_command_and_flag() {
        let page = String::from_utf8(manual()).unwrap();
        for part in [
            ".SS \"etcd-api lease keep-alive [OPTIONS] <ID>\"",
            ".SH CONNECTION",
            "\\-\\-password\\-file",
            "ETCD_LOCK_KEY",
            "[possible values: key, version, create, mod, value]",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches(".SH OPTIONS").count(), 1);
    }
}
