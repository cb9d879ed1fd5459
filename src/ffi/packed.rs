//! Events as bytes, many in one buffer: docs/packed-records.md is the layout in words.

use super::queue::{
    ETCD_EVENT_ACQUIRED, ETCD_EVENT_CHANGES, ETCD_EVENT_LEADER, ETCD_EVENT_LOST, ETCD_EVENT_REPLY,
    ETCD_EVENT_WATCH_END, ETCD_EVENT_WATCH_STATE, ETCD_WATCH_COMPACTED, ETCD_WATCH_LIVE, ETCD_WATCH_PARKED,
    ETCD_WATCH_PROGRESS, ETCD_WATCH_RESET, ETCD_WATCH_RESUMING, ETCD_WATCH_RESYNCED,
};
use super::reply::{ETCD_KV_DELETE, ETCD_KV_KEY, ETCD_KV_PREVIOUS, ETCD_KV_PUT};
use super::status::status_of;
use crate::client::queue::{Completion, Taken, What};
use crate::client::{Answer, News, retry};
use crate::error::{Error, Outcome};
use crate::model::*;

/// The version of the layout: the first byte behind a record's length.
pub const ETCD_PACKED_VERSION: i32 = 1;
/// Flag of a record: the last one of its tag.
pub const ETCD_PACKED_LAST: i32 = 1;
/// Flag of a record: its reply is to be taken with etcd_queue_take_reply().
pub const ETCD_PACKED_TAKE: i32 = 2;
/// Flag of a record: the comparisons of the transaction held.
pub const ETCD_PACKED_SUCCEEDED: i32 = 4;
/// Flag of a record: there are more keys behind the limit.
pub const ETCD_PACKED_MORE: i32 = 8;
/// Flag of a record: the failure may pass, and trying again can do no harm.
pub const ETCD_PACKED_RETRIABLE: i32 = 16;
/// Flag of a record: the change that failed may have been made.
pub const ETCD_PACKED_OUTCOME_UNKNOWN: i32 = 32;

/// What stands before the keys of a record, and before the bytes of a key. Readers are told by each record, so these may
/// grow.
const RECORD: usize = 80;
const KEY: usize = 48;

/// As long as a record can be.
const LONGEST: usize = u32::MAX as usize;

/// What a record says, as far as it is numbers.
#[derive(Default)]
struct Record<'a> {
    kind: i32,
    flags: i32,
    status: i32,
    state: i32,
    revision: i64,
    count: i64,
    lease: i64,
    ttl: i64,
    server_code: i32,
    message: String,
    endpoint: &'a str,
}

/// Writes a completion behind what is there, if it fits; what does not fit tells how much it `needed`.
pub fn write(
    completion: &Completion,
    buffer: &mut [u8],
    used: &mut usize,
    records: &mut u32,
    needed: &mut usize,
) -> Taken {
    let mut record = record(completion);
    let mut kvs = kvs(completion);
    let mut sizes = Sizes::new(&record, &kvs);
    if sizes.record > LONGEST && matches!(completion.what, What::Answer(_)) {
        // No length of the record could tell it.
        record.flags |= ETCD_PACKED_TAKE;
        kvs.clear();
        sizes = Sizes::new(&record, &kvs);
    }
    let size = sizes.record;
    if buffer.len() - *used < size || size > LONGEST {
        *needed = size;
        return Taken::No;
    }
    let mut out = Writer { bytes: &mut buffer[*used..*used + size], at: 0 };
    out.record(&record, completion.tag, &sizes, kvs.len());
    kvs.iter().for_each(|(kind, kv)| out.kv(*kind, kv));
    out.bytes(record.message.as_bytes());
    out.bytes(record.endpoint.as_bytes());
    out.pad();
    *used += size;
    *records += 1;
    if record.flags & ETCD_PACKED_TAKE != 0 { Taken::Kept } else { Taken::Yes }
}

fn padded(size: usize) -> usize {
    size.next_multiple_of(8)
}

fn size_of_kv(kv: &KeyValue) -> usize {
    KEY + padded(kv.key.len() + kv.value.len())
}

/// How long a record is, and where its text begins.
struct Sizes {
    record: usize,
    text_at: usize,
}

impl Sizes {
    fn new(record: &Record, kvs: &[(u32, &KeyValue)]) -> Self {
        let text_at = RECORD + kvs.iter().map(|(_, kv)| size_of_kv(kv)).sum::<usize>();
        let text = record.message.len() + record.endpoint.len();
        Sizes { record: text_at + padded(text), text_at }
    }
}

fn record(completion: &Completion) -> Record<'_> {
    let mut record = match &completion.what {
        What::Answer(Ok(answer)) => of_answer(answer),
        What::Answer(Err(error)) => of_error(ETCD_EVENT_REPLY, error),
        What::End(error) => of_error(ETCD_EVENT_WATCH_END, error),
        What::News(news) => of_news(news),
        What::Acquired(hold) => {
            Record { kind: ETCD_EVENT_ACQUIRED, revision: hold.token, ..Record::default() }
        }
        What::Lost(error) => of_error(ETCD_EVENT_LOST, error),
        What::Leader(revision, leader) => Record {
            kind: ETCD_EVENT_LEADER,
            revision: *revision,
            count: leader.is_some().into(),
            ..Record::default()
        },
    };
    record.flags |= if completion.is_last() { ETCD_PACKED_LAST } else { 0 };
    record
}

fn of_error(kind: i32, error: &Error) -> Record<'_> {
    let unknown = error.outcome() == Outcome::Unknown;
    let retriable = retry::is_worth_another_call(error);
    Record {
        kind,
        flags: i32::from(unknown) * ETCD_PACKED_OUTCOME_UNKNOWN
            + i32::from(retriable) * ETCD_PACKED_RETRIABLE,
        status: status_of(error),
        revision: error.compact_revision().unwrap_or(0),
        server_code: error.server_code(),
        message: error.to_string(),
        endpoint: error.endpoint().unwrap_or(""),
        ..Record::default()
    }
}

fn of_answer(answer: &Answer) -> Record<'_> {
    let record = Record { kind: ETCD_EVENT_REPLY, ..Record::default() };
    let take = Record { flags: ETCD_PACKED_TAKE, ..Record { kind: ETCD_EVENT_REPLY, ..Record::default() } };
    let (reply, put_lease) = match answer {
        Answer::Reply(reply) => (reply, 0),
        Answer::PutFor(reply, lease) => (reply, *lease),
        Answer::Done => return record,
        Answer::Statuses(_) | Answer::Endpoints(_) | Answer::Places(..) => return take,
    };
    let revision = reply.header.revision;
    match &reply.body {
        Body::Range(range) => {
            Record { count: range.count, flags: i32::from(range.more) * ETCD_PACKED_MORE, revision, ..record }
        }
        Body::Put(_) => Record { revision, lease: put_lease, ..record },
        Body::Delete(delete) => Record { revision, count: delete.deleted, ..record },
        Body::Lease { id, ttl } => Record { revision, lease: *id, ttl: *ttl, ..record },
        Body::Compact | Body::LeaseRevoke => Record { revision, ..record },
        Body::Txn(txn) => Record {
            revision,
            flags: take.flags + i32::from(txn.succeeded) * ETCD_PACKED_SUCCEEDED,
            ..record
        },
        _ => Record { revision, ..take },
    }
}

fn of_news(news: &News) -> Record<'_> {
    let state =
        |state, revision| Record { kind: ETCD_EVENT_WATCH_STATE, state, revision, ..Record::default() };
    let changes = |batch: &WatchBatch, state, revision| Record {
        kind: ETCD_EVENT_CHANGES,
        state,
        revision,
        count: batch.events.len() as i64,
        ..Record::default()
    };
    match news {
        News::Live(revision) => state(ETCD_WATCH_LIVE, *revision),
        News::Resuming(error) => Record {
            state: ETCD_WATCH_RESUMING,
            status: 0,
            revision: 0,
            ..of_error(ETCD_EVENT_WATCH_STATE, error)
        },
        News::Parked => state(ETCD_WATCH_PARKED, 0),
        News::Compacted(revision) => state(ETCD_WATCH_COMPACTED, *revision),
        News::Reset => state(ETCD_WATCH_RESET, 0),
        News::Progress(revision) => state(ETCD_WATCH_PROGRESS, *revision),
        News::Changes(batch) => {
            let revision = batch.events.last().map_or(batch.revision, |event| event.kv.mod_revision);
            changes(batch, 0, revision)
        }
        News::Resynced(batch) => changes(batch, ETCD_WATCH_RESYNCED, batch.revision),
    }
}

/// The keys of a record, in the order in which they stand there.
fn kvs(completion: &Completion) -> Vec<(u32, &KeyValue)> {
    let previous = |kv| (ETCD_KV_PREVIOUS, kv);
    match &completion.what {
        What::News(News::Changes(batch) | News::Resynced(batch)) => {
            let kind =
                |event: &Event| if event.kind == EventKind::Put { ETCD_KV_PUT } else { ETCD_KV_DELETE };
            let mut kvs = Vec::with_capacity(batch.events.len());
            for event in &batch.events {
                kvs.push((kind(event), &event.kv));
                kvs.extend(event.prev_kv.as_ref().map(previous));
            }
            kvs
        }
        What::Leader(_, leader) => leader.iter().map(|kv| (ETCD_KV_KEY, kv)).collect(),
        What::Answer(Ok(Answer::Reply(reply) | Answer::PutFor(reply, _))) => match &reply.body {
            Body::Range(range) => range.kvs.iter().map(|kv| (ETCD_KV_KEY, kv)).collect(),
            Body::Put(prev_kv) => prev_kv.iter().map(previous).collect(),
            Body::Delete(delete) => delete.prev_kvs.iter().map(previous).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Writes little-endian numbers and bytes.
struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn record(&mut self, record: &Record, tag: u64, sizes: &Sizes, kvs: usize) {
        self.length(sizes.record);
        self.bytes(&[ETCD_PACKED_VERSION as u8, record.kind as u8]);
        self.bytes(&(record.flags as u16).to_le_bytes());
        self.bytes(&tag.to_le_bytes());
        self.bytes(&record.status.to_le_bytes());
        self.bytes(&record.state.to_le_bytes());
        for number in [record.revision, record.count, record.lease, record.ttl] {
            self.bytes(&number.to_le_bytes());
        }
        for length in [kvs, RECORD, sizes.text_at, record.message.len(), record.endpoint.len()] {
            self.length(length);
        }
        self.bytes(&record.server_code.to_le_bytes());
    }

    fn kv(&mut self, kind: u32, kv: &KeyValue) {
        self.length(size_of_kv(kv));
        self.bytes(&(kind as u16).to_le_bytes());
        self.bytes(&(KEY as u16).to_le_bytes());
        self.length(kv.key.len());
        self.length(kv.value.len());
        for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease] {
            self.bytes(&number.to_le_bytes());
        }
        self.bytes(&kv.key);
        self.bytes(&kv.value);
        self.pad();
    }

    /// A length or place in the record, none of which is longer than it.
    fn length(&mut self, length: usize) {
        self.bytes(&(length as u32).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn pad(&mut self) {
        let end = padded(self.at);
        self.bytes[self.at..end].fill(0);
        self.at = end;
    }
}
