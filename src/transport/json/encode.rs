//! Requests as the gateway's JSON: bytes are base64, 64-bit numbers strings, defaults left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::model::*;

/// The gateway's method and its body.
pub fn request(request: &Request) -> (&'static str, Value) {
    match request {
        Request::Range(range) => ("/kv/range", encode_range(range)),
        Request::Put(put) => ("/kv/put", encode_put(put)),
        Request::Delete(delete) => ("/kv/deleterange", encode_delete(delete)),
        Request::Txn(txn) => ("/kv/txn", encode_txn(txn)),
        Request::Compact { revision, physical } => {
            ("/kv/compaction", json!({"revision": revision.to_string(), "physical": physical}))
        }
        Request::HashKv { revision } => ("/maintenance/hashkv", json!({"revision": revision.to_string()})),
        Request::LeaseGrant { id, ttl } => {
            ("/lease/grant", json!({"ID": id.to_string(), "TTL": ttl.to_string()}))
        }
        // The older forms, which all versions know; 3.3 has no others.
        Request::LeaseRevoke { id } => ("/kv/lease/revoke", json!({"ID": id.to_string()})),
        Request::LeaseTimeToLive { id, keys } => {
            ("/kv/lease/timetolive", json!({"ID": id.to_string(), "keys": keys}))
        }
        Request::Leases => ("/kv/lease/leases", json!({})),
        Request::LeaseKeepAlive { id } => ("/lease/keepalive", json!({"ID": id.to_string()})),
        Request::Members => ("/cluster/member/list", json!({})),
        Request::Status => ("/maintenance/status", json!({})),
        Request::Alarm { action, alarm } => ("/maintenance/alarm", encode_alarm(*action, *alarm)),
        Request::Authenticate { user, password } => {
            ("/auth/authenticate", json!({"name": user, "password": password.reveal()}))
        }
    }
}

/// The body that opens a watch; in pieces: the server cuts long answers into such of some megabyte.
pub fn watch(request: &WatchRequest, in_pieces: bool) -> Value {
    let mut create = encode_keys(&request.range);
    create["progress_notify"] = json!(true);
    set_flags(&mut create, &[("fragment", in_pieces), ("prev_kv", request.prev_kv)]);
    set_numbers(&mut create, &[("start_revision", request.start_revision)]);
    let filters = [("NOPUT", request.no_put), ("NODELETE", request.no_delete)];
    let filters: Vec<&str> = filters.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| *name).collect();
    if !filters.is_empty() {
        create["filters"] = json!(filters);
    }
    json!({ "create_request": create })
}

fn set_numbers(body: &mut Value, fields: &[(&str, i64)]) {
    for (name, number) in fields.iter().filter(|(_, number)| *number != 0) {
        body[*name] = json!(number.to_string());
    }
}

fn set_flags(body: &mut Value, fields: &[(&str, bool)]) {
    for (name, _) in fields.iter().filter(|(_, is_set)| *is_set) {
        body[*name] = json!(true);
    }
}

fn encode_keys(range: &KeyRange) -> Value {
    let mut body = json!({ "key": bytes(&range.start) });
    if !range.end.is_empty() {
        body["range_end"] = json!(bytes(&range.end));
    }
    body
}

fn encode_range(range: &RangeRequest) -> Value {
    let mut body = encode_keys(&range.range);
    let numbers = [
        ("limit", range.limit),
        ("revision", range.revision),
        ("min_mod_revision", range.min_mod_revision),
        ("max_mod_revision", range.max_mod_revision),
        ("min_create_revision", range.min_create_revision),
        ("max_create_revision", range.max_create_revision),
    ];
    set_numbers(&mut body, &numbers);
    let flags = [
        ("serializable", range.serializable),
        ("keys_only", range.keys_only),
        ("count_only", range.count_only),
    ];
    set_flags(&mut body, &flags);
    let sorted_anyway = range.sort_by == SortBy::Key && !range.descending;
    if !sorted_anyway {
        body["sort_target"] = json!(match range.sort_by {
            SortBy::Key => "KEY",
            SortBy::Version => "VERSION",
            SortBy::Create => "CREATE",
            SortBy::Mod => "MOD",
            SortBy::Value => "VALUE",
        });
        body["sort_order"] = json!(if range.descending { "DESCEND" } else { "ASCEND" });
    }
    body
}

fn encode_put(put: &PutRequest) -> Value {
    let mut body = json!({ "key": bytes(&put.key), "value": bytes(&put.value) });
    set_numbers(&mut body, &[("lease", put.lease)]);
    let flags =
        [("prev_kv", put.prev_kv), ("ignore_value", put.ignore_value), ("ignore_lease", put.ignore_lease)];
    set_flags(&mut body, &flags);
    body
}

fn encode_delete(delete: &DeleteRequest) -> Value {
    let mut body = encode_keys(&delete.range);
    set_flags(&mut body, &[("prev_kv", delete.prev_kv)]);
    body
}

fn encode_txn(txn: &TxnRequest) -> Value {
    let ops = |ops: &[Op]| -> Vec<Value> { ops.iter().map(encode_op).collect() };
    let compares: Vec<Value> = txn.compares.iter().map(encode_compare).collect();
    json!({ "compare": compares, "success": ops(&txn.then), "failure": ops(&txn.otherwise) })
}

fn encode_op(op: &Op) -> Value {
    match op {
        Op::Range(range) => json!({ "request_range": encode_range(range) }),
        Op::Put(put) => json!({ "request_put": encode_put(put) }),
        Op::Delete(delete) => json!({ "request_delete_range": encode_delete(delete) }),
        Op::Txn(txn) => json!({ "request_txn": encode_txn(txn) }),
    }
}

fn encode_compare(compare: &Compare) -> Value {
    let (target, field, wanted) = match &compare.target {
        CompareTarget::Version(number) => ("VERSION", "version", number.to_string()),
        CompareTarget::CreateRevision(number) => ("CREATE", "create_revision", number.to_string()),
        CompareTarget::ModRevision(number) => ("MOD", "mod_revision", number.to_string()),
        CompareTarget::Value(value) => ("VALUE", "value", bytes(value)),
        CompareTarget::Lease(number) => ("LEASE", "lease", number.to_string()),
    };
    let result = match compare.relation {
        Relation::Equal => "EQUAL",
        Relation::Greater => "GREATER",
        Relation::Less => "LESS",
        Relation::NotEqual => "NOT_EQUAL",
    };
    let mut body = encode_keys(&compare.range);
    body["target"] = json!(target);
    body["result"] = json!(result);
    body[field] = json!(wanted);
    body
}

fn encode_alarm(action: AlarmAction, alarm: Alarm) -> Value {
    let action = match action {
        AlarmAction::Get => "GET",
        AlarmAction::Activate => "ACTIVATE",
        AlarmAction::Deactivate => "DEACTIVATE",
    };
    let kind = match alarm.kind {
        AlarmKind::Any => "NONE",
        AlarmKind::NoSpace => "NOSPACE",
        AlarmKind::Corrupt => "CORRUPT",
    };
    json!({ "action": action, "memberID": alarm.member.to_string(), "alarm": kind })
}

fn bytes(raw: &[u8]) -> String {
    STANDARD.encode(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn requests_carry_base64_and_numbers_as_strings() {
        let put = PutRequest { lease: i64::MAX, ..PutRequest::new([0xff, b'/'], "v") };
        let (method, body) = request(&Request::Put(put));
        assert_eq!(method, "/kv/put");
        assert_eq!(body, parse(r#"{"key":"/y8=","value":"dg==","lease":"9223372036854775807"}"#));
        let txn = TxnRequest {
            compares: vec![Compare { range: KeyRange::prefix("k"), ..Compare::create_revision("k", 7) }],
            then: vec![Op::Delete(DeleteRequest { prev_kv: true, ..DeleteRequest::new(KeyRange::key("k")) })],
            otherwise: vec![Op::Txn(TxnRequest {
                then: vec![Op::Range(RangeRequest {
                    sort_by: SortBy::Create,
                    descending: true,
                    limit: 1,
                    ..RangeRequest::new(KeyRange::prefix("k/"))
                })],
                ..TxnRequest::default()
            })],
        };
        let wanted = r#"{
            "compare": [{"key":"aw==","range_end":"bA==","target":"CREATE","result":"EQUAL","create_revision":"7"}],
            "success": [{"request_delete_range":{"key":"aw==","prev_kv":true}}],
            "failure": [{"request_txn":{"compare":[],"failure":[],"success":[
                {"request_range":{"key":"ay8=","range_end":"azA=","limit":"1",
                 "sort_target":"CREATE","sort_order":"DESCEND"}}]}}]}"#;
        assert_eq!(request(&Request::Txn(txn)).1, parse(wanted));
    }

    #[test]
    fn a_watch_leaves_out_what_is_not_asked_for() {
        let all = WatchRequest::new(KeyRange::key("k"), 0);
        assert_eq!(watch(&all, false), parse(r#"{"create_request":{"key":"aw==","progress_notify":true}}"#));
        let some = WatchRequest { start_revision: 7, prev_kv: true, no_put: true, ..all };
        let wanted = r#"{"create_request":{"key":"aw==","progress_notify":true,"fragment":true,
            "prev_kv":true,"start_revision":"7","filters":["NOPUT"]}}"#;
        assert_eq!(watch(&some, true), parse(wanted));
    }
}
