//! `etcd-api`: etcd's keys and fair locks from the command line.
//!
//! | module | what it does |
//! |---|---|
//! | [`args`], [`help`] | the command line; its longer texts |
//! | [`connect`] | which servers and options, from where; the flags made of the library's option table |
//! | [`keys`] | get, set, delete, leader |
//! | [`watch`] | watch: one line per change |
//! | [`txn`] | txn: a transaction from a file in etcdctl's format |
//! | [`leases`] | lease grant, revoke, keep-alive, ttl, list |
//! | [`cluster`] | members, status, compact, alarm |
//! | [`lock`] | lock without a command, renew, unlock; signals, which end a wait |
//! | [`contend`] | wanting a lock or leadership, and holding it while something is done |
//! | [`elect`] | elect, observe |
//! | [`locks`] | locks ls, show, find, renew, break |
//! | [`run`] | `lock NAME -- COMMAND`: a command that runs while the lock, or a leadership, is held |
//! | [`generate`] | completion scripts, the manual page, the table of options |
//! | [`output`] | lines, tables and JSON |
//! | [`style`] | colours, on terminals only |
//! | [`failure`] | what went wrong, as one line and an exit code |
//! | [`sys`] | signals, pipes and processes: all that depends on the operating system |

mod args;
mod cluster;
mod connect;
mod contend;
mod elect;
mod failure;
mod generate;
mod help;
mod keys;
mod leases;
mod lock;
mod locks;
mod output;
mod run;
mod style;
mod sys;
mod txn;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use etcd::classic::Session;

use args::{Cli, Command, LeaseCommand, LocksCommand};
use failure::{Cause, Failure};
use output::Format;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // A thread that keeps a lock may be gone: going on would be worse than ending here.
        let text = panic.to_string().replace('\n', " ");
        failure::report(&format!("a bug, please report it: {text}"));
        std::process::exit(i32::from(failure::INTERNAL));
    }));
    style::init();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match parse(arguments.iter().cloned()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    let runs_command = runs_command(&cli.command);
    match perform(cli, &arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !failure.message.is_empty() {
                failure::report(&failure.message);
            }
            ExitCode::from(failure.cause.exit_code(runs_command || wants_command(&arguments)))
        }
    }
}

fn runs_command(command: &Command) -> bool {
    match command {
        Command::Lock(given) => !given.command.is_empty(),
        Command::Elect(given) => !given.command.is_empty(),
        _ => false,
    }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let command = connect::shorten_sub_commands(Cli::command());
    let matches = command.try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

/// Prints help and version to standard output, and what is wrong with the arguments to standard error.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    // Nothing is left to do when nobody reads it.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(Cause::Usage.exit_code(wants_command(arguments)))
}

/// Whether arguments that clap refused, or that end too early, were meant to run a command under a lock:
/// its exit code 2 must not be mistaken for the command's.
fn wants_command(arguments: &[OsString]) -> bool {
    let own = arguments.iter().skip(1).take_while(|&argument| argument != "--");
    let own: Vec<&OsString> = own.collect();
    own.len() + 1 < arguments.len() && own.iter().any(|&argument| argument == "lock" || argument == "elect")
}

fn perform(cli: Cli, arguments: &[OsString]) -> Result<u8, Failure> {
    let format = cli.output;
    check_format(format, &cli.command)?;
    let open = || Session::open(connect::options(&cli.connection)?).map_err(Failure::usage);
    let done = match cli.command {
        Command::Get { key, selection } => keys::get(&open()?, format, key, selection),
        Command::Set(given) => keys::set(&open()?, format, given),
        Command::Delete(given) => keys::delete(&open()?, format, given),
        Command::Watch(given) => watch::watch(&open()?, format, given),
        Command::Txn { file } => txn::txn(&open()?, format, file),
        Command::Lease(command) => leases::lease(&open()?, format, command),
        Command::Leader => keys::leader(&open()?, format),
        Command::Members => cluster::members(&open()?, format),
        Command::Status => cluster::status(&open()?, format),
        Command::Compact { revision } => cluster::compact(&open()?, format, revision),
        Command::Alarm(command) => cluster::alarm(&open()?, format, command),
        Command::Unlock { index, name } => lock::unlock(&open()?, format, name, index),
        Command::Lock(lock) if !lock.command.is_empty() => return run::run(&open()?, lock),
        Command::Elect(given) if !given.command.is_empty() => return elect::elect(&open()?, format, given),
        Command::Lock(_) | Command::Elect(_) if arguments.last().is_some_and(|last| last == "--") => {
            // An empty variable in a script: it must not pass for a lock without a command.
            Err(Failure::new(Cause::Usage, "there is no command behind --"))
        }
        Command::Lock(lock) => lock::lock(&open()?, format, lock),
        Command::Elect(given) => return elect::elect(&open()?, format, given),
        Command::Observe { name } => elect::observe(&open()?, format, name),
        Command::Locks(command) => locks::locks(&open()?, format, command),
        Command::Generate { what } => generate::generate(what),
    };
    done.map(|()| 0)
}

/// Refuses a format that a command has not, before anything is done.
fn check_format(format: Format, command: &Command) -> Result<(), Failure> {
    let advice = match command {
        _ if format == Format::Plain => return Ok(()),
        command if runs_command(command) => "it is the command that prints here; leave it out",
        Command::Generate { .. } => "what is printed has a format of its own; leave it out",
        _ if format == Format::Json => return Ok(()),
        Command::Get { .. } | Command::Members | Command::Status | Command::Alarm(_) => return Ok(()),
        Command::Lease(LeaseCommand::List | LeaseCommand::Ttl { .. }) => return Ok(()),
        Command::Locks(LocksCommand::Ls { .. } | LocksCommand::Show { .. }) => return Ok(()),
        _ => "only lists make tables; use --output plain or --output json here",
    };
    Err(Failure::new(Cause::Usage, format!("--output: {advice}")))
}
