//! A store under test, and what cases share.

use std::fmt;
use std::time::Duration;

use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, Error, ErrorKind};
use libtest_mimic::Failed;

use crate::Case;
use crate::differences;
use crate::support::{self, ALL_VERSIONS, Etcd};

/// Where a case runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The embedded store.
    Mem,
    /// A real server of this version, spoken to with gRPC.
    Etcd(&'static str),
    /// The same through its JSON gateway.
    Json(&'static str),
}

impl Place {
    pub fn all() -> Vec<Self> {
        let servers = ALL_VERSIONS.iter().flat_map(|version| [Place::Etcd(version), Place::Json(version)]);
        std::iter::once(Place::Mem).chain(servers).collect()
    }

    /// The server's version; `None` for the embedded store.
    pub fn version(self) -> Option<&'static str> {
        match self {
            Place::Mem => None,
            Place::Etcd(version) | Place::Json(version) => Some(version),
        }
    }

    /// How the server is named to the library.
    pub fn endpoints(self, etcd: &Etcd) -> String {
        match self {
            Place::Json(_) => format!("json+http://{}", etcd.servers()),
            _ => etcd.servers(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Mem => f.write_str("mem"),
            Place::Etcd(version) => write!(f, "etcd {version}"),
            Place::Json(version) => write!(f, "etcd {version} by JSON"),
        }
    }
}

/// A store of a case's own.
pub struct Subject {
    pub place: Place,
    pub client: Client,
    /// The server behind it.
    pub etcd: Option<Etcd>,
}

/// Runs a case at a place. A server that is not to be had was noted as skipped.
pub fn run(case: &Case, place: Place) -> Result<(), Failed> {
    if let Some(subject) = Subject::start(place) {
        (case.run)(&subject);
    }
    Ok(())
}

impl Subject {
    /// A store of its own. `None` (and noted as skipped) where it is not to be had.
    pub fn start(place: Place) -> Option<Self> {
        let etcd = match place.version() {
            None => None,
            Some(version) => Some(Etcd::start(version)?),
        };
        let endpoints = etcd.as_ref().map_or("mem://".into(), |etcd| place.endpoints(etcd));
        let client = support::client(&endpoints, &[]);
        Some(Subject { place, client, etcd })
    }

    /// Whether this place behaves in a way of its own, which is documented.
    pub fn differs(&self, name: &str) -> bool {
        differences::differs(self.place, name)
    }

    pub fn put(&self, key: &str, value: &str) -> i64 {
        self.client.put(key, value, 0).expect("a put")
    }

    pub fn call(&self, request: Request) -> Reply {
        self.client.call(&request).unwrap_or_else(|error| panic!("{request:?}: {error}"))
    }

    /// The error of a request that must be refused.
    pub fn refused(&self, request: Request) -> Error {
        match self.client.call(&request) {
            Ok(reply) => panic!("{request:?} is answered with {reply:?}"),
            Err(error) => error,
        }
    }

    pub fn range(&self, request: RangeRequest) -> RangeReply {
        self.client.range(request).expect("a read").1
    }

    /// The names of the keys that a read finds.
    pub fn names(&self, request: RangeRequest) -> Vec<String> {
        names(&self.range(request).kvs)
    }

    pub fn get(&self, key: &str) -> Option<KeyValue> {
        self.client.get(key).expect("a read")
    }

    pub fn txn(&self, txn: TxnRequest) -> (i64, TxnReply) {
        self.client.txn(txn).expect("a transaction")
    }

    /// Changes as they come, until `count` of them came.
    pub fn changes(&self, request: WatchRequest, count: usize) -> Vec<WatchBatch> {
        let mut watcher = self.client.watch(request);
        let mut batches: Vec<WatchBatch> = Vec::new();
        while batches.iter().map(|batch| batch.events.len()).sum::<usize>() < count {
            let batch = watcher.next(Deadline::after(PATIENCE), self.client.closed());
            let told: usize = batches.iter().map(|batch| batch.events.len()).sum();
            batches.push(batch.unwrap_or_else(|error| panic!("after {told} changes of {count}: {error}")));
        }
        batches
    }
}

/// How long something may take that will surely come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn names(kvs: &[KeyValue]) -> Vec<String> {
    kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

pub fn key(key: &str) -> RangeRequest {
    RangeRequest::new(KeyRange::key(key))
}

pub fn prefix(prefix: &str) -> RangeRequest {
    RangeRequest::new(KeyRange::prefix(prefix))
}

pub fn between(start: &str, end: &str) -> KeyRange {
    KeyRange { start: start.into(), end: end.into() }
}

pub fn put(key: &str, value: &str) -> Op {
    Op::Put(PutRequest::new(key, value))
}

pub fn delete(range: KeyRange) -> Op {
    Op::Delete(DeleteRequest::new(range))
}

pub fn then(ops: Vec<Op>) -> TxnRequest {
    TxnRequest { then: ops, ..TxnRequest::default() }
}

/// What a refusal says, in the words that programs tell refusals apart by.
pub fn says(error: &Error, kind: ErrorKind, text: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.fault().contains(text), "{text:?} in {error}");
}
