//! What there is in a lock's queue, and what anybody may do about it who knows a place's token or value: the words of
//! people who look after a cluster, and of programs that keep a token instead of a hold.

use std::collections::BTreeMap;

use super::lock::{self, Place, is_named_like_place, is_place};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::*;
use crate::transport::Context;

/// One place in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its key, value, token (create_revision) and lease.
    pub kv: KeyValue,
    /// The seconds that its lease still lasts; -1: it is gone just now.
    pub ttl: i64,
}

/// Who holds the lock `name` (the first one), and who waits for it, in order; and at which revision.
///
/// # Errors
/// As [`Client::call`].
pub fn queue(client: &Client, context: &Context, name: &[u8]) -> Result<(i64, Vec<Queued>)> {
    let prefix = [name, b"/"].concat();
    let all = RangeRequest { sort_by: SortBy::Create, ..RangeRequest::new(KeyRange::prefix(&prefix[..])) };
    let (revision, found) = client.range_in(context, all)?;
    let places = found.kvs.into_iter().filter(|kv| is_place(&prefix, kv));
    let queue: Result<Vec<Queued>> = places.map(|kv| with_ttl(client, context, kv)).collect();
    Ok((revision, queue?))
}

fn with_ttl(client: &Client, context: &Context, kv: KeyValue) -> Result<Queued> {
    let ask = Request::LeaseTimeToLive { id: kv.lease, keys: false };
    let ttl = match client.call_in(context, &ask, Repeat::Harmless)?.body {
        Body::LeaseTimeToLive(lease) => lease.ttl,
        _ => -1,
    };
    Ok(Queued { kv, ttl })
}

/// How many keys are read in one request.
const AT_ONCE: usize = 100;

/// A lock's name, and its queue.
pub type Lock = (Vec<u8>, Vec<KeyValue>);

/// All locks and elections whose names start with `prefix`, by name, with their queues; and at which revision.
///
/// # Errors
/// As [`Client::call`].
pub fn locks(client: &Client, context: &Context, prefix: &[u8]) -> Result<(i64, Vec<Lock>)> {
    let all = RangeRequest { keys_only: true, ..RangeRequest::new(KeyRange::prefix(prefix)) };
    let (revision, found) = client.range_in(context, all)?;
    let named = |kv: &KeyValue| {
        let end = kv.key.iter().rposition(|&byte| byte == b'/').unwrap_or_default();
        end >= prefix.len().max(1) && is_named_like_place(&kv.key[..=end], &kv.key)
    };
    let named: Vec<KeyValue> = found.kvs.into_iter().filter(named).collect();
    let mut locks = BTreeMap::<Vec<u8>, Vec<KeyValue>>::new();
    for some in named.chunks(AT_ONCE) {
        // As they were then: what is data, and may be long, is not read.
        let exactly =
            |kv: &KeyValue| RangeRequest { revision, ..RangeRequest::new(KeyRange::key(&kv.key[..])) };
        let then = some.iter().map(|kv| Op::Range(exactly(kv))).collect();
        let request = Request::Txn(TxnRequest { then, ..TxnRequest::default() });
        let (_, reply) = client.txn_in(context, &request, Repeat::Harmless)?;
        for kv in reply.ranges().flatten().filter(|kv| kv.lease != 0) {
            let end = kv.key.iter().rposition(|&byte| byte == b'/').unwrap_or_default();
            locks.entry(kv.key[..end].to_vec()).or_default().push(kv);
        }
    }
    locks.values_mut().for_each(|queue| queue.sort_by_key(|kv| kv.create_revision));
    Ok((revision, locks.into_iter().collect()))
}

/// The leader of the election `name`: who holds the lock of that name.
///
/// # Errors
/// As [`Client::call`].
pub fn leader(client: &Client, context: &Context, name: &[u8]) -> Result<(i64, Option<KeyValue>)> {
    let prefix = [name, b"/"].concat();
    let all = RangeRequest { sort_by: SortBy::Create, ..RangeRequest::new(KeyRange::prefix(&prefix[..])) };
    let first = RangeRequest { limit: 1, ..all.clone() };
    let (revision, found) = client.range_in(context, first)?;
    match found.kvs.into_iter().next() {
        None => Ok((revision, None)),
        Some(kv) if is_place(&prefix, &kv) => Ok((revision, Some(kv))),
        // Something else came to life before it.
        Some(_) => {
            let (revision, found) = client.range_in(context, all)?;
            Ok((revision, found.kvs.into_iter().find(|kv| is_place(&prefix, kv))))
        }
    }
}

/// Which place in a lock's queue is meant: never by the lock's name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one with this token.
    Token(i64),
    /// The only one with this value, which is not empty.
    Value(Vec<u8>),
}

impl From<i64> for Which {
    fn from(token: i64) -> Self {
        Which::Token(token)
    }
}

/// One place, whoever took it.
///
/// # Errors
/// `NotHeld` when there is none; `InvalidArgument`, which names their tokens, when several have the value.
pub fn find(client: &Client, context: &Context, name: &[u8], which: impl Into<Which>) -> Result<KeyValue> {
    Ok(seen(client, context, name, &which.into())?.1)
}

/// The same with what is left of its TTL; and at which revision.
///
/// # Errors
/// As [`find`].
pub fn look_at(
    client: &Client,
    context: &Context,
    name: &[u8],
    which: impl Into<Which>,
) -> Result<(i64, Queued)> {
    let (revision, kv) = seen(client, context, name, &which.into())?;
    Ok((revision, with_ttl(client, context, kv)?))
}

fn seen(client: &Client, context: &Context, name: &[u8], which: &Which) -> Result<(i64, KeyValue)> {
    let prefix = [name, b"/"].concat();
    let all = RangeRequest { sort_by: SortBy::Create, ..RangeRequest::new(KeyRange::prefix(&prefix[..])) };
    let range = match which {
        // To a server these mean "whenever": some place would be found, and it would be somebody else's.
        Which::Token(..=0) => return Err(not_held(name, which)),
        Which::Token(token) => {
            RangeRequest { min_create_revision: *token, max_create_revision: *token, ..all }
        }
        Which::Value(value) if value.is_empty() => {
            return Err(Error::invalid("a place is known by its token, or by a value that is not empty"));
        }
        Which::Value(_) => all,
    };
    let (revision, found) = client.range_in(context, range)?;
    let meant = |kv: &KeyValue| match which {
        Which::Token(_) => is_place(&prefix, kv),
        Which::Value(value) => is_place(&prefix, kv) && kv.value == *value,
    };
    let mut places: Vec<KeyValue> = found.kvs.into_iter().filter(meant).collect();
    match places.len() {
        0 => Err(not_held(name, which)),
        1 => Ok((revision, places.remove(0))),
        _ => Err(ambiguous(name, &places)),
    }
}

/// Takes a place out of the queue, whoever made it: releases the lock if it is held by it. Tells at which revision.
///
/// # Errors
/// As [`find`].
pub fn break_lock(
    client: &Client,
    context: &Context,
    name: &[u8],
    which: impl Into<Which>,
) -> Result<(i64, KeyValue)> {
    let which = which.into();
    let place = find(client, context, name, which.clone())?;
    let revision = lock::take_out(client, context, &place.key, place.create_revision)?;
    Ok((revision.ok_or_else(|| not_held(name, &which))?, place))
}

/// Starts the TTL of a place anew, whoever made it, and tells it.
///
/// # Errors
/// As [`find`].
pub fn renew(client: &Client, context: &Context, name: &[u8], which: impl Into<Which>) -> Result<Place> {
    let which = which.into();
    let place = find(client, context, name, which.clone())?;
    let lease = client.keep_alive_in(context, place.lease)?.ok_or_else(|| not_held(name, &which))?;
    Ok(Place { name: name.into(), key: place.key, token: place.create_revision, lease })
}

fn not_held(name: &[u8], which: &Which) -> Error {
    let which = match which {
        Which::Token(token) => format!("token {token}"),
        Which::Value(value) => format!("value {}", quote(value)),
    };
    let fault = format!("nobody holds or awaits {} with {which}", quote(name));
    Error::new(ErrorKind::NotHeld, fault).outcome_is(Outcome::Refused)
}

fn ambiguous(name: &[u8], places: &[KeyValue]) -> Error {
    let tokens: Vec<String> = places.iter().map(|kv| kv.create_revision.to_string()).collect();
    let fault = format!(
        "{} places in the queue of {} have the value {}: those with the tokens {}",
        places.len(),
        quote(name),
        quote(&places[0].value),
        tokens.join(", ")
    );
    Error::invalid(fault).outcome_is(Outcome::Refused).advise("name one by its token")
}
