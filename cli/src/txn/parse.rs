//! The text of a transaction, as etcdctl reads it. What etcdctl takes for something else than it looks like
//! (words behind a condition, a quote that never ends, a put's third word) is an error here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser};
use etcd::model::*;

use super::words::{quoted, words};
use crate::args::Selection;
use crate::keys::{range, request};

/// Reads all of it. An error begins with the number of its line.
pub fn transaction(text: &[u8]) -> Result<TxnRequest, String> {
    let mut txn = TxnRequest::default();
    let mut part = 0;
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        let read = match part {
            _ if line.is_empty() => {
                part += 1;
                Ok(())
            }
            0 => condition(line).map(|compare| txn.compares.push(compare)),
            1 => operation(line).map(|op| txn.then.push(op)),
            2 => operation(line).map(|op| txn.otherwise.push(op)),
            _ => Err("there is text behind the third part; an empty line ends a part".into()),
        };
        read.map_err(|fault| format!("{}: {fault}", at + 1))?;
    }
    Ok(txn)
}

const CONDITION: &str = "write a condition as mod(\"KEY\") = \"REVISION\"; an empty line ends the conditions";

fn condition(line: &[u8]) -> Result<Compare, String> {
    let open = line.iter().position(|&byte| byte == b'(').ok_or(CONDITION)?;
    let (key, rest) = quoted(line[open + 1..].trim_ascii_start())?;
    let rest = rest.trim_ascii_start().strip_prefix(b")").ok_or(CONDITION)?;
    let (relation, rest) = relation(rest.trim_ascii_start())?;
    let (value, rest) = quoted(rest.trim_ascii_start())?;
    if !rest.is_empty() {
        return Err(format!("there is text behind the condition: {}", quote(rest)));
    }
    let target = target(line[..open].trim_ascii(), value)?;
    Ok(Compare { range: KeyRange::key(key), target, relation })
}

fn relation(text: &[u8]) -> Result<(Relation, &[u8]), String> {
    let relations = [
        (&b"!="[..], Relation::NotEqual),
        (b"=", Relation::Equal),
        (b"<", Relation::Less),
        (b">", Relation::Greater),
    ];
    let found = relations.iter().find_map(|(sign, relation)| Some((*relation, text.strip_prefix(*sign)?)));
    found.ok_or_else(|| "a condition's relation is one of = != < >".into())
}

fn target(name: &[u8], value: Vec<u8>) -> Result<CompareTarget, String> {
    let number = |radix, what: &str| {
        let number = std::str::from_utf8(&value).ok().and_then(|text| i64::from_str_radix(text, radix).ok());
        number.ok_or_else(|| format!("{} is no {what}", quote(&value)))
    };
    Ok(match name {
        b"create" | b"c" => CompareTarget::CreateRevision(number(10, "revision")?),
        b"mod" | b"m" => CompareTarget::ModRevision(number(10, "revision")?),
        b"version" | b"ver" => CompareTarget::Version(number(10, "number")?),
        b"lease" => CompareTarget::Lease(number(16, "id of a lease in hex")?),
        b"value" | b"val" => CompareTarget::Value(value),
        _ => {
            let name = String::from_utf8_lossy(name);
            return Err(format!(
                "nothing to compare is called {name:?}; there are: create, mod, version, value, lease"
            ));
        }
    })
}

#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true)]
enum Operation {
    Get(GetOperation),
    Put(PutOperation),
    Del(DelOperation),
}

#[derive(Args)]
struct GetOperation {
    key: OsString,
    #[arg(conflicts_with_all = ["prefix", "from_key"])]
    end: Option<OsString>,
    #[command(flatten)]
    selection: Selection,
    #[arg(long, value_parser = ["l", "s"], default_value = "l")]
    consistency: String,
    #[arg(long, default_value_t = 0)]
    min_create_rev: i64,
    #[arg(long, default_value_t = 0)]
    max_create_rev: i64,
    #[arg(long, default_value_t = 0)]
    min_mod_rev: i64,
    #[arg(long, default_value_t = 0)]
    max_mod_rev: i64,
    /// Of no effect in a transaction of etcdctl either.
    #[arg(long)]
    print_value_only: bool,
}

#[derive(Args)]
struct PutOperation {
    key: OsString,
    #[arg(required_unless_present = "ignore_value", conflicts_with = "ignore_value")]
    value: Option<OsString>,
    #[arg(long, value_parser = |text: &str| i64::from_str_radix(text, 16), default_value = "0")]
    lease: i64,
    #[arg(long)]
    prev_kv: bool,
    #[arg(long)]
    ignore_value: bool,
    #[arg(long)]
    ignore_lease: bool,
}

#[derive(Args)]
struct DelOperation {
    key: OsString,
    #[arg(conflicts_with_all = ["prefix", "from_key"])]
    end: Option<OsString>,
    #[arg(long)]
    prefix: bool,
    #[arg(long, conflicts_with = "prefix")]
    from_key: bool,
    #[arg(long)]
    prev_kv: bool,
    /// For etcdctl, which waits before it deletes a range without it.
    #[arg(long)]
    range: bool,
}

/// What each operation may look like, for messages.
const OPERATIONS: [(&[u8], &str); 3] = [
    (
        b"get",
        "get KEY [END | --prefix | --from-key] [--limit=N] [--rev=REVISION] [--keys-only | --count-only] \
         [--sort-by=FIELD] [--order=ORDER]",
    ),
    (b"put", "put KEY VALUE [--lease=ID] [--prev-kv] [--ignore-lease], or put KEY --ignore-value"),
    (b"del", "del KEY [END | --prefix | --from-key] [--prev-kv]"),
];

fn operation(line: &[u8]) -> Result<Op, String> {
    let words = words(line)?;
    let form = OPERATIONS.iter().find(|(name, _)| words.first().is_some_and(|word| word == name));
    let Some((_, form)) = form else {
        return Err(format!("no operation begins like {}; there are: get, put, del", quote(line)));
    };
    let matches = command().try_get_matches_from(words.into_iter().map(OsString::from_vec));
    let operation = matches.and_then(|matches| Operation::from_arg_matches(&matches));
    operation.map(op).map_err(|error| format!("{}; allowed: {form}", one_line(&error)))
}

/// The operations, with flags that may be written as `--prefix=true`, too.
fn command() -> Command {
    let with_value = |arg: Arg| match arg.get_action() {
        ArgAction::SetTrue => {
            let arg = arg.action(ArgAction::Set).value_parser(BoolishValueParser::new());
            arg.num_args(0..=1).require_equals(true).default_missing_value("true").default_value("false")
        }
        _ => arg,
    };
    Operation::command().mut_subcommands(|operation| operation.mut_args(with_value))
}

fn op(operation: Operation) -> Op {
    match operation {
        Operation::Get(get) => {
            let range = range_of(get.key, get.end, get.selection.prefix, get.selection.from_key);
            Op::Range(RangeRequest {
                serializable: get.consistency == "s",
                min_create_revision: get.min_create_rev,
                max_create_revision: get.max_create_rev,
                min_mod_revision: get.min_mod_rev,
                max_mod_revision: get.max_mod_rev,
                ..request(&get.selection, range)
            })
        }
        Operation::Put(put) => Op::Put(PutRequest {
            lease: put.lease,
            prev_kv: put.prev_kv,
            ignore_value: put.ignore_value,
            ignore_lease: put.ignore_lease,
            ..PutRequest::new(put.key.into_vec(), put.value.unwrap_or_default().into_vec())
        }),
        Operation::Del(del) => Op::Delete(DeleteRequest {
            range: range_of(del.key, del.end, del.prefix, del.from_key),
            prev_kv: del.prev_kv,
        }),
    }
}

fn range_of(key: OsString, end: Option<OsString>, prefix: bool, from_key: bool) -> KeyRange {
    let range = range(key.into_vec(), prefix, from_key);
    end.map_or(range.clone(), |end| KeyRange { end: end.into_vec(), ..range })
}

/// What clap says, without its advice on how to call a program.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let fault = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = fault.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests;
