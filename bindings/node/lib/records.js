'use strict';
// A reader of packed records: docs/packed-records.md in the library's repository is the layout.

const { EVENT, KV, PACKED } = require('./raw.js');
const { errorOf } = require('./errors.js');

const VERSION = 1;
const HIGH = 2 ** 32;

/** A revision, count or TTL. Exact as a Number below 2^53, which takes a store 285 years at a million writes a second. */
function number(view, at) {
  const value = view.getInt32(at + 4, true) * HIGH + view.getUint32(at, true);
  if (!Number.isSafeInteger(value)) throw new RangeError('a number of the server is over 2^53, and would not be exact');
  return value;
}

/** A lease: always a BigInt. Most keys have none, and need no new one. */
function lease(view, at) {
  return view.getInt32(at, true) === 0 && view.getInt32(at + 4, true) === 0 ? 0n : view.getBigInt64(at, true);
}

/** What must be known of a record before the rest of it is looked at. */
const sizeOf = (view, at) => view.getUint32(at, true);
const tagOf = (view, at) => view.getUint32(at + 12, true) * HIGH + view.getUint32(at + 8, true);
const isLast = (view, at) => (view.getUint16(at + 6, true) & PACKED.LAST) !== 0;

function text(bytes, at, length) {
  return length === 0 ? '' : bytes.utf8Slice(at, at + length);
}

/** A key with its value. The two share memory of their own, copied out of the buffer. */
function keyValue(view, bytes, at) {
  const keyAt = at + view.getUint16(at + 6, true);
  const keyLength = view.getUint32(at + 8, true);
  const end = keyLength + view.getUint32(at + 12, true);
  const copy = Buffer.allocUnsafe(end);
  bytes.copy(copy, 0, keyAt, keyAt + end);
  return {
    key: copy.subarray(0, keyLength),
    value: copy.subarray(keyLength, end),
    createRevision: number(view, at + 16),
    modRevision: number(view, at + 24),
    version: number(view, at + 32),
    lease: lease(view, at + 40),
  };
}

function changeOf(kv, isPut, isResync) {
  return {
    type: isPut ? 'put' : 'delete',
    key: kv.key,
    value: isPut ? kv.value : null,
    revision: kv.modRevision,
    createRevision: kv.createRevision,
    version: kv.version,
    lease: kv.lease,
    previous: null,
    resynced: isResync,
  };
}

/** The keys of a reply; of changes, the changes, each with what it replaced. */
function keysOf(view, bytes, at, record) {
  const areChanges = record.kind === EVENT.CHANGES;
  const keys = [];
  let next = at + view.getUint32(at + 60, true);
  for (let left = view.getUint32(at + 56, true); left > 0; left--) {
    const kind = view.getUint16(next + 4, true);
    const kv = keyValue(view, bytes, next);
    if (!areChanges) keys.push(kv);
    else if (kind === KV.PREVIOUS) keys[keys.length - 1].previous = kv;
    // What this version does not know is left out, as the layout asks.
    else if (kind === KV.PUT || kind === KV.DELETE) keys.push(changeOf(kv, kind === KV.PUT, record.state !== 0));
    next += view.getUint32(next, true);
  }
  return keys;
}

/** Why the operation failed, or the watch resumes; null when there is nothing to tell. */
function failureOf(view, bytes, at, record) {
  const length = view.getUint32(at + 68, true);
  if (record.status === 0 && length === 0) return null;
  const start = at + view.getUint32(at + 64, true);
  return errorOf({
    status: record.status,
    message: text(bytes, start, length),
    endpoint: text(bytes, start + length, view.getUint32(at + 72, true)),
    serverCode: view.getInt32(at + 76, true),
    compactRevision: record.revision,
    retriable: (record.flags & PACKED.RETRIABLE) !== 0,
    outcomeUnknown: (record.flags & PACKED.OUTCOME_UNKNOWN) !== 0,
  });
}

/** The record at a place of the buffer. */
function read(view, bytes, at) {
  const version = view.getUint8(at + 4);
  if (version !== VERSION) throw new RangeError(`packed records of version ${version} are not known here`);
  const record = {
    kind: view.getUint8(at + 5),
    flags: view.getUint16(at + 6, true),
    tag: tagOf(view, at),
    size: sizeOf(view, at),
    status: view.getInt32(at + 16, true),
    state: view.getInt32(at + 20, true),
    revision: number(view, at + 24),
    count: number(view, at + 32),
    lease: lease(view, at + 40),
    ttl: number(view, at + 48),
    keys: null,
    error: null,
  };
  record.keys = keysOf(view, bytes, at, record);
  record.error = failureOf(view, bytes, at, record);
  return record;
}

module.exports = { read, sizeOf, tagOf, isLast };
