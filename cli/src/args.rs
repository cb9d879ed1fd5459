//! The command line and its help.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use etcd::options::TABLE;
use etcd::wait::Deadline;

/// etcd's keys and fair locks from the command line
#[derive(Debug, Parser)]
#[command(name = "etcd-api", version, disable_help_subcommand = true, after_help = options_help())]
pub struct Cli {
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

/// Where etcd is, and how to ask it.
#[derive(Debug, Args)]
pub struct Connection {
    /// Where to find etcd, as host:port,... [default: $ETCD_SERVERS, else $ETCD_API_ENDPOINTS]
    #[arg(short, long, global = true, display_order = 90, value_name = "LIST")]
    pub servers: Option<String>,
    /// Set an option of the library (etcd-api --help lists them); may be repeated
    #[arg(short, long, global = true, display_order = 90, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub option: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a key's value, or when it has none the keys below it, one a line
    #[command(after_help = GET)]
    Get {
        /// The key
        key: OsString,
    },
    /// Set a key
    #[command(after_help = SET)]
    Set {
        /// Only if the key exists and has this value
        #[arg(short, long, allow_hyphen_values = true)]
        precond: Option<OsString>,
        /// Seconds after which the key goes away; 0: it stays
        #[arg(short, long, value_name = "SECONDS", default_value_t = 0)]
        ttl: u32,
        /// The key
        key: OsString,
        /// The value
        #[arg(allow_negative_numbers = true)]
        value: OsString,
    },
    /// Delete a key
    #[command(after_help = DELETE)]
    Delete {
        /// Only if the key has this value
        #[arg(short, long, allow_hyphen_values = true)]
        precond: Option<OsString>,
        /// The key
        key: OsString,
    },
    /// Print every change of a key and of all keys below it, until interrupted
    #[command(after_help = WATCH)]
    Watch {
        /// Start with the changes of this revision, also of the past [default: from now on]
        #[arg(short, long, value_name = "REVISION", value_parser = value_parser!(i64).range(1..))]
        index: Option<i64>,
        /// The key
        key: OsString,
    },
    /// Print the name of the cluster's leader
    #[command(after_help = LEADER)]
    Leader,
    /// Wait for a fair lock; hold it for a time, or while a command runs
    #[command(after_help = LOCK)]
    Lock(LockArgs),
    /// Release a lock, or leave its queue
    #[command(after_help = UNLOCK)]
    Unlock {
        /// The index that `lock` printed
        #[arg(short, long)]
        index: OsString,
        /// The lock's name
        name: OsString,
    },
}

#[derive(Debug, Args)]
pub struct LockArgs {
    /// Seconds for which the lock is held; with a command, for which it outlives a lost etcd-api
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = value_parser!(u32).range(1..))]
    pub ttl: u32,
    /// Start the TTL of the lock with this index anew, instead of waiting for a new one
    #[arg(short, long, conflicts_with_all = ["wait", "command"])]
    pub index: Option<OsString>,
    /// How long to wait at most; 0: try once [default: as long as it takes]
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub wait: Option<Duration>,
    /// The lock's name: a key prefix in etcd, the same as for `etcdctl lock`
    pub name: OsString,
    /// What to run while the lock is held
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

impl LockArgs {
    /// When waiting is over, counted from now.
    pub fn deadline(&self) -> Deadline {
        self.wait.map_or(Deadline::NEVER, Deadline::after)
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give it as NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
    number.ok_or_else(|| "a number of seconds, such as 0, 1.5 or 60".into())
}

/// The library's own table, so that it can't differ from what the library does.
fn options_help() -> String {
    let row = |row: &etcd::options::OptionSpec| {
        let default = if row.default.is_empty() { "none" } else { row.default };
        format!(
            "  {}  {}\n      {} [default: ${}, else {default}]\n",
            row.name, row.help, row.values, row.variable
        )
    };
    let rows: String = TABLE.iter().map(row).collect();
    format!("{MAIN}\n\nOptions of the library, for --option NAME=VALUE:\n{rows}")
}

const MAIN: &str = "\
Examples:
  export ETCD_SERVERS=127.0.0.1:2379
  etcd-api set greeting hello
  etcd-api get greeting
  etcd-api lock nightly -- ./backup.sh

Exit codes: 0 success; 1 etcd refused or could not be asked, as one line on standard error says;
2 wrong usage. `lock` has more: see etcd-api lock --help.";

const GET: &str = "\
Examples:
  etcd-api get config/port      the value of config/port
  etcd-api get config           when config has no value: config/host, config/port, ...

The value is printed byte by byte as it is, with a newline behind it.
Exit code 1 when there is no such key and none below it (KEY//x, whose next part is empty, is none).";

const SET: &str = "\
Examples:
  etcd-api set config/port 8080
  etcd-api set -p 8080 config/port 8081     only if it still is 8080
  etcd-api set -t 30 workers/a alive        goes away after 30 seconds
  etcd-api set -- key -value                a value that looks like an option

Exit code 1 when the key has another value than the one given with -p, or none.";

const DELETE: &str = "\
Examples:
  etcd-api delete config/port
  etcd-api delete -p 8081 config/port       only if it still is 8081

Exit code 1 when there is no such key, or it has another value.";

const WATCH: &str = "\
Examples:
  etcd-api watch config
  etcd-api watch -i 1200 config             with all changes since revision 1200
  etcd-api watch config | while read -r change revision key value; do ...; done

Prints one line per change, at once:
  put REVISION KEY VALUE
  delete REVISION KEY                       deleted, or its TTL was over
Backslash, newline, return, tab and other control bytes are printed as \\\\ \\n \\r \\t \\xNN,
a space in KEY as \\x20; VALUE goes on to the end of the line. All other bytes stay as they are.
The watch survives restarts of the servers. To go on later without a gap, start at the last
REVISION: its changes come again, because several may share it. Exit code 1 when the
changes from -i on have been compacted away.";

const LEADER: &str = "\
Example:
  etcd-api leader";

const LOCK: &str = "\
Examples:
  etcd-api lock nightly -- ./backup.sh      run it while no one else holds the lock
  etcd-api lock -w 0 nightly -- ./backup.sh ... or not at all
  index=$(etcd-api lock -t 60 nightly)      hold it for 60 seconds
  etcd-api lock -t 60 -i $index nightly     for another 60 seconds from now on
  etcd-api unlock -i $index nightly

Locks are fair: whoever comes first, holds first. They queue together with `etcdctl lock` and
etcd's Go package. A wait that ends by a signal or by --wait leaves nothing behind.

Without a command the lock's index is printed, and nobody renews the lock but you.

With a command, the lock is renewed while it runs, and released when it ends. The command's
environment has ETCD_LOCK_KEY, a key of etcd, and ETCD_LOCK_REV, its create revision. Writes that
apply only while that key has that create revision are safe even when the lock was lost unnoticed.
  When the lock is lost, the command gets SIGTERM, and SIGKILL 2 seconds later. Unless somebody
removed the lock by force, the SIGTERM comes max(0.5 s, TTL/10) before the lock can be anyone
else's; from -t 20 on, the SIGKILL does too. SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2
are passed on to the command. Should etcd-api be killed, the command gets SIGTERM (on Linux).
  Signals go to the command alone, not to processes that it starts, because it stays in the
process group of etcd-api and so can use the terminal. A shell script does best to `exec` its last
command, or to pass SIGTERM on.

Exit code: the command's own, 128 + N when signal N ended it or the wait for the lock, or
  120  etcd could not be asked, or refused; the command was not started
  121  the lock was lost while the command ran
  122  --wait is over; the command was not started
  123  wrong usage
  124  the command could not be started
  125  etcd-api itself failed
Without a command: 0; 122 and 128 + N as above; 1 for all other failures, 2 for wrong usage.";

const UNLOCK: &str = "\
Example:
  etcd-api unlock -i $index nightly

Any process that knows the index may do so. Exit code 1 when it is not in the lock's queue any more.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_agrees_with_itself() {
        Cli::command().debug_assert();
    }

    #[test]
    fn connection_options_stand_before_or_behind_the_sub_command() {
        for line in [["etcd-api", "-s", "a", "get", "k"], ["etcd-api", "get", "k", "-s", "a"]] {
            assert_eq!(Cli::try_parse_from(line).unwrap().connection.servers.as_deref(), Some("a"));
        }
    }

    #[test]
    fn what_belongs_to_the_command_is_not_read_as_an_option() {
        let cli = Cli::try_parse_from(["etcd-api", "lock", "n", "-t", "7", "--", "sh", "-s", "x"]).unwrap();
        let Command::Lock(lock) = cli.command else { panic!("{cli:?}") };
        assert_eq!((lock.ttl, lock.command), (7, vec!["sh".into(), "-s".into(), "x".into()]));
        assert_eq!(cli.connection.servers, None);
    }

    #[test]
    fn values_may_be_negative_numbers_and_waits_fractions() {
        assert!(Cli::try_parse_from(["etcd-api", "set", "-p", "-1", "k", "-2"]).is_ok());
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["", "-1", "x", "NaN", "inf"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
