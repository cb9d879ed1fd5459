'use strict';
// Requests. A plan is what is wanted, checked and with its bytes, before any library is asked; `make` turns it into a
// request of the library. So nonsense is refused where it is said, and nothing has to be freed for it.

const { FIELD, TARGET, RELATION } = require('./raw.js');
const { bytes, flag, whole, lease, word, object, onlyKnown, range } = require('./values.js');
const { hostname } = require('node:os');
const { isUint8Array } = require('node:util').types;

const SORT_BY = { key: 0, version: 1, createRevision: 2, modRevision: 3, value: 4 };
const SORT_ORDER = { ascending: 0, descending: 1 };

/** Options that every call has, looked at by the client. */
const CALL = { timeout: null, signal: null };

/** What an option is in C, and what it may be. */
const ONE_KEY = {
  revision: [FIELD.REVISION, whole],
  serializable: [FIELD.SERIALIZABLE, flag],
};
const RANGE = {
  ...ONE_KEY,
  limit: [FIELD.LIMIT, whole],
  keysOnly: [FIELD.KEYS_ONLY, flag],
  sortBy: [FIELD.SORT_BY, word(SORT_BY)],
  sortOrder: [FIELD.SORT_ORDER, word(SORT_ORDER)],
  minModRevision: [FIELD.MIN_MOD_REVISION, whole],
  maxModRevision: [FIELD.MAX_MOD_REVISION, whole],
  minCreateRevision: [FIELD.MIN_CREATE_REVISION, whole],
  maxCreateRevision: [FIELD.MAX_CREATE_REVISION, whole],
};
/** Without order: pages are in the order of the keys. */
const PAGES = { ...RANGE, sortBy: undefined, sortOrder: undefined, pageSize: null };
delete PAGES.sortBy;
delete PAGES.sortOrder;
const CONDITIONS = {
  ifPresent: [FIELD.IF_PRESENT, flag],
  ifValue: [FIELD.IF_VALUE, bytes],
  ifModRevision: [FIELD.IF_MOD_REVISION, whole],
  ifCreateRevision: [FIELD.IF_CREATE_REVISION, whole],
};
const PUT_PLAIN = {
  lease: [FIELD.LEASE, lease],
  previous: [FIELD.RETURN_PREVIOUS, flag],
  ignoreValue: [FIELD.IGNORE_VALUE, flag],
  ignoreLease: [FIELD.IGNORE_LEASE, flag],
};
const PUT = { ...PUT_PLAIN, ...CONDITIONS, ifAbsent: [FIELD.IF_ABSENT, flag], ttl: [FIELD.TTL, whole] };
const DELETE_PLAIN = { previous: [FIELD.RETURN_PREVIOUS, flag] };
const DELETE = { ...DELETE_PLAIN, ...CONDITIONS };
const WATCH = {
  startRevision: [FIELD.START_REVISION, whole],
  previous: [FIELD.RETURN_PREVIOUS, flag],
  noPuts: [FIELD.NO_PUTS, flag],
  noDeletes: [FIELD.NO_DELETES, flag],
  resync: [FIELD.RESYNC, flag],
  progress: [FIELD.PROGRESS, flag],
  batches: null,
  states: null,
  ref: null,
  maxBytes: null,
};
const OBSERVE = { signal: null, ref: null };
/** Its value is a part of the request where it is a campaign. */
const HOLD = { ttl: [FIELD.TTL, whole], value: null, wait: null, signal: null, ref: null };
const GRANT = { id: [FIELD.LEASE, lease] };
const TTL = { keys: [FIELD.KEYS, flag] };
const COMPACT = { physical: [FIELD.PHYSICAL, flag] };

const called = table => ({ ...table, ...CALL });
/** By operation: the options of a call. */
const OPTIONS = {
  get: called(ONE_KEY), range: called(RANGE), pages: called(PAGES), count: called(ONE_KEY), put: called(PUT),
  delete: called(DELETE), watch: called(WATCH), grant: called(GRANT), ttl: called(TTL), compact: called(COMPACT),
  call: CALL, hold: HOLD, observe: OBSERVE,
};

function fieldsOf(options, table, what) {
  const fields = [];
  if (options === undefined) return fields;
  onlyKnown(object(options, `options of ${what}`), table, what);
  for (const [name, value] of Object.entries(options)) {
    const entry = table[name];
    if (entry === null || value === undefined) continue;
    fields.push([entry[0], entry[1](value, `\`${name}\``)]);
  }
  return fields;
}

function ranged(kind, keys, fields) {
  if (keys.isPrefix) fields.push([FIELD.PREFIX, 1]);
  if (keys.end !== null) fields.push([FIELD.RANGE_END, keys.end]);
  return { kind, key: keys.key, fields };
}

/** One key. */
function get(key, options, table = OPTIONS.get) {
  return { kind: 'get', key: bytes(key, 'a key'), fields: fieldsOf(options, table, 'get') };
}

/** Many. */
function getRange(keys, options, table = OPTIONS.range) {
  return ranged('get', range(keys), fieldsOf(options, table, 'a range'));
}

function count(keys, options) {
  const plan = getRange(keys, options, OPTIONS.count);
  plan.fields.push([FIELD.COUNT_ONLY, 1]);
  return plan;
}

function put(key, value, options, table = OPTIONS.put) {
  return { kind: 'put', key: bytes(key, 'a key'), value: bytes(value, 'a value'), fields: fieldsOf(options, table, 'put') };
}

function del(keys, options, table = OPTIONS.delete) {
  return ranged('delete', range(keys), fieldsOf(options, table, 'delete'));
}

function watch(keys, options) {
  return ranged('watch', range(keys), fieldsOf(options, OPTIONS.watch, 'watch'));
}

/** A request without keys: how it is made, and its options. */
function plain(make, options, table, what) {
  return { kind: 'plain', make, fields: fieldsOf(options, table, what) };
}

/** Who asks, for people who look at a queue. */
const who = () => `${hostname()}:${process.pid}`;

/** A lock or a leadership; `make` is of the one or the other. */
function hold(make, name, options, what) {
  const key = bytes(name, 'a name');
  const plan = plain(raw => make(raw, key, plan.value), options, HOLD, what);
  plan.value = Buffer.from(bytes(options?.value === undefined ? who() : options.value, '`value`'));
  return plan;
}

function lock(name, options) {
  const plan = hold((raw, key) => raw.requestLock(key, key.length), name, options, 'lock');
  plan.fields.push([FIELD.VALUE, plan.value]);
  return plan;
}

const campaign = (name, options) =>
  hold((raw, key, value) => raw.requestCampaign(key, key.length, value, value.length), name, options, 'elect');

function observe(name, options) {
  const election = bytes(name, 'a name');
  return plain(raw => raw.requestObserve(election, election.length), options, OBSERVE, 'observe');
}

function leader(name, options) {
  const election = bytes(name, 'a name');
  return plain(raw => raw.requestLeader(election, election.length), options, CALL, 'leader');
}

const RELATIONS = {
  '==': RELATION.EQUAL, '=': RELATION.EQUAL, '!=': RELATION.NOT_EQUAL, '>': RELATION.GREATER, '<': RELATION.LESS,
};

function comparison(keys, relation, target, value) {
  return { ...range(keys), relation: word(RELATIONS)(relation, 'a relation'), target, value };
}

/** Comparisons for transactions. */
const compare = {
  value: (keys, relation, value) => comparison(keys, relation, null, bytes(value, 'a value')),
  version: (keys, relation, version) => comparison(keys, relation, TARGET.VERSION, whole(version, 'a version')),
  createRevision: (keys, relation, revision) => comparison(keys, relation, TARGET.CREATE, whole(revision, 'a revision')),
  modRevision: (keys, relation, revision) => comparison(keys, relation, TARGET.MOD, whole(revision, 'a revision')),
  lease: (keys, relation, id) => comparison(keys, relation, TARGET.LEASE, lease(id, 'a lease')),
  exists: keys => comparison(keys, '>', TARGET.CREATE, 0),
  missing: keys => comparison(keys, '==', TARGET.CREATE, 0),
};

/** Operations for transactions, whose conditions are the transaction's. */
const op = {
  get: (keys, options) => getRange(keys, options, RANGE),
  put: (key, value, options) => put(key, value, options, PUT_PLAIN),
  delete: (keys, options) => del(keys, options, DELETE_PLAIN),
};

/** The request that a plan describes, to be freed by the caller. */
function make(raw, plan) {
  const request = begin(raw, plan);
  for (const [field, value] of plan.fields) {
    if (isUint8Array(value)) raw.requestSetBytes(request, field, value, value.length);
    else raw.requestSetInt(request, field, value);
  }
  return request;
}

function begin(raw, plan) {
  switch (plan.kind) {
    case 'get': return raw.requestGet(plan.key, plan.key.length);
    case 'put': return raw.requestPut(plan.key, plan.key.length, plan.value, plan.value.length);
    case 'delete': return raw.requestDelete(plan.key, plan.key.length);
    case 'watch': return raw.requestWatch(plan.key, plan.key.length);
    case 'txn': return beginTxn(raw, plan);
    default: return plan.make(raw);
  }
}

function beginTxn(raw, plan) {
  const txn = raw.requestTxn();
  for (const one of plan.compares) addComparison(raw, txn, one);
  for (const [ops, add] of [[plan.done, raw.txnThen], [plan.otherwise, raw.txnElse]]) {
    for (const one of ops) {
      const request = make(raw, one);
      add(txn, request);
      raw.requestFree(request);
    }
  }
  return txn;
}

function addComparison(raw, txn, { key, isPrefix, end, relation, target, value }) {
  if (target === null) raw.txnCompareValue(txn, key, key.length, relation, value, value.length);
  else raw.txnCompareInt(txn, key, key.length, target, relation, value);
  if (isPrefix) raw.requestSetInt(txn, FIELD.PREFIX, 1);
  if (end !== null) raw.requestSetBytes(txn, FIELD.RANGE_END, end, end.length);
}

module.exports = { get, getRange, count, put, del, watch, plain, lock, campaign, observe, leader, compare, op, make, OPTIONS };
