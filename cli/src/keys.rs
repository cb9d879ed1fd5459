//! get, set, delete, leader.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use etcd::classic::Session;
use etcd::model::quote;
use etcd::{Error, ErrorKind, Outcome};

use crate::failure::{Failure, print};

/// Prints the bare value, or the keys below, one a line.
pub fn get(session: &Session, key: OsString) -> Result<(), Failure> {
    let key = key.into_vec();
    let value = session.get(&key).and_then(|value| value.ok_or_else(|| missing(&key)));
    let mut value = value.map_err(|error| Failure::of(session, error))?;
    value.push(b'\n');
    print(&value)
}

fn missing(key: &[u8]) -> Error {
    let fault = "there is no such key, and none below it";
    Error::new(ErrorKind::KeyNotFound, fault)
        .outcome_is(Outcome::Refused)
        .during(format!("get {}", quote(key)))
}

pub fn set(
    session: &Session,
    key: OsString,
    value: OsString,
    precond: Option<OsString>,
    ttl: u32,
) -> Result<(), Failure> {
    let precond = precond.map(OsString::into_vec);
    let result = session.set(&key.into_vec(), &value.into_vec(), precond.as_deref(), ttl);
    result.map_err(|error| Failure::of(session, error))
}

pub fn delete(session: &Session, key: OsString, precond: Option<OsString>) -> Result<(), Failure> {
    let precond = precond.map(OsString::into_vec);
    let result = session.delete(&key.into_vec(), precond.as_deref());
    result.map_err(|error| Failure::of(session, error))
}

pub fn leader(session: &Session) -> Result<(), Failure> {
    let name = session.leader().map_err(|error| Failure::of(session, error))?;
    print(format!("{name}\n").as_bytes())
}
