//! Replies: what was answered, as values. Their comments are the header's.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use std::ptr;

use libc::c_int;

use super::handle::{self, Boxed, Value};
use super::request::{ETCD_FIELD_LEASE, ETCD_FIELD_TTL};
use super::status::{etcd_status, run_plain, status_of};
use crate::client::Answer;
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;

/// Of every reply: the id of the cluster that answered, all 64 bits of it.
pub const ETCD_FIELD_CLUSTER: i32 = 100;
/// The id of the member that answered, or that the reply is about, all 64 bits of it.
pub const ETCD_FIELD_MEMBER: i32 = 101;
/// The number of the leader's term.
pub const ETCD_FIELD_RAFT_TERM: i32 = 102;
/// The seconds that a lease was granted for.
pub const ETCD_FIELD_GRANTED_TTL: i32 = 103;
/// A hash of all keys.
pub const ETCD_FIELD_HASH: i32 = 104;
/// From which revision on history counts.
pub const ETCD_FIELD_COMPACT_REVISION: i32 = 105;
/// The id of the leader, all 64 bits of it; 0: there is none.
pub const ETCD_FIELD_LEADER: i32 = 106;
/// Bytes of the member's database.
pub const ETCD_FIELD_DB_SIZE: i32 = 107;
/// Bytes of it that hold data; 0 where the server does not say.
pub const ETCD_FIELD_DB_SIZE_IN_USE: i32 = 108;
/// The last entry of the member's log.
pub const ETCD_FIELD_RAFT_INDEX: i32 = 109;
/// The last entry that it has applied; 0 where the server does not say.
pub const ETCD_FIELD_RAFT_APPLIED_INDEX: i32 = 110;
/// It has no vote yet: 1 or 0.
pub const ETCD_FIELD_IS_LEARNER: i32 = 111;
/// Of an endpoint: whether it answered: ETCD_OK or ETCD_ERR_*.
pub const ETCD_FIELD_STATUS: i32 = 112;
/// ETCD_ALARM_NO_SPACE or ETCD_ALARM_CORRUPT.
pub const ETCD_FIELD_ALARM: i32 = 113;

/// A member's name. Bytes, as all that follow; UTF-8 without a NUL behind it.
pub const ETCD_FIELD_NAME: i32 = 130;
/// Where other members reach a member; several are separated by a newline.
pub const ETCD_FIELD_PEER_URLS: i32 = 131;
/// Where clients reach a member; several are separated by a newline.
pub const ETCD_FIELD_CLIENT_URLS: i32 = 132;
/// A server's version.
pub const ETCD_FIELD_VERSION: i32 = 133;
/// What is wrong with a member; several faults are separated by a newline.
pub const ETCD_FIELD_ERRORS: i32 = 134;
/// An endpoint, as the list has it.
pub const ETCD_FIELD_ENDPOINT: i32 = 135;
/// Why an endpoint did not answer.
pub const ETCD_FIELD_MESSAGE: i32 = 136;
/// A token; a secret.
pub const ETCD_FIELD_TOKEN: i32 = 137;

/// A key in a reply to a get.
pub const ETCD_KV_KEY: u32 = 0;
/// A key that was written.
pub const ETCD_KV_PUT: u32 = 1;
/// A key that was deleted: only its name and mod_revision, the revision of the deletion, are set.
pub const ETCD_KV_DELETE: u32 = 2;
/// What was there before.
pub const ETCD_KV_PREVIOUS: u32 = 3;

/// A key, its value and its history. key and value are no strings: they end with their lengths, and live as
/// long as the reply or event that they came from.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etcd_kv {
    /// The key's bytes.
    pub key: *const u8,
    /// How many.
    pub key_len: usize,
    /// The value's bytes.
    pub value: *const u8,
    /// How many.
    pub value_len: usize,
    /// The revision at which the key came to life.
    pub create_revision: i64,
    /// The revision of its last change.
    pub mod_revision: i64,
    /// How many times it was put since it came to life.
    pub version: i64,
    /// The lease it is attached to; 0: none.
    pub lease: i64,
    /// ETCD_KV_*.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
}

/// What was answered. It owns its memory and never changes: any number of threads may read it at once, also
/// after everything else was freed.
pub struct etcd_reply {
    _private: [u8; 0],
}

/// A reply in C's hands.
#[derive(Default)]
pub(crate) struct ReplyValue {
    pub revision: i64,
    /// Who answered, if this is not a part of an answer.
    header: Option<Header>,
    keys: Keys,
    /// What was there before, where there are no keys beside it: of a put or deletion.
    pub previous: Vec<KeyValue>,
    pub count: i64,
    pub more: bool,
    pub succeeded: bool,
    numbers: Vec<(i32, i64)>,
    texts: Vec<(i32, Vec<u8>)>,
    pub children: Vec<Boxed<ReplyValue>>,
}

/// The keys, or the changes.
#[derive(Default)]
enum Keys {
    #[default]
    None,
    Found(Vec<KeyValue>),
    Changed(Vec<Event>),
}

impl Keys {
    fn len(&self) -> usize {
        match self {
            Keys::None => 0,
            Keys::Found(kvs) => kvs.len(),
            Keys::Changed(events) => events.len(),
        }
    }

    /// What it is, the key, and what was there before.
    fn at(&self, i: usize) -> Option<(u32, &KeyValue, Option<&KeyValue>)> {
        match self {
            Keys::None => None,
            Keys::Found(kvs) => kvs.get(i).map(|kv| (ETCD_KV_KEY, kv, None)),
            Keys::Changed(events) => events.get(i).map(|event| {
                let kind = if event.kind == EventKind::Put { ETCD_KV_PUT } else { ETCD_KV_DELETE };
                (kind, &event.kv, event.prev_kv.as_ref())
            }),
        }
    }
}

impl Value for ReplyValue {
    type C = etcd_reply;
    const KIND: u64 = 0x6574_6364_0000_0003;
    const NAME: &'static str = "reply";
}

impl From<WatchBatch> for ReplyValue {
    fn from(batch: WatchBatch) -> Self {
        let last = batch.events.last().map_or(batch.revision, |event| event.kv.mod_revision);
        let count = batch.events.len() as i64;
        ReplyValue { revision: last, count, keys: Keys::Changed(batch.events), ..ReplyValue::default() }
    }
}

impl From<Answer> for ReplyValue {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Reply(reply) => reply.into(),
            Answer::PutFor(reply, lease) => {
                let mut value = ReplyValue::from(reply);
                value.numbers.push((ETCD_FIELD_LEASE, lease));
                value
            }
            Answer::Statuses(statuses) => ReplyValue::parent(0, statuses.into_iter().map(of_status)),
            Answer::Endpoints(endpoints) => {
                let child = |endpoint: String| ReplyValue {
                    texts: vec![(ETCD_FIELD_ENDPOINT, endpoint.into())],
                    ..ReplyValue::default()
                };
                ReplyValue::parent(0, endpoints.into_iter().map(child))
            }
        }
    }
}

impl From<Reply> for ReplyValue {
    fn from(Reply { header, body }: Reply) -> Self {
        ReplyValue { revision: header.revision, header: Some(header), ..of_body(body) }
    }
}

fn of_body(body: Body) -> ReplyValue {
    let numbers = |numbers: &[(i32, i64)]| ReplyValue { numbers: numbers.to_vec(), ..ReplyValue::default() };
    match body {
        Body::Range(range) => of_op(OpReply::Range(range)),
        Body::Put(prev_kv) => of_op(OpReply::Put(prev_kv)),
        Body::Delete(delete) => of_op(OpReply::Delete(delete)),
        Body::Txn(txn) => of_op(OpReply::Txn(txn)),
        Body::Compact | Body::LeaseRevoke => ReplyValue::default(),
        Body::HashKv { hash, compact_revision } => {
            numbers(&[(ETCD_FIELD_HASH, hash.into()), (ETCD_FIELD_COMPACT_REVISION, compact_revision)])
        }
        Body::Lease { id, ttl } => numbers(&[(ETCD_FIELD_LEASE, id), (ETCD_FIELD_TTL, ttl)]),
        Body::LeaseTimeToLive(lease) => {
            let kv = |key| KeyValue { key, ..KeyValue::default() };
            ReplyValue {
                count: lease.keys.len() as i64,
                keys: Keys::Found(lease.keys.into_iter().map(kv).collect()),
                ..numbers(&[(ETCD_FIELD_TTL, lease.ttl), (ETCD_FIELD_GRANTED_TTL, lease.granted_ttl)])
            }
        }
        Body::Leases(ids) => {
            ReplyValue::parent(0, ids.into_iter().map(|id| numbers(&[(ETCD_FIELD_LEASE, id)])))
        }
        Body::Members(members) => ReplyValue::parent(0, members.into_iter().map(of_member)),
        Body::Status(status) => of_status((String::new(), Ok((Header::default(), status)))),
        Body::Alarms(alarms) => {
            let child = |alarm: Alarm| {
                let kind = match alarm.kind {
                    AlarmKind::Any => 0,
                    AlarmKind::NoSpace => 1,
                    AlarmKind::Corrupt => 2,
                };
                numbers(&[(ETCD_FIELD_MEMBER, alarm.member as i64), (ETCD_FIELD_ALARM, kind)])
            };
            ReplyValue::parent(0, alarms.into_iter().map(child))
        }
        Body::Token(token) => {
            ReplyValue { texts: vec![(ETCD_FIELD_TOKEN, token.reveal().into())], ..ReplyValue::default() }
        }
    }
}

fn of_op(reply: OpReply) -> ReplyValue {
    match reply {
        OpReply::Range(range) => ReplyValue {
            keys: Keys::Found(range.kvs),
            more: range.more,
            count: range.count,
            ..ReplyValue::default()
        },
        OpReply::Put(prev_kv) => {
            ReplyValue { previous: prev_kv.into_iter().collect(), ..ReplyValue::default() }
        }
        OpReply::Delete(delete) => {
            ReplyValue { previous: delete.prev_kvs, count: delete.deleted, ..ReplyValue::default() }
        }
        OpReply::Txn(txn) => {
            let children = txn.replies.into_iter().map(of_op);
            ReplyValue { succeeded: txn.succeeded, ..ReplyValue::parent(0, children) }
        }
    }
}

fn of_member(member: Member) -> ReplyValue {
    ReplyValue {
        numbers: vec![
            (ETCD_FIELD_MEMBER, member.id as i64),
            (ETCD_FIELD_IS_LEARNER, member.is_learner.into()),
        ],
        texts: vec![
            (ETCD_FIELD_NAME, member.name.into()),
            (ETCD_FIELD_PEER_URLS, member.peer_urls.join("\n").into()),
            (ETCD_FIELD_CLIENT_URLS, member.client_urls.join("\n").into()),
        ],
        ..ReplyValue::default()
    }
}

fn of_status((endpoint, status): (String, Result<(Header, Status)>)) -> ReplyValue {
    let endpoint = (ETCD_FIELD_ENDPOINT, endpoint.into());
    let (header, status) = match status {
        Ok(answered) => answered,
        Err(error) => {
            return ReplyValue {
                numbers: vec![(ETCD_FIELD_STATUS, status_of(&error).into())],
                texts: vec![endpoint, (ETCD_FIELD_MESSAGE, error.to_string().into())],
                ..ReplyValue::default()
            };
        }
    };
    ReplyValue {
        revision: header.revision,
        numbers: vec![
            (ETCD_FIELD_STATUS, 0),
            (ETCD_FIELD_CLUSTER, header.cluster_id as i64),
            (ETCD_FIELD_MEMBER, header.member_id as i64),
            (ETCD_FIELD_LEADER, status.leader as i64),
            (ETCD_FIELD_DB_SIZE, status.db_size),
            (ETCD_FIELD_DB_SIZE_IN_USE, status.db_size_in_use),
            (ETCD_FIELD_RAFT_INDEX, status.raft_index as i64),
            (ETCD_FIELD_RAFT_APPLIED_INDEX, status.raft_applied_index as i64),
            (ETCD_FIELD_RAFT_TERM, status.raft_term as i64),
            (ETCD_FIELD_IS_LEARNER, status.is_learner.into()),
        ],
        texts: vec![
            endpoint,
            (ETCD_FIELD_VERSION, status.version.into()),
            (ETCD_FIELD_ERRORS, status.errors.join("\n").into()),
        ],
        ..ReplyValue::default()
    }
}

impl ReplyValue {
    fn parent(revision: i64, children: impl Iterator<Item = ReplyValue>) -> Self {
        let children: Vec<_> = children.map(Boxed::part).collect();
        ReplyValue { revision, count: children.len() as i64, children, ..ReplyValue::default() }
    }

    /// A number, if it has it.
    pub fn number(&self, field: i32) -> Option<i64> {
        let own = self.numbers.iter().find(|(name, _)| *name == field).map(|(_, number)| *number);
        let header = self.header.as_ref();
        own.or_else(|| match field {
            ETCD_FIELD_CLUSTER => header.map(|header| header.cluster_id as i64),
            ETCD_FIELD_MEMBER => header.map(|header| header.member_id as i64),
            ETCD_FIELD_RAFT_TERM => header.map(|header| header.raft_term as i64),
            _ => None,
        })
    }
}

fn no_such(what: &str, at: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::KeyNotFound, format!("the reply has no {what} {at}"))
}

fn view(kv: &KeyValue, kind: u32) -> etcd_kv {
    etcd_kv {
        key: kv.key.as_ptr(),
        key_len: kv.key.len(),
        value: kv.value.as_ptr(),
        value_len: kv.value.len(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
        kind,
        reserved: 0,
    }
}

/// Writes as much of a view as C has room for; zeros when there is nothing to see.
unsafe fn give<'a>(
    out: *mut etcd_kv,
    out_size: usize,
    found: impl FnOnce() -> Result<(&'a KeyValue, u32)>,
) -> Result<()> {
    if out.is_null() {
        return Err(Error::invalid("the place for the key is NULL"));
    }
    let size = out_size.min(size_of::<etcd_kv>());
    // SAFETY: as promised by the caller, there is room for `out_size` bytes.
    unsafe { ptr::write_bytes(out.cast::<u8>(), 0, size) };
    let (kv, kind) = found()?;
    let view = view(kv, kind);
    // SAFETY: as above.
    unsafe { ptr::copy_nonoverlapping((&raw const view).cast::<u8>(), out.cast(), size) };
    Ok(())
}

unsafe fn getter<T: Default>(reply: *const etcd_reply, get: impl FnOnce(&ReplyValue) -> T) -> T {
    // SAFETY: as promised by the caller.
    super::status::get(T::default(), || Ok(get(unsafe { handle::value::<ReplyValue>(reply) }?)))
}

/// The store's revision when the request was done; of a watch's changes, theirs.
///
/// reply: NULL gives 0, as for every getter of a reply.
/// Does not block. Any thread, as for every getter of a reply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_revision(reply: *const etcd_reply) -> i64 {
    // SAFETY: as promised by the caller.
    unsafe { getter(reply, |reply| reply.revision) }
}

/// How many there are: keys in the range whatever the limit (get), keys deleted (delete), changes (watch), children.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_count(reply: *const etcd_reply) -> i64 {
    // SAFETY: as promised by the caller.
    unsafe { getter(reply, |reply| reply.count) }
}

/// Whether a get left keys out for the limit's sake: 1 or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_more(reply: *const etcd_reply) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe { getter(reply, |reply| reply.more.into()) }
}

/// Whether all comparisons of a transaction held: 1 or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_succeeded(reply: *const etcd_reply) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe { getter(reply, |reply| reply.succeeded.into()) }
}

/// How many keys (or changes) the reply has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_kvs(reply: *const etcd_reply) -> usize {
    // SAFETY: as promised by the caller.
    unsafe { getter(reply, |reply| reply.keys.len()) }
}

/// A key of the reply.
///
/// i: which, from 0.
/// out: filled in; its pointers live as long as the reply. With zeros when this fails.
/// out_size: sizeof *out, so that later versions know how much of it there is.
/// Errors: ETCD_ERR_KEY_NOT_FOUND: there are not so many. ETCD_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_kv(
    reply: *const etcd_reply,
    i: usize,
    out: *mut etcd_kv,
    out_size: usize,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    run_plain(|| unsafe {
        give(out, out_size, || {
            let found = handle::value::<ReplyValue>(reply)?.keys.at(i);
            found.map(|(kind, kv, _)| (kv, kind)).ok_or_else(|| no_such("key", i))
        })
    })
}

/// What was there before: of a put, at 0; of a deletion, the keys deleted, from 0; of a watch, what the change at i
/// replaced. Only if the request asked for it (ETCD_FIELD_RETURN_PREVIOUS).
///
/// i, out, out_size: as in etcd_reply_kv().
/// Errors: ETCD_ERR_KEY_NOT_FOUND: nothing was there, or it is not known any more. ETCD_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_previous(
    reply: *const etcd_reply,
    i: usize,
    out: *mut etcd_kv,
    out_size: usize,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    run_plain(|| unsafe {
        give(out, out_size, || {
            let reply = handle::value::<ReplyValue>(reply)?;
            let beside = reply.keys.at(i).and_then(|(_, _, previous)| previous);
            let found = beside.or_else(|| reply.previous.get(i));
            Ok((found.ok_or_else(|| no_such("previous key", i))?, ETCD_KV_PREVIOUS))
        })
    })
}

/// How many children the reply has: of a transaction, one for each operation done; of members, leases, alarms and
/// endpoints, one for each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_children(reply: *const etcd_reply) -> usize {
    // SAFETY: as promised by the caller.
    unsafe { getter(reply, |reply| reply.children.len()) }
}

/// A child of the reply.
///
/// i: which, from 0.
/// Returns a reply that lives as long as its parent, and must not be freed; NULL when there are not so many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_child(reply: *const etcd_reply, i: usize) -> *const etcd_reply {
    super::status::get(ptr::null(), || {
        // SAFETY: as promised by the caller.
        let reply = unsafe { handle::value::<ReplyValue>(reply) }?;
        Ok(reply.children.get(i).map_or(ptr::null(), Boxed::pointer))
    })
}

/// A number of the reply.
///
/// field: one of ETCD_FIELD_*, as far as the reply has it.
/// out: the number; 0 when this fails.
/// Errors: ETCD_ERR_KEY_NOT_FOUND: it has no such field. ETCD_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_int(reply: *const etcd_reply, field: i32, out: *mut i64) -> etcd_status {
    // SAFETY: as promised by the caller.
    run_plain(|| unsafe {
        if out.is_null() {
            return Err(Error::invalid("the place for the number is NULL"));
        }
        out.write(0);
        let number = handle::value::<ReplyValue>(reply)?.number(field);
        out.write(number.ok_or_else(|| no_such("number", field))?);
        Ok(())
    })
}

/// Bytes of the reply.
///
/// field: one of ETCD_FIELD_*, as far as the reply has it.
/// data, len: where they are, and how many. They live as long as the reply. NULL and 0 when this fails.
/// Errors: ETCD_ERR_KEY_NOT_FOUND: it has no such field. ETCD_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_bytes(
    reply: *const etcd_reply,
    field: i32,
    data: *mut *const u8,
    len: *mut usize,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    run_plain(|| unsafe {
        if data.is_null() || len.is_null() {
            return Err(Error::invalid("the place for the bytes is NULL"));
        }
        data.write(ptr::null());
        len.write(0);
        let reply = handle::value::<ReplyValue>(reply)?;
        let found = reply.texts.iter().find(|(name, _)| *name == field);
        let (_, bytes) = found.ok_or_else(|| no_such("bytes", field))?;
        data.write(bytes.as_ptr());
        len.write(bytes.len());
        Ok(())
    })
}

/// Frees a reply with its children. NULL is fine and does nothing. (Children, and replies of events, belong to
/// their owners.)
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_reply_free(reply: *mut etcd_reply) {
    // SAFETY: as promised by the caller.
    unsafe { handle::free::<ReplyValue>(reply) }
}
