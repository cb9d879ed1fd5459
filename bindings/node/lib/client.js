'use strict';
// The client: every call is a request that is submitted, and a promise for what comes of it. index.d.ts says what each
// method does.

const { isMainThread } = require('node:worker_threads');
const { library } = require('./library.js');
const { COUNTER, PACKED, ALARM, ALARM_ACTION } = require('./raw.js');
const { Queue } = require('./queue.js');
const { Watch, Source } = require('./watch.js');
const { Place, Lock, Leadership, leaderOf } = require('./lock.js');
const { Transaction } = require('./txn.js');
const requests = require('./requests.js');
const replies = require('./replies.js');
const { errorOf, takeError, closed, aborted, CANCELED, TOO_LARGE } = require('./errors.js');
const { bytes, flag, whole, lease, member, word, object, onlyKnown, timeout, abortSignal, kindOf } = require('./values.js');

const PAGE = 1000;
/** So many milliseconds the end of a process waits for the release of its locks. */
const PARTING = 500;
const pointer = new BigUint64Array(1);

/** What must be freed: apart from the Client, so that one that nobody has any more can be collected. */
class Native {
  constructor(raw, handle) {
    this.raw = raw;
    this.handle = handle;
    this.queue = new Queue(raw, handle);
    /** How many are held or waited for. */
    this.locks = 0;
    open.add(this);
  }

  /** Ends whatever is open, without waiting. */
  free() {
    if (this.handle === null) return;
    open.delete(this);
    this.raw.clientFree(this.handle);
    this.handle = null;
  }

  /** The process ends. Others need not wait for the TTL of its locks, if a server can be told soon. */
  part() {
    this.queue.drop();
    if (this.locks > 0) this.raw.clientClose(this.handle, PARTING, null);
    else this.free();
  }
}

const open = new Set();
const abandoned = new FinalizationRegistry(native => {
  native.free();
  native.queue.free();
});
// What a worker has open ends with its thread, however that ends.
if (isMainThread) process.on('exit', () => open.forEach(native => native.part()));

/** A call that waits in the queue. The client is kept until it has ended. `walk` reads a reply that has to be taken. */
class Call {
  holds = true;

  constructor(client, queue, walk, resolve, reject) {
    this.client = client;
    this.queue = queue;
    this.walk = walk;
    this.resolve = resolve;
    this.fail = reject;
  }

  record(record) {
    if (record.error !== null) return this.fail(record.error);
    try {
      this.resolve(this.#read(record));
    } catch (error) {
      this.fail(error);
    }
  }

  #read(record) {
    if ((record.flags & PACKED.TAKE) === 0) return record;
    if (this.walk !== undefined) return this.queue.takeReply(record.tag, (raw, reply) => this.walk(raw, reply, record));
    // Keys of more than 4 GiB: no Buffer could hold them either.
    this.queue.takeReply(record.tag, () => undefined);
    throw errorOf({ status: TOO_LARGE, message: 'the answer is over 4 GiB: read it in pages' });
  }
}

/** What one option of the library is as text. */
function optionText(name, value) {
  if (name === 'endpoints' && Array.isArray(value)) return value.map(one => optionText('endpoints', one)).join(',');
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number' && name !== 'endpoints') return String(whole(value, `the option \`${name}\``));
  if (typeof value !== 'string') {
    throw new TypeError(`the option \`${name}\` must be text, a number or true or false, not ${kindOf(value)}`);
  }
  bytes(value, `the option \`${name}\``);
  if (value.includes('\0')) throw new TypeError(`the option \`${name}\` holds a NUL`);
  return value;
}

/** requestTimeoutMs is request_timeout_ms. */
function optionName(name) {
  if (!/^[a-z][a-zA-Z0-9]*$/.test(name)) throw new TypeError(`there is no option \`${name}\``);
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}

function check(raw, status) {
  if (status !== 0) throw takeError(raw, pointer[0], status);
}

function openNative(raw, options) {
  const native = raw.optionsNew();
  try {
    for (const [name, value] of options) check(raw, raw.optionsSet(native, name, value, pointer));
    const out = new BigUint64Array(1);
    check(raw, raw.clientOpen(native, out, pointer));
    return out[0];
  } finally {
    raw.optionsFree(native);
  }
}

/** A client of one cluster. */
class Client {
  #raw;
  #native;
  #queue;
  /** What goes on until it is ended: watches, observers, locks. */
  #lasting = new Set();
  #closing = null;

  constructor(where) {
    const isList = typeof where === 'string' || Array.isArray(where);
    const { library: file, ...rest } = isList ? { endpoints: where } : object(where, 'what to open, unless text or a list,');
    const options = Object.entries(rest).filter(([, value]) => value !== undefined)
      .map(([name, value]) => [optionName(name), optionText(name, value)]);
    this.#raw = library(file);
    this.#native = new Native(this.#raw, openNative(this.#raw, options));
    this.#queue = this.#native.queue;
    this.leases = new Leases(this.#ask.bind(this));
    abandoned.register(this, this.#native, this);
  }

  async get(key, options) {
    const { keys } = await this.#ask(requests.get(key, options), options);
    return keys[0] ?? null;
  }

  async getString(key, options) {
    const found = await this.get(key, options);
    return found === null ? null : found.value.toString();
  }

  async getRange(keys, options) {
    const plan = requests.getRange(keys, options);
    return rangeOf(await this.#ask(plan, options));
  }

  getAll(keys = { prefix: '' }, options = undefined) {
    const { pageSize = PAGE, limit = 0, ...rest } = object(options, 'options of getAll');
    if (whole(pageSize, '`pageSize`') === 0) throw new TypeError('`pageSize` must be at least 1');
    // Checked here, and not when the first key is asked for.
    requests.getRange(keys, { ...rest, pageSize, limit }, requests.OPTIONS.pages);
    return this.#pages(keys, rest, pageSize, limit === 0 ? Infinity : limit);
  }

  async count(keys, options) {
    const { count } = await this.#ask(requests.count(keys, options), options);
    return count;
  }

  async put(key, value, options) {
    const record = await this.#ask(requests.put(key, value, options), options);
    return { revision: record.revision, previous: record.keys[0] ?? null, lease: record.lease };
  }

  set(key, value, options) {
    return this.put(key, value, options);
  }

  async delete(keys, options) {
    const record = await this.#ask(requests.del(keys, options), options);
    return { revision: record.revision, deleted: record.count, previous: record.keys };
  }

  txn() {
    return new Transaction((plan, options) => this.#commit(plan, options));
  }

  watch(keys, options) {
    const plan = requests.watch(keys, options);
    const { signal, maxBytes = 0, batches = false, states = false, ref = false } = object(options, 'options of watch');
    flag(batches, '`batches`');
    flag(states, '`states`');
    const limit = timeout(options?.timeout);
    return this.#follow(plan, { timeout: limit, maxBytes: whole(maxBytes, '`maxBytes`'), batches, states, ref }, signal);
  }

  async lock(name, options) {
    return new Lock(await this.#hold(requests.lock(name, options), options));
  }

  async elect(name, options) {
    return new Leadership(await this.#hold(requests.campaign(name, options), options));
  }

  observe(name, options) {
    const plan = requests.observe(name, options);
    const { signal, ref = false } = object(options, 'options of observe');
    return this.#follow(plan, { timeout: -1, maxBytes: 0, batches: false, states: false, ref }, signal);
  }

  async leader(name, options) {
    return leaderOf(await this.#ask(requests.leader(name, options), options));
  }

  async members(options) {
    return this.#list(raw => raw.requestMembers(), options, 'members', replies.members);
  }

  async status(options) {
    return this.#list(raw => raw.requestStatus(), options, 'status', (raw, reply) => replies.status(raw, reply, errorOf));
  }

  async syncMembers(options) {
    return this.#list(raw => raw.requestSyncMembers(), options, 'syncMembers', replies.endpoints);
  }

  async compact(revision, options) {
    whole(revision, 'a revision');
    const plan = requests.plain(raw => raw.requestCompact(revision), options, requests.OPTIONS.compact, 'compact');
    await this.#ask(plan, options);
  }

  async alarms(options) {
    return this.#list(raw => raw.requestAlarm(ALARM_ACTION.LIST, 0n, ALARM.ANY), options, 'alarms', replies.alarms);
  }

  async raiseAlarm(alarm, options) {
    await this.#setAlarm(ALARM_ACTION.RAISE, alarm, options);
  }

  async disarmAlarm(alarm, options) {
    await this.#setAlarm(ALARM_ACTION.DISARM, alarm, options);
  }

  async hash(options) {
    const { revision = 0, ...rest } = object(options, 'options of hash');
    whole(revision, '`revision`');
    return this.#list(raw => raw.requestHash(revision), rest, 'hash', replies.hash);
  }

  async authenticate(user, password, options) {
    const [name, secret] = [bytes(user, 'a user'), bytes(password, 'a password')];
    const make = raw => raw.requestAuthenticate(name, name.length, secret, secret.length);
    return this.#list(make, options, 'authenticate', replies.token);
  }

  counters() {
    const count = counter => (this.#native.handle === null ? 0 : Number(this.#raw.clientCounter(this.#native.handle, counter)));
    return {
      connections: count(COUNTER.CONNECTIONS),
      retries: count(COUNTER.RETRIES),
      watchesResumed: count(COUNTER.WATCHES_RESUMED),
      watchesParked: count(COUNTER.WATCHES_PARKED),
      holdsLost: count(COUNTER.HOLDS_LOST),
      open: count(COUNTER.OPEN),
    };
  }

  get isClosed() {
    return this.#closing !== null;
  }

  ref() {
    this.#queue.ref();
    return this;
  }

  unref() {
    this.#queue.unref();
    return this;
  }

  async close(options) {
    const { timeout: limit = 5000 } = onlyKnown(object(options, 'options of close'), { timeout: 0 }, 'close');
    whole(limit, '`timeout`');
    this.#closing ??= this.#shutDown(limit);
    return this.#closing;
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }

  async #shutDown(limit) {
    for (const one of this.#lasting) one.end(null);
    await this.#queue.idle(limit);
    // What is still open ends with this, and tells so.
    this.#native.free();
    await this.#queue.idle(1000);
    this.#queue.free();
    abandoned.unregister(this);
  }

  /** Makes a plan's request, hands it over and frees it: the library has a copy. */
  #begin(plan, start) {
    if (this.#closing !== null || this.#native.handle === null) throw closed('the client');
    const request = requests.make(this.#raw, plan);
    try {
      return start(request);
    } finally {
      this.#raw.requestFree(request);
    }
  }

  /** The record of a plan's reply; a reply that has to be taken is walked at once. */
  #ask(plan, options, walk) {
    const limit = timeout(options?.timeout);
    return this.#until(options?.signal, (resolve, reject) => {
      const call = new Call(this, this.#queue, walk, resolve, reject);
      const tag = this.#begin(plan, request => this.#queue.submit(request, limit, call));
      return () => this.#queue.cancel(tag);
    });
  }

  /** What comes of something that ends early when a signal is aborted. `start` begins it, and gives what ends it. */
  async #until(signal, start) {
    if (abortSignal(signal)?.aborted) throw aborted(signal.reason);
    let forget;
    try {
      return await new Promise((resolve, reject) => {
        forget = onAbort(signal, start(resolve, reject));
      });
    } catch (error) {
      // Made where the answer was read: here it can tell who asked.
      if (error.status === CANCELED && signal?.aborted) error.cause = signal.reason;
      Error.captureStackTrace(error);
      throw error;
    } finally {
      forget?.();
    }
  }

  /** A place in a queue, once it holds the lock. */
  async #hold(plan, options) {
    const { wait = Infinity, signal, ref = false } = object(options, 'options');
    const limit = wait === Infinity ? -1 : whole(wait, '`wait`');
    flag(ref, '`ref`');
    const ask = (...call) => this.#ask(...call);
    const place = new Place(this.#raw, this.#queue, plan.value, ask, () => this.#forget(place));
    await this.#until(signal, (resolve, reject) => {
      this.#begin(plan, request => place.begin(request, limit, resolve, reject));
      this.#lasting.add(place);
      this.#native.locks++;
      return () => place.giveUp();
    });
    // Both may have been told in one turn: nobody could have listened for its loss.
    if (place.signal.aborted) throw place.signal.reason;
    place.setHold(ref);
    return place;
  }

  /** A place whose last event has come. */
  #forget(place) {
    if (this.#lasting.delete(place)) this.#native.locks--;
  }

  /** A watch or an observer. */
  #follow(plan, settings, signal) {
    flag(settings.ref, '`ref`');
    abortSignal(signal);
    let forget;
    const onEnd = source => {
      this.#lasting.delete(source);
      forget?.();
    };
    const source = this.#begin(plan, request => new Source(this.#raw, this.#native.handle, request, settings, onEnd));
    this.#lasting.add(source);
    forget = endOnAbort(source, signal);
    return new Watch(source);
  }

  async #list(make, options, what, walk) {
    return this.#ask(requests.plain(make, options, requests.OPTIONS.call, what), options, walk);
  }

  #commit(plan, options) {
    onlyKnown(object(options, 'options of commit'), requests.OPTIONS.call, 'commit');
    return this.#ask(plan, options, (raw, reply, record) => replies.txn(raw, reply, plan, record.revision));
  }

  #setAlarm(action, alarm, options) {
    const given = onlyKnown(object(alarm, 'an alarm'), { member: 0, alarm: 0 }, 'an alarm');
    const whose = member(given.member, '`member`');
    const kind = word({ noSpace: ALARM.NO_SPACE, corrupt: ALARM.CORRUPT })(given.alarm, '`alarm`');
    return this.#list(raw => raw.requestAlarm(action, whose, kind), options, 'an alarm', replies.alarms);
  }

  /** Page behind page, all of the revision of the first one. */
  async *#pages(keys, options, pageSize, limit) {
    let { revision } = options;
    let left = limit;
    for (let from = keys; left > 0;) {
      const page = await this.getRange(from, { ...options, revision, limit: Math.min(pageSize, left) });
      yield* page.kvs;
      left -= page.kvs.length;
      if (!page.more || page.kvs.length === 0) return;
      revision ||= page.revision;
      from = rangeBehind(keys, page.kvs.at(-1).key);
    }
  }
}

/** The keys of a range behind one of them. */
function rangeBehind(keys, last) {
  const start = Buffer.concat([last, Buffer.alloc(1)]);
  return { start, end: keys.prefix === undefined ? keys.end : behindPrefix(keys.prefix) };
}

/** The first key that does not have a prefix any more; undefined: there is none. */
function behindPrefix(prefix) {
  const end = Buffer.from(bytes(prefix, '`prefix`'));
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i] < 0xff) {
      end[i]++;
      return end.subarray(0, i + 1);
    }
  }
  return undefined;
}

function rangeOf({ keys, count, flags, revision }) {
  return { kvs: keys, count, more: (flags & PACKED.MORE) !== 0, revision };
}

/** By signal, what is called back. One listener for all of them: Node warns of more than ten. */
const listening = new WeakMap();

/** Calls back when a signal is aborted; gives what ends that. */
function onAbort(signal, callback) {
  if (signal === undefined) return undefined;
  const { callbacks } = listening.get(signal) ?? listen(signal);
  callbacks.add(callback);
  return () => callbacks.delete(callback) && callbacks.size === 0 && stopListening(signal);
}

function listen(signal) {
  const callbacks = new Set();
  const listener = () => callbacks.forEach(callback => callback());
  listening.set(signal, { callbacks, listener });
  signal.addEventListener('abort', listener, { once: true });
  return listening.get(signal);
}

function stopListening(signal) {
  signal.removeEventListener('abort', listening.get(signal).listener);
  listening.delete(signal);
}

/** Ends a watch or observer when a signal is aborted; gives what ends that. The signal knows the source only, not the Watch. */
function endOnAbort(source, signal) {
  const error = () => errorOf({ status: CANCELED, message: 'it was aborted' }, { cause: signal.reason });
  const end = () => source.end(error(), { drop: true });
  if (signal?.aborted) end();
  return onAbort(signal, end);
}

/** Leases: keys that are attached to one go with it. */
class Leases {
  #ask;

  constructor(ask) {
    this.#ask = ask;
  }

  async grant(ttl, options) {
    whole(ttl, 'a TTL');
    const plan = requests.plain(raw => raw.requestLeaseGrant(ttl), options, requests.OPTIONS.grant, 'grant');
    const record = await this.#ask(plan, options);
    return { id: record.lease, ttl: record.ttl };
  }

  async revoke(id, options) {
    await this.#ask(this.#of(raw => raw.requestLeaseRevoke(id), id, options, 'revoke'), options);
  }

  async keepAliveOnce(id, options) {
    const record = await this.#ask(this.#of(raw => raw.requestLeaseKeepAlive(id), id, options, 'keepAliveOnce'), options);
    return { id, ttl: record.ttl };
  }

  async timeToLive(id, options) {
    lease(id, 'a lease');
    const plan = requests.plain(raw => raw.requestLeaseTtl(id), options, requests.OPTIONS.ttl, 'timeToLive');
    return { id, ...await this.#ask(plan, options, replies.timeToLive) };
  }

  async list(options) {
    return this.#ask(requests.plain(raw => raw.requestLeases(), options, requests.OPTIONS.call, 'list'), options, replies.leases);
  }

  #of(make, id, options, what) {
    lease(id, 'a lease');
    return requests.plain(make, options, requests.OPTIONS.call, what);
  }
}

module.exports = { Client };
