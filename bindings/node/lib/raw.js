'use strict';
// The C functions as JavaScript functions: include/etcd-api.h has what they mean. All pointers are BigInts here, and
// koffi takes any number for one; so nothing gets here that was not checked before.

/** ETCD_API_VERSION of the header that this was written for. */
const HEADER_VERSION = 1000;

/** ETCD_FIELD_* */
const FIELD = {
  PREFIX: 1, RANGE_END: 2, LIMIT: 3, REVISION: 4, SORT_BY: 5, SORT_ORDER: 6, KEYS_ONLY: 7, COUNT_ONLY: 8,
  SERIALIZABLE: 9, MIN_MOD_REVISION: 10, MAX_MOD_REVISION: 11, MIN_CREATE_REVISION: 12, MAX_CREATE_REVISION: 13,
  LEASE: 20, TTL: 21, IF_ABSENT: 22, IF_PRESENT: 23, IF_VALUE: 24, IF_MOD_REVISION: 25, IF_CREATE_REVISION: 26,
  RETURN_PREVIOUS: 27, IGNORE_VALUE: 28, IGNORE_LEASE: 29,
  START_REVISION: 40, NO_PUTS: 41, NO_DELETES: 42, RESYNC: 43, PROGRESS: 44, PHYSICAL: 50, KEYS: 51, VALUE: 52,
  CLUSTER: 100, MEMBER: 101, RAFT_TERM: 102, GRANTED_TTL: 103, HASH: 104, COMPACT_REVISION: 105, LEADER: 106,
  DB_SIZE: 107, DB_SIZE_IN_USE: 108, RAFT_INDEX: 109, RAFT_APPLIED_INDEX: 110, IS_LEARNER: 111, STATUS: 112,
  ALARM: 113,
  NAME: 130, PEER_URLS: 131, CLIENT_URLS: 132, VERSION: 133, ERRORS: 134, ENDPOINT: 135, MESSAGE: 136, TOKEN: 137,
};

/** ETCD_COUNTER_* */
const COUNTER = {
  CONNECTIONS: 1, RETRIES: 2, WATCHES_RESUMED: 3, WATCHES_PARKED: 4, HOLDS_LOST: 5, OPEN: 6,
};

/** ETCD_PACKED_* (flags) */
const PACKED = { LAST: 1, TAKE: 2, SUCCEEDED: 4, MORE: 8, RETRIABLE: 16, OUTCOME_UNKNOWN: 32 };

/** ETCD_EVENT_* */
const EVENT = { REPLY: 1, CHANGES: 2, WATCH_STATE: 3, ACQUIRED: 4, LOST: 5, LEADER: 6, WATCH_END: 7 };

/** ETCD_WATCH_* */
const WATCH = { LIVE: 1, RESUMING: 2, PARKED: 3, COMPACTED: 4, RESET: 5, PROGRESS: 6, RESYNCED: 7 };

/** ETCD_KV_* */
const KV = { KEY: 0, PUT: 1, DELETE: 2, PREVIOUS: 3 };

/** ETCD_TARGET_* */
const TARGET = { VERSION: 0, CREATE: 1, MOD: 2, LEASE: 4 };

/** ETCD_RELATION_* */
const RELATION = { EQUAL: 0, GREATER: 1, LESS: 2, NOT_EQUAL: 3 };

/** ETCD_ALARM_* (kinds, then actions) */
const ALARM = { ANY: 0, NO_SPACE: 1, CORRUPT: 2 };
const ALARM_ACTION = { LIST: 0, RAISE: 1, DISARM: 2 };

const BYTES = 'void *, size_t';

const FUNCTIONS = {
  version: 'str etcd_version()',
  versionCheck: 'int etcd_version_check(int32_t)',

  errorCode: 'int etcd_error_code(void *)',
  errorMessage: 'str etcd_error_message(void *)',
  errorEndpoint: 'str etcd_error_endpoint(void *)',
  errorServerCode: 'int32_t etcd_error_server_code(void *)',
  errorIsRetriable: 'int etcd_error_is_retriable(void *)',
  errorIsOutcomeUnknown: 'int etcd_error_is_outcome_unknown(void *)',
  errorFree: 'void etcd_error_free(void *)',

  optionsNew: 'void *etcd_options_new()',
  optionsSet: 'int etcd_options_set(void *, str, str, void *)',
  optionsFree: 'void etcd_options_free(void *)',
  clientOpen: 'int etcd_client_open(void *, void *, void *)',
  clientClose: 'int etcd_client_close(void *, int64_t, void *)',
  clientFree: 'void etcd_client_free(void *)',
  clientCounter: 'int64_t etcd_client_counter(void *, int32_t)',

  queueNew: 'int etcd_queue_new(size_t, void *, void *)',
  queueDupFd: 'int etcd_queue_dup_fd(void *)',
  queueRead: 'int etcd_queue_read(void *, void *, size_t, void *, void *)',
  queueTakeReply: 'int etcd_queue_take_reply(void *, uint64_t, void *)',
  queueTakeHold: 'int etcd_queue_take_hold(void *, uint64_t, void *)',
  queueCancel: 'int etcd_queue_cancel(void *, uint64_t)',
  freeWithThread: 'int etcd_free_with_thread(void *, void *)',
  queueFree: 'void etcd_queue_free(void *)',
  submit: 'int etcd_submit(void *, void *, void *, uint64_t, int64_t, void *)',

  requestGet: `void *etcd_request_get(${BYTES})`,
  requestPut: `void *etcd_request_put(${BYTES}, ${BYTES})`,
  requestDelete: `void *etcd_request_delete(${BYTES})`,
  requestWatch: `void *etcd_request_watch(${BYTES})`,
  requestTxn: 'void *etcd_request_txn()',
  requestCompact: 'void *etcd_request_compact(int64_t)',
  requestLeaseGrant: 'void *etcd_request_lease_grant(int64_t)',
  requestLeaseRevoke: 'void *etcd_request_lease_revoke(int64_t)',
  requestLeaseKeepAlive: 'void *etcd_request_lease_keep_alive(int64_t)',
  requestLeaseTtl: 'void *etcd_request_lease_ttl(int64_t)',
  requestLeases: 'void *etcd_request_leases()',
  requestMembers: 'void *etcd_request_members()',
  requestStatus: 'void *etcd_request_status()',
  requestSyncMembers: 'void *etcd_request_sync_members()',
  requestAlarm: 'void *etcd_request_alarm(int32_t, int64_t, int32_t)',
  requestHash: 'void *etcd_request_hash(int64_t)',
  requestAuthenticate: `void *etcd_request_authenticate(${BYTES}, ${BYTES})`,
  requestLock: `void *etcd_request_lock(${BYTES})`,
  requestCampaign: `void *etcd_request_campaign(${BYTES}, ${BYTES})`,
  requestObserve: `void *etcd_request_observe(${BYTES})`,
  requestLeader: `void *etcd_request_leader(${BYTES})`,
  requestRelease: 'void *etcd_request_release(void *)',
  requestProclaim: `void *etcd_request_proclaim(void *, ${BYTES})`,
  requestSetInt: 'int etcd_request_set_int(void *, int32_t, int64_t)',
  requestSetBytes: `int etcd_request_set_bytes(void *, int32_t, ${BYTES})`,
  requestFree: 'void etcd_request_free(void *)',
  txnCompareInt: `int etcd_txn_compare_int(void *, ${BYTES}, int32_t, int32_t, int64_t)`,
  txnCompareValue: `int etcd_txn_compare_value(void *, ${BYTES}, int32_t, ${BYTES})`,
  txnThen: 'int etcd_txn_then(void *, void *)',
  txnElse: 'int etcd_txn_else(void *, void *)',

  replyCount: 'int64_t etcd_reply_count(void *)',
  replyMore: 'int etcd_reply_more(void *)',
  replySucceeded: 'int etcd_reply_succeeded(void *)',
  replyKvs: 'size_t etcd_reply_kvs(void *)',
  replyKv: 'int etcd_reply_kv(void *, size_t, void *, size_t)',
  replyPrevious: 'int etcd_reply_previous(void *, size_t, void *, size_t)',
  replyChildren: 'size_t etcd_reply_children(void *)',
  replyChild: 'void *etcd_reply_child(void *, size_t)',
  replyInt: 'int etcd_reply_int(void *, int32_t, void *)',
  replyBytes: 'int etcd_reply_bytes(void *, int32_t, void *, void *)',
  replyFree: 'void etcd_reply_free(void *)',

  holdIsHeld: 'int etcd_hold_is_held(void *)',
  holdRemainingMs: 'int64_t etcd_hold_remaining_ms(void *)',
  holdKey: 'int etcd_hold_key(void *, void *, size_t, void *)',
  holdFree: 'void etcd_hold_free(void *)',
};

/** The functions of a library file; throws when it can't be loaded, or has not all of them. */
function declare(file) {
  const koffi = require('koffi');
  const loaded = koffi.load(file);
  const raw = { file };
  for (const [name, prototype] of Object.entries(FUNCTIONS)) raw[name] = loaded.func(prototype);
  /** A copy of memory of the library's. */
  raw.copy = (pointer, length) => {
    if (length === 0) return Buffer.alloc(0);
    const copy = koffi.decode(pointer, 'uint8_t', length);
    return Buffer.from(copy.buffer, copy.byteOffset, copy.byteLength);
  };
  return raw;
}

module.exports = {
  HEADER_VERSION, FIELD, COUNTER, PACKED, EVENT, WATCH, KV, TARGET, RELATION, ALARM, ALARM_ACTION, FUNCTIONS, declare,
};
