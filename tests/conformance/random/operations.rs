//! What random sequences are made of. Revisions are relative to what is there when an operation is done, and leases
//! are a few numbers: [`Real`] makes them real.

use etcd::model::*;
use proptest::prelude::*;
use proptest::sample::select;

/// The longest sequence.
pub const LONGEST: usize = 60;
/// How many leases there may be; 0 is none.
pub const LEASES: i64 = 3;

/// Few enough that equals stay in their order when a server sorts them.
const KEYS: [&str; 6] = ["a", "a/", "a/b", "a/c", "b", "c"];
const VALUES: [&str; 4] = ["", "x", "y", "z"];

#[derive(Debug, Clone)]
pub enum Step {
    Call(Request),
    Watch(WatchRequest),
}

pub fn sequence() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..LONGEST)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => put().prop_map(|put| Step::Call(Request::Put(put))),
        6 => range_request().prop_map(|range| Step::Call(Request::Range(range))),
        4 => delete().prop_map(|delete| Step::Call(Request::Delete(delete))),
        6 => txn(2).prop_map(|txn| Step::Call(Request::Txn(txn))),
        5 => lease_request().prop_map(Step::Call),
        1 => (0..6i64).prop_map(|ago| Step::Call(Request::Compact { revision: -1 - ago, physical: false })),
        1 => watch().prop_map(Step::Watch),
    ]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    select(&KEYS[..]).prop_map(|key| key.into())
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        4 => key().prop_map(KeyRange::key),
        2 => select(&["", "a", "a/", "z"][..]).prop_map(KeyRange::prefix),
        1 => key().prop_map(KeyRange::from_key),
        1 => (key(), key()).prop_map(|(start, end)| KeyRange { start, end }),
    ]
}

/// 0: now; less: so many before what is there, from -1 on; more: so many after it.
fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0), 4 => -8..0i64, 1 => 1..3i64]
}

fn put() -> impl Strategy<Value = PutRequest> {
    let flags = (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (key(), select(&VALUES[..]), prop_oneof![3 => Just(0), 2 => 1..=LEASES], flags).prop_map(
        |(key, value, lease, (prev_kv, ignore_value, ignore_lease))| PutRequest {
            key,
            value: if ignore_value { Vec::new() } else { value.into() },
            lease: if ignore_lease { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete() -> impl Strategy<Value = DeleteRequest> {
    (range(), any::<bool>()).prop_map(|(range, prev_kv)| DeleteRequest { range, prev_kv })
}

fn range_request() -> impl Strategy<Value = RangeRequest> {
    let targets = [SortBy::Key, SortBy::Version, SortBy::Create, SortBy::Mod, SortBy::Value];
    let sort = (select(targets.to_vec()), any::<bool>());
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let bound = || prop_oneof![6 => Just(0), 1 => -6..0i64];
    let bounds = (bound(), bound(), bound(), bound());
    (range(), 0..4i64, revision(), sort, flags, bounds).prop_map(
        |(range, limit, revision, (sort_by, descending), flags, bounds)| RangeRequest {
            range,
            limit,
            revision,
            sort_by,
            descending,
            keys_only: flags.0,
            count_only: flags.1,
            serializable: flags.2,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
        },
    )
}

fn compare() -> impl Strategy<Value = Compare> {
    let target = prop_oneof![
        (0..4i64).prop_map(CompareTarget::Version),
        revision().prop_map(CompareTarget::CreateRevision),
        revision().prop_map(CompareTarget::ModRevision),
        select(&VALUES[..]).prop_map(|value| CompareTarget::Value(value.into())),
        (0..=LEASES).prop_map(CompareTarget::Lease),
    ];
    let relation = select(&[Relation::Equal, Relation::Greater, Relation::Less, Relation::NotEqual][..]);
    (range(), target, relation).prop_map(|(range, target, relation)| Compare { range, target, relation })
}

fn op(depth: u32) -> BoxedStrategy<Op> {
    let plain = prop_oneof![
        3 => put().prop_map(Op::Put),
        2 => range_request().prop_map(Op::Range),
        1 => delete().prop_map(Op::Delete),
    ];
    match depth {
        0 => plain.boxed(),
        _ => prop_oneof![6 => plain, 1 => txn(depth - 1).prop_map(Op::Txn)].boxed(),
    }
}

fn txn(depth: u32) -> impl Strategy<Value = TxnRequest> {
    let ops = || prop::collection::vec(op(depth), 0..4);
    (prop::collection::vec(compare(), 0..3), ops(), ops())
        .prop_map(|(compares, then, otherwise)| TxnRequest { compares, then, otherwise })
}

fn lease_request() -> impl Strategy<Value = Request> {
    let id = || 1..=LEASES;
    prop_oneof![
        3 => (id(), 600..700i64).prop_map(|(id, ttl)| Request::LeaseGrant { id, ttl }),
        1 => id().prop_map(|id| Request::LeaseRevoke { id }),
        1 => id().prop_map(|id| Request::LeaseKeepAlive { id }),
        2 => (id(), any::<bool>()).prop_map(|(id, keys)| Request::LeaseTimeToLive { id, keys }),
        1 => Just(Request::Leases),
    ]
}

fn watch() -> impl Strategy<Value = WatchRequest> {
    let flags = (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    (range(), revision(), flags).prop_map(|(range, start_revision, (prev_kv, no_put, no_delete))| {
        WatchRequest { range, start_revision, prev_kv, no_put, no_delete }
    })
}

/// What is relative, made absolute: the newest revision is `newest`, and the side's revisions are `offset` more.
pub struct Real {
    pub newest: i64,
    pub offset: i64,
    pub leases: i64,
    /// Whether reads may leave the values out.
    pub keys_only: bool,
    /// Whether reads may sort by what several keys have in common.
    pub equals: bool,
}

/// A watch as one side gets it.
pub fn resolve_watch(request: &WatchRequest, newest: i64, offset: i64) -> WatchRequest {
    let mut request = request.clone();
    Real { newest, offset, leases: 0, keys_only: true, equals: true }.revision(&mut request.start_revision);
    request
}

impl Real {
    /// A request as one side gets it.
    pub fn request(&self, request: &Request) -> Request {
        let mut request = request.clone();
        match &mut request {
            Request::Put(put) => self.lease(&mut put.lease),
            Request::Range(range) => self.range(range),
            Request::Txn(txn) => self.txn(txn),
            Request::Compact { revision, .. } => self.revision(revision),
            Request::LeaseGrant { id, .. }
            | Request::LeaseRevoke { id }
            | Request::LeaseKeepAlive { id }
            | Request::LeaseTimeToLive { id, .. } => self.lease(id),
            _ => {}
        }
        request
    }

    fn revision(&self, revision: &mut i64) {
        *revision = match *revision {
            0 => 0,
            // Not before the first write of the sequence.
            before if before < 0 => (self.newest + before + 1).max(2) + self.offset,
            after => self.newest + after + self.offset,
        };
    }

    fn lease(&self, lease: &mut i64) {
        if *lease != 0 {
            *lease += self.leases;
        }
    }

    fn range(&self, range: &mut RangeRequest) {
        self.revision(&mut range.revision);
        self.revision(&mut range.min_mod_revision);
        self.revision(&mut range.max_mod_revision);
        self.revision(&mut range.min_create_revision);
        self.revision(&mut range.max_create_revision);
        range.keys_only &= self.keys_only;
        if !self.equals {
            range.sort_by = SortBy::Key;
        }
    }

    fn txn(&self, txn: &mut TxnRequest) {
        for compare in &mut txn.compares {
            match &mut compare.target {
                CompareTarget::CreateRevision(revision) | CompareTarget::ModRevision(revision) => {
                    self.revision(revision);
                }
                CompareTarget::Lease(lease) => self.lease(lease),
                CompareTarget::Version(_) | CompareTarget::Value(_) => {}
            }
        }
        for op in txn.then.iter_mut().chain(&mut txn.otherwise) {
            match op {
                Op::Put(put) => self.lease(&mut put.lease),
                Op::Range(range) => self.range(range),
                Op::Delete(_) => {}
                Op::Txn(txn) => self.txn(txn),
            }
        }
    }
}

/// Moves the revisions in an answer.
pub fn shift(body: &mut Body, by: i64) {
    match body {
        Body::Range(range) => shift_all(&mut range.kvs, by),
        Body::Put(prev_kv) => prev_kv.iter_mut().for_each(|kv| shift_kv(kv, by)),
        Body::Delete(delete) => shift_all(&mut delete.prev_kvs, by),
        Body::Txn(txn) => shift_txn(txn, by),
        _ => {}
    }
}

fn shift_txn(txn: &mut TxnReply, by: i64) {
    for reply in &mut txn.replies {
        match reply {
            OpReply::Range(range) => shift_all(&mut range.kvs, by),
            OpReply::Put(prev_kv) => prev_kv.iter_mut().for_each(|kv| shift_kv(kv, by)),
            OpReply::Delete(delete) => shift_all(&mut delete.prev_kvs, by),
            OpReply::Txn(txn) => shift_txn(txn, by),
        }
    }
}

/// Moves the revisions in a change.
pub fn shift_event(event: &mut Event, by: i64) {
    shift_kv(&mut event.kv, by);
    event.prev_kv.iter_mut().for_each(|kv| shift_kv(kv, by));
}

fn shift_all(kvs: &mut [KeyValue], by: i64) {
    kvs.iter_mut().for_each(|kv| shift_kv(kv, by));
}

fn shift_kv(kv: &mut KeyValue, by: i64) {
    kv.mod_revision += by;
    if kv.create_revision != 0 {
        kv.create_revision += by;
    }
}

/// A step as a line: bytes as text, defaults left out.
pub fn line(step: &Step) -> String {
    let text = format!("{step:?}");
    let mut line = String::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find('[') {
        let (before, list) = rest.split_at(start);
        line += before;
        let end = list.find(']').unwrap_or(list.len() - 1);
        let bytes: Option<Vec<u8>> = list[1..end].split(", ").map(|number| number.parse().ok()).collect();
        match bytes {
            Some(bytes) => line += &format!("\"{}\"", bytes.escape_ascii()),
            None if end == 1 => line += "[]",
            None => {
                line.push('[');
                rest = &list[1..];
                continue;
            }
        }
        rest = &list[end + 1..];
    }
    line += rest;
    let numbers = ["limit", "revision", "lease", "start_revision"].map(|name| format!("{name}: 0"));
    let bounds = ["min_mod", "max_mod", "min_create", "max_create"].map(|name| format!("{name}_revision: 0"));
    let flags = ["descending", "keys_only", "count_only", "serializable", "prev_kv", "ignore_value"];
    let flags =
        flags.iter().chain(&["ignore_lease", "no_put", "no_delete"]).map(|name| format!("{name}: false"));
    let defaults = numbers.into_iter().chain(bounds).chain(flags).chain(["sort_by: Key".to_owned()]);
    defaults.fold(line, |line, default| line.replace(&format!(", {default}"), ""))
}
