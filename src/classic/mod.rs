//! What the eleven functions of 2013 mean on today's etcd, in Rust terms. The C functions translate to this,
//! the command-line tool uses it directly.

mod lock;
mod watch;

use std::collections::BTreeSet;

pub use self::watch::Change;
use self::watch::Cursors;
use crate::client::{Client, lease};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::options::Options;

/// A longer key is not looked at when it changes, since a request that names it more than once may be over
/// the server's limit. A lease that it had is left to its TTL.
const LONG_KEY: usize = 64 << 10;

/// A session: a client, and the places where its watch loops are.
pub struct Session {
    client: Client,
    cursors: Cursors,
}

impl Session {
    /// Opens a session. Nothing is contacted yet.
    ///
    /// # Errors
    /// `InvalidArgument` when the options' endpoint list can't be right.
    pub fn open(options: Options) -> Result<Self> {
        Ok(Session { client: Client::open(options)?, cursors: Cursors::default() })
    }

    /// Ends all waits of this session, in all threads.
    pub fn close(&self) {
        self.client.close();
    }

    /// The client under it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The value of `key`; when it has none, the full keys of its immediate children, joined by newlines.
    /// `None` when there is neither.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let key = self.key(key)?;
        self.value_or_children(&key).map_err(|error| error.during(format!("read {}", quote(&key))))
    }

    fn value_or_children(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        // Both reads share one deadline.
        let context = self.client.context();
        let (_, mut found) = self.client.range_in(&context, RangeRequest::new(KeyRange::key(key)))?;
        if let Some(kv) = found.kvs.pop() {
            return Ok(Some(kv.value));
        }
        let below = below(key);
        let children = RangeRequest { keys_only: true, ..RangeRequest::new(KeyRange::prefix(&below[..])) };
        let (_, found) = self.client.range_in(&context, children)?;
        let children: BTreeSet<&[u8]> = found.kvs.iter().filter_map(|kv| child(&below, &kv.key)).collect();
        let children: Vec<&[u8]> = children.into_iter().collect();
        Ok((!children.is_empty()).then(|| children.join(&b'\n')))
    }

    /// Sets a key, and tells at which revision. `ttl` in seconds, 0 for none; `precond` is the value it must have.
    ///
    /// # Errors
    /// `KeyNotFound` when the key must have a value and does not exist, `CompareFailed` when it has another one.
    pub fn set(&self, key: &[u8], value: &[u8], precond: Option<&[u8]>, ttl: u32) -> Result<i64> {
        let key = self.key(key)?;
        let result = self.grant_for_key(&key, ttl).and_then(|lease| {
            let put = PutRequest { lease, ..PutRequest::new(key.clone(), value) };
            let changed = self.change(&key, precond, Op::Put(put));
            if changed.as_ref().is_err_and(|error| error.outcome() != Outcome::Unknown) {
                // Nothing hangs on it. (After an unknown outcome something may: then it ends by itself.)
                self.end_lease_of_key(&key, lease);
            }
            changed
        });
        let revision = result.map(|(revision, _)| revision);
        revision.map_err(|error| error.during(format!("set {}", quote(&key))))
    }

    /// Deletes a key, and tells at which revision; with `precond`, only if that is its value.
    ///
    /// # Errors
    /// `KeyNotFound` when there is no such key, `CompareFailed` when it has another value.
    pub fn delete(&self, key: &[u8], precond: Option<&[u8]>) -> Result<i64> {
        let key = self.key(key)?;
        let delete = DeleteRequest::new(KeyRange::key(&key[..]));
        let deleted = self.change(&key, precond, Op::Delete(delete));
        let deleted = deleted.and_then(|(revision, before)| before.map(|_| revision).ok_or(missing(&key)));
        deleted.map_err(|error| error.during(format!("delete {}", quote(&key))))
    }

    /// Does `op` to a key, if it has the value `precond`. Tells at which revision, and what was there before. A
    /// lease that served this key alone ends with what it served.
    fn change(&self, key: &[u8], precond: Option<&[u8]>, op: Op) -> Result<(i64, Option<KeyValue>)> {
        let look = Op::Range(RangeRequest::attributes(key));
        let then = if key.len() > LONG_KEY { vec![op] } else { vec![look.clone(), op] };
        let (revision, reply) = self.client.txn(TxnRequest {
            compares: precond.map(|value| Compare::value(key, value)).into_iter().collect(),
            then,
            otherwise: precond.map(|_| look).into_iter().collect(),
        })?;
        let before = match reply.replies.into_iter().next() {
            Some(OpReply::Range(mut found)) => found.kvs.pop(),
            Some(OpReply::Delete(DeleteReply { deleted: 1.., .. })) => Some(KeyValue::default()),
            _ => None,
        };
        match before {
            None if !reply.succeeded => Err(missing(key)),
            Some(_) if !reply.succeeded => {
                let fault = "the key has another value than the given one";
                Err(Error::new(ErrorKind::CompareFailed, fault).outcome_is(Outcome::Refused))
            }
            before => {
                self.end_lease_of_key(key, before.as_ref().map_or(0, |kv| kv.lease));
                Ok((revision, before))
            }
        }
    }

    /// A lease for one key with a TTL; 0 without one.
    fn grant_for_key(&self, key: &[u8], ttl: u32) -> Result<i64> {
        if ttl == 0 {
            return Ok(0);
        }
        let id = lease::id_serving(key, KEY_BITS);
        Ok(self.client.grant_in(&self.client.context(), id, ttl.into())?.id)
    }

    /// Ends a lease that `set` granted for this key alone. Others are their owners' business.
    fn end_lease_of_key(&self, key: &[u8], lease: i64) {
        if lease::is_serving(lease, key, KEY_BITS) {
            // Nothing hangs on it any more: without an answer it ends by itself.
            let _ = self.client.revoke(lease);
        }
    }

    /// The name of the cluster's leader.
    ///
    /// # Errors
    /// `Unavailable` while the cluster has none.
    pub fn leader(&self) -> Result<String> {
        let none = || Error::new(ErrorKind::Unavailable, "the cluster has no leader at the moment");
        self.client.leader()?.ok_or_else(|| none().outcome_is(Outcome::Refused).during("find the leader"))
    }

    /// The key as it is stored.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty one.
    pub fn key(&self, key: &[u8]) -> Result<Vec<u8>> {
        if key.is_empty() {
            return Err(Error::invalid("the key is empty"));
        }
        let as_path = self.client.options().path_keys && !key.starts_with(b"/");
        Ok(if as_path { [b"/", key].concat() } else { key.into() })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// So much of a lease's id says for which key `set` granted it.
const KEY_BITS: u32 = 40;

/// The error for a key that is not there.
fn missing(key: &[u8]) -> Error {
    let fault = format!("there is no key {}", quote(key));
    Error::new(ErrorKind::KeyNotFound, fault).outcome_is(Outcome::Refused)
}

/// What all keys below `key` start with. A key that ends with a slash is its own directory.
pub fn below(key: &[u8]) -> Vec<u8> {
    if key.ends_with(b"/") { key.into() } else { [key, b"/"].concat() }
}

/// The immediate child below `directory` on the way to `key`, as a full key; one without a name is none.
fn child<'a>(directory: &[u8], key: &'a [u8]) -> Option<&'a [u8]> {
    let rest = key.strip_prefix(directory)?;
    let name = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    (name > 0).then(|| &key[..directory.len() + name])
}
