//! A namespace: put before every key on its way to the servers, taken off on its way back.

use crate::model::*;

/// A prefix of all keys that a client sees; empty: it sees them as they are.
pub struct Namespace(Vec<u8>);

impl Namespace {
    /// The keys that start with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Namespace(prefix.into())
    }

    /// The keys are as they are.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// A request as the servers see it.
    pub fn enter(&self, request: &Request) -> Request {
        let mut request = request.clone();
        match &mut request {
            Request::Range(range) => self.enter_range(&mut range.range),
            Request::Put(put) => self.enter_key(&mut put.key),
            Request::Delete(delete) => self.enter_range(&mut delete.range),
            Request::Txn(txn) => self.enter_txn(txn),
            _ => {}
        }
        request
    }

    /// A watch as the servers see it.
    pub fn enter_watch(&self, request: &WatchRequest) -> WatchRequest {
        let mut request = request.clone();
        if request.range.start.is_empty() {
            // Servers make this of it, which would be outside.
            request.range.start.push(0);
        }
        self.enter_range(&mut request.range);
        request
    }

    /// An answer as the caller sees it.
    pub fn leave(&self, reply: &mut Reply) {
        match &mut reply.body {
            Body::Range(range) => self.leave_all(&mut range.kvs),
            Body::Put(prev_kv) => prev_kv.iter_mut().for_each(|kv| self.leave_key(&mut kv.key)),
            Body::Delete(delete) => self.leave_all(&mut delete.prev_kvs),
            Body::Txn(txn) => self.leave_txn(txn),
            // A lease may serve keys elsewhere, too.
            Body::LeaseTimeToLive(lease) => {
                lease.keys.retain(|key| key.starts_with(&self.0));
                lease.keys.iter_mut().for_each(|key| self.leave_key(key));
            }
            _ => {}
        }
    }

    /// Changes as the caller sees them.
    pub fn leave_batch(&self, batch: &mut WatchBatch) {
        for event in &mut batch.events {
            self.leave_key(&mut event.kv.key);
            event.prev_kv.iter_mut().for_each(|kv| self.leave_key(&mut kv.key));
        }
    }

    fn enter_key(&self, key: &mut Vec<u8>) {
        // An empty key is refused as it would be without a namespace.
        if !key.is_empty() {
            key.splice(..0, self.0.iter().copied());
        }
    }

    fn enter_range(&self, range: &mut KeyRange) {
        match range.end[..] {
            [] => {}
            // No end: that of the namespace.
            [0] => range.end = KeyRange::prefix(&self.0[..]).end,
            _ => self.enter_key(&mut range.end),
        }
        self.enter_key(&mut range.start);
    }

    fn enter_txn(&self, txn: &mut TxnRequest) {
        txn.compares.iter_mut().for_each(|compare| self.enter_range(&mut compare.range));
        for op in txn.then.iter_mut().chain(&mut txn.otherwise) {
            match op {
                Op::Range(range) => self.enter_range(&mut range.range),
                Op::Put(put) => self.enter_key(&mut put.key),
                Op::Delete(delete) => self.enter_range(&mut delete.range),
                Op::Txn(txn) => self.enter_txn(txn),
            }
        }
    }

    fn leave_key(&self, key: &mut Vec<u8>) {
        if key.starts_with(&self.0) {
            key.drain(..self.0.len());
        }
    }

    fn leave_all(&self, kvs: &mut [KeyValue]) {
        kvs.iter_mut().for_each(|kv| self.leave_key(&mut kv.key));
    }

    fn leave_txn(&self, txn: &mut TxnReply) {
        for reply in &mut txn.replies {
            match reply {
                OpReply::Range(range) => self.leave_all(&mut range.kvs),
                OpReply::Put(prev_kv) => prev_kv.iter_mut().for_each(|kv| self.leave_key(&mut kv.key)),
                OpReply::Delete(delete) => self.leave_all(&mut delete.prev_kvs),
                OpReply::Txn(txn) => self.leave_txn(txn),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stay_within_the_namespace() {
        let namespace = Namespace::new("ns/");
        let table = [
            (KeyRange::key("a"), KeyRange::key("ns/a")),
            (KeyRange::prefix("a/"), KeyRange::prefix("ns/a/")),
            (KeyRange::from_key("a"), KeyRange { start: b"ns/a".into(), end: b"ns0".into() }),
            (KeyRange::prefix(""), KeyRange { start: b"ns/\0".into(), end: b"ns0".into() }),
            (KeyRange::key(""), KeyRange::key("")),
        ];
        for (given, sent) in table {
            let Request::Range(entered) = namespace.enter(&Request::Range(RangeRequest::new(given))) else {
                panic!()
            };
            assert_eq!(entered.range, sent);
        }
        let to_the_end = Namespace::new("\u{7f}");
        let all = WatchRequest::new(KeyRange::from_key("a"), 0);
        assert_eq!(to_the_end.enter_watch(&all).range.end, [0x80]);
        let from_nothing = WatchRequest::new(KeyRange { start: vec![], end: b"b".into() }, 0);
        let inside = KeyRange { start: b"ns/\0".into(), end: b"ns/b".into() };
        assert_eq!(namespace.enter_watch(&from_nothing).range, inside);
    }

    #[test]
    fn every_key_goes_in_and_comes_out() {
        let namespace = Namespace::new("ns/");
        let inner = TxnRequest {
            compares: vec![Compare { range: KeyRange::prefix("c"), ..Compare::exists("c") }],
            then: vec![Op::Put(PutRequest::new("p", "v"))],
            otherwise: vec![Op::Delete(DeleteRequest::new(KeyRange::from_key("d")))],
        };
        let request = Request::Txn(TxnRequest { then: vec![Op::Txn(inner)], ..TxnRequest::default() });
        let Request::Txn(entered) = namespace.enter(&request) else { panic!() };
        let [Op::Txn(inner)] = &entered.then[..] else { panic!() };
        assert_eq!(inner.compares[0].range, KeyRange::prefix("ns/c"));
        assert_eq!(inner.then, [Op::Put(PutRequest::new("ns/p", "v"))]);
        let [Op::Delete(delete)] = &inner.otherwise[..] else { panic!() };
        assert_eq!(delete.range, KeyRange { start: b"ns/d".into(), end: b"ns0".into() });

        let kv = |key: &str| KeyValue { key: key.into(), ..KeyValue::default() };
        let replies = vec![
            OpReply::Range(RangeReply { kvs: vec![kv("ns/a")], ..RangeReply::default() }),
            OpReply::Put(Some(kv("ns/b"))),
            OpReply::Delete(DeleteReply { deleted: 1, prev_kvs: vec![kv("ns/c")] }),
        ];
        let inner = OpReply::Txn(TxnReply { succeeded: true, replies });
        let body = Body::Txn(TxnReply { succeeded: true, replies: vec![inner] });
        let mut reply = Reply { header: Header::default(), body };
        namespace.leave(&mut reply);
        assert!(
            !format!("{reply:?}").contains(format!("{:?}", b"ns/").trim_matches(['[', ']'])),
            "{reply:?}"
        );

        let keys = vec![b"ns/k".to_vec(), b"elsewhere".to_vec()];
        let body = Body::LeaseTimeToLive(LeaseReply { keys, ..LeaseReply::default() });
        let mut reply = Reply { header: Header::default(), body };
        namespace.leave(&mut reply);
        let Body::LeaseTimeToLive(lease) = reply.body else { panic!() };
        assert_eq!(lease.keys, [b"k"]);
    }
}
