//! What the eleven functions of 2013 mean on today's etcd, in Rust terms. The C functions translate to this,
//! the command-line tool uses it directly.

mod lock;
mod watch;

use std::collections::BTreeSet;

pub use self::watch::Change;
use self::watch::Cursors;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::options::Options;

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
        if let Some(kv) = self.client.get(key)? {
            return Ok(Some(kv.value));
        }
        let below = below(key);
        let children = RangeRequest { keys_only: true, ..RangeRequest::new(KeyRange::prefix(&below[..])) };
        let (_, found) = self.client.range(children)?;
        let children: BTreeSet<&[u8]> = found.kvs.iter().filter_map(|kv| child(&below, &kv.key)).collect();
        let children: Vec<&[u8]> = children.into_iter().collect();
        Ok((!children.is_empty()).then(|| children.join(&b'\n')))
    }

    /// Sets a key. `ttl` in seconds, 0 for none; `precond` is the value it must have.
    ///
    /// # Errors
    /// `CompareFailed` when the key does not exist or has another value than `precond`.
    pub fn set(&self, key: &[u8], value: &[u8], precond: Option<&[u8]>, ttl: u32) -> Result<()> {
        let key = self.key(key)?;
        let lease = if ttl > 0 { self.client.grant(ttl.into())?.id } else { 0 };
        let put = PutRequest { key: key.clone(), value: value.into(), lease };
        let result = match precond {
            None => self.client.call(&Request::Put(put)).map(|_| ()),
            Some(precond) => self.only_if(&key, precond, Op::Put(put)),
        };
        result.map_err(|error| {
            if lease != 0 && error.outcome() != Outcome::Unknown {
                // Nothing hangs on it. (After an unknown outcome something may: then it ends by itself.)
                let _ = self.client.revoke(lease);
            }
            error.during(format!("set {}", quote(&key)))
        })
    }

    /// Deletes a key; with `precond`, only if that is its value.
    ///
    /// # Errors
    /// `CompareFailed` when there is no such key, or it has another value.
    pub fn delete(&self, key: &[u8], precond: Option<&[u8]>) -> Result<()> {
        let key = self.key(key)?;
        let range = KeyRange::key(&key[..]);
        let result = match precond {
            Some(precond) => self.only_if(&key, precond, Op::Delete(DeleteRequest { range })),
            None => match self.client.delete(range) {
                Ok(0) => Err(missing(&key)),
                deleted => deleted.map(|_| ()),
            },
        };
        result.map_err(|error| error.during(format!("delete {}", quote(&key))))
    }

    /// The name of the cluster's leader.
    ///
    /// # Errors
    /// `Unavailable` while the cluster has none.
    pub fn leader(&self) -> Result<String> {
        let none = || Error::new(ErrorKind::Unavailable, "the cluster has no leader at the moment");
        self.client.leader()?.ok_or_else(|| none().outcome_is(Outcome::Refused).during("find the leader"))
    }

    fn only_if(&self, key: &[u8], value: &[u8], op: Op) -> Result<()> {
        let (_, reply) = self.client.txn(TxnRequest {
            compares: vec![Compare::value(key, value)],
            then: vec![op],
            otherwise: vec![Op::Range(RangeRequest::new(KeyRange::key(key)))],
        })?;
        if reply.succeeded {
            return Ok(());
        }
        let there = matches!(&reply.replies[..], [OpReply::Range(found)] if !found.kvs.is_empty());
        if !there {
            return Err(missing(key));
        }
        let fault = "the key has another value than the given one";
        Err(Error::new(ErrorKind::CompareFailed, fault).outcome_is(Outcome::Refused))
    }

    /// The key as it is stored.
    fn key(&self, key: &[u8]) -> Result<Vec<u8>> {
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

/// The error for a key that is not there.
fn missing(key: &[u8]) -> Error {
    let fault = format!("there is no key {}", quote(key));
    Error::new(ErrorKind::KeyNotFound, fault).outcome_is(Outcome::Refused)
}

/// What all keys below `key` start with. A key that ends with a slash is its own directory.
fn below(key: &[u8]) -> Vec<u8> {
    if key.ends_with(b"/") { key.into() } else { [key, b"/"].concat() }
}

/// The immediate child below `directory` on the way to `key`, as a full key; one without a name is none.
fn child<'a>(directory: &[u8], key: &'a [u8]) -> Option<&'a [u8]> {
    let rest = key.strip_prefix(directory)?;
    let name = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    (name > 0).then(|| &key[..directory.len() + name])
}
