//! get, set, delete, leader.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use etcd::classic::Session;
use etcd::model::*;
use etcd::{Error, ErrorKind, Outcome};
use serde_json::{Value, json};

use crate::args::{DeleteArgs, Order, Selection, SetArgs};
use crate::failure::{Cause, Failure};
use crate::output::{Format, Rows, key_line, key_object, lease_id, print, print_json, text, word};

/// Prints the bare value, or the keys below; or what is selected.
pub fn get(session: &Session, format: Format, key: OsString, selection: Selection) -> Result<(), Failure> {
    if format == Format::Plain && selection == Selection::default() {
        return value_or_children(session, &key.into_vec());
    }
    let many = selection.prefix || selection.from_key;
    let key = stored(session, key, many)?;
    let request = request(&selection, range(key, selection.prefix, selection.from_key));
    let (revision, found) =
        session.client().range(request.clone()).map_err(|error| Failure::of(session, error))?;
    if !many && found.count == 0 {
        return Err(Failure::of(session, missing(&request, "there is no such key")));
    }
    match format {
        Format::Json => {
            let mut document = range_object(&request, &found);
            document["revision"] = json!(revision);
            print_json(&document)
        }
        Format::Table => range_rows(&request, &found).print(format),
        Format::Plain if many || request.keys_only || request.count_only => {
            print(&range_lines(&request, &found))
        }
        Format::Plain => print_value(found.kvs.into_iter().next().unwrap_or_default().value),
    }
}

fn value_or_children(session: &Session, key: &[u8]) -> Result<(), Failure> {
    let nothing = || {
        let request = RangeRequest::new(KeyRange::key(key));
        missing(&request, "there is no such key, and none below it")
    };
    let value = session.get(key).and_then(|value| value.ok_or_else(nothing));
    print_value(value.map_err(|error| Failure::of(session, error))?)
}

fn print_value(mut value: Vec<u8>) -> Result<(), Failure> {
    value.push(b'\n');
    print(&value)
}

fn missing(request: &RangeRequest, fault: &str) -> Error {
    let fault = if request.revision == 0 {
        fault.into()
    } else {
        format!("{fault} at revision {}", request.revision)
    };
    let operation = format!("get {}", quote(&request.range.start));
    Error::new(ErrorKind::KeyNotFound, fault).outcome_is(Outcome::Refused).during(operation)
}

/// A key of the command line as it is stored. Only where several are asked for, it may be empty.
pub fn stored(session: &Session, key: OsString, may_be_empty: bool) -> Result<Vec<u8>, Failure> {
    let key = key.into_vec();
    if key.is_empty() && may_be_empty { Ok(key) } else { session.key(&key).map_err(Failure::usage) }
}

/// One key, or all that start with it, or all from it on.
pub fn range(key: Vec<u8>, prefix: bool, from_key: bool) -> KeyRange {
    match (prefix, from_key) {
        (true, _) => KeyRange::prefix(key),
        (_, true) => KeyRange::from_key(key),
        _ => KeyRange::key(key),
    }
}

/// The read that is asked for.
pub fn request(selection: &Selection, range: KeyRange) -> RangeRequest {
    RangeRequest {
        limit: selection.limit,
        revision: selection.rev,
        sort_by: selection.sort_by.into(),
        descending: selection.order == Order::Descend,
        keys_only: selection.keys_only,
        count_only: selection.count_only,
        ..RangeRequest::new(range)
    }
}

/// Plain: a line a key, or the count.
pub fn range_lines(request: &RangeRequest, found: &RangeReply) -> Vec<u8> {
    if request.count_only {
        return format!("{}\n", found.count).into();
    }
    found.kvs.iter().flat_map(|kv| key_line(kv, !request.keys_only)).collect()
}

/// JSON, without the revision.
pub fn range_object(request: &RangeRequest, found: &RangeReply) -> Value {
    let kvs: Vec<Value> = found.kvs.iter().map(|kv| key_object(kv, !request.keys_only)).collect();
    json!({ "kvs": kvs, "count": found.count, "more": found.more })
}

fn range_rows(request: &RangeRequest, found: &RangeReply) -> Rows {
    if request.count_only {
        return Rows { columns: &["COUNT"], cells: vec![vec![found.count.to_string().into()]] };
    }
    let columns: &[_] = &["KEY", "CREATE_REVISION", "MOD_REVISION", "VERSION", "LEASE", "VALUE"];
    let columns = if request.keys_only { &columns[..columns.len() - 1] } else { columns };
    let cells = |kv: &KeyValue| {
        let numbers =
            [kv.create_revision, kv.mod_revision, kv.version].map(|number| number.to_string().into());
        let lease = if kv.lease == 0 { Vec::from("-") } else { lease_id(kv.lease).into() };
        let all = [word(&kv.key)].into_iter().chain(numbers).chain([lease, text(&kv.value)]);
        all.take(columns.len()).collect()
    };
    Rows { columns, cells: found.kvs.iter().map(cells).collect() }
}

/// Sets a key.
pub fn set(session: &Session, format: Format, given: SetArgs) -> Result<(), Failure> {
    let value = if given.value == "-" { read_input()? } else { given.value.into_vec() };
    let precond = given.precond.map(OsString::into_vec);
    let revision = match given.lease {
        Some(lease) => {
            let put = PutRequest { lease, ..PutRequest::new(stored(session, given.key, false)?, value) };
            put_if(session, put, precond)
        }
        None => session.set(&given.key.into_vec(), &value, precond.as_deref(), given.ttl),
    };
    let document = json!({ "revision": revision.map_err(|error| Failure::of(session, error))? });
    if format == Format::Json { print_json(&document) } else { Ok(()) }
}

/// All of standard input.
pub fn read_input() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = io::stdin().read_to_end(&mut value);
    read.map_err(|error| Failure::new(Cause::Usage, format!("read standard input: {error}")))?;
    Ok(value)
}

/// Writes a key, if it has the value `precond`. Returns the new revision.
fn put_if(session: &Session, put: PutRequest, precond: Option<Vec<u8>>) -> etcd::Result<i64> {
    let operation = format!("set {}", quote(&put.key));
    let compares = precond.map(|value| Compare::value(&put.key[..], value)).into_iter().collect();
    let txn = TxnRequest { compares, then: vec![Op::Put(put)], otherwise: Vec::new() };
    let (revision, reply) = session.client().txn(txn).map_err(|error| error.during(&operation))?;
    if reply.succeeded {
        return Ok(revision);
    }
    let fault = "the key has another value than the given one, or none";
    Err(Error::new(ErrorKind::CompareFailed, fault).outcome_is(Outcome::Refused).during(operation))
}

/// Deletes a key, which must be there, or all of a range.
pub fn delete(session: &Session, format: Format, given: DeleteArgs) -> Result<(), Failure> {
    let key = given.key.unwrap_or_default();
    if given.prefix && key.is_empty() {
        let message = "delete --prefix: the prefix is empty, which means all keys; use delete --all for that";
        return Err(Failure::new(Cause::Usage, message));
    }
    if given.all || given.prefix {
        let prefix = if given.all { Vec::new() } else { stored(session, key, false)? };
        return delete_range(session, format, KeyRange::prefix(prefix));
    }
    let precond = given.precond.map(OsString::into_vec);
    let revision = session.delete(&key.into_vec(), precond.as_deref());
    let document =
        json!({ "deleted": 1, "revision": revision.map_err(|error| Failure::of(session, error))? });
    if format == Format::Json { print_json(&document) } else { Ok(()) }
}

fn delete_range(session: &Session, format: Format, range: KeyRange) -> Result<(), Failure> {
    let reply = session.client().delete_range(DeleteRequest::new(range));
    let (revision, gone) = reply.map_err(|error| Failure::of(session, error))?;
    match format {
        Format::Json => print_json(&json!({ "deleted": gone.deleted, "revision": revision })),
        _ => print(format!("{}\n", gone.deleted).as_bytes()),
    }
}

/// Prints the leader's name.
pub fn leader(session: &Session, format: Format) -> Result<(), Failure> {
    let name = session.leader().map_err(|error| Failure::of(session, error))?;
    match format {
        Format::Json => print_json(&json!({ "leader": name })),
        _ => print(format!("{name}\n").as_bytes()),
    }
}
