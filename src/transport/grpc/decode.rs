//! etcd's messages as replies and changes. What does not have the shape of an answer is none.

use bytes::Bytes;
use prost::Message;

use super::proto;
use crate::error::Error;
use crate::model::*;
use crate::options::Secret;
use crate::transport::fragments::canceled;

/// The reply to `request`; `None` when the message does not have its shape.
pub fn reply(request: &Request, message: Bytes) -> Option<Reply> {
    match request {
        Request::Range(_) => {
            let found: proto::RangeResponse = read(message)?;
            answered(found.header, Body::Range(RangeReply::from((found.kvs, found.more, found.count))))
        }
        Request::Put(_) => {
            let put: proto::PutResponse = read(message)?;
            answered(put.header, Body::Put(put.prev_kv.map(Into::into)))
        }
        Request::Delete(_) => {
            let mut gone: proto::DeleteRangeResponse = read(message)?;
            answered(gone.header.take(), Body::Delete(gone.into()))
        }
        Request::Txn(_) => {
            let mut txn: proto::TxnResponse = read(message)?;
            answered(txn.header.take(), Body::Txn(decode_txn(txn)?))
        }
        Request::Compact { .. } => answered(read::<proto::HeaderOnly>(message)?.header, Body::Compact),
        Request::HashKv { .. } => {
            let found: proto::HashKvResponse = read(message)?;
            answered(
                found.header,
                Body::HashKv { hash: found.hash, compact_revision: found.compact_revision },
            )
        }
        Request::LeaseGrant { .. } | Request::LeaseKeepAlive { .. } => lease(read(message)?),
        Request::LeaseRevoke { .. } => {
            answered(read::<proto::HeaderOnly>(message)?.header, Body::LeaseRevoke)
        }
        Request::LeaseTimeToLive { .. } => {
            let mut lease: proto::LeaseTimeToLiveResponse = read(message)?;
            // The server keeps them in no order.
            lease.keys.sort();
            let reply = LeaseReply { ttl: lease.ttl, granted_ttl: lease.granted_ttl, keys: lease.keys };
            answered(lease.header, Body::LeaseTimeToLive(reply))
        }
        Request::Leases => {
            let found: proto::LeaseLeasesResponse = read(message)?;
            answered(found.header, Body::Leases(found.leases.iter().map(|lease| lease.id).collect()))
        }
        Request::Members => {
            let found: proto::MemberListResponse = read(message)?;
            answered(found.header, Body::Members(all(found.members)))
        }
        Request::Status => {
            let mut status: proto::StatusResponse = read(message)?;
            answered(status.header.take(), Body::Status(status.into()))
        }
        Request::Alarm { .. } => {
            let found: proto::AlarmResponse = read(message)?;
            let alarms: Option<Vec<Alarm>> = found.alarms.iter().map(decode_alarm).collect();
            // Servers before 3.5 don't say who tells of alarms.
            let header = found.header.map(Header::from).unwrap_or_default();
            Some(Reply { header, body: Body::Alarms(alarms?) })
        }
        Request::Authenticate { .. } => {
            let found: proto::AuthenticateResponse = read(message)?;
            answered(found.header, Body::Token(Secret::new(found.token)))
        }
    }
}

/// The reply to a grant or a keep-alive.
pub fn lease(lease: proto::LeaseResponse) -> Option<Reply> {
    answered(lease.header, Body::Lease { id: lease.id, ttl: lease.ttl })
}

fn answered(header: Option<proto::ResponseHeader>, body: Body) -> Option<Reply> {
    Some(Reply { header: header?.into(), body })
}

/// A message, if these bytes are one.
pub fn read<M: Message + Default>(message: Bytes) -> Option<M> {
    M::decode(message).ok()
}

/// Takes what long messages of a watch stream say, part by part.
#[derive(Debug, Default)]
pub struct WatchParts {
    /// What the parts so far say of all their changes.
    head: proto::WatchResponse,
}

impl WatchParts {
    /// What this part says, with what is said of all. The last one is the end of the message.
    pub fn take(&mut self, part: Bytes, is_last: bool) -> Option<proto::WatchResponse> {
        let mut message = std::mem::take(&mut self.head);
        message.merge(part).ok()?;
        if !is_last {
            let events = std::mem::take(&mut message.events);
            self.head = message.clone();
            message.events = events;
        }
        Some(message)
    }
}

/// What one message of a watch stream says about one watch.
#[derive(Debug)]
pub enum WatchNews {
    /// The server has the watch.
    Created(Header),
    /// The server has ended it, or refused it.
    Canceled(Error),
    /// Changes, or none: a sign of progress.
    Changes(WatchBatch),
}

/// Reads a message of a watch stream. `canceled` is looked at first: a server may say both that and `created`.
pub fn watch(message: proto::WatchResponse) -> Option<WatchNews> {
    if message.canceled {
        let error = match message.compact_revision {
            0 => canceled(&message.cancel_reason),
            revision => canceled("required revision has been compacted").compacted_at(revision),
        };
        return Some(WatchNews::Canceled(error));
    }
    let header = Header::from(message.header?);
    if message.created {
        return Some(WatchNews::Created(header));
    }
    let events: Option<Vec<Event>> = message.events.into_iter().map(decode_event).collect();
    Some(WatchNews::Changes(WatchBatch { revision: header.revision, events: events? }))
}

fn decode_event(event: proto::Event) -> Option<Event> {
    let kind = match event.kind {
        0 => EventKind::Put,
        1 => EventKind::Delete,
        _ => return None,
    };
    Some(Event { kind, kv: event.kv?.into(), prev_kv: event.prev_kv.map(Into::into) })
}

fn decode_txn(txn: proto::TxnResponse) -> Option<TxnReply> {
    use proto::response_op::Response as R;
    let reply = |op: proto::ResponseOp| {
        Some(match op.response? {
            R::Range(found) => OpReply::Range(RangeReply::from((found.kvs, found.more, found.count))),
            R::Put(put) => OpReply::Put(put.prev_kv.map(Into::into)),
            R::DeleteRange(gone) => OpReply::Delete(gone.into()),
            R::Txn(txn) => OpReply::Txn(decode_txn(txn)?),
        })
    };
    let replies: Option<Vec<OpReply>> = txn.responses.into_iter().map(reply).collect();
    Some(TxnReply { succeeded: txn.succeeded, replies: replies? })
}

fn decode_alarm(alarm: &proto::AlarmMember) -> Option<Alarm> {
    let kind = match alarm.alarm {
        1 => AlarmKind::NoSpace,
        2 => AlarmKind::Corrupt,
        _ => return None,
    };
    Some(Alarm { member: alarm.member_id, kind })
}

fn all<A, B: From<A>>(messages: Vec<A>) -> Vec<B> {
    messages.into_iter().map(B::from).collect()
}

impl From<proto::ResponseHeader> for Header {
    fn from(header: proto::ResponseHeader) -> Self {
        Header {
            cluster_id: header.cluster_id,
            member_id: header.member_id,
            revision: header.revision,
            raft_term: header.raft_term,
        }
    }
}

impl From<proto::KeyValue> for KeyValue {
    fn from(kv: proto::KeyValue) -> Self {
        KeyValue {
            key: kv.key,
            value: kv.value,
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }
    }
}

impl From<(Vec<proto::KeyValue>, bool, i64)> for RangeReply {
    fn from((kvs, more, count): (Vec<proto::KeyValue>, bool, i64)) -> Self {
        RangeReply { kvs: all(kvs), more, count }
    }
}

impl From<proto::DeleteRangeResponse> for DeleteReply {
    fn from(gone: proto::DeleteRangeResponse) -> Self {
        DeleteReply { deleted: gone.deleted, prev_kvs: all(gone.prev_kvs) }
    }
}

impl From<proto::Member> for Member {
    fn from(member: proto::Member) -> Self {
        Member {
            id: member.id,
            name: member.name,
            peer_urls: member.peer_urls,
            client_urls: member.client_urls,
            is_learner: member.is_learner,
        }
    }
}

impl From<proto::StatusResponse> for Status {
    fn from(status: proto::StatusResponse) -> Self {
        Status {
            version: status.version,
            db_size: status.db_size,
            db_size_in_use: status.db_size_in_use,
            leader: status.leader,
            raft_index: status.raft_index,
            raft_applied_index: status.raft_applied_index,
            raft_term: status.raft_term,
            is_learner: status.is_learner,
            errors: status.errors,
        }
    }
}
