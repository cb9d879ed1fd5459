//! `etcd-api`: etcd's keys and fair locks from the command line.
//!
//! | module | what it does |
//! |---|---|
//! | [`args`] | the command line and its help |
//! | [`connect`] | which servers and options, from where |
//! | [`keys`] | get, set, delete, leader |
//! | [`watch`] | watch: one line per change |
//! | [`lock`] | lock, renew, unlock; waiting that a signal ends |
//! | [`run`] | `lock NAME -- COMMAND`: a command that runs while the lock is held |
//! | [`failure`] | what went wrong, as one line and an exit code |
//! | [`sys`] | signals, pipes and processes: all that depends on the operating system |

mod args;
mod connect;
mod failure;
mod keys;
mod lock;
mod run;
mod sys;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use etcd::classic::Session;

use args::{Cli, Command};
use failure::{Cause, Failure};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // A thread that keeps a lock may be gone: going on would be worse than ending here.
        let text = panic.to_string().replace('\n', " ");
        failure::report(&format!("a bug, please report it: {text}"));
        std::process::exit(i32::from(failure::INTERNAL));
    }));
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    let runs_command = matches!(&cli.command, Command::Lock(lock) if !lock.command.is_empty());
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
    own.len() + 1 < arguments.len() && own.iter().any(|&argument| argument == "lock")
}

fn perform(cli: Cli, arguments: &[OsString]) -> Result<u8, Failure> {
    let options = connect::options(&cli.connection)?;
    let session = Session::open(options).map_err(Failure::usage)?;
    let done = match cli.command {
        Command::Get { key } => keys::get(&session, key),
        Command::Set { precond, ttl, key, value } => keys::set(&session, key, value, precond, ttl),
        Command::Delete { precond, key } => keys::delete(&session, key, precond),
        Command::Leader => keys::leader(&session),
        Command::Watch { index, key } => watch::watch(&session, key, index),
        Command::Unlock { index, name } => lock::unlock(&session, name, index),
        Command::Lock(lock) if !lock.command.is_empty() => return run::run(&session, lock),
        Command::Lock(_) if arguments.last().is_some_and(|last| last == "--") => {
            // An empty variable in a script: it must not pass for a lock without a command.
            Err(Failure::new(Cause::Usage, "lock: there is no command behind --"))
        }
        Command::Lock(lock) => lock::lock(&session, lock),
    };
    done.map(|()| 0)
}
