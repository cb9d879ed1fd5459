//! locks ls, show, find, renew, break: what there is in the queues of locks and elections, and putting an end to it.

use std::os::unix::ffi::OsStringExt;

use etcd::classic::Session;
use etcd::recipes::inspect::{self, Queued, Which};
use serde_json::{Value, json};

use crate::args::{LocksCommand, PlaceArgs};
use crate::failure::Failure;
use crate::keys::stored;
use crate::output::{Format, Rows, bytes_object, key, key_object, lease_id, print, print_json, text};

/// Runs one of the commands.
pub fn locks(session: &Session, format: Format, command: LocksCommand) -> Result<(), Failure> {
    let client = session.client();
    match command {
        LocksCommand::Ls { prefix } => list(session, format, &prefix.unwrap_or_default().into_vec()),
        LocksCommand::Show { name } => show(session, format, &stored(session, name, false)?),
        LocksCommand::Find(given) => {
            let (name, which) = place(session, given)?;
            let found = inspect::look_at(client, &client.context(), &name, which);
            let (_, place) = found.map_err(|error| Failure::of(session, error))?;
            match format {
                Format::Json => print_json(&object(&place)),
                _ => print(&line(&place)),
            }
        }
        LocksCommand::Renew(given) => {
            let (name, which) = place(session, given)?;
            let renewed = inspect::renew(client, &client.context(), &name, which);
            let place = renewed.map_err(|error| Failure::of(session, error))?;
            match format {
                Format::Json => print_json(&json!({ "token": place.token, "ttl": place.lease.ttl })),
                _ => Ok(()),
            }
        }
        LocksCommand::Break(given) => {
            let (name, which) = place(session, given)?;
            let broken = inspect::break_lock(client, &client.context(), &name, which);
            let (_, kv) = broken.map_err(|error| Failure::of(session, error))?;
            if format == Format::Json { print_json(&key_object(&kv, true)) } else { Ok(()) }
        }
    }
}

/// The lock's name as it is in etcd, and which place in its queue is meant.
fn place(session: &Session, given: PlaceArgs) -> Result<(Vec<u8>, Which), Failure> {
    let name = stored(session, given.name, false)?;
    let by_value = || Which::Value(given.value.unwrap_or_default().into_vec());
    Ok((name, given.token.map_or_else(by_value, Which::Token)))
}

/// `TOKEN LEASE TTL VALUE`.
fn line(place: &Queued) -> Vec<u8> {
    [words(place).join(&b' '), b"\n".to_vec()].concat()
}

fn words(Queued { kv, ttl }: &Queued) -> Vec<Vec<u8>> {
    let numbers = [kv.create_revision.to_string(), lease_id(kv.lease), ttl.to_string()];
    numbers.into_iter().map(String::into_bytes).chain([text(&kv.value)]).collect()
}

fn object(place: &Queued) -> Value {
    let mut object = key_object(&place.kv, true);
    object["ttl"] = json!(place.ttl);
    object
}

fn list(session: &Session, format: Format, prefix: &[u8]) -> Result<(), Failure> {
    let client = session.client();
    let (revision, locks) =
        inspect::locks(client, &client.context(), prefix).map_err(|error| Failure::of(session, error))?;
    if format == Format::Json {
        let object = |(name, queue): (Vec<u8>, Vec<_>)| {
            let mut object = bytes_object("name", &name);
            object.insert("holder".into(), key_object(&queue[0], true));
            object.insert("waiters".into(), json!(queue.len() - 1));
            Value::Object(object)
        };
        let locks: Vec<Value> = locks.into_iter().map(object).collect();
        return print_json(&json!({ "revision": revision, "locks": locks }));
    }
    let row = |(name, queue): (Vec<u8>, Vec<etcd::model::KeyValue>)| {
        let numbers = [queue[0].create_revision.to_string(), (queue.len() - 1).to_string()];
        let [token, waiters] = numbers.map(String::into_bytes);
        vec![key(&name), token, waiters, text(&queue[0].value)]
    };
    let cells = locks.into_iter().map(row).collect();
    Rows { columns: &["NAME", "TOKEN", "WAITERS", "VALUE"], cells }.print(format)
}

fn show(session: &Session, format: Format, name: &[u8]) -> Result<(), Failure> {
    let client = session.client();
    let (revision, queue) =
        inspect::queue(client, &client.context(), name).map_err(|error| Failure::of(session, error))?;
    if format == Format::Json {
        let places: Vec<Value> = queue.iter().map(object).collect();
        return print_json(&json!({ "revision": revision, "places": places }));
    }
    let row = |(at, place): (usize, Queued)| {
        let at = if at == 0 { "holder".to_owned() } else { at.to_string() };
        [at.into_bytes()].into_iter().chain(words(&place)).collect()
    };
    let cells = queue.into_iter().enumerate().map(row).collect();
    Rows { columns: &["PLACE", "TOKEN", "LEASE", "TTL", "VALUE"], cells }.print(format)
}
