'use strict';
// Watches. Each has a queue of its own, so that one whose reader is slow is held up (by the library, which keeps no
// more than the queue may have) and no other.

const { EventEmitter } = require('node:events');
const { Listenable } = require('./emitter.js');
const { leaderOf } = require('./lock.js');
const { Queue, throwLater } = require('./queue.js');
const { EVENT, WATCH } = require('./raw.js');
const { closed } = require('./errors.js');

/** As much as waits here for the reader; beyond it, changes wait in the library. */
const ENOUGH = 1024 * 1024;

const STATES = {
  [WATCH.LIVE]: 'live', [WATCH.RESUMING]: 'resuming', [WATCH.PARKED]: 'parked', [WATCH.COMPACTED]: 'compacted',
  [WATCH.RESET]: 'reset', [WATCH.PROGRESS]: 'progress',
};

/**
 * What the queue tells of a watch or an observer, until the reader takes it. It knows no Watch: one that nobody has any more is collected. It
 * does know its client (by `onEnd`), which therefore lives as long as its watches.
 */
class Source {
  state = 'opening';
  liveRevision = null;
  emitter = new EventEmitter();
  holds = true;
  #queue;
  #tag;
  #items = [];
  #head = 0;
  #bytes = 0;
  #readers = [];
  #ended = false;
  #error = null;
  #forReady = [];
  #wantsBatches;
  #wantsStates;
  #onEnd;

  constructor(raw, client, request, { timeout, maxBytes, batches, states, ref }, onEnd) {
    this.#wantsBatches = batches;
    this.#wantsStates = states;
    this.#onEnd = onEnd;
    this.#queue = new Queue(raw, client, maxBytes);
    try {
      this.#tag = this.#queue.submit(request, timeout, this);
    } catch (error) {
      this.#queue.free();
      throw error;
    }
    if (ref) this.#queue.ref();
  }

  ref() {
    this.#queue.ref();
  }

  unref() {
    this.#queue.unref();
  }

  record(record) {
    if (record.kind === EVENT.CHANGES) this.#changes(record);
    else if (record.kind === EVENT.WATCH_STATE) this.#news(record);
    else if (record.kind === EVENT.LEADER) this.#leader(record);
    else if (record.kind === EVENT.WATCH_END) this.end(record.error);
  }

  fail(error) {
    this.end(error);
  }

  #changes({ revision, state, keys, size }) {
    if (this.#wantsBatches) {
      this.#push({ type: 'changes', revision, resynced: state === WATCH.RESYNCED, changes: keys });
    } else {
      for (const change of keys) this.#push(change);
    }
    this.#count(size);
  }

  /** So many bytes more wait, unless readers were there for them. */
  #count(bytes) {
    this.#bytes = this.#items.length === this.#head ? 0 : this.#bytes + bytes;
    if (this.#bytes > ENOUGH) this.#queue.pause();
  }

  #news({ state, revision, error }) {
    const news = { type: STATES[state] ?? 'unknown', revision, error };
    if (state !== WATCH.PROGRESS) this.state = news.type;
    // From its first confirmation on, it goes on for ever: nothing to wait for.
    if (state === WATCH.LIVE && this.liveRevision === null) this.#live(revision);
    if (this.#wantsStates) this.#push(news);
    try {
      this.emitter.emit('state', news);
    } catch (thrown) {
      throwLater(thrown);
    }
  }

  #leader(record) {
    this.state = 'live';
    if (this.liveRevision === null) this.#live(record.revision);
    this.#push(leaderOf(record));
    this.#count(record.size);
  }

  #live(revision) {
    this.liveRevision = revision;
    this.#queue.setHold(this.#tag, false);
    for (const { resolve } of this.#forReady.splice(0)) resolve(revision);
  }

  #push(value) {
    const reader = this.#readers.shift();
    if (reader) reader.resolve({ value, done: false });
    else this.#items.push(value);
  }

  /** Ends it; what came before is still read, unless nobody wants it any more. */
  end(error, { drop = false } = {}) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.state = 'closed';
    this.#queue.free();
    this.#onEnd(this);
    if (drop) this.#items = [];
    const readers = this.#readers.splice(0);
    for (const reader of readers) this.#answerEnd(reader);
    for (const { reject } of this.#forReady.splice(0)) reject(error ?? closed('the watch'));
  }

  /** The first reader behind the last change is told why it ended. */
  #answerEnd({ resolve, reject }) {
    const error = this.#error;
    this.#error = null;
    if (error) reject(error);
    else resolve({ value: undefined, done: true });
  }

  next() {
    if (this.#head < this.#items.length) return Promise.resolve({ value: this.#take(), done: false });
    return new Promise((resolve, reject) => {
      if (this.#ended) this.#answerEnd({ resolve, reject });
      else this.#readers.push({ resolve, reject });
    });
  }

  #take() {
    const value = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = this.#bytes = 0;
      this.#queue.resume();
    }
    return value;
  }

  ready() {
    if (this.liveRevision !== null) return Promise.resolve(this.liveRevision);
    return new Promise((resolve, reject) => {
      if (this.#ended) reject(this.#error ?? closed('the watch'));
      else this.#forReady.push({ resolve, reject });
    });
  }
}

const abandoned = new FinalizationRegistry(source => source.end(null, { drop: true }));

/** A watch: an async iterator of changes; an observer: of leaders. */
class Watch extends Listenable {
  #source;

  /** Made by Client.watch() and Client.observe(). */
  constructor(source) {
    super(source.emitter);
    this.#source = source;
    abandoned.register(this, source, this);
  }

  get state() {
    return this.#source.state;
  }

  ready() {
    return this.#source.ready();
  }

  ref() {
    this.#source.ref();
    return this;
  }

  unref() {
    this.#source.unref();
    return this;
  }

  next() {
    return this.#source.next();
  }

  async return(value) {
    this.close();
    return { value, done: true };
  }

  close() {
    abandoned.unregister(this);
    this.#source.end(null, { drop: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async [Symbol.asyncDispose]() {
    this.close();
  }
}

module.exports = { Watch, Source };
