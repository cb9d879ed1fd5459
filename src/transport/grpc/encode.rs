//! Requests as etcd's messages.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::proto;
use crate::model::*;

/// The path of the method that serves a request, and its message in gRPC's frame.
pub fn request(request: &Request) -> (&'static str, Bytes) {
    match request {
        Request::Range(range) => ("/etcdserverpb.KV/Range", framed(&encode_range(range))),
        Request::Put(put) => ("/etcdserverpb.KV/Put", framed(&encode_put(put))),
        Request::Delete(delete) => ("/etcdserverpb.KV/DeleteRange", framed(&encode_delete(delete))),
        Request::Txn(txn) => ("/etcdserverpb.KV/Txn", framed(&encode_txn(txn))),
        Request::Compact { revision, physical } => {
            let message = proto::CompactionRequest { revision: *revision, physical: *physical };
            ("/etcdserverpb.KV/Compact", framed(&message))
        }
        Request::HashKv { revision } => {
            ("/etcdserverpb.Maintenance/HashKV", framed(&proto::HashKvRequest { revision: *revision }))
        }
        Request::LeaseGrant { id, ttl } => {
            ("/etcdserverpb.Lease/LeaseGrant", framed(&proto::LeaseGrantRequest { id: *id, ttl: *ttl }))
        }
        Request::LeaseRevoke { id } => {
            ("/etcdserverpb.Lease/LeaseRevoke", framed(&proto::LeaseRequest { id: *id }))
        }
        Request::LeaseKeepAlive { id } => (KEEP_ALIVE, keep_alive(*id)),
        Request::LeaseTimeToLive { id, keys } => {
            let message = proto::LeaseTimeToLiveRequest { id: *id, keys: *keys };
            ("/etcdserverpb.Lease/LeaseTimeToLive", framed(&message))
        }
        Request::Leases => ("/etcdserverpb.Lease/LeaseLeases", framed(&proto::Empty {})),
        Request::Members => ("/etcdserverpb.Cluster/MemberList", framed(&proto::Empty {})),
        Request::Status => ("/etcdserverpb.Maintenance/Status", framed(&proto::Empty {})),
        Request::Alarm { action, alarm } => {
            ("/etcdserverpb.Maintenance/Alarm", framed(&encode_alarm(*action, *alarm)))
        }
        Request::Authenticate { user, password } => {
            let password = password.reveal().to_owned();
            let message = proto::AuthenticateRequest { name: user.clone(), password };
            ("/etcdserverpb.Auth/Authenticate", framed(&message))
        }
    }
}

/// The path of the stream that all keep-alives share.
pub const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// The path of the stream that watches share.
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// One keep-alive.
pub fn keep_alive(id: i64) -> Bytes {
    framed(&proto::LeaseRequest { id })
}

/// Opens a watch. Its long answers come whole: servers can cut them into pieces, too, but the time that etcd takes for
/// it grows with the square of how many changes are in a piece (2 s for 11,000), so we do it ourselves.
pub fn watch(request: &WatchRequest) -> Bytes {
    let filters = [(0, request.no_put), (1, request.no_delete)];
    let create = proto::WatchCreateRequest {
        key: request.range.start.clone(),
        range_end: request.range.end.clone(),
        start_revision: request.start_revision,
        progress_notify: true,
        filters: filters.iter().filter(|(_, wanted)| *wanted).map(|(kind, _)| *kind).collect(),
        prev_kv: request.prev_kv,
    };
    framed(&proto::WatchRequest { request: Some(proto::watch_request::Request::Create(create)) })
}

/// Ends a watch.
pub fn cancel_watch(watch_id: i64) -> Bytes {
    let cancel = proto::WatchCancelRequest { watch_id };
    framed(&proto::WatchRequest { request: Some(proto::watch_request::Request::Cancel(cancel)) })
}

/// gRPC's frame: not compressed, the length, the message.
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + length);
    bytes.put_u8(0);
    // Longer ones are refused before they are sent.
    bytes.put_u32(length as u32);
    message.encode(&mut bytes).expect("there is room for it");
    bytes.freeze()
}

fn encode_range(range: &RangeRequest) -> proto::RangeRequest {
    let sorted_anyway = range.sort_by == SortBy::Key && !range.descending;
    let order = if range.descending { 2 } else { 1 };
    proto::RangeRequest {
        key: range.range.start.clone(),
        range_end: range.range.end.clone(),
        limit: range.limit,
        revision: range.revision,
        sort_order: if sorted_anyway { 0 } else { order },
        sort_target: match range.sort_by {
            SortBy::Key => 0,
            SortBy::Version => 1,
            SortBy::Create => 2,
            SortBy::Mod => 3,
            SortBy::Value => 4,
        },
        serializable: range.serializable,
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: range.min_mod_revision,
        max_mod_revision: range.max_mod_revision,
        min_create_revision: range.min_create_revision,
        max_create_revision: range.max_create_revision,
    }
}

fn encode_put(put: &PutRequest) -> proto::PutRequest {
    proto::PutRequest {
        key: put.key.clone(),
        value: put.value.clone(),
        lease: put.lease,
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

fn encode_delete(delete: &DeleteRequest) -> proto::DeleteRangeRequest {
    proto::DeleteRangeRequest {
        key: delete.range.start.clone(),
        range_end: delete.range.end.clone(),
        prev_kv: delete.prev_kv,
    }
}

fn encode_txn(txn: &TxnRequest) -> proto::TxnRequest {
    let ops = |ops: &[Op]| ops.iter().map(encode_op).collect();
    proto::TxnRequest {
        compare: txn.compares.iter().map(encode_compare).collect(),
        success: ops(&txn.then),
        failure: ops(&txn.otherwise),
    }
}

fn encode_op(op: &Op) -> proto::RequestOp {
    use proto::request_op::Request as R;
    let request = match op {
        Op::Range(range) => R::Range(encode_range(range)),
        Op::Put(put) => R::Put(encode_put(put)),
        Op::Delete(delete) => R::DeleteRange(encode_delete(delete)),
        Op::Txn(txn) => R::Txn(encode_txn(txn)),
    };
    proto::RequestOp { request: Some(request) }
}

fn encode_compare(compare: &Compare) -> proto::Compare {
    use proto::compare::Wanted;
    let (target, wanted) = match &compare.target {
        CompareTarget::Version(number) => (0, Wanted::Version(*number)),
        CompareTarget::CreateRevision(number) => (1, Wanted::CreateRevision(*number)),
        CompareTarget::ModRevision(number) => (2, Wanted::ModRevision(*number)),
        CompareTarget::Value(value) => (3, Wanted::Value(value.clone())),
        CompareTarget::Lease(number) => (4, Wanted::Lease(*number)),
    };
    let result = match compare.relation {
        Relation::Equal => 0,
        Relation::Greater => 1,
        Relation::Less => 2,
        Relation::NotEqual => 3,
    };
    proto::Compare {
        result,
        target,
        key: compare.range.start.clone(),
        wanted: Some(wanted),
        range_end: compare.range.end.clone(),
    }
}

fn encode_alarm(action: AlarmAction, alarm: Alarm) -> proto::AlarmRequest {
    let action = match action {
        AlarmAction::Get => 0,
        AlarmAction::Activate => 1,
        AlarmAction::Deactivate => 2,
    };
    let kind = match alarm.kind {
        AlarmKind::Any => 0,
        AlarmKind::NoSpace => 1,
        AlarmKind::Corrupt => 2,
    };
    proto::AlarmRequest { action, member_id: alarm.member, alarm: kind }
}
