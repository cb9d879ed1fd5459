//! The gateway's JSON as replies, watch batches and errors. Whatever equals its default was left out by the
//! server; whatever does not have the shape of an answer is none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::model::*;
use crate::options::Secret;
use crate::transport::fragments::canceled;

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

/// The reply to `request`; `None` when the answer does not have its shape.
pub fn reply(request: &Request, answer: &Value) -> Option<Reply> {
    // A keep-alive is a stream with one answer.
    let answer = match request {
        Request::LeaseKeepAlive { .. } => answer.get("result")?,
        _ => answer,
    };
    let body = match request {
        Request::Range(_) => Body::Range(decode_range(answer)?),
        Request::Put(_) => Body::Put(decode_prev_kv(answer)?),
        Request::Delete(_) => Body::Delete(decode_delete(answer)?),
        Request::Txn(_) => Body::Txn(decode_txn(answer)?),
        Request::Compact { .. } => Body::Compact,
        Request::HashKv { .. } => Body::HashKv {
            hash: u32::try_from(unsigned(&answer["hash"])?).ok()?,
            compact_revision: number(&answer["compact_revision"])?,
        },
        Request::LeaseGrant { .. } | Request::LeaseKeepAlive { .. } => {
            Body::Lease { id: number(&answer["ID"])?, ttl: number(&answer["TTL"])? }
        }
        Request::LeaseRevoke { .. } => Body::LeaseRevoke,
        Request::LeaseTimeToLive { .. } => Body::LeaseTimeToLive(decode_lease(answer)?),
        Request::Leases => Body::Leases(all(&answer["leases"], |lease| number(&lease["ID"]))?),
        Request::Members => Body::Members(all(&answer["members"], decode_member)?),
        Request::Status => Body::Status(decode_status(answer)?),
        Request::Alarm { .. } => Body::Alarms(all(&answer["alarms"], decode_alarm)?),
        Request::Authenticate { .. } => Body::Token(Secret::new(answer["token"].as_str()?)),
    };
    let header = match request {
        // Servers before 3.5 don't say who tells of alarms.
        Request::Alarm { .. } if answer.is_object() => header(answer).unwrap_or_default(),
        _ => header(answer)?,
    };
    Some(Reply { header, body })
}

fn header(answer: &Value) -> Option<Header> {
    let header = answer.get("header").filter(|header| header.is_object())?;
    Some(Header {
        cluster_id: unsigned(&header["cluster_id"])?,
        member_id: unsigned(&header["member_id"])?,
        revision: number(&header["revision"])?,
        raft_term: unsigned(&header["raft_term"])?,
    })
}

fn decode_range(answer: &Value) -> Option<RangeReply> {
    Some(RangeReply {
        kvs: all(&answer["kvs"], decode_kv)?,
        more: flag(&answer["more"])?,
        count: number(&answer["count"])?,
    })
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

fn decode_prev_kv(answer: &Value) -> Option<Option<KeyValue>> {
    match answer.get("prev_kv") {
        None | Some(Value::Null) => Some(None),
        Some(kv) => decode_kv(kv).map(Some),
    }
}

fn decode_delete(answer: &Value) -> Option<DeleteReply> {
    Some(DeleteReply { deleted: number(&answer["deleted"])?, prev_kvs: all(&answer["prev_kvs"], decode_kv)? })
}

fn decode_txn(answer: &Value) -> Option<TxnReply> {
    let reply = |op: &Value| {
        if let Some(range) = op.get("response_range") {
            decode_range(range).map(OpReply::Range)
        } else if let Some(delete) = op.get("response_delete_range") {
            decode_delete(delete).map(OpReply::Delete)
        } else if let Some(txn) = op.get("response_txn") {
            decode_txn(txn).map(OpReply::Txn)
        } else {
            decode_prev_kv(op.get("response_put")?).map(OpReply::Put)
        }
    };
    Some(TxnReply { succeeded: flag(&answer["succeeded"])?, replies: all(&answer["responses"], reply)? })
}

fn decode_lease(answer: &Value) -> Option<LeaseReply> {
    let mut keys = all(&answer["keys"], unbytes)?;
    // The server keeps them in no order.
    keys.sort();
    Some(LeaseReply { ttl: number(&answer["TTL"])?, granted_ttl: number(&answer["grantedTTL"])?, keys })
}

fn decode_member(member: &Value) -> Option<Member> {
    Some(Member {
        id: unsigned(&member["ID"])?,
        name: text(&member["name"])?,
        peer_urls: all(&member["peerURLs"], text)?,
        client_urls: all(&member["clientURLs"], text)?,
        is_learner: flag(&member["isLearner"])?,
    })
}

fn decode_status(answer: &Value) -> Option<Status> {
    Some(Status {
        version: text(&answer["version"])?,
        db_size: number(&answer["dbSize"])?,
        db_size_in_use: number(&answer["dbSizeInUse"])?,
        leader: unsigned(&answer["leader"])?,
        raft_index: unsigned(&answer["raftIndex"])?,
        raft_applied_index: unsigned(&answer["raftAppliedIndex"])?,
        raft_term: unsigned(&answer["raftTerm"])?,
        is_learner: flag(&answer["isLearner"])?,
        errors: all(&answer["errors"], text)?,
    })
}

fn decode_alarm(alarm: &Value) -> Option<Alarm> {
    let kind = match alarm["alarm"].as_str()? {
        "NOSPACE" => AlarmKind::NoSpace,
        "CORRUPT" => AlarmKind::Corrupt,
        _ => return None,
    };
    Some(Alarm { member: unsigned(&alarm["memberID"])?, kind })
}

/// One line of a watch.
#[derive(Debug)]
pub enum WatchLine {
    /// The server has the watch.
    Created(Header),
    /// Changes, or none: a sign of life.
    Changes {
        /// The changes.
        batch: WatchBatch,
        /// More of the same answer follows: the last revision may not be whole.
        fragment: bool,
    },
}

/// Reads one line of a watch. `canceled` is looked at first: a server may say both that and `created`.
pub fn watch_line(line: &Value) -> Result<WatchLine, Error> {
    let odd = || Error::new(ErrorKind::BadReply, "a watch answered without etcd's JSON");
    if line.get("error").is_some() {
        return Err(error(line).unwrap_or_else(odd));
    }
    let result = line.get("result").ok_or_else(odd)?;
    let compacted = number(&result["compact_revision"]).unwrap_or(0);
    if compacted > 0 {
        return Err(canceled("required revision has been compacted").compacted_at(compacted));
    }
    if result["canceled"] == json!(true) {
        return Err(canceled(result["cancel_reason"].as_str().unwrap_or_default()));
    }
    let header = header(result).ok_or_else(odd)?;
    if result["created"] == json!(true) {
        return Ok(WatchLine::Created(header));
    }
    let events = all(&result["events"], decode_event).ok_or_else(odd)?;
    let fragment = flag(&result["fragment"]).ok_or_else(odd)?;
    Ok(WatchLine::Changes { batch: WatchBatch { revision: header.revision, events }, fragment })
}

fn decode_event(event: &Value) -> Option<Event> {
    let kind = match event.get("type").and_then(Value::as_str) {
        None | Some("PUT") => EventKind::Put,
        Some("DELETE") => EventKind::Delete,
        Some(_) => return None,
    };
    Some(Event { kind, kv: decode_kv(event.get("kv")?)?, prev_kv: decode_prev_kv(event)? })
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

fn all<T>(value: &Value, decode: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Null => Some(Vec::new()),
        other => other.as_array()?.iter().map(decode).collect(),
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Null => Some(0),
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::Null => Some(0),
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        other => other.as_bool(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        other => other.as_str().map(Into::into),
    }
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

    /// As recorded from etcd 3.4.23 and 3.5.16.
    #[test]
    fn replies_are_read_with_their_defaults_left_out() {
        let range = Request::Range(RangeRequest::new(KeyRange::key("foo")));
        let answer = parse(
            r#"{"header":{"cluster_id":"14841639068965178418","revision":"9007199254740993","raft_term":"2"},
                "kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1"}],"count":"1"}"#,
        );
        let answer = reply(&range, &answer).unwrap();
        assert_eq!(answer.header.revision, 9_007_199_254_740_993);
        assert_eq!(answer.header.cluster_id, 14_841_639_068_965_178_418);
        let Body::Range(found) = answer.body else { panic!() };
        assert_eq!((found.kvs[0].key.as_slice(), found.kvs[0].value.as_slice()), (&b"foo"[..], &b""[..]));
        let empty = reply(&range, &parse(r#"{"header":{"revision":"2"}}"#)).unwrap();
        assert_eq!(empty.body, Body::Range(RangeReply::default()));
        let kept = parse(r#"{"result":{"header":{},"ID":"78"}}"#);
        let gone = reply(&Request::LeaseKeepAlive { id: 78 }, &kept).unwrap();
        assert_eq!(gone.body, Body::Lease { id: 78, ttl: 0 });
    }

    #[test]
    fn odd_replies_are_no_replies() {
        let range = Request::Range(RangeRequest::new(KeyRange::key("foo")));
        let texts = [
            r#"{}"#,
            r#"[]"#,
            r#"{"header":7}"#,
            r#"{"header":{},"kvs":7}"#,
            r#"{"header":{},"kvs":[{"key":"!"}]}"#,
            r#"{"header":{},"more":"yes"}"#,
            r#"{"header":{"revision":"99999999999999999999"}}"#,
        ];
        for text in texts {
            assert_eq!(reply(&range, &parse(text)), None, "{text}");
        }
        let alarm = Alarm { member: 0, kind: AlarmKind::Any };
        let alarms = Request::Alarm { action: AlarmAction::Get, alarm };
        assert_eq!(reply(&alarms, &parse(r#"{"header":{},"alarms":[{"alarm":"FIRE"}]}"#)), None);
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
        let ended = |text: &str| watch_line(&parse(text)).unwrap_err();
        let created = |reason: &str| {
            ended(&format!(r#"{{"result":{{"created":true,"canceled":true,"cancel_reason":"{reason}"}}}}"#))
                .kind()
        };
        assert_eq!(created("etcdserver: permission denied"), ErrorKind::PermissionDenied);
        assert_eq!(created("etcdserver: invalid auth token"), ErrorKind::Unauthenticated);
        assert_eq!(created("etcdserver: user name is empty"), ErrorKind::Unauthenticated);
        assert_eq!(created("mvcc: watcher range is empty"), ErrorKind::InvalidArgument);
        assert_eq!(created("anything"), ErrorKind::Unavailable);
        let compacted = ended(r#"{"result":{"canceled":true,"compact_revision":"5"}}"#);
        assert_eq!((compacted.kind(), compacted.compact_revision()), (ErrorKind::Compacted, Some(5)));
        assert_eq!(ended(r#"{"error":{"grpc_code":14,"message":"x"}}"#).kind(), ErrorKind::Unavailable);
        let deleted = r#"{"result":{"header":{"revision":"4"},
            "events":[{"type":"DELETE","kv":{"key":"Zm9v","mod_revision":"4"},"prev_kv":{"key":"Zm9v"}}]}}"#;
        let Ok(WatchLine::Changes { batch, fragment }) = watch_line(&parse(deleted)) else { panic!() };
        assert_eq!((batch.revision, batch.events[0].kind, fragment), (4, EventKind::Delete, false));
        assert_eq!(batch.events[0].prev_kv.as_ref().unwrap().key, b"foo");
    }
}
