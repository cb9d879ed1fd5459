//! The gateway's JSON: pure functions from requests and to replies. Bytes are base64, 64-bit numbers strings,
//! and whatever equals its default is left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::error::Error;
use crate::model::*;

/// The path prefix of a server version; `None` when it is no version that has a usable gateway.
pub fn api_of(version: &str) -> Option<&'static str> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next()??, parts.next()??) {
        (3, 3) => Some("/v3beta"),
        (3, minor) if minor > 3 => Some("/v3"),
        (major, _) if major > 3 => Some("/v3"),
        _ => None,
    }
}

/// The gateway's method and its body.
pub fn encode(request: &Request) -> (&'static str, Value) {
    match request {
        Request::Range(range) => ("/kv/range", encode_range(range)),
        Request::Put(put) => ("/kv/put", encode_put(put)),
        Request::Delete(delete) => ("/kv/deleterange", encode_keys(&delete.range)),
        Request::Txn(txn) => ("/kv/txn", encode_txn(txn)),
        Request::LeaseGrant { id, ttl } => {
            ("/lease/grant", json!({"ID": id.to_string(), "TTL": ttl.to_string()}))
        }
        // The older form, which all versions know; 3.3 has no other.
        Request::LeaseRevoke { id } => ("/kv/lease/revoke", json!({"ID": id.to_string()})),
        Request::LeaseKeepAlive { id } => ("/lease/keepalive", json!({"ID": id.to_string()})),
        Request::Leader => ("/maintenance/status", json!({})),
    }
}

/// The body that opens a watch. Where the server can, it cuts long answers into pieces of some megabyte.
pub fn encode_watch(request: &WatchRequest, api: &str) -> Value {
    let mut create = encode_keys(&request.range);
    create["progress_notify"] = json!(true);
    if api != "/v3beta" {
        create["fragment"] = json!(true);
    }
    if request.start_revision > 0 {
        create["start_revision"] = json!(request.start_revision.to_string());
    }
    json!({ "create_request": create })
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
    for (name, number) in [
        ("limit", range.limit),
        ("min_create_revision", range.min_create_revision),
        ("max_create_revision", range.max_create_revision),
    ] {
        if number != 0 {
            body[name] = json!(number.to_string());
        }
    }
    let sorted_anyway = range.sort_by == SortBy::Key && !range.descending;
    if !sorted_anyway {
        body["sort_target"] = json!(match range.sort_by {
            SortBy::Key => "KEY",
            SortBy::Create => "CREATE",
        });
        body["sort_order"] = json!(if range.descending { "DESCEND" } else { "ASCEND" });
    }
    if range.keys_only {
        body["keys_only"] = json!(true);
    }
    body
}

fn encode_put(put: &PutRequest) -> Value {
    let mut body = json!({ "key": bytes(&put.key), "value": bytes(&put.value) });
    if put.lease != 0 {
        body["lease"] = json!(put.lease.to_string());
    }
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
        Op::Delete(delete) => json!({ "request_delete_range": encode_keys(&delete.range) }),
    }
}

fn encode_compare(compare: &Compare) -> Value {
    let (target, field, wanted) = match &compare.target {
        CompareTarget::Version(number) => ("VERSION", "version", number.to_string()),
        CompareTarget::CreateRevision(number) => ("CREATE", "create_revision", number.to_string()),
        CompareTarget::Value(value) => ("VALUE", "value", bytes(value)),
    };
    let result = match compare.relation {
        Relation::Equal => "EQUAL",
        Relation::NotEqual => "NOT_EQUAL",
    };
    json!({ "key": bytes(&compare.key), "target": target, "result": result, field: wanted })
}

/// The reply to `request`; `None` when the answer does not have its shape.
pub fn decode(request: &Request, answer: &Value) -> Option<Reply> {
    let body = match request {
        Request::Range(_) => Body::Range(decode_range(answer)?),
        Request::Put(_) => Body::Put,
        Request::Delete(_) => Body::Delete { deleted: number(&answer["deleted"])? },
        Request::Txn(_) => Body::Txn(decode_txn(answer)?),
        Request::LeaseGrant { .. } => Body::Lease { ttl: number(&answer["TTL"])? },
        Request::LeaseRevoke { .. } => Body::Lease { ttl: 0 },
        Request::LeaseKeepAlive { .. } => {
            let result = answer.get("result")?;
            return Some(Reply {
                revision: revision(result),
                body: Body::Lease { ttl: number(&result["TTL"])? },
            });
        }
        Request::Leader => return None,
    };
    answer.get("header")?;
    Some(Reply { revision: revision(answer), body })
}

/// The revision in an answer's header, 0 when it has none.
pub fn revision(answer: &Value) -> i64 {
    number(&answer["header"]["revision"]).unwrap_or(0)
}

fn decode_range(answer: &Value) -> Option<RangeReply> {
    let kvs = array(&answer["kvs"])?.iter().map(decode_kv).collect::<Option<_>>()?;
    Some(RangeReply { kvs })
}

fn decode_kv(kv: &Value) -> Option<KeyValue> {
    Some(KeyValue {
        key: unbytes(&kv["key"])?,
        value: unbytes(&kv["value"])?,
        create_revision: number(&kv["create_revision"])?,
        mod_revision: number(&kv["mod_revision"])?,
        version: number(&kv["version"])?,
        lease: number(&kv["lease"])?,
    })
}

fn decode_txn(answer: &Value) -> Option<TxnReply> {
    let reply = |op: &Value| {
        if let Some(range) = op.get("response_range") {
            decode_range(range).map(OpReply::Range)
        } else if let Some(delete) = op.get("response_delete_range") {
            Some(OpReply::Delete { deleted: number(&delete["deleted"])? })
        } else {
            op.get("response_put").map(|_| OpReply::Put)
        }
    };
    let replies = array(&answer["responses"])?.iter().map(reply).collect::<Option<_>>()?;
    Some(TxnReply { succeeded: answer["succeeded"] == json!(true), replies })
}

/// One line of a watch.
pub enum WatchLine {
    /// The server has the watch.
    Created(WatchBatch),
    /// Changes, or none: a sign of life.
    Changes {
        /// The changes.
        batch: WatchBatch,
        /// More of the same answer follows: the last revision may not be whole.
        fragment: bool,
    },
}

/// Reads one line of a watch. `canceled` is looked at first: a server may say both that and `created`.
pub fn decode_watch(line: &Value) -> Result<WatchLine, Error> {
    let odd = || Error::new(crate::ErrorKind::BadReply, "a watch answered without etcd's JSON");
    if line.get("error").is_some() {
        return Err(error(line).unwrap_or_else(odd));
    }
    let result = line.get("result").ok_or_else(odd)?;
    let compacted = number(&result["compact_revision"]).unwrap_or(0);
    if compacted > 0 {
        let text = format!("required revision has been compacted; the oldest kept is {compacted}");
        return Err(Error::from_server(11, &text));
    }
    if result["canceled"] == json!(true) {
        let reason = result["cancel_reason"].as_str().unwrap_or("canceled by the server");
        return Err(match reason {
            // The gateway hands on the text without its code.
            reason if reason.contains("permission denied") => Error::from_server(7, reason),
            reason if reason.contains("auth") => Error::from_server(16, reason),
            reason => Error::from_server(14, reason),
        });
    }
    let events = array(&result["events"]).ok_or_else(odd)?;
    let events = events.iter().map(decode_event).collect::<Option<_>>().ok_or_else(odd)?;
    let batch = WatchBatch { revision: revision(result), events };
    let fragment = result["fragment"] == json!(true);
    let created = result["created"] == json!(true);
    Ok(if created { WatchLine::Created(batch) } else { WatchLine::Changes { batch, fragment } })
}

fn decode_event(event: &Value) -> Option<Event> {
    let kind = match event.get("type").and_then(Value::as_str) {
        None | Some("PUT") => EventKind::Put,
        Some("DELETE") => EventKind::Delete,
        Some(_) => return None,
    };
    Some(Event { kind, kv: decode_kv(event.get("kv")?)? })
}

/// The error in an answer, whichever gateway wrote it: `{error, message, code}`, `{message, code}`,
/// or on a stream `{error: {grpc_code, message}}`.
pub fn error(answer: &Value) -> Option<Error> {
    let nested = &answer["error"];
    let body = if nested.is_object() { nested } else { answer };
    let text = body["message"].as_str().or_else(|| body["error"].as_str())?;
    let code = body["code"].as_i64().or_else(|| body["grpc_code"].as_i64())?;
    Some(Error::from_server(i32::try_from(code).ok()?, text))
}

/// The name of the member with this id, in an answer to `member/list`.
pub fn member_name(answer: &Value, id: u64) -> Option<String> {
    let member = array(&answer["members"])?.iter().find(|member| unsigned(&member["ID"]) == id)?;
    member["name"].as_str().filter(|name| !name.is_empty()).map(Into::into)
}

/// A number written as a string or not; 0 when left out or odd.
pub fn unsigned(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64()).unwrap_or(0)
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Null => Some(0),
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Null => Some(&[]),
        other => other.as_array().map(Vec::as_slice),
    }
}

fn bytes(raw: &[u8]) -> String {
    STANDARD.encode(raw)
}

fn unbytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => Some(Vec::new()),
        other => STANDARD.decode(other.as_str()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_path_follows_the_server_version() {
        let table = [("3.3.25", Some("/v3beta")), ("3.4.23", Some("/v3")), ("3.7.0-rc.1", Some("/v3"))];
        for (version, api) in table {
            assert_eq!(api_of(version), api, "{version}");
        }
        for none in ["3.2.0", "2.3.8", "", "v3", "0.4.6"] {
            assert_eq!(api_of(none), None, "{none}");
        }
    }

    #[test]
    fn requests_carry_base64_and_numbers_as_strings() {
        let put = PutRequest { key: vec![0xff, b'/'], value: b"v".into(), lease: i64::MAX };
        let (method, body) = encode(&Request::Put(put));
        assert_eq!(method, "/kv/put");
        assert_eq!(body, parse(r#"{"key":"/y8=","value":"dg==","lease":"9223372036854775807"}"#));
        let txn = TxnRequest {
            compares: vec![Compare::create_revision("k", 7)],
            then: vec![Op::Delete(DeleteRequest { range: KeyRange::key("k") })],
            otherwise: vec![Op::Range(RangeRequest {
                sort_by: SortBy::Create,
                descending: true,
                limit: 1,
                ..RangeRequest::new(KeyRange::prefix("k/"))
            })],
        };
        let wanted = r#"{
            "compare": [{"key":"aw==","target":"CREATE","result":"EQUAL","create_revision":"7"}],
            "success": [{"request_delete_range":{"key":"aw=="}}],
            "failure": [{"request_range":{"key":"ay8=","range_end":"azA=","limit":"1",
                         "sort_target":"CREATE","sort_order":"DESCEND"}}]}"#;
        assert_eq!(encode(&Request::Txn(txn)).1, parse(wanted));
    }

    /// As recorded from etcd 3.4.23 and 3.5.16.
    #[test]
    fn replies_are_read_with_their_defaults_left_out() {
        let range = Request::Range(RangeRequest::new(KeyRange::key("foo")));
        let answer = parse(
            r#"{"header":{"cluster_id":"1","revision":"9007199254740993","raft_term":"2"},
                "kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1"}],"count":"1"}"#,
        );
        let reply = decode(&range, &answer).unwrap();
        assert_eq!(reply.revision, 9_007_199_254_740_993);
        let Body::Range(found) = reply.body else { panic!() };
        assert_eq!((found.kvs[0].key.as_slice(), found.kvs[0].value.as_slice()), (&b"foo"[..], &b""[..]));
        let empty = decode(&range, &parse(r#"{"header":{"revision":"2"}}"#)).unwrap();
        assert_eq!(empty.body, Body::Range(RangeReply::default()));
        let gone = decode(&Request::LeaseKeepAlive { id: 1 }, &parse(r#"{"result":{"ID":"78"}}"#)).unwrap();
        assert_eq!(gone.body, Body::Lease { ttl: 0 });
    }

    #[test]
    fn odd_replies_are_no_replies() {
        let range = Request::Range(RangeRequest::new(KeyRange::key("foo")));
        for text in [r#"{}"#, r#"[]"#, r#"{"header":{},"kvs":7}"#, r#"{"header":{},"kvs":[{"key":"!"}]}"#] {
            assert_eq!(decode(&range, &parse(text)), None, "{text}");
        }
    }

    #[test]
    fn all_error_shapes_are_understood() {
        for text in [
            r#"{"error":"etcdserver: requested lease not found","message":"etcdserver: requested lease not found","code":5}"#,
            r#"{"code":5, "message":"etcdserver: requested lease not found"}"#,
            r#"{"error":"etcdserver: requested lease not found","code":5}"#,
            r#"{"error":{"grpc_code":5,"http_code":404,"message":"etcdserver: requested lease not found"}}"#,
        ] {
            assert_eq!(error(&parse(text)).unwrap().kind(), ErrorKind::LeaseNotFound, "{text}");
        }
        assert!(error(&parse(r#"{"hello":1}"#)).is_none());
    }

    #[test]
    fn a_watch_looks_at_canceled_before_created() {
        let both =
            r#"{"result":{"created":true,"canceled":true,"cancel_reason":"etcdserver: permission denied"}}"#;
        let kind = |text| decode_watch(&parse(text)).err().unwrap().kind();
        assert_eq!(kind(both), ErrorKind::PermissionDenied);
        assert_eq!(kind(r#"{"result":{"canceled":true,"compact_revision":"5"}}"#), ErrorKind::Compacted);
        assert_eq!(kind(r#"{"error":{"grpc_code":14,"message":"x"}}"#), ErrorKind::Unavailable);
        let deleted = r#"{"result":{"header":{"revision":"4"},
            "events":[{"type":"DELETE","kv":{"key":"Zm9v","mod_revision":"4"}}]}}"#;
        let Ok(WatchLine::Changes { batch, fragment }) = decode_watch(&parse(deleted)) else { panic!() };
        assert_eq!((batch.revision, batch.events[0].kind, fragment), (4, EventKind::Delete, false));
    }
}
