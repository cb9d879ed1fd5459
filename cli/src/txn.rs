//! txn: a transaction from a file in etcdctl's format.

mod parse;
mod words;

use std::fs;
use std::path::PathBuf;

use etcd::classic::Session;
use etcd::model::{KeyValue, Op, OpReply, TxnReply, TxnRequest};
use serde_json::{Value, json};

use crate::failure::{Cause, Failure};
use crate::keys::{range_lines, range_object, read_input};
use crate::output::{Format, key_line, key_object, print, print_json};

/// Runs the transaction and prints what came of it.
pub fn txn(session: &Session, format: Format, file: Option<PathBuf>) -> Result<(), Failure> {
    let (name, text) = read(file)?;
    let request =
        parse::transaction(&text).map_err(|fault| Failure::new(Cause::Usage, format!("{name}:{fault}")))?;
    let (revision, reply) =
        session.client().txn(request.clone()).map_err(|error| Failure::of(session, error))?;
    if format == Format::Json {
        let responses: Vec<Value> = done(&request, &reply).map(object).collect();
        let document = json!({ "revision": revision, "succeeded": reply.succeeded, "responses": responses });
        return print_json(&document);
    }
    let mut output = Vec::from(if reply.succeeded { "success\n" } else { "failure\n" });
    for operation in done(&request, &reply) {
        output.push(b'\n');
        output.extend(lines(operation));
    }
    print(&output)
}

/// The text, and the name of where it was.
fn read(file: Option<PathBuf>) -> Result<(String, Vec<u8>), Failure> {
    let Some(file) = file.filter(|file| file.as_os_str() != "-") else {
        return Ok(("standard input".into(), read_input()?));
    };
    let name = file.display().to_string();
    match fs::read(file) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Failure::new(Cause::Usage, format!("read {name}: {error}"))),
    }
}

/// The operations that were done, with their replies.
fn done<'a>(request: &'a TxnRequest, reply: &'a TxnReply) -> impl Iterator<Item = (&'a Op, &'a OpReply)> {
    let branch = if reply.succeeded { &request.then } else { &request.otherwise };
    branch.iter().zip(&reply.replies)
}

fn lines((op, reply): (&Op, &OpReply)) -> Vec<u8> {
    let all = |kvs: &[KeyValue]| kvs.iter().flat_map(|kv| key_line(kv, true)).collect::<Vec<u8>>();
    match (op, reply) {
        (Op::Range(request), OpReply::Range(found)) => range_lines(request, found),
        (_, OpReply::Put(prev_kv)) => [b"ok\n", &all(prev_kv.as_slice())[..]].concat(),
        (_, OpReply::Delete(gone)) => {
            [format!("{}\n", gone.deleted).as_bytes(), &all(&gone.prev_kvs)].concat()
        }
        // No text asks for a transaction within.
        _ => Vec::new(),
    }
}

fn object((op, reply): (&Op, &OpReply)) -> Value {
    let all = |kvs: &[KeyValue]| kvs.iter().map(|kv| key_object(kv, true)).collect::<Vec<Value>>();
    match (op, reply) {
        (Op::Range(request), OpReply::Range(found)) => {
            json!({ "response_range": range_object(request, found) })
        }
        (_, OpReply::Put(Some(kv))) => json!({ "response_put": { "prev_kv": key_object(kv, true) } }),
        (_, OpReply::Put(None)) => json!({ "response_put": {} }),
        (Op::Delete(request), OpReply::Delete(gone)) if request.prev_kv => {
            json!({ "response_delete_range": { "deleted": gone.deleted, "prev_kvs": all(&gone.prev_kvs) } })
        }
        (_, OpReply::Delete(gone)) => json!({ "response_delete_range": { "deleted": gone.deleted } }),
        _ => Value::Null,
    }
}
