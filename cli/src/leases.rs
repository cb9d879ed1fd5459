//! lease grant, revoke, keep-alive, ttl, list.

use std::thread;
use std::time::Duration;

use etcd::classic::Session;
use etcd::client::retry;
use etcd::model::Request;
use etcd::{Error, ErrorKind, Outcome};
use serde_json::{Value, json};

use crate::args::LeaseCommand;
use crate::failure::Failure;
use crate::output::{Format, Rows, bytes_object, key, lease_id, print, print_json, word};

/// How long to wait before a keep-alive that was not answered is sent again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs one of the commands.
pub fn lease(session: &Session, format: Format, command: LeaseCommand) -> Result<(), Failure> {
    let client = session.client();
    match command {
        LeaseCommand::Grant { seconds } => {
            let lease = client.grant(seconds).map_err(|error| Failure::of(session, error))?;
            print_lease(format, lease.id, lease.ttl, &lease_id(lease.id))
        }
        LeaseCommand::Revoke { id } => {
            // Not Client::revoke, which takes a lease that is gone, or was never there, for done.
            let reply = client.call(&Request::LeaseRevoke { id });
            let reply = reply.map_err(|error| Failure::of(session, error))?;
            let document = json!({ "revision": reply.header.revision });
            if format == Format::Json { print_json(&document) } else { Ok(()) }
        }
        LeaseCommand::KeepAlive { once, id } => keep_alive(session, format, id, once),
        LeaseCommand::Ttl { keys, id } => ttl(session, format, id, keys),
        LeaseCommand::List => list(session, format),
    }
}

fn print_lease(format: Format, id: i64, ttl: i64, plain: &str) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(&json!({ "lease": lease_id(id), "ttl": ttl })),
        _ => print(format!("{plain}\n").as_bytes()),
    }
}

/// Starts the TTL anew, at each third of it. An outage, in which leases may well live on, does not end that.
fn keep_alive(session: &Session, format: Format, id: i64, once: bool) -> Result<(), Failure> {
    let mut known = false;
    loop {
        let pause = match session.client().keep_alive(id) {
            Ok(Some(lease)) => {
                known = true;
                print_lease(format, id, lease.ttl, &lease.ttl.to_string())?;
                Duration::from_secs(lease.ttl.unsigned_abs()) / 3
            }
            Ok(None) => return Err(Failure::of(session, gone(&Request::LeaseKeepAlive { id }))),
            Err(error) if known && retry::may_pass(&error) => PAUSE,
            Err(error) => return Err(Failure::of(session, error)),
        };
        if once {
            return Ok(());
        }
        thread::sleep(pause);
    }
}

fn gone(request: &Request) -> Error {
    let fault = "there is no such lease: it was revoked, its TTL is over, or it was never granted";
    Error::new(ErrorKind::LeaseNotFound, fault).outcome_is(Outcome::Refused).during(request.describe())
}

fn ttl(session: &Session, format: Format, id: i64, keys: bool) -> Result<(), Failure> {
    let found = session.client().time_to_live(id, keys);
    let found = found.and_then(|found| found.ok_or_else(|| gone(&Request::LeaseTimeToLive { id, keys })));
    let lease = found.map_err(|error| Failure::of(session, error))?;
    let words = |paint: fn(&[u8]) -> Vec<u8>| lease.keys.iter().map(|key| paint(key)).collect::<Vec<_>>();
    match format {
        Format::Json => {
            let mut document =
                json!({ "lease": lease_id(id), "ttl": lease.ttl, "granted_ttl": lease.granted_ttl });
            if keys {
                let object = |key: &Vec<u8>| Value::Object(bytes_object("key", key));
                document["keys"] = lease.keys.iter().map(object).collect();
            }
            print_json(&document)
        }
        Format::Plain => {
            let lines = [vec![lease.ttl.to_string().into_bytes()], words(key)].concat();
            print(&[&lines.join(&b'\n')[..], b"\n"].concat())
        }
        Format::Table => {
            let numbers = [lease.ttl, lease.granted_ttl].map(|seconds| seconds.to_string().into());
            let [ttl, granted_ttl] = numbers;
            let row = vec![lease_id(id).into(), ttl, granted_ttl, words(word).join(&b' ')];
            Rows { columns: &["LEASE", "TTL", "GRANTED_TTL", "KEYS"], cells: vec![row] }.print(format)
        }
    }
}

fn list(session: &Session, format: Format) -> Result<(), Failure> {
    let ids = session.client().leases().map_err(|error| Failure::of(session, error))?;
    let ids: Vec<String> = ids.into_iter().map(lease_id).collect();
    match format {
        Format::Json => print_json(&json!({ "leases": ids })),
        _ => {
            let cells = ids.into_iter().map(|id| vec![id.into()]).collect();
            Rows { columns: &["LEASE"], cells }.print(format)
        }
    }
}
