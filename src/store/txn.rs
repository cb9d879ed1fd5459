//! Writes: everything that one request changes, in one revision, undone when a part of it fails.

use super::{State, check_key};
use crate::error::{Error, Result};
use crate::model::*;

/// A write in progress on a state.
pub struct Write<'a> {
    state: &'a mut State,
    /// The revision it will be, if it changes anything.
    revision: i64,
    events: Vec<Event>,
    /// What stood there before, newest last.
    before: Vec<(Vec<u8>, Option<KeyValue>)>,
}

impl<'a> Write<'a> {
    pub fn new(state: &'a mut State) -> Self {
        let revision = state.revision + 1;
        Write { state, revision, events: Vec::new(), before: Vec::new() }
    }

    /// Makes it the store's newest revision.
    pub fn commit(self) -> Vec<Event> {
        if !self.events.is_empty() {
            self.state.revision = self.revision;
        }
        self.events
    }

    /// Puts everything back as it was.
    pub fn roll_back(mut self) {
        for (key, before) in std::mem::take(&mut self.before).into_iter().rev() {
            self.replace(key, before);
        }
    }

    pub fn put(&mut self, put: &PutRequest) -> Result<()> {
        check_key(&put.key)?;
        if put.lease != 0 && !self.state.leases.contains_key(&put.lease) {
            return Err(Error::from_server(5, "etcdserver: requested lease not found"));
        }
        let before = self.state.keys.get(&put.key);
        let kv = KeyValue {
            key: put.key.clone(),
            value: put.value.clone(),
            create_revision: before.map_or(self.revision, |kv| kv.create_revision),
            mod_revision: self.revision,
            version: before.map_or(0, |kv| kv.version) + 1,
            lease: put.lease,
        };
        self.change(EventKind::Put, kv);
        Ok(())
    }

    pub fn delete(&mut self, delete: &DeleteRequest) -> Result<i64> {
        check_key(&delete.range.start)?;
        let keys: Vec<Vec<u8>> = self.state.in_range(&delete.range).map(|kv| kv.key.clone()).collect();
        let deleted = keys.len() as i64;
        for key in keys {
            let kv = KeyValue { key, mod_revision: self.revision, ..KeyValue::default() };
            self.change(EventKind::Delete, kv);
        }
        Ok(deleted)
    }

    pub fn txn(&mut self, txn: &TxnRequest) -> Result<TxnReply> {
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { &txn.then } else { &txn.otherwise };
        let replies = ops.iter().map(|op| match op {
            Op::Range(range) => self.state.range(range).map(OpReply::Range),
            Op::Put(put) => self.put(put).map(|()| OpReply::Put),
            Op::Delete(delete) => self.delete(delete).map(|deleted| OpReply::Delete { deleted }),
        });
        Ok(TxnReply { succeeded, replies: replies.collect::<Result<_>>()? })
    }

    fn holds(&self, compare: &Compare) -> bool {
        let kv = self.state.keys.get(&compare.key);
        let equal = match &compare.target {
            CompareTarget::Version(version) => kv.map_or(0, |kv| kv.version) == *version,
            CompareTarget::CreateRevision(revision) => kv.map_or(0, |kv| kv.create_revision) == *revision,
            CompareTarget::Value(value) => match kv {
                Some(kv) => kv.value == *value,
                // A missing key has no value to compare: false for every relation.
                None => return false,
            },
        };
        equal == (compare.relation == Relation::Equal)
    }

    fn change(&mut self, kind: EventKind, kv: KeyValue) {
        let after = (kind == EventKind::Put).then(|| kv.clone());
        let before = self.replace(kv.key.clone(), after);
        self.before.push((kv.key.clone(), before));
        self.events.push(Event { kind, kv });
    }

    /// Swaps what stands at `key`, and keeps the leases' lists of keys in step.
    fn replace(&mut self, key: Vec<u8>, after: Option<KeyValue>) -> Option<KeyValue> {
        let new_lease = after.as_ref().map_or(0, |kv| kv.lease);
        let before = match after {
            Some(kv) => self.state.keys.insert(key.clone(), kv),
            None => self.state.keys.remove(&key),
        };
        let old_lease = before.as_ref().map_or(0, |kv| kv.lease);
        if let Some(lease) = self.state.leases.get_mut(&old_lease) {
            lease.keys.remove(&key);
        }
        if let Some(lease) = self.state.leases.get_mut(&new_lease) {
            lease.keys.insert(key);
        }
        before
    }
}
