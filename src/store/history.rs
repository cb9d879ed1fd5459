//! Keys and their past. The keys as they are now stand in a map; the past is a log of changes, each with what
//! was there before it, so that an older state is the present with the changes since then taken back.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::*;

/// One change of one key.
#[derive(Clone)]
pub struct Change {
    /// The key after it. A deleted one has its name, the revision, and version 0.
    pub kv: Arc<KeyValue>,
    /// The key before it.
    pub before: Option<Arc<KeyValue>>,
}

impl Change {
    pub fn kind(&self) -> EventKind {
        if self.kv.version == 0 { EventKind::Delete } else { EventKind::Put }
    }
}

/// All keys, now and since the last compaction.
pub struct History {
    /// The newest revision.
    pub revision: i64,
    /// The oldest revision that can still be read.
    pub compacted: i64,
    keys: BTreeMap<Vec<u8>, Arc<KeyValue>>,
    log: VecDeque<Change>,
}

impl History {
    /// Empty, at revision 1, as a new etcd.
    pub fn new() -> Self {
        History { revision: 1, compacted: -1, keys: BTreeMap::new(), log: VecDeque::new() }
    }

    pub fn get(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.keys.get(key)
    }

    /// The keys of a range as they are now, in order.
    pub fn in_range<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = &'a KeyValue> {
        let one = range.end.is_empty().then(|| self.keys.get(&range.start)).flatten();
        let first = (!range.end.is_empty()).then_some(range.start.as_slice());
        let from = |first| self.keys.range::<[u8], _>((Bound::Included(first), Bound::Unbounded));
        let many = first.into_iter().flat_map(from);
        let many = many.take_while(|(key, _)| range.contains(key)).map(|(_, kv)| kv);
        one.into_iter().chain(many).map(Arc::as_ref)
    }

    /// The keys of a range as they were at `revision`.
    fn in_range_at<'a>(&'a self, range: &'a KeyRange, revision: i64) -> Vec<&'a KeyValue> {
        let mut then: BTreeMap<&[u8], &KeyValue> = self.in_range(range).map(|kv| (&kv.key[..], kv)).collect();
        for change in self.since(revision + 1).rev().filter(|change| range.contains(&change.kv.key)) {
            match &change.before {
                Some(before) => then.insert(&before.key, before),
                None => then.remove(&change.kv.key[..]),
            };
        }
        then.into_values().collect()
    }

    /// All changes from `revision` on.
    pub fn since(&self, revision: i64) -> impl DoubleEndedIterator<Item = &Change> + Clone {
        self.log.range(self.log.partition_point(|change| change.kv.mod_revision < revision)..)
    }

    /// Whether the past can be read there; 0 and less mean now.
    pub fn check_revision(&self, revision: i64) -> Result<()> {
        if revision > self.revision {
            Err(Error::from_server(11, "etcdserver: mvcc: required revision is a future revision"))
        } else if revision > 0 && revision < self.compacted {
            Err(is_compacted())
        } else {
            Ok(())
        }
    }

    /// Answers a read whose revision was checked.
    pub fn read(&self, request: &RangeRequest) -> RangeReply {
        if request.range.end.is_empty() && request.revision <= 0 {
            return self.read_key(request);
        }
        let mut found: Vec<&KeyValue> = if request.revision > 0 {
            self.in_range_at(&request.range, request.revision)
        } else {
            self.in_range(&request.range).collect()
        };
        let count = found.len() as i64;
        if request.count_only {
            return RangeReply { count, ..RangeReply::default() };
        }
        found.retain(|kv| is_within_bounds(request, kv));
        sort(request, &mut found);
        let limit = usize::try_from(request.limit).ok().filter(|&limit| limit > 0).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        RangeReply { kvs: found.into_iter().map(|kv| copy(request, kv)).collect(), more, count }
    }

    /// The most frequent read: one key, as it is now.
    fn read_key(&self, request: &RangeRequest) -> RangeReply {
        let Some(kv) = self.keys.get(&request.range.start) else { return RangeReply::default() };
        let wanted = !request.count_only && is_within_bounds(request, kv);
        let kvs = if wanted { vec![copy(request, kv)] } else { Vec::new() };
        RangeReply { kvs, more: false, count: 1 }
    }

    /// Puts a key at the next revision, and tells the lease that it had.
    pub fn put(&mut self, key: &[u8], value: Vec<u8>, lease: i64) -> i64 {
        let revision = self.revision + 1;
        let after = |before: Option<&KeyValue>| {
            Arc::new(KeyValue {
                key: key.into(),
                value,
                create_revision: before.map_or(revision, |kv| kv.create_revision),
                mod_revision: revision,
                version: before.map_or(0, |kv| kv.version) + 1,
                lease,
            })
        };
        let (kv, before) = match self.keys.get_mut(key) {
            Some(there) => {
                let kv = after(Some(there));
                (kv.clone(), Some(std::mem::replace(there, kv)))
            }
            None => {
                let kv = after(None);
                self.keys.insert(key.into(), kv.clone());
                (kv, None)
            }
        };
        self.log_change(kv, before)
    }

    /// Deletes a key at the next revision, and tells the lease that it had. A missing one changes nothing.
    pub fn delete(&mut self, key: &[u8]) -> i64 {
        let Some((key, before)) = self.keys.remove_entry(key) else { return 0 };
        let kv = KeyValue { key, mod_revision: self.revision + 1, ..KeyValue::default() };
        self.log_change(Arc::new(kv), Some(before))
    }

    fn log_change(&mut self, kv: Arc<KeyValue>, before: Option<Arc<KeyValue>>) -> i64 {
        let lease = before.as_ref().map_or(0, |kv| kv.lease);
        self.log.push_back(Change { kv, before });
        lease
    }

    /// Makes the changes since the last commit the newest revision. Tells whether there were any.
    pub fn commit(&mut self) -> bool {
        let newest = self.log.back().map_or(0, |change| change.kv.mod_revision);
        let changed = newest > self.revision;
        self.revision = self.revision.max(newest);
        changed
    }

    /// Forgets what can only be seen before `revision`.
    pub fn compact(&mut self, revision: i64) -> Result<()> {
        if revision <= self.compacted {
            return Err(is_compacted());
        }
        self.check_revision(revision)?;
        self.compacted = revision;
        // The changes of that revision itself can still be watched.
        let kept = self.log.partition_point(|change| change.kv.mod_revision < revision);
        self.log.drain(..kept);
        Ok(())
    }

    /// A number that is the same for the same keys at a revision (0: now) that was checked.
    pub fn hash(&self, revision: i64) -> u32 {
        let all = RangeRequest { revision, ..RangeRequest::new(KeyRange::prefix("")) };
        let mut hash = Fnv::default();
        for kv in self.read(&all).kvs {
            let KeyValue { key, value, create_revision, mod_revision, version, lease } = &kv;
            (key, value, create_revision, mod_revision, version, lease).hash(&mut hash);
        }
        let hash = hash.finish();
        (hash ^ (hash >> 32)) as u32
    }

    /// Bytes of keys and values, and of those that are still there.
    pub fn size(&self) -> (usize, usize) {
        let size = |kv: &KeyValue| kv.key.len() + kv.value.len();
        let now: usize = self.keys.values().map(|kv| size(kv)).sum();
        let past: usize = self.log.iter().filter_map(|change| change.before.as_deref()).map(size).sum();
        (now + past, now)
    }
}

/// Fowler, Noll and Vo's hash, which is the same in every process.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What is said about revisions before the compacted one.
pub fn is_compacted() -> Error {
    Error::from_server(11, "etcdserver: mvcc: required revision has been compacted")
}

fn is_within_bounds(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |revision, min, max| (min == 0 || revision >= min) && (max == 0 || revision <= max);
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

/// Keys come in their order; equals keep it, whichever way they are sorted.
fn sort(request: &RangeRequest, found: &mut [&KeyValue]) {
    if request.sort_by == SortBy::Key && !request.descending {
        return;
    }
    let order = |a: &&KeyValue, b: &&KeyValue| -> Ordering {
        match request.sort_by {
            SortBy::Key => a.key.cmp(&b.key),
            SortBy::Version => a.version.cmp(&b.version),
            SortBy::Create => a.create_revision.cmp(&b.create_revision),
            SortBy::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortBy::Value => a.value.cmp(&b.value),
        }
    };
    found.sort_by(|a, b| if request.descending { order(b, a) } else { order(a, b) });
}

/// What of a key the answer shows.
fn copy(request: &RangeRequest, kv: &KeyValue) -> KeyValue {
    if !request.keys_only {
        return kv.clone();
    }
    KeyValue {
        key: kv.key.clone(),
        value: Vec::new(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}
