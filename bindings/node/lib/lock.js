'use strict';
// Locks and elections. The library waits, keeps alive and notices losses; here is what it tells of them.

const { EventEmitter, getEventListeners, setMaxListeners } = require('node:events');
const { Listenable } = require('./emitter.js');
const { throwLater } = require('./queue.js');
const { Transaction } = require('./txn.js');
const requests = require('./requests.js');
const { EVENT } = require('./raw.js');
const { errorOf, closed, CANCELED, NOT_HELD } = require('./errors.js');
const { bytes, timeout, abortSignal, kindOf } = require('./values.js');

const length = new BigUint64Array(1);

/** A place in a lock's queue. It knows no Lock: one that nobody has any more is collected. */
class Place {
  /** What waits keeps the process alive; what is held does not. */
  holds = true;
  emitter = new EventEmitter();
  token = 0;
  key = null;
  value;
  #loss = new AbortController();
  #raw;
  #queue;
  #ask;
  #onEnd;
  #tag;
  #hold = null;
  #isWanted = true;
  #resolve;
  #reject;
  #released = null;

  constructor(raw, queue, value, ask, onEnd) {
    this.#raw = raw;
    this.#queue = queue;
    this.value = value;
    this.#ask = ask;
    this.#onEnd = onEnd;
    // It is there to be passed to many.
    setMaxListeners(0, this.signal);
  }

  /** Begins to want it: `resolve` is called when it is held, `reject` when it won't be. */
  begin(request, wait, resolve, reject) {
    [this.#resolve, this.#reject] = [resolve, reject];
    this.#tag = this.#queue.submit(request, wait, this);
  }

  /** Wants it no more. What came of that is still told: it may be held already. */
  giveUp() {
    this.#isWanted = false;
    this.#queue.cancel(this.#tag);
  }

  get signal() {
    return this.#loss.signal;
  }

  get isHeld() {
    return this.#isOurs && this.#raw.holdIsHeld(this.#hold) === 1;
  }

  get remainingMs() {
    return this.#isOurs ? Number(this.#raw.holdRemainingMs(this.#hold)) : 0;
  }

  /** As far as was told. */
  get #isOurs() {
    return this.#hold !== null && this.#released === null && !this.signal.aborted;
  }

  setHold(holds) {
    this.#queue.setHold(this.#tag, holds);
  }

  record(record) {
    if (record.kind === EVENT.ACQUIRED) this.#acquired(record.revision);
    else this.#over(record.error ?? errorOf({ status: CANCELED, message: 'nobody wanted it any more: it was released' }));
  }

  fail(error) {
    this.giveUp();
    this.#over(error);
  }

  #acquired(token) {
    // Where nothing is held (any more), the last event tells why.
    this.#hold = this.#isWanted ? this.#queue.takeHold(this.#tag) : null;
    if (this.#hold === null) return;
    this.token = token;
    this.key = this.#readKey();
    this.#resolve();
  }

  #readKey() {
    this.#raw.holdKey(this.#hold, null, 0, length);
    const key = Buffer.alloc(Number(length[0]));
    this.#raw.holdKey(this.#hold, key, key.length, length);
    return key;
  }

  /** Nothing comes any more, and nothing is left to be given up when the Lock is collected. */
  #over(error) {
    abandoned.unregister(this);
    this.#onEnd(this);
    this.#free();
    if (this.key === null) this.#reject(error);
    else this.#tellLoss(error);
  }

  #tellLoss(error) {
    if (this.#released !== null || this.signal.aborted) return;
    this.#loss.abort(error);
    try {
      this.emitter.emit('lost', error);
    } catch (thrown) {
      throwLater(thrown);
    }
  }

  #free() {
    if (this.#hold !== null) this.#raw.holdFree(this.#hold);
    this.#hold = null;
  }

  /** Its client is closed. Who holds it is told before anybody else can have it. */
  end() {
    if (this.key === null) this.#reject(closed('the client'));
    else this.#tellLoss(closed('the client'));
    this.giveUp();
  }

  /** Nobody has the Lock any more. If somebody waits for its loss, it is still held for him. */
  abandon() {
    if (this.emitter.listenerCount('lost') > 0 || getEventListeners(this.signal, 'abort').length > 0) return;
    this.#tellLoss(errorOf({ status: CANCELED, message: 'nobody had the lock any more: it is released' }));
    this.giveUp();
  }

  /** The second release is the first one. */
  release(options) {
    const plan = requests.plain(raw => raw.requestRelease(this.#hold), options, requests.OPTIONS.call, 'release');
    // Before anything is ended: a mistake releases nothing.
    timeout(options?.timeout);
    abortSignal(options?.signal);
    return this.#released ??= this.#leave(plan, options);
  }

  async #leave(plan, options) {
    if (!this.#isOurs) throw notHeld(this.signal.reason);
    try {
      await this.#ask(plan, options);
    } finally {
      // Unanswered, the release goes on in the background.
      this.#free();
    }
  }

  async proclaim(value, options) {
    const word = bytes(value, 'a value');
    const make = raw => raw.requestProclaim(this.#hold, word, word.length);
    const plan = requests.plain(make, options, requests.OPTIONS.call, 'proclaim');
    if (!this.#isOurs) throw notHeld(this.signal.reason);
    const { revision } = await this.#ask(plan, options);
    this.value = Buffer.from(word);
    return { revision };
  }
}

const notHeld = cause => errorOf({
  status: NOT_HELD, message: cause ? `it is not held any more: ${cause.message}` : 'it was released',
}, { cause });

const abandoned = new FinalizationRegistry(place => place.abandon());

/** A lock that is held, until it is released or lost. */
class Lock extends Listenable {
  #place;

  /** Made by Client.lock(). */
  constructor(place) {
    super(place.emitter);
    this.#place = place;
    abandoned.register(this, place, place);
  }

  get key() {
    return this.#place.key;
  }

  get token() {
    return this.#place.token;
  }

  get value() {
    return this.#place.value;
  }

  get isHeld() {
    return this.#place.isHeld;
  }

  get remainingMs() {
    return this.#place.remainingMs;
  }

  get signal() {
    return this.#place.signal;
  }

  guard(txn) {
    if (!(txn instanceof Transaction)) throw new TypeError(`guard() takes a transaction, not ${kindOf(txn)}`);
    const { createRevision, lease } = requests.compare;
    // A key that somebody has put without a lease is no place any more: the next one holds the lock.
    return txn.if(createRevision(this.key, '==', this.token), lease(this.key, '!=', 0n));
  }

  ref() {
    this.#place.setHold(true);
    return this;
  }

  unref() {
    this.#place.setHold(false);
    return this;
  }

  async release(options) {
    await this.#place.release(options);
  }

  [Symbol.asyncDispose]() {
    return this.release();
  }
}

/** The leadership of an election: a lock whose value is told to all. */
class Leadership extends Lock {
  #place;

  /** Made by Client.elect(). */
  constructor(place) {
    super(place);
    this.#place = place;
  }

  proclaim(value, options) {
    return this.#place.proclaim(value, options);
  }

  resign(options) {
    return this.release(options);
  }
}

/** A leader, of the record that tells of one; null: nobody leads. */
function leaderOf({ keys: [kv] }) {
  if (kv === undefined) return null;
  return { key: kv.key, value: kv.value, token: kv.createRevision, revision: kv.modRevision, lease: kv.lease };
}

module.exports = { Place, Lock, Leadership, leaderOf };
