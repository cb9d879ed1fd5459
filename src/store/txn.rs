//! Writes. As in etcd, everything that can be wrong with a request is found before any of it is done, and the
//! conditions of all nested transactions look at what was there before the outermost one.

use std::collections::HashSet;

use super::State;
use crate::error::{Error, Result};
use crate::model::*;

/// etcd's default for `--max-txn-ops`: at most so many conditions or operations in a branch, those of nested
/// transactions added to the longest list around them.
const MAX_TXN_OPS: usize = 128;

/// What can be seen of a request without looking at the store.
pub fn check_form(request: &Request) -> Result<()> {
    match request {
        Request::Range(range) => check_key(&range.range.start),
        Request::Put(put) => check_put(put),
        Request::Delete(delete) => check_key(&delete.range.start),
        Request::Txn(txn) => {
            check_txn(txn, MAX_TXN_OPS)?;
            check_overlaps(&txn.then)?;
            check_overlaps(&txn.otherwise).map(|_| ())
        }
        _ => Ok(()),
    }
}

fn check_key(key: &[u8]) -> Result<()> {
    if key.is_empty() { Err(Error::from_server(3, "etcdserver: key is not provided")) } else { Ok(()) }
}

fn check_put(put: &PutRequest) -> Result<()> {
    check_key(&put.key)?;
    if put.ignore_value && !put.value.is_empty() {
        return Err(Error::from_server(3, "etcdserver: value is provided"));
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(Error::from_server(3, "etcdserver: lease is provided"));
    }
    Ok(())
}

fn check_txn(txn: &TxnRequest, limit: usize) -> Result<()> {
    let longest = txn.compares.len().max(txn.then.len()).max(txn.otherwise.len());
    let Some(left) = limit.checked_sub(longest) else {
        return Err(Error::from_server(3, "etcdserver: too many operations in txn request"));
    };
    txn.compares.iter().try_for_each(|compare| check_key(&compare.range.start))?;
    txn.ops().try_for_each(|op| match op {
        Op::Range(range) => check_key(&range.range.start),
        Op::Put(put) => check_put(put),
        Op::Delete(delete) => check_key(&delete.range.start),
        Op::Txn(txn) => check_txn(txn, left),
    })
}

/// The keys that a branch may put, and the ranges that it may delete.
struct Touched<'a> {
    puts: HashSet<&'a [u8]>,
    deletes: Vec<&'a KeyRange>,
}

impl<'a> Touched<'a> {
    fn deletes(&self, key: &[u8]) -> bool {
        self.deletes.iter().any(|range| match &range.end[..] {
            // etcd does not see that a range without an end covers anything.
            [0] => false,
            _ => range.contains(key),
        })
    }

    /// A key that is put must be neither put nor deleted elsewhere in the branch.
    fn put(&mut self, key: &'a [u8], also_fine: impl Fn(&[u8]) -> bool) -> Result<()> {
        let twice = self.puts.contains(key) && !also_fine(key);
        if twice || self.deletes(key) {
            return Err(Error::from_server(3, "etcdserver: duplicate key given in txn request"));
        }
        self.puts.insert(key);
        Ok(())
    }
}

/// Refuses a branch that may change a key twice, nested transactions included.
fn check_overlaps(ops: &[Op]) -> Result<Touched<'_>> {
    let mut touched = Touched { puts: HashSet::new(), deletes: Vec::new() };
    touched.deletes.extend(ops.iter().filter_map(|op| match op {
        Op::Delete(delete) => Some(&delete.range),
        _ => None,
    }));
    for op in ops {
        let Op::Txn(txn) = op else { continue };
        let (then, otherwise) = (check_overlaps(&txn.then)?, check_overlaps(&txn.otherwise)?);
        then.puts.iter().try_for_each(|key| touched.put(key, |_| false))?;
        // Only one of the two branches is done.
        otherwise.puts.iter().try_for_each(|key| touched.put(key, |key| then.puts.contains(key)))?;
        touched.deletes.extend(then.deletes.into_iter().chain(otherwise.deletes));
    }
    for op in ops {
        if let Op::Put(put) = op {
            touched.put(&put.key, |_| false)?;
        }
    }
    Ok(touched)
}

impl State {
    pub fn put(&mut self, put: &PutRequest) -> Result<Option<KeyValue>> {
        self.check_lease(put)?;
        self.check_kept(put)?;
        Ok(self.do_put(put))
    }

    pub fn delete(&mut self, delete: &DeleteRequest) -> DeleteReply {
        let keys: Vec<Vec<u8>> = self.history.in_range(&delete.range).map(|kv| kv.key.clone()).collect();
        let prev_kvs =
            if delete.prev_kv { self.history.in_range(&delete.range).cloned().collect() } else { Vec::new() };
        keys.iter().for_each(|key| self.delete_key(key));
        DeleteReply { deleted: keys.len() as i64, prev_kvs }
    }

    pub fn delete_key(&mut self, key: &[u8]) {
        let lease = self.history.delete(key);
        self.leases.detach(lease, key);
    }

    pub fn txn(&mut self, txn: &TxnRequest) -> Result<TxnReply> {
        let path = self.path(txn);
        self.check_branch(&path)?;
        Ok(self.do_txn(&path))
    }

    /// One that changes nothing.
    pub fn read_txn(&self, txn: &TxnRequest) -> Result<TxnReply> {
        let path = self.path(txn);
        self.check_branch(&path)?;
        Ok(self.read_branch(&path))
    }

    fn read_branch(&self, path: &Path) -> TxnReply {
        let replies = path.steps.iter().filter_map(|step| match step {
            Step::Range(range) => Some(OpReply::Range(self.history.read(range))),
            Step::Txn(path) => Some(OpReply::Txn(self.read_branch(path))),
            // No reads, so not here.
            Step::Put(_) | Step::Delete(_) => None,
        });
        TxnReply { succeeded: path.succeeded, replies: replies.collect() }
    }

    /// Which branches are done: decided for all of them before anything is.
    fn path<'a>(&self, txn: &'a TxnRequest) -> Path<'a> {
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { &txn.then } else { &txn.otherwise };
        let steps = ops.iter().map(|op| match op {
            Op::Range(range) => Step::Range(range),
            Op::Put(put) => Step::Put(put),
            Op::Delete(delete) => Step::Delete(delete),
            Op::Txn(txn) => Step::Txn(self.path(txn)),
        });
        Path { succeeded, steps: steps.collect() }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let mut found = self.history.in_range(&compare.range).peekable();
        if found.peek().is_none() {
            // A missing key has no value to compare: false for every relation.
            return !matches!(compare.target, CompareTarget::Value(_))
                && holds_for(compare, &KeyValue::default());
        }
        found.all(|kv| holds_for(compare, kv))
    }

    fn check_branch(&self, path: &Path) -> Result<()> {
        path.steps.iter().try_for_each(|step| match step {
            Step::Range(range) => self.history.check_revision(range.revision),
            Step::Put(put) => self.check_kept(put).and_then(|()| self.check_lease(put)),
            Step::Delete(_) => Ok(()),
            Step::Txn(path) => self.check_branch(path),
        })
    }

    fn check_lease(&self, put: &PutRequest) -> Result<()> {
        if put.lease == 0 || self.leases.exists(put.lease) { Ok(()) } else { Err(super::lease::not_found()) }
    }

    /// What keeps its value or lease must have one.
    fn check_kept(&self, put: &PutRequest) -> Result<()> {
        let keeps = put.ignore_value || put.ignore_lease;
        if keeps && self.history.get(&put.key).is_none() {
            return Err(Error::from_server(3, "etcdserver: key not found"));
        }
        Ok(())
    }

    fn do_put(&mut self, put: &PutRequest) -> Option<KeyValue> {
        // Most puts don't ask for what was there.
        let asks = put.prev_kv || put.ignore_value || put.ignore_lease;
        let before = if asks { self.history.get(&put.key) } else { None };
        let prev_kv = before.filter(|_| put.prev_kv).map(|kv| KeyValue::clone(kv));
        let value =
            before.filter(|_| put.ignore_value).map_or_else(|| put.value.clone(), |kv| kv.value.clone());
        let lease = before.filter(|_| put.ignore_lease).map_or(put.lease, |kv| kv.lease);
        let old_lease = self.history.put(&put.key, value, lease);
        self.leases.move_key(&put.key, old_lease, lease);
        prev_kv
    }

    fn do_txn(&mut self, path: &Path) -> TxnReply {
        let replies = path.steps.iter().map(|step| match step {
            Step::Range(range) => OpReply::Range(self.history.read(range)),
            Step::Put(put) => OpReply::Put(self.do_put(put)),
            Step::Delete(delete) => OpReply::Delete(self.delete(delete)),
            Step::Txn(path) => OpReply::Txn(self.do_txn(path)),
        });
        TxnReply { succeeded: path.succeeded, replies: replies.collect() }
    }
}

/// A transaction whose conditions were looked at.
struct Path<'a> {
    succeeded: bool,
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Range(&'a RangeRequest),
    Put(&'a PutRequest),
    Delete(&'a DeleteRequest),
    Txn(Path<'a>),
}

fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    let order = match &compare.target {
        CompareTarget::Version(version) => kv.version.cmp(version),
        CompareTarget::CreateRevision(revision) => kv.create_revision.cmp(revision),
        CompareTarget::ModRevision(revision) => kv.mod_revision.cmp(revision),
        CompareTarget::Value(value) => kv.value.cmp(value),
        CompareTarget::Lease(lease) => kv.lease.cmp(lease),
    };
    match compare.relation {
        Relation::Equal => order.is_eq(),
        Relation::Greater => order.is_gt(),
        Relation::Less => order.is_lt(),
        Relation::NotEqual => order.is_ne(),
    }
}
