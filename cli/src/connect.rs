//! Which servers to ask, and how: from the command line, else from the environment.

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use etcd::Options;
use etcd::options::{Kind, OptionSpec, TABLE};

use crate::failure::{Cause, Failure};

/// The variable of the old tools. The library's own, `ETCD_API_ENDPOINTS`, comes after it.
const SERVERS: &str = "ETCD_SERVERS";

/// Where etcd is, and how to ask it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Where to find etcd, as host:port,... [default: $ETCD_SERVERS, else $ETCD_API_ENDPOINTS]
    #[arg(short, long, global = true, display_order = 90, value_name = "LIST")]
    pub servers: Option<String>,
    #[command(flatten)]
    pub flags: Flags,
}

/// A flag for each row of the library's option table; the names and values of those that are given.
#[derive(Debug)]
pub struct Flags(Vec<(&'static str, String)>);

/// The rows that are flags. `--servers` stands for the endpoints; other people can read a command line, so a
/// password has no place there.
fn rows() -> impl Iterator<Item = &'static OptionSpec> {
    TABLE.iter().filter(|row| row.name != "endpoints" && !matches!(row.kind, Kind::Secret(_)))
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let flags = rows().enumerate().map(|(at, row)| flag(row).display_order(91 + at));
        command.args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |row: &OptionSpec| Some((row.name, matches.get_one::<String>(row.name)?.clone()));
        Ok(Flags(rows().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(row: &'static OptionSpec) -> Arg {
    // A manual page shows the long text only of what a short help hides.
    let flag = Arg::new(row.name)
        .long(row.name.replace('_', "-"))
        .value_name(row.kind.name().to_uppercase())
        .value_parser(values(row))
        .help(help(row))
        .long_help(help(row))
        .global(true)
        .hide_short_help(true);
    match row.kind {
        Kind::Bool(_) => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::File(_) => flag.value_hint(ValueHint::FilePath),
        _ => flag,
    }
}

/// What a flag may be, known before anything is asked. Words are told to clap, so that shells complete them.
fn values(row: &'static OptionSpec) -> ValueParser {
    match row.kind {
        Kind::Word(words, _) => PossibleValuesParser::new(words).into(),
        Kind::Bool(_) => PossibleValuesParser::new(["true", "false"]).into(),
        _ => ValueParser::new(move |text: &str| Options::new().set(row.name, text).map(|()| text.to_owned())),
    }
}

fn help(row: &OptionSpec) -> String {
    let (first, rest) = row.help.split_at(1);
    let allowed = match row.kind {
        Kind::Number(..) | Kind::Milliseconds(_) => format!(" [allowed: {}]", row.kind.values()),
        _ => String::new(),
    };
    let default = if row.default.is_empty() { String::new() } else { format!(" [default: {}]", row.default) };
    format!("{}{rest}{allowed} [env: {}]{default}", first.to_uppercase(), row.variable())
}

/// A command with a hint instead of the library's options in the help of those below it: there are more of them
/// than of all others together. A global flag that a command has itself is not taken from above.
pub fn shorten_sub_commands(command: Command) -> Command {
    let global: Vec<Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    let shorten = |arg: &Arg| match arg.get_id().as_str() {
        "servers" => arg.clone().help_heading("Connection (etcd-api --help lists more flags)"),
        id => arg.clone().hide(rows().any(|row| row.name == id)),
    };
    command.mut_subcommands(|sub| shorten_sub_commands(sub.args(global.iter().map(shorten))))
}

/// The options, the strongest source last: environment, `ETCD_SERVERS`, flags.
pub fn options(given: &Connection) -> Result<Options, Failure> {
    let mut options = Options::from_env().map_err(Failure::usage)?;
    let variable = std::env::var(SERVERS).ok().filter(|servers| !servers.trim().is_empty());
    if let Some(servers) = given.servers.as_ref().or(variable.as_ref()) {
        options.set("endpoints", servers).map_err(Failure::usage)?;
    }
    for (name, value) in &given.flags.0 {
        options.set(name, value).map_err(Failure::usage)?;
    }
    if options.endpoints.is_empty() {
        let message = format!("no servers given: use --servers host:port or set {SERVERS}");
        return Err(Failure::new(Cause::Usage, message));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    fn options_of(arguments: &[&str]) -> Result<Options, clap::Error> {
        let line = ["etcd-api", "lease", "list", "-s", "mem://"].iter().chain(arguments);
        let cli = crate::parse(line.map(Into::into))?;
        Ok(options(&cli.connection).expect("servers"))
    }

    #[test]
    fn every_row_but_servers_and_secrets_is_a_flag_of_its_own() {
        let command = Cli::command();
        let own: Vec<&str> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
        for row in TABLE {
            let flag = !["endpoints", "password", "token"].contains(&row.name);
            assert_eq!(own.contains(&row.name), flag, "{}", row.name);
        }
        no_clashes(&command);
    }

    /// clap drops a global flag silently where a sub-command has one with the same id.
    fn no_clashes(command: &Command) {
        for sub in command.get_subcommands() {
            for arg in sub.get_arguments() {
                let id = arg.get_id().as_str();
                let long = arg.get_long().unwrap_or_default().replace('-', "_");
                assert!(rows().all(|row| row.name != id && row.name != long), "{} {id}", sub.get_name());
            }
            no_clashes(sub);
        }
    }

    #[test]
    fn values_go_where_the_table_says() {
        let given = ["--default-port", "4001", "--path-keys", "--user=me", "--connect-timeout-ms", "7"];
        let options = options_of(&given).unwrap();
        assert_eq!((options.default_port, options.path_keys, options.user.as_str()), (4001, true, "me"));
        assert_eq!(options.connect_timeout.as_millis(), 7);
        assert!(!options_of(&["--path-keys=false"]).unwrap().path_keys);
    }

    #[test]
    fn bad_values_list_what_is_allowed() {
        let bad = [
            (&["--default-port", "0"][..], "allowed: 1 to 65535"),
            (&["--default-scheme", "ftp"], "auto, http, https"),
            (&["--path-keys=yes"], "true, false"),
        ];
        for (arguments, allowed) in bad {
            let error = options_of(arguments).unwrap_err();
            assert!(error.to_string().contains(allowed) && error.exit_code() == 2, "{error}");
        }
        assert!(options_of(&["--password", "x"]).is_err());
    }
}
