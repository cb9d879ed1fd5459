//! The numbers that requests are told with. Their comments are the header's.

/// Takes all keys that start with the request's key; an empty one: all keys. 1 or 0; not with ETCD_FIELD_RANGE_END. Get,
/// delete, watch, comparison.
pub const ETCD_FIELD_PREFIX: i32 = 1;
/// The first key behind the range that begins with the request's key; one NUL byte: no end. Bytes. Get, delete,
/// watch.
pub const ETCD_FIELD_RANGE_END: i32 = 2;
/// At most so many keys; 0: all. Get.
pub const ETCD_FIELD_LIMIT: i32 = 3;
/// As it was at this revision; 0: now. Get, hash. For a compaction: see etcd_request_compact().
pub const ETCD_FIELD_REVISION: i32 = 4;
/// By what keys are sorted: ETCD_SORT_*. Get.
pub const ETCD_FIELD_SORT_BY: i32 = 5;
/// ETCD_SORT_ASCENDING or ETCD_SORT_DESCENDING. Get.
pub const ETCD_FIELD_SORT_ORDER: i32 = 6;
/// Leave values out. 1 or 0. Get.
pub const ETCD_FIELD_KEYS_ONLY: i32 = 7;
/// Only count. 1 or 0. Get.
pub const ETCD_FIELD_COUNT_ONLY: i32 = 8;
/// Let one member answer from what it has, which may be old. 1 or 0. Get.
pub const ETCD_FIELD_SERIALIZABLE: i32 = 9;
/// Only keys last changed at this revision or later. Get.
pub const ETCD_FIELD_MIN_MOD_REVISION: i32 = 10;
/// Only keys last changed at this revision or before. Get.
pub const ETCD_FIELD_MAX_MOD_REVISION: i32 = 11;
/// Only keys created at this revision or later. Get.
pub const ETCD_FIELD_MIN_CREATE_REVISION: i32 = 12;
/// Only keys created at this revision or before. Get.
pub const ETCD_FIELD_MAX_CREATE_REVISION: i32 = 13;

/// A lease: the one to attach the key to (put; 0: none), the id to give (lease_grant; 0: the library's choice). Of a
/// reply: the lease granted, kept alive, or made for a put with a TTL.
pub const ETCD_FIELD_LEASE: i32 = 20;
/// Seconds. Put: under a new lease of its own, so long (its id is the reply's ETCD_FIELD_LEASE). Of a reply: what is
/// left, or was granted; -1 or 0: there is no such lease (any more).
pub const ETCD_FIELD_TTL: i32 = 21;
/// Only if there is no such key. 1 or 0. Put.
pub const ETCD_FIELD_IF_ABSENT: i32 = 22;
/// Only if there is such a key. 1 or 0. Put, delete of one key.
pub const ETCD_FIELD_IF_PRESENT: i32 = 23;
/// Only if this is the key's value. Bytes. Put, delete of one key.
pub const ETCD_FIELD_IF_VALUE: i32 = 24;
/// Only if the key was last changed at this revision; 0: only if there is no such key. Put, delete of one key.
pub const ETCD_FIELD_IF_MOD_REVISION: i32 = 25;
/// Only if the key was created at this revision; 0: only if there is no such key. Put, delete of one key.
pub const ETCD_FIELD_IF_CREATE_REVISION: i32 = 26;
/// Tell what was there before. 1 or 0. Put, delete, watch.
pub const ETCD_FIELD_RETURN_PREVIOUS: i32 = 27;
/// Keep the value that is there: the key must exist, and the request's value be empty. 1 or 0. Put.
pub const ETCD_FIELD_IGNORE_VALUE: i32 = 28;
/// Keep the lease that is there: the key must exist. 1 or 0. Put.
pub const ETCD_FIELD_IGNORE_LEASE: i32 = 29;

/// The first revision of interest; 0: from now on. Watch.
pub const ETCD_FIELD_START_REVISION: i32 = 40;
/// Leave puts out. 1 or 0; not with ETCD_FIELD_NO_DELETES. Watch.
pub const ETCD_FIELD_NO_PUTS: i32 = 41;
/// Leave deletions out. 1 or 0; not with ETCD_FIELD_NO_PUTS. Watch.
pub const ETCD_FIELD_NO_DELETES: i32 = 42;
/// After a compaction, tell in one batch what has changed, instead of ending. Keeps the range's keys in memory. 1 or
/// 0. Watch.
pub const ETCD_FIELD_RESYNC: i32 = 43;
/// Tell now and then that there were no changes up to a revision: as often as the server does, every 10 minutes unless
/// it was started with --watch-progress-notify-interval (before 3.6: --experimental-watch-progress-notify-interval). 1
/// or 0. Watch.
pub const ETCD_FIELD_PROGRESS: i32 = 44;

/// Answer only when the history is gone from the database, too. 1 or 0. Compaction.
pub const ETCD_FIELD_PHYSICAL: i32 = 50;
/// List the lease's keys, too. 1 or 0. lease_ttl.
pub const ETCD_FIELD_KEYS: i32 = 51;

/// What a lock's place says to people who look at the queue; of a place in a queue: what it must say. Bytes. Lock,
/// lock_find, lock_break, lock_renew.
pub const ETCD_FIELD_VALUE: i32 = 52;
/// Share the place in the queue that has the same value, if there is one. 1 or 0. Lock, campaign.
pub const ETCD_FIELD_JOIN: i32 = 53;

/// Sort by the key's bytes.
pub const ETCD_SORT_BY_KEY: i32 = 0;
/// Sort by the number of puts.
pub const ETCD_SORT_BY_VERSION: i32 = 1;
/// Sort by the creation revision.
pub const ETCD_SORT_BY_CREATE_REVISION: i32 = 2;
/// Sort by the revision of the last change.
pub const ETCD_SORT_BY_MOD_REVISION: i32 = 3;
/// Sort by the value's bytes.
pub const ETCD_SORT_BY_VALUE: i32 = 4;
/// Lowest first.
pub const ETCD_SORT_ASCENDING: i32 = 0;
/// Highest first.
pub const ETCD_SORT_DESCENDING: i32 = 1;

/// Compares the number of puts; 0 when there is no such key.
pub const ETCD_TARGET_VERSION: i32 = 0;
/// Compares the creation revision; 0 when there is no such key.
pub const ETCD_TARGET_CREATE: i32 = 1;
/// Compares the revision of the last change; 0 when there is no such key.
pub const ETCD_TARGET_MOD: i32 = 2;
/// Compares the lease; 0 for none.
pub const ETCD_TARGET_LEASE: i32 = 4;
/// What is there is the same.
pub const ETCD_RELATION_EQUAL: i32 = 0;
/// What is there is greater.
pub const ETCD_RELATION_GREATER: i32 = 1;
/// What is there is less.
pub const ETCD_RELATION_LESS: i32 = 2;
/// What is there differs.
pub const ETCD_RELATION_NOT_EQUAL: i32 = 3;

/// Lists the alarms that are raised.
pub const ETCD_ALARM_LIST: i32 = 0;
/// Raises an alarm.
pub const ETCD_ALARM_RAISE: i32 = 1;
/// Takes alarms back.
pub const ETCD_ALARM_DISARM: i32 = 2;
/// Every kind of alarm.
pub const ETCD_ALARM_ANY: i32 = 0;
/// The database is full.
pub const ETCD_ALARM_NO_SPACE: i32 = 1;
/// The members' data differ.
pub const ETCD_ALARM_CORRUPT: i32 = 2;

macro_rules! with_names {
    ($($field:ident),* $(,)?) => { &[$(($field, stringify!($field))),*] };
}

/// The fields of requests by their names, for messages.
const FIELDS: &[(i32, &str)] = with_names![
    ETCD_FIELD_PREFIX,
    ETCD_FIELD_RANGE_END,
    ETCD_FIELD_LIMIT,
    ETCD_FIELD_REVISION,
    ETCD_FIELD_SORT_BY,
    ETCD_FIELD_SORT_ORDER,
    ETCD_FIELD_KEYS_ONLY,
    ETCD_FIELD_COUNT_ONLY,
    ETCD_FIELD_SERIALIZABLE,
    ETCD_FIELD_MIN_MOD_REVISION,
    ETCD_FIELD_MAX_MOD_REVISION,
    ETCD_FIELD_MIN_CREATE_REVISION,
    ETCD_FIELD_MAX_CREATE_REVISION,
    ETCD_FIELD_LEASE,
    ETCD_FIELD_TTL,
    ETCD_FIELD_IF_ABSENT,
    ETCD_FIELD_IF_PRESENT,
    ETCD_FIELD_IF_VALUE,
    ETCD_FIELD_IF_MOD_REVISION,
    ETCD_FIELD_IF_CREATE_REVISION,
    ETCD_FIELD_RETURN_PREVIOUS,
    ETCD_FIELD_IGNORE_VALUE,
    ETCD_FIELD_IGNORE_LEASE,
    ETCD_FIELD_START_REVISION,
    ETCD_FIELD_NO_PUTS,
    ETCD_FIELD_NO_DELETES,
    ETCD_FIELD_RESYNC,
    ETCD_FIELD_PROGRESS,
    ETCD_FIELD_PHYSICAL,
    ETCD_FIELD_KEYS,
    ETCD_FIELD_VALUE,
    ETCD_FIELD_JOIN,
];

/// A field for a message.
pub fn name_of(field: i32) -> String {
    let found = FIELDS.iter().find(|(number, _)| *number == field);
    found.map_or_else(|| format!("field {field}"), |(_, name)| (*name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_request_is_called_by_its_name() {
        let declared = include_str!("fields.rs").matches("\npub const ETCD_FIELD_").count();
        assert_eq!(FIELDS.len(), declared);
        assert_eq!(name_of(21), "ETCD_FIELD_TTL");
        assert_eq!(name_of(4711), "field 4711");
    }
}
