//! What there is in a lock's queue, and what anybody may do about it who knows a place's token: the words of people who
//! look after a cluster, and of programs that keep a token instead of a hold.

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
    let mut queue = Vec::new();
    for kv in found.kvs.into_iter().filter(|kv| is_place(&prefix, kv)) {
        let ask = Request::LeaseTimeToLive { id: kv.lease, keys: false };
        let ttl = match client.call_in(context, &ask, Repeat::Harmless)?.body {
            Body::LeaseTimeToLive(lease) => lease.ttl,
            _ => -1,
        };
        queue.push(Queued { kv, ttl });
    }
    Ok((revision, queue))
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
        let found = reply.replies.into_iter().flat_map(|reply| match reply {
            OpReply::Range(range) => range.kvs,
            _ => Vec::new(),
        });
        for kv in found.filter(|kv| kv.lease != 0) {
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

/// The place with this token.
///
/// # Errors
/// `NotHeld` when there is none.
pub fn find(client: &Client, context: &Context, name: &[u8], token: i64) -> Result<KeyValue> {
    lock::find(client, context, name, token)?.ok_or_else(|| not_held(name, token))
}

/// Takes the place with this token out of the queue, whoever made it: releases the lock if it is held by it. Tells at
/// which revision.
///
/// # Errors
/// `NotHeld` when there is none.
pub fn break_lock(client: &Client, context: &Context, name: &[u8], token: i64) -> Result<(i64, KeyValue)> {
    let place = find(client, context, name, token)?;
    let revision = lock::take_out(client, context, &place.key, token)?;
    Ok((revision.ok_or_else(|| not_held(name, token))?, place))
}

/// Starts the TTL of the place with this token anew, whoever made it, and tells it.
///
/// # Errors
/// `NotHeld` when there is none.
pub fn renew(client: &Client, context: &Context, name: &[u8], token: i64) -> Result<Place> {
    let place = find(client, context, name, token)?;
    let lease = client.keep_alive_in(context, place.lease)?.ok_or_else(|| not_held(name, token))?;
    Ok(Place { name: name.into(), key: place.key, token, lease })
}

fn not_held(name: &[u8], token: i64) -> Error {
    let fault = format!("nobody holds or awaits {} with token {token}", quote(name));
    Error::new(ErrorKind::NotHeld, fault).outcome_is(Outcome::Refused)
}
