//! What stands below the flags in each command's help, and in the manual page.

use clap::builder::{StyledStr, Styles};

/// Such a text with its first line as a heading.
pub fn text(text: &str) -> StyledStr {
    let (heading, rest) = text.split_once('\n').unwrap_or((text, ""));
    let style = *Styles::styled().get_header();
    format!("{style}{heading}{style:#}\n{rest}").into()
}

/// That of the program itself.
pub fn main() -> StyledStr {
    text(MAIN)
}

const MAIN: &str = "\
Examples:
  export ETCD_SERVERS=127.0.0.1:2379
  etcd-api set greeting hello
  etcd-api get greeting
  etcd-api get --prefix '' -o table
  etcd-api lock nightly -- ./backup.sh
  . <(etcd-api generate bash)               completes all of this in the shell

Plain output is made for `read`: fields are separated by single spaces, a field before the last that would be
empty is `-`, and what would break a line or a field is escaped: backslash, newline, return, tab and other
control bytes as \\\\ \\n \\r \\t \\xNN, a space in any field but the last as \\x20. All other bytes stay as they are.

With -o json, what is printed is one JSON document on one line; a stream (watch, observe, lease keep-alive) prints one
for each thing that happens, at once. Names are etcd's: key, value, create_revision, mod_revision, version, lease.
A key or value that is no UTF-8 stands as base64 under its name with _base64, instead of under its name. Ids of
leases, members and clusters are hex strings; a key without a lease has no `lease`. Revisions and counts are
numbers; `revision` is the store's when the command was done.

With -o table, lists have columns and a header. Commands that print no list refuse it.

Colours are for terminals only. NO_COLOR=1 turns them off, CLICOLOR_FORCE=1 turns them on in a pipe, too.

Exit codes: 0 success; 1 etcd refused or could not be asked, as one line on standard error says; 2 wrong usage.
`lock` and `elect` have more: see etcd-api lock --help.";

pub const GET: &str = "\
Examples:
  etcd-api get config/port                  the value of config/port
  etcd-api get config                       when config has no value: config/host, config/port, ...
  etcd-api get --prefix config/             all keys that start with config/, with their values
  etcd-api get --prefix '' --count-only     how many keys there are
  etcd-api get --rev 1200 config/port       what it was at revision 1200
  etcd-api get --prefix jobs/ --sort-by create --limit 1     the oldest

The value of one key is printed byte by byte as it is, with a newline behind it. Of several keys, there is a line
for each:

  KEY VALUE                                 with --keys-only just KEY

in which KEY and VALUE are escaped as etcd-api --help says. The keys below KEY are listed only without -o json
or table and without any of these flags.
Exit code 1 when there is no such key and none below it (KEY//x, whose next part is empty, is none). A range
without keys is no failure.";

pub const SET: &str = "\
Examples:
  etcd-api set config/port 8080
  etcd-api set -p 8080 config/port 8081     only if it still is 8080
  etcd-api set -t 30 workers/a alive        goes away after 30 seconds
  etcd-api set --lease $id workers/a alive  goes away with the lease
  etcd-api set -- key -value                a value that looks like a flag
  etcd-api set key - < file                 any bytes, as they are in the file

Exit code 1 when the key has another value than the one given with -p, or none.";

pub const DELETE: &str = "\
Examples:
  etcd-api delete config/port
  etcd-api delete -p 8081 config/port       only if it still is 8081
  etcd-api delete --prefix config/          all keys that start with config/
  etcd-api delete --all                     all keys

With --prefix and --all, prints how many keys were deleted, which may be 0.
Exit code 1 when there is no such key, or it has another value. An empty prefix, which a script may give by
mistake, is wrong usage.";

pub const WATCH: &str = "\
Examples:
  etcd-api watch config
  etcd-api watch --rev 1200 config          with all changes since revision 1200
  etcd-api watch --prefix '' -o json        all keys, a JSON object for each change
  etcd-api watch config | while read -r change revision key value; do ...; done

Prints one line per change, at once:

  put REVISION KEY VALUE
  delete REVISION KEY                       deleted, or its TTL was over

in which KEY and VALUE are escaped as etcd-api --help says. With --prev, the line of a change of a key that was
there before has another one before it, with the revision of that earlier change:

  prev REVISION KEY VALUE

The watch survives restarts of the servers. To go on later without a gap, start at the last
REVISION: its changes come again, because several may share it. Exit code 1 when the
changes from --rev on have been compacted away.";

pub const TXN: &str = "\
Examples:
  etcd-api txn file
  etcd-api txn << .                         if config/port is still what it was at revision 1200
    mod(\"config/port\") = \"1200\"

    put config/port 8081
    put config/last \"changed by me\"

    get config/port
  .
  printf 'create(\"%s\") = \"%s\"\\n\\nput jobs/last done\\n' \"$ETCD_LOCK_KEY\" \"$ETCD_LOCK_REV\" | etcd-api txn
                                            under `etcd-api lock`: only while the lock is held

Three parts, each ended by an empty line or by the end of the file. First the conditions, one a line:

  create(\"KEY\") = \"REVISION\"    mod(\"KEY\") = \"REVISION\"    version(\"KEY\") = \"NUMBER\"
  value(\"KEY\") = \"VALUE\"        lease(\"KEY\") = \"ID\"

or with != < > instead of =. Then what to do when they all hold, and then what to do when one does not:

  get KEY [END] [--prefix] [--from-key] [--limit=N] [--rev=REVISION] [--keys-only] [--count-only]
      [--sort-by=FIELD] [--order=ORDER]
  put KEY VALUE [--lease=ID] [--prev-kv]
  put KEY --ignore-value,  put KEY VALUE --ignore-lease
  del KEY [END] [--prefix] [--from-key] [--prev-kv]

A word with spaces stands in 'single' or in \"double\" quotes; within double quotes, and only there, \\n \\t \\\\ \\\"
\\xNN \\NNN \\uNNNN and the like are escapes. Keys are what is written, whatever --path-keys says.

Prints `success` when all conditions held, otherwise `failure`. Then, for each operation done, an empty line and

  of get    KEY VALUE lines, or KEY lines, or the count, as `etcd-api get` prints them
  of put    ok, and with --prev-kv the line KEY VALUE of what was there
  of del    how many keys went, and with --prev-kv their KEY VALUE lines

Exit code 0 when the transaction was done, with either result; 2 for a mistake in the file.";

pub const LEASE: &str = "\
Example:
  id=$(etcd-api lease grant 30)
  etcd-api set --lease $id workers/a alive
  etcd-api lease keep-alive $id > /dev/null &

A lease is named by its id in hex, as for etcdctl.";

pub const LEASE_GRANT: &str = "\
Example:
  id=$(etcd-api lease grant 30)

The server may raise the TTL: by default, none is shorter than 2 seconds.";

pub const LEASE_REVOKE: &str = "\
Example:
  etcd-api lease revoke $id

Exit code 1 when there is no such lease.";

pub const LEASE_KEEP_ALIVE: &str = "\
Examples:
  etcd-api lease keep-alive $id             until it is interrupted
  etcd-api lease keep-alive --once $id      for another TTL from now on

Starts the TTL anew whenever a third of it is over, and prints it, in seconds. Goes on when servers do not
answer for a while. Exit code 1 when the lease is gone.";

pub const LEASE_TTL: &str = "\
Examples:
  etcd-api lease ttl $id
  etcd-api lease ttl --keys $id

Prints the seconds, and with --keys one line with each key, escaped as etcd-api --help says.
Exit code 1 when there is no such lease.";

pub const LEASE_LIST: &str = "\
Example:
  etcd-api lease list";

pub const LEADER: &str = "\
Example:
  etcd-api leader";

pub const MEMBERS: &str = "\
Example:
  etcd-api members -o table

Prints a line for each member:

  ID NAME PEER_URLS CLIENT_URLS IS_LEARNER  lists are separated by commas";

pub const STATUS: &str = "\
Example:
  etcd-api status -s 10.0.0.1,10.0.0.2,10.0.0.3 -o table

Prints a line for each server of the list, also for one that does not answer:

  ENDPOINT MEMBER_ID VERSION DB_SIZE IS_LEADER RAFT_TERM RAFT_INDEX ERRORS

DB_SIZE is in bytes; ERRORS goes on to the end of the line.
Exit code 1 when one does not answer.";

pub const COMPACT: &str = "\
Example:
  etcd-api compact 1200                     what was before can't be read or watched any more

Exit code 1 when that was done before, or there is no such revision yet.";

pub const ALARM: &str = "\
Examples:
  etcd-api alarm list
  etcd-api alarm disarm

Prints a line for each alarm: MEMBER_ID, and NOSPACE or CORRUPT.";

pub const ALARM_LIST: &str = "\
Example:
  etcd-api alarm list                       MEMBER_ID NOSPACE: its database is full";

pub const ALARM_DISARM: &str = "\
Example:
  etcd-api alarm disarm

An alarm whose reason is still there comes back: compact and defragment first.";

pub const GENERATE: &str = "\
Examples:
  . <(etcd-api generate bash)
  etcd-api generate zsh > ~/.zfunc/_etcd-api
  etcd-api generate fish > ~/.config/fish/completions/etcd-api.fish
  etcd-api generate man | man -l -";

pub const LOCK: &str = "\
Examples:
  etcd-api lock nightly -- ./backup.sh      run it while no one else holds the lock
  etcd-api lock -w 0 nightly -- ./backup.sh ... or not at all
  index=$(etcd-api lock -t 60 nightly)      hold it for 60 seconds
  etcd-api lock -t 60 -i $index nightly     for another 60 seconds from now on
  etcd-api unlock -i $index nightly
  etcd-api lock -j backup-1 nightly -- ./backup.sh      started again: in the same place

Locks are fair: whoever comes first, holds first. They queue together with `etcdctl lock` and
etcd's Go package. A wait that ends by a signal or by --wait leaves nothing behind.

Without a command the lock's index is printed, and nobody renews the lock but you.

With a command, the lock is renewed while it runs, and released when it ends. The command's
environment has ETCD_LOCK_KEY, a key of etcd, and ETCD_LOCK_TOKEN, its create revision (also as
ETCD_LOCK_REV), which grows with every new holder: the fencing token. Writes that apply only while
that key has that create revision are safe even when the lock was lost unnoticed (as long as nobody
puts that key by hand): see etcd-api txn --help.

With --join, the place in the queue has this value, and one that has it already, of an etcd-api that was killed, say, is
this one's: with its token and its TTL, and held at once if it holds the lock. Both hold it if both live, so give a value
only to what can't run twice.

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

pub const ELECT: &str = "\
Examples:
  etcd-api elect scheduler $HOSTNAME        lead until interrupted
  etcd-api elect scheduler $HOSTNAME -- ./scheduler     ... or while a command runs
  etcd-api elect -w 0 scheduler $HOSTNAME -- ./scheduler    ... or not at all

Whoever comes first, leads first, in one queue with `etcdctl elect` and etcd's Go package. An election is a lock
whose holder's value is told to everybody: see etcd-api observe --help.

Without a command, prints a line when it leads, and leads until a signal comes or the leadership is lost:

  KEY VALUE

A script that runs it in the background with `&` ends it with `kill -TERM`: shells let such commands ignore SIGINT.

With a command, all is as with etcd-api lock NAME -- COMMAND: what the environment has, how a loss ends the command,
signals and exit codes. Without one: 128 + N when signal N ended it, 121 when the leadership was lost, 122 when
--wait is over, 1 for all other failures, 2 for wrong usage.";

pub const OBSERVE: &str = "\
Examples:
  etcd-api observe scheduler
  etcd-api observe scheduler | while read -r word revision key value; do ...; done

Prints a line at once for who leads now, then one for each new leader and each value that a leader proclaims:

  leader REVISION KEY VALUE
  nobody REVISION

in which KEY and VALUE are escaped as etcd-api --help says. With -o json, `leader` is null when nobody leads. It goes
on through restarts of the servers, and no leader is left out.";

pub const LOCKS: &str = "\
Examples:
  etcd-api locks ls
  etcd-api locks show nightly -o table
  etcd-api locks find nightly --value backup-1
  etcd-api locks break nightly 1234

Locks and elections are the same here.";

pub const LOCKS_LS: &str = "\
Examples:
  etcd-api locks ls -o table
  etcd-api locks ls jobs/

Prints a line for each lock that somebody holds, by name:

  NAME TOKEN WAITERS VALUE                  of its holder; WAITERS: how many wait

A name that others gave to keys with leases that end in /HEX looks like a lock's.";

pub const LOCKS_SHOW: &str = "\
Example:
  etcd-api locks show nightly -o table

Prints a line for each place in the queue, in its order:

  PLACE TOKEN LEASE TTL VALUE               PLACE: holder, then 1, 2, ...

TTL is what is left, in seconds. VALUE says who it is: of a lock, as far as its program told that; of an election,
what is proclaimed. Prints nothing when nobody holds it. (How old a place is etcd does not know; the tokens tell the order.)";

pub const LOCKS_FIND: &str = "\
Examples:
  etcd-api locks find nightly 1234
  etcd-api locks find nightly --value backup-1

Prints a line, as etcd-api locks show --help tells:

  TOKEN LEASE TTL VALUE

Exit code 1 when there is no such place, or several have the value: then the message has their tokens.";

pub const LOCKS_RENEW: &str = "\
Example:
  etcd-api locks renew nightly --value backup-1

Exit code 1 when there is no such place (any more), or several have the value. For another TTL: etcd-api lock --index.";

pub const LOCKS_BREAK: &str = "\
Example:
  etcd-api locks break nightly 1234

Releases the lock if the place is the holder's, who is told. Asks for the token or the value, so that it can't be somebody
else's that is broken. Exit code 1 when no place has it (any more), or several have the value: then nothing is done.";

pub const UNLOCK: &str = "\
Example:
  etcd-api unlock -i $index nightly

Any process that knows the index may do so. Exit code 1 when it is not in the lock's queue any more.";
