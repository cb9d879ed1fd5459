'use strict';
// Replies that a packed record can't carry: transactions, lists, and what has fields of its own. Each function here
// copies what it wants; the reply is freed right behind it.

const { FIELD } = require('./raw.js');

const out = new BigInt64Array(1);
const place = new BigUint64Array(1);
const length = new BigUint64Array(1);
/** An etcd_kv: four words of key and value, four numbers, its kind and 4 bytes that are 0. */
const kv = new DataView(new ArrayBuffer(72));
const kvBytes = new Uint8Array(kv.buffer);

/** A field as a BigInt; 0n where there is none. */
function big(raw, reply, field) {
  return raw.replyInt(reply, field, out) === 0 ? out[0] : 0n;
}

function number(raw, reply, field) {
  return exact(big(raw, reply, field));
}

function exact(value) {
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw new RangeError('a number of the server is over 2^53, and would not be exact');
  return result;
}

/** The id of a member or cluster, all 64 bits of it. */
function id(raw, reply, field) {
  return BigInt.asUintN(64, big(raw, reply, field));
}

function text(raw, reply, field) {
  if (raw.replyBytes(reply, field, place, length) !== 0) return '';
  return raw.copy(place[0], Number(length[0])).toString();
}

function lines(raw, reply, field) {
  return text(raw, reply, field).split('\n').filter(line => line !== '');
}

function keyValue(raw) {
  const word = at => kv.getBigUint64(at, true);
  const bytes = at => raw.copy(word(at), Number(word(at + 8)));
  const revision = at => exact(kv.getBigInt64(at, true));
  return {
    key: bytes(0), value: bytes(16), createRevision: revision(32), modRevision: revision(40), version: revision(48),
    lease: kv.getBigInt64(56, true),
  };
}

/** Keys until there are no more; `get` is replyKv or replyPrevious. */
function keysOf(raw, reply, get) {
  const keys = [];
  while (get(reply, keys.length, kvBytes, kvBytes.length) === 0) keys.push(keyValue(raw));
  return keys;
}

function children(raw, reply, walk) {
  const all = [];
  for (let i = 0; i < raw.replyChildren(reply); i++) all.push(walk(raw, raw.replyChild(reply, i)));
  return all;
}

/** What a transaction did, with the plan that it was made of, which knows what each operation was. */
function txn(raw, reply, plan, revision) {
  const succeeded = raw.replySucceeded(reply) === 1;
  const done = succeeded ? plan.done : plan.otherwise;
  const results = done.map((one, i) => result(raw, raw.replyChild(reply, i), one, revision));
  return { succeeded, revision, results };
}

function result(raw, reply, plan, revision) {
  switch (plan.kind) {
    case 'get': return {
      type: 'get', kvs: keysOf(raw, reply, raw.replyKv), count: exact(raw.replyCount(reply)),
      more: raw.replyMore(reply) === 1, revision,
    };
    case 'put': return { type: 'put', previous: keysOf(raw, reply, raw.replyPrevious)[0] ?? null, revision };
    case 'delete': return {
      type: 'delete', deleted: exact(raw.replyCount(reply)), previous: keysOf(raw, reply, raw.replyPrevious), revision,
    };
    default: return { type: 'txn', ...txn(raw, reply, plan, revision) };
  }
}

const timeToLive = (raw, reply) => ({
  ttl: number(raw, reply, FIELD.TTL),
  grantedTtl: number(raw, reply, FIELD.GRANTED_TTL),
  keys: keysOf(raw, reply, raw.replyKv).map(found => found.key),
});

const leases = (raw, reply) => children(raw, reply, (_, child) => big(raw, child, FIELD.LEASE));

const members = (raw, reply) => children(raw, reply, (_, child) => ({
  id: id(raw, child, FIELD.MEMBER),
  name: text(raw, child, FIELD.NAME),
  peerUrls: lines(raw, child, FIELD.PEER_URLS),
  clientUrls: lines(raw, child, FIELD.CLIENT_URLS),
  isLearner: number(raw, child, FIELD.IS_LEARNER) === 1,
}));

const status = (raw, reply, errorOf) => children(raw, reply, (_, child) => {
  const endpoint = text(raw, child, FIELD.ENDPOINT);
  const failed = number(raw, child, FIELD.STATUS);
  return {
    endpoint,
    error: failed === 0 ? null : errorOf({ status: failed, message: text(raw, child, FIELD.MESSAGE), endpoint }),
    version: text(raw, child, FIELD.VERSION),
    member: id(raw, child, FIELD.MEMBER),
    leader: id(raw, child, FIELD.LEADER),
    cluster: id(raw, child, FIELD.CLUSTER),
    isLearner: number(raw, child, FIELD.IS_LEARNER) === 1,
    dbSize: number(raw, child, FIELD.DB_SIZE),
    dbSizeInUse: number(raw, child, FIELD.DB_SIZE_IN_USE),
    raftTerm: number(raw, child, FIELD.RAFT_TERM),
    raftIndex: number(raw, child, FIELD.RAFT_INDEX),
    raftAppliedIndex: number(raw, child, FIELD.RAFT_APPLIED_INDEX),
    errors: lines(raw, child, FIELD.ERRORS),
  };
});

const endpoints = (raw, reply) => children(raw, reply, (_, child) => text(raw, child, FIELD.ENDPOINT));

const ALARMS = { 1: 'noSpace', 2: 'corrupt' };
const alarms = (raw, reply) => children(raw, reply, (_, child) => ({
  member: id(raw, child, FIELD.MEMBER),
  alarm: ALARMS[number(raw, child, FIELD.ALARM)] ?? `alarm ${number(raw, child, FIELD.ALARM)}`,
}));

const hash = (raw, reply) => ({
  hash: number(raw, reply, FIELD.HASH),
  compactRevision: number(raw, reply, FIELD.COMPACT_REVISION),
});

const token = (raw, reply) => text(raw, reply, FIELD.TOKEN);

module.exports = { txn, timeToLive, leases, members, status, endpoints, alarms, hash, token };
