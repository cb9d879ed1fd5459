//! The command line. Its longer texts are in [`help`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use etcd::model::SortBy;
use etcd::wait::Deadline;

use crate::connect::Connection;
use crate::help;
use crate::output::Format;

/// etcd's keys, leases and fair locks from the command line
#[derive(Debug, Parser)]
#[command(name = "etcd-api", version, disable_help_subcommand = true, after_help = help::main())]
pub struct Cli {
    /// How to print results
    #[arg(short, long, global = true, display_order = 90, value_name = "FORMAT", default_value = "plain")]
    pub output: Format,
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a key's value, or when it has none the keys below it; or all keys of a range
    #[command(after_help = help::text(help::GET))]
    Get {
        /// The key
        key: OsString,
        #[command(flatten)]
        selection: Selection,
    },
    /// Set a key
    #[command(after_help = help::text(help::SET))]
    Set(SetArgs),
    /// Delete a key, or all keys that start with a prefix
    #[command(after_help = help::text(help::DELETE))]
    Delete(DeleteArgs),
    /// Print every change of a key and of all keys below it, until interrupted
    #[command(after_help = help::text(help::WATCH))]
    Watch(WatchArgs),
    /// Run a transaction, written as for `etcdctl txn`
    #[command(after_help = help::text(help::TXN))]
    Txn {
        /// Where it is written [default: standard input]
        file: Option<PathBuf>,
    },
    /// Grant, keep and end leases
    #[command(subcommand, after_help = help::text(help::LEASE))]
    Lease(LeaseCommand),
    /// Wait for a fair lock; hold it for a time, or while a command runs
    #[command(after_help = help::text(help::LOCK))]
    Lock(LockArgs),
    /// Release a lock, or leave its queue
    #[command(after_help = help::text(help::UNLOCK))]
    Unlock {
        /// The index that `lock` printed
        #[arg(short, long)]
        index: OsString,
        /// The lock's name
        name: OsString,
    },
    /// Campaign for a leadership; lead until interrupted, or while a command runs
    #[command(after_help = help::text(help::ELECT))]
    Elect(ElectArgs),
    /// Print who leads an election, and every change of it, until interrupted
    #[command(after_help = help::text(help::OBSERVE))]
    Observe {
        /// The election's name
        name: OsString,
    },
    /// See who holds locks and who waits for them; break one
    #[command(subcommand, after_help = help::text(help::LOCKS))]
    Locks(LocksCommand),
    /// Print the name of the cluster's leader
    #[command(after_help = help::text(help::LEADER))]
    Leader,
    /// Print the members of the cluster
    #[command(after_help = help::text(help::MEMBERS))]
    Members,
    /// Print how each server of the list is
    #[command(after_help = help::text(help::STATUS))]
    Status,
    /// Forget all history before a revision
    #[command(after_help = help::text(help::COMPACT))]
    Compact {
        /// The oldest revision that can still be read
        #[arg(value_parser = value_parser!(i64).range(1..))]
        revision: i64,
    },
    /// See alarms, or take them back
    #[command(subcommand, after_help = help::text(help::ALARM))]
    Alarm(AlarmCommand),
    /// Print a completion script, the manual page, or the table of all options
    #[command(after_help = help::text(help::GENERATE))]
    Generate {
        /// What to print
        what: Document,
    },
}

/// Which keys, and how much of them. A transaction's `get` takes the same flags.
#[derive(Debug, Default, PartialEq, Args)]
pub struct Selection {
    /// All keys that start with KEY
    #[arg(long)]
    pub prefix: bool,
    /// All keys from KEY on, in the order of their bytes
    #[arg(long, conflicts_with = "prefix")]
    pub from_key: bool,
    /// At most so many keys; 0: all
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = value_parser!(i64).range(0..))]
    pub limit: i64,
    /// As the keys were at this revision; 0: now
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = value_parser!(i64).range(0..))]
    pub rev: i64,
    /// Without the values
    #[arg(long)]
    pub keys_only: bool,
    /// Just how many there are
    #[arg(long, conflicts_with = "keys_only")]
    pub count_only: bool,
    /// In the order of what
    #[arg(long, value_name = "FIELD", ignore_case = true, default_value = "key")]
    pub sort_by: SortField,
    /// Lowest or highest first
    #[arg(long, value_name = "ORDER", ignore_case = true, default_value = "ascend")]
    pub order: Order,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, ValueEnum)]
pub enum SortField {
    #[default]
    Key,
    Version,
    Create,
    #[value(alias = "modify")]
    Mod,
    Value,
}

impl From<SortField> for SortBy {
    fn from(field: SortField) -> Self {
        match field {
            SortField::Key => SortBy::Key,
            SortField::Version => SortBy::Version,
            SortField::Create => SortBy::Create,
            SortField::Mod => SortBy::Mod,
            SortField::Value => SortBy::Value,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, ValueEnum)]
pub enum Order {
    #[default]
    Ascend,
    Descend,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Only if the key exists and has this value
    #[arg(short, long, allow_hyphen_values = true)]
    pub precond: Option<OsString>,
    /// Seconds after which the key goes away; 0: it stays
    #[arg(short, long, value_name = "SECONDS", default_value_t = 0)]
    pub ttl: u32,
    /// The lease that the key ends with
    #[arg(short, long, value_name = "ID", value_parser = lease_id, conflicts_with = "ttl")]
    pub lease: Option<i64>,
    /// The key
    pub key: OsString,
    /// The value; `-`: what standard input holds
    #[arg(allow_negative_numbers = true)]
    pub value: OsString,
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Only if the key has this value
    #[arg(short, long, allow_hyphen_values = true, conflicts_with_all = ["prefix", "all"])]
    pub precond: Option<OsString>,
    /// All keys that start with KEY, which must not be empty
    #[arg(long)]
    pub prefix: bool,
    /// All keys there are
    #[arg(long, conflicts_with_all = ["prefix", "key"])]
    pub all: bool,
    /// The key
    #[arg(required_unless_present = "all")]
    pub key: Option<OsString>,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Start with the changes of this revision, also of the past [default: from now on]
    #[arg(short = 'i', long, visible_alias = "index", value_name = "REVISION")]
    #[arg(value_parser = value_parser!(i64).range(1..))]
    pub rev: Option<i64>,
    /// All keys that start with KEY, instead of KEY and all keys below KEY/
    #[arg(long)]
    pub prefix: bool,
    /// Before each change, what was there
    #[arg(long)]
    pub prev: bool,
    /// The key
    pub key: OsString,
}

#[derive(Debug, Subcommand)]
pub enum LeaseCommand {
    /// Grant a lease and print its id
    #[command(after_help = help::text(help::LEASE_GRANT))]
    Grant {
        /// Its TTL
        #[arg(value_parser = value_parser!(i64).range(1..))]
        seconds: i64,
    },
    /// End a lease; its keys go with it
    #[command(after_help = help::text(help::LEASE_REVOKE))]
    Revoke {
        /// The lease
        #[arg(value_parser = lease_id)]
        id: i64,
    },
    /// Keep a lease alive, until interrupted
    #[command(after_help = help::text(help::LEASE_KEEP_ALIVE))]
    KeepAlive {
        /// Start its TTL anew, and that is it
        #[arg(long)]
        once: bool,
        /// The lease
        #[arg(value_parser = lease_id)]
        id: i64,
    },
    /// Print how many seconds a lease still lasts
    #[command(after_help = help::text(help::LEASE_TTL))]
    Ttl {
        /// Its keys, too
        #[arg(long)]
        keys: bool,
        /// The lease
        #[arg(value_parser = lease_id)]
        id: i64,
    },
    /// Print the ids of all leases
    #[command(after_help = help::text(help::LEASE_LIST))]
    List,
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
    /// Go on in the place that has this value, as after a restart; without one, queue with it
    #[arg(short, long, value_name = "VALUE", conflicts_with = "index", requires = "command")]
    pub join: Option<OsString>,
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

#[derive(Debug, Args)]
pub struct ElectArgs {
    /// Seconds for which the leadership outlives a lost etcd-api
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = value_parser!(u32).range(1..))]
    pub ttl: u32,
    /// How long to wait at most; 0: try once [default: as long as it takes]
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub wait: Option<Duration>,
    /// Go on in the place that has the same value, as after a restart, if there is one
    #[arg(short, long)]
    pub join: bool,
    /// The election's name: a key prefix in etcd, the same as for `etcdctl elect`
    pub name: OsString,
    /// What is proclaimed while it leads
    #[arg(allow_negative_numbers = true)]
    pub value: OsString,
    /// What to run while it leads
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

impl ElectArgs {
    /// When waiting is over, counted from now.
    pub fn deadline(&self) -> Deadline {
        self.wait.map_or(Deadline::NEVER, Deadline::after)
    }
}

#[derive(Debug, Subcommand)]
pub enum LocksCommand {
    /// Print all locks and elections that somebody holds
    #[command(after_help = help::text(help::LOCKS_LS))]
    Ls {
        /// Only those whose names start so
        prefix: Option<OsString>,
    },
    /// Print who holds a lock and who waits for it
    #[command(after_help = help::text(help::LOCKS_SHOW))]
    Show {
        /// The lock's name
        name: OsString,
    },
    /// Print one place in a lock's queue
    #[command(after_help = help::text(help::LOCKS_FIND))]
    Find(PlaceArgs),
    /// Start the TTL of a place in a lock's queue anew, whoever has it
    #[command(after_help = help::text(help::LOCKS_RENEW))]
    Renew(PlaceArgs),
    /// Take a place out of a lock's queue, whoever has it
    #[command(after_help = help::text(help::LOCKS_BREAK))]
    Break(PlaceArgs),
}

/// A place: never known by the lock's name alone.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// The lock's name
    pub name: OsString,
    /// The token of the place, as `locks show` prints it
    #[arg(value_parser = value_parser!(i64).range(1..), required_unless_present = "value")]
    pub token: Option<i64>,
    /// Its value instead, which no other place may have
    #[arg(long, conflicts_with = "token")]
    pub value: Option<OsString>,
}

#[derive(Debug, Subcommand)]
pub enum AlarmCommand {
    /// Print the alarms that are raised
    #[command(after_help = help::text(help::ALARM_LIST))]
    List,
    /// Take all alarms back, and print which there were
    #[command(after_help = help::text(help::ALARM_DISARM))]
    Disarm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// Completions for bash
    Bash,
    /// Completions for zsh
    Zsh,
    /// Completions for fish
    Fish,
    /// The manual page etcd-api.1
    Man,
    /// CONFIGURATION.md
    Configuration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
    number.ok_or_else(|| "a number of seconds, such as 0, 1.5 or 60".into())
}

fn lease_id(text: &str) -> Result<i64, String> {
    let id = i64::from_str_radix(text, 16).ok().filter(|&id| id > 0);
    id.ok_or_else(|| "a lease's id in hex, as `lease grant` and `lease list` print it".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_agrees_with_itself() {
        Cli::command().debug_assert();
        crate::connect::shorten_sub_commands(Cli::command()).debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn look(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example") && help.contains("etcd-api "), "{}", command.get_name());
            command.get_subcommands().for_each(look);
        }
        look(&Cli::command());
    }

    #[test]
    fn connection_flags_stand_before_or_behind_the_sub_command() {
        for line in [["etcd-api", "-s", "a", "get", "k"], ["etcd-api", "get", "k", "-s", "a"]] {
            let cli = crate::parse(line.into_iter().map(Into::into)).unwrap();
            assert_eq!(cli.connection.servers.as_deref(), Some("a"));
        }
    }

    #[test]
    fn what_belongs_to_the_command_is_not_read_as_a_flag() {
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

    #[test]
    fn what_could_mean_too_much_is_refused() {
        let refused: [&[&str]; 9] = [
            &["delete"],
            &["delete", "--prefix"],
            &["delete", "--all", "k"],
            &["delete", "--all", "--prefix"],
            &["delete", "-p", "v", "--prefix", "k"],
            &["get", "--prefix", "--from-key", "k"],
            &["set", "-t", "1", "--lease", "1f", "k", "v"],
            &["lease", "revoke", "0"],
            &["lease", "revoke", "0x1f"],
        ];
        for line in refused {
            assert!(Cli::try_parse_from([&["etcd-api"], line].concat()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn an_index_is_a_revision_to_watch_from() {
        for flag in ["-i", "--index", "--rev"] {
            let cli = Cli::try_parse_from(["etcd-api", "watch", flag, "7", "k"]).unwrap();
            let Command::Watch(watch) = cli.command else { panic!("{cli:?}") };
            assert_eq!(watch.rev, Some(7));
        }
    }
}
